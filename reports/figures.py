"""Facts become figures: the same facts give the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from reports.figures_labels import Box, Scene, Segment, leader, settle
from reports.pareto import ROOM_BELOW, Figure, Point, pareto_front

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
    # Type 42 keeps text selectable and is what journals ask for.
    "pdf.fonttype": 42,
}
_AREA_PER_K: Final = 0.45
"""Points^2 of a disc per thousand parameters."""
_SIZE_KEY_K: Final = (100, 300, 1000)
_WIDTH_IN: Final = 7.2
_HEIGHT_IN: Final = 5.0
_GROWTHS: Final = (1.0, 1.25, 1.6, 2.0, 2.6)
"""Sides tried, until every name has its place."""
_NAMED: Final = 60
"""Networks that are named at most, those on the front first; a page of more names is read by nobody."""
_ADJUSTED: Final = 30
"""Names up to which adjustText is asked; its effort grows with the square."""
LABEL_LENGTH: Final = 32
_ARROW: Final = 0.045
_LINE: Final = 0.035
"""Shares of the height: an arrow at the lower edge, a line of small print."""

# Without these a file would name the second it was made in, or the version of the library.
METADATA: Final[Any] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def shortened(label: str) -> str:
    """A label that leaves room for the data."""
    return label if len(label) <= LABEL_LENGTH else label[: LABEL_LENGTH - 1] + "…"


def draw(figure: Figure) -> str:
    """The figure as SVG text, without a background: it is embedded in a page that may be dark."""
    return drawn_as(figure, file_format="svg").decode()


def drawn_as(figure: Figure, *, file_format: str) -> bytes:
    """The figure as a file of its own (svg, pdf): area of a disc = parameters, front drawn, no label on another.

    A crowd that leaves no room for a name is drawn larger; names that find no place at the largest size are counted in
    a note.
    """
    return drawn_in(figure, file_format)[file_format]


def drawn_in(figure: Figure, *file_formats: str) -> dict[str, bytes]:
    """`drawn_as` in several formats, laid out once: finding places for the names takes longest."""
    from matplotlib import rc_context

    files = {}
    with rc_context(STYLE):
        canvas = composed(figure)
        for file_format in file_formats:
            canvas.patch.set_alpha(0.0 if file_format == "svg" else 1.0)
            target = io.BytesIO()
            canvas.savefig(target, format=file_format, metadata=METADATA[file_format] | {"Title": figure.title})
            files[file_format] = target.getvalue()
    return files


def composed(figure: Figure) -> Any:
    """The laid-out matplotlib figure; call it and use the result under `STYLE`."""
    wanted = min(len(figure.points), _NAMED)
    for growth in _GROWTHS:
        canvas, named = _compose(figure, growth)
        if named == wanted:
            break
    return canvas


def _compose(figure: Figure, growth: float) -> tuple[Any, int]:
    """The figure at `growth` times the usual side, and how many names found a place."""
    # pyplot keeps global state; a figure of its own needs no backend.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(growth * _WIDTH_IN, growth * _HEIGHT_IN), layout="constrained")
    FigureCanvasSVG(canvas)
    canvas.patch.set_alpha(0.0)
    axes = canvas.add_subplot()
    axes.patch.set_alpha(0.0)
    _draw_front(axes, figure)
    _draw_points(axes, figure)
    _draw_axes(axes, figure)
    _draw_outside(axes, figure)
    canvas.draw_without_rendering()
    # Names may not move what they were placed on.
    canvas.set_layout_engine("none")
    named = _draw_labels(canvas, axes, figure)
    if left_out := len(figure.points) - named:
        told = f"{left_out} of {len(figure.points)} networks without a name: no room"
        axes.set_title(told, loc="right", color=MUTED, fontsize=8)
    return canvas, named


def _draw_front(axes: Any, figure: Figure) -> None:
    front = pareto_front(figure.networks)
    x, y = [p.multi_adds / 1e9 for p in front], [p.psnr_y_db for p in front]
    axes.plot(x, y, color=ACCENT, linewidth=1.2, zorder=2, scalex=False, scaley=False)


def _draw_outside(axes: Any, figure: Figure) -> None:
    """A level for interpolation; what lies below the axis is told in words, so that the others keep the whole height.

    An arrow at the edge stands where the disc of a network would be, far below.
    """
    told = list(figure.below)
    if figure.reference and figure.reference.psnr_y_db >= axes.get_ylim()[0]:
        level = figure.reference.psnr_y_db
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        _tell(axes, figure.reference, x=0.01, y=level, transform=axes.get_yaxis_transform())
    elif figure.reference:
        told.append(figure.reference)
    for row, point in enumerate(told):
        above = (_ARROW if figure.below else 0) + row * _LINE
        _tell(axes, point, ", below this range", x=0.01, y=0.02 + above, transform=axes.transAxes)
    for point in figure.below:
        axes.annotate(
            "",
            xy=(point.multi_adds / 1e9, 0.0),
            xytext=(point.multi_adds / 1e9, _ARROW),
            xycoords=axes.get_xaxis_transform(),
            arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )


def _tell(axes: Any, point: Point, more: str = "", **where: Any) -> None:
    told = f"{shortened(point.label)} {point.psnr_y_db:.2f} dB{more}"
    axes.text(**where, s=told, va="bottom", color=MUTED, fontsize=8, parse_math=False)


def _draw_points(axes: Any, figure: Figure) -> None:
    front = set(pareto_front(figure.networks))
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
    # The arrow of what is not drawn has its place, too.
    for point in figure.below:
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, point.multi_adds / 1e9), max(high, point.multi_adds / 1e9))
    # Room for labels at the right, below for the size key, and for what is told of networks further down.
    below = ROOM_BELOW + (_ARROW + _LINE * len(figure.below) if figure.below else 0.0)
    for get, put, before, after in (
        (axes.get_xlim, axes.set_xlim, 0.0, 0.1),
        (axes.get_ylim, axes.set_ylim, below, 0.04),
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


def _draw_labels(canvas: Any, axes: Any, figure: Figure) -> int:
    """Names beside their discs; returns how many found a place. The networks on the front choose first."""
    from adjustText import adjust_text

    front = set(pareto_front(figure.networks))
    points = sorted(figure.points, key=lambda p: (p not in front, p.multi_adds, p.psnr_y_db, p.label))[:_NAMED]
    discs = [_disc(canvas, axes, point) for point in points]
    to_data = axes.transData.inverted()
    texts = []
    for disc, point in zip(discs, points, strict=True):
        left, middle = to_data.transform((disc.x1 + 3, disc.centre[1]))
        texts.append(axes.text(left, middle, shortened(point.label), va="center", fontsize=8.5, zorder=4))
    if len(points) <= _ADJUSTED:
        # A count of iterations instead of a time limit: the picture may not depend on the machine's speed.
        adjust_text(
            texts,
            x=[p.multi_adds / 1e9 for p in points],
            y=[p.psnr_y_db for p in points],
            objects=[axes.get_legend().get_window_extent(), *(_bbox(disc) for disc in discs)],
            ax=axes,
            iter_lim=200,
            expand=(1.04, 1.15),
            force_text=(0.1, 0.2),
            force_static=(0.2, 0.4),
            force_explode=(0.3, 0.8),
        )
    boxes = [Box(*text.get_window_extent().extents) for text in texts]
    notes = [Box(*note.get_window_extent().extents) for note in axes.texts if note not in texts]
    scene = Scene(
        area=Box(*axes.bbox.extents),
        blocked=[
            *(_disc(canvas, axes, point).grown(1) for point in figure.points),
            Box(*axes.get_legend().get_window_extent().extents),
            *notes,
        ],
        lines=[_in_pixels(axes, pair) for pair in _segments(pareto_front(figure.networks))],
    )
    places = settle(boxes, [disc.centre for disc in discs], scene)
    for text, old, new, disc in zip(texts, boxes, places, discs, strict=True):
        if new is None:
            text.remove()
        else:
            _put(axes, text, (new.x0 - old.x0, new.y0 - old.y0))
            _draw_leader(axes, disc, new)
    return sum(place is not None for place in places)


def _put(axes: Any, text: Any, shift: tuple[float, float]) -> None:
    x, y = axes.transData.transform(text.get_position())
    text.set_position(axes.transData.inverted().transform((x + shift[0], y + shift[1])))


def _draw_leader(axes: Any, disc: Box, label: Box) -> None:
    segment = leader(disc.centre, (disc.x1 - disc.x0) / 2, label)
    if segment:
        x, y = zip(*axes.transData.inverted().transform(segment), strict=True)
        axes.plot(x, y, color=MUTED, linewidth=0.5, zorder=2, scalex=False, scaley=False)


def _disc(canvas: Any, axes: Any, point: Point) -> Box:
    """The square around a disc, in pixels."""
    x, y = axes.transData.transform((point.multi_adds / 1e9, point.psnr_y_db))
    radius = math.sqrt(point.params / 1e3 * _AREA_PER_K / math.pi) * canvas.dpi / 72
    return Box(x - radius, y - radius, x + radius, y + radius)


def _bbox(box: Box) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(*box)


def _in_pixels(axes: Any, segment: Segment) -> Segment:
    (x, y), (end_x, end_y) = axes.transData.transform(segment)
    return (float(x), float(y)), (float(end_x), float(end_y))


def _segments(front: Sequence[Point]) -> list[Segment]:
    """The drawn front, piece by piece, in axis units."""
    places = [(point.multi_adds / 1e9, point.psnr_y_db) for point in front]
    return list(pairwise(places))


def themed(svg: str, *, prefix: str) -> str:
    """The SVG for embedding in a page: no XML prologue, ids of its own, colours as the page's variables."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'((?: id="|href="#|url\(#))', rf"\g<1>{prefix}-", body)
    for colour, variable in THEME.items():
        body = body.replace(colour, variable)
    return body
