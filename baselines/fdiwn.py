"""FDIWN: feature distillation interaction weighting network (AAAI 2022).

Groups of wide-residual distillation interaction blocks (WDIB) under feature shuffle weighting (FSWG). A block keeps
two parallel paths of residual weighting units (WIRW, WCRW) that gate each other by channel statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import population_std
from zoo.layers.colour import MeanShift
from zoo.layers.convolution import WeightNormConv2d, pixel_shuffle_tail
from zoo.paper_count import X3_AT_426, MultiAddRule, PaperCount
from zoo.protocols import Quadrants

NATIVE_RANGE: Final = 255.0
WIDTH: Final = 24
NEGATIVE_SLOPE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Channel counts inside the units and of the tail; they differ between the released scales."""

    wirw: int
    wcrw: int
    fuse: int
    tail: int


SLIM: Final = Widths(wirw=48, wcrw=48, fuse=96, tail=64)
WIDE: Final = Widths(wirw=60, wcrw=54, fuse=108, tail=32)


class Scale(nn.Module):
    """A learned scalar that multiplies its input."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), start))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class ShuffleAttention(nn.Module):
    """SA layer: in each of six groups half of the channels are gated by their mean, half by their own normalised map.

    The same 12 weights serve all groups; a channel shuffle mixes the halves afterwards.
    """

    GROUPS: Final = 6

    def __init__(self) -> None:
        super().__init__()
        half = WIDTH // self.GROUPS // 2
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.cweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.cbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.sweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.sbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.gn = nn.GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        by_mean, by_map = x.reshape(n * self.GROUPS, c // self.GROUPS, h, w).chunk(2, 1)
        by_mean = by_mean * torch.sigmoid(self.cweight * self.avg_pool(by_mean) + self.cbias)
        by_map = by_map * torch.sigmoid(self.sweight * self.gn(by_map) + self.sbias)
        return F.channel_shuffle(torch.cat([by_mean, by_map], 1).reshape(n, c, h, w), 2)


class ResidualWeighting(nn.Module):
    """Wide residual unit with learned weights on both paths: WIRW, or WCRW where a convolution changes the channels."""

    def __init__(self, in_channels: int, hidden: int, reduced: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            WeightNormConv2d(in_channels, hidden, 1),
            nn.ReLU(),
            WeightNormConv2d(hidden, reduced, 1),
            WeightNormConv2d(reduced, WIDTH, 3),
        )
        self.SAlayer = ShuffleAttention()
        self.res_scale = Scale()
        self.x_scale = Scale()
        self.conv = nn.Identity() if in_channels == WIDTH else nn.Conv2d(in_channels, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.res_scale(self.SAlayer(self.body(x))) + self.x_scale(self.conv(x))


class CoffConv(nn.Module):
    """Interaction coefficients: a gate per channel from its mean and its standard deviation, (n, c, 1, 1).

    ReLU before the sigmoid keeps every gate at 0.5 or more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.upper_branch = nn.Sequential(nn.AdaptiveAvgPool2d(1), *self._gate())
        self.lower_branch = nn.Sequential(*self._gate())

    @staticmethod
    def _gate() -> list[nn.Module]:
        hidden = WIDTH // 8
        return [nn.Conv2d(WIDTH, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, WIDTH, 1), nn.ReLU(), nn.Sigmoid()]

    def forward(self, x: Tensor) -> Tensor:
        return (self.upper_branch(x) + self.lower_branch(population_std(x))) / 2


