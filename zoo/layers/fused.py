"""Convolutions with stride 1 and what follows them, in one kernel of oneDNN where that is possible.

PyTorch's compiler uses the same kernels; called directly they need no compilation. With one thread they also avoid
PyTorch's own slow 1x1 convolution. Everywhere else (another device or dtype, a traced graph, gradients) the
ordinary operations give the same result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

try:
    _UNARY: Any = torch.ops.mkldnn._convolution_pointwise.default
    _BINARY: Any = torch.ops.mkldnn._convolution_pointwise.binary
except (AttributeError, RuntimeError):  # a build of PyTorch without oneDNN
    _UNARY = _BINARY = None


def _fusable(x: Tensor) -> bool:
    return (
        _UNARY is not None
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and torch._C._get_mkldnn_enabled()
        and not (torch.is_grad_enabled() and x.requires_grad)
    )


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 0, groups: int = 1, gelu: bool = False
) -> Tensor:
    """`F.conv2d` and, if asked, GELU in its exact form."""
    if _fusable(x):
        act = "gelu" if gelu else "none"
        return _UNARY(x, weight, bias, [padding, padding], [1, 1], [1, 1], groups, act, [], "none")
    y = F.conv2d(x, weight, bias, padding=padding, groups=groups)
    return F.gelu(y) if gelu else y


def conv_add(x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor) -> Tensor:
    """`F.conv2d` of size 1 plus `other`."""
    if _fusable(x):
        return _BINARY(x, other, weight, bias, [0, 0], [1, 1], [1, 1], 1, "add", 1.0, None, [], None)
    return F.conv2d(x, weight, bias) + other


def conv_mul(x: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor, *, padding: int, groups: int) -> Tensor:
    """`F.conv2d` times `other`."""
    if _fusable(x):
        pad = [padding, padding]
        return _BINARY(x, other, weight, bias, pad, [1, 1], [1, 1], groups, "mul", 1.0, None, [], None)
    return F.conv2d(x, weight, bias, padding=padding, groups=groups) * other
