"""The exact counter: every operation that a forward pass dispatches, from shapes alone.

The network runs on the meta device under a dispatch mode, so there are no weights and no arithmetic, and composite
operations (einsum, linear, `padding="same"`, attention) arrive as the convolutions and matrix products they are made
of, in the plain form of a network and in a fast one alike.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from runner.counters.rules import MULTI_ADD_KINDS, Cost, Kind, Rule, rule_for
from runner.counters.subject import Subject

_CONVOLUTIONS = frozenset({"aten::convolution", "aten::_convolution"})


@dataclass(kw_only=True)
class ModuleCost:
    """One module of the tree: its own operations, and by `total` those of everything below it."""

    path: str
    "Dotted name inside the network, empty for the network itself."
    cls: type[nn.Module]
    own: Counter[Kind] = field(default_factory=Counter)
    "Cost of the operations called in this module's own forward."
    activations: int = 0
    "Output elements of the convolutions called in this module's own forward."
    conv_calls: int = 0
    own_params: int = 0
    children: list[ModuleCost] = field(default_factory=list)

    def walk(self) -> Iterator[ModuleCost]:
        """This module and all below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def kind(self) -> str:
        """Class name."""
        return self.cls.__name__

    @property
    def level(self) -> int:
        """Names in the path: 0 for the network itself."""
        return len(self.path.split(".")) if self.path else 0

    @property
    def multi_adds(self) -> int:
        """Multi-adds of this module and all below."""
        total = self.total()
        return sum(total[kind] for kind in MULTI_ADD_KINDS)

    def total(self) -> Counter[Kind]:
        """Cost of this module and all below."""
        return sum((node.own for node in self.walk()), Counter())


