"""EGFMN of team VPEG_E (NTIRE 2024 efficient SR challenge): SAFMN's layout with a gated depthwise feed-forward."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from baselines.ntire2024.report import CHECKPOINTS_URL, NTIRE_2024_COUNT, NTIRE_2024_REPORT
from zoo.contract import ModelSpec, Weights
from zoo.layers.modulation import SAFM, FeatureModulationNetwork
from zoo.layers.norm import ChannelLayerNorm

PYRAMID: Final = (1, 4, 8, 16)
"""Pooling factor of each channel group: from the second on, twice that of SAFMN."""


class GatedFeedForward(nn.Module):
    """1x1 to twice the hidden width, depthwise 3x3, product of the two halves without activation, 1x1 back; no bias."""

    def __init__(self, dim: int, *, ratio: int = 2) -> None:
        super().__init__()
        hidden = dim * ratio
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(value * gate)


class Block(nn.Module):
    """SAFM, then the gated feed-forward, each after a layer norm and with a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(dim, eps=1e-6)
        self.norm2 = ChannelLayerNorm(dim, eps=1e-6)
        self.safm = SAFM(dim, factors=PYRAMID)
        self.ffd = GatedFeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.safm(self.norm1(x)) + x
        return self.ffd(self.norm2(x)) + x


class EGFMN(FeatureModulationNetwork):
    """36 channels, 7 blocks. Sides of at least 16."""

    def __init__(self, *, scale: int = 4, dim: int = 36, num_block: int = 7) -> None:
        super().__init__((Block(dim) for _ in range(num_block)), dim=dim, scale=scale)


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="egfmn",
        display_name="EGFMN (VPEG_E)",
        build=lambda scale: EGFMN(scale=scale),
        scales=(4,),
        min_side_px=PYRAMID[-1],
        paper_count=NTIRE_2024_COUNT,
        paper=NTIRE_2024_REPORT,
        licence="MIT",
        weights={
            4: Weights(
                file="egfmn/team43_EGFMN.pth",
                sha256="b0cbb7c3785d89028ff049d4dd09b1e0ca4b769f6e3a17ff1cf7db233cd5134e",
                size_bytes=822869,
                url=f"{CHECKPOINTS_URL}/team43_EGFMN.pth",
                licence="MIT",
                entry="params_ema",
            )
        },
        note="VPEG_E in Table 6 of the AGDN paper (challenge team 43)",
    ),
)
