"""IMDN: information multi-distillation network (ACM MM 2019); network Fig. 2, block Fig. 3."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.attention import ContrastChannelAttention
from zoo.layers.convolution import pixel_shuffle_tail
from zoo.paper_count import MultiAddRule, PaperCount

NEGATIVE_SLOPE = 0.05


class IMDB(nn.Module):
    """Fig. 3: three steps that each keep a quarter of the channels and refine the rest, then CCA and a 1x1 fusion."""

    def __init__(self, width: int) -> None:
        super().__init__()
        distilled = width // 4
        remaining = width - distilled
        self.split = (distilled, remaining)
        self.c1 = nn.Conv2d(width, width, 3, padding=1)
        self.c2 = nn.Conv2d(remaining, width, 3, padding=1)
        self.c3 = nn.Conv2d(remaining, width, 3, padding=1)
        self.c4 = nn.Conv2d(remaining, distilled, 3, padding=1)
        self.act = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.cca = ContrastChannelAttention(width, width // 16)
        self.c5 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        distilled1, rest = self.act(self.c1(x)).split(self.split, 1)
        distilled2, rest = self.act(self.c2(rest)).split(self.split, 1)
        distilled3, rest = self.act(self.c3(rest)).split(self.split, 1)
        distilled4 = self.c4(rest)
        merged = torch.cat([distilled1, distilled2, distilled3, distilled4], 1)
        return self.c5(self.cca(merged)) + x


class IMDN(nn.Module):
    """Six IMDBs whose outputs are all collected, a long skip and a pixel-shuffle tail."""

    def __init__(self, *, scale: int, width: int = 64) -> None:
        super().__init__()
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        self.IMDB1 = IMDB(width)
        self.IMDB2 = IMDB(width)
        self.IMDB3 = IMDB(width)
        self.IMDB4 = IMDB(width)
        self.IMDB5 = IMDB(width)
        self.IMDB6 = IMDB(width)
        self.c = nn.Sequential(nn.Conv2d(6 * width, width, 1), nn.LeakyReLU(NEGATIVE_SLOPE))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = pixel_shuffle_tail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.fea_conv(x)
        deep, collected = shallow, []
        for block in (self.IMDB1, self.IMDB2, self.IMDB3, self.IMDB4, self.IMDB5, self.IMDB6):
            deep = block(deep)
            collected.append(deep)
        fused = self.LR_conv(self.c(torch.cat(collected, 1)))
        return self.upsampler(fused + shallow)


def _weights(scale: int, *, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"imdn/IMDN_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url=(
            "https://github.com/Zheng222/IMDN/raw/8f158e6a5ac9db6e5857d9159fd4a6c4214da574/"
            f"checkpoints/IMDN_x{scale}.pth"
        ),
        licence="none stated",
        strip_prefix="module.",
    )


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="imdn",
        display_name="IMDN",
        build=lambda scale: IMDN(scale=scale),
        scales=(2, 3, 4),
        paper_count=PaperCount(multi_adds=MultiAddRule.CONVOLUTIONS),
        paper=Paper(
            title="Lightweight Image Super-Resolution with Information Multi-distillation Network",
            authors="Hui, Gao, Yang, et al.",
            venue="ACM MM 2019",
            year=2019,
            arxiv="1909.11856",
            code_url="https://github.com/Zheng222/IMDN",
        ),
        licence="none stated",
        weights={
            2: _weights(
                2, sha256="740b39653592bd3f49955a21cd9e16f2d37f2c413368cc09327601b8fbe42ce1", size_bytes=2_796_052
            ),
            3: _weights(
                3, sha256="11b1716a19bc16e5e353e1db798d476169338e631eb170c82d765559888cb028", size_bytes=2_830_672
            ),
            4: _weights(
                4, sha256="e660c38221147217a136debeb99eb304d62d9c0f73ac421ed66281b619719714", size_bytes=2_879_112
            ),
        },
        note="The channel deviation has no epsilon, so a perfectly flat channel has no finite gradient in training.",
    ),
)
