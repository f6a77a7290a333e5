"""The vocabulary of the suite: models, quantities, protocols and facts. Imports none of the other rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.catalogue import find, list_models
from zoo.contract import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

__all__ = ["ModelSpec", "create_model", "find", "list_models", "optimize"]


def create_model(name: str, scale: int = 4, weights: str | Path | None = "official", **options: Any) -> nn.Module:
    """Eval-mode network of the zoo; see `zoo.create.create_model`. Torch is imported on the first call only."""
    from zoo.create import create_model as create

    return create(name, scale, weights, **options)


def optimize(model: nn.Module) -> nn.Module:
    """The fast form of a network, of equal output; see `zoo.optimize.optimize`."""
    from zoo.fast_form import optimize as fast_form

    return fast_form(model)
