"""ELAN-light: efficient long-range attention network (ECCV 2022, Fig. 2), the light configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import ModelSpec, Origin, Paper, Weights
from zoo.layers.colour import MeanShift
from zoo.layers.convolution import pixel_shuffle_tail
from zoo.layers.padding import missing_to_multiple
from zoo.layers.windows import window_partition, window_reverse
from zoo.paper_count import PaperCount, ParamRule
from zoo.protocols import Size

NATIVE_RANGE: Final = 255.0
WINDOWS: Final = (4, 8, 16)
"""Side of the square attention window of each channel group."""
SIZE_MULTIPLE: Final = 16
"""Least common multiple of the windows; the network pads to it by reflection."""
SHIFT_TAPS: Final = ((1, 2), (1, 0), (2, 1), (0, 1), (1, 1))
"""(row, column) of the 3x3 kernel that each fifth of the channels reads: right, left, lower, upper, centre."""


def shift_kernel(channels: int) -> Tensor:
    """Depthwise 0/1 kernel (channels, 1, 3, 3) that moves each fifth of the channels by one pixel of `SHIFT_TAPS`."""
    kernel = torch.zeros(channels, 1, 3, 3)
    group = channels // len(SHIFT_TAPS)
    for index, (row, column) in enumerate(SHIFT_TAPS):
        last = channels if index == len(SHIFT_TAPS) - 1 else (index + 1) * group
        kernel[index * group : last, 0, row, column] = 1.0
    return kernel


class ShiftConv2d(nn.Module):
    """Frozen depthwise shift, then a 1x1 convolution. The shift is no module, so that tools count the 1x1 only."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(shift_kernel(in_channels), requires_grad=False)
        self.conv1x1 = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(F.conv2d(x, self.weight, padding=1, groups=x.shape[1]))


