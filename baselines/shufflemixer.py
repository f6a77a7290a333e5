"""ShuffleMixer and ShuffleMixer-tiny (NeurIPS 2022, Fig. 2): shuffled point-wise MLPs, large depthwise kernels."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Paper
from zoo.layers.norm import ChannelLayerNorm
from zoo.paper_count import MultiAddRule, PaperCount

SHUFFLE_GROUPS: Final = 8


def layer_norm(dim: int) -> nn.Sequential:
    """Layer norm over channels with a weight and no bias, stored under `body`."""
    return nn.Sequential(OrderedDict(body=ChannelLayerNorm(dim, eps=1e-5, bias=False)))


class SplitPointMlp(nn.Module):
    """Point-wise MLP on the first half of the channels, then a channel shuffle with the untouched second half."""

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        half = dim // 2
        hidden = half * ratio
        self.fc = nn.Sequential(nn.Conv2d(half, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        mixed, passed = x.chunk(2, dim=1)
        return F.channel_shuffle(torch.cat((self.fc(mixed), passed), dim=1), SHUFFLE_GROUPS)


class SMLayer(nn.Module):
    """Shuffle mixer layer: channel projection, depthwise convolution without a residual, channel projection."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim)
        self.norm2 = layer_norm(dim)
        self.spatial = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.mlp1 = SplitPointMlp(dim)
        self.mlp2 = SplitPointMlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mlp1(self.norm1(x)) + x
        x = self.spatial(x)
        return self.mlp2(self.norm2(x)) + x


class FMBlock(nn.Module):
    """Feature mixing block: two shuffle mixer layers, then a Fused-MBConv-like 3x3 and 1x1, each with a residual."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.net = nn.Sequential(SMLayer(dim, kernel_size), SMLayer(dim, kernel_size))
        self.conv = nn.Sequential(nn.Conv2d(dim, dim + 16, 3, padding=1), nn.SiLU(), nn.Conv2d(dim + 16, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.net(x) + x
        return self.conv(x) + x


def upsampling_steps(dim: int, scale: int) -> list[nn.Module]:
    """1x1, pixel shuffle and SiLU in one step at x2 and x3, in two steps of 2 at x4."""
    steps: list[nn.Module] = []
    for factor in (2, 2) if scale == 4 else (scale,):
        steps += [nn.Conv2d(dim, dim * factor**2, 1), nn.PixelShuffle(factor), nn.SiLU()]
    return steps


class ShuffleMixer(nn.Module):
    """RGB in [0, 1] of any size; the output adds the bilinearly enlarged input. `tail` runs at HR size."""

    def __init__(self, *, scale: int, dim: int, kernel_size: int, num_block: int = 5) -> None:
        super().__init__()
        self.scale = scale
        self.to_feat = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(FMBlock(dim, kernel_size) for _ in range(num_block)))
        self.upsapling = nn.Sequential(*upsampling_steps(dim, scale))
        self.tail = nn.Conv2d(dim, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        base = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.tail(self.upsapling(self.blocks(self.to_feat(x)))) + base


PAPER: Final = Paper(
    title="ShuffleMixer: An Efficient ConvNet for Image Super-Resolution",
    authors="Sun, Pan, Tang",
    venue="NeurIPS 2022",
    year=2022,
    arxiv="2205.15175",
    code_url="https://github.com/sunny2109/ShuffleMixer",
)
LICENCE: Final = "MIT (README); the LICENSE folder holds Apache-2.0"
NOTE: Final = "The authors publish weights on file hosts only, so no checkpoint is declared."

SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="shufflemixer",
        display_name="ShuffleMixer",
        build=lambda scale: ShuffleMixer(scale=scale, dim=64, kernel_size=7),
        scales=(2, 3, 4),
        paper_count=PaperCount(multi_adds=MultiAddRule.FVCORE, digits=0),
        paper=PAPER,
        licence=LICENCE,
        note=NOTE,
    ),
    ModelSpec(
        name="shufflemixer_tiny",
        display_name="ShuffleMixer-tiny",
        build=lambda scale: ShuffleMixer(scale=scale, dim=32, kernel_size=3),
        scales=(2, 3, 4),
        paper=PAPER,
        licence=LICENCE,
        note=NOTE,
    ),
)
