"""What a network costs on paper: parameters, multi-adds by every counter, activations, memory. Needs no weights."""

from __future__ import annotations

from typing import Any, Final

from runner.counters import TOOLS, count
from runner.counters.exact import count_exact
from runner.counters.ledger import ledgers
from runner.counters.paper import count_as_printed, paper_ledger
from runner.counters.products import count_products
from runner.counters.subject import subject_of
from zoo.contract import EsrError, ModelSpec
from zoo.protocols import CountProtocol, Size

VERSION: Final = 1
"""Raise it when a counter's rule changes a number; older records become stale."""

SWEEP_LR: Final = (Size(64, 64), Size(128, 128), Size(256, 256), Size(360, 640), Size(720, 1280))
"""LR sizes from a training patch to a 720p frame, each about four times the pixels of the one before."""


def measure(spec: ModelSpec, scale: int, *, protocol: CountProtocol) -> dict[str, Any]:
    """The fields of `runner.counters.count` for one network at the protocol's LR size.

    `as_printed` holds the parameters and multi-adds by the rule of the network's own paper, at the paper's LR size
    whatever the protocol's is; None where no rule is known.

    Raises NotRunnable, UnknownScale, BadInput, InputTooSmall, JobFailed.
    """
    values = count(spec, lr_size=protocol.lr, scale=scale, counters=protocol.counters)
    rule = spec.paper_count
    return values | {"as_printed": count_as_printed(spec, scale, rule) if rule else None}


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


def differences(spec: ModelSpec, scale: int, *, protocol: CountProtocol) -> dict[str, Any]:
    """By tool of the protocol, and by the rule of the network's paper: from the exact count in named differences."""
    tools = {name: tool for name, tool in TOOLS.items() if name in protocol.counters}
    found = ledgers(subject_of(spec, lr=protocol.lr, scale=scale), tools)
    if spec.paper_count:
        found["its paper's rule"] = paper_ledger(spec, scale, spec.paper_count, lr=protocol.lr)
    return {name: ledger.as_fields() for name, ledger in found.items()}


def products(spec: ModelSpec, scale: int, *, protocol: CountProtocol) -> dict[str, int]:
    """Multi-adds by kind of layer, as `zoo.quantities.Product` names them; their sum is the exact count."""
    found = count_products(subject_of(spec, lr=protocol.lr, scale=scale))
    return {product.value: amount for product, amount in found.items()}


def sweep(spec: ModelSpec, scale: int, *, sizes: tuple[Size, ...] = SWEEP_LR) -> list[dict[str, Any]]:
    """The exact count at each LR size; a size at which the network does not run has its `error` and no numbers.

    `multi_adds_per_pixel` is per LR pixel: constant for a convolutional network, and not where windows are padded or
    attention is global.
    """
    return [_at_size(spec, scale, lr) for lr in sizes]


def _at_size(spec: ModelSpec, scale: int, lr: Size) -> dict[str, Any]:
    row: dict[str, Any] = {
        "lr": str(lr),
        "multi_adds": None,
        "multi_adds_per_pixel": None,
        "activations": None,
        "peak_activation_bytes": None,
        "counted_on": None,
        "error": None,
    }
    try:
        exact = count_exact(subject_of(spec, lr=lr, scale=scale))
    except EsrError as error:
        return row | {"error": str(error)}
    return row | {
        "multi_adds": exact.multi_adds,
        "multi_adds_per_pixel": exact.multi_adds / (lr.height * lr.width),
        "activations": exact.activations,
        "peak_activation_bytes": exact.peak_activation_bytes,
        "counted_on": exact.device,
    }
