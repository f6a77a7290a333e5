"""A paper's table as files: CSV (full values), Markdown and LaTeX (as the page shows it), JSON (everything)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final

from reports.latex import latex_table
from reports.modes import Mode, fixed_headers, fixed_texts, shown_difference, shown_measured, shown_printed, status
from reports.paper_tables import PaperCell, PaperView
from reports.text import escape_markdown, markdown_line
from zoo.facts import Json, Mark, Measured

_VERDICT_SIGNS: Final = {"reproduced": " ✓", "explained": " ≈", "contradicted": " ✗", "not measured": ""}


def table_files(view: PaperView) -> dict[str, str]:
    """Content of every export of one table by file name: side by side is `table5.csv`, others `table5-measured.csv`."""
    files: dict[str, str] = {}
    for mode in Mode:
        stem = view.stem if mode is Mode.BOTH else f"{view.stem}-{mode.value}"
        files[f"{stem}.csv"] = table_csv(view, mode)
        files[f"{stem}.md"] = table_markdown(view, mode)
        files[f"{stem}.tex"] = latex_table(view, mode)
    files[f"{view.stem}.json"] = table_json(view)
    return files


class _Field(Enum):
    MEASURED = "measured"
    STATUS = "status"
    PRINTED = "printed"
    DIFFERENCE = "difference"
    VERDICT = "verdict"


_FIELDS: Final = MappingProxyType(
    {
        Mode.BOTH: (_Field.MEASURED, _Field.STATUS, _Field.PRINTED, _Field.VERDICT),
        Mode.MEASURED: (_Field.MEASURED, _Field.STATUS),
        Mode.PRINTED: (_Field.PRINTED, _Field.VERDICT),
        Mode.DIFFERENCE: (_Field.DIFFERENCE, _Field.VERDICT),
    }
)


def table_csv(view: PaperView, mode: Mode) -> str:
    """One line per row of the paper; values in stored units, measured ones in full, printed ones to the printed digit.

    An empty field is no number; `status` says why a measured one is missing. Differences are of the digits shown, in
    stored units.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    fields = _FIELDS[mode]
    names = [f"{column.key} {field.value}" for column in view.columns for field in fields]
    writer.writerow(["row", "model", "scale", "venue", *view.layout.checks, *names])
    for row in view.rows:
        checks = ["yes" if check else "no" for check in row.checks]
        numbers = [
            _csv_field(cell, field, column.divisor)
            for column, cell in zip(view.columns, row.cells, strict=True)
            for field in fields
        ]
        writer.writerow([row.label, row.model, row.scale, row.venue, *checks, *numbers])
    return target.getvalue()


def _csv_field(cell: PaperCell, field: _Field, divisor: Decimal) -> str:
    readers: Mapping[_Field, Callable[[], str]] = {
        _Field.MEASURED: lambda: _plain(cell.measured.value),
        _Field.STATUS: lambda: status(cell),
        _Field.PRINTED: lambda: "" if cell.claim is None or cell.claim.value is None else f"{cell.claim.value:f}",
        _Field.DIFFERENCE: lambda: "" if cell.difference is None else f"{cell.difference * divisor:f}",
        _Field.VERDICT: lambda: cell.verdict.kind.value if cell.verdict else "",
    }
    return readers[field]()


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def table_markdown(view: PaperView, mode: Mode) -> str:
    """The table as the page shows it: best in bold, second underlined, printed numbers in italics."""
    return "\n".join(_markdown(view, mode)) + "\n"


def _markdown(view: PaperView, mode: Mode) -> Iterator[str]:
    yield f"**{escape_markdown(view.table.label)}.** {escape_markdown(view.table.title)} ({mode.words})."
    yield escape_markdown(f"Source: {view.paper.citation}.") + f" {_LEGENDS[mode]}"
    yield ""
    fixed = fixed_headers(view)
    yield markdown_line([*map(escape_markdown, fixed), *(escape_markdown(column.head) for column in view.columns)])
    yield markdown_line([*("---" for _ in fixed), *("---:" for _ in view.columns)])
    for row in view.rows:
        texts = [escape_markdown(text) for text in fixed_texts(view, row)]
        yield markdown_line([*texts, *(_markdown_cell(cell, mode) for cell in row.cells)])


