"""SGSA in TLC windows, one row of windows after the other, its output projection applied to the attention matrices."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agdn.network import SGSABlock, window_starts
from zoo.layers.bands import Ahead, bands_pay
from zoo.layers.fused import conv
from zoo.layers.norm import ChannelLayerNorm

QKV_VALUES: Final = 3_000_000
"""Queries, keys and values that are in work at a time: 12 MB in float32."""


def is_compiled() -> bool:
    """Whether torch.compile traces this; an exporter, which asks in the same way, knows none of our operators."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def normalised(x: Tensor, norm: ChannelLayerNorm) -> Tensor:
    """`norm` of an NCHW map by the kernel for channels that are last in memory."""
    return F.layer_norm(x.permute(0, 2, 3, 1), norm.weight.shape, norm.weight, norm.bias, norm.eps).permute(0, 3, 1, 2)


class FastAttention(nn.Module):
    """x + SGSA(LayerNorm(x))."""

    def __init__(self, block: SGSABlock) -> None:
        super().__init__()
        attention = block.restormer_attn
        self.norm, self.tlc_window = block.norm3.body, attention.tlc_window
        self.qkv, self.qkv_dwconv = attention.qkv, attention.qkv_dwconv
        channels, heads = attention.project_out.in_channels, attention.num_head
        # Heads attend to themselves only: the other similarities between channels are multiplied by 0.
        alike = torch.eye(heads).repeat_interleave(channels // heads, 0).repeat_interleave(channels // heads, 1)
        temperature = attention.temperature.view(-1, 1).repeat_interleave(channels // heads, 0)
        self.temperature = nn.Parameter(alike.to(temperature) * temperature)
        self.project_out = nn.Parameter(attention.project_out.weight.view(channels, channels))

    def forward(self, x: Tensor, out: Tensor, ready: Ahead) -> None:
        """Write the result to `out`; `ready` completes the rows of x."""
        _, _, h, w = x.shape
        rows, cols = window_starts(h, self.tlc_window or h), window_starts(w, self.tlc_window or w)
        kh, kw = min(h, self.tlc_window or h), min(w, self.tlc_window or w)
        if bands_pay(x):
            self._in_bands(x, out, ready, rows, cols, kh, kw)
            return
        ready.upto(h)
        attended = self._windows(x, rows, cols, kh, kw)
        mean = _called_mean_of_windows if is_compiled() else mean_of_windows
        out.copy_(mean(attended, rows, cols, [h, w]).permute(0, 3, 1, 2) + x)

    def _in_bands(
        self, x: Tensor, out: Tensor, ready: Ahead, rows: list[int], cols: list[int], kh: int, kw: int
    ) -> None:
        """A few windows at a time; `out` holds their sum until its pixels have got all of theirs."""
        _, _, h, w = x.shape
        share = _share(rows, kh, h, x)[:, None] * _share(cols, kw, w, x)
        # As many windows as have their queries, keys and values in the cache: whole rows of them or a part of one.
        count = max(1, QKV_VALUES // (x.shape[0] * self.qkv.out_channels * kh * kw))
        height = max(1, count // len(cols))
        steps = [rows[i : i + height] for i in range(0, len(rows), height)]
        parts = [cols[i : i + count] for i in range(0, len(cols), count)]
        filled = 0
        for i, step in enumerate(steps):
            stop = step[-1] + kh
            ready.upto(min(h, stop + 1))
            # The rows from `filled` on hold no sum yet, those before it that of the windows above.
            out[:, :, filled:stop].zero_()
            for part in parts:
                _add_windows(out.permute(0, 2, 3, 1), self._windows(x, step, part, kh, kw), step, part)
            filled, done = stop, steps[i + 1][0] if i + 1 < len(steps) else h
            finished = slice(step[0], done)
            out[:, :, finished].mul_(share[finished]).add_(x[:, :, finished])

    def _windows(self, x: Tensor, rows: list[int], cols: list[int], kh: int, kw: int) -> Tensor:
        """The attention of the windows at these rows and columns: (n, rows * cols, kh, kw, c)."""
        first, stop, start, end = rows[0], rows[-1] + kh, cols[0], cols[-1] + kw
        top, left = max(0, first - 1), max(0, start - 1)
        qkv = conv(normalised(x[:, :, top : stop + 1, left : end + 1], self.norm), self.qkv.weight)
        qkv = conv(qkv, self.qkv_dwconv.weight, padding=1, groups=self.qkv_dwconv.groups).permute(0, 2, 3, 1)
        cut = _called_windows_of if is_compiled() else windows_of
        tiles = cut(qkv, [r - top for r in rows], [c - left for c in cols], kh, kw)
        return self._attend(tiles.flatten(0, 1).flatten(1, 2)).view(*tiles.shape[:-1], -1)

    def _attend(self, qkv: Tensor) -> Tensor:
        """(b, pixels, 3c) -> (b, pixels, c), the output projection included."""
        c = self.project_out.shape[0]
        norm = qkv[..., : 2 * c].square().sum(1).sqrt_().clamp_min_(1e-12)
        similarity = qkv[..., :c].transpose(1, 2) @ qkv[..., c : 2 * c]
        similarity = similarity / (norm[:, :c, None] * norm[:, None, c:])
        weights = self.project_out @ F.relu(similarity * self.temperature)
        return qkv[..., 2 * c :] @ weights.transpose(1, 2)


def _add_windows(out: Tensor, windows: Tensor, rows: list[int], cols: list[int]) -> None:
    """Add `windows` (n, rows * cols, kh, kw, c) to `out` (n, h, w, c) at these rows and columns."""
    _, _, kh, kw, _ = windows.shape
    for i, r in enumerate(rows):
        for j, c in enumerate(cols):
            out[:, r : r + kh, c : c + kw] += windows[:, i * len(cols) + j]


def windows_of(x: Tensor, rows: list[int], cols: list[int], kh: int, kw: int) -> Tensor:
    """The windows of kh x kw pixels at these rows and columns of x (n, h, w, c): (n, rows * cols, kh, kw, c)."""
    return torch.stack([x[:, r : r + kh, c : c + kw] for r in rows for c in cols], dim=1)


def mean_of_windows(windows: Tensor, rows: list[int], cols: list[int], size: list[int]) -> Tensor:
    """The mean over the windows (n, rows * cols, kh, kw, c) that cover each pixel: (n, h, w, c)."""
    n, _, kh, kw, c = windows.shape
    h, w = size
    out = windows.new_zeros(n, h, w, c)
    _add_windows(out, windows, rows, cols)
    share = _share(rows, kh, h, windows)[:, None] * _share(cols, kw, w, windows)
    return out.mul_(share[:, :, None])


# For a compiler both are operators that it calls. Left to itself it nests a choice for each window in all the others:
# 33 MB of C++ for one block at 64x64.
_called_windows_of = torch.library.custom_op("esr::windows_of", windows_of, mutates_args=())
_called_mean_of_windows = torch.library.custom_op("esr::mean_of_windows", mean_of_windows, mutates_args=())


@_called_windows_of.register_fake
def _(x: Tensor, rows: list[int], cols: list[int], kh: int, kw: int) -> Tensor:
    return x.new_empty(x.shape[0], len(rows) * len(cols), kh, kw, x.shape[3])


@_called_mean_of_windows.register_fake
def _(windows: Tensor, rows: list[int], cols: list[int], size: list[int]) -> Tensor:
    del rows, cols
    n, _, _, _, c = windows.shape
    return windows.new_empty(n, *size, c)


def _share(starts: list[int], window: int, length: int, like: Tensor) -> Tensor:
    """One over the number of windows that cover each of `length` pixels; filled on the device, nothing is copied."""
    times = like.new_zeros(length)
    for start in starts:
        times[start : start + window] += 1
    return 1 / times
