"""Output shapes of operations, remembered: most of a network repeats itself, and Python shape functions are slow.

Half of the time of a forward pass on meta tensors goes into shape functions written in Python (resize, convolution).
An operation with the same argument shapes gives the same output shapes, so its second call only makes empty tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_Layout = tuple[torch.Size, tuple[int, ...], torch.dtype]

# Return their input's storage although their schema does not say so.
_SECRET_ALIASES = frozenset({"aten::_unsafe_view"})


def is_repeatable(op: Any) -> bool:
    """True for torch's own operations that only make new tensors: no view, nothing written, no random shape."""
    schema = op._schema
    return bool(
        op.namespace == "aten"
        and schema.name not in _SECRET_ALIASES
        and not schema.is_mutable
        and schema.returns
        and all(r.alias_info is None and str(r.type) == "Tensor" for r in schema.returns)
    )


class ShapeMemory:
    """Runs operations on meta tensors; repeats are answered from the shapes alone."""

    def __init__(self) -> None:
        self._repeatable: dict[Any, bool] = {}
        self._layouts: dict[Any, _Layout | tuple[_Layout, ...]] = {}

    def run(self, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of `op`; only outputs on meta are remembered."""
        repeatable = self._repeatable.get(op)
        if repeatable is None:
            repeatable = self._repeatable[op] = is_repeatable(op)
        if not repeatable:
            return op(*args, **kwargs)
        key = (op, _key(args), _key(tuple(kwargs.items())) if kwargs else None)
        layout = self._layouts.get(key)
        if layout is None:
            out = op(*args, **kwargs)
            self._remember(key, out)
            return out
        if isinstance(layout[0], torch.Size):
            return _empty(layout)
        return tuple(_empty(one) for one in layout)

    def _remember(self, key: Any, out: Any) -> None:
        tensors = (out,) if isinstance(out, Tensor) else out
        if all(isinstance(t, Tensor) and t.is_meta and not t.storage_offset() for t in tensors):
            layouts = tuple((t.shape, t.stride(), t.dtype) for t in tensors)
            self._layouts[key] = layouts[0] if isinstance(out, Tensor) else layouts


class ShapeMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers every operation on meta tensors through a `ShapeMemory`: enter it before a tool that dispatches them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shapes = ShapeMemory()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; True would import torch._dynamo, which takes seconds, at the first operation.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._shapes.run(func, args, kwargs or {})


def _empty(layout: Any) -> Tensor:
    shape, stride, dtype = layout
    return torch.empty_strided(shape, stride, dtype=dtype, device="meta")


def _key(value: Any) -> Any:
    """A hashable stand-in: shapes for tensors; type and value for scalars, since 1, 1.0 and True hash alike."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.is_meta
    if isinstance(value, (list, tuple)):
        return tuple([_key(item) for item in value])
    return value.__class__, value
