"""Networks in the plane of cost and quality: the points of a figure, and the front that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reports.columns import Column
from reports.tables import Cell, CellKind, Table
from reports.trained_here import base_of
from zoo.quantities import MULTI_ADDS, PARAMS, PSNR_Y

ROOM_BELOW: Final = 0.12
"""Of the range of PSNR: what an axis leaves free below, for the size key."""


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
    below: tuple[Point, ...] = ()
    "Networks with weights of this suite that would stretch the axis of the others: told at its edge, not drawn."
    reference: Point | None = None
    "A network that costs nothing (interpolation): drawn as a level."

    @property
    def networks(self) -> tuple[Point, ...]:
        """All of them, drawn or told."""
        return self.points + self.below


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
    trained_here: list[Point] = []
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
        if point.params <= 0:
            reference = point
        elif base_of(row.model):
            trained_here.append(point)
        else:
            points.append(point)
    below = _far_below(trained_here, points)
    points += [point for point in trained_here if point not in below]
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
        below=below,
        reference=reference,
    )


def _far_below(points: Sequence[Point], others: Sequence[Point]) -> tuple[Point, ...]:
    """Those below the room that the axis of the others leaves; none where two others do not make an axis."""
    if len(others) < 2:
        return ()
    lowest, highest = (find(point.psnr_y_db for point in others) for find in (min, max))
    return tuple(point for point in points if point.psnr_y_db < lowest - ROOM_BELOW * (highest - lowest))


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
