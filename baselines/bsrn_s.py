"""BSRN-S, the NTIRE 2022 efficient SR entry of BSRN's authors (Li et al., CVPRW 2022)."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from baselines.bsrn import FOLDER_URL, INPUT_COPIES, PAPER
from zoo.contract import ModelSpec, Weights
from zoo.layers.attention import ESA
from zoo.layers.convolution import BSConv, OneStepUpsampler, pixelwise
from zoo.layers.distillation import DistillationNetwork, DistillationSteps

_bsconv = partial(BSConv, pointwise=nn.Linear)


class ESDB(DistillationSteps):
    """Block of BSRN with linear layers instead of 1x1 convolutions, and channel factors `cw` instead of CCA."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(
            num_feat,
            refine=(_bsconv(num_feat, num_feat), _bsconv(num_feat, num_feat), _bsconv(num_feat, num_feat)),
            last=_bsconv(num_feat, num_feat // 2),
            inner_residual=True,
            pointwise=nn.Linear,
        )
        # The strided layer of this ESA is a dense convolution, in BSRN it is a BSConv.
        self.esa = ESA(num_feat, num_feat // 4, act=nn.GELU(), conv3x3=_bsconv, pointwise=nn.Linear)
        self.cw = nn.Parameter(torch.empty(1, num_feat).normal_(mean=1.0, std=0.2))
        self.conv_out = nn.Linear(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        y = self.esa(self.distill(x)) * self.cw.view(1, -1, 1, 1)
        return pixelwise(self.conv_out, y) + x


class BSRNS(DistillationNetwork):
    """Five such blocks of 48 features; every per-pixel map is an `nn.Linear`, also those inside the BSConvs."""

    def __init__(self, *, scale: int = 4, num_feat: int = 48, num_block: int = 5) -> None:
        super().__init__(
            fea_conv=_bsconv(3 * INPUT_COPIES, num_feat),
            blocks=[ESDB(num_feat) for _ in range(num_block)],
            c1=nn.Linear(num_block * num_feat, num_feat),
            c2=_bsconv(num_feat, num_feat),
            upsampler=OneStepUpsampler(num_feat, scale),
            input_copies=INPUT_COPIES,
        )


SPECS: Final = (
    ModelSpec(
        name="bsrn_s",
        display_name="BSRN-S",
        build=lambda scale: BSRNS(scale=scale),
        scales=(4,),
        min_side_px=15,
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="bsrn_s/net_g_BSRN-S.pth",
                sha256="f035e512bcecd2999af21999fdaeb6ed39a4492ac11d214b8164d27e6e958fec",
                size_bytes=699603,
                url=f"{FOLDER_URL}/net_g_BSRN-S.pth",
                licence="MIT",
                entry="params",
            ),
        },
        note="NTIRE 2022 efficient SR entry",
    ),
)
