"""fvcore 0.1.5, the tool of the NTIRE organisers since 2024: it traces the network and counts the graph.

Convolutions, matrix products, resizes (bilinear 4 per output element), adaptive average pools and library norms; a
convolution built with `padding="same"` traces under another name and counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from runner.counters.subject import Subject, ToolCount, named_counts, silenced


def count_fvcore(subject: Subject) -> ToolCount:
    """`FlopCountAnalysis(...).total()`: one multiply-add is 1."""
    with silenced():
        from fvcore.nn import FlopCountAnalysis, parameter_count

        def measure(network: nn.Module, x: Tensor) -> tuple[int, dict[str, int], int]:
            with _traceable_on_meta():
                analysis = FlopCountAnalysis(network, x)
                analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
                return int(analysis.total()), dict(analysis.unsupported_ops()), parameter_count(network)[""]

        (multi_adds, unsupported, params), device = subject.on_first_device(measure, traced=True)
    return ToolCount(multi_adds=multi_adds, params=params, uncounted_ops=named_counts(unsupported), device=device)


@contextmanager
def _traceable_on_meta() -> Iterator[None]:
    """Let jit trace convolutions of meta tensors, which saves fvcore the arithmetic and gigabytes of memory.

    A trace records `_convolution`, the inner call of `convolution`; the meta kernel of `convolution` makes no inner
    call and fails while tracing, because sizes are traced tensors then. Here it makes the call, and shapes come from
    torch's own function in a thread, where nothing is being traced.
    """
    from torch._meta_registrations import meta_conv

    with ThreadPoolExecutor(max_workers=1) as untraced:

        def convolution(*args: Any) -> Any:
            flags = (False, False, False, False)
            return torch.ops.aten._convolution.default(*args, *flags)

        def inner(*args: Any) -> Any:
            return untraced.submit(meta_conv, *args[:9]).result()

        with _meta_kernels({"convolution": convolution, "_convolution": inner}):
            yield


@contextmanager
def _meta_kernels(kernels: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Replace meta kernels of torch's operations for a while."""
    library: Any = torch.library.Library("aten", "IMPL", "Meta")  # type: ignore[no-untyped-call]
    try:
        for name, kernel in kernels.items():
            library.impl(name, kernel)
        yield
    finally:
        library._destroy()
