"""Networks with weights that this suite trained and ships: rows of their own, apart from those of the authors' weights.

Such a row has the network's cost and speed, which are the same, and the quality of the bundled weights only. No claim
of a paper is about it, so no verdict ever rests on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from zoo.contract import ModelSpec, Origin
from zoo.facts import Measured

SUFFIX: Final = "@bundled"
"""What the name of such a row ends in: `agdn_s@bundled`."""
VENUE: Final = "trained here"


def rows_of_bundled(specs: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    """A stand-in for every network with bundled weights; its note says how they were trained."""
    return tuple(_row(spec) for spec in specs if spec.bundled)


def _row(spec: ModelSpec) -> ModelSpec:
    about = next(iter(spec.bundled.values())).note
    return replace(
        spec,
        name=f"{spec.name}{SUFFIX}",
        display_name=f"{spec.display_name} ({VENUE})",
        weights={},
        paper=replace(spec.paper, venue=VENUE) if spec.paper else None,
        note=f"The network of {spec.display_name} with weights of this suite ({about}), not its authors'.",
    )


def base_of(name: str) -> str | None:
    """Zoo name of the network behind such a row; None for any other."""
    return name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else None


def row_of(record: Measured) -> str:
    """Name of the row that a record belongs to."""
    bundled = record.provenance.weights_origin == Origin.BUNDLED.value
    return f"{record.key.model}{SUFFIX}" if bundled else record.key.model


def bases(specs: Iterable[ModelSpec]) -> dict[str, str]:
    """Row of bundled weights -> zoo name of its network."""
    return {spec.name: base for spec in specs if (base := base_of(spec.name))}
