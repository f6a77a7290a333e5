"""Per-pixel normalisation over channels, and local variance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of each pixel of an NCHW map: biased variance, `eps` inside the root.

    Written in elementary operations, as the released networks write it: no counter sees it (an `nn.LayerNorm` or
    `F.layer_norm` is counted by thop and fvcore and would change their numbers).
    """

    def __init__(self, channels: int, *, eps: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = (centred * centred).mean(1, keepdim=True)
        y = centred / torch.sqrt(variance + self.eps) * self.weight.view(1, -1, 1, 1)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)


class LocalVariance(nn.Module):
    """Unbiased variance of each channel over square windows after reflect padding; the variance branch of MDSA, MVSA.

    (n, c, h, w) -> (n, c, (h + 2*padding - window) // stride + 1, likewise for w).
    """

    def __init__(self, window: int, *, stride: int, padding: int = 1) -> None:
        super().__init__()
        self.window, self.stride, self.padding = window, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (self.padding,) * 4, mode="reflect")
        windows = x.unfold(2, self.window, self.stride).unfold(3, self.window, self.stride)
        return windows.var(dim=(-2, -1))
