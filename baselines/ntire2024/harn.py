"""HARN of team PiXupt (NTIRE 2024 efficient SR challenge): MDRN's block with cascaded depthwise groups and windows.

Convolutions whose padding is the word "same" are so in the released form: fvcore does not count them, and the
challenge's printed FLOPs leave them out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ntire2024.report import CHECKPOINTS_URL, NTIRE_2024_COUNT, NTIRE_2024_REPORT
from zoo.contract import ModelSpec, Weights
from zoo.layers.colour import RgbMean
from zoo.layers.convolution import BSConv, pixel_shuffle_tail
from zoo.layers.dispersion import MDSA_LEVELS, DispersionAttention, ResidualBody, enhanced_cca
from zoo.layers.distillation import DistillationSteps
from zoo.layers.norm import ChannelLayerNorm
from zoo.layers.padding import missing_to_multiple
from zoo.layers.windows import window_partition, window_reverse

Window = tuple[int, int]

ATTENTION_WINDOWS: tuple[Window, ...] = ((32, 32), (8, 32), (32, 8), (8, 32))
"""(height, width) of the windows of the four channel slices, in the order of their gates."""


def depthwise(channels: int, kernel: int | tuple[int, int], *, padding: int | str = "same") -> nn.Conv2d:
    """Depthwise convolution at full size with zero padding."""
    return nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels)


class CascadedSplit(nn.Module):
    """Four channel groups through depthwise 3x3, 5x3, 3x5, twice 3x3; each group adds the result of the one before."""

    def __init__(self, channels: int, *, act: nn.Module) -> None:
        super().__init__()
        width = channels // 4
        self.conv2_1 = depthwise(width, 3)
        self.conv2_2 = depthwise(width, (5, 3))
        self.conv2_3 = depthwise(width, (3, 5))
        self.conv2_4 = nn.Sequential(depthwise(width, 3), depthwise(width, 3))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        g1, g2, g3, g4 = x.chunk(4, dim=1)
        s1 = self.act(self.conv2_1(g1))
        s2 = self.act(self.conv2_2(g2 + s1))
        s3 = self.act(self.conv2_3(g3 + s2))
        s4 = self.act(self.conv2_4(g4 + s3))
        return torch.cat((s1, s2, s3, s4), dim=1)


class RefinedSplit(CascadedSplit):
    """Refinement in a block: 1x1, activated cascade, GELU of the sum with the input."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, act=nn.GELU())
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(self.conv1(x)) + x)


class FusedSplit(CascadedSplit):
    """Fusion before the upsampler: 1x1, cascade without activation, GELU, 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, act=nn.Identity())
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.gelu = nn.GELU()
        self.conv1x1_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1_2(self.gelu(super().forward(self.conv1(x))))


class Mlp(nn.Module):
    """1x1 to twice the width, activated cascade with a residual, GELU, 1x1 back."""

    def __init__(self, channels: int, *, ratio: int = 2) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels * ratio, 1)
        self.dwc1 = CascadedSplit(channels * ratio, act=nn.GELU())
        self.act = nn.GELU()
        self.fc2 = nn.Conv2d(channels * ratio, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(self.act(self.dwc1(x) + x))


class WindowAttention(nn.Module):
    """One-headed attention in windows; queries and keys carry a depthwise 5x5 of the values as their position.

    Any size: zero-padded to whole windows before everything else, so the biases of the convolutions reach the padding.
    `shifted` rolls the padded map by half a window, without a mask.
    """

    def __init__(self, channels: int, window: Window, *, shifted: bool) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.scale = channels**-0.5
        self.proj_qk = nn.Conv2d(channels, 2 * channels, 1)
        self.proj_q_5x5 = depthwise(channels, 5, padding=2)
        self.proj_k_5x5 = depthwise(channels, 5, padding=2)
        self.proj_v = nn.Conv2d(channels, channels, 1)
        self.lepe_v = depthwise(channels, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        window = self.window
        x = F.pad(x, (0, missing_to_multiple(width, window[1]), 0, missing_to_multiple(height, window[0])))
        if self.shifted:
            x = torch.roll(x, (-(window[0] // 2), -(window[1] // 2)), dims=(2, 3))
        q, k = self.proj_qk(x).chunk(2, dim=1)
        v = self.proj_v(x)
        position = self.lepe_v(v)
        q = window_partition(self.proj_q_5x5(q) + position, window)
        k = window_partition(self.proj_k_5x5(k) + position, window)
        attention = F.softmax(q * self.scale @ k.transpose(1, 2), dim=-1)
        y = window_reverse(attention @ window_partition(v, window), window, (x.shape[2], x.shape[3])) + position
        if self.shifted:
            y = torch.roll(y, (window[0] // 2, window[1] // 2), dims=(2, 3))
        return y[:, :, :height, :width]


class GateLayer(nn.Module):
    """Gated recurrent unit of 1x1 convolutions: the input of a slice, given what the slice before attended to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gated_reset = nn.Conv2d(2 * channels, channels, 1)
        self.gated_update = nn.Conv2d(2 * channels, channels, 1)
        self.gated_fusion = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        both = torch.cat((x, hidden), dim=1)
        reset, update = torch.sigmoid(self.gated_reset(both)), torch.sigmoid(self.gated_update(both))
        candidate = torch.tanh(self.gated_fusion(torch.cat((x, hidden * reset), dim=1)))
        return (1 - update) * hidden + update * candidate


