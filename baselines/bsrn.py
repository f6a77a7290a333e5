"""BSRN: blueprint separable residual network (Li et al., CVPRW 2022)."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import ESA, ContrastChannelAttention, bsconv3x3
from zoo.layers.convolution import BSConv, OneStepUpsampler
from zoo.layers.distillation import DistillationNetwork, DistillationSteps
from zoo.paper_count import X3_AT_426, MultiAddRule, PaperCount

INPUT_COPIES: Final = 4
"""RGB is given this many times, so that the blueprint of `fea_conv` has more than three channels to work on."""


class ESDB(DistillationSteps):
    """Efficient separable distillation block: distillation with blueprint convolutions, then ESA and CCA."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(
            num_feat,
            refine=(BSConv(num_feat, num_feat), BSConv(num_feat, num_feat), BSConv(num_feat, num_feat)),
            last=BSConv(num_feat, num_feat // 2),
            inner_residual=True,
        )
        self.esa = ESA(num_feat, num_feat // 4, act=nn.GELU(), conv3x3=bsconv3x3, conv2=bsconv3x3)
        self.cca = ContrastChannelAttention(num_feat, num_feat // 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.cca(self.esa(self.distill(x))) + x


class BSRN(DistillationNetwork):
    """Eight ESDBs of 64 features; every 3x3 convolution but the last is a BSConv."""

    def __init__(self, *, scale: int, num_feat: int = 64, num_block: int = 8) -> None:
        super().__init__(
            fea_conv=BSConv(3 * INPUT_COPIES, num_feat),
            blocks=[ESDB(num_feat) for _ in range(num_block)],
            c1=nn.Conv2d(num_block * num_feat, num_feat, 1),
            c2=BSConv(num_feat, num_feat),
            upsampler=OneStepUpsampler(num_feat, scale),
            input_copies=INPUT_COPIES,
        )


PAPER: Final = Paper(
    title="Blueprint Separable Residual Network for Efficient Image Super-Resolution",
    authors="Li, Liu, Chen, et al.",
    venue="CVPRW 2022",
    year=2022,
    arxiv="2205.05996",
    code_url="https://github.com/xiaom233/BSRN",
)
FOLDER_URL: Final = (
    "https://github.com/xiaom233/BSRN/raw/2d63d5239c9fa9810b9c1aea93e98d42ece09efc/experiments/pretrained_models"
)


def _weights(*, scale: int, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"bsrn/net_g_BSRN_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=f"{FOLDER_URL}/net_g_BSRN_x{scale}.pth",
        licence="MIT",
        entry="params",
    )


SPECS: Final = (
    ModelSpec(
        name="bsrn",
        display_name="BSRN",
        build=lambda scale: BSRN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=15,
        paper_count=PaperCount(multi_adds=MultiAddRule.THOP_WITH_BIAS, lr=X3_AT_426),
        paper=PAPER,
        licence="MIT",
        weights={
            2: _weights(
                scale=2,
                sha256="09bd1f85e017c7902e65a9c9770ee592efe3d013f6b5cf1fe7de8cabac4ba37d",
                size_bytes=1441677,
            ),
            3: _weights(
                scale=3,
                sha256="6eb73a300aaec5029bc0de7f5ae85c02b8dcd8fdaf438c77f90272939fecca7e",
                size_bytes=1476301,
            ),
            4: _weights(
                scale=4,
                sha256="47518e0f549f5696da0c84ca2d65bf50d789c7ac20e621909f5fd6c8c8d70bcb",
                size_bytes=1524813,
            ),
        },
    ),
)
