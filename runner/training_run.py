"""A whole training: stages in order, each from the weights of the one before, resumable in any; what it leaves behind.

A folder holds `recipe.json` (the stages as they were scaled), the checkpoint and curve of each stage (in a folder of
its own where there are several), and in the end the weights with `<model>_x<scale>.json`, which says how they came
about.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lightning_fabric import Fabric
from torch import Tensor

from runner import machine
from runner.patches import TrainingImages
from runner.recipes import Recipe, from_text, to_text
from runner.training import Entry, Validate, train
from runner.training_state import CHECKPOINT, State, export_tensors, resume, start
from zoo.catalogue import find
from zoo.contract import BadInput
from zoo.files import sha256_of, write_text_atomically

STAGES_FILE: Final = "recipe.json"
PROBE_STEPS: Final = 10

OpenImages = Callable[[Recipe], TrainingImages]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a run reports, validates and checkpoints, and how many threads draw patches ahead."""

    report_every: int = 100
    validate_every: int = 1000
    checkpoint_every_s: float = 240.0
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A stage that ran to its end."""

    recipe: Recipe
    state: State
    images: TrainingImages


def begin(stages: Sequence[Recipe], out: Path) -> None:
    """Claim a folder for a new run. Raises BadInput where one is there already."""
    if (out / STAGES_FILE).exists() or (out / CHECKPOINT).exists():
        raise BadInput(f"{out} holds a checkpoint already. Go on with --resume, or choose another folder with --out.")
    write_text_atomically(out / STAGES_FILE, to_text(stages))


def begun(out: Path) -> tuple[Recipe, ...]:
    """The stages of the run in a folder. Raises BadInput where there is none."""
    path = out / STAGES_FILE
    if not path.is_file():
        raise BadInput(f"{out} holds no {STAGES_FILE}. Start without --resume, or name the folder of the run.")
    return from_text(path.read_text(encoding="utf-8", errors="replace"), where=str(path))


def require_same(chosen: Sequence[Recipe], held: Sequence[Recipe], out: Path) -> None:
    """Raise BadInput, naming the differences, unless a run is of these stages."""
    changes = [f"{len(chosen)} stages, not {len(held)}"] if len(chosen) != len(held) else []
    for ours, theirs in zip(chosen, held, strict=False):
        changes += [f"{ours.stage}: {change}" if ours.stage else change for change in ours.difference(theirs)]
    if changes:
        raise BadInput(
            f"The run in {out} was begun by another recipe ({'; '.join(changes)}). Resume with that recipe, or start "
            f"in another folder."
        )


def folder_of(stage: Recipe, out: Path) -> Path:
    """Where a stage keeps its checkpoint and curve."""
    return out / stage.stage.replace("/", "_") if stage.stage else out


def run_stages(
    stages: Sequence[Recipe],
    out: Path,
    open_images: OpenImages,
    *,
    fabric: Fabric,
    pace: Pace,
    validate: Validate | None = None,
    on_stage: Callable[[Recipe, State], None] = lambda _recipe, _state: None,
    on_report: Callable[[Entry], None] = lambda _entry: None,
    on_step: Callable[[State], None] = lambda _state: None,
) -> list[Finished]:
    """Train every stage to its end, going on from checkpoints that are there. Raises what `training.train` raises."""
    finished: list[Finished] = []
    for stage in stages:
        folder = folder_of(stage, out)
        if (folder / CHECKPOINT).exists():
            state = resume(stage, folder)
        else:
            state = start(stage, weights=dict(finished[-1].state.average.state_dict()) if finished else None)
        images = open_images(stage)
        on_stage(stage, state)
        train(
            state,
            stage,
            images,
            folder=folder,
            fabric=fabric,
            workers=pace.workers,
            report_every=pace.report_every,
            validate_every=pace.validate_every,
            checkpoint_every_s=pace.checkpoint_every_s,
            validate=validate,
            on_report=on_report,
            on_step=on_step,
        )
        finished.append(Finished(recipe=stage, state=state, images=images))
    return finished


def seconds_per_step(stage: Recipe, images: TrainingImages, folder: Path, *, fabric: Fabric, pace: Pace) -> float:
    """Pace of a stage here, by a few steps that are thrown away; the first, which warms up, is left out."""
    seconds: list[float] = []
    train(
        start(stage.model_copy(update={"start": None})),
        stage,
        images,
        folder=folder,
        fabric=fabric,
        until=PROBE_STEPS,
        workers=pace.workers,
        on_step=lambda state: seconds.append(state.seconds),
    )
    return (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else seconds[0]


def keep_weights(finished: Sequence[Finished], out: Path) -> list[Path]:
    """Write the averaged weights, of the deployed form too where the network has one, each with its record."""
    last = finished[-1]
    spec, tensors = find(last.recipe.model), dict(last.state.average.state_dict())
    forms: list[tuple[str, dict[str, Tensor]]] = [(spec.name, tensors)]
    if spec.deploys:
        forms.append((spec.deploys.model, dict(spec.deploys.fold(tensors))))
    written = []
    for model, values in forms:
        path = export_tensors(values, out / f"{model}_x{last.recipe.scale}.safetensors")
        content = record(model, finished, path)
        write_text_atomically(path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
        written.append(path)
    return written


def record(model: str, finished: Sequence[Finished], weights: Path) -> dict[str, Any]:
    """How weights came about: recipe, data, steps, time, machine, code and curve of every stage."""
    return {
        "model": model,
        "scale": finished[-1].recipe.scale,
        "weights": weights.name,
        "weights_sha256": sha256_of(weights),
        "size_bytes": weights.stat().st_size,
        "finished_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "git_commit": machine.git_commit(),
        "stages": [
            {
                "recipe": stage.recipe.model_dump(),
                "images": len(stage.images.places),
                "images_sha256": stage.images.sha256,
                "iterations": stage.state.iteration,
                "seconds_in_steps": round(stage.state.seconds, 1),
                "curve": stage.state.curve,
            }
            for stage in finished
        ],
    }
