"""LKDN and the deployed LKDN-S: large kernel distillation network (Xie et al., CVPRW 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.convolution import BSConv, pixel_shuffle_tail, pixelwise
from zoo.layers.distillation import DistillationNetwork, DistillationSteps
from zoo.paper_count import X3_AT_426, MultiAddRule, PaperCount

Refine = Callable[[int], nn.Module]
"""Builds a refining layer (`c1_r`, `c2_r`, `c3_r`) of the given width."""


def bsconv(num_feat: int) -> nn.Module:
    """The plain refining layer; the training form puts branches beside it."""
    return BSConv(num_feat, num_feat)


class LargeKernelAttention(nn.Module):
    """LKA: x * a(x), a = 1x1, depthwise 5x5, depthwise 5x5 of dilation 3; the 1x1 comes first, no sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.depthwise_dilated = nn.Conv2d(channels, channels, 5, padding=6, groups=channels, dilation=3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.depthwise_dilated(self.depthwise(self.pointwise(x)))


class LKDB(DistillationSteps):
    """Large kernel distillation block: distillation, LKA between 1x1 convolutions, channel LayerNorm, residual."""

    def __init__(self, num_feat: int, *, refine: Refine = bsconv) -> None:
        super().__init__(
            num_feat,
            refine=(refine(num_feat), refine(num_feat), refine(num_feat)),
            last=BSConv(num_feat, num_feat // 2),
            inner_residual=False,
        )
        self.atten = LargeKernelAttention(num_feat)
        self.c6 = nn.Conv2d(num_feat, num_feat, 1)
        self.pixel_norm = nn.LayerNorm(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c6(self.atten(self.distill(x)))
        # A permuted view would turn the memory order of all that follows to channels last, unless it is that already.
        order = torch.contiguous_format if y.is_contiguous() else torch.channels_last
        return pixelwise(self.pixel_norm, y).contiguous(memory_format=order) + x


class LKDN(DistillationNetwork):
    """LKDBs in the frame of BSRN; local (no global statistics), any LR size.

    `refine` and `upsampler` are plain layers in the deployed form and branched ones in training.
    """

    def __init__(
        self,
        *,
        scale: int,
        num_feat: int = 56,
        num_block: int = 8,
        input_copies: int = 4,
        refine: Refine = bsconv,
        upsampler: nn.Module | None = None,
    ) -> None:
        super().__init__(
            fea_conv=BSConv(3 * input_copies, num_feat),
            blocks=[LKDB(num_feat, refine=refine) for _ in range(num_block)],
            c1=nn.Conv2d(num_block * num_feat, num_feat, 1),
            c2=BSConv(num_feat, num_feat),
            upsampler=upsampler or pixel_shuffle_tail(num_feat, scale),
            input_copies=input_copies,
        )


def lkdn_s() -> LKDN:
    """The deployed LKDN-S (x4) with its own initialisation."""
    return LKDN(scale=4, num_feat=42, num_block=5)


PAPER: Final = Paper(
    title="Large Kernel Distillation Network for Efficient Single Image Super-Resolution",
    authors="Xie, Zhang, Li, et al.",
    venue="CVPRW 2023",
    year=2023,
    arxiv="2407.14340",
    code_url="https://github.com/stella-von/LKDN",
)
FOLDER_URL: Final = (
    "https://github.com/stella-von/LKDN/raw/54df78a491142c2503d9738192b767ceced4d1a1/experiments/pretrained_models/LKDN"
)


def _weights(*, scale: int, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"lkdn/LKDN_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=f"{FOLDER_URL}/LKDN_x{scale}.pth",
        licence="MIT",
        entry="params_ema",
    )


SPECS: Final = (
    ModelSpec(
        name="lkdn",
        display_name="LKDN",
        build=lambda scale: LKDN(scale=scale),
        scales=(2, 3, 4),
        paper_count=PaperCount(multi_adds=MultiAddRule.THOP, lr=X3_AT_426),
        paper=PAPER,
        licence="MIT",
        weights={
            2: _weights(
                scale=2,
                sha256="02b429e795ad0863fdf21c6924c79344e30a39d637c44442d13124193b012e6b",
                size_bytes=2579929,
            ),
            3: _weights(
                scale=3,
                sha256="52835d49d402683ea2085c13e4afc3aca49f6b806ea29d6ed29b2238cd7874c5",
                size_bytes=2640473,
            ),
            4: _weights(
                scale=4,
                sha256="f534422583c99dad994fd7df897f6f872637218430cfedf6c2d2a072ea86dbd7",
                size_bytes=2725465,
            ),
        },
    ),
    ModelSpec(
        name="lkdn_s",
        display_name="LKDN-S",
        build=lambda _scale: lkdn_s(),
        scales=(4,),
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="lkdn_s/LKDN-S_del_rep_x4.pth",
                sha256="b802a3945d7d4f22f836668a78448b37fe5da90d7b08afc564fbddfa594a8cf1",
                size_bytes=559105,
                url=f"{FOLDER_URL}/LKDN-S_del_rep_x4.pth",
                licence="MIT",
            ),
        },
        note="deployed (re-parameterised) form of the NTIRE 2023 efficient SR entry; lkdn_s_train is the trained one",
    ),
)
