"""When an image is cut into tiles: where the network's tensors would not fit into the memory that is free."""

from __future__ import annotations

from math import isqrt
from typing import Final

import psutil
import torch

from zoo.contract import JobFailed, ModelSpec
from zoo.protocols import Size, Tiled

PROBE: Final = Size(192, 192)
"""LR size at which the memory of a pass is counted; it grows with the pixels from there on."""

OVERHEAD: Final = 2.0
"""What a pass takes over the sum of its live tensors: workspaces of convolutions, and the allocator's holes."""

SHARE: Final = 0.6
"""Share of the free memory that one image may take."""

SMALLEST_PX: Final = 32

UNCOUNTED: Final = 20_000.0
"""Bytes per LR pixel of a network that cannot be counted: more than any of the zoo takes."""


def bytes_per_pixel(spec: ModelSpec, scale: int) -> float:
    """Memory that a pass takes for each LR pixel, counted without running it."""
    from runner.counters.exact import count_exact
    from runner.counters.subject import subject_of

    side = -(-max(PROBE.height, spec.min_side_px) // spec.size_multiple_px) * spec.size_multiple_px
    try:
        counted = count_exact(subject_of(spec, lr=Size(side, side), scale=scale))
    except JobFailed:
        return UNCOUNTED
    return OVERHEAD * counted.peak_activation_bytes / side**2


def free_bytes(device: str) -> int:
    """Memory that is free now, of the GPU or of the machine."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def tiles_for(lr: Size, *, per_pixel: float, free: int, halo_px: int) -> Tiled | None:
    """The largest tiles that fit into a share of `free` bytes; None where the whole image does."""
    pixels = int(SHARE * free / per_pixel)
    if lr.height * lr.width <= pixels:
        return None
    return Tiled(max(SMALLEST_PX, isqrt(pixels) - 2 * halo_px), halo_px)
