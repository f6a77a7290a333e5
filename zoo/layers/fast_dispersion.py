"""The fast form of MDSA and MVSA: merged strided convolutions, and local variance without copies of the windows."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.bands import bands, bands_pay
from zoo.layers.convolution import BSConv
from zoo.layers.dispersion import DispersionAttention
from zoo.layers.fused import conv
from zoo.layers.norm import LocalVariance


class FastDispersion(nn.Module):
    """`DispersionAttention` in parts: `hidden`, then once for the whole image `levels`, then `gate`.

    All strided BSConvs of the levels read the same map, so they are one 1x1 and one depthwise convolution here.
    """

    def __init__(self, attention: DispersionAttention) -> None:
        super().__init__()
        self.level_convs = attention.levels
        self.conv1, self.conv4 = attention.conv1, attention.conv4
        self.layers = nn.ModuleDict()
        strided: list[BSConv] = []
        for level, names in attention.levels.items():
            for key in (f"conv_max_{level}", f"conv3_{level}", *(f"statistic_{name}" for name in names)):
                self.layers[key] = getattr(attention, key)
            strided += [cast(BSConv, getattr(attention, f"conv2_{name}")) for name in names]
        self.hidden_channels = attention.conv1.out_channels
        self.conv_f = attention.conv_f
        self.pointwise = nn.Parameter(torch.cat([cast(nn.Conv2d, layer.pw).weight for layer in strided]))
        self.strided_weight = nn.Parameter(torch.cat([layer.dw.weight for layer in strided]))
        self.strided_bias = nn.Parameter(torch.cat([cast(Tensor, layer.dw.bias) for layer in strided]))

    def forward(self, x: Tensor) -> Tensor:
        u = self.hidden(x)
        total = torch.empty_like(u)
        self.levels(u, total)
        return x * self.gate(total)

    def hidden(self, x: Tensor) -> Tensor:
        """The map that everything is taken from, pixel by pixel."""
        return conv(x, self.conv1.weight, self.conv1.bias)

    def levels(self, u: Tensor, total: Tensor) -> None:
        """Write the sum of all levels to `total`, a map like the whole hidden map `u`. What `u` holds then is lost."""
        for band in bands(u, halo=0):
            total[:, :, band.write] = conv(u[:, :, band.read], self.conv_f.weight, self.conv_f.bias)
        maps = iter(self._strided(u).chunk(self.strided_weight.shape[0] // u.shape[1], dim=1))
        for level, convs in self.level_convs.items():
            statistics = [self._statistic(name, next(maps)) for name in convs]
            v = sum(statistics[1:], statistics[0])
            v = self.layers[f"conv3_{level}"](F.gelu(self.layers[f"conv_max_{level}"](v)))
            total.add_(_upsampled(v, u))

    def _strided(self, u: Tensor) -> Tensor:
        """All strided BSConvs of `u`, one after the other along the channels."""
        n, _, h, w = u.shape
        groups = self.strided_weight.shape[0]
        out = u.new_empty(n, (h + 1) // 2, (w + 1) // 2, groups).permute(0, 3, 1, 2)
        for band in bands(u, halo=0):
            start, stop = (band.start + 1) // 2, (band.stop + 1) // 2
            if start == stop:
                continue
            blueprint = conv(u[:, :, max(0, 2 * start - 1) : 2 * stop], self.pointwise)
            # The last row of an odd height and the first row see the mirrored border.
            border = (1, 1, int(start == 0), int(2 * stop > h))
            blueprint = F.pad(blueprint, border, mode="reflect")
            strided = F.conv2d(blueprint, self.strided_weight, self.strided_bias, stride=2, groups=groups)
            out[:, :, start:stop] = strided
        return out

    def gate(self, total: Tensor) -> Tensor:
        """The factors in (0, 1), pixel by pixel."""
        return conv(total, self.conv4.weight, self.conv4.bias).sigmoid_()

    def _statistic(self, name: str, x: Tensor) -> Tensor:
        # A slice of the channels would send the pooling back to its slow path.
        return self.layers[f"statistic_{name}"](x.contiguous(memory_format=torch.channels_last))


def _upsampled(v: Tensor, like: Tensor) -> Tensor:
    """`v` at the size of `like`, on a CPU in its memory: a large map made anew costs the system's page faults."""
    if not bands_pay(like):
        return F.interpolate(v, like.shape[2:], mode="bilinear", align_corners=False)
    return torch.ops.aten.upsample_bilinear2d.out(v, like.shape[2:], False, None, None, out=like)


class FastLocalVariance(nn.Module):
    """`LocalVariance` without copies of the windows: variance down their columns first, then across.

    Nothing small is a difference of large numbers: squares within and between the columns add up (Chan, Golub and
    LeVeque, 1979).
    """

    def __init__(self, like: LocalVariance) -> None:
        super().__init__()
        self.window, self.stride, self.padding = like.window, like.stride, like.padding

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (self.padding,) * 4, mode="reflect").permute(0, 2, 3, 1)
        mean, within = _moments(self._shifts(x, 1))
        _, between = _moments(self._shifts(mean, 2))
        within = torch.stack(self._shifts(within, 2)).sum(0)
        return (within.add_(between, alpha=self.window) / (self.window**2 - 1)).permute(0, 3, 1, 2)

    def _shifts(self, x: Tensor, dim: int) -> list[Tensor]:
        """The first, second, ... element of every window along `dim`."""
        reach = (x.shape[dim] - self.window) // self.stride * self.stride + 1
        return [x[(slice(None),) * dim + (slice(i, i + reach, self.stride),)] for i in range(self.window)]


def _moments(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean of the parts, and their summed squared distances from it."""
    mean = sum(parts[1:], parts[0]) / len(parts)
    squares = [(part - mean).square_() for part in parts]
    return mean, sum(squares[1:], squares[0])
