"""Records at hand, indexed, and the choice among several runs of the same thing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from reports.trained_here import row_of
from zoo.contract import ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok
from zoo.protocols import EvalProtocol, Size

COMPLEXITY: Final = "complexity"
QUALITY: Final = "quality"
LATENCY: Final = "latency"

_ORIGINS: Final = ("official", "third-party", "bundled", "file", "random")
_OUTCOMES: Final = (Ok, Failed, NotApplicable)

_SAME_AREA: Final = 0.01
"""How far apart the areas of two LR sizes of one HR size may be: 426, 427 and 426.67 columns at x3 are one image."""


@dataclass(frozen=True, kw_only=True)
class PaperRule:
    """A network counted by the rule of its own paper, as a complexity record holds it."""

    multi_adds: int
    params: int
    rule: str
    "The multi-add rule in words."
    params_rule: str
    "The parameter rule in words."
    lr: Size
    "The paper's LR size, whatever size the record was taken at."
    digits: int
    "Decimals of G that the paper itself prints."
    note: str
    run: Measured


class Evidence:
    """Records by model, scale and task, best first: current before stale, finished before failed, newest first."""

    def __init__(self, records: Iterable[Measured], *, bases: Mapping[str, str] | None = None) -> None:
        """`bases` are the rows of bundled weights: their quality runs are kept apart, cost and speed are shared."""
        groups: dict[tuple[str, int, str], list[Measured]] = defaultdict(list)
        for record in records:
            apart = record.key.task == QUALITY and row_of(record) in (bases or {})
            groups[row_of(record) if apart else record.key.model, record.key.scale, record.key.task].append(record)
        for row, base in (bases or {}).items():
            shared = [place for place in groups if place[0] == base and place[2] != QUALITY]
            groups |= {(row, scale, task): groups[base, scale, task] for base, scale, task in shared}
        self._groups: Mapping[tuple[str, int, str], tuple[Measured, ...]] = {
            place: tuple(_best_first(found)) for place, found in groups.items()
        }

    def runs(self, model: str, scale: int, task: str) -> tuple[Measured, ...]:
        """All runs of one task, best first; empty where there is none."""
        return self._groups.get((model, scale, task), ())

    def select(self, model: str, scale: int, task: str, *, where: Callable[[Measured], bool]) -> tuple[Measured, ...]:
        """The runs of one task that fit, best first."""
        return tuple(record for record in self.runs(model, scale, task) if where(record))

    def paper_rule(self, model: str, scale: int, *, lr: Size) -> PaperRule | None:
        """The count by the network's own paper, where a current record has one for images of this LR size."""
        found = (_paper_rule(run) for run in self.runs(model, scale, COMPLEXITY) if not run.stale)
        return next((rule for rule in found if rule is not None and _same_area(rule.lr, lr)), None)

    def all(self, scale: int, task: str) -> tuple[Measured, ...]:
        """All runs of a task at a scale, of every model."""
        return tuple(r for (_, s, t), found in self._groups.items() if (s, t) == (scale, task) for r in found)


def _best_first(records: Iterable[Measured]) -> list[Measured]:
    newest_first = sorted(records, key=lambda r: r.provenance.created_utc, reverse=True)
    return sorted(newest_first, key=_rank)


def _rank(record: Measured) -> tuple[bool, int, int]:
    origin = record.provenance.weights_origin
    return (
        record.stale,
        _OUTCOMES.index(type(record.outcome)),
        _ORIGINS.index(origin) if origin in _ORIGINS else len(_ORIGINS),
    )


def _paper_rule(run: Measured) -> PaperRule | None:
    found = run.values.get("as_printed") if isinstance(run.outcome, Ok) else None
    if not isinstance(found, Mapping):
        return None
    return PaperRule(
        multi_adds=found["multi_adds"],
        params=found["params"],
        rule=found["rule"],
        params_rule=found["params_rule"],
        lr=Size.parse(found["lr"]),
        digits=found["digits"],
        note=found["note"],
        run=run,
    )


def _same_area(one: Size, other: Size) -> bool:
    return abs(prod(one) / prod(other) - 1) <= _SAME_AREA


def counted_at(record: Measured, lr: Size) -> bool:
    """Whether a complexity record was taken at this LR size (by any counters)."""
    return record.key.protocol.startswith(f"lr{lr}-")


def quality_protocol(spec: ModelSpec | None, scale: int) -> str:
    """Id of the protocol by which tables compare: the suite's default with the model's own inference rule."""
    return (EvalProtocol(inference=spec.inference) if spec else EvalProtocol()).id(scale)
