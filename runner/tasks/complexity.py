"""What a network costs on paper: parameters, multi-adds by every counter, activations, memory. Needs no weights."""

from __future__ import annotations

from typing import Any, Final

from runner.counters import count
from runner.counters.exact import count_exact
from runner.counters.subject import subject_of
from zoo.contract import ModelSpec
from zoo.protocols import CountProtocol

VERSION: Final = 1
"""Raise it when a counter's rule changes a number; older records become stale."""


def measure(spec: ModelSpec, scale: int, *, protocol: CountProtocol) -> dict[str, Any]:
    """The fields of `runner.counters.count` for one network at the protocol's LR size.

    Raises NotRunnable, UnknownScale, BadInput, InputTooSmall, JobFailed.
    """
    return count(spec, lr_size=protocol.lr, scale=scale, counters=protocol.counters)


def modules(spec: ModelSpec, scale: int, *, protocol: CountProtocol, depth: int) -> list[dict[str, Any]]:
    """The exact count by module, parents first, down to `depth` levels below the network; a row includes all below."""
    tree = count_exact(subject_of(spec, lr=protocol.lr, scale=scale)).tree
    whole = max(1, tree.multi_adds)
    return [
        {
            "module": node.path or spec.name,
            "level": node.level,
            "type": node.kind,
            "params": sum(below.own_params for below in node.walk()),
            "multi_adds": node.multi_adds,
            "share": node.multi_adds / whole,
            "activations": sum(below.activations for below in node.walk()),
            "conv_calls": sum(below.conv_calls for below in node.walk()),
            "by_kind": {kind.value: amount for kind, amount in node.total().items()},
        }
        for node in tree.walk()
        if node.level <= depth
    ]
