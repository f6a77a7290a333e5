"""`esr train`: train a network by a recipe, resumable at any checkpoint, on one device or many."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import DataDir, Json
from runner.cli.output import emit, talk
from runner.patches import LrSource, OnBad
from zoo.catalogue import find
from zoo.contract import BadInput

if TYPE_CHECKING:
    from runner.patches import TrainingImages
    from runner.recipes import Recipe
    from runner.training import Validate
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
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


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
    from runner.training import Interrupted
    from runner.training_run import Pace, begin, begun, folder_of, keep_weights, run_stages

    if (recipe is None) == (ladder is None):
        raise BadInput("Name what to train: --recipe NAME, or --ladder table1 (not both).")
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
    open_images = _opener(cache or out / "cache", data_dir, lr, on_bad, cache_gib)
    if ladder is not None:
        from runner.cli.train_ladder import climb

        climb(
            ladder.split(","),
            _seeds(seeds),
            recipe="ladder_x4",
            data=data,
            out=out,
            iterations=iterations,
            budget_s=budget_s,
            validate=validate,
            data_dir=data_dir,
            open_images=open_images,
            pace=pace,
            as_json=as_json,
        )
        return
    assert recipe is not None
    stages = _stages(recipe, data, seed)
    if resume:
        held = begun(out)
        stages = _as_held(stages, held, out, keep_data=data is None, iterations=iterations)
    elif (out / "recipe.json").exists():
        begin(stages, out)  # raises
    require_data(stages)
    check = _validation(validate or ["sample"], stages[0], data_dir)
    fabric = _fabric(device, devices, nodes, precision)
    with Reporter(fabric.is_global_zero, out / "tensorboard" if tensorboard else None) as reporter:
        opened = _first_on_the_first(open_images, fabric, reporter.decoding)
        if not resume:
            stages = _scaled(stages, opened, fabric, pace, iterations, budget_s)
            if fabric.is_global_zero:
                begin(stages, out)
        try:
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
        except Interrupted as stopped:
            talk(f"[yellow]stopped:[/] {escape(str(stopped))}")
            raise typer.Exit(stopped.exit_code) from None
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


def require_fit(recipe: Recipe) -> None:
    """Raise BadInput or UnknownScale where the network cannot take the recipe's patches."""
    spec = find(recipe.model)
    spec.require_scale(recipe.scale)
    if not spec.learned:
        raise BadInput(f"{spec.name} is a fixed function: there is nothing to train. `esr models` lists networks.")
    if recipe.lr_patch_px < spec.min_side_px or recipe.lr_patch_px % spec.size_multiple_px:
        raise BadInput(
            f"{spec.name} needs LR patches of at least {spec.min_side_px} px and a multiple of "
            f"{spec.size_multiple_px}, the recipe {recipe.label} has {recipe.lr_patch_px}. Set lr_patch_px in it."
        )


def require_data(stages: Sequence[Recipe]) -> None:
    """Raise BadInput for a stage that names no images."""
    if without := next((stage for stage in stages if not stage.data), None):
        raise BadInput(f"The recipe {without.label} names no training images. Pass --data NAME_OR_FOLDER.")


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


def seconds_of(text: str) -> float:
    """Seconds of `90s`, `30m` or `2h`. Raises BadInput."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise BadInput(f"{text!r} is no time. Expected a number and s, m or h: 90s, 30m, 2h.")
    return float(match[1]) * _UNITS_S[match[2]]


def _seeds(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text) or len(set(text.split(","))) < len(text.split(",")):
        raise BadInput(f"--seeds {text} is no list of seeds. Expected different numbers with commas: 0,1,2.")
    return tuple(map(int, text.split(",")))


OnImage = Callable[[int, int], None]
Opener = Callable[["Recipe", OnImage], "TrainingImages"]


def _opener(cache: Path, folders: list[Path] | None, lr: LrSource, on_bad: OnBad, cache_gib: float | None) -> Opener:
    """Opens the images of a stage; what was left out is told once."""
    from runner.patch_cache import open_training_images
    from runner.training_sets import training_folders

    told: set[str] = set()

    def opened(recipe: Recipe, on_image: OnImage) -> TrainingImages:
        images = open_training_images(
            training_folders(recipe.data, recipe.scale, folders=folders or ()),
            scale=recipe.scale,
            lr_patch_px=recipe.lr_patch_px,
            cache=cache,
            lr=lr,
            on_bad=on_bad,
            limit_bytes=None if cache_gib is None else int(cache_gib * 2**30),
            on_image=on_image,
        )
        for line in images.skipped:
            if line not in told:
                talk(f"[yellow]left out:[/] {escape(line)}")
        told.update(images.skipped)
        return images

    return opened


def _first_on_the_first(opener: Opener, fabric: Any, on_image: OnImage) -> Callable[[Recipe], TrainingImages]:
    """The first process of a machine decodes, the others then find the cache made; each set is opened once."""
    opened: dict[tuple[object, ...], TrainingImages] = {}

    def images(recipe: Recipe) -> TrainingImages:
        key = (recipe.data, recipe.lr_patch_px)
        if key not in opened:
            with fabric.rank_zero_first(local=True):
                opened[key] = opener(recipe, on_image)
        return opened[key]

    return images


def _validation(names: list[str], recipe: Recipe, folders: list[Path] | None) -> Validate:
    from runner.datasets import open_dataset
    from runner.tasks.quality import evaluate
    from zoo.protocols import EvalProtocol

    if len(names) > 1:
        raise BadInput("The curve shows one data set. Pass --validate once; measure others with `esr quality`.")
    dataset = open_dataset(names[0], recipe.scale, folders=folders or ())
    protocol = EvalProtocol(inference=find(recipe.model).inference)

    def scores(network: Any) -> dict[str, float]:
        found = evaluate(network, dataset, protocol=protocol, device=str(next(network.parameters()).device))
        return {"psnr_y_db": found["psnr_y_db"], "ssim_y": found["ssim_y"]}

    return scores


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


def per_second(recipe: Recipe, entry: dict[str, float]) -> float:
    """Patches per second over a whole run."""
    seconds = entry["seconds"]
    return recipe.batch * entry["iteration"] / seconds if seconds else math.inf
