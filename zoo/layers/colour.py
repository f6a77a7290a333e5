"""Input and output conventions: mean shift and native range."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

DIV2K_RGB_MEAN: Final = (0.4488, 0.4371, 0.4040)
"""Mean of DIV2K in [0, 1], the constant that EDSR introduced."""


class MeanShift(nn.Conv2d):
    """Frozen 1x1 convolution that adds `sign * value_range * mean`; its weight and bias are in the state dict."""

    def __init__(self, *, sign: int, value_range: float = 1.0, mean: tuple[float, float, float] = DIV2K_RGB_MEAN):
        super().__init__(3, 3, 1)
        self.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.bias = nn.Parameter(sign * value_range * torch.tensor(mean))
        self.requires_grad_(False)


class ShifterMeanShift(nn.Module):
    """`MeanShift` as CARN stores it: a plain `nn.Conv2d` under the key `shifter`.

    thop and ptflops count an `nn.Conv2d` but no subclass of it, so the released network's counts need the plain one.
    """

    def __init__(self, *, sign: int) -> None:
        super().__init__()
        shift = MeanShift(sign=sign)
        self.shifter = nn.Conv2d(3, 3, 1)
        self.shifter.weight, self.shifter.bias = shift.weight, shift.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.shifter(x)


class RgbMean(nn.Module):
    """The RGB mean as a constant of shape (1, 3, 1, 1) that is not in the state dict; `forward` subtracts it."""

    mean: Tensor

    def __init__(self, mean: tuple[float, float, float] = DIV2K_RGB_MEAN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.mean

    def add(self, x: Tensor) -> Tensor:
        """Undo `forward`."""
        return x + self.mean
