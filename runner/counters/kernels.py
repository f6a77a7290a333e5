"""Where the network's own code ends and torch's begins, for tools and traces that replace functions of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class KernelMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows when an operation is running, as opposed to the network's own code; makes constants on `device`.

    Shape functions of torch are Python and call what a tool may have patched. `torch.device(...)` as a context would
    place constants too, but through a function mode, which looks `x * y` up in torch's namespace and so finds a
    patched `Tensor.mul` that the network did not call.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.running = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; True would import torch._dynamo, which takes seconds, at the first operation.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if not _has_tensor(args) and any(argument.name == "device" for argument in func._schema.arguments):
            kwargs["device"] = self.device
        self.running = True
        try:
            out = func(*args, **kwargs)
            return out.to(self.device) if func is torch.ops.aten.lift_fresh.default else out
        finally:
            self.running = False


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, (list, tuple)) and any(map(_has_tensor, value)))


@contextmanager
def names_restored(spaces: Iterable[Any]) -> Iterator[None]:
    """Give the namespaces back as they were: replaced names replaced again, new ones removed."""
    before = [(space, dict(vars(space))) for space in spaces]
    try:
        yield
    finally:
        for space, names in before:
            for name in vars(space).keys() - names.keys():
                delattr(space, name)
            for name, value in names.items():
                if vars(space).get(name) is not value:
                    setattr(space, name, value)
