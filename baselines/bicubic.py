"""Bicubic upsampling as MATLAB's imresize does it: the zero-parameter reference of every SR table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Paper

TAPS = 5
"""Source pixels that can reach one output pixel along a side (support 4, any phase)."""


def _cubic(distance: float) -> float:
    """Keys' kernel with a = -0.5."""
    d = abs(distance)
    if d <= 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def _mirrored(x: Tensor, dim: int) -> Tensor:
    """Two more pixels on both ends of `dim`, mirrored with the edge repeated (MATLAB's "symmetric")."""
    length = x.shape[dim]
    index = torch.arange(-2, length + 2, device=x.device)
    index = torch.maximum(index, -1 - index)
    # One pixel is its own mirror image, twice.
    return x.index_select(dim, torch.minimum(index, 2 * length - 1 - index).clamp(min=0))


class Bicubic(nn.Module):
    """One fixed 5x5 kernel for each of the scale^2 phases, then pixel shuffle: (n, 3, h, w) -> (n, 3, h*s, w*s)."""

    kernel: Tensor

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        phases = [(i + 0.5) / scale - 0.5 for i in range(scale)]
        taps = [[_cubic(k - TAPS // 2 - phase) for k in range(TAPS)] for phase in phases]
        kernel = torch.tensor([[[[y * x for x in b] for y in a]] for a in taps for b in taps])
        self.register_buffer("kernel", kernel.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = _mirrored(_mirrored(x, 2), 3)
        return F.pixel_shuffle(F.conv2d(x, self.kernel, groups=3), self.scale)


SPECS = (
    ModelSpec(
        name="bicubic",
        display_name="Bicubic",
        build=lambda scale: Bicubic(scale=scale),
        scales=(2, 3, 4),
        paper=Paper(
            title="Cubic convolution interpolation for digital image processing",
            authors="Keys",
            venue="TASSP 1981",
            year=1981,
        ),
        licence="MIT",
        learned=False,
        note="Interpolation without learned parameters.",
    ),
)