_LEGENDS: Final = {
    Mode.BOTH: "Upright: measured; *italic*: printed; ✓ reproduced, ≈ explained, ✗ contradicted; "
    "**best** and <ins>second</ins> by rule, † weights other than the paper's.",
    Mode.MEASURED: "**Best** and <ins>second</ins> of what was measured; † weights other than the paper's.",
    Mode.PRINTED: "**Best** and <ins>second</ins> by rule.",
    Mode.DIFFERENCE: "Measured minus printed, both as shown.",
}


def _markdown_cell(cell: PaperCell, mode: Mode) -> str:
    if mode is Mode.DIFFERENCE:
        return escape_markdown(shown_difference(cell))
    ours = _emphasised(escape_markdown(shown_measured(cell)), cell.measured_mark)
    theirs = f"*{_emphasised(escape_markdown(shown_printed(cell)), cell.printed_mark)}*"
    if cell.printed is None or cell.claim is None or cell.claim.value is None:
        theirs = "–"
    sign = _VERDICT_SIGNS[cell.verdict.kind.value] if cell.verdict else ""
    if mode is Mode.MEASURED:
        return ours
    return theirs + sign if mode is Mode.PRINTED else f"{ours} {theirs}{sign}"


def _emphasised(text: str, mark: Mark) -> str:
    return {Mark.NONE: text, Mark.BEST: f"**{text}**", Mark.SECOND: f"<ins>{text}</ins>"}[mark]


def table_json(view: PaperView) -> str:
    """Everything known of the table's cells: value, mark, verdict with its cause, and the runs behind it."""
    content: Json = {
        "paper": view.paper.key,
        "citation": view.paper.citation,
        "table": view.table.key,
        "title": view.table.title,
        "counted_lr": {f"x{scale}": str(view.table.counted_lr(scale)) for scale in view.scales},
        "columns": [
            {
                "key": column.key,
                "label": column.head,
                "stored_unit": column.metric.unit,
                "shown_in": column.unit,
                "decimals": column.decimals,
                "direction": column.metric.direction.value,
            }
            for column in view.columns
        ],
    }
    rows: list[Json] = [
        {
            "row": row.label,
            "model": row.model,
            "scale": row.scale,
            "venue": row.venue,
            "checks": dict(zip(view.layout.checks, row.checks, strict=True)),
            "cells": {c.key: _json_cell(view, cell) for c, cell in zip(view.columns, row.cells, strict=True)},
        }
        for row in view.rows
    ]
    # One line per row: readable, and the indenting encoder is many times slower.
    head, *lines = (json.dumps(part, ensure_ascii=False) for part in (content, *rows))
    return head[:-1] + ', "rows": [\n' + ",\n".join(lines) + "\n]}\n"


def _json_cell(view: PaperView, cell: PaperCell) -> Json:
    ours, claim, verdict = cell.measured, cell.claim, cell.verdict
    return {
        "measured": {
            "status": status(cell),
            "value": ours.value if ours.value is None or math.isfinite(ours.value) else str(ours.value),
            "shown": ours.text,
            "note": ours.detail,
            "mark": cell.measured_mark.value,
            "runs": [_json_run(run) for run in ours.runs],
        },
        "printed": None
        if claim is None or claim.value is None
        else {
            "value": f"{claim.value:f}",
            "shown": shown_printed(cell),
            "mark": cell.printed_mark.value,
            "emphasis_in_paper": claim.mark.value,
            "source": view.paper.cite(claim),
        },
        "difference": None if cell.difference is None else f"{cell.difference:f}",
        "verdict": None if verdict is None else {"kind": verdict.kind.value, "cause": verdict.cause},
    }


def _json_run(run: Measured) -> Json:
    return {
        "record": run.key.key12,
        "protocol": run.key.protocol,
        "created_utc": run.provenance.created_utc,
        "machine": dict(run.provenance.machine),
    }
