"""SAFMN: spatially-adaptive feature modulation network (ICCV 2023, Fig. 2)."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper
from zoo.layers.modulation import SAFM, FeatureModulationNetwork
from zoo.layers.norm import ChannelLayerNorm
from zoo.paper_count import MultiAddRule, PaperCount

PYRAMID: Final = (1, 2, 4, 8)
"""Pooling factor of each channel group."""


class CCM(nn.Module):
    """Convolutional channel mixer: 3x3 to `ratio` times the width, GELU, 1x1 back."""

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        hidden = dim * ratio
        self.ccm = nn.Sequential(nn.Conv2d(dim, hidden, 3, padding=1), nn.GELU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.ccm(x)


class AttBlock(nn.Module):
    """Feature mixing module: SAFM, then CCM, each after a layer norm and with a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(dim, eps=1e-6)
        self.norm2 = ChannelLayerNorm(dim, eps=1e-6)
        self.safm = SAFM(dim, factors=PYRAMID)
        self.ccm = CCM(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.safm(self.norm1(x)) + x
        return self.ccm(self.norm2(x)) + x


class SAFMN(FeatureModulationNetwork):
    """36 channels, 8 blocks; the scale changes only the last convolution. Sides of at least 8."""

    def __init__(self, *, scale: int, dim: int = 36, num_block: int = 8) -> None:
        super().__init__((AttBlock(dim) for _ in range(num_block)), dim=dim, scale=scale)


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="safmn",
        display_name="SAFMN",
        build=lambda scale: SAFMN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=PYRAMID[-1],
        paper_count=PaperCount(multi_adds=MultiAddRule.FVCORE, digits=0),
        paper=Paper(
            title="Spatially-Adaptive Feature Modulation for Efficient Image Super-Resolution",
            authors="Sun, Dong, Tang, et al.",
            venue="ICCV 2023",
            year=2023,
            arxiv="2302.13800",
            code_url="https://github.com/sunny2109/SAFMN",
        ),
        licence="Apache-2.0",
        note="The authors publish weights on file hosts only, so no checkpoint is declared. The files of this name in "
        "the NTIRE 2023, NTIRE 2024 and AIS 2024 repositories are other architectures.",
    ),
)
