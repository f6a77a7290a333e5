"""How a network is trained, as data: one TOML file per recipe, checked field by field.

A recipe has one stage, or several under `[[stage]]` that run in order, each from the weights of the one before; fields
above the first `[[stage]]` hold for all of them.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoo.contract import BadInput

_FOLDER: Final = Path(__file__).parent
STAGES: Final = "stage"
"""Key of the list of stages in a recipe file."""


class Recipe(BaseModel):
    """One stage of a training: everything that decides the weights besides the pixels and the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    stage: str | None = None
    "Name of the stage, None where there is one only."
    model: str
    "Zoo name."
    scale: int = Field(ge=1)
    data: tuple[str, ...] = ()
    "Training sets, by name or folder; `LSDIR:10000` is the first 10,000 images of LSDIR."
    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)
    "Patches per step, over all devices together."
    lr_patch_px: int = Field(ge=8)
    "Side of an LR patch; the HR patch is this times the scale."
    loss: Literal["l1", "l2"] = "l1"
    sparsity: float = Field(default=0.0, ge=0)
    "Weight of the share of values that a network with masks (SMSR) computes, added to the loss."
    sparsity_rise: int = Field(default=0, ge=0)
    "Iterations in which that weight rises linearly from 0."
    rate: float = Field(gt=0)
    "Learning rate of Adam before the first halving."
    halve_at: tuple[int, ...] = ()
    "Iterations after which the rate is halved, ascending."
    warm_up: int = Field(default=0, ge=0)
    "Iterations in which the rate rises linearly from 0."
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = Field(default=0.999, ge=0, lt=1)
    "Decay of the moving average of the weights; the average is what is evaluated and exported."
    start: str | None = None
    "Weights of the first step: official, bundled or a file; None for the network's own initialisation."
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _ascending(self) -> Recipe:
        if list(self.halve_at) != sorted(set(self.halve_at)):
            raise ValueError(f"halve_at must ascend, got {list(self.halve_at)}")
        return self

    @property
    def label(self) -> str:
        """What a person reads: `agdn_s_x4, fine-tuning`."""
        return f"{self.name}, {self.stage}" if self.stage else self.name

    def rate_at(self, iteration: int) -> float:
        """Learning rate of the step that follows `iteration` finished ones."""
        rate = self.rate * 0.5 ** sum(iteration >= mark for mark in self.halve_at)
        return rate * min(1.0, (iteration + 1) / self.warm_up) if self.warm_up else rate

    def sparsity_at(self, iteration: int) -> float:
        """Weight of the computed share in the step that follows `iteration` finished ones."""
        return self.sparsity * min(1.0, iteration / self.sparsity_rise) if self.sparsity_rise else self.sparsity

    def scaled_to(self, iterations: int) -> Recipe:
        """The same recipe in `iterations` steps, warm-up, rise and halvings at the same parts of the run."""
        if iterations < 1:
            raise BadInput(f"A training of {iterations} iterations is none. Allow at least one.")
        marks = tuple(sorted({max(1, mark * iterations // self.iterations) for mark in self.halve_at}))
        change = {
            "iterations": iterations,
            "halve_at": marks,
            "warm_up": self.warm_up * iterations // self.iterations,
            "sparsity_rise": self.sparsity_rise * iterations // self.iterations,
        }
        return self.model_copy(update=change)

    def difference(self, other: Recipe) -> list[str]:
        """`field: ours, not theirs` of every field in which two recipes differ."""
        ours, theirs = self.model_dump(), other.model_dump()
        return [f"{name}: {ours[name]}, not {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def scaled_by(stages: Iterable[Recipe], factor: float) -> tuple[Recipe, ...]:
    """Every stage in `factor` times its iterations, one at least."""
    return tuple(stage.scaled_to(max(1, round(stage.iterations * factor))) for stage in stages)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the suite."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_stages(name_or_file: str) -> tuple[Recipe, ...]:
    """The stages, in order, of a shipped recipe by name, or of one of the user's by its .toml file.

    Raises BadInput: no such recipe (the nearest names are given), not TOML, or a field that is unknown or wrong.
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        if name_or_file not in recipe_names():
            near = difflib.get_close_matches(name_or_file, recipe_names(), n=3) or recipe_names()
            raise BadInput(
                f"There is no recipe {name_or_file!r}. Did you mean {', '.join(near)}? A file ends in .toml."
            )
        path = _FOLDER / f"{name_or_file}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"The recipe {path} cannot be read: {error.strerror}. Pass an existing .toml file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"The recipe {path} is not TOML: {error}.") from error
    return _stages({"name": path.stem} | content, where=path.name)


def _stages(content: dict[str, Any], *, where: str) -> tuple[Recipe, ...]:
    listed = content.pop(STAGES, None)
    if listed is None:
        return (parse_recipe(content, where=where),)
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise BadInput(f"{where}: {STAGES} must be tables, each headed [[{STAGES}]].")
    found = []
    for number, own in enumerate(listed, 1):
        named = {"stage": own.pop("name", f"stage {number}")}
        found.append(parse_recipe(content | own | named, where=f"{where}, [[{STAGES}]] {number}"))
    names = [stage.stage for stage in found]
    if len(set(names)) < len(names) or len({(stage.model, stage.scale) for stage in found}) > 1:
        raise BadInput(f"{where}: its stages need names of their own, and one model and scale for all.")
    if again := next((stage for stage in found[1:] if stage.start), None):
        raise BadInput(f"{where}: {again.stage} starts from the stage before it. Set start above the stages.")
    return tuple(found)


def parse_recipe(content: Mapping[str, Any], *, where: str) -> Recipe:
    """A recipe of its fields. Raises BadInput that names the field, and for an unknown one the nearest known."""
    for name in content:
        if name not in Recipe.model_fields:
            near = difflib.get_close_matches(name, Recipe.model_fields, n=1)
            advice = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(Recipe.model_fields)}."
            raise BadInput(f"{where}: a recipe has no field {name!r}. {advice}")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "recipe"
        raise BadInput(f"{where}: {field}: {first['msg']}. Got {content.get(field)!r}.") from error


def to_text(stages: Sequence[Recipe]) -> str:
    """Stages as the JSON that a run keeps of them."""
    return json.dumps([stage.model_dump() for stage in stages], indent=1) + "\n"


def from_text(text: str, *, where: str) -> tuple[Recipe, ...]:
    """The stages of `to_text`. Raises BadInput."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {error}.") from error
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise BadInput(f"{where} lists no stages of a recipe.")
    return tuple(parse_recipe(entry, where=where) for entry in content)
