"""NGswin: N-Gram context in Swin windows (CVPR 2023, Fig. 2), three encoder stages, SCDP bottleneck, one decoder.

Feature maps travel as tokens (n, h*w, c) in row-major order together with their size (h, w).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ngswin_counts import from_exact, printed_multi_adds
from zoo.contract import ModelSpec, Paper, Weights
from zoo.layers.padding import missing_to_multiple
from zoo.layers.windows import shift_mask, to_map, to_tokens, window_partition, window_reverse
from zoo.paper_count import PaperCount
from zoo.protocols import PadSymmetric

WINDOW: Final = 8
SHIFT: Final = WINDOW // 2
SIZE_MULTIPLE: Final = 32
"""Two halvings, then whole windows."""
RGB_MEAN: Final = (0.4485, 0.4375, 0.4045)
RGB_STD: Final = {2: (0.2397, 0.2290, 0.2389), 3: (0.2373, 0.2265, 0.2367), 4: (0.2352, 0.2244, 0.2349)}
"""Deviations of the training LR images, by scale."""


class WindowAttention(nn.Module):
    """Scaled-cosine attention with relative position bias inside square windows of `side` tokens.

    A head is dim // heads wide, so the attention is narrower than `dim` where that leaves a remainder.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, side: int, heads: int) -> None:
        super().__init__()
        width = heads * (dim // heads)
        self.heads = heads
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * side - 1) ** 2, heads))
        nn.init.normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", self._index(side), persistent=False)
        self.qkv = nn.Linear(dim, 3 * width)
        self.proj = nn.Linear(width, dim)
        self.softmax = nn.Softmax(dim=-1)

    @staticmethod
    def _index(side: int) -> Tensor:
        """Row of the bias table for each pair of tokens: query minus key, (side^2, side^2)."""
        row, column = torch.arange(side).repeat_interleave(side), torch.arange(side).repeat(side)
        dy, dx = row[:, None] - row[None, :], column[:, None] - column[None, :]
        return (dy + side - 1) * (2 * side - 1) + dx + side - 1

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(windows, tokens, dim) -> same; `mask` (windows of one image, 1, tokens, tokens) is added to the logits."""
        windows, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(windows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scale = self.logit_scale.clamp(max=math.log(100)).exp()
        logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * scale
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        logits = logits + bias.view(tokens, tokens, self.heads).permute(2, 0, 1)
        if mask is not None:
            logits = (logits.view(-1, mask.shape[0], *logits.shape[1:]) + mask).flatten(0, 1)
        y = self.softmax(logits) @ v
        return self.proj(y.transpose(1, 2).flatten(2))


class NGramContext(nn.Module):
    """A vector per window from the 2x2 windows before and behind it: (n, c, h, w) -> (n*windows, 1, c)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        half = dim // 2
        self.unigram_embed = nn.Conv2d(dim, half, WINDOW, stride=WINDOW, groups=half)
        self.ngram_attn = WindowAttention(half, 2, heads)
        self.avg_pool = nn.AvgPool2d(2)
        self.merge = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        unigrams = self.unigram_embed(x)
        forward = self._ngrams(F.pad(unigrams, (0, 1, 0, 1), mode="reflect"))
        backward = self._ngrams(F.pad(unigrams, (1, 0, 1, 0), mode="reflect"))
        context = self.merge(torch.cat((forward, backward), dim=1))
        return to_tokens(context).flatten(0, 1)[:, None]

    def _ngrams(self, unigrams: Tensor) -> Tensor:
        """Mean of the four attended unigrams of each 2x2 neighbourhood: (n, c, h+1, w+1) -> (n, c, h, w)."""
        neighbours = unigrams.unfold(2, 2, 1).unfold(3, 2, 1)
        n, c, h, w = neighbours.shape[:4]
        tokens = neighbours.permute(0, 2, 3, 4, 5, 1).reshape(n * h * w, 4, c)
        mean = self.avg_pool(to_map(self.ngram_attn(tokens), (2, 2)))
        return mean.view(n, h, w, c).permute(0, 3, 1, 2)


