"""What `esr train` checks before anything runs, and how it opens what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from runner.cli.output import talk
from runner.patches import LrSource, OnBad
from zoo.catalogue import find
from zoo.contract import BadInput, EsrError

if TYPE_CHECKING:
    from runner.patches import TrainingImages
    from runner.recipes import Recipe
    from runner.training import Validate

_UNITS_S = {"s": 1, "m": 60, "h": 3600}
OnImage = Callable[[int, int], None]
Opener = Callable[["Recipe", OnImage], "TrainingImages"]


@contextmanager
def exit_when_interrupted(next_step: str) -> Iterator[None]:
    """Turn a training that a signal ended into the shell's exit code for it (130, 143)."""
    from runner.training import Interrupted

    try:
        yield
    except Interrupted as stopped:
        talk(f"[yellow]stopped:[/] {escape(str(stopped))} {next_step}")
        raise typer.Exit(stopped.exit_code) from None


def require_fit(recipe: Recipe) -> None:
    """Raise BadInput where the network cannot take the recipe's patches."""
    try:
        spec = find(recipe.model)
    except EsrError as error:
        raise BadInput(f"The recipe {recipe.label}: {error}") from error
    if recipe.scale not in spec.scales:
        raise BadInput(
            f"The recipe {recipe.label}: {spec.name} has no x{recipe.scale} build. "
            f"Set scale to one of {', '.join(map(str, spec.scales))}."
        )
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


def seconds_of(text: str) -> float:
    """Seconds of `90s`, `30m` or `2h`. Raises BadInput."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if match is None or not float(match[1]):
        raise BadInput(f"{text!r} is no time. Expected a number and s, m or h: 90s, 30m, 2h.")
    return float(match[1]) * _UNITS_S[match[2]]


def seeds_of(text: str) -> tuple[int, ...]:
    """Different seeds of `0,1,2`. Raises BadInput."""
    if not re.fullmatch(r"\d+(,\d+)*", text) or len(set(text.split(","))) < len(text.split(",")):
        raise BadInput(f"--seeds {text} is no list of seeds. Expected different numbers with commas: 0,1,2.")
    return tuple(map(int, text.split(",")))


def opener(cache: Path, folders: list[Path] | None, lr: LrSource, on_bad: OnBad, cache_gib: float | None) -> Opener:
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


def first_on_the_first(opener: Opener, fabric: Any, on_image: OnImage) -> Callable[[Recipe], TrainingImages]:
    """The first process of a machine decodes, the others then find the cache made; each set is opened once."""
    opened: dict[tuple[object, ...], TrainingImages] = {}

    def images(recipe: Recipe) -> TrainingImages:
        key = (recipe.data, recipe.lr_patch_px)
        if key not in opened:
            with fabric.rank_zero_first(local=True):
                opened[key] = opener(recipe, on_image)
        return opened[key]

    return images


def validation(names: list[str], recipe: Recipe, folders: list[Path] | None) -> Validate:
    """Scores of a network on the data set of the curve. Raises BadInput."""
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
