"""The results as CSV (for machines: full values) and Markdown (for people: what the page shows)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from reports.columns import Column
from reports.tables import Cell, CellKind, Row, Slot, Table

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
    yield _line(["Model", *(_header(column) for column in columns)])
    yield _line(["---", *("---:" for _ in columns)])
    for row in table.rows:
        yield _line([_escape(_name(row)), *(_entry(row.slots[i]) for i in used)])
    yield ""


def _shown(slot: Slot) -> bool:
    return slot.measured.value is not None or slot.printed is not None


def _name(row: Row) -> str:
    return f"{row.display_name} ({row.venue})" if row.venue else row.display_name


def _header(column: Column) -> str:
    unit = f" [{column.metric.display_unit}]" if column.metric.display_unit else ""
    where = f"{column.group} " if column.dataset else ""
    return _escape(f"{where}{column.metric.label}{unit}")


def _entry(slot: Slot) -> str:
    cell = slot.measured
    ours = "–" if cell.kind is CellKind.MISSING else cell.text
    parts = [ours + (" (stale)" if cell.stale else "")]
    if cell.detail:
        parts.append(f"({cell.detail})")
    if slot.printed is not None and slot.printed.value is not None:
        parts.append(f"*{slot.printed.text}*")
    return _escape(" ".join(parts), keep="*")


def _escape(text: str, keep: str = "") -> str:
    """Text in a Markdown cell: no markup, no new column, no HTML."""
    for sign in "\\`*_[]|":
        if sign not in keep:
            text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
