"""Blueprint separable and weight-normalised convolutions, and pixel-shuffle tails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pointwise = Callable[[int, int], nn.Module]
"""Builds a per-pixel linear map of channels from their numbers (in, out)."""


def conv1x1(in_channels: int, out_channels: int) -> nn.Module:
    """1x1 convolution with bias: the usual `Pointwise`."""
    return nn.Conv2d(in_channels, out_channels, 1)


def pixelwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer to each pixel's channels of an NCHW map; `nn.Linear` and `nn.LayerNorm` see channels last.

    Counters recognise these modules by their exact type, so they are called as they are instead of being wrapped.
    """
    if isinstance(layer, nn.Linear | nn.LayerNorm):
        return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return layer(x)


class BSConv(nn.Module):
    """Blueprint separable convolution (BSConv-U): `pw` 1x1 without bias, then `dw` depthwise kxk with bias.

    Haase and Amthor, CVPR 2020, in the form of BSRN (CVPRW 2022, Fig. 2). Zero padding in BSRN and LKDN, reflect
    padding in MDRN, LSANet and AGDN; stride and padding apply to `dw` only. `pointwise` replaces the 1x1 (BSRN-S).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        padding_mode: Literal["zeros", "reflect"] = "zeros",
        pointwise: Pointwise | None = None,
    ) -> None:
        super().__init__()
        self.pw = (
            nn.Conv2d(in_channels, out_channels, 1, bias=False)
            if pointwise is None
            else pointwise(in_channels, out_channels)
        )
        self.dw = nn.Conv2d(
            out_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            groups=out_channels,
            padding_mode=padding_mode,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.dw(pixelwise(self.pw, x))


class WeightNormConv2d(nn.Module):
    """Convolution with stride 1, zero padding that keeps the size and the weight `g * v / |v|`, norm by output channel.

    Keys `weight_g` (out, 1, 1, 1), `weight_v`, `bias`: those of `torch.nn.utils.weight_norm`, which is deprecated and
    writes a `weight` attribute in every forward pass. A tool that looks for a parameter named `weight` misses it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        start = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.weight_g = nn.Parameter(torch.ones(out_channels, 1, 1, 1))
        # The meta device has no values to take a norm of, and a network has hundreds of these layers to build.
        if not start.weight.is_meta:
            self.weight_g.data = _norm_by_output(start.weight.detach())
        self.weight_v = start.weight
        self.bias = start.bias
        self.padding = kernel_size // 2

    @property
    def weight(self) -> Tensor:
        """The weight that the convolution uses."""
        return self.weight_v * (self.weight_g / _norm_by_output(self.weight_v))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


def _norm_by_output(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=(1, 2, 3), keepdim=True)


def pixel_shuffle_tail(in_channels: int, scale: int, *, bias: bool = True, padding: int | str = 1) -> nn.Sequential:
    """3x3 convolution to 3*scale^2 channels (key `0`), then pixel shuffle: the tail of most efficient SR networks."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 3 * scale**2, 3, padding=padding, bias=bias),
        nn.PixelShuffle(scale),
    )


class OneStepUpsampler(nn.Module):
    """`pixel_shuffle_tail` under the key `upsampleOneStep`, as BSRN and its successors store it."""

    def __init__(self, in_channels: int, scale: int) -> None:
        super().__init__()
        self.upsampleOneStep = pixel_shuffle_tail(in_channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsampleOneStep(x)