class RecurrentTransformerBlock(nn.Module):
    """Four channel slices attend one after the other, each gated by the one before; then the MLP."""

    def __init__(self, channels: int, *, shifted: bool) -> None:
        super().__init__()
        slice_width = channels // 2
        self.norm1 = ChannelLayerNorm(channels, eps=1e-6)
        self.norm2 = ChannelLayerNorm(channels, eps=1e-6)
        self.proj1 = nn.Conv2d(channels, 4 * slice_width, 1)
        self.attn1, self.attn2, self.attn3, self.attn4 = (
            WindowAttention(slice_width, window, shifted=shifted) for window in ATTENTION_WINDOWS
        )
        self.gate_layer = GateLayer(slice_width)
        self.proj = nn.Conv2d(4 * slice_width, channels, 1)
        self.mlp = Mlp(channels)

    def forward(self, x: Tensor) -> Tensor:
        t1, t2, t3, t4 = self.proj1(self.norm1(x)).chunk(4, dim=1)
        a1 = self.attn1(t1)
        a2 = self.attn2(self.gate_layer(t2, a1))
        a3 = self.attn3(self.gate_layer(t3, a2))
        a4 = self.attn4(self.gate_layer(t4, a3))
        x = self.proj(torch.cat((a1, a2, a3, a4), dim=1)) + x
        return x + self.mlp(self.norm2(x))


class SwinBody(nn.Module):
    """One transformer block under the key `swin_body`."""

    def __init__(self, channels: int, *, shifted: bool) -> None:
        super().__init__()
        self.swin_body = nn.Sequential(RecurrentTransformerBlock(channels, shifted=shifted))

    def forward(self, x: Tensor) -> Tensor:
        return self.swin_body(x)


class Block(DistillationSteps):
    """Distillation with cascaded refinement, then spatial attention (`esa`: windows or MDSA) and ECCA (`cca`)."""

    def __init__(self, channels: int, *, esa: ResidualBody) -> None:
        super().__init__(
            channels,
            refine=(RefinedSplit(channels), RefinedSplit(channels), RefinedSplit(channels)),
            last=BSConv(channels, channels // 2, padding_mode="reflect"),
            inner_residual=True,
        )
        self.esa = esa
        self.cca = enhanced_cca(channels, channels // 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.cca(self.esa(self.distill(x))) + x


def window_esa(channels: int, *, shifted: bool) -> ResidualBody:
    """x + [GELU, transformer block, depthwise 3x3](x)."""
    return ResidualBody(nn.GELU(), SwinBody(channels, shifted=shifted), depthwise(channels, 3, padding=1))


def dispersion_esa(channels: int) -> ResidualBody:
    """x + [GELU, MDSA, depthwise 3x3](x)."""
    attention = DispersionAttention(channels, channels // 4, levels=MDSA_LEVELS)
    return ResidualBody(nn.GELU(), attention, depthwise(channels, 3))


class HARN(nn.Module):
    """20 channels, three blocks with windows (the second shifted) and one with MDSA; RGB in [0, 1]."""

    def __init__(self, *, scale: int = 4, channels: int = 20) -> None:
        super().__init__()
        self.mean = RgbMean()
        self.conv_shallow = nn.Conv2d(3, channels, 3, padding="same")
        attentions = [*(window_esa(channels, shifted=k == 1) for k in range(3)), dispersion_esa(channels)]
        self.bsc_layer = nn.ModuleList(Block(channels, esa=esa) for esa in attentions)
        self.c = nn.Conv2d(len(attentions) * channels, channels, 1)
        self.conv_before_upsample = nn.Sequential(FusedSplit(channels))
        self.upsample = nn.Sequential(pixel_shuffle_tail(channels, scale, padding="same"))

    def forward(self, x: Tensor) -> Tensor:
        shallow = features = self.conv_shallow(self.mean(x))
        outputs = []
        for block in self.bsc_layer:
            features = block(features)
            outputs.append(features)
        fused = self.conv_before_upsample(self.c(torch.cat(outputs, dim=1)))
        return self.mean.add(self.upsample(fused + shallow))


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="harn",
        display_name="HARN (PiXupt)",
        build=lambda scale: HARN(scale=scale),
        scales=(4,),
        min_side_px=15,
        paper_count=NTIRE_2024_COUNT,
        paper=NTIRE_2024_REPORT,
        licence="MIT",
        weights={
            4: Weights(
                file="harn/team41_harn.pth",
                sha256="4b00d7896b344592d2c02b3e316e041fa058fd2d8f7ad4775edf96c1535958ab",
                size_bytes=407105,
                url=f"{CHECKPOINTS_URL}/team41_harn.pth",
                licence="MIT",
            )
        },
        note="PiXupt in Table 6 of the AGDN paper (challenge team 41)",
    ),
)
