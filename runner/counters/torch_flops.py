"""torch's FlopCounterMode, its FLOPs halved: convolutions and matrix products, transposed ones at input size.

It returns 0 under inference_mode and slows compiled models of the same process afterwards (pytorch #126268, #140909):
never time a network in a process that has counted. It cannot name what it leaves out.
"""

from __future__ import annotations

from torch import Tensor, nn

from runner.counters.subject import Subject, ToolCount


def count_torch(subject: Subject) -> ToolCount:
    """Half of `FlopCounterMode.get_total_flops()`."""
    from torch.utils.flop_counter import FlopCounterMode

    def measure(network: nn.Module, x: Tensor) -> int:
        with FlopCounterMode(display=False) as mode:
            network(x)
        return int(mode.get_total_flops()) // 2

    multi_adds, device = subject.on_first_device(measure)
    return ToolCount(multi_adds=multi_adds, params=None, uncounted_ops=(), device=device)
