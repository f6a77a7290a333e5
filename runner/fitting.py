"""A network that fits into memory: what is too large for it goes through in tiles, halved until they fit."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from runner.inference import Network, infer
from runner.receptive_field import EXACT, ReceptiveField, measure, tiles_for, tiling_difference
from zoo.contract import JobFailed
from zoo.protocols import Size, Tiled

_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad allocation", "std::bad_alloc")
_SMALLEST_PX = 16


@dataclass(frozen=True, kw_only=True)
class TiledForMemory:
    """How an image went through that did not fit as a whole."""

    tiles: str
    "Id of the rule."
    receptive_field_px: int | None
    "Measured; None: no end within the probe, so tiles differ from the whole image."
    max_difference: float | None
    """Greatest difference of SR in [0, 1] between tiles and whole, on a part of this image that fits; None: no room for
    that, or an earlier image has shown tiles to equal the whole."""
    measured_on: str | None
    "Size of that part, in LR pixels."


@dataclass
class FittingNetwork:
    """`network`, called with inputs of any size, by several threads if it can be. One of them tiles at a time."""

    network: Network
    scale: int
    plain: nn.Module
    "The network as written, be `network` it or another form of it: its field is measured in double precision."
    multiple_px: int = 1
    _calls: threading.local = field(default_factory=threading.local)
    _tiling: threading.Lock = field(default_factory=threading.Lock)
    _field: ReceptiveField | None = None
    _too_large: int | None = None
    "LR pixels of the smallest input that did not fit."
    _exact: bool = False
    "Whether tiles were seen to equal the whole image."

    @property
    def tiled(self) -> TiledForMemory | None:
        """What this thread's last call came to."""
        found: TiledForMemory | None = getattr(self._calls, "tiled", None)
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """SR of `x` (n, 3, h, w). Raises JobFailed where even tiles of 16 px do not fit."""
        self._calls.tiled = None
        area = x.shape[0] * x.shape[2] * x.shape[3]
        if self._too_large is None or area < self._too_large:
            sr = self._attempt(x)
            if sr is not None:
                return sr
        with self._tiling:
            self._too_large = min(area, self._too_large or area)
            return self._in_tiles(x)

    def _in_tiles(self, x: Tensor) -> Tensor:
        found = self._receptive_field()
        side = max(x.shape[2:])
        while (side := -(-side // 2)) >= _SMALLEST_PX:
            tiles = tiles_for(found, side, multiple_px=self.multiple_px)
            sr = self._attempt(x, tiles)
            if sr is not None:
                self._calls.tiled = self._described(x, tiles, found)
                return sr
        raise JobFailed(
            f"An LR image of {Size(*x.shape[2:])} does not fit into memory, not even in tiles of {_SMALLEST_PX} px. "
            f"Close other programs, or use a machine with more memory."
        )

    def _attempt(self, x: Tensor, tiles: Tiled | None = None) -> Tensor | None:
        """SR, None where memory does not hold it."""
        try:
            return self.network(x) if tiles is None else infer(self.network, x, self.scale, tiles)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only past the handler is the traceback gone, which held the tensors of the attempt.
        gc.collect()
        if x.is_cuda:
            torch.cuda.empty_cache()
        return None

    def _receptive_field(self) -> ReceptiveField:
        if self._field is None:
            try:
                self._field = measure(self.plain, self.scale)
            except (MemoryError, RuntimeError):
                # Neither memory for the probe, nor double precision in every network: an unknown field has no end.
                self._field = ReceptiveField(None, 0)
        return self._field

    def _described(self, x: Tensor, tiles: Tiled, found: ReceptiveField) -> TiledForMemory:
        difference, part = None, None
        # A finite field is no proof: a map resized by the ratio of its sizes has one, and differs in tiles.
        if not self._exact:
            # The largest input that is known to fit: one tile with its halo.
            side = tiles.tile_px + 2 * tiles.halo_px
            top, left = (max(0, (have - side) // 2) for have in x.shape[2:])
            sample = x[:1, :, top : top + side, left : left + side]
            sample = sample[:, :, : _multiple(sample.shape[2], tiles), : _multiple(sample.shape[3], tiles)]
            halved = Tiled(max(tiles.align_px, side // 2), tiles.halo_px, tiles.align_px)
            try:
                difference = tiling_difference(self.network, sample, self.scale, halved)
                part = str(Size(*sample.shape[2:]))
                self._exact = found.is_finite and difference <= EXACT
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
        return TiledForMemory(
            tiles=tiles.id, receptive_field_px=found.radius_px, max_difference=difference, measured_on=part
        )


def _multiple(side: int, tiles: Tiled) -> int:
    return side - side % tiles.align_px if side >= tiles.align_px else side


def is_out_of_memory(error: BaseException) -> bool:
    """True for what Python, torch's allocators and its libraries raise when memory is not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words: Any = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in _WORDS)
