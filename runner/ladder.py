"""Train every row of ablation tables under one budget and the same seeds, and measure what came of each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lightning_fabric import Fabric
from torch import nn

from reports.ladder import Ladder, LadderRun
from runner import machine
from runner.datasets import Dataset
from runner.patches import TrainingImages
from runner.recipes import Recipe
from runner.tasks.quality import evaluate
from runner.training_run import Pace, begin, begun, require_same, run_stages, seconds_per_step
from zoo.catalogue import find
from zoo.contract import BadInput
from zoo.files import write_text_atomically
from zoo.protocols import EvalProtocol

SCORES: Final = "scores.json"
RESULT: Final = "ladder.json"


def rungs(base: Recipe, models: Sequence[str], seeds: Sequence[int]) -> list[Recipe]:
    """One recipe per network and seed, equal in all else; seed by seed, so that a stopped ladder has whole seeds."""
    names = tuple(dict.fromkeys(models))
    return [
        base.model_copy(update={"model": model, "seed": seed, "name": f"{model} seed {seed}"})
        for seed in seeds
        for model in names
    ]


def affordable(rungs: Sequence[Recipe], images: TrainingImages, budget_s: float, folder: Path, pace: Pace) -> int:
    """Iterations of each training, equal for all, such that all of them together take about `budget_s` here."""
    fabric = Fabric(accelerator="cpu", devices=1)
    step_s = {
        rung.model: seconds_per_step(rung, images, folder / rung.model, fabric=fabric, pace=pace)
        for rung in {rung.model: rung for rung in rungs}.values()
    }
    return max(1, int(budget_s / math.fsum(step_s[rung.model] for rung in rungs)))


def climb(
    rungs: Sequence[Recipe],
    images: TrainingImages,
    datasets: Sequence[Dataset],
    out: Path,
    *,
    tables: Sequence[str],
    pace: Pace,
    on_run: Callable[[int, Recipe], None] = lambda _index, _recipe: None,
) -> Ladder:
    """Train and measure every rung below `out`, going on where an earlier call ended; gives and writes the ladder.

    Raises what training raises, and BadInput where `out` holds runs of another budget.
    """
    runs = []
    for index, rung in enumerate(rungs):
        on_run(index, rung)
        runs.append(_run(rung, images, datasets, out / f"{rung.model}-seed{rung.seed}", pace))
    first = rungs[0]
    common = json.loads(first.model_dump_json(exclude={"model", "seed", "name", "stage"}))
    ladder = Ladder(
        tables=tuple(tables),
        scale=first.scale,
        iterations=first.iterations,
        batch=first.batch,
        lr_patch_px=first.lr_patch_px,
        recipe=common,
        images=len(images.places),
        images_sha256=images.sha256,
        seeds=tuple(dict.fromkeys(rung.seed for rung in rungs)),
        runs=tuple(runs),
        machine=machine.describe(),
        versions=machine.versions(),
        git_commit=machine.git_commit(),
        finished_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    write_text_atomically(out / RESULT, ladder.model_dump_json(indent=1) + "\n")
    return ladder


def _run(rung: Recipe, images: TrainingImages, datasets: Sequence[Dataset], folder: Path, pace: Pace) -> LadderRun:
    if (folder / "recipe.json").exists():
        require_same([rung], begun(folder), folder)
    else:
        begin([rung], folder)
    scores = _read_scores(folder / SCORES)
    if scores is None or set(scores) != {dataset.name for dataset in datasets}:
        fabric = Fabric(accelerator="cpu", devices=1)
        (finished,) = run_stages([rung], folder, lambda _recipe: images, fabric=fabric, pace=pace)
        state = finished.state
        per_image = {dataset.name: _scores(state.average, rung, dataset) for dataset in datasets}
        last = state.curve[-1]
        content = {"loss": last["loss"], "seconds": round(state.seconds, 1), "psnr_y_db": per_image}
        write_text_atomically(folder / SCORES, json.dumps(content, indent=1) + "\n")
    held: dict[str, Any] = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    return LadderRun(model=rung.model, seed=rung.seed, **held)


def _read_scores(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    try:
        scores: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["psnr_y_db"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} does not hold the scores of a run. Remove it: they are measured again.") from error
    return scores


def _scores(network: nn.Module, rung: Recipe, dataset: Dataset) -> dict[str, float]:
    protocol = EvalProtocol(inference=find(rung.model).inference)
    found = evaluate(network, dataset, protocol=protocol)["per_image"]
    return {score["name"]: score["psnr_y_db"] for score in found}
