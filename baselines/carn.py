"""CARN and CARN-M: cascading residual networks (ECCV 2018); network Fig. 2, blocks Fig. 3."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.colour import ShifterMeanShift
from zoo.paper_count import X3_AT_THE_EXACT_AREA, MultiAddRule, PaperCount


class ResidualBlock(nn.Module):
    """Fig. 3a: two 3x3 convolutions, ReLU on the sum with the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + x)


class EfficientResidualBlock(nn.Module):
    """Fig. 3b (residual-E): two grouped 3x3 convolutions and a 1x1 one, ReLU on the sum with the input."""

    def __init__(self, width: int, *, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + x)


class Fusion(nn.Module):
    """1x1 convolution and ReLU that bring `num_maps` concatenated maps back to one."""

    def __init__(self, width: int, num_maps: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(num_maps * width, width, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def cascade(x: Tensor, blocks: Sequence[nn.Module], fusions: Sequence[nn.Module]) -> Tensor:
    """Cascading connections: each fusion sees the input and the outputs of all blocks so far, oldest first.

    What is collected are the blocks' outputs, never the fused maps that the next block takes.
    """
    collected = fused = x
    for block, fusion in zip(blocks, fusions, strict=True):
        collected = torch.cat([collected, block(fused)], 1)
        fused = fusion(collected)
    return fused


class CascadingBlock(nn.Module):
    """Fig. 3c: a cascade of three residual blocks; with `groups` Fig. 3d, one efficient block applied three times."""

    def __init__(self, width: int, *, groups: int | None) -> None:
        super().__init__()
        self.recursive = groups is not None
        if groups is not None:
            self.b1: nn.Module = EfficientResidualBlock(width, groups=groups)
        else:
            self.b1 = ResidualBlock(width)
            self.b2 = ResidualBlock(width)
            self.b3 = ResidualBlock(width)
        self.c1 = Fusion(width, 2)
        self.c2 = Fusion(width, 3)
        self.c3 = Fusion(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        blocks = (self.b1, self.b1, self.b1) if self.recursive else (self.b1, self.b2, self.b3)
        return cascade(x, blocks, (self.c1, self.c2, self.c3))


class UpsampleHead(nn.Module):
    """3x3 convolution, ReLU and pixel shuffle, once per factor (x4 is two steps of x2)."""

    def __init__(self, width: int, factors: tuple[int, ...], *, groups: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for factor in factors:
            # The ReLU stands before the shuffle, as released.
            conv = nn.Conv2d(width, width * factor**2, 3, padding=1, groups=groups)
            steps += [conv, nn.ReLU(), nn.PixelShuffle(factor)]
        self.body = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class CARN(nn.Module):
    """CARN, or CARN-M with `groups`; one set of weights with a head for each of x2, x3 and x4.

    `scale` picks the head that `forward` uses; the two others are idle but are part of the checkpoint and of the
    parameter count the paper prints.
    """

    def __init__(self, *, scale: int, width: int = 64, groups: int | None = None) -> None:
        super().__init__()
        self.head = f"up{scale}"
        self.sub_mean = ShifterMeanShift(sign=-1)
        self.add_mean = ShifterMeanShift(sign=1)
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.b1 = CascadingBlock(width, groups=groups)
        self.b2 = CascadingBlock(width, groups=groups)
        self.b3 = CascadingBlock(width, groups=groups)
        self.c1 = Fusion(width, 2)
        self.c2 = Fusion(width, 3)
        self.c3 = Fusion(width, 4)
        heads = {"up2": (2,), "up3": (3,), "up4": (2, 2)}
        self.upsample = nn.ModuleDict(
            {name: UpsampleHead(width, factors, groups=groups or 1) for name, factors in heads.items()}
        )
        self.exit = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(self.sub_mean(x))
        x = cascade(x, (self.b1, self.b2, self.b3), (self.c1, self.c2, self.c3))
        x = self.upsample[self.head](x)
        return self.add_mean(self.exit(x))


PAPER = Paper(
    title="Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network",
    authors="Ahn, Kang, Sohn",
    venue="ECCV 2018",
    year=2018,
    arxiv="1803.08664",
    code_url="https://github.com/nmhkahn/CARN-pytorch",
)

CARN_M_WEIGHTS = Weights(
    file="carn_m/carn_m.pth",
    sha256="d48a759a84509351facb6b7c6d5bd6edec98b98519b8c464ee4ab44d2ba964ff",
    size_bytes=1_670_695,
    url="https://github.com/nmhkahn/CARN-pytorch/raw/40d3514f81cccd680d846cd5ab07af35f2c8e0e2/checkpoint/carn_m.pth",
    licence="MIT",
    note="One file for x2, x3 and x4.",
)

SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="carn",
        display_name="CARN",
        build=lambda scale: CARN(scale=scale),
        scales=(2, 3, 4),
        paper_count=PaperCount(multi_adds=MultiAddRule.CONVOLUTIONS, lr=X3_AT_THE_EXACT_AREA),
        paper=PAPER,
        licence="MIT",
        note=(
            "Parameters are those of the released three-headed network, the same at every scale. The authors' "
            "checkpoint/carn.pth is not declared, as no sha256 of it is on record: pass it with --weights."
        ),
    ),
    ModelSpec(
        name="carn_m",
        display_name="CARN-M",
        build=lambda scale: CARN(scale=scale, groups=4),
        scales=(2, 3, 4),
        paper_count=PaperCount(multi_adds=MultiAddRule.CONVOLUTIONS, lr=X3_AT_THE_EXACT_AREA),
        paper=PAPER,
        licence="MIT",
        weights=dict.fromkeys((2, 3, 4), CARN_M_WEIGHTS),
        note=(
            "The released network is newer than the paper's: grouped 3x3 upsampling convolutions, 414,811 parameters "
            "against the printed 412K, and a slightly different PSNR."
        ),
    ),
)
