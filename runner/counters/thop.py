"""thop 0.1.1 (pytorch-OpCounter), the field's usual tool.

It hooks module classes that it knows and sees no function call: `@`, F.interpolate and functional convolutions are 0
to it, and so are parameters that belong to no module it knows. Transposed convolutions are taken at output size.
"""

from __future__ import annotations

from collections import Counter

from torch import Tensor, nn

from runner.counters.subject import Subject, ToolCount, named_counts, silenced


def count_thop(subject: Subject) -> ToolCount:
    """thop's multiply-adds and its own parameter rule (only modules that it has a rule for)."""
    with silenced():
        from thop import profile
        from thop.profile import register_hooks

        def measure(network: nn.Module, x: Tensor) -> tuple[float, float, Counter[str]]:
            leaves = (m for m in network.modules() if not any(m.children()))
            unknown = Counter(type(m).__name__ for m in leaves if type(m) not in register_hooks)
            return *profile(network, (x,), verbose=False), unknown

        (multi_adds, params, unknown), device = subject.on_first_device(measure)
    return ToolCount(multi_adds=int(multi_adds), params=int(params), uncounted_ops=named_counts(unknown), device=device)