@dataclass(frozen=True, kw_only=True)
class Uncounted:
    """Calls of an operation that no rule knows: their cost is missing from every column."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    "Shapes of the tensor arguments."
    calls: int
    module: str
    "Where it was called first; empty for the network's own forward."

    @property
    def message(self) -> str:
        """What is missing and the line that adds it."""
        shapes = ", ".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes)
        return (
            f"{self.op}({shapes}), {self.calls} calls, first in {self.module or 'the network'}: no counting rule. "
            f'Add one: runner.counters.register("{self.op}", lambda args, out: {{Kind.MATMUL: ...}})'
        )


@dataclass(frozen=True, kw_only=True)
class ExactCount:
    """What one forward pass of one image costs."""

    by_kind: Mapping[Kind, int]
    params_trainable: int
    params_frozen: int
    buffers: int
    "Elements of buffers, those outside the state dict included."
    activations: int
    "NTIRE's rule: output elements of every convolution call."
    output_elements: int
    "Elements of every tensor that an operation allocates; views and in-place results are not new."
    conv_calls: int
    peak_activation_bytes: int
    "Largest sum of live tensors, the input included, parameters and workspaces excluded."
    uncounted: tuple[Uncounted, ...]
    tree: ModuleCost
    device: str
    "meta; cpu where the network needs values, so that its count may depend on the image."

    @property
    def multi_adds(self) -> int:
        """Convolutions, linear layers and all matrix products; biases are a column of their own."""
        return sum(self.by_kind.get(kind, 0) for kind in MULTI_ADD_KINDS)

    @property
    def params(self) -> int:
        """All parameters, frozen ones included, buffers excluded."""
        return self.params_trainable + self.params_frozen


class _Memory:
    """Bytes of live tensors, followed by the lifetime of their storages."""

    def __init__(self) -> None:
        self.live_bytes = self.peak_bytes = self.elements = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def ignore(self, tensor: Tensor) -> None:
        """A weight: known, but not an activation."""
        storage = tensor.untyped_storage()
        self._known[storage._cdata] = weakref.ref(storage)

    def see(self, tensor: Tensor) -> None:
        """Account for the tensor's storage unless it is known already (a view, an in-place result)."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def released(_ref: object) -> None:
            self.live_bytes -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, released)
        self.elements += tensor.numel()
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Books each dispatched operation on the module whose forward is running."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory = _Memory()
        self._unknown: dict[tuple[str, tuple[tuple[int, ...], ...]], list[str]] = {}
        self.weights: set[int] = set()
        self._rules: dict[Any, Rule | None] = {}
        for tensor in (*network.parameters(), *network.buffers()):
            self.weights.add(tensor.untyped_storage()._cdata)
            self.memory.ignore(tensor)
        self.root, nodes = _tree(network)
        self._stack = [self.root]
        for module, node in nodes.items():
            module.register_forward_pre_hook(lambda _m, _args, node=node: self._stack.append(node))
            module.register_forward_hook(lambda _m, _args, _out: self._pop(), always_call=True)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; True would import torch._dynamo, which takes seconds, at the first operation.
        return False

    @property
    def module(self) -> ModuleCost:
        """The module whose forward is running."""
        return self._stack[-1]

    def _pop(self) -> None:
        self._stack.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs) if kwargs else func(*args)
        try:
            rule = self._rules[func]
        except KeyError:
            rule = self._rules[func] = rule_for(func)
        if rule is None:
            self._note_uncounted(func, args)
        elif cost := rule(args, out):
            self._book(func, args, out, cost)
        for tensor in (out,) if isinstance(out, Tensor) else out if isinstance(out, (tuple, list)) else ():
            if isinstance(tensor, Tensor):
                self.memory.see(tensor)
        return out

    def _book(self, func: Any, args: Any, out: Any, cost: Cost) -> None:
        node = self.module
        for kind, amount in cost.items():
            if kind is Kind.MATMUL and self._has_weight(args):
                kind = Kind.LINEAR
            node.own[kind] += amount
        if Kind.CONVOLUTION in cost and func._schema.name in _CONVOLUTIONS:
            node.activations += out.numel()
            node.conv_calls += 1

    def _has_weight(self, args: Any) -> bool:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        # The first of three is the bias or addend of addmm and baddbmm, no factor.
        factors = tensors[1:] if len(tensors) > 2 else tensors
        return any(tensor.untyped_storage()._cdata in self.weights for tensor in factors)

    def _note_uncounted(self, func: Any, args: Any) -> None:
        shapes = tuple(tuple(arg.shape) for arg in args if isinstance(arg, Tensor))
        self._unknown.setdefault((func._schema.name, shapes), []).append(self.module.path)

    def uncounted(self) -> tuple[Uncounted, ...]:
        """Operations without a rule, equal shapes together."""
        return tuple(
            Uncounted(op=op, shapes=shapes, calls=len(modules), module=modules[0])
            for (op, shapes), modules in self._unknown.items()
        )


def _tree(network: nn.Module) -> tuple[ModuleCost, dict[nn.Module, ModuleCost]]:
    """A node per module; a module that is used under several names stands where it is named first."""
    nodes: dict[nn.Module, ModuleCost] = {}
    by_path: dict[str, ModuleCost] = {}
    seen: set[int] = set()
    for path, module in network.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, own))
        node = ModuleCost(path=path, cls=type(module), own_params=sum(p.numel() for p in own))
        nodes[module] = by_path[path] = node
        if path:
            by_path[path.rpartition(".")[0]].children.append(node)
    return by_path[""], nodes


def _measure(network: nn.Module, x: Tensor) -> ExactCount:
    parameters = list(network.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    recorder = Recorder(network)
    recorder.memory.see(x)
    recorder.memory.elements = 0
    with recorder:
        network(x)
    nodes = list(recorder.root.walk())
    return ExactCount(
        by_kind=dict(recorder.root.total()),
        params_trainable=trainable,
        params_frozen=sum(p.numel() for p in parameters) - trainable,
        buffers=sum(b.numel() for b in network.buffers()),
        activations=sum(node.activations for node in nodes),
        output_elements=recorder.memory.elements,
        conv_calls=sum(node.conv_calls for node in nodes),
        peak_activation_bytes=recorder.memory.peak_bytes,
        uncounted=recorder.uncounted(),
        tree=recorder.root,
        device=x.device.type,
    )


def count_exact(subject: Subject) -> ExactCount:
    """Count on meta tensors; on CPU tensors where the network asks for values. Raises JobFailed where neither runs."""
    return subject.on_first_device(_measure)[0]
