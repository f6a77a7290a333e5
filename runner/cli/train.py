"""`esr train`: train a network by a recipe, resumable at any checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.options import DataDir, Json
from runner.cli.output import emit, progress, talk
from runner.patches import OnBad
from zoo.catalogue import find
from zoo.contract import BadInput, EsrError

if TYPE_CHECKING:
    from runner.patches import TrainingImages
    from runner.recipes import Recipe
    from runner.training import State, Validate

COLUMNS = {
    "model": "model",
    "scale": "scale",
    "recipe": "recipe",
    "iterations": "iterations",
    "seconds": "s in steps",
    "loss": "loss",
    "psnr_y_db": "PSNR-Y dB",
    "weights": "weights",
}
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_PROBE_STEPS = 10


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("train", epilog="Example: esr train --recipe agdn_s_x4_short --data BSDS400 --budget 30m")(train)


def train(
    recipe: Annotated[str, typer.Option("--recipe", help="A recipe of the suite, or a .toml file.")],
    data: Annotated[list[Path], typer.Option("--data", help="Folder of training images; repeatable.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of checkpoint, curve and weights.")] = Path("training"),
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="Scale the recipe to these.")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="Scale it to this time: 90s, 30m, 2h.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    on_bad: Annotated[OnBad, typer.Option("--on-bad", help="What an image that cannot be used does.")] = OnBad.STOP,
    validate: Annotated[str, typer.Option("--validate", help="Data set whose PSNR the curve shows.")] = "sample",
    validate_every: Annotated[int, typer.Option("--validate-every", min=1, help="Iterations.")] = 1000,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a network from its own initialisation; the weights written are the moving average's."""
    from runner.training import CHECKPOINT, checkpoint_recipe, export, start
    from runner.training import resume as resumed
    from runner.training import train as run

    if resume and budget is not None:
        raise BadInput("A run that goes on keeps its length. Leave --budget out, or start anew without --resume.")
    if iterations is not None and budget is not None:
        raise BadInput("Pass --iterations or --budget, not both.")
    if not resume and (out / CHECKPOINT).exists():
        raise BadInput(f"{out} holds a checkpoint already. Go on with --resume, or choose another folder with --out.")
    seconds = _seconds(budget) if budget else None
    chosen = _recipe(recipe)
    images = _images(data, chosen, out, on_bad)
    for line in images.skipped:
        talk(f"[yellow]left out:[/] {escape(line)}")
    check = _validation(validate, chosen, data_dir)
    if resume:
        held = checkpoint_recipe(out)
        chosen = chosen.scaled_to(iterations or held.iterations)
        state = resumed(chosen, out)
    else:
        if iterations or seconds:
            chosen = chosen.scaled_to(iterations or _affordable(chosen, images, seconds or 0.0))
        state = start(chosen)
    with progress() as bar:
        task = bar.add_task(f"{chosen.name}", total=chosen.iterations, completed=state.iteration)

        def show(entry: dict[str, float]) -> None:
            rate = chosen.batch * entry["iteration"] / max(entry["seconds"], 1e-9)
            psnr = f", {entry['psnr_y_db']:.2f} dB" if "psnr_y_db" in entry else ""
            words = f"{chosen.name}: loss {entry['loss']:.4f}{psnr}, {rate:.0f} patches/s"
            bar.update(task, completed=entry["iteration"], description=words)

        run(state, chosen, images, folder=out, validate=check, validate_every=validate_every, on_report=show)
    weights = export(state, out / f"{chosen.model}_x{chosen.scale}.safetensors")
    emit([_row(chosen, state, weights)], as_json=as_json, columns=COLUMNS)


def _recipe(name_or_file: str) -> Recipe:
    from runner.recipes import load_recipe

    recipe = load_recipe(name_or_file)
    try:
        spec = find(recipe.model)
    except EsrError as error:
        raise BadInput(f"The recipe {name_or_file}: {error}") from error
    if recipe.scale not in spec.scales:
        raise BadInput(
            f"The recipe {name_or_file}: {spec.name} has no x{recipe.scale} build. Set scale to one of "
            f"{', '.join(map(str, spec.scales))}."
        )
    if recipe.lr_patch_px < spec.min_side_px or recipe.lr_patch_px % spec.size_multiple_px:
        raise BadInput(
            f"{spec.name} needs LR patches of at least {spec.min_side_px} px and a multiple of "
            f"{spec.size_multiple_px}, the recipe {recipe.name} has {recipe.lr_patch_px}. Set lr_patch_px in it."
        )
    return recipe


def _seconds(budget: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget.strip())
    if match is None or not float(match[1]):
        raise BadInput(f"{budget!r} is no time. Expected a number and s, m or h: 90s, 30m, 2h.")
    return float(match[1]) * _UNITS_S[match[2]]


def _images(roots: list[Path], recipe: Recipe, out: Path, on_bad: OnBad) -> TrainingImages:
    from runner.patches import open_training_images

    with progress() as bar:
        task = bar.add_task("decoding")
        return open_training_images(
            roots,
            scale=recipe.scale,
            lr_patch_px=recipe.lr_patch_px,
            cache=out / "cache",
            on_bad=on_bad,
            on_image=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _validation(name: str, recipe: Recipe, folders: list[Path] | None) -> Validate:
    from runner.datasets import open_dataset
    from runner.tasks.quality import evaluate
    from zoo.protocols import EvalProtocol

    dataset = open_dataset(name, recipe.scale, folders=folders or ())
    protocol = EvalProtocol(inference=find(recipe.model).inference)
    return lambda network: {"psnr_y_db": evaluate(network, dataset, protocol=protocol)["psnr_y_db"]}


def _affordable(recipe: Recipe, images: TrainingImages, seconds: float) -> int:
    """Iterations that fit into the time here, by the pace of a few steps that are thrown away."""
    import tempfile

    from runner.training import start
    from runner.training import train as run

    with tempfile.TemporaryDirectory() as folder:
        probe = run(start(recipe), recipe, images, folder=Path(folder), until=_PROBE_STEPS)
    return max(1, int((seconds - probe.seconds) * probe.iteration / probe.seconds))


def _row(recipe: Recipe, state: State, weights: Path) -> dict[str, Any]:
    last = state.curve[-1] if state.curve else {}
    return {
        "model": recipe.model,
        "scale": recipe.scale,
        "recipe": recipe.name,
        "iterations": state.iteration,
        "seconds": state.seconds,
        "loss": last.get("loss"),
        "psnr_y_db": last.get("psnr_y_db"),
        "weights": str(weights),
    }
