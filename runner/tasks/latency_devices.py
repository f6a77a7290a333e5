"""How the time and the memory of one forward pass are read on each kind of device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from runner.tasks import observe

Run = Callable[[Tensor], Tensor]
"""A network in the form that is timed."""


class Device(Protocol):
    """A network and its input on one device."""

    def step(self) -> float:
        """One forward pass, and its time in ms."""
        ...

    def memory(self) -> Mapping[str, Any]:
        """Peak memory since the device was made: `peak_memory_bytes`, `peak_memory_kind` and what else is known."""
        ...


class Cpu:
    """Wall clock of the call, resident memory of the process."""

    def __init__(self, run: Run, x: Tensor, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._run, self._x, self._clock_ns = run, x, clock_ns
        observe.return_free_memory()
        self._peak = observe.PeakRss()

    def step(self) -> float:
        started = self._clock_ns()
        self._run(self._x)
        return (self._clock_ns() - started) / 1e6

    def memory(self) -> Mapping[str, Any]:
        kind = "RSS growth (high-water mark)" if self._peak.exact else "RSS growth (ru_maxrss)"
        return {"peak_memory_bytes": self._peak.bytes(), "peak_memory_kind": kind}


class Cuda:
    """Events on the current stream around the call; the allocator's statistics, reset when this is made.

    `cuda` has the names of `torch.cuda` that are used here, so that the order of calls can be tested without a GPU.
    """

    def __init__(self, run: Run, x: Tensor, *, cuda: Any = torch.cuda) -> None:
        self._run, self._x, self._cuda = run, x, cuda
        cuda.synchronize()
        cuda.reset_peak_memory_stats()

    def step(self) -> float:
        begin, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        # Work that is still queued would otherwise be timed with this pass.
        self._cuda.synchronize()
        begin.record()
        self._run(self._x)
        end.record()
        self._cuda.synchronize()
        return float(begin.elapsed_time(end))

    def memory(self) -> Mapping[str, Any]:
        return {
            "peak_memory_bytes": self._cuda.max_memory_allocated(),
            "peak_memory_kind": "CUDA allocated",
            "peak_reserved_bytes": self._cuda.max_memory_reserved(),
        }


def device_for(kind: str, run: Run, x: Tensor) -> Device:
    """The device of a protocol: cpu or cuda."""
    return Cuda(run, x) if kind == "cuda" else Cpu(run, x)
