"""Work on an image in bands of rows, so that what is made in between stays in the cache and memory is reused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

BAND_PIXELS: Final = 24_000
"""Pixels of a band: a map of 84 channels in float32 takes 8 MiB."""
ROWS_PER_HALO: Final = 8
"""Least rows of a band for each row of its halo: on wide images thin bands would mostly compute their halos."""


@dataclass(frozen=True)
class Band:
    """Rows `start` to `stop` of a result; `top` to `bottom` are the rows to read for it, the halo included."""

    start: int
    stop: int
    top: int
    bottom: int

    @property
    def read(self) -> slice:
        """The rows to read."""
        return slice(self.top, self.bottom)

    @property
    def write(self) -> slice:
        """The rows of the result."""
        return slice(self.start, self.stop)

    @property
    def keep(self) -> slice:
        """The rows of the result, counted from the first row read."""
        return slice(self.start - self.top, self.stop - self.top)


def bands_pay(x: Tensor) -> bool:
    """Whether bands are faster than whole maps: on a CPU, unless a compiler makes its own loops."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def bands(x: Tensor, *, halo: int) -> Iterator[Band]:
    """The bands of an NCHW map, one of all rows where bands do not pay."""
    n, _, h, w = x.shape
    count = 1
    if bands_pay(x):
        count = max(1, min(round(n * h * w / BAND_PIXELS), h // max(ROWS_PER_HALO * halo, 1)))
    for i in range(count):
        start, stop = h * i // count, h * (i + 1) // count
        yield Band(start, stop, max(0, start - halo), min(h, stop + halo))


class Ahead:
    """Completes the rows of a map in place, each once and just before it is first read."""

    def __init__(self, complete: Callable[[slice], None] = lambda _rows: None) -> None:
        self._complete, self._done = complete, 0

    def upto(self, row: int) -> None:
        """Complete all rows before `row`."""
        if row > self._done:
            self._complete(slice(self._done, row))
            self._done = row


def empty_map(like: Tensor, channels: int) -> Tensor:
    """An uninitialised map of the size of `like`, channels last in memory."""
    n, _, h, w = like.shape
    return like.new_empty(n, h, w, channels).permute(0, 3, 1, 2)


def part_of(scratch: Tensor, channels: int) -> Tensor:
    """A map of fewer channels in the memory of `scratch`, a map of `empty_map`."""
    n, _, h, w = scratch.shape
    return scratch.permute(0, 2, 3, 1).flatten()[: n * h * w * channels].view(n, h, w, channels).permute(0, 3, 1, 2)


def in_bands(function: Callable[[Tensor], Tensor], x: Tensor, *, halo: int) -> Tensor:
    """`function(x)` for a function that keeps the size of NCHW maps and sees `halo` rows up and down.

    What it pads counts as seen: a padding inside the image must not reach the rows that are kept.
    """
    out: Tensor | None = None
    for band in bands(x, halo=halo):
        y = function(x[:, :, band.read])[:, :, band.keep]
        if y.shape[2] == x.shape[2]:
            return y
        if out is None and x.is_contiguous():
            out = x.new_empty(x.shape[0], y.shape[1], *x.shape[2:])
        elif out is None:
            out = empty_map(x, y.shape[1])
        out[:, :, band.write] = y
    assert out is not None
    return out
