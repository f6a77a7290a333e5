"""Multi-adds by kind of layer: one stacked bar per network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from reports.figures import ACCENT, GRID, INK, MUTED, PAPER, shortened
from reports.figures_canvas import canvas_of, saved, three_digits
from zoo.quantities import Product

COLOURS: Final[Mapping[Product, tuple[str, str]]] = MappingProxyType(
    {
        Product.DENSE: (ACCENT, PAPER),
        Product.POINTWISE: ("#5fb3c8", INK),
        Product.GROUPED: ("#bfe3ea", INK),
        Product.TRANSPOSED: ("#3d4f60", PAPER),
        Product.OTHER_CONVOLUTION: ("#a9b1b8", INK),
        Product.LINEAR: ("#e0a03c", INK),
        Product.MATMUL: ("#a8403a", PAPER),
    }
)
"""Fill and text on it, the same in every figure: blue and grey are convolutions, warm colours matrix products."""

_BAR_HEIGHT: Final = 0.62
_ROOM_FOR_TOTAL: Final = 1.14
"""Length of the axis over that of the longest bar."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One network."""

    label: str
    parts: Mapping[Product, int] | None
    "Multi-adds by kind; None where the network could not be counted."

    @property
    def total(self) -> int:
        """All multi-adds."""
        return sum((self.parts or {}).values())


def draw_products(bars: Sequence[Bar], *, title: str, file_format: str) -> bytes:
    """The bars from top to bottom as a file of a known format; kinds that occur nowhere are left out."""
    with canvas_of(7.2, 1.35 + 0.34 * len(bars)) as canvas:
        axes = canvas.add_subplot()
        shown = [product for product in Product if any((bar.parts or {}).get(product) for bar in bars)]
        _draw_bars(axes, bars, shown)
        _draw_axes(axes, bars, title)
        if shown:
            canvas.legend(
                loc="outside lower left", ncols=min(4, len(shown)), frameon=False, handlelength=1.0, handleheight=1.0
            )
        _draw_parts(canvas, axes, bars, shown)
        return saved(canvas, file_format=file_format, title=title)


def _draw_bars(axes: Any, bars: Sequence[Bar], shown: Sequence[Product]) -> None:
    starts = [0.0] * len(bars)
    for product in shown:
        widths = [(bar.parts or {}).get(product, 0) / 1e9 for bar in bars]
        axes.barh(
            range(len(bars)),
            widths,
            left=starts,
            height=_BAR_HEIGHT,
            color=COLOURS[product][0],
            linewidth=0,
            label=product.value,
        )
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    for row, bar in enumerate(bars):
        axes.annotate(
            "not counted" if bar.parts is None else f"{three_digits(bar.total / 1e9, padded=True)} G",
            (bar.total / 1e9, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            color=MUTED if bar.parts is None else INK,
            fontweight="normal" if bar.parts is None else "bold",
            fontsize=8.5,
        )


def _draw_axes(axes: Any, bars: Sequence[Bar], title: str) -> None:
    longest = max((bar.total for bar in bars), default=0) / 1e9
    axes.set_xlim(0, longest * _ROOM_FOR_TOTAL or 1.0)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_yticks(range(len(bars)), [shortened(bar.label) for bar in bars], color=INK)
    axes.tick_params(length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_xlabel("Multi-adds [G]")


def _draw_parts(canvas: Any, axes: Any, bars: Sequence[Bar], shown: Sequence[Product]) -> None:
    """Each part's number inside it, where it fits."""
    canvas.draw_without_rendering()
    for row, bar in enumerate(bars):
        start = 0.0
        for product in shown:
            width = (bar.parts or {}).get(product, 0) / 1e9
            (left, _), (right, _) = axes.transData.transform([(start, row), (start + width, row)])
            text = axes.text(
                start + width / 2,
                row,
                three_digits(width, padded=True),
                ha="center",
                va="center_baseline",
                color=COLOURS[product][1],
                fontsize=7.5,
            )
            if text.get_window_extent().width + 6 > right - left:
                text.remove()
            start += width
