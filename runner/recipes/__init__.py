"""How a network is trained, as data: one TOML file per recipe, checked field by field."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoo.contract import BadInput

_FOLDER: Final = Path(__file__).parent


class Recipe(BaseModel):
    """One stage of a training: everything that decides the weights besides the images and the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: str
    "Zoo name."
    scale: int = Field(ge=1)
    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)
    "Patches per step, over all devices together."
    lr_patch_px: int = Field(ge=8)
    "Side of an LR patch; the HR patch is this times the scale."
    loss: Literal["l1", "l2"] = "l1"
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
    "Recipe whose weights this stage starts from; None for the network's own initialisation."
    seed: int = 0

    @model_validator(mode="after")
    def _ascending(self) -> Recipe:
        if list(self.halve_at) != sorted(set(self.halve_at)):
            raise ValueError(f"halve_at must ascend, got {list(self.halve_at)}")
        return self

    def rate_at(self, iteration: int) -> float:
        """Learning rate of the step that follows `iteration` finished ones."""
        rate = self.rate * 0.5 ** sum(iteration >= mark for mark in self.halve_at)
        return rate * min(1.0, (iteration + 1) / self.warm_up) if self.warm_up else rate

    def scaled_to(self, iterations: int) -> Recipe:
        """The same recipe in `iterations` steps, warm-up and halvings at the same parts of the run."""
        if iterations < 1:
            raise BadInput(f"A training of {iterations} iterations is none. Allow at least one.")
        marks = tuple(sorted({max(1, mark * iterations // self.iterations) for mark in self.halve_at}))
        warm_up = self.warm_up * iterations // self.iterations
        return self.model_copy(update={"iterations": iterations, "halve_at": marks, "warm_up": warm_up})

    def difference(self, other: Recipe) -> list[str]:
        """`field: ours, not theirs` of every field in which two recipes differ."""
        ours, theirs = self.model_dump(), other.model_dump()
        return [f"{name}: {ours[name]}, not {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the suite."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_recipe(name_or_file: str) -> Recipe:
    """A shipped recipe by name, or one of the user's by its .toml file.

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
    return parse_recipe({"name": path.stem} | content, where=str(path.name))


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
