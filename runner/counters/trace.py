"""One forward pass seen three ways: operations, modules and functions of torch.

Each tool looks at a network from one or two of these sides. The ledger explains its number from all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.counters.exact import Recorder
from runner.counters.kernels import KernelMode, names_restored
from runner.counters.rules import Cost, Kind
from runner.counters.subject import Subject

_SPACES: Final = {"F": F, "torch": torch, "Tensor": torch.Tensor}
_FUNCTIONS: Final = {
    "F": (
        "relu prelu elu relu6 gelu silu softmax interpolate upsample grid_sample scaled_dot_product_attention "
        "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
        "batch_norm instance_norm conv1d conv2d conv3d"
    ),
    "torch": "matmul mm bmm addmm baddbmm mul add",
    "Tensor": "matmul mm bmm addmm mul add",
}
"""Functions that a tool patches, or that a traced graph shows as one node where operations show their parts."""


class Shape(tuple[int, ...]):
    """The shape of a tensor, in the place of the tensor."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One dispatched operation that costs something, by the exact counter's rule."""

    op: str
    cost: Cost
    args: tuple[Any, ...]
    "Tensors as shapes."
    out: Shape
    "Shape of the first output."
    module: type[nn.Module]
    "Class of the module whose forward was running."

    @property
    def transposed(self) -> bool:
        """True for a transposed convolution."""
        return Kind.CONVOLUTION in self.cost and len(self.args) > 6 and self.args[6] is True


@dataclass(frozen=True, kw_only=True)
class ModuleCall:
    """One call of a module."""

    module: nn.Module
    x: Shape
    "Shape of the first input."
    y: Shape
    "Shape of the output."


@dataclass(frozen=True, kw_only=True)
class FunctionCall:
    """One call of a function by its name in torch, from the network's code or from a module of torch."""

    name: str
    "`F.gelu`, `torch.matmul`, `Tensor.mul`."
    args: tuple[Any, ...]
    "Tensors as shapes."
    kwargs: dict[str, Any]
    out: Shape

    def argument(self, position: int, name: str) -> Any:
        """An argument given either way, None if it was not given."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happened in one forward pass."""

    multi_adds: int
    "The exact count."
    lr: tuple[int, int] = (0, 0)
    "(height, width) of the input."
    operations: list[Operation] = field(default_factory=list)
    modules: list[ModuleCall] = field(default_factory=list)
    functions: list[FunctionCall] = field(default_factory=list)


def trace(subject: Subject) -> Trace:
    """Run the network once on shapes and keep what each tool might look at. Raises JobFailed."""
    return subject.on_first_device(_measure, set_device=False)[0]


class _Tracer(Recorder):  # type: ignore[no-untyped-call]
    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.operations: list[Operation] = []

    def booked(self, func: Any, args: Any, out: Any, cost: Cost) -> None:
        first = out if isinstance(out, Tensor) else out[0]
        self.operations.append(
            Operation(
                op=func._schema.name, cost=cost, args=_shapes(args), out=Shape(first.shape), module=self.module.cls
            )
        )


def _measure(network: nn.Module, x: Tensor) -> Trace:
    modules: list[ModuleCall] = []
    functions: list[FunctionCall] = []

    def called(module: nn.Module, args: tuple[Any, ...], y: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(y, Tensor):
            modules.append(ModuleCall(module=module, x=Shape(args[0].shape), y=Shape(y.shape)))

    for module in network.modules():
        module.register_forward_hook(called)
    kernels, tracer = KernelMode(x.device), _Tracer(network)
    with kernels, tracer, _functions_logged(kernels, functions.append):
        network(x)
    return Trace(
        multi_adds=tracer.root.multi_adds,
        lr=(int(x.shape[2]), int(x.shape[3])),
        operations=tracer.operations,
        modules=modules,
        functions=functions,
    )


@contextmanager
def _functions_logged(kernels: KernelMode, log: Callable[[FunctionCall], None]) -> Iterator[None]:
    """Replace the functions by ones that log their calls, but not those that torch's kernels make."""

    def logged(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            out = function(*args, **kwargs)
            if not kernels.running:
                first = out if isinstance(out, Tensor) else out[0]
                shapes = {key: _shapes(value) for key, value in kwargs.items()}
                log(FunctionCall(name=name, args=_shapes(args), kwargs=shapes, out=Shape(first.shape)))
            return out

        return call

    with names_restored(_SPACES.values()):
        for space, names in _FUNCTIONS.items():
            for name in names.split():
                setattr(_SPACES[space], name, logged(f"{space}.{name}", getattr(_SPACES[space], name)))
        yield


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Shape(value.shape)
    if isinstance(value, (list, tuple)):
        return tuple(_shapes(item) for item in value)
    return value
