"""What the page's interactive plots are drawn from: every number with its run or citation, compact and deterministic.

Arrays are positional to stay small at ten thousand networks; the sections' scripts name the positions in that order.
"""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Any, Final

from reports.assemble import Report
from reports.columns import Column
from reports.compare import VerdictKind
from reports.evidence import COMPLEXITY, LATENCY
from reports.payload import Pools
from reports.significance import Comparison
from reports.statistics import FEWEST_IMAGES, Difference, mean_intervals
from reports.tables import CellKind, Slot, Table
from reports.trained_here import base_of
from zoo.facts import Json, Measured, Ok
from zoo.protocols import Size
from zoo.quantities import (
    ACTIVATIONS,
    MULTI_ADDS,
    PARAMS,
    PEAK_MEMORY,
    PSNR_Y,
    Direction,
    Metric,
)

IMAGE_VALUES: Final = 200_000
"""Per-image numbers that the page holds at most (about 1.5 MB)."""
INTERVAL_MODELS: Final = 12
"""Networks whose pairs get an interval where the report has not compared them (other protocols)."""
INTERVAL_WORK: Final = 20_000
"""Images times networks up to which a data set gets intervals (about a second)."""
FEWEST_SIZES: Final = 3
"""LR sizes that make a curve."""

_VERDICTS: Final = list(VerdictKind)
_ABLATION: Final = 1
_TRAINED_HERE: Final = 2
_DERIVED: Final = {
    (COMPLEXITY, PARAMS.name): (
        "peak_activation_bytes",
        "Peak activation memory",
        "Activations alive at once, counted.",
    ),
    (LATENCY, "median_ms"): (PEAK_MEMORY.name, "Peak memory", "Peak memory of the timed process."),
}
"""Quantities without a column of their own, taken from the run behind another column."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One choice of the axis menus: a column of the results table, or a value of the runs behind one."""

    key: str
    label: str
    metric: Metric
    group: str
    about: str
    column: int
    value: str | None = None
    "Name in the run's values; None for the column's own number."

    def measured(self, slot: Slot) -> float | None:
        """Our current number in the displayed unit; stale, failed and infinite ones make no point."""
        cell = slot.measured
        if cell.stale or cell.kind is not CellKind.MEASURED:
            return None
        raw = cell.value if self.value is None else cell.runs[0].values.get(self.value)
        return self._shown(raw)

    def printed(self, slot: Slot) -> float | None:
        """The paper's number in the displayed unit."""
        return self._shown(slot.printed.value) if slot.printed and self.value is None else None

    def _shown(self, raw: Any) -> float | None:
        # Counters may know no peak memory; bool is an int.
        if not isinstance(raw, (int, float)) or isinstance(raw, bool) or not math.isfinite(raw):
            return None
        return _short(raw / self.metric.display_scale)


@cache
def plots_library() -> str:
    """Script that the plots' sections share, with plotly.js of the installed package inside.

    plotly.js travels as base64 of its gzip, two fifths of its size, and is unpacked when a plot comes into view.
    """
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    # A time in the header would change the page with the clock.
    packed = base64.b64encode(gzip.compress(script, compresslevel=9, mtime=0)).decode()
    shared = resources.files("reports").joinpath("templates", "plots_library.js").read_text(encoding="utf-8")
    return shared.replace("%PACKED%", packed)


# --- the scatter ----------------------------------------------------------------------------------------------------


def axes_of(table: Table) -> list[Axis]:
    """What can be put on an axis at one scale: every column that holds a number, and memory."""
    found = []
    for index, column in enumerate(table.columns):
        found.append(_own_axis(column, index))
        if derived := _DERIVED.get((column.rule.task, column.metric.name)):
            found.append(_derived_axis(column, index, derived))
    slots = [row.slots for row in table.rows]

    def filled(axis: Axis) -> bool:
        return any(
            axis.measured(row[axis.column]) is not None or axis.printed(row[axis.column]) is not None for row in slots
        )

    return [axis for axis in found if filled(axis)]


