"""RFDN and E-RFDN: residual feature distillation networks (ECCVW 2020); network Fig. 3, blocks Fig. 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import ESA, ContrastChannelAttention, dense3x3, max_pool7
from zoo.layers.convolution import pixel_shuffle_tail
from zoo.layers.distillation import DistillationSteps
from zoo.paper_count import MultiAddRule, PaperCount

NEGATIVE_SLOPE = 0.05


class FeatureDistillation(DistillationSteps):
    """Fig. 2c without attention: distilling 1x1 convolutions beside a chain of shallow residual blocks (Fig. 2d)."""

    def __init__(self, width: int) -> None:
        super().__init__(
            width,
            refine=(dense3x3(width, width), dense3x3(width, width), dense3x3(width, width)),
            last=dense3x3(width, width // 2),
            inner_residual=True,
            act=nn.LeakyReLU(NEGATIVE_SLOPE),
        )


class RFDB(FeatureDistillation):
    """Block of the paper: contrast-aware channel attention and a residual around the block."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.cca = ContrastChannelAttention(width, width // 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.cca(self.distill(x)) + x


class ERFDB(FeatureDistillation):
    """Block of the AIM 2020 entry: enhanced spatial attention, no residual around the block."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.esa = ESA(width, width // 4, act=nn.ReLU(), pool=max_pool7)

    def forward(self, x: Tensor) -> Tensor:
        return self.esa(self.distill(x))


class RFDN(nn.Module):
    """Fig. 3: `num_block` distillation blocks B1, B2, ... whose outputs are all collected, and a long skip."""

    def __init__(
        self,
        *,
        scale: int,
        width: int = 48,
        num_block: int = 6,
        block: Callable[[int], FeatureDistillation] = RFDB,
        value_range: float = 1.0,
    ) -> None:
        super().__init__()
        self.value_range = value_range
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        self.block_names = [f"B{k}" for k in range(1, num_block + 1)]
        for name in self.block_names:
            self.add_module(name, block(width))
        self.c = nn.Sequential(nn.Conv2d(num_block * width, width, 1), nn.LeakyReLU(NEGATIVE_SLOPE))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = pixel_shuffle_tail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.fea_conv(x * self.value_range)
        deep, collected = shallow, []
        for name in self.block_names:
            deep = self.get_submodule(name)(deep)
            collected.append(deep)
        fused = self.LR_conv(self.c(torch.cat(collected, 1)))
        return self.upsampler(fused + shallow) / self.value_range


PAPER = Paper(
    title="Residual Feature Distillation Network for Lightweight Image Super-Resolution",
    authors="Liu, Tang, Wu",
    venue="ECCVW 2020",
    year=2020,
    arxiv="2009.11551",
    code_url="https://github.com/njulj/RFDN",
)

SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="rfdn",
        display_name="RFDN",
        build=lambda scale: RFDN(scale=scale),
        scales=(2, 3, 4),
        paper_count=PaperCount(
            multi_adds=MultiAddRule.PARAMS_X_PIXELS,
            note="Biases and pooled convolutions of attention count at every pixel. x4 is cut off, not rounded.",
        ),
        paper=PAPER,
        licence="MIT",
        note=(
            "A reconstruction: the authors released only their AIM 2020 entry (rfdn_aim). Layers are inferred from the "
            "paper, the authors' answers to questions and the parameter counts, which agree. No weights exist."
        ),
    ),
    ModelSpec(
        name="rfdn_aim",
        display_name="E-RFDN",
        build=lambda scale: RFDN(scale=scale, width=50, num_block=4, block=ERFDB, value_range=255.0),
        scales=(4,),
        min_side_px=15,
        paper=PAPER,
        licence="MIT",
        weights={
            4: Weights(
                file="rfdn_aim/RFDN_AIM.pth",
                sha256="11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c",
                size_bytes=1_754_927,
                url=(
                    "https://github.com/njulj/RFDN/raw/7cf4e25b6633e81fd7e26891aeee2baca4f8f927/"
                    "trained_model/RFDN_AIM.pth"
                ),
                licence="MIT",
            )
        },
        note="Winner of the AIM 2020 efficient super-resolution challenge, trained for RGB PSNR on DIV2K.",
    ),
)
