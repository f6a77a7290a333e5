"""The four ways to look at a paper's table, and what each shows of a cell as plain text."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

from reports.paper_tables import PaperCell, PaperRow, PaperView
from reports.tables import CellKind

NO_NUMBER = "–"


class Mode(Enum):
    """What a table shows."""

    BOTH = "both"
    MEASURED = "measured"
    PRINTED = "printed"
    DIFFERENCE = "difference"

    @property
    def words(self) -> str:
        """As a reader is told."""
        return "measured and printed" if self is Mode.BOTH else self.value


def fixed_headers(view: PaperView) -> list[str]:
    """Headers of the columns that hold no numbers."""
    scale = ["Scale"] if len(view.scales) > 1 else []
    return [view.layout.row_header, *scale, *(["Venue"] if view.layout.venue else []), *view.layout.checks]


def fixed_texts(view: PaperView, row: PaperRow) -> list[str]:
    """What stands in them."""
    scale = [f"×{row.scale}"] if len(view.scales) > 1 else []
    venue = [row.venue] if view.layout.venue else []
    return [row.label, *scale, *venue, *("✓" if check else "×" for check in row.checks)]


def shown_measured(cell: PaperCell) -> str:
    """Our number as shown, with a dagger where it is not of the paper's weights; why there is none, where it failed."""
    ours = cell.measured
    if ours.kind is CellKind.MISSING:
        return NO_NUMBER
    return ours.text + ("†" if ours.detail else "") + (" (stale)" if ours.stale else "")


def shown_printed(cell: PaperCell) -> str:
    """The paper's number as it prints it."""
    return NO_NUMBER if cell.claim is None or cell.claim.value is None or cell.printed is None else cell.printed.text


def shown_difference(cell: PaperCell) -> str:
    """Measured minus printed with its sign."""
    return NO_NUMBER if cell.difference is None else difference_text(cell.difference)


def difference_text(difference: Decimal) -> str:
    """A signed difference; a real minus, and no sign on zero."""
    if not difference:
        return str(abs(difference))
    return f"+{difference}" if difference > 0 else f"−{abs(difference)}"


def status(cell: PaperCell) -> str:
    """Why a measured number is there or not."""
    return "stale" if cell.measured.stale else cell.measured.kind.value