class WDIB(nn.Module):
    """Wide-residual distillation interaction block: two paths `a` and `b` that split, widen and weight each other."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        half = WIDTH // 2
        self.srb1, self.srb2, self.srb3, self.srb4 = (ResidualWeighting(WIDTH, widths.wirw, half) for _ in range(4))
        self.rb1, self.rb2 = (ResidualWeighting(half, widths.wcrw, half) for _ in range(2))
        self.A1_coffconv, self.B1_coffconv, self.A2_coffconv, self.B2_coffconv = (CoffConv() for _ in range(4))
        self.conv_distilled1 = nn.Conv2d(half, WIDTH, 3, padding=1, bias=False)
        self.conv_distilled2 = nn.Conv2d(half, WIDTH, 3, padding=1, bias=False)
        self.scale_x1, self.scale_x2 = Scale(), Scale()
        self.fuse1 = ResidualWeighting(2 * WIDTH, widths.fuse, WIDTH)
        self.fuse2 = nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False)
        self.SAlayer = ShuffleAttention()
        self.act = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        a_distilled, a = self.act(self.srb1(x)).chunk(2, 1)
        a = self.rb1(a)
        b1 = self.A1_coffconv(a) * a + x
        a1 = self.B1_coffconv(x) * x + a
        b_distilled, b = self.act(self.srb2(b1)).chunk(2, 1)
        b = self.rb2(b)
        b2 = (self.A2_coffconv(a1) * a1 + b) * torch.sigmoid(self.conv_distilled1(b_distilled))
        a2 = (self.B2_coffconv(b) * b + a1) * torch.sigmoid(self.conv_distilled2(a_distilled))
        a_out, b_out = self.srb3(a2), self.srb4(b2)
        both = torch.cat([self.scale_x1(a_out), self.scale_x2(b_out)], 1)
        return self.SAlayer(self.fuse1(both) + torch.sigmoid(self.fuse2(both)) * b_out + x)


class FSWG(nn.Module):
    """Feature shuffle weighting group: three WDIBs whose outputs are shuffled together pair by pair."""

    SHUFFLE_GROUPS: Final = 4

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.MY1, self.MY2, self.MY3 = (WDIB(widths) for _ in range(3))
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.conv1, self.conv2 = (
            nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1, groups=self.SHUFFLE_GROUPS, bias=False) for _ in range(2)
        )
        self.rb1 = ResidualWeighting(WIDTH, widths.wirw, WIDTH // 2)
        self.scale_x, self.scale_res = Scale(0.5), Scale(0.5)

    def forward(self, x: Tensor) -> Tensor:
        m1 = self.MY1(x)
        m2 = self.MY2(m1)
        m3 = self.MY3(m2 + self.conv(m1))
        c1 = self.conv1(F.channel_shuffle(torch.cat([m1, m2], 1), self.SHUFFLE_GROUPS))
        c2 = self.conv2(F.channel_shuffle(torch.cat([c1, m3], 1), self.SHUFFLE_GROUPS))
        return self.scale_x(c2 + m3) + self.scale_res(self.rb1(x))


class FDIWN(nn.Module):
    """Groups that share weights in a chain of residual steps, and a second tail that works on the input itself.

    `schedule` names the group of each step, from 1. `raw_skip` feeds the second tail the input in 0..255, else the
    mean-shifted one. Both mean shifts are trained in the released networks, hence not frozen.
    """

    channels_last_pays = False
    """On a CPU it ran at 0.77 of its speed: its other operations want whole channels."""

    def __init__(self, *, scale: int, widths: Widths, schedule: tuple[int, ...], raw_skip: bool) -> None:
        super().__init__()
        self.raw_skip = raw_skip
        self.Sub_mean = MeanShift(sign=-1, value_range=NATIVE_RANGE).requires_grad_(True)
        self.Add_mean = MeanShift(sign=1, value_range=NATIVE_RANGE).requires_grad_(True)
        self.head = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.steps = tuple(f"Li{group}" for group in schedule)
        for name in sorted(set(self.steps)):
            self.add_module(name, FSWG(widths))
        self.conv1 = nn.Conv2d(WIDTH, widths.tail, 3, padding=1, bias=False)
        self.UP1 = pixel_shuffle_tail(widths.tail, scale)
        self.conv2 = nn.Conv2d(3, widths.tail, 3, padding=1)
        self.UP2 = pixel_shuffle_tail(widths.tail, scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x * NATIVE_RANGE
        shifted = self.Sub_mean(x)
        first, *others = (self.get_submodule(name) for name in self.steps)
        features = first(self.head(shifted))
        for group in others:
            features = features + group(features)
        skip = self.UP2(self.conv2(x if self.raw_skip else shifted))
        return self.Add_mean(self.UP1(self.conv1(features)) + skip) / NATIVE_RANGE


def build_fdiwn(scale: int) -> FDIWN:
    """FDIWN as released: three groups, six steps."""
    widths = WIDE if scale == 4 else SLIM
    return FDIWN(scale=scale, widths=widths, schedule=(1, 1, 2, 3, 2, 3), raw_skip=scale != 4)


def build_fdiwn_m(scale: int) -> FDIWN:
    """FDIWN-M as inferred from the printed counts: two groups, four steps."""
    widths = SLIM if scale == 3 else WIDE
    return FDIWN(scale=scale, widths=widths, schedule=(1, 1, 2, 2), raw_skip=scale != 4)


def _weights(scale: int, *, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"fdiwn/model_best_x{scale}.pt",
        sha256=sha256,
        size_bytes=size_bytes,
        url=(
            "https://github.com/24wenjie-li/FDIWN/raw/fa93977ce12b99f22750d2ccf6f9654a10997e7c/"
            f"FDIWN_TrainCode/experiment/FDIWNx{scale}/model/model_best.pt"
        ),
        licence="none stated",
    )


PAPER = Paper(
    title="Feature Distillation Interaction Weighting Network for Lightweight Image Super-Resolution",
    authors="Gao, Li, Li, et al.",
    venue="AAAI 2022",
    year=2022,
    arxiv="2112.08655",
    code_url="https://github.com/24wenjie-li/FDIWN",
)

COUNTING_NOTE = (
    "The printed multi-adds leave out every weight-normalised convolution; the true count is 2.3 to 2.6 times as high."
)

SA_SCALARS: Final = r"\.[cs](weight|bias)$"
"""Bare parameters of the shuffle attention layers, which the printed parameters leave out."""
PAPER_COUNT_NOTE: Final = "Every weight-normalised convolution is missing."

SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="fdiwn",
        display_name="FDIWN",
        build=build_fdiwn,
        scales=(2, 3, 4),
        paper_count=PaperCount(
            multi_adds=MultiAddRule.PLAIN_WEIGHT, params_without=SA_SCALARS, lr=X3_AT_426, note=PAPER_COUNT_NOTE
        ),
        paper=PAPER,
        licence="none stated",
        weights={
            2: _weights(
                2, sha256="f4bc70c9e325ae3390aee7b1acb5f0304f3d2ce09e03f2377b8522101eb986eb", size_bytes=2_855_132
            ),
            3: _weights(
                3, sha256="759ab8ed5fcf8c85fdd0006738dccc27f3a1882a1d49cbab152f2b4d974be20a", size_bytes=2_924_372
            ),
            4: _weights(
                4, sha256="12b708bcdbbdf0795a8b8a9ab7bb5a933241b58afdd984a4ace91e9b80673ef6", size_bytes=2_993_820
            ),
        },
        inference=Quadrants(),
        note=COUNTING_NOTE,
    ),
    ModelSpec(
        name="fdiwn_m",
        display_name="FDIWN-M",
        build=build_fdiwn_m,
        scales=(2, 3, 4),
        paper_count=PaperCount(
            multi_adds=MultiAddRule.PLAIN_WEIGHT, params_without=SA_SCALARS, lr=X3_AT_426, note=PAPER_COUNT_NOTE
        ),
        paper=PAPER,
        licence="none stated",
        inference=Quadrants(),
        note=(
            "Inferred: neither code nor weights are published. Two groups in four steps of FDIWN meet the printed "
            "parameters and multi-adds at every scale; the wiring of the steps and the input of the second tail are "
            f"FDIWN's at the same scale, which no count can confirm. {COUNTING_NOTE}"
        ),
    ),
)
