"""Spatially-adaptive feature modulation, and the frame of the networks around it: SAFMN, EGFMN, SMFAN."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.convolution import pixel_shuffle_tail


class SAFM(nn.Module):
    """Spatially-adaptive feature modulation (SAFMN, ICCV 2023, Fig. 2): a multi-scale gate times its own input.

    The channels are cut into as many equal groups as there are `factors`. A group of factor 1 passes a depthwise 3x3
    at full size; one of factor k is max-pooled to (h // k, w // k), passes its depthwise 3x3 and comes back by nearest
    resize. `aggr` 1x1 and GELU make the gate. Needs sides of at least the largest factor. SAFMN has (1, 2, 4, 8),
    EGFMN (1, 4, 8, 16).
    """

    def __init__(self, channels: int, *, factors: tuple[int, ...]) -> None:
        super().__init__()
        width = channels // len(factors)
        self.factors = factors
        self.mfr = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in factors)
        self.aggr = nn.Conv2d(channels, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        levels = []
        for factor, conv, group in zip(self.factors, self.mfr, x.chunk(len(self.factors), dim=1), strict=True):
            if factor == 1:
                levels.append(conv(group))
            else:
                pooled = F.adaptive_max_pool2d(group, (height // factor, width // factor))
                levels.append(F.interpolate(conv(pooled), size=(height, width), mode="nearest"))
        return self.act(self.aggr(torch.cat(levels, dim=1))) * x


class FeatureModulationNetwork(nn.Module):
    """The frame of SAFMN: `to_feat` 3x3, blocks `feats` under one long skip, `to_img` 3x3 and pixel shuffle.

    RGB in [0, 1], no mean shift and no image skip. `bias` applies to the two outer convolutions.
    """

    def __init__(self, blocks: Iterable[nn.Module], *, dim: int, scale: int, bias: bool = True) -> None:
        super().__init__()
        self.to_feat = nn.Conv2d(3, dim, 3, padding=1, bias=bias)
        self.feats = nn.Sequential(*blocks)
        self.to_img = pixel_shuffle_tail(dim, scale, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.to_feat(x)
        return self.to_img(self.feats(shallow) + shallow)