def _own_axis(column: Column, index: int) -> Axis:
    label = f"{column.metric.label} on {column.group}" if column.dataset else column.metric.label
    return Axis(key=column.key, label=label, metric=column.metric, group=column.group, about=column.about, column=index)


def _derived_axis(column: Column, index: int, derived: tuple[str, str, str]) -> Axis:
    value, label, about = derived
    return Axis(
        key=f"{value} {column.key}",
        label=label,
        metric=PEAK_MEMORY,
        group=column.group,
        about=f"{about} {column.about if column.rule.task == LATENCY else ''}".strip(),
        column=index,
        value=value,
    )


def views(tables: Iterable[Table], pools: Pools) -> Json:
    """One view per scale: its axes, and every network that has a number on one of them."""
    return [_view(table, pools) for table in tables]


def _view(table: Table, pools: Pools) -> Json:
    axes = axes_of(table)
    rows: list[Json] = []
    for row in table.rows:
        measured: list[Json] = []
        printed: list[Json] = []
        for place, axis in enumerate(axes):
            slot = row.slots[axis.column]
            if (value := axis.measured(slot)) is not None:
                measured += [place, value, pools.run(slot.measured.runs[0]), pools.text(slot.measured.detail)]
            if (value := axis.printed(slot)) is not None and slot.printed:
                verdict = slot.printed.verdict
                printed += [
                    place,
                    value,
                    pools.text(slot.printed.citation),
                    _VERDICTS.index(verdict.kind) if verdict else -1,
                ]
        if measured or printed:
            flags = _ABLATION * row.ablation | _TRAINED_HERE * bool(base_of(row.model))
            rows.append([row.model, row.display_name, flags, measured, printed])
    return {"scale": table.scale, "axes": [_axis(axis) for axis in axes], "rows": rows}


def _axis(axis: Axis) -> Json:
    metric = axis.metric
    return {
        "key": axis.key,
        "label": axis.label,
        "unit": metric.display_unit,
        "digits": metric.digits,
        "higher": metric.direction is Direction.HIGHER,
        "group": axis.group,
        "about": axis.about,
        "metric": metric.name,
    }


def _short(value: float) -> float | int:
    """Seven digits: more than any table shows, fewer bytes."""
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


# --- differences over images ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """PSNR of every image of a data set, by network: one column of the results table, so the same images throughout."""

    scale: int
    group: str
    protocol: str
    names: tuple[str, ...]
    values: Mapping[str, Mapping[str, float]]
    "Model -> image -> dB; inf where an image is equal to HR."
    display_names: Mapping[str, str]
    left_out: int = 0
    "Networks for which there was no room."


def image_sets(tables: Iterable[Table], *, room: int = IMAGE_VALUES) -> Iterator[ImageSet]:
    """Every PSNR column in which at least two networks have a number for each image, `room` numbers in all."""
    for table in tables:
        for index, column in enumerate(table.columns):
            if column.metric is not PSNR_Y:
                continue
            values: dict[str, dict[str, float]] = {}
            names, left_out = {}, 0
            for row in table.rows:
                cell = row.slots[index].measured
                if cell.kind is not CellKind.MEASURED or cell.stale:
                    continue
                # Not even read where it would not fit: of thousands of networks that takes longest.
                if values and (len(values) + 1) * len(next(iter(values.values()))) > room:
                    left_out += 1
                elif images := _per_image(cell.runs[0]):
                    values[row.model], names[row.model] = images, row.display_name
            # One column is one set of images; a record that lacks some of them cannot be compared with the others.
            first = next(iter(values.values()), {})
            values = {model: images for model, images in values.items() if images.keys() == first.keys()}
            if len(values) > 1 and len(first) > 1 and len(values) * len(first) <= room:
                room -= len(values) * len(first)
                yield ImageSet(
                    scale=table.scale,
                    group=column.group,
                    protocol=column.rule.protocol,
                    names=tuple(first),
                    values=values,
                    display_names={model: names[model] for model in values},
                    left_out=left_out,
                )


def _per_image(run: Measured) -> dict[str, float]:
    found = run.values.get("per_image")
    if not isinstance(found, list):
        return {}
    return {str(image["name"]): float(image["psnr_y_db"]) for image in found}


