"""The tables of a paper, row by row as it prints them, each number beside ours.

Best and second are marked by one rule, apart for measured and for printed numbers: within a table and a scale, the best
value of a column by the metric's direction, and the next one, compared as shown, so that equal digits share a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from reports.claims import UNITS, Layout, Paper, PaperTable
from reports.columns import Column, Rule, result_columns
from reports.compare import Verdict
from reports.evidence import COMPLEXITY, QUALITY, Evidence
from reports.remedy import remedy
from reports.tables import Cell, CellKind, Judged, measured_cell, printed_cell
from zoo.contract import ModelSpec
from zoo.facts import Mark, Reported
from zoo.protocols import HR_720P, EvalProtocol, lr_size
from zoo.quantities import METRICS, PARAMS, PSNR_Y, SSIM_Y, Direction, Metric

HOUSE: Final = "agdn"
"""The paper whose tables are this suite's own: the files of its tables bear no paper's name."""
RANKED_FROM: Final = 2
"""Rows with a number from which the best is marked; a second needs one more."""

Place = tuple[str, str | None]


@dataclass(frozen=True, kw_only=True)
class PaperColumn:
    """One column: a metric, on a data set where it is a quality."""

    metric: Metric
    dataset: str | None
    group: str
    "What stands above: the data set in the paper's word, empty for the others."
    label: str
    unit: str
    divisor: Decimal
    "What the table divides a stored value by."
    decimals: int
    shift: int
    "Decimals that the table's unit has more than ours: 3 where it prints M and we K."

    @property
    def key(self) -> str:
        """Name in exports: `params`, `Set5 psnr_y_db`."""
        return f"{self.dataset} {self.metric.name}" if self.dataset else self.metric.name

    @property
    def head(self) -> str:
        """Group, label and unit in one line."""
        return " ".join(filter(None, (self.group, self.label, f"[{self.unit}]" if self.unit else "")))

    def show(self, value: Decimal, decimals: int | None = None) -> Decimal:
        """A stored value in the column's unit, rounded half up."""
        places = Decimal(1).scaleb(-(self.decimals if decimals is None else decimals))
        return (value / self.divisor).quantize(places, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One place of a paper's table."""

    claim: Reported | None
    "None where the paper's table has no such cell."
    printed: Cell | None
    measured: Cell
    "Its text is in the table's unit and decimals."
    measured_mark: Mark = Mark.NONE
    printed_mark: Mark = Mark.NONE
    difference: Decimal | None = None
    "Measured minus printed, both as shown, in the column's unit."

    @property
    def verdict(self) -> Verdict | None:
        """Of the printed number, where there is one."""
        return self.printed.verdict if self.printed else None


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One row as the paper names it."""

    label: str
    model: str
    scale: int
    venue: str
    checks: tuple[bool, ...]
    "In the order of the layout's columns of check marks."
    runnable: bool
    cells: tuple[PaperCell, ...]


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """One table of a paper, printed and measured."""

    paper: Paper
    table: PaperTable
    columns: tuple[PaperColumn, ...]
    rows: tuple[PaperRow, ...]

    @property
    def layout(self) -> Layout:
        """How the paper lays it out."""
        return self.table.layout

    @property
    def stem(self) -> str:
        """File name of its exports without suffix: `table5`, for another paper's `imdn-table5`."""
        return self.table.key if self.paper.key == HOUSE else f"{self.paper.key}-{self.table.key}"

    @property
    def scales(self) -> tuple[int, ...]:
        """In the paper's order."""
        return tuple(dict.fromkeys(row.scale for row in self.rows))


def paper_views(
    *, specs: Sequence[ModelSpec], evidence: Evidence, papers: Iterable[Paper], verdicts: Judged
) -> tuple[PaperView, ...]:
    """Every table of every paper, in the order of its TOML."""
    papers = tuple(papers)
    by_name = {spec.name: spec for spec in specs}
    scales = {claim.scale for paper in papers for claim in paper.claims}
    columns = {scale: {c.key: c for c in result_columns(evidence, papers, scale)} for scale in scales}
    found = []
    for paper in papers:
        for table in paper.tables.values():
            claims = [claim for claim in paper.claims if claim.table == table.key]
            if claims:
                work = _Work(paper, table, by_name, evidence, verdicts, columns)
                found.append(work.view(claims))
    return tuple(found)


@dataclass(frozen=True)
class _Work:
    """What every cell of one table is made from."""

    paper: Paper
    table: PaperTable
    specs: Mapping[str, ModelSpec]
    evidence: Evidence
    verdicts: Judged
    measured: Mapping[int, Mapping[str, Column]]
    "Columns of the results tables by scale and key."

    def view(self, claims: Sequence[Reported]) -> PaperView:
        columns = tuple(self._column(place, claims) for place in dict.fromkeys((c.metric, c.dataset) for c in claims))
        rows: dict[tuple[str, str, int], dict[Place, Reported]] = {}
        for claim in claims:
            rows.setdefault((claim.row, claim.model, claim.scale), {})[claim.metric, claim.dataset] = claim
        unmarked = [self._row(*row, columns, found) for row, found in rows.items()]
        return PaperView(paper=self.paper, table=self.table, columns=columns, rows=_marked(columns, unmarked))

    def _column(self, place: Place, claims: Sequence[Reported]) -> PaperColumn:
        name, dataset = place
        metric, layout = METRICS[name], self.table.layout
        unit = layout.units.get(name, metric.display_unit)
        shift = UNITS[unit] - UNITS[metric.display_unit] if unit != metric.display_unit else 0
        return PaperColumn(
            metric=metric,
            dataset=dataset,
            group=layout.labels.get(dataset, dataset) if dataset else "",
            label=layout.labels.get(name, metric.label),
            unit=unit,
            divisor=Decimal(metric.display_scale).scaleb(shift),
            decimals=max(c.decimals for c in claims if (c.metric, c.dataset) == place) + shift,
            shift=shift,
        )

    def _row(
        self, label: str, model: str, scale: int, columns: Sequence[PaperColumn], claims: Mapping[Place, Reported]
    ) -> PaperRow:
        spec = self.specs.get(model)
        return PaperRow(
            label=label,
            model=model,
            scale=scale,
            venue=spec.paper.venue if spec and spec.paper else "",
            checks=tuple(label in rows for rows in self.table.layout.checks.values()),
            runnable=spec is not None and spec.runnable,
            cells=tuple(
                self._cell(spec, scale, column, claims.get((column.metric.name, column.dataset))) for column in columns
            ),
        )

    def _cell(self, spec: ModelSpec | None, scale: int, column: PaperColumn, claim: Reported | None) -> PaperCell:
        printed = None
        if claim is not None:
            printed = printed_cell(self.paper, claim, self.verdicts)
            if claim.value is not None:
                # A paper may print fewer decimals in one row than in another: never add a digit to what it prints.
                printed = replace(printed, text=str(column.show(claim.value, claim.decimals + column.shift)))
        measured = self._measured(spec, scale, column)
        difference = None
        if measured.value is not None and claim is not None and claim.value is not None:
            shown = _shown(column, measured)
            difference = None if shown is None else shown - column.show(claim.value)
        return PaperCell(claim=claim, printed=printed, measured=measured, difference=difference)

    def _measured(self, spec: ModelSpec | None, scale: int, column: PaperColumn) -> Cell:
        lr = self.table.counted_lr(scale)
        needs = remedy(spec, scale=scale, metric=column.metric.name, dataset=column.dataset, lr=lr)
        cell = Cell(kind=CellKind.MISSING, text="not measured", remedy=needs)
        if spec is None:
            return cell
        for place in self._places(column, scale):
            cell = measured_cell(spec, place, self.evidence, scale)
            if cell.kind is not CellKind.MISSING:
                break
        shown = _shown(column, cell)
        return cell if shown is None else replace(cell, text=str(shown))

    def _places(self, column: PaperColumn, scale: int) -> Iterable[Column]:
        """The rules under which a run of ours may stand in the column, the table's own first."""
        if column.metric in (PSNR_Y, SSIM_Y):
            if (found := self.measured[scale].get(column.key)) is not None:
                yield found
            else:
                protocol = EvalProtocol().id(scale).rpartition("-")[0]
                yield _place(column, Rule(task=QUALITY, protocol=protocol, dataset=column.dataset, compares=True))
        elif column.metric.display_unit in UNITS and column.dataset is None:
            yield _place(column, Rule(task=COMPLEXITY, protocol="", lr=self.table.counted_lr(scale)))
            if column.metric is PARAMS:
                # Parameters are the same at any size.
                yield _place(column, Rule(task=COMPLEXITY, protocol="", lr=lr_size(HR_720P, scale)))


def _place(column: PaperColumn, rule: Rule) -> Column:
    return Column(metric=column.metric, group=column.group, rule=rule, dataset=column.dataset, about="")


def _shown(column: PaperColumn, cell: Cell) -> Decimal | None:
    if cell.value is None or cell.kind is not CellKind.MEASURED:
        return None
    value = Decimal(repr(cell.value))
    return column.show(value) if value.is_finite() else None


def _marked(columns: Sequence[PaperColumn], rows: Sequence[PaperRow]) -> tuple[PaperRow, ...]:
    """The rows with best and second marked, scale by scale."""
    cells = [list(row.cells) for row in rows]
    for index, column in enumerate(columns):
        for scale in {row.scale for row in rows}:
            lines = [i for i, row in enumerate(rows) if row.scale == scale]
            ours = _ranks(column, {i: _current(column, cells[i][index].measured) for i in lines})
            theirs = _ranks(column, {i: _printed(cells[i][index]) for i in lines})
            for i in lines:
                cells[i][index] = replace(cells[i][index], measured_mark=ours[i], printed_mark=theirs[i])
    return tuple(replace(row, cells=tuple(found)) for row, found in zip(rows, cells, strict=True))


def _current(column: PaperColumn, cell: Cell) -> Decimal | None:
    return None if cell.stale else _shown(column, cell)


def _printed(cell: PaperCell) -> Decimal | None:
    return cell.claim.value if cell.claim else None


def _ranks(column: PaperColumn, values: Mapping[int, Decimal | None]) -> dict[int, Mark]:
    """A mark per row: the best value, and the next one where at least three rows have a number."""
    marks = dict.fromkeys(values, Mark.NONE)
    known = [value for value in values.values() if value is not None]
    if column.metric.direction is Direction.NEUTRAL or len(known) < RANKED_FROM:
        return marks
    order = sorted(set(known), reverse=column.metric.direction is Direction.HIGHER)
    for row, value in values.items():
        if value == order[0]:
            marks[row] = Mark.BEST
        elif len(known) > RANKED_FROM and len(order) > 1 and value == order[1]:
            marks[row] = Mark.SECOND
    return marks
