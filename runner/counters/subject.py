"""What is counted: fresh copies of a network on the device a counter wants, and an input of the right size."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from runner.counters.shapes import ShapeMode
from zoo.contract import EsrError, JobFailed, ModelSpec
from zoo.create import create_model
from zoo.protocols import Size

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ToolCount:
    """What one tool says of a network."""

    multi_adds: int
    params: int | None
    "By the tool's own rule; None where it has none."
    uncounted_ops: tuple[str, ...]
    "What the tool itself knows it left out, `name xN`; empty where it cannot say."
    device: str
    "meta or cpu: where the forward pass ran."


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to count at one LR size. Every counter gets a copy of its own, so none sees another's traces."""

    fresh: Callable[[str], nn.Module]
    "Device -> eval-mode network that nobody else holds."
    lr: Size

    def input(self, device: str) -> Tensor:
        """One RGB image (1, 3, h, w): grey on a real device, shape only on meta."""
        return torch.full((1, 3, *self.lr), 0.5, device=device)

    def on_first_device(
        self, measure: Callable[[nn.Module, Tensor], T], *, set_device: bool = True, traced: bool = False
    ) -> tuple[T, str]:
        """Result of `measure(network, input)` and its device: meta, or cpu where the network asks for values.

        Each try has a copy of its own, no autograd, no inference mode (it hides operations from dispatch modes), and
        (with `set_device`) constants that the forward pass makes without naming a device on the same one. Repeated
        shapes are remembered unless the network is `traced`, which bears no dispatch mode. Raises JobFailed.
        """
        errors = []
        for device in ("meta", "cpu"):
            try:
                network = self.fresh(device)
                if set_device:
                    _make_constants_on(device, network)
                remembered = ShapeMode() if device == "meta" and not traced else contextlib.nullcontext()
                with torch.inference_mode(False), torch.no_grad(), remembered:
                    return measure(network, self.input(device)), device
            except EsrError:
                raise
            except (NotImplementedError, RuntimeError, TypeError) as error:
                errors.append(f"on {device}: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
        raise JobFailed(
            f"The network does not run at LR {self.lr} ({'; '.join(errors)}). "
            "Pass another --lr, or run it on an image of this size to see the fault."
        )


def _make_constants_on(device: str, network: nn.Module) -> None:
    """Run the network's own forward, not the hooks of a tool around it, with `device` as torch's default."""
    forward = network.forward

    def on_device(x: Tensor) -> Any:
        with torch.device(device):
            return forward(x)

    network.forward = on_device


@contextmanager
def silenced() -> Iterator[io.StringIO]:
    """Keep what a tool prints, warns or logs away from the user; gives the printed text."""
    said, level = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        logging.disable(level)


def named_counts(counts: dict[str, int]) -> tuple[str, ...]:
    """`{"aten::gelu": 3}` -> `("aten::gelu x3",)`, most frequent first."""
    return tuple(f"{name} x{n}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def subject_of(model: nn.Module | ModelSpec, *, lr: Size, scale: int = 4) -> Subject:
    """A network, or a spec built at `scale` with its default initialisation."""
    if isinstance(model, ModelSpec):
        return Subject(fresh=lambda device: create_model(model, scale, None, device=device), lr=lr)
    return Subject(fresh=lambda device: copy_to(model, device), lr=lr)


def copy_to(model: nn.Module, device: str) -> nn.Module:
    """Deep copy in eval mode with every tensor on `device`; the values are not copied where the device is meta.

    The tensors are replaced through deepcopy's memo, which also reaches plain tensor attributes and the non-leaf
    weights that weight normalisation leaves on its modules (deepcopy alone refuses those).
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(value, Tensor) and id(value) not in memo:
                memo[id(value)] = _like(value, device)
    return copy.deepcopy(model, memo).eval()


def _like(tensor: Tensor, device: str) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        moved = (
            torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            if device == "meta"
            else tensor.detach().to(device, copy=True)
        )
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved
