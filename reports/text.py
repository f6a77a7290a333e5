"""The results as CSV (for machines: full values) and Markdown (for people: what the page shows)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from reports.columns import Column
from reports.tables import Cell, CellKind, Row, Slot, Table
from reports.three_ways import ThreeWays, ThreeWaysTable

_FIXED = ("model", "name", "scale", "venue", "ablation")


def results_csv(tables: Sequence[Table]) -> str:
    """One line per model and scale; measured values in stored units, printed ones in columns that end in `printed`.

    An empty field is no number; the column `status` of a metric says why where a run failed or does not apply.
    """
    names = list(dict.fromkeys(name for table in tables for column in table.columns for name in _names(column)))
    target = io.StringIO()
    writer = csv.DictWriter(target, fieldnames=[*_FIXED, *names], restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            line = {
                "model": row.model,
                "name": row.display_name,
                "scale": table.scale,
                "venue": row.venue,
                "ablation": "yes" if row.ablation else "no",
            }
            for column, slot in zip(table.columns, row.slots, strict=True):
                line |= dict(zip(_names(column), _fields(column, slot), strict=True))
            writer.writerow(line)
    return target.getvalue()


def _names(column: Column) -> tuple[str, ...]:
    printed = (f"{column.key} printed",) if column.rule.compares else ()
    return (column.key, f"{column.key} status", *printed)


def _fields(column: Column, slot: Slot) -> tuple[str, ...]:
    cell = slot.measured
    status = "stale" if cell.stale else cell.kind.value
    printed = (_plain(slot.printed),) if column.rule.compares else ()
    return (_plain(cell), status, *printed)


def _plain(cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return ""
    return str(int(cell.value)) if cell.value.is_integer() else repr(cell.value)


def results_markdown(tables: Sequence[Table]) -> str:
    """One table per scale: measured numbers upright, printed ones in italics after them."""
    return "\n".join(line for table in tables for line in _markdown(table))


def _markdown(table: Table) -> Iterator[str]:
    used = [i for i, column in enumerate(table.columns) if any(_shown(row.slots[i]) for row in table.rows)]
    columns = [table.columns[i] for i in used]
    yield f"## ×{table.scale}"
    yield ""
    yield "Upright: measured. *Italic*: printed by a paper. –: not measured."
    yield ""
    yield markdown_line(["Model", *(_header(column) for column in columns)])
    yield markdown_line(["---", *("---:" for _ in columns)])
    for row in table.rows:
        yield markdown_line([escape_markdown(_name(row)), *(_entry(row.slots[i]) for i in used)])
    yield ""


_THREE_WAYS = (
    *("paper", "table", "model", "name", "scale", "printed", "verdict", "by_papers_rule", "papers_rule"),
    *("papers_rule_lr", "exact", "exact_status", "exact_lr", "exact_over_printed", "cause"),
)


def three_ways_csv(tables: Iterable[ThreeWaysTable]) -> str:
    """One line per printed number of multi-adds; counts in full, an empty field is no number."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(_THREE_WAYS)
    for table in tables:
        for row in table.rows:
            verdict = row.printed.verdict
            writer.writerow(
                (
                    *(table.paper.key, table.table.key, row.model, row.display_name, table.scale),
                    *(_plain(row.printed), verdict.kind.value if verdict else "", _plain(row.by_paper)),
                    *((row.rule.rule, row.rule.lr) if row.rule else ("", "")),
                    *(_plain(row.exact), "stale" if row.exact.stale else row.exact.kind.value, table.lr),
                    *(row.exact_over_printed or "", verdict.cause if verdict else ""),
                )
            )
    return target.getvalue()


def three_ways_markdown(tables: Iterable[ThreeWaysTable]) -> str:
    """One table per paper and scale: the printed number in italics, ours upright."""
    return "\n".join(line for table in tables for line in _three_ways(table))


def _three_ways(table: ThreeWaysTable) -> Iterator[str]:
    where = escape_markdown(f"{table.paper.citation}, {table.table.label}")
    yield f"## Multi-adds three ways, ×{table.scale} ({where})"
    yield ""
    yield f"In G. *Italic*: as printed. Upright: measured, by the rule of each paper and exactly at LR {table.lr}."
    yield ""
    yield markdown_line(
        ["Model", "Printed", "By its paper's rule", "Rule", f"Exact, LR {table.lr}", "Exact / printed", "Note"]
    )
    yield markdown_line(["---", "---:", "---:", "---", "---:", "---:", "---"])
    for row in table.rows:
        yield markdown_line(_three_ways_cells(row))
    yield ""


def _three_ways_cells(row: ThreeWays) -> list[str]:
    ratio = "–" if row.exact_over_printed is None else f"{row.exact_over_printed:.2f}"
    exact = row.exact.text + (" (stale)" if row.exact.stale else "")
    note = "; ".join(filter(None, (row.caution, row.rule.note.rstrip(".") if row.rule else "")))
    texts = (row.display_name, row.by_paper.text, row.by_paper.detail or "–", exact, ratio, note)
    name, *rest = (escape_markdown(text) for text in texts)
    return [name, f"*{row.printed.text}*", *rest]


def _shown(slot: Slot) -> bool:
    return slot.measured.value is not None or slot.printed is not None


def _name(row: Row) -> str:
    return f"{row.display_name} ({row.venue})" if row.venue else row.display_name


def _header(column: Column) -> str:
    unit = f" [{column.metric.display_unit}]" if column.metric.display_unit else ""
    where = f"{column.group} " if column.dataset else ""
    return escape_markdown(f"{where}{column.metric.label}{unit}")


def _entry(slot: Slot) -> str:
    cell = slot.measured
    ours = "–" if cell.kind is CellKind.MISSING else cell.text
    parts = [ours + (" (stale)" if cell.stale else "")]
    if cell.detail:
        parts.append(f"({cell.detail})")
    if slot.printed is not None and slot.printed.value is not None:
        parts.append(f"*{slot.printed.text}*")
    return escape_markdown(" ".join(parts), keep="*")


def escape_markdown(text: str, keep: str = "") -> str:
    """Text in a Markdown cell: no markup, no new column, no HTML."""
    for sign in "\\`*_[]|":
        if sign not in keep:
            text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def markdown_line(cells: Iterable[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
