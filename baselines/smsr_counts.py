"""What SMSR's inference costs when masks are skipped: by mask density, and by the rule behind the printed numbers.

Every number is in multi-adds of convolutions for one LR image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from baselines.smsr import SMB, SMM, SMSR
from zoo.contract import BadInput
from zoo.protocols import Size

WIDTH, MODULES, LAYERS = 64, 5, 4
KERNEL: Final = 9
"""Taps of a 3x3 kernel."""

PRINTED_SKIPPED_SHARE: Final = {2: 0.49, 3: 0.39, 4: 0.33}
"""Share of the bodies' multi-adds that the printed numbers leave out, by scale; solved from them, not published."""


class Parts(NamedTuple):
    """Multi-adds of the whole network with every mask on, in four parts."""

    mean_shifts: int
    outside: int
    "Head, collect and tail."
    mask_nets: int
    "The five networks that predict spatial masks."
    bodies: int
    "The five SMBs with their channel attention: what masks make cheaper."

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self)


def dense_parts(lr: Size, scale: int) -> Parts:
    """Multi-adds with every mask on at an LR size; the transposed convolutions at their input size."""
    pixels, quarter = lr.height * lr.width, (lr.height // 2) * (lr.width // 2)
    hidden = WIDTH // 4
    mask_net = KERNEL * (pixels * WIDTH * hidden + quarter * (hidden * hidden + hidden * 2))
    sparse_block = pixels * (LAYERS * KERNEL * WIDTH**2 + LAYERS * WIDTH * WIDTH)
    return Parts(
        mean_shifts=9 * pixels * (1 + scale**2),
        outside=pixels
        * (
            KERNEL * (3 * WIDTH + WIDTH**2)
            + MODULES * WIDTH * WIDTH
            + KERNEL * WIDTH**2
            + KERNEL * WIDTH * 3 * scale**2
        ),
        mask_nets=MODULES * mask_net,
        bodies=MODULES * (sparse_block + _attention()),
    )


def _attention() -> int:
    return 2 * WIDTH * (WIDTH // 16)


def sparse_multi_adds(network: SMSR, lr: Size, densities: Sequence[float]) -> int:
    """Multi-adds that are left when everything outside the masks is skipped.

    The channel masks are the network's own; `densities` is the share of pixels inside each module's spatial mask
    (`SMSR.mask_densities`), which depends on image content. All ones give the dense count. Raises BadInput.
    """
    if len(densities) != MODULES or not all(0 <= density <= 1 for density in densities):
        raise BadInput(f"Expected {MODULES} mask densities in [0, 1], one for each module, got {list(densities)}.")
    parts = dense_parts(lr, network.scale)
    blocks = [module.body for module in network.body if isinstance(module, SMM)]
    pixels = lr.height * lr.width
    bodies = sum(
        pixels * _block_per_pixel(dense_channels(block), density) + _attention()
        for block, density in zip(blocks, densities, strict=True)
    )
    return round(parts.total - parts.bodies + bodies)


def dense_channels(block: SMB) -> list[int]:
    """Number of dense channels of each layer by the hard channel masks."""
    return [int(count) for count in torch.softmax(block.ch_mask, -1).round()[0, :, :, 0].sum(0).tolist()]


def _block_per_pixel(dense: Sequence[int], density: float) -> float:
    """Mean multi-adds of one SMB for one pixel."""
    total, before = 0.0, WIDTH
    for kept in dense:
        sparse, sparse_before = WIDTH - kept, WIDTH - before
        inside = before * sparse + sparse_before * WIDTH
        total += KERNEL * (before * kept + density * inside)
        total += WIDTH * (kept + density * sparse)
        before = kept
    return total


def printed_multi_adds(lr: Size, scale: int) -> int:
    """Multi-adds by the rule that gives the paper's 131.6G, 67.8G and 41.6G at 720p.

    Transposed convolutions at their output size, no mean shifts, and a fixed share of the bodies skipped.
    """
    return round(dense_parts(lr, scale).total + sum(from_exact(lr, scale).values()))


def from_exact(lr: Size, scale: int) -> dict[str, float]:
    """What the rule counts more or less than the network with every mask on."""
    parts = dense_parts(lr, scale)
    quarter = (lr.height // 2) * (lr.width // 2)
    return {
        "mean shifts left out": -parts.mean_shifts,
        "transposed convolutions at output size": 3 * MODULES * KERNEL * (WIDTH // 4) * 2 * quarter,
        "skipped by masks": -PRINTED_SKIPPED_SHARE[scale] * parts.bodies,
    }
