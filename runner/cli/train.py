"""`esr train`: train a network by a recipe, resumable at any checkpoint, on one device or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import DataDir, Json
from runner.cli.output import emit, talk
from runner.cli.train_checks import (
    exit_when_interrupted,
    first_on_the_first,
    opener,
    require_data,
    require_fit,
    seconds_of,
    seeds_of,
    validation,
)
from runner.patches import LrSource, OnBad
from zoo.contract import BadInput

if TYPE_CHECKING:
    from runner.patches import TrainingImages
    from runner.recipes import Recipe
    from runner.training_run import Finished, Pace

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "recipe": "recipe",
    "stage": "stage",
    "iterations": "iterations",
    "seconds": "s in steps",
    "loss": "loss",
    "psnr_y_db": "PSNR-Y dB",
    "weights": "weights",
}


class Precision(Enum):
    """Arithmetic of a step; weights and their average stay float32."""

    FULL = "32-true"
    BFLOAT16 = "bf16-mixed"
    FLOAT16 = "16-mixed"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("train", epilog="Example: esr train --recipe agdn_s_x4_short --data BSDS400 --budget 30m")(train)


def train(
    recipe: Annotated[str | None, typer.Option("--recipe", help="A recipe of the suite, or a .toml file.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Training set, by name or folder; repeatable. Default: those of the recipe."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of checkpoint, curve and weights.")] = Path("training"),
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Scale the recipe to these.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Scale it to this time: 90s, 30m, 2h.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    ladder: Annotated[
        str | None,
        typer.Option("--ladder", help="Instead of a recipe: rows of table1,table2,table4."),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Of a ladder: each row is trained once with each.")] = "0,1",
    on_bad: Annotated[OnBad, typer.Option("--on-bad", help="What an image that cannot be used does.")] = OnBad.STOP,
    lr: Annotated[LrSource, typer.Option("--lr", help="Where LR patches come from.")] = LrSource.CACHED,
    cache: Annotated[Path | None, typer.Option("--cache", help="Decoded images; default: cache in --out.")] = None,
    cache_gib: Annotated[float | None, typer.Option("--cache-gib", min=0, help="Largest size of the cache.")] = None,
    validate: Annotated[
        list[str] | None, typer.Option("--validate", help="Data set of the curve's PSNR; default: sample.")
    ] = None,
    validate_every: Annotated[int, typer.Option("--validate-every", min=1, help="Iterations.")] = 1000,
    report_every: Annotated[int, typer.Option("--report-every", min=1, help="Iterations.")] = 100,
    checkpoint_every: Annotated[str, typer.Option("--checkpoint-every", help="Time: 30s, 4m.")] = "4m",
    workers: Annotated[int | None, typer.Option("--workers", min=0, help="Threads that draw patches ahead.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    devices: Annotated[int, typer.Option("--devices", min=1, help="Per node; torchrun's count goes before.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines; torchrun's count goes before.")] = 1,
    precision: Annotated[Precision, typer.Option("--precision", help="Arithmetic of a step.")] = Precision.FULL,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files to OUT/tensorboard.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a network; the weights written are the moving average's, with a record of how they came about.

    Ctrl-C or SIGTERM ends after the step at work and its checkpoint. A ladder trains the ablation rows of the AGDN
    paper under one small budget and compares them: a proxy, never a check of the printed numbers.
    """
    from runner.cli.train_progress import Reporter
    from runner.training_run import Pace, begin, begun, folder_of, keep_weights, run_stages

    if resume and budget is not None:
        raise BadInput("A run that goes on keeps its length. Leave --budget out, or start anew without --resume.")
    if iterations is not None and budget is not None:
        raise BadInput("Pass --iterations or --budget, not both.")
    pace = Pace(
        report_every=report_every,
        validate_every=validate_every,
        checkpoint_every_s=0.0 if checkpoint_every == "0" else seconds_of(checkpoint_every),
        workers=_threads() if workers is None else workers,
    )
    budget_s = seconds_of(budget) if budget else None
    open_images = opener(cache or out / "cache", data_dir, lr, on_bad, cache_gib)
    if ladder is not None:
        from runner.cli.train_ladder import Asked, climb

        asked = Asked(
            tables=tuple(ladder.split(",")),
            seeds=seeds_of(seeds),
            recipe=recipe,
            data=data,
            out=out,
            iterations=iterations,
            budget_s=budget_s,
            validate=validate or ["sample"],
            folders=data_dir or (),
        )
        with exit_when_interrupted("The same command goes on from there."):
            climb(asked, open_images, pace, as_json=as_json)
        return
    if recipe is None:
        raise BadInput("Name what to train: --recipe NAME, or --ladder table1.")
    stages = _stages(recipe, data, seed)
    if resume:
        held = begun(out)
        stages = _as_held(stages, held, out, keep_data=data is None, iterations=iterations)
    elif (out / "recipe.json").exists():
        begin(stages, out)  # raises
    require_data(stages)
    check = validation(validate or ["sample"], stages[0], data_dir)
    fabric = _fabric(device, devices, nodes, precision)
    with Reporter(fabric.is_global_zero, out / "tensorboard" if tensorboard else None) as reporter:
        opened = first_on_the_first(open_images, fabric, reporter.decoding)
        if not resume:
            # Images that cannot be used are said before the folder is claimed: a run that never began is none.
            opened(stages[0])
            stages = _scaled(stages, opened, fabric, pace, iterations, budget_s)
            if fabric.is_global_zero:
                begin(stages, out)
        with exit_when_interrupted("The same command with --resume goes on from there."):
            finished = run_stages(
                stages,
                out,
                opened,
                fabric=fabric,
                pace=pace,
                validate=check,
                on_stage=reporter.stage,
                on_report=reporter.report,
                on_step=reporter.step,
            )
    if fabric.is_global_zero:
        weights = keep_weights(finished, out)
        rows = [_row(stage, folder_of(stage.recipe, out)) for stage in finished]
        rows[-1]["weights"] = str(weights[0])
        emit(rows, as_json=as_json, columns=COLUMNS)
        for path in weights[1:]:
            talk(f"the deployed form: {escape(str(path))}")


