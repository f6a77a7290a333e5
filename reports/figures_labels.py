"""Names beside the discs of a scatter: they cover neither each other nor a disc, whatever the data.

adjustText finds a pleasant first place; it gives up on crowds. What still overlaps is moved here to the nearest free
place, and a name that finds none is refused, so that the caller can draw larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

GAP_PX: Final = 1.5
"""Room around every label."""
_STEP_PX: Final = 4.0
_ANGLES: Final = 24
_CROSSING: Final = 30.0
"""Pixels of a longer way that are worth not lying on the front, or not having a leader across another name."""


class Box(NamedTuple):
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the rectangle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def moved(self, dx: float, dy: float) -> Box:
        """The same rectangle elsewhere."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def grown(self, by: float) -> Box:
        """The rectangle with room around it."""
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def overlaps(self, other: Box) -> bool:
        """Whether the two share area."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def holds(self, other: Box) -> bool:
        """Whether the other lies inside."""
        return self.x0 <= other.x0 and self.y0 <= other.y0 and other.x1 <= self.x1 and other.y1 <= self.y1


Segment = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What labels are placed among."""

    area: Box
    "Where labels may be."
    blocked: Sequence[Box]
    "Discs and legends: never covered."
    lines: Sequence[Segment] = field(default=())
    "Lines that are covered only where the way around is long."


def settle(labels: Sequence[Box], anchors: Sequence[tuple[float, float]], scene: Scene) -> list[Box | None]:
    """A free place for every label, as near to the one it has as can be, in the same order; None where there is none.

    `anchors` are the points the labels name. Earlier labels have the first choice.
    """
    placed: list[Box | None] = []
    for label, anchor in zip(labels, anchors, strict=True):
        taken = [*scene.blocked, *(box.grown(GAP_PX) for box in placed if box is not None)]
        placed.append(_nearest(label, anchor, scene, taken, [box for box in placed if box is not None]))
    return placed


def _nearest(
    label: Box, anchor: tuple[float, float], scene: Scene, taken: Sequence[Box], names: Sequence[Box]
) -> Box | None:
    best, best_cost = None, math.inf
    for distance, box in _free_places(label, scene.area, taken):
        if distance > best_cost:
            break
        leader = (anchor, box.centre)
        crossings = sum(_crosses(line, box) for line in scene.lines) + sum(_crosses(leader, name) for name in names)
        cost = distance + _CROSSING * min(crossings, 4)
        if cost < best_cost:
            best, best_cost = box, cost
    return best


def _free_places(label: Box, area: Box, taken: Sequence[Box]) -> Iterator[tuple[float, Box]]:
    """Places inside the area that touch nothing taken, with their distance, nearest first."""
    shifts = _rings(math.ceil(math.hypot(area.x1 - area.x0, area.y1 - area.y0) / _STEP_PX))
    boxes = np.asarray(label) + np.tile(shifts, 2)
    inside = (boxes[:, :2] >= area[:2]).all(axis=1) & (boxes[:, 2:] <= area[2:]).all(axis=1)
    shifts, boxes = shifts[inside], boxes[inside]
    blocks = np.asarray(taken, dtype=float).reshape(-1, 4)
    under = np.all(boxes[:, None, :2] < blocks[None, :, 2:], axis=2)
    over = np.all(blocks[None, :, :2] < boxes[:, None, 2:], axis=2)
    for k in np.flatnonzero(~np.any(under & over, axis=1)):
        yield float(np.hypot(*shifts[k])), Box(*map(float, boxes[k]))


@cache
def _rings(number: int) -> npt.NDArray[np.float64]:
    """(n, 2): no shift, then shifts on rings growing outwards."""
    angles = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    radii = _STEP_PX * np.arange(1, number)
    return np.concatenate((np.zeros((1, 2)), (radii[:, None, None] * circle).reshape(-1, 2)))


def _crosses(segment: Segment, box: Box) -> bool:
    """Whether a segment runs through a rectangle (Liang and Barsky's clipping)."""
    (x, y), (end_x, end_y) = segment
    dx, dy = end_x - x, end_y - y
    low, high = 0.0, 1.0
    for step, room in ((-dx, x - box.x0), (dx, box.x1 - x), (-dy, y - box.y0), (dy, box.y1 - y)):
        if step == 0:
            if room < 0:
                return False
        elif step < 0:
            low = max(low, room / step)
        else:
            high = min(high, room / step)
    return low < high


def leader(anchor: tuple[float, float], radius: float, label: Box) -> Segment | None:
    """Line from the edge of a disc to the nearest point of its label; None where the two lie side by side."""
    x, y = anchor
    end = (min(max(x, label.x0), label.x1), min(max(y, label.y0), label.y1))
    distance = math.hypot(end[0] - x, end[1] - y)
    if distance < radius + 2.5 * GAP_PX + 4:
        return None
    share = radius / distance
    return (x + share * (end[0] - x), y + share * (end[1] - y)), end
