"""SMFAN of team VPEG_C (NTIRE 2024 efficient SR challenge): self-modulation of a local and a non-local branch."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ntire2024.report import CHECKPOINTS_URL, NTIRE_2024_COUNT, NTIRE_2024_REPORT
from zoo.contract import ModelSpec, Weights
from zoo.layers.modulation import FeatureModulationNetwork

POOLING: Final = 8
"""Factor by which the non-local branch is pooled."""


class LocalDetailEstimation(nn.Module):
    """Local branch: depthwise 3x3 to twice the width and 1x1, GELU, 1x1 back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_0 = nn.Sequential(
            nn.Conv2d(dim, 2 * dim, 3, padding=1, groups=dim),
            nn.Conv2d(2 * dim, 2 * dim, 1),
        )
        self.act = nn.GELU()
        self.conv_1 = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_1(self.act(self.conv_0(x)))


class SMFA(nn.Module):
    """Self-modulation feature aggregation: a gate from pooled maxima and the global variance, plus local detail.

    Unlike the later SMFANet, maxima and variance are added without learned factors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_0 = nn.Conv2d(dim, 2 * dim, 1)
        self.linear_1 = nn.Conv2d(dim, dim, 1)
        self.linear_2 = nn.Conv2d(dim, dim, 1)
        self.lde = LocalDetailEstimation(dim)
        self.dw_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.act = nn.GELU()

    def forward(self, features: Tensor) -> Tensor:
        y, x = self.linear_0(features).chunk(2, dim=1)
        height, width = x.shape[2:]
        structure = self.dw_conv(F.adaptive_max_pool2d(x, (height // POOLING, width // POOLING)))
        variance = x.var(dim=(2, 3), keepdim=True)
        gate = self.act(self.linear_1(structure + variance))
        non_local = x * F.interpolate(gate, size=(height, width), mode="nearest")
        return self.linear_2(non_local + self.lde(y))


class PCFN(nn.Module):
    """Partial-convolution feed-forward: between two 1x1, the first quarter of the channels passes a full 3x3."""

    def __init__(self, dim: int, *, ratio: float = 1.5, partial: float = 0.25) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        convolved = int(hidden * partial)
        self.split = (convolved, hidden - convolved)
        self.conv_0 = nn.Conv2d(dim, hidden, 1)
        self.conv_1 = nn.Conv2d(convolved, convolved, 3, padding=1)
        self.conv_2 = nn.Conv2d(hidden, dim, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        convolved, passed = self.act(self.conv_0(x)).split(self.split, dim=1)
        return self.conv_2(torch.cat((self.act(self.conv_1(convolved)), passed), dim=1))


class FMB(nn.Module):
    """Feature modulation block: SMFA, then PCFN, each on pixels of unit length over the channels, with a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.smfa = SMFA(dim)
        self.pcfn = PCFN(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.smfa(F.normalize(x)) + x
        return self.pcfn(F.normalize(x)) + x


class SMFAN(FeatureModulationNetwork):
    """24 channels, 8 blocks, no bias in the outer convolutions. Sides of at least 8."""

    def __init__(self, *, scale: int = 4, dim: int = 24, num_block: int = 8) -> None:
        super().__init__((FMB(dim) for _ in range(num_block)), dim=dim, scale=scale, bias=False)


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="smfan",
        display_name="SMFAN (VPEG_C)",
        build=lambda scale: SMFAN(scale=scale),
        scales=(4,),
        min_side_px=POOLING,
        paper_count=NTIRE_2024_COUNT,
        paper=NTIRE_2024_REPORT,
        licence="MIT",
        weights={
            4: Weights(
                file="smfan/team24_smfan.pth",
                sha256="e1e3395edd90cab47c66eaac3c86dac600bda10a9fb6395aa4e55311533b403e",
                size_bytes=787113,
                url=f"{CHECKPOINTS_URL}/team24_smfan.pth",
                licence="MIT",
                entry="params_ema",
            )
        },
        note="VPEG_C in Table 6 of the AGDN paper (challenge team 24)",
    ),
)
