"""The rule of the NTIRE organisers' 2022 and 2023 script, and the convolution calls of every edition.

Own code from the description of what that script counts; its known faults are kept, since they are in the published
numbers: transposed convolutions at output size, linear layers by the second dimension of input and output.
"""

from __future__ import annotations

from torch import Tensor, nn

from runner.counters.subject import Subject, ToolCount

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_RECTIFIERS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
_LEFT_OUT = "everything but convolutions, rectifiers, BatchNorm2d and Linear"


def _cost(module: nn.Module, x: Tensor, y: Tensor) -> int:
    if isinstance(module, _CONVOLUTIONS):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        positions = y.shape[0] * y.shape[2] * y.shape[3]
        return kernel * module.in_channels * module.out_channels // module.groups * positions
    if isinstance(module, _RECTIFIERS):
        return y.numel()
    if isinstance(module, nn.BatchNorm2d):
        return 2 * y.numel()
    if isinstance(module, nn.Linear):
        return x.shape[0] * x.shape[1] * y.shape[1]
    return 0


def count_ntire2022(subject: Subject) -> ToolCount:
    """FLOPs of the 2022 and 2023 editions; every parameter, frozen ones included."""

    def measure(network: nn.Module, x: Tensor) -> tuple[int, int]:
        costs: list[int] = []
        for module in network.modules():
            if isinstance(module, (*_CONVOLUTIONS, *_RECTIFIERS, nn.BatchNorm2d, nn.Linear)):
                module.register_forward_hook(lambda m, args, y: costs.append(_cost(m, args[0], y)))
        network(x)
        return sum(costs), sum(p.numel() for p in network.parameters())

    (multi_adds, params), device = subject.on_first_device(measure)
    return ToolCount(multi_adds=multi_adds, params=params, uncounted_ops=(_LEFT_OUT,), device=device)


def count_conv_modules(subject: Subject) -> tuple[int, int]:
    """(activations, calls) of every edition: output elements of nn.Conv2d and nn.ConvTranspose2d modules only."""

    def measure(network: nn.Module, x: Tensor) -> list[int]:
        outputs: list[int] = []
        for module in network.modules():
            if isinstance(module, _CONVOLUTIONS):
                module.register_forward_hook(lambda _m, _args, y: outputs.append(y.numel()))
        network(x)
        return outputs

    outputs, _device = subject.on_first_device(measure)
    return sum(outputs), len(outputs)
