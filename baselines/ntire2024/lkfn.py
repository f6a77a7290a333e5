"""LKFN of team ZHEstar (NTIRE 2024 efficient SR challenge): LKDN with partial convolutions and frequency attention."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from baselines.ntire2024.report import CHECKPOINTS_URL, NTIRE_2024_COUNT, NTIRE_2024_REPORT
from zoo.contract import ModelSpec, Weights
from zoo.layers.convolution import BSConv, pixel_shuffle_tail, pixelwise
from zoo.layers.distillation import DistillationNetwork, DistillationSteps


class PartialBSConv(nn.Module):
    """Depthwise convolution of the first half of the channels (`pdw`), then 1x1 of all without bias (`pw`)."""

    def __init__(self, num_feat: int, *, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        filtered = num_feat // 2
        self.widths = [filtered, num_feat - filtered]
        self.pw = nn.Conv2d(num_feat, num_feat, 1, bias=False)
        self.pdw = nn.Conv2d(
            filtered,
            filtered,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            groups=filtered,
            dilation=dilation,
        )

    def forward(self, x: Tensor) -> Tensor:
        filtered, untouched = torch.split(x, self.widths, dim=1)
        return self.pw(torch.cat([self.pdw(filtered), untouched], dim=1))


class FrequencyAttention(nn.Module):
    """x * a(x), where a refines each frequency of x: one small network for the real and for the imaginary part.

    Needs float32 at least. Counters see its 1x1 convolutions on (h, w // 2 + 1) maps, and no Fourier transform.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.conv_layer1 = nn.Conv2d(channels, hidden, 1)
        self.conv_layer2 = nn.Conv2d(hidden, hidden, 1)
        self.conv_layer3 = nn.Conv2d(hidden, channels, 1)
        self.act = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x, norm="ortho")
        refined = torch.complex(self._refine(spectrum.real), self._refine(spectrum.imag))
        return x * torch.fft.irfft2(refined, s=x.shape[2:], norm="ortho")

    def _refine(self, part: Tensor) -> Tensor:
        hidden = self.act(self.conv_layer2(self.act(self.conv_layer1(part))))
        return part + self.conv_layer3(hidden)


class LKFB(DistillationSteps):
    """Distillation with partial convolutions, frequency attention between 1x1 convolutions, LayerNorm, residual."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(
            num_feat,
            refine=(
                PartialBSConv(num_feat, kernel_size=5),
                PartialBSConv(num_feat, kernel_size=5),
                PartialBSConv(num_feat, kernel_size=5, dilation=3),
            ),
            last=BSConv(num_feat, num_feat // 2),
            inner_residual=False,
        )
        self.atten = FrequencyAttention(num_feat)
        self.c6 = nn.Conv2d(num_feat, num_feat, 1)
        self.pixel_norm = nn.LayerNorm(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c6(self.atten(self.distill(x)))
        return pixelwise(self.pixel_norm, y).contiguous() + x


class LKFN(DistillationNetwork):
    """Eight blocks of 28 features in the frame of BSRN; each output pixel depends on the whole image."""

    channels_last_pays = False
    """On a CPU it ran at 0.80 of its speed: its other operations want whole channels."""

    def __init__(self, *, scale: int = 4, num_feat: int = 28, num_block: int = 8, input_copies: int = 4) -> None:
        super().__init__(
            fea_conv=BSConv(3 * input_copies, num_feat),
            blocks=[LKFB(num_feat) for _ in range(num_block)],
            c1=nn.Conv2d(num_block * num_feat, num_feat, 1),
            c2=BSConv(num_feat, num_feat),
            upsampler=pixel_shuffle_tail(num_feat, scale),
            input_copies=input_copies,
        )


SPECS: Final = (
    ModelSpec(
        name="lkfn",
        display_name="LKFN (ZHEstar)",
        build=lambda scale: LKFN(scale=scale),
        scales=(4,),
        paper_count=NTIRE_2024_COUNT,
        paper=NTIRE_2024_REPORT,
        licence="MIT",
        weights={
            4: Weights(
                file="lkfn/team03_lkfn.pth",
                sha256="2c129c0ff6ccb64a94f6dd058715451c81f18f2ab99d13dbdeb6081e352871b4",
                size_bytes=424057,
                url=f"{CHECKPOINTS_URL}/team03_lkfn.pth",
                licence="MIT",
            ),
        },
        note="ZHEstar in Table 6 of the AGDN paper (challenge team 3); no counter sees its Fourier transforms",
    ),
)
