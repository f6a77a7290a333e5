"""What a network costs on paper: parameters, multi-adds by every counter, activations, memory. Needs no weights."""

from __future__ import annotations

from typing import Any, Final

from runner.counters import count
from zoo.contract import ModelSpec
from zoo.protocols import CountProtocol

VERSION: Final = 1
"""Raise it when a counter's rule changes a number; older records become stale."""


def measure(spec: ModelSpec, scale: int, *, protocol: CountProtocol) -> dict[str, Any]:
    """The fields of `runner.counters.count` for one network at the protocol's LR size.

    Raises NotRunnable, UnknownScale, BadInput, InputTooSmall, JobFailed.
    """
    return count(spec, lr_size=protocol.lr, scale=scale, counters=protocol.counters)
