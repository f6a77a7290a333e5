"""One file per counter, and the ledger that reconciles them.

`count(model, lr_size=(180, 320))` gives every number of the exact counter and, beside it, those of the tools asked
for. Each counter works on a copy of its own and leaves nothing behind: no hook, no attribute, no patched function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from torch import nn

from runner.counters.exact import ExactCount, count_exact
from runner.counters.fvcore import count_fvcore
from runner.counters.ntire import count_ntire2022
from runner.counters.ptflops import count_ptflops, count_ptflops_aten
from runner.counters.rules import Kind, register, unregister
from runner.counters.subject import Subject, ToolCount, subject_of
from runner.counters.thop import count_thop
from runner.counters.torch_flops import count_torch
from zoo.contract import BadInput, ModelSpec
from zoo.protocols import Size

__all__ = ["COUNTERS", "TOOLS", "Kind", "count", "register", "resolve", "unregister"]

TOOLS: Final[Mapping[str, Callable[[Subject], ToolCount]]] = MappingProxyType(
    {
        "thop": count_thop,
        "ptflops": count_ptflops,
        "ptflops_aten": count_ptflops_aten,
        "fvcore": count_fvcore,
        "torch": count_torch,
        "ntire2022": count_ntire2022,
    }
)
"""Counters other than the exact one, by the name they have in JSON."""

COUNTERS: Final = ("exact", *TOOLS)
"""All counters, in the order of tables."""


def resolve(names: Iterable[str]) -> tuple[str, ...]:
    """Counter names in table order; "all" means all, the exact one is always among them. Raises BadInput."""
    wanted = set(names) | {"exact"}
    if unknown := wanted - {*COUNTERS, "all"}:
        raise BadInput(f"There is no counter {', '.join(sorted(unknown))}. Choose from {', '.join(COUNTERS)}, all.")
    return COUNTERS if "all" in wanted else tuple(name for name in COUNTERS if name in wanted)


def count(
    model: nn.Module | ModelSpec,
    *,
    lr_size: tuple[int, int],
    scale: int = 4,
    counters: Iterable[str] = ("exact",),
) -> dict[str, Any]:
    """Cost of one forward pass of one RGB image of `lr_size` (height, width), as plain numbers.

    `multi_adds` is convolutions, linear layers and all matrix products (attention included); biases, interpolation,
    pooling, norms, FFT and element-wise work are columns of `by_kind` beside it. `counters` maps each counter's name
    to its own `multi_adds`, `params` and `uncounted_ops`. `scale` matters for a ModelSpec only. Raises BadInput,
    InputTooSmall, JobFailed.
    """
    subject = subject_of(model, lr=Size(*lr_size), scale=scale)
    names = resolve(counters)
    exact = count_exact(subject)
    return exact_fields(exact) | {
        "counters": {
            name: _tool_fields(TOOLS[name](subject)) if name in TOOLS else _exact_as_tool(exact) for name in names
        }
    }


def exact_fields(exact: ExactCount) -> dict[str, Any]:
    """The exact count as plain numbers."""
    return {
        "params": exact.params,
        "params_trainable": exact.params_trainable,
        "params_frozen": exact.params_frozen,
        "buffers": exact.buffers,
        "multi_adds": exact.multi_adds,
        "by_kind": {kind.value: exact.by_kind.get(kind, 0) for kind in Kind},
        "activations": exact.activations,
        "output_elements": exact.output_elements,
        "conv_calls": exact.conv_calls,
        "peak_activation_bytes": exact.peak_activation_bytes,
        "uncounted_ops": [uncounted.message for uncounted in exact.uncounted],
        "counted_on": exact.device,
    }


def _exact_as_tool(exact: ExactCount) -> dict[str, Any]:
    messages = [uncounted.message for uncounted in exact.uncounted]
    return {"multi_adds": exact.multi_adds, "params": exact.params, "uncounted_ops": messages}


def _tool_fields(tool: ToolCount) -> dict[str, Any]:
    return {"multi_adds": tool.multi_adds, "params": tool.params, "uncounted_ops": list(tool.uncounted_ops)}