class NGramWindowPartition(nn.Module):
    """Windows with their N-Gram context added to every token: (n, c, h, w) -> (n*windows, tokens, c)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ngram_context = NGramContext(dim, heads)

    def forward(self, x: Tensor) -> Tensor:
        return window_partition(x, (WINDOW, WINDOW)) + self.ngram_context(x)


class FFN(nn.Module):
    """Linear to twice the width, GELU, linear back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class NSTB(nn.Module):
    """N-Gram Swin transformer block (Fig. 3): window attention and FFN, each normalised before its residual sum."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ngram_window_partition = NGramWindowPartition(dim, heads)
        self.attn = WindowAttention(dim, WINDOW, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.ffn = FFN(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, size: tuple[int, int], mask: Tensor | None) -> Tensor:
        """Tokens -> tokens. With a mask the windows are shifted; the context is that of the unshifted ones."""
        x = x + self.norm1(self._attend(to_map(x, size), size, mask))
        return x + self.norm2(self.ffn(x))

    def _attend(self, x: Tensor, size: tuple[int, int], mask: Tensor | None) -> Tensor:
        side = (WINDOW, WINDOW)
        windows = self.ngram_window_partition(x)
        if mask is None:
            return to_tokens(window_reverse(self.attn(windows), side, size))
        rolled = torch.roll(window_reverse(windows, side, size), (-SHIFT, -SHIFT), dims=(2, 3))
        y = window_reverse(self.attn(window_partition(rolled, side), mask), side, size)
        return to_tokens(torch.roll(y, (SHIFT, SHIFT), dims=(2, 3)))


class PatchMerging(nn.Module):
    """The four tokens of each 2x2 square, normalised together and projected to one of `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        x = window_partition(to_map(tokens, size), (2, 2)).flatten(1)
        return self.reduction(self.norm(x.view(tokens.shape[0], -1, x.shape[1])))


class Stage(nn.Module):
    """Blocks of alternating shift with a residual inside the stage: each block also gets its predecessor's input."""

    def __init__(self, dim: int, depth: int, heads: int, *, inputs: int = 1, downsample: bool = False) -> None:
        super().__init__()
        self.across_cascade_proj = nn.Linear(inputs * dim, dim) if inputs > 1 else nn.Identity()
        self.blocks = nn.ModuleList(NSTB(dim, heads) for _ in range(depth))
        self.downsample = PatchMerging(dim) if downsample else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Output of the last block, and the tokens for the next stage: its sum with its input, merged if asked."""
        x = self.across_cascade_proj(x)
        mask = shift_mask(size, WINDOW, SHIFT, x.device)
        residual = torch.zeros_like(x)
        for index, block in enumerate(self.blocks):
            summed = x + residual
            x = block(summed, size, mask if index % 2 else None)
            residual = summed
        carried = x + residual
        return x, carried if self.downsample is None else self.downsample(carried, size)


class SCDPBottleneck(nn.Module):
    """Pixel-shuffle, concatenation, depthwise and point-wise convolution of all encoder outputs (Fig. 4)."""

    def __init__(self, dim: int, *, levels: int = 3) -> None:
        super().__init__()
        width = sum(dim // 4**level for level in range(levels))
        self.pools = nn.ModuleList(nn.Sequential(*(nn.MaxPool2d(2) for _ in range(level))) for level in range(levels))
        self.act = nn.LeakyReLU()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.gelu = nn.GELU()
        self.pointwise = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, shallow: Tensor, encoded: list[Tensor]) -> Tensor:
        """Shallow map (n, dim, h, w) and the encoders' tokens at 1, 1/2, 1/4 size -> tokens (n, h*w, dim)."""
        enlarged = []
        for level, (pool, tokens) in enumerate(zip(self.pools, encoded, strict=True)):
            x = self.act(pool(shallow))
            x = to_map(tokens, (x.shape[2], x.shape[3])) + x
            enlarged.append(F.pixel_shuffle(x, 2**level))
        x = self.gelu(self.depthwise(torch.cat(enlarged, dim=1)))
        return self.norm(self.pointwise(to_tokens(x).contiguous()))


class ShallowExtract(nn.Module):
    """3x3 convolution from RGB."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(x)


class Reconstruction(nn.Module):
    """3x3 convolution, pixel shuffle, 3x3 convolution at HR size."""

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__()
        self.before_shuffle = nn.Conv2d(dim, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        self.to_origin = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_origin(self.shuffle(self.before_shuffle(x)))


class NGswin(nn.Module):
    """64 channels, encoders of 6, 4, 4 blocks, a decoder of 6. Sides of at least 33, zero-padded inside to 32s."""

    mean: Tensor
    std: Tensor

    def __init__(self, *, scale: int, dim: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(RGB_STD[scale]).view(1, 3, 1, 1), persistent=False)
        self.shallow_extract = ShallowExtract(dim)
        self.encoder_layer1 = Stage(dim, 6, 6, downsample=True)
        self.max_pool = nn.MaxPool2d(2)
        self.encoder_layer2 = Stage(dim, 4, 4, inputs=2, downsample=True)
        self.encoder_layer3 = Stage(dim, 4, 4, inputs=3)
        self.bottleneck = SCDPBottleneck(dim)
        self.decoder_layer1 = Stage(dim, 6, 6)
        self.norm = nn.LayerNorm(dim)
        self.to_target = Reconstruction(dim, scale)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (0, missing_to_multiple(width, SIZE_MULTIPLE), 0, missing_to_multiple(height, SIZE_MULTIPLE)))
        y = self.to_target(self.features((x - self.mean) / self.std)) * self.std + self.mean
        return y[:, :, : height * self.scale, : width * self.scale]

    def features(self, x: Tensor) -> Tensor:
        """Normalised RGB, sides multiples of 32 and at least 64 -> (n, dim, h, w)."""
        h, w = x.shape[2:]
        full, half, quarter = (h, w), (h // 2, w // 2), (h // 4, w // 4)
        shallow = self.shallow_extract(x)
        cascade1 = to_tokens(shallow)
        encoded1, merged1 = self.encoder_layer1(cascade1, full)
        cascade2 = torch.cat((self._halve(cascade1, full), merged1), dim=2)
        encoded2, merged2 = self.encoder_layer2(cascade2, half)
        cascade3 = torch.cat((self._halve(cascade2, half), merged2), dim=2)
        encoded3, _ = self.encoder_layer3(cascade3, quarter)
        x = self.bottleneck(shallow, [encoded1, encoded2, encoded3]) + encoded1
        decoded, _ = self.decoder_layer1(x, full)
        return to_map(self.norm(decoded) + cascade1, full)

    def _halve(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Maximum of each 2x2 square of tokens."""
        return to_tokens(self.max_pool(to_map(tokens, size)))


def _weights(scale: int, *, sha256: str, size_bytes: int) -> Weights:
    return Weights(
        file=f"ngswin/NGswin_x{scale}.pth",
        sha256=sha256,
        size_bytes=size_bytes,
        url="https://github.com/rami0205/NGramSwin/raw/8d0d6490954ecb1ce6cf9bf5d2d511de44b1fb44/"
        f"pretrain/NGswin_x{scale}.pth",
        licence="Apache-2.0",
    )


SPECS: tuple[ModelSpec, ...] = (
    ModelSpec(
        name="ngswin",
        display_name="NGswin",
        build=lambda scale: NGswin(scale=scale),
        scales=(2, 3, 4),
        min_side_px=33,
        paper_count=PaperCount(
            multi_adds=printed_multi_adds,
            formula="the authors' own count, at the padded size",
            from_exact=from_exact,
        ),
        paper=Paper(
            title="N-Gram in Swin Transformers for Efficient Lightweight Image Super-Resolution",
            authors="Choi, Lee, Yang",
            venue="CVPR 2023",
            year=2023,
            arxiv="2211.11436",
            code_url="https://github.com/rami0205/NGramSwin",
        ),
        licence="Apache-2.0",
        weights={
            2: _weights(
                2, sha256="99b8c315a6135f03e2c9b062b100e2601dc7b6bdc20d9a723fec7b3ef97619bb", size_bytes=4156753
            ),
            3: _weights(
                3, sha256="8ebf328a540461477f30495da6d5303df18cd6db06b853640024951ed0e128ac", size_bytes=4191377
            ),
        },
        inference=PadSymmetric(SIZE_MULTIPLE),
        note="The authors also publish x4 weights; they are not declared because no sha256 of that file was taken.",
    ),
)
