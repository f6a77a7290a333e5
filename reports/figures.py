"""Facts become figures: the same facts give the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from reports.columns import Column
from reports.tables import Cell, CellKind, Table
from zoo.quantities import MULTI_ADDS, PARAMS, PSNR_Y

INK: Final = "#1c2126"
MUTED: Final = "#6a737d"
GRID: Final = "#e3e6e9"
ACCENT: Final = "#0b6e8a"
PAPER: Final = "#ffffff"
THEME: Final = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", ACCENT: "var(--accent)"}
"""Colours of the figures and the page's own names for them, so that an embedded figure follows light and dark."""

STYLE: Final[Any] = {
    "svg.hashsalt": "esr",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}
_AREA_PER_K: Final = 0.45
"""Points^2 of a disc per thousand parameters."""
_SIZE_KEY_K: Final = (100, 300, 1000)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One network in the plane of cost and quality."""

    label: str
    multi_adds: float
    params: float
    psnr_y_db: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A scatter of networks, measured or as printed, never both."""

    key: str
    "File name without suffix."
    title: str
    subtitle: str
    dataset: str
    scale: int
    printed: bool
    points: tuple[Point, ...]
    reference: Point | None = None
    "A network that costs nothing (interpolation): drawn as a level."


def pareto_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other beats in both multi-adds and PSNR, by rising cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.multi_adds, -p.psnr_y_db)):
        if not front or point.psnr_y_db > front[-1].psnr_y_db:
            front.append(point)
    return tuple(front)


def pareto_figure(table: Table, dataset: str, *, printed: bool, source: str) -> Figure | None:
    """PSNR against multi-adds of one table; None where fewer than two networks have all three numbers."""
    points: list[Point] = []
    reference: Point | None = None
    columns = {
        column.metric.name: index
        for index, column in reversed(list(enumerate(table.columns)))
        if _fits(column, dataset)
    }
    for row in table.rows:
        if row.ablation or len(columns) < 3:
            continue
        slots = {name: row.slots[index] for name, index in columns.items()}
        cells = {name: slot.printed if printed else slot.measured for name, slot in slots.items()}
        values = {name: number for name, cell in cells.items() if (number := _number(cell)) is not None}
        if len(values) < 3:
            continue
        point = Point(
            label=row.display_name,
            multi_adds=values[MULTI_ADDS.name],
            params=values[PARAMS.name],
            psnr_y_db=values[PSNR_Y.name],
        )
        if point.params > 0:
            points.append(point)
        else:
            reference = point
    if len(points) < 2:
        return None
    return Figure(
        key=f"pareto_x{table.scale}_{_slug(dataset)}_{'printed' if printed else 'measured'}",
        title=f"PSNR on {dataset} ×{table.scale}, {'as printed' if printed else 'measured here'}",
        subtitle=source,
        dataset=dataset,
        scale=table.scale,
        printed=printed,
        points=tuple(points),
        reference=reference,
    )


def _fits(column: Column, dataset: str) -> bool:
    cost = column.metric in (PARAMS, MULTI_ADDS)
    return cost or (column.metric is PSNR_Y and column.rule.compares and column.dataset == dataset)


def _number(cell: Cell | None) -> float | None:
    """The value of a current number; stale, failed and missing cells make no point."""
    if cell is None or cell.stale or cell.kind not in (CellKind.MEASURED, CellKind.REPORTED):
        return None
    return cell.value if cell.value is not None and math.isfinite(cell.value) else None


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text.lower())


def draw(figure: Figure) -> str:
    """The figure as SVG text: area of a disc = parameters, Pareto front drawn, labels moved apart."""
    # pyplot keeps global state; a figure of its own needs no backend.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    with rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, 5.0), layout="constrained")
        FigureCanvasSVG(canvas)
        canvas.patch.set_alpha(0.0)
        axes = canvas.add_subplot()
        axes.patch.set_alpha(0.0)
        _draw_front(axes, figure)
        _draw_points(axes, figure)
        _draw_axes(axes, figure)
        _draw_reference(axes, figure)
        _draw_labels(canvas, axes, figure)
        target = io.StringIO()
        canvas.savefig(target, format="svg", metadata={"Date": None, "Creator": None, "Title": figure.title})
    return target.getvalue()


def _draw_front(axes: Any, figure: Figure) -> None:
    front = pareto_front(figure.points)
    axes.plot([p.multi_adds / 1e9 for p in front], [p.psnr_y_db for p in front], color=ACCENT, linewidth=1.2, zorder=2)


