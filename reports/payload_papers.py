"""The papers' tables and claims as compact JSON, for the page's sections on them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from reports.assemble import Judgement, Report
from reports.claims import printed
from reports.compare import shown
from reports.modes import difference_text
from reports.paper_exports import table_files
from reports.paper_tables import PaperCell, PaperColumn, PaperRow, PaperView
from reports.payload import Pools, finite, verdict_index
from reports.tables import CellKind
from zoo.facts import Json, Mark, Reported
from zoo.quantities import METRICS, Direction

_KINDS = {kind: index for index, kind in enumerate(CellKind)}
_MARKS = {mark: index for index, mark in enumerate(Mark)}


def claims(report: Report, pools: Pools) -> list[Json]:
    """Every printed number with its verdict, in the papers' order; `report.js` names the positions."""
    return [_claim(judged, pools) for judged in report.judgements]


def _claim(judged: Judgement, pools: Pools) -> Json:
    claim, verdict = judged.claim, judged.verdict
    metric = METRICS[claim.metric]
    return [
        pools.text(judged.paper.key),
        pools.text(claim.table),
        pools.text(claim.row),
        pools.text(claim.model),
        claim.scale,
        pools.text(metric.label),
        pools.text(claim.dataset or ""),
        printed(claim),
        pools.text(metric.display_unit),
        _MARKS[claim.mark],
        verdict_index(verdict.kind),
        pools.text(verdict.cause),
        None if verdict.ours is None else shown(claim, verdict.ours),
        [pools.run(run) for run in verdict.runs],
        pools.text(judged.paper.cite(claim)),
    ]


def paper_views(report: Report, pools: Pools) -> list[Json]:
    """Every table of every paper; `sections/tables.js` names the positions."""
    places = {(judged.paper.key, judged.claim): index for index, judged in enumerate(report.judgements)}
    return [_view(view, places, pools) for view in report.papers]


def _view(view: PaperView, places: Mapping[tuple[str, Reported], int], pools: Pools) -> Json:
    return {
        "stem": view.stem,
        "paper": view.paper.key,
        "table": view.table.key,
        "label": view.table.label,
        "title": view.table.title,
        "citation": view.paper.citation,
        "rowHeader": view.layout.row_header,
        "venue": view.layout.venue,
        "checks": list(view.layout.checks),
        "scales": list(view.scales),
        "columns": [_column(column) for column in view.columns],
        "rows": [_row(view, row, places, pools) for row in view.rows],
        # As written beside the page, so that a page on its own can still hand them out.
        "files": dict(table_files(view)),
    }


def _column(column: PaperColumn) -> Json:
    return {
        "key": column.key,
        "label": column.label,
        "unit": column.unit,
        "group": column.group,
        "divisor": float(column.divisor),
        "higher": column.metric.direction is Direction.HIGHER,
    }


def _row(view: PaperView, row: PaperRow, places: Mapping[tuple[str, Reported], int], pools: Pools) -> Json:
    return [
        row.label,
        row.model,
        row.scale,
        pools.text(row.venue),
        [int(check) for check in row.checks],
        int(row.runnable),
        [_cell(view.paper.key, cell, places, pools) for cell in row.cells],
    ]


def _cell(paper: str, cell: PaperCell, places: Mapping[tuple[str, Reported], int], pools: Pools) -> Json:
    ours = cell.measured
    place = -1 if cell.claim is None else places.get((paper, cell.claim), -1)
    return [
        place,
        _printed_text(cell),
        None if cell.claim is None else _number(cell.claim.value),
        _KINDS[ours.kind],
        ours.text,
        finite(ours.value),
        ours.detail,
        [pools.run(run) for run in ours.runs],
        pools.text(ours.remedy.template) if ours.remedy else -1,
        int(ours.stale),
        _MARKS[cell.measured_mark],
        _MARKS[cell.printed_mark],
        None if cell.difference is None else difference_text(cell.difference),
    ]


def _printed_text(cell: PaperCell) -> str:
    return "" if cell.printed is None else cell.printed.text


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
