"""A paper's multi-adds three ways: as printed, by the rule of each network's own paper, and by one rule for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reports.claims import Paper, PaperTable
from reports.columns import multi_adds_column
from reports.evidence import Evidence, PaperRule
from reports.tables import Cell, CellKind, Judged, measured_cell, printed_cell
from zoo.contract import ModelSpec
from zoo.facts import Reported
from zoo.protocols import HR_720P, Size, lr_size
from zoo.quantities import MULTI_ADDS

NOT_MEASURED: Final = Cell(kind=CellKind.MISSING, text="not measured")


@dataclass(frozen=True, kw_only=True)
class ThreeWays:
    """The multi-adds of one network in a paper's table."""

    model: str
    display_name: str
    printed: Cell
    by_paper: Cell
    "Measured by the rule of the network's own paper; its detail names rule and LR size."
    rule: PaperRule | None
    "The rule of the network's own paper, where a record holds it."
    exact: Cell
    "Measured by the suite's one rule at a 720p HR."
    exact_over_printed: float | None
    caution: str
    "How far the printed number is off, where it is far."


@dataclass(frozen=True, kw_only=True)
class ThreeWaysTable:
    """The largest table of a paper at one scale."""

    paper: Paper
    table: PaperTable
    scale: int
    rows: tuple[ThreeWays, ...]

    @property
    def lr(self) -> Size:
        """LR size of the exact counts."""
        return lr_size(HR_720P, self.scale)


def three_ways_tables(
    *,
    specs: Sequence[ModelSpec],
    evidence: Evidence,
    papers: Iterable[Paper],
    verdicts: Judged,
    scales: Sequence[int],
) -> tuple[ThreeWaysTable, ...]:
    """One table per paper and scale; a paper without multi-adds at a 720p HR has none."""
    by_name = {spec.name: spec for spec in specs}
    found = []
    for paper in papers:
        for scale in scales:
            table, claims = _largest(paper, scale)
            rows = tuple(_row(paper, claim, by_name.get(claim.model), evidence, verdicts) for claim in claims)
            if table is not None and rows:
                found.append(ThreeWaysTable(paper=paper, table=table, scale=scale, rows=rows))
    return tuple(found)


def _largest(paper: Paper, scale: int) -> tuple[PaperTable | None, list[Reported]]:
    """The table with most multi-adds at a 720p HR over all scales, and those at this one."""
    at_720p = {table.key for table in paper.tables.values() if table.hr == HR_720P}
    claims = [c for c in paper.claims if c.metric == MULTI_ADDS.name and c.value is not None and c.table in at_720p]
    sizes = {key: sum(c.table == key for c in claims) for key in paper.tables}
    if not claims:
        return None, []
    key = max(sizes, key=sizes.__getitem__)
    return paper.tables[key], [c for c in claims if (c.table, c.scale) == (key, scale)]


def _row(paper: Paper, claim: Reported, spec: ModelSpec | None, evidence: Evidence, verdicts: Judged) -> ThreeWays:
    verdict = verdicts[paper.key, claim]
    rule = evidence.paper_rule(claim.model, claim.scale, lr=lr_size(HR_720P, claim.scale))
    exact = NOT_MEASURED if spec is None else measured_cell(spec, multi_adds_column(claim.scale), evidence, claim.scale)
    if exact.kind is CellKind.NOT_APPLICABLE:
        exact = NOT_MEASURED
    no_rule = Cell(kind=CellKind.MISSING, text="no rule known", runs=exact.runs)
    return ThreeWays(
        model=claim.model,
        display_name=spec.display_name if spec else claim.row,
        printed=printed_cell(paper, claim, verdicts),
        by_paper=_by_paper(rule) if rule else no_rule if exact.kind is CellKind.MEASURED else NOT_MEASURED,
        rule=rule,
        exact=exact,
        exact_over_printed=verdict.exact_over_printed,
        caution=verdict.caution,
    )


def _by_paper(rule: PaperRule) -> Cell:
    return Cell(
        kind=CellKind.MEASURED,
        text=MULTI_ADDS.show(rule.multi_adds),
        value=float(rule.multi_adds),
        detail=f"{rule.rule}; LR {rule.lr}" + ("" if rule.digits else "; printed in whole G"),
        runs=(rule.run,),
    )
