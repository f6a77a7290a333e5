"""Everything the command line writes: one JSON array or a table on stdout, talk and progress on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Row = Mapping[str, Any]

DECIMALS = {"psnr_y_db": 3, "ssim_y": 5}
"""Decimals of fields whose trailing zeros carry meaning: one more than papers print."""


def _stderr() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)


def talk(message: str) -> None:
    """A line for the person, on stderr; rich markup allowed, so escape foreign text."""
    _stderr().print(message)


def progress() -> Progress:
    """A progress bar on stderr; silent where stderr is no terminal."""
    console = _stderr()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def emit(
    rows: Sequence[Row],
    *,
    as_json: bool,
    columns: Mapping[str, str],
    title: str | None = None,
    right: Collection[str] = (),
) -> None:
    """Print rows: all their fields as one JSON array, or the `columns` (field -> header) as a table.

    Numbers are aligned to the right, and so are the fields of `right`, which hold numbers as text. A float that JSON
    has no word for (inf for identical images, NaN) is written as null.
    """
    if as_json:
        sys.stdout.write(json_text(rows))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for field, header in columns.items():
        numeric = field in right or any(isinstance(row.get(field), (int, float)) for row in rows)
        table.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(field), DECIMALS.get(field)) for field in columns))
    width = None if sys.stdout.isatty() else 200
    console = Console(width=width, highlight=False)
    if title:
        # Not the table's own title, which wraps at the table's width.
        console.print(f"\n[bold]{escape(encodable(title))}[/]")
    console.print(table)


def json_text(rows: Sequence[Row]) -> str:
    """Rows as the JSON array that `emit` prints, for a command that keeps it in a file too."""
    return encodable(json.dumps([_jsonable(row) for row in rows], indent=2, ensure_ascii=False)) + "\n"


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: a file name of other bytes arrives with surrogates, which become escapes of JSON."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cell(value: Any, decimals: int | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and decimals is not None:
        return f"{value:.{decimals}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:,.0f}"
    return escape(encodable(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)))


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
