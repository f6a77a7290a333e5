"""Figures that become files of their own: SVG, PDF or PNG, the same bytes for the same facts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from reports.figures import METADATA, PAPER, STYLE
from zoo.contract import BadInput

FORMATS: Final = ("svg", "pdf", "png")
"""By the suffix of the file."""


def format_of(path: Path) -> str:
    """The format that a file name asks for. Raises BadInput for any other suffix than those of FORMATS."""
    name = path.suffix.removeprefix(".").lower()
    if name not in FORMATS:
        known = ", ".join(f".{known}" for known in FORMATS)
        raise BadInput(f"No figure can be written as {path}. Expected a file name that ends in one of {known}.")
    return name


@contextmanager
def canvas_of(width_in: float, height_in: float) -> Iterator[Any]:
    """An empty figure in the house's style, on white: a file of its own is also looked at on dark pages."""
    # pyplot keeps global state; a figure of its own needs no backend until it is saved.
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    with rc_context(STYLE):
        yield Canvas(figsize=(width_in, height_in), layout="constrained", facecolor=PAPER)


def saved(canvas: Any, *, file_format: str, title: str) -> bytes:
    """The figure as a file's bytes; call it inside `canvas_of`."""
    target = io.BytesIO()
    canvas.savefig(target, format=file_format, dpi=200, metadata=METADATA[file_format] | {"Title": title})
    return target.getvalue()


def three_digits(value: float, *, padded: bool = False) -> str:
    """Three significant digits, all before the point: 0.0123, 4.37, 16.1, 1,234; `padded`: 1.90, not 1.9."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if padded and value else f"{value:.3g}"
