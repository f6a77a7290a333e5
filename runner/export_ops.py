"""What an ONNX export of a network for any size needs besides PyTorch's exporter.

Two layers bake sizes in or come out differently in a runtime, so they are traced in other words, and PyTorch's own
clean-up of the graph takes the square of its nodes, so there is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Exportable(nn.Module):
    """A network that says the same in words an exporter can write down for any size; its parts are the network's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with _OtherWords():
            y: Tensor = self.network(x)
        return y


class _OtherWords(TorchFunctionMode):
    """`adaptive_max_pool2d`, whose operator takes plain numbers alone, and nearest `interpolate`, as gathers of lines.

    One for each pass: lines are computed once for all layers that resize alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[tuple[str, ...], Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.adaptive_max_pool2d and not kwargs.get("return_indices"):
            return self._pooled(args[0], kwargs.get("output_size", args[-1]))
        if func is F.interpolate and kwargs.get("mode") == "nearest" and kwargs.get("size") is not None:
            return self._resized(args[0], kwargs["size"])
        return func(*args, **kwargs)

    def _pooled(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        for axis, count in zip((2, 3), size, strict=True):
            lines = self._once(_window_lines, x, axis, count)
            windows = (*x.shape[:axis], *lines.shape, *x.shape[axis + 1 :])
            x = x.index_select(axis, lines.flatten()).view(windows).amax(axis + 1)
        return x

    def _resized(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        for axis, count in zip((2, 3), size, strict=True):
            x = x.index_select(axis, self._once(_nearest_lines, x, axis, count))
        return x

    def _once(self, lines: Callable[..., Tensor], x: Tensor, axis: int, count: int) -> Tensor:
        length = x.shape[axis]
        # Symbols have no hash; what they print is their expression.
        key = (lines.__name__, str(length), str(count))
        if key not in self._lines:
            self._lines[key] = lines(length, count, x.device)
        return self._lines[key]


def _window_lines(length: int, count: int, device: torch.device) -> Tensor:
    """(count, longest) lines of the windows: i from floor(i length / count) to ceil((i + 1) length / count).

    Shorter windows repeat their last line, which no maximum sees.
    """
    longest = (length + count - 1) // count + 1
    window = torch.arange(count, device=device)
    first = window * length // count
    last = ((window + 1) * length + count - 1) // count - 1
    return torch.minimum(first[:, None] + torch.arange(longest, device=device), last[:, None])


def _nearest_lines(length: int, count: int, device: torch.device) -> Tensor:
    """The line that each of `count` is a copy of, in the float32 arithmetic of PyTorch; runtimes round otherwise."""
    ratio = torch.full((1,), length, dtype=torch.float32, device=device) / count
    lines = torch.floor(torch.arange(count, dtype=torch.float32, device=device) * ratio)
    return lines.long().clamp(max=length - 1)


def tidy(model: Any) -> None:
    """Fold constants, merge what is computed twice and drop what nobody reads, in place.

    Instead of the exporter's own optimizer, one of whose rules lists all nodes for each: half of an export of
    thousands. What its rules do, runtimes do when they load a file. The notes on each node go too: they hold paths of
    the machine, and can outweigh the weights.
    """
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants_ir

    passes: Any = common
    passes.InlinePass()(model)
    fold_constants_ir(model, onnx_shape_inference=True)
    for step in (
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
        passes.ClearMetadataAndDocStringPass(),
    ):
        step(model)