class ShiftConv(nn.Module):
    """`ShiftConv2d` under the key `shift_conv`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shift_conv = ShiftConv2d(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.shift_conv(x)


class LFE(nn.Module):
    """Local feature extraction: shift-convolution to `ratio` times the width, ReLU, shift-convolution back."""

    def __init__(self, channels: int, *, ratio: int = 2) -> None:
        super().__init__()
        self.conv0 = ShiftConv(channels, channels * ratio)
        self.conv1 = ShiftConv(channels * ratio, channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(self.act(self.conv0(x)))


class GMSA(nn.Module):
    """Group-wise multi-scale self-attention: each third of the channels attends inside its own window size.

    Without given attention maps, a group is cut into queries and values and softmax(q q^T) is the map: no keys, no
    scaling, no bias. With the maps of an earlier GMSA, all of a group are values. A shifted one rolls the image by
    half a window before and back after, without a mask.
    """

    def __init__(self, channels: int, *, own_maps: bool, shifted: bool) -> None:
        super().__init__()
        width = 2 * channels if own_maps else channels
        self.own_maps, self.shifted = own_maps, shifted
        self.project_inp = nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width))
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, maps: Sequence[Tensor] = ()) -> tuple[Tensor, Sequence[Tensor]]:
        """Feature map (n, c, h, w) and the three attention maps (windows, tokens, tokens) that were applied."""
        groups = self.project_inp(x).chunk(len(WINDOWS), dim=1)
        values = [self._windows(group, side) for group, side in zip(groups, WINDOWS, strict=True)]
        if self.own_maps:
            pairs = [tokens.chunk(2, dim=2) for tokens in values]
            maps = [torch.softmax(q @ q.transpose(1, 2), dim=-1) for q, _ in pairs]
            values = [v for _, v in pairs]
        size = (x.shape[2], x.shape[3])
        attended = [
            self._image(attention @ v, side, size) for attention, v, side in zip(maps, values, WINDOWS, strict=True)
        ]
        return self.project_out(torch.cat(attended, dim=1)), maps

    def _windows(self, x: Tensor, side: int) -> Tensor:
        if self.shifted:
            x = torch.roll(x, (-side // 2, -side // 2), dims=(2, 3))
        return window_partition(x, (side, side))

    def _image(self, tokens: Tensor, side: int, size: tuple[int, int]) -> Tensor:
        x = window_reverse(tokens, (side, side), size)
        return torch.roll(x, (side // 2, side // 2), dims=(2, 3)) if self.shifted else x


class ELAB(nn.Module):
    """Efficient long-range attention block: LFE and GMSA, then LFE and a GMSA that shares the first one's maps."""

    def __init__(self, channels: int, *, shifted: bool) -> None:
        super().__init__()
        self.modules_lfe = nn.ModuleDict({f"lfe_{j}": LFE(channels) for j in range(2)})
        self.modules_gmsa = nn.ModuleDict(
            {f"gmsa_{j}": GMSA(channels, own_maps=j == 0, shifted=shifted) for j in range(2)}
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: Sequence[Tensor] = ()
        for lfe, gmsa in zip(self.modules_lfe.values(), self.modules_gmsa.values(), strict=True):
            x = lfe(x) + x
            y, maps = gmsa(x, maps)
            x = y + x
        return x


class ELAN(nn.Module):
    """60 channels, 12 ELABs, every second one shifted. Sides of at least 9, padded inside to a multiple of 16."""

    def __init__(self, *, scale: int, channels: int = 60, num_block: int = 12) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = MeanShift(sign=-1, value_range=NATIVE_RANGE)
        self.add_mean = MeanShift(sign=1, value_range=NATIVE_RANGE)
        self.head = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1))
        self.body = nn.Sequential(*(ELAB(channels, shifted=i % 2 == 1) for i in range(num_block)))
        self.tail = pixel_shuffle_tail(channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        right, bottom = missing_to_multiple(width, SIZE_MULTIPLE), missing_to_multiple(height, SIZE_MULTIPLE)
        x = F.pad(x * NATIVE_RANGE, (0, right, 0, bottom), mode="reflect")
        shallow = self.head(self.sub_mean(x))
        y = self.add_mean(self.tail(self.body(shallow) + shallow))
        return y[:, :, : height * self.scale, : width * self.scale] / NATIVE_RANGE


def rename_friedricelab(key: str) -> str:
    """Key of the FriedRiceLab file -> key of the authors' network.

    `head.X` -> `head.0.X`; `modules_lfe.j.lfe.{0,2}` -> `modules_lfe.lfe_j.conv{0,1}.shift_conv`, where `mask` is the
    frozen kernel and the rest belongs to the 1x1; `modules_gmsa.j` -> `modules_gmsa.gmsa_j`.
    """
    if key.startswith("head."):
        return key.replace("head.", "head.0.", 1)
    key = re.sub(r"modules_gmsa\.(\d)", r"modules_gmsa.gmsa_\1", key)
    for index, conv in (("0", "conv0"), ("2", "conv1")):
        key = re.sub(rf"modules_lfe\.(\d)\.lfe\.{index}\.", rf"modules_lfe.lfe_\1.{conv}.shift_conv.", key)
    key = re.sub(r"shift_conv\.(weight|bias)$", r"shift_conv.conv1x1.\1", key)
    return key.replace("shift_conv.mask", "shift_conv.weight")


def printed_multi_adds(lr: Size, scale: int) -> int:
    """Multi-adds by the rule that gives the paper's 168.4G, 75.7G and 43.2G at 720p.

    At the unpadded size: head, tail, 1x1 convolutions, and two of the three window products of each ELAB.
    """
    return lr.height * lr.width * _printed_per_pixel(scale)


def _printed_per_pixel(scale: int) -> int:
    width, blocks = 60, 12
    head, tail = 27 * width, 9 * width * 3 * scale**2
    local = 2 * 2 * (width * 2 * width)
    attention = 3 * width * width + 2 * width * width
    return head + blocks * (local + attention + 2 * _window_product(width)) + tail


def _window_product(width: int) -> int:
    """Multi-adds per pixel of one attention product over all windows."""
    return width // len(WINDOWS) * sum(side**2 for side in WINDOWS)


def printed_from_exact(lr: Size, scale: int) -> dict[str, float]:
    """What the printed rule leaves out of the network's convolutions and matrix products."""
    width, blocks = 60, 12
    padded = (-(-lr.height // SIZE_MULTIPLE)) * (-(-lr.width // SIZE_MULTIPLE)) * SIZE_MULTIPLE**2
    return {
        "mean shifts left out": -9 * padded * (1 + scale**2),
        "shift convolutions left out": -9 * padded * blocks * 2 * (width + 2 * width),
        "one of three window products left out": -padded * blocks * _window_product(width),
        "window padding left out": (lr.height * lr.width - padded) * _printed_per_pixel(scale),
    }


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="elan_light",
        display_name="ELAN-light",
        build=lambda scale: ELAN(scale=scale),
        scales=(2, 3, 4),
        min_side_px=9,
        paper_count=PaperCount(
            multi_adds=printed_multi_adds,
            formula="1x1 convolutions, head, tail and two window products per block at the unpadded size",
            from_exact=printed_from_exact,
            params=ParamRule.TRAINABLE,
        ),
        paper=Paper(
            title="Efficient Long-Range Attention Network for Image Super-resolution",
            authors="Zhang, Zeng, Guo, et al.",
            venue="ECCV 2022",
            year=2022,
            arxiv="2203.06697",
            code_url="https://github.com/xindongzhang/ELAN",
        ),
        licence="Apache-2.0",
        weights={
            4: Weights(
                file="elan_light/ELAN-light_LSR_x4_unofficial.pth",
                sha256="433400f0b3182d1c0e363edd122a070d04215283621b968367d2caac2de10493",
                size_bytes=2698593,
                url="https://github.com/Fried-Rice-Lab/FriedRiceLab/raw/150f0b393bb46cd563d329912243d3251fa1b391/"
                "modelzoo/ELAN/ELAN-light_LSR_x4_unofficial.pth",
                licence="MIT",
                origin=Origin.THIRD_PARTY,
                entry="params",
                rename=rename_friedricelab,
                note="Trained by FriedRiceLab, keys renamed to the authors'.",
            )
        },
        note="The authors publish weights on a file host only. The x4 checkpoint is a third party's training "
        "(FriedRiceLab); x2 and x3 have none.",
    ),
)
