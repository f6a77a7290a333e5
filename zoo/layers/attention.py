"""Channel and spatial attention shared by the distillation networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.convolution import BSConv, Pointwise, conv1x1, pixelwise


class ChannelAttention(nn.Module):
    """Channel attention of RCAN (squeeze and excitation): a gate from each channel's mean over the image.

    `conv_du`: 1x1 channels -> hidden, ReLU, 1x1 hidden -> channels, sigmoid. The mean is an `nn.AdaptiveAvgPool2d`
    because thop counts that module in the released networks.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(self.avg_pool(x))


class ContrastChannelAttention(ChannelAttention):
    """CCA of IMDN: `ChannelAttention` on standard deviation plus mean; population deviation without epsilon."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(population_std(x) + self.avg_pool(x))


def population_std(x: Tensor) -> Tensor:
    """Population standard deviation of each channel over the image, (n, c, h, w) -> (n, c, 1, 1), no epsilon."""
    centred = x - x.mean((2, 3), keepdim=True)
    return torch.sqrt((centred * centred).mean((2, 3), keepdim=True))


def dense3x3(in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 1) -> nn.Module:
    """Ordinary 3x3 convolution with the signature that `ESA` expects of its layers."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=padding)


def max_pool7(x: Tensor) -> Tensor:
    """Max-pool 7 stride 3 as a function, as RFDN, RLFN and LSANet call it: ptflops counts a pooling module twice."""
    return F.max_pool2d(x, 7, stride=3)


class ESA(nn.Module):
    """Enhanced spatial attention (RFANet, CVPR 2020) in the variants of RFDN, RLFN, BSRN and LSANet.

    `conv1` 1x1 to `hidden`; `conv2` 3x3 stride 2 without padding; max-pool 7 stride 3; then three 3x3 convolutions
    `conv_max`, `conv3`, `conv3_` with an activation after the first two (`depth=3`), or `conv3` alone without any
    (`depth=1`); bilinear resize to the input's size; plus `conv_f` 1x1 of conv1's output; `conv4` 1x1; sigmoid gate.
    Needs sides of at least 15. `conv3x3` builds the 3x3 layers, `conv2` the strided one, `pointwise` the 1x1 ones;
    `pool` is a module unless given.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        depth: int = 3,
        act: Callable[[Tensor], Tensor] = F.relu,
        pool: Callable[[Tensor], Tensor] | None = None,
        conv3x3: Callable[[int, int], nn.Module] = dense3x3,
        conv2: Callable[..., nn.Module] | None = None,
        pointwise: Pointwise = conv1x1,
    ) -> None:
        super().__init__()
        self.act, self.depth = act, depth
        self.conv1 = pointwise(channels, hidden)
        self.conv_f = pointwise(hidden, hidden)
        self.conv2 = (conv2 or dense3x3)(hidden, hidden, stride=2, padding=0)
        self.pool = pool or nn.MaxPool2d(7, stride=3)
        if depth == 3:
            self.conv_max = conv3x3(hidden, hidden)
        self.conv3 = conv3x3(hidden, hidden)
        if depth == 3:
            self.conv3_ = conv3x3(hidden, hidden)
        self.conv4 = pointwise(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        c1 = pixelwise(self.conv1, x)
        v = self.pool(self.conv2(c1))
        if self.depth == 3:
            v = self.act(self.conv_max(v))
            v = self.conv3_(self.act(self.conv3(v)))
        else:
            v = self.conv3(v)
        v = F.interpolate(v, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(pixelwise(self.conv4, v + pixelwise(self.conv_f, c1)))


def bsconv3x3(in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 1) -> nn.Module:
    """BSConv with the signature that `ESA` expects of its layers (BSRN)."""
    return BSConv(in_channels, out_channels, stride=stride, padding=padding)