def _draw_reference(axes: Any, figure: Figure) -> None:
    """A level for interpolation; far below the networks it is told in words, so that they keep the whole height."""
    if figure.reference is None:
        return
    level = figure.reference.psnr_y_db
    told = f"{figure.reference.label} {level:.2f} dB"
    if level >= axes.get_ylim()[0]:
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        where = {"x": 0.01, "y": level, "transform": axes.get_yaxis_transform()}
    else:
        told += ", below this range"
        where = {"x": 0.01, "y": 0.02, "transform": axes.transAxes}
    axes.text(**where, s=told, va="bottom", color=MUTED, fontsize=8, parse_math=False)


def _draw_points(axes: Any, figure: Figure) -> None:
    front = set(pareto_front(figure.points))
    for chosen, colour in ((front, ACCENT), (set(figure.points) - front, MUTED)):
        points = [p for p in figure.points if p in chosen]
        axes.scatter(
            [p.multi_adds / 1e9 for p in points],
            [p.psnr_y_db for p in points],
            s=[p.params / 1e3 * _AREA_PER_K for p in points],
            facecolors=colour,
            edgecolors=colour,
            alpha=0.45,
            linewidths=0.8,
            zorder=3,
        )


def _draw_axes(axes: Any, figure: Figure) -> None:
    # Room for labels at the right, for the size key below.
    for get, put, before, after in (
        (axes.get_xlim, axes.set_xlim, 0.0, 0.1),
        (axes.get_ylim, axes.set_ylim, 0.12, 0.04),
    ):
        low, high = get()
        put(low - before * (high - low), high + after * (high - low))
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_title(figure.title, loc="left", color=INK, fontweight="bold", parse_math=False)
    axes.set_xlabel("Multi-adds at 1280×720 HR [G]")
    axes.set_ylabel(f"PSNR-Y on {figure.dataset} [dB]")
    handles = [
        axes.scatter([], [], s=k * _AREA_PER_K, facecolors="none", edgecolors=MUTED, linewidths=0.8, label=f"{k:,} K")
        for k in _SIZE_KEY_K
    ]
    legend = axes.legend(
        handles=handles,
        title="Parameters",
        loc="lower right",
        frameon=False,
        labelcolor=MUTED,
        ncols=len(handles),
        handletextpad=0.6,
        columnspacing=1.2,
    )
    legend.get_title().set_color(MUTED)


def _draw_labels(canvas: Any, axes: Any, figure: Figure) -> None:
    from adjustText import adjust_text

    x = [p.multi_adds / 1e9 for p in figure.points]
    y = [p.psnr_y_db for p in figure.points]
    canvas.draw_without_rendering()
    discs = _discs(canvas, axes, figure)
    to_data = axes.transData.inverted()
    texts = []
    for box, point in zip(discs, figure.points, strict=True):
        left, middle = to_data.transform((box.x1 + 3, (box.y0 + box.y1) / 2))
        texts.append(axes.text(left, middle, point.label, va="center", fontsize=8.5, zorder=4, parse_math=False))
    line_x, line_y = _along(pareto_front(figure.points))
    # A count of iterations instead of a time limit: the picture may not depend on the machine's speed.
    adjust_text(
        texts,
        x=[*x, *line_x],
        y=[*y, *line_y],
        objects=[axes.get_legend().get_window_extent(), *discs],
        ax=axes,
        iter_lim=400,
        expand=(1.04, 1.15),
        force_text=(0.1, 0.2),
        force_static=(0.2, 0.4),
        force_explode=(0.3, 0.8),
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5},
    )


def _discs(canvas: Any, axes: Any, figure: Figure) -> list[Any]:
    """Bounding boxes of the discs in pixels, which labels must not cover."""
    from matplotlib.transforms import Bbox

    pixels_per_point = canvas.dpi / 72
    boxes = []
    for point in figure.points:
        x, y = axes.transData.transform((point.multi_adds / 1e9, point.psnr_y_db))
        radius = math.sqrt(point.params / 1e3 * _AREA_PER_K / math.pi) * pixels_per_point
        boxes.append(Bbox.from_extents(x - radius, y - radius, x + radius, y + radius))
    return boxes


def _along(front: Sequence[Point], *, steps: int = 12) -> tuple[list[float], list[float]]:
    """Points along the drawn front, in axis units, that labels keep away from."""
    x: list[float] = []
    y: list[float] = []
    for start, end in pairwise(front):
        for k in range(1, steps):
            x.append((start.multi_adds + k / steps * (end.multi_adds - start.multi_adds)) / 1e9)
            y.append(start.psnr_y_db + k / steps * (end.psnr_y_db - start.psnr_y_db))
    return x, y


def themed(svg: str, *, prefix: str) -> str:
    """The SVG for embedding in a page: no XML prologue, ids of its own, colours as the page's variables."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'((?: id="|href="#|url\(#))', rf"\g<1>{prefix}-", body)
    for colour, variable in THEME.items():
        body = body.replace(colour, variable)
    return body