def differences_payload(tables: Iterable[Table], comparisons: Iterable[Comparison] = ()) -> list[Json]:
    """Per-image PSNR of every data set, as long as there is room, with the intervals of `comparisons`."""
    known = {(one.scale, one.dataset): one.pairs for one in comparisons}
    content: list[Json] = []
    for found in image_sets(tables, room=IMAGE_VALUES):
        kept = list(found.values)
        content.append(
            {
                "scale": found.scale,
                "group": found.group,
                "protocol": found.protocol,
                "names": list(found.names),
                "models": [[model, found.display_names[model]] for model in kept],
                "psnr": [[_decibels(found.values[model][name]) for name in found.names] for model in kept],
                "intervals": _intervals(found, kept, known.get((found.scale, found.group), ())),
                "few": len(found.names) < FEWEST_IMAGES,
                "left_out": found.left_out,
            }
        )
    return content


def _decibels(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _intervals(images: ImageSet, kept: Sequence[str], pairs: Sequence[Difference]) -> list[Json]:
    """[i, j, low, high] of the mean of network i minus network j of `kept`; pairs without an interval are left out."""
    if not pairs:
        return _own_intervals(images, kept[:INTERVAL_MODELS])
    place = {model: index for index, model in enumerate(kept)}
    found: list[Json] = []
    for pair in pairs:
        if pair.first in place and pair.second in place:
            gap = _mean(images, pair.first) - _mean(images, pair.second)
            # The same records are behind both, unless a data set exists in several versions.
            if math.isclose(gap, pair.mean_db, abs_tol=1e-9):
                found.append([place[pair.first], place[pair.second], round(pair.low_db, 4), round(pair.high_db, 4)])
    return found


def _own_intervals(images: ImageSet, models: Sequence[str]) -> list[Json]:
    """The same where nothing was compared yet; nothing where a value is infinite or it would take too long."""
    values = {model: images.values[model] for model in models}
    if len(models) * len(images.names) > INTERVAL_WORK:
        return []
    if any(not math.isfinite(value) for one in values.values() for value in one.values()):
        return []
    places = combinations(range(len(models)), 2)
    return [
        [i, j, round(low, 4), round(high, 4)]
        for (i, j), (low, high) in zip(places, mean_intervals(values), strict=True)
    ]


def _mean(images: ImageSet, model: str) -> float:
    return math.fsum(images.values[model].values()) / len(images.names)


# --- cost over size -------------------------------------------------------------------------------------------------

_CURVE_VALUES: Final = (MULTI_ADDS.name, ACTIVATIONS.name, "peak_activation_bytes")


def curves(report: Report) -> list[Json]:
    """Networks counted at several LR sizes: [scale, model, name, [[height, width, multi-adds, activations, bytes]]]."""
    names = {row.model: row.display_name for table in report.tables for row in table.rows}
    found: dict[tuple[int, str], dict[Size, list[Json]]] = {}
    # Runs are in order, newest first: the first of a size is the one that counts.
    for run in report.runs:
        if run.key.task == COMPLEXITY and isinstance(run.outcome, Ok) and not run.stale:
            values: list[Json] = [run.values.get(name) for name in _CURVE_VALUES]
            if (lr := _counted_lr(run.key.protocol)) and values[0] is not None:
                found.setdefault((run.key.scale, run.key.model), {}).setdefault(lr, values)
    order = sorted(found, key=lambda place: (-place[0], names.get(place[1], place[1]).lower(), place[1]))
    return [
        [scale, model, names.get(model, model), _by_area(found[scale, model])]
        for scale, model in order
        if len(found[scale, model]) >= FEWEST_SIZES
    ]


def _counted_lr(protocol: str) -> Size | None:
    head = protocol.partition("-")[0]
    return Size.parse(head.removeprefix("lr")) if head.startswith("lr") else None


def _by_area(costs: Mapping[Size, Sequence[Json]]) -> Json:
    return [[lr.height, lr.width, *costs[lr]] for lr in sorted(costs, key=lambda lr: (lr.height * lr.width, lr))]
