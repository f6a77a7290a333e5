"""Facts become tables: every cell knows its number, how it is shown, and the runs or the citation behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from reports.claims import Paper, printed
from reports.columns import Column, Rule, result_columns
from reports.compare import Verdict
from reports.evidence import Evidence
from reports.remedy import Remedy, remedy
from zoo.contract import ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok, Reported
from zoo.protocols import HR_720P, lr_size
from zoo.quantities import LATENCY, MULTI_ADDS

OFFICIAL: Final = "official"


class CellKind(Enum):
    """What stands in a cell."""

    MEASURED = "measured"
    REPORTED = "reported"
    MISSING = "missing"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number or its absence."""

    kind: CellKind
    text: str
    "What the table prints."
    value: float | None = None
    "In the metric's stored unit, for sorting and export."
    detail: str = ""
    "Small print beside the number: an interval, the origin of unusual weights."
    runs: tuple[Measured, ...] = ()
    "The runs behind a measured or failed cell."
    citation: str = ""
    "Where a reported number stands."
    verdict: Verdict | None = None
    "Of a reported number."
    remedy: Remedy | None = None
    "What would fill a missing cell."
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place of the results table: ours, and what a paper prints for it."""

    measured: Cell
    printed: Cell | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the results table."""

    model: str
    display_name: str
    venue: str
    note: str
    ablation: bool
    runnable: bool
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The results at one scale."""

    scale: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


Judged = Mapping[tuple[str, Reported], Verdict]
"""Verdicts by (paper, claim)."""


def results_table(
    *, specs: Sequence[ModelSpec], evidence: Evidence, papers: Iterable[Paper], verdicts: Judged, scale: int
) -> Table:
    """Every model that has this scale, in the order given: cost, speed and quality, with printed numbers beside."""
    papers = tuple(papers)
    columns = result_columns(evidence, papers, scale)
    claims = _claims_by_place(papers, scale)
    rows = []
    for spec in specs:
        if scale not in spec.scales and not any(place[0] == spec.name for place in claims):
            continue
        slots = tuple(
            Slot(
                measured=measured_cell(spec, column, evidence, scale),
                printed=printed_cell(*found, verdicts)
                if column.rule.compares and (found := claims.get((spec.name, column.metric.name, column.dataset)))
                else None,
            )
            for column in columns
        )
        rows.append(_row(spec, slots))
    return Table(scale=scale, columns=columns, rows=tuple(rows))


def _row(spec: ModelSpec, slots: tuple[Slot, ...]) -> Row:
    return Row(
        model=spec.name,
        display_name=spec.display_name,
        venue=spec.paper.venue if spec.paper else "",
        note=spec.note,
        ablation=spec.ablation_of is not None,
        runnable=spec.runnable,
        slots=slots,
    )


_Claims = Mapping[tuple[str, str, str | None], tuple[Paper, Reported]]


def _claims_by_place(papers: Iterable[Paper], scale: int) -> _Claims:
    """The claim that stands beside a cell: of several equal ones, that of the largest table."""
    found: dict[tuple[str, str, str | None], tuple[Paper, Reported]] = {}
    for paper in papers:
        sizes = {key: sum(c.table == key for c in paper.claims) for key in paper.tables}
        for claim in sorted(paper.claims, key=lambda c: -sizes[c.table]):
            at_720p = paper.tables[claim.table].counted_lr(claim.scale) == lr_size(HR_720P, claim.scale)
            if claim.scale == scale and (at_720p or claim.metric != MULTI_ADDS.name):
                found.setdefault((claim.model, claim.metric, claim.dataset), (paper, claim))
    return found


def printed_cell(paper: Paper, claim: Reported, verdicts: Judged) -> Cell:
    """A paper's number with its citation and verdict."""
    return Cell(
        kind=CellKind.REPORTED,
        text=printed(claim),
        value=None if claim.value is None else float(claim.value),
        citation=paper.cite(claim),
        verdict=verdicts.get((paper.key, claim)),
    )


def measured_cell(spec: ModelSpec, column: Column, evidence: Evidence, scale: int) -> Cell:
    """Our number of a model for a column, or why there is none."""
    rule = column.rule
    runs = evidence.select(spec.name, scale, rule.task, where=lambda record: rule.accepts(record, spec))
    if not runs:
        needs = remedy(spec, scale=scale, metric=column.metric.name, dataset=column.dataset, lr=rule.lr)
        return Cell(kind=CellKind.MISSING, text="not measured", remedy=needs)
    run = runs[0]
    if isinstance(run.outcome, Failed):
        return Cell(kind=CellKind.FAILED, text="failed", runs=(run,), stale=run.stale)
    if isinstance(run.outcome, NotApplicable):
        return Cell(kind=CellKind.NOT_APPLICABLE, text="not applicable", runs=(run,), stale=run.stale)
    return _number_cell(column, run, rule)


def _number_cell(column: Column, run: Measured, rule: Rule) -> Cell:
    value = run.values.get(column.metric.name)
    if not isinstance(value, (int, float)):
        return Cell(kind=CellKind.MISSING, text="not recorded", runs=(run,), stale=run.stale)
    details = [_interval(column, run.values)] if column.metric is LATENCY else []
    if run.values.get("noise"):
        details.append("noisy")
    origin = run.provenance.weights_origin
    if rule.needs_weights and origin not in (None, OFFICIAL):
        details.append(f"{origin} weights")
    return Cell(
        kind=CellKind.MEASURED,
        text=column.metric.show(value),
        value=float(value),
        detail=", ".join(filter(None, details)),
        runs=(run,),
        stale=run.stale,
    )


def _interval(column: Column, values: Mapping[str, Any]) -> str:
    low, high = values.get("p10_ms"), values.get("p90_ms")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f"{column.metric.show(low)}–{column.metric.show(high)}"


def finished(record: Measured) -> bool:
    """Whether a record holds numbers that count as current."""
    return isinstance(record.outcome, Ok) and not record.stale
