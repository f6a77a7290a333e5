"""Attention from maxima and local variances at several window sizes: MDSA of MDRN and HARN, MVSA of AGDN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.attention import ContrastChannelAttention
from zoo.layers.convolution import BSConv
from zoo.layers.norm import LocalVariance


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """What is taken, with stride 3, of the output of the strided BSConv `conv2_{conv}`."""

    conv: str
    "Suffix of the BSConv's key."
    window: int
    "Side of the square window, in pixels of the strided map."
    variance: bool = False
    "Unbiased local variance after reflect padding instead of the maximum."
    padding: int = 1

    def build(self) -> nn.Module:
        """The parameter-free module that takes it."""
        if self.variance:
            return LocalVariance(self.window, stride=3, padding=self.padding)
        return nn.MaxPool2d(self.window, stride=3, padding=self.padding)


MDSA_LEVELS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "0": (Statistic(conv="0", window=3),),
    "1": (Statistic(conv="1", window=5, padding=0),),
    "2": (Statistic(conv="2", window=7), Statistic(conv="3", window=7, variance=True)),
}
"""Multi-level dispersion spatial attention (MDRN, HARN): three maxima, a variance at the widest level."""

MVSA_LEVELS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "1": (Statistic(conv="1", window=5), Statistic(conv="4", window=5, variance=True)),
    "2": (Statistic(conv="2", window=7), Statistic(conv="3", window=7, variance=True)),
}
"""Multi-level variance spatial attention (AGDN): maximum and variance at two levels."""


class DispersionAttention(nn.Module):
    """The gate of MDSA and MVSA: x * sigmoid(map of statistics), shapes unchanged.

    `conv1` 1x1 to `hidden`; for each level the sum of its statistics, then `conv_max_{level}`, GELU, `conv3_{level}`
    and a bilinear resize to the input's size; the levels plus `conv_f` 1x1; `conv4` 1x1; sigmoid. All 3x3 layers are
    BSConvs with reflect padding, `conv2_*` have stride 2.
    """

    def __init__(self, channels: int, hidden: int, *, levels: Mapping[str, tuple[Statistic, ...]]) -> None:
        super().__init__()
        self.levels = {level: tuple(s.conv for s in statistics) for level, statistics in levels.items()}
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.conv_f = nn.Conv2d(hidden, hidden, 1)
        self.conv4 = nn.Conv2d(hidden, channels, 1)
        self.act = nn.GELU()
        for level, statistics in levels.items():
            for statistic in statistics:
                strided = BSConv(hidden, hidden, stride=2, padding_mode="reflect")
                self.add_module(f"conv2_{statistic.conv}", strided)
                self.add_module(f"statistic_{statistic.conv}", statistic.build())
            self.add_module(f"conv_max_{level}", BSConv(hidden, hidden, padding_mode="reflect"))
            self.add_module(f"conv3_{level}", BSConv(hidden, hidden, padding_mode="reflect"))

    def forward(self, x: Tensor) -> Tensor:
        u = self.conv1(x)
        total = self.conv_f(u)
        for level, convs in self.levels.items():
            v = self._statistic(convs[0], u)
            for conv in convs[1:]:
                v = v + self._statistic(conv, u)
            v = self._module(f"conv3_{level}", self.act(self._module(f"conv_max_{level}", v)))
            total = total + F.interpolate(v, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(total))

    def _statistic(self, conv: str, u: Tensor) -> Tensor:
        return self._module(f"statistic_{conv}", self._module(f"conv2_{conv}", u))

    def _module(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, name)(x)


class ResidualBody(nn.Module):
    """x + layers(x), the layers under the key `body`: how MDRN, HARN and AGDN wrap their attentions."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def enhanced_cca(channels: int, hidden: int) -> ResidualBody:
    """ECCA of MDRN and HARN: x + [1x1 convolution, GELU, CCA, depthwise 3x3 with zero padding](x).

    The released networks pad by the word "same", which fvcore does not count; with numbers its totals would differ.
    """
    return ResidualBody(
        nn.Conv2d(channels, channels, 1, padding="same"),
        nn.GELU(),
        ContrastChannelAttention(channels, hidden),
        nn.Conv2d(channels, channels, 3, padding="same", groups=channels),
    )
