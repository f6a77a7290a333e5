"""ptflops 0.7.5, both backends.

`pytorch` hooks modules and patches functions at the same time, so an activation or pool that is a module counts
twice; it does not see `@`. `aten` counts convolutions and matrix products with their biases.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from runner.counters.kernels import KernelMode, names_restored
from runner.counters.subject import Subject, ToolCount, named_counts, silenced

_PATCHED = (torch, torch.Tensor, torch.nn.functional)
_ZERO_OP = re.compile(r"Warning: (?:module )?(\S+) (?:operation )?is treated as a zero-op")


def count_ptflops(subject: Subject) -> ToolCount:
    """The default backend."""
    return _count(subject, "pytorch")


def count_ptflops_aten(subject: Subject) -> ToolCount:
    """The dispatch-level backend."""
    return _count(subject, "aten")


def _count(subject: Subject, backend: str) -> ToolCount:
    with silenced() as said:
        from ptflops import get_model_complexity_info

        def measure(network: nn.Module, x: Tensor) -> tuple[int, int]:
            said.seek(0)
            said.truncate()
            with names_restored(_PATCHED), _calls_of_the_network_only(x.device) as kernels, kernels:
                multi_adds, params = get_model_complexity_info(
                    network,
                    tuple(x.shape[1:]),
                    input_constructor=lambda _size: x,
                    as_strings=False,
                    print_per_layer_stat=False,
                    backend=backend,
                    verbose=True,
                    ost=said,
                )
            if multi_adds is None:
                # It prints an exception of the network instead of raising it.
                raise RuntimeError(said.getvalue().partition("exception: ")[2].strip() or said.getvalue())
            return int(multi_adds), int(params)

        (multi_adds, params), device = subject.on_first_device(measure, set_device=False)
        unknown = Counter(_ZERO_OP.findall(said.getvalue()))
    return ToolCount(multi_adds=multi_adds, params=params, uncounted_ops=named_counts(unknown), device=device)


@contextmanager
def _calls_of_the_network_only(device: torch.device) -> Iterator[KernelMode]:
    """Keep out of the count what torch calls by itself: its shape functions are Python and call the patched `mul`."""
    from ptflops import pytorch_engine

    original: Any = pytorch_engine.torch_function_wrapper
    kernels = KernelMode(device)

    def called(self: Any, *args: Any, **kwds: Any) -> Any:
        return self.op(*args, **kwds) if kernels.running else original.__call__(self, *args, **kwds)

    pytorch_engine.torch_function_wrapper = type("Wrapper", (original,), {"__call__": called})
    try:
        yield kernels
    finally:
        pytorch_engine.torch_function_wrapper = original