def _threads() -> int:
    """One thread that draws ahead per eight cores: drawing takes a hundredth of a step on a CPU."""
    from runner.machine import usable_cores

    return min(4, 1 + usable_cores() // 8)


def _stages(name_or_file: str, data: Sequence[str] | None, seed: int | None) -> tuple[Recipe, ...]:
    from runner.recipes import load_stages

    change: dict[str, Any] = {} if seed is None else {"seed": seed}
    if data:
        change["data"] = tuple(data)
    stages = tuple(stage.model_copy(update=change) for stage in load_stages(name_or_file))
    for stage in stages:
        require_fit(stage)
    if data and len(stages) > 1:
        talk(f"every stage trains on {escape(', '.join(data))}, as --data says")
    return stages


def _as_held(
    stages: tuple[Recipe, ...],
    held: tuple[Recipe, ...],
    out: Path,
    *,
    keep_data: bool,
    iterations: int | None,
) -> tuple[Recipe, ...]:
    """The stages of a run that goes on. Raises BadInput where they are not the ones it was begun with."""
    from runner.recipes import scaled_by
    from runner.training_run import require_same

    if keep_data:
        stages = (
            tuple(ours.model_copy(update={"data": theirs.data}) for ours, theirs in zip(stages, held, strict=False))
            + stages[len(held) :]
        )
    if iterations:
        stages = scaled_by(stages, iterations / sum(stage.iterations for stage in stages))
    else:
        stages = (
            tuple(ours.scaled_to(theirs.iterations) for ours, theirs in zip(stages, held, strict=False))
            + stages[len(held) :]
        )
    require_same(stages, held, out)
    return held


def _fabric(device: str, devices: int, nodes: int, precision: Precision) -> Any:
    from runner.cli.quality import require_device
    from runner.devices import fabric_of

    require_device(device)
    return fabric_of(device, devices=devices, nodes=nodes, precision=precision.value)


def _scaled(
    stages: tuple[Recipe, ...],
    images: Callable[[Recipe], TrainingImages],
    fabric: Any,
    pace: Pace,
    iterations: int | None,
    budget_s: float | None,
) -> tuple[Recipe, ...]:
    """The stages in a number of iterations, or in as many as fit into a time here, at equal parts of each."""
    import tempfile

    from runner.recipes import scaled_by
    from runner.training_run import seconds_per_step

    if iterations:
        return scaled_by(stages, iterations / sum(stage.iterations for stage in stages))
    if budget_s is None:
        return stages
    whole = 0.0
    for stage in stages:
        with tempfile.TemporaryDirectory() as folder:
            step_s = seconds_per_step(stage, images(stage), Path(folder), fabric=fabric, pace=pace)
        whole += stage.iterations * step_s
    # One process decides for all: their clocks differ.
    return scaled_by(stages, float(fabric.broadcast(budget_s / whole)))


def _row(finished: Finished, folder: Path) -> dict[str, Any]:
    recipe, state = finished.recipe, finished.state
    last: dict[str, float] = state.curve[-1] if state.curve else {}
    return {
        "model": recipe.model,
        "scale": recipe.scale,
        "recipe": recipe.name,
        "stage": recipe.stage,
        "iterations": state.iteration,
        "seconds": state.seconds,
        "loss": last.get("loss"),
        "psnr_y_db": last.get("psnr_y_db"),
        "images": len(finished.images.places),
        "seed": recipe.seed,
        "folder": str(folder),
        "weights": None,
    }
