"""How cost grows with the size of the image: multi-adds and peak activation memory, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.figures import ACCENT, GRID, INK, MUTED, shortened
from reports.figures_canvas import canvas_of, saved, three_digits
from zoo.protocols import Size
from zoo.quantities import MULTI_ADDS, PEAK_MEMORY

_COLOURS: Final = (ACCENT, "#a8403a", "#e0a03c", "#3d4f60", "#5b8c3a", "#8459a3", "#5fb3c8", "#c46a9a")
_DASHES: Final[Any] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""Taken when the colours are used up."""

_LABEL_GAP_PT: Final = 10.5
_LABEL_X_PT: Final = 18
_NAMED: Final = 3
"""Networks without a curve that have room above a panel."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One network at one LR size; None where it does not run."""

    lr: Size
    multi_adds: int | None
    peak_activation_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One network over sizes."""

    label: str
    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class _Line:
    label: str
    x: list[int]
    "LR pixels."
    y: list[float]
    style: dict[str, Any]


def draw_scaling(curves: Sequence[Curve], *, title: str, file_format: str) -> bytes:
    """Both panels as a file of `reports.figures_canvas.FORMATS`; what has no place on a logarithmic axis is named."""
    # A label needs its height whatever the curves do.
    height_in = max(3.8, 1.5 + len(curves) * (_LABEL_GAP_PT + 0.5) / 72)
    with canvas_of(10.4, height_in) as canvas:
        left, right = canvas.subplots(1, 2)
        canvas.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=10.5)
        panels = (
            (left, "Multi-adds [G]", lambda cost: cost.multi_adds, MULTI_ADDS.display_scale),
            (right, "Peak activation memory [MiB]", lambda cost: cost.peak_activation_bytes, PEAK_MEMORY.display_scale),
        )
        drawn = [
            (axes, _draw_panel(axes, curves, label=label, value=value, unit=unit))
            for axes, label, value, unit in panels
        ]
        canvas.draw_without_rendering()
        for axes, lines in drawn:
            _draw_labels(canvas, axes, lines)
        return saved(canvas, file_format=file_format, title=title)


def _draw_panel(
    axes: Any, curves: Sequence[Curve], *, label: str, value: Callable[[Cost], int | None], unit: float
) -> list[_Line]:
    lines, left_out = [], []
    for index, curve in enumerate(curves):
        points = [(cost.lr.height * cost.lr.width, v / unit) for cost in curve.costs if (v := value(cost))]
        if not points:
            left_out.append(shortened(curve.label))
            continue
        dashes = _DASHES[index // len(_COLOURS) % len(_DASHES)]
        style = {"color": _COLOURS[index % len(_COLOURS)], "linestyle": dashes}
        x, y = map(list, zip(*sorted(points), strict=True))
        axes.plot(x, y, marker="o", markersize=3.2, linewidth=1.3, **style)
        lines.append(_Line(shortened(curve.label), x, y, style))
    _draw_axes(axes, curves, label=label, drawn=bool(lines))
    if left_out:
        named, more = left_out[:_NAMED], len(left_out) - _NAMED
        told = ", ".join(named) + (f" and {more} more" if more > 0 else "")
        axes.set_title(f"none or 0 at every size: {told}", loc="left", color=MUTED, fontsize=8)
    return lines


def _draw_axes(axes: Any, curves: Sequence[Curve], *, label: str, drawn: bool) -> None:
    axes.set_xscale("log")
    if drawn:
        axes.set_yscale("log")
    sizes = sorted({cost.lr for curve in curves for cost in curve.costs}, key=lambda lr: lr.height * lr.width)
    pixels = [lr.height * lr.width for lr in sizes]
    if pixels:
        axes.set_xlim(pixels[0] / 1.4, pixels[-1] * 1.4)
    axes.set_xticks(pixels, [f"{lr.width}×{lr.height}" for lr in sizes])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _position: three_digits(value))
    # The usual one writes powers as markup, which this style prints as it stands.
    axes.yaxis.set_minor_formatter(lambda _value, _position: "")
    axes.tick_params(which="both", length=0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("LR image, width × height [pixels]")
    axes.set_ylabel(label)


def _draw_labels(canvas: Any, axes: Any, lines: Sequence[_Line]) -> None:
    """Names at the right edge, moved apart, each with a thin line to the end of its curve."""
    pixels_per_point = canvas.dpi / 72
    width_pt, height_pt = axes.bbox.width / pixels_per_point, axes.bbox.height / pixels_per_point
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    ends = [to_axes((line.x[-1], line.y[-1]))[1] * height_pt for line in lines]
    heights = moved_apart(ends, gap=_LABEL_GAP_PT, high=height_pt)
    for line, height in zip(lines, heights, strict=True):
        axes.annotate(
            line.label,
            (line.x[-1], line.y[-1]),
            xytext=(1 + _LABEL_X_PT / width_pt, height / height_pt),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "color": line.style["color"],
                "linewidth": 0.5,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def moved_apart(ends: Sequence[float], *, gap: float, high: float) -> list[float]:
    """Positions in 0..high near `ends` and at least `gap` apart, in the same order; neighbours share their shift."""
    groups: list[list[int]] = []

    def span(group: Sequence[int]) -> tuple[float, float]:
        half = (len(group) - 1) / 2 * gap
        centre = max(half, min(high - half, sum(ends[i] for i in group) / len(group)))
        return centre - half, centre + half

    for index in sorted(range(len(ends)), key=lambda i: ends[i]):
        groups.append([index])
        while len(groups) > 1 and span(groups[-2])[1] + gap > span(groups[-1])[0]:
            last = groups.pop()
            groups[-1] += last
    places = [0.0] * len(ends)
    for group in groups:
        for step, index in enumerate(group):
            places[index] = span(group)[0] + step * gap
    return places
