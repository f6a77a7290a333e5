"""How far a network looks: measured by poisoned pixels, so that nothing needs to be declared.

NaN goes through every sum, product and activation, whatever the weights are, so the SR pixels that turn NaN are those
that can depend on a poisoned LR pixel. Double precision keeps the fast convolution algorithms away, which would carry
NaN to whole blocks.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from runner.inference import Network, infer
from zoo.protocols import Inference, Tiled, Whole

ALIGN_PX: Final = 16
"""Tiles begin at multiples of this: windows and strides of 2, 4, 8 and 16 px fall on them as in the whole image."""
EXACT: Final = 1e-5
"""Greatest difference of two SR images in [0, 1] that is the rounding of sums: 0.003 of an 8-bit level."""
UNKNOWN_HALO_PX: Final = 32
"""Halo where the field has no end."""
_WIDTH_PX: Final = 48
_WHOLE: Final = Whole()


@dataclass(frozen=True)
class ReceptiveField:
    """What `measure` found."""

    radius_px: int | None
    "LR pixels past the edge of a tile that move its SR; None: no end within the probe."
    probe_px: int
    "Length of the probe; fields of up to a third of it have an end there."

    @property
    def is_finite(self) -> bool:
        """False for a network with an operation over the whole image, or one that looks further than the probe."""
        return self.radius_px is not None


def measure(network: nn.Module, scale: int, *, rule: Inference = _WHOLE, probe_px: int = 256) -> ReceptiveField:
    """The receptive field of an eval-mode network at edges on multiples of 16 px, from two strips 48 LR pixels wide.

    A comparison with NaN is false, so a network that chooses by comparing may hide what only its choice depends on:
    `tiling_difference` is the proof.
    """
    double = copy.deepcopy(network).double().cpu()
    radius = 0
    for along in (2, 3):
        reach = _reach(double, scale, rule, along=along, probe_px=probe_px)
        if reach is None:
            return ReceptiveField(None, probe_px)
        radius = max(radius, reach)
    return ReceptiveField(radius, probe_px)


def _reach(network: Network, scale: int, rule: Inference, *, along: int, probe_px: int) -> int | None:
    """How far poisoned ends of a strip reach into it along one axis, None if they meet."""
    shape = [1, 3, _WIDTH_PX, _WIDTH_PX]
    shape[along] = probe_px
    strip = torch.rand(shape, generator=torch.Generator().manual_seed(0)).double()
    strip.narrow(along, 0, _WIDTH_PX).fill_(math.nan)
    strip.narrow(along, probe_px - _WIDTH_PX, _WIDTH_PX).fill_(math.nan)
    with torch.inference_mode():
        sr = infer(network, strip, scale, rule)
    # Cropping rules may have taken pixels off the far end, all of them poisoned.
    across = 5 - along
    clean = (~torch.isnan(sr).any(dim=1).any(dim=across - 1)[0]).nonzero().flatten()
    if not clean.numel():
        return None
    first, last = int(clean[0]), int(clean[-1])
    before = -(-first // scale) - _WIDTH_PX
    after = probe_px - _WIDTH_PX - (last + 1) // scale
    return max(before, after, 0)


def tiles_for(field: ReceptiveField, tile_px: int, *, multiple_px: int = 1) -> Tiled:
    """Tiles of about `tile_px` whose halo holds the field (32 px where it has no end), aligned for windows."""
    align_px = math.lcm(ALIGN_PX, multiple_px)
    halo_px = UNKNOWN_HALO_PX if field.radius_px is None else field.radius_px
    return Tiled(max(align_px, tile_px), -(-halo_px // align_px) * align_px, align_px)


def tiling_difference(network: Network, lr: Tensor, scale: int, tiles: Tiled, *, rule: Inference = _WHOLE) -> float:
    """Greatest difference of the SR of `lr` (n, 3, h, w) in tiles from its SR as a whole, clamped to [0, 1]."""

    def run(part: Tensor) -> Tensor:
        return infer(network, part, scale, rule)

    with torch.inference_mode():
        whole, tiled = run(lr), infer(run, lr, scale, tiles)
        return float((whole.clamp(0, 1) - tiled.clamp(0, 1)).abs().max())
