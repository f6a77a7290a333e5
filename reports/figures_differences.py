"""Two networks image by image as a file: sorted differences, their mean with its interval, the images at both ends."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from reports.figures import ACCENT, GRID, INK, MUTED, shortened
from reports.figures_canvas import canvas_of, saved
from reports.interactive import ImageSet
from reports.statistics import FEWEST_IMAGES, mean_intervals
from zoo.contract import BadInput

WORSE: Final = "#8a6100"
NAMED: Final = 40
"""Images up to which every bar has its name; of more only the ends are named."""
_ENDS: Final = 3


def chosen_set(
    sets: Sequence[ImageSet], first: str, second: str, *, scale: int, dataset: str | None
) -> tuple[ImageSet, str, str]:
    """The data set and the two networks (by zoo name or as tables print them).

    Without a data set the largest at this scale that has both. Raises BadInput with what there is and the command that
    would fill it.
    """
    found = [one for one in sets if one.scale == scale and dataset in (None, one.group)]
    if not found:
        there = sorted({f"{one.group} x{one.scale}" for one in sets})
        raise BadInput(
            f"No per-image values of two networks on {dataset or 'any data set'} at x{scale}. There are: "
            f"{', '.join(there) or 'none'}. Run `esr bench {first} {second} --scale {scale} --tasks quality "
            f"--data {dataset or 'Set14'}`."
        )
    both = [one for one in found if _model(one, first) and _model(one, second)]
    if not both:
        names = sorted({model for one in found for model in one.values})
        lacking = next(name for name in (first, second) if not any(_model(one, name) for one in found))
        close = difflib.get_close_matches(lacking, names, n=2)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(names)}."
        raise BadInput(f"{lacking} has no per-image values on {dataset or 'a data set'} at x{scale}. {hint}")
    best = max(both, key=lambda one: len(one.names))
    a, b = _model(best, first), _model(best, second)
    if a is None or b is None or a == b:
        raise BadInput(f"A difference needs two networks, got {first} twice. Name another.")
    return best, a, b


def _model(images: ImageSet, name: str) -> str | None:
    if name in images.values:
        return name
    return next((model for model, shown in images.display_names.items() if shown == name), None)


def draw_difference(images: ImageSet, first: str, second: str, *, file_format: str) -> bytes:
    """The figure in a format of `reports.figures_canvas.FORMATS`. Raises BadInput where no image has both values."""
    names = {model: images.display_names[model] for model in (first, second)}
    gaps = {
        name: images.values[first][name] - images.values[second][name]
        for name in images.names
        if math.isfinite(images.values[first][name]) and math.isfinite(images.values[second][name])
    }
    if len(gaps) < 2:
        raise BadInput(f"{first} and {second} share fewer than two images with finite values on {images.group}.")
    order = sorted(gaps, key=lambda name: (-gaps[name], name))
    both = {model: {name: images.values[model][name] for name in order} for model in (first, second)}
    title = f"{shortened(names[first])} − {shortened(names[second])} on {images.group} ×{images.scale}"
    with canvas_of(7.2, 3.9 if len(order) <= NAMED else 3.6) as canvas:
        axes = canvas.add_subplot()
        _draw_bars(axes, order, gaps)
        _draw_mean(axes, gaps, *mean_intervals(both)[0])
        _draw_axes(axes, title)
        _draw_names(axes, order, gaps)
        return saved(canvas, file_format=file_format, title=title)


def _draw_bars(axes: Any, order: Sequence[str], gaps: Mapping[str, float]) -> None:
    colours = [ACCENT if gaps[name] >= 0 else WORSE for name in order]
    axes.bar(range(len(order)), [gaps[name] for name in order], width=0.8, color=colours, alpha=0.75, linewidth=0)


def _draw_mean(axes: Any, gaps: Mapping[str, float], low: float, high: float) -> None:
    mean = math.fsum(gaps.values()) / len(gaps)
    axes.axhspan(low, high, color=INK, alpha=0.12, linewidth=0)
    axes.axhline(mean, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    told = f"mean {mean:+.3f} dB, 95 % interval [{low:+.3f}, {high:+.3f}], {len(gaps)} images"
    if len(gaps) < FEWEST_IMAGES:
        told += ": too few to trust it"
    axes.set_title(told, loc="right", color=MUTED, fontsize=8)


def _draw_axes(axes: Any, title: str) -> None:
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.set_title(title + "\n", loc="left", color=INK, fontweight="bold", parse_math=False)
    axes.set_ylabel("Difference of PSNR-Y [dB]")
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.margins(x=0.01, y=0.12)


def _draw_names(axes: Any, order: Sequence[str], gaps: Mapping[str, float]) -> None:
    if len(order) <= NAMED:
        axes.set_xticks(range(len(order)), [shortened(name) for name in order], rotation=55, ha="right", fontsize=7.5)
        axes.tick_params(axis="x", colors=INK)
        return
    axes.set_xticks([])
    axes.set_xlabel("images, by difference")
    best, worst = ", ".join(map(shortened, order[:_ENDS])), ", ".join(map(shortened, reversed(order[-_ENDS:])))
    high, low = gaps[order[0]], gaps[order[-1]]
    ends = (
        (0, high, f"highest: {best} ({high:+.2f} …)", "left", 6),
        (len(order) - 1, low, f"lowest: {worst} ({low:+.2f} …)", "right", -6),
    )
    for x, y, told, side, shift in ends:
        axes.annotate(
            told,
            (x, y),
            xytext=(0, shift),
            textcoords="offset points",
            ha=side,
            va="bottom" if shift > 0 else "top",
            fontsize=8,
            color=INK,
            parse_math=False,
        )
