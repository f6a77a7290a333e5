"""Weights from a formula, so that a network can be compared without any checkpoint.

For the tensor of a state-dict key with flat C-order index n (float64) and c = crc32(key) mod 1000:
u = frac(sin(12.9898 n + 78.233 c) * 43758.5453). Tensors of two or more dimensions get (2u - 1) sqrt(2.4 / fan_in)
with fan_in = numel / shape[0], keys that end in `ch_mask` get 2u - 1, one-dimensional ones (2u - 1) / 10.
Buffers and frozen parameters (mean shifts, shift kernels) keep their own values.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor, nn


def formula_tensor(key: str, shape: torch.Size) -> Tensor:
    """The formula's float32 values for one key."""
    n = torch.arange(shape.numel(), dtype=torch.float64)
    z = torch.sin(n * 12.9898 + 78.233 * (zlib.crc32(key.encode()) % 1000)) * 43758.5453
    u = z - torch.floor(z)
    if key.endswith("ch_mask"):
        bound = 1.0
    elif len(shape) >= 2:
        bound = (2.4 * shape[0] / shape.numel()) ** 0.5
    else:
        bound = 0.1
    return ((2 * u - 1) * bound).view(shape).float()


def load_formula_weights(network: nn.Module) -> None:
    """Fill every trainable parameter of `network` by the formula."""
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(formula_tensor(key, parameter.shape))


def formula_image(height: int, width: int) -> Tensor:
    """A smooth (1, 3, height, width) picture in [0, 1] with an edge, from a formula."""
    y = torch.linspace(0, 1, height, dtype=torch.float64).view(1, height, 1)
    x = torch.linspace(0, 1, width, dtype=torch.float64).view(1, 1, width)
    c = torch.arange(3, dtype=torch.float64).view(3, 1, 1)
    picture = 0.5 + 0.3 * torch.sin(9 * x + 2 * c) * torch.cos(7 * y - c) + 0.2 * (x + y > 1 + 0.1 * c)
    return picture.clamp(0, 1).float().unsqueeze(0)
