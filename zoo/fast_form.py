"""Make a network faster without changing what it computes, retraining or compiling.

A module that offers `fast_form()` is replaced by what that returns; the passes below replace layers that many
networks share. Outputs stay equal up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.layers.convolution import WeightNormConv2d
from zoo.layers.dispersion import DispersionAttention
from zoo.layers.distillation import DistillationSteps
from zoo.layers.fast_dispersion import FastDispersion, FastLocalVariance
from zoo.layers.norm import ChannelLayerNorm, LocalVariance


@runtime_checkable
class OffersFastForm(Protocol):
    """A module that knows a faster form of itself."""

    def fast_form(self) -> nn.Module:
        """A module of the same function for inference; it may take over the parts and weights of this one."""
        ...


def optimize(model: nn.Module) -> nn.Module:
    """The fast form of an eval-mode network: equal output up to rounding; `model` is left as it is.

    The result is for inference only: it is in eval mode and its parameters take no gradient. It computes with channels
    last in memory, unless the model has an attribute `channels_last_pays` that is False.
    """
    _let_the_allocator_keep_bands()
    network = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.no_grad():
        order = torch.channels_last if getattr(model, "channels_last_pays", True) else torch.contiguous_format
        fast = FastForm(_replaced(network), order)
    for hook in network._forward_pre_hooks.values():
        fast.register_forward_pre_hook(hook)
    fast.network._forward_pre_hooks.clear()
    return fast.eval().requires_grad_(False)


def _let_the_allocator_keep_bands() -> None:
    """Allocate and free one block just below glibc's limit of 32 MiB, without touching it.

    glibc takes the largest block freed so far as the size up to which it keeps memory instead of giving it back to
    the system, and gets every page anew from there otherwise. Where another allocator is used nothing happens.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


class FastForm(nn.Module):
    """A network that gets its input, and so computes, in one memory format; shapes are those of the network."""

    def __init__(self, network: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.network, self.memory_format = network.to(memory_format=memory_format), memory_format

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x.contiguous(memory_format=self.memory_format))
        return y


def _replaced(module: nn.Module) -> nn.Module:
    """The module with every part that a pass applies to exchanged."""
    if isinstance(module, OffersFastForm):
        module = module.fast_form()
    for kind, build in PASSES:
        if type(module) is kind:
            module = build(module)
            break
    if isinstance(module, DistillationSteps):
        module.banded = True
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module


def with_plain_convolutions(network: nn.Module) -> nn.Module:
    """The network with its `WeightNormConv2d` layers exchanged, in place, for convolutions of their weights."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is WeightNormConv2d:
                setattr(module, name, _plain_convolution(child))
    return network


class ChannelsLastLayerNorm(nn.Module):
    """`ChannelLayerNorm` by the kernel for channels that are last in memory."""

    def __init__(self, norm: ChannelLayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


def _plain_convolution(layer: WeightNormConv2d) -> nn.Conv2d:
    """The convolution with its normalised weight, computed once."""
    outputs, inputs, size, _ = layer.weight_v.shape
    plain = nn.Conv2d(inputs, outputs, size, padding=layer.padding, device="meta")
    plain.weight, plain.bias = nn.Parameter(layer.weight), layer.bias
    return plain


PASSES: Final[tuple[tuple[type[nn.Module], Callable[..., nn.Module]], ...]] = (
    (ChannelLayerNorm, ChannelsLastLayerNorm),
    (LocalVariance, FastLocalVariance),
    (DispersionAttention, FastDispersion),
    (WeightNormConv2d, _plain_convolution),
)
"""Layers of the zoo and what takes their place; subclasses may compute something else and are left alone."""
