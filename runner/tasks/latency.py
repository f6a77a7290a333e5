"""The latency task: how long one forward pass takes, after warm-up, with raw samples and what disturbed them.

CPU times come from `perf_counter_ns`, CUDA times from events on the stream with a synchronisation per run. Called for
a record, it runs in a fresh process (`runner.execute`), so that memory and threads are this network's alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

import zoo
from runner.machine import cpu_name, usable_cores
from runner.tasks import observe, sampling
from runner.tasks.sampling import SamplingRule
from zoo.contract import BadInput, ModelSpec, NotHere
from zoo.create import create_model
from zoo.protocols import Form, Size, TimingProtocol

VERSION = 1
"""Raise it when a change here changes a time."""

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Device(Protocol):
    """How time and memory are read on one kind of device."""

    def step(self) -> float:
        """One forward pass, and its time in ms."""
        ...

    def memory(self) -> Mapping[str, Any]:
        """Peak memory since the device was made: `peak_memory_bytes`, `peak_memory_kind` and what else is known."""
        ...


def measure(
    spec: ModelSpec,
    scale: int,
    *,
    protocol: TimingProtocol,
    network: nn.Module | None = None,
    max_seconds: float = 20.0,
    rule: SamplingRule | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Times of a network on a seeded random input of `protocol.lr`, its sides raised to the model's multiple.

    The network has its own initialisation under a fixed seed unless given. Values: `median_ms`, `p10_ms`, `p90_ms`,
    `interval_ms` (95 % bootstrap of the median) derived from `samples_ms`; `warm_up`, `load`, `noise` (reasons not to
    trust the time), `peak_memory_bytes` and its kind. On the CPU that is the growth of the resident memory from before
    the first call to its peak; on CUDA the allocator's peak, weights and input included, with `peak_reserved_bytes`.
    Raises NotHere without the device, BadInput for a form, dtype or format that does not exist, InputTooSmall.
    """
    rule = rule or SamplingRule(max_seconds=max_seconds)
    _require(protocol)
    torch.set_num_threads(protocol.threads)
    network = network or create_model(spec, scale, weights=None)
    network, x = _prepared(network, spec, protocol)
    with torch.inference_mode():
        device: Device = _Cuda(network, x) if protocol.device == "cuda" else _Cpu(network, x)
        before, started = observe.LoadMark.now(), clock()
        warm = sampling.warm_up(device.step, rule, clock=clock)
        left = rule.max_seconds - (clock() - started)
        samples = sampling.sample(device.step, rule, seconds_left=left, clock=clock)
        load = observe.load_between(before, observe.LoadMark.now())
        memory = device.memory()
    return _timing_values(warm, samples, load) | dict(memory) | _circumstances(protocol, x)


def _require(protocol: TimingProtocol) -> None:
    if protocol.device not in ("cpu", "cuda"):
        raise BadInput(f"{protocol.device!r} is no device of the latency task. Pass cpu or cuda.")
    if protocol.device == "cuda" and not torch.cuda.is_available():
        raise NotHere(
            "This machine has no CUDA device that torch can use.",
            remedy="Run it where there is one, or pass --device cpu.",
        )
    if protocol.dtype not in _DTYPES or protocol.memory_format not in _FORMATS:
        raise BadInput(
            f"{protocol.dtype}, {protocol.memory_format} cannot be timed. Expected one of {', '.join(_DTYPES)} "
            f"and one of {', '.join(_FORMATS)}."
        )
    if protocol.threads < 1 or protocol.batch < 1:
        raise BadInput(f"Threads and batch must be at least 1, got {protocol.threads} and {protocol.batch}.")


def _prepared(network: nn.Module, spec: ModelSpec, protocol: TimingProtocol) -> tuple[nn.Module, Tensor]:
    """The network in its form and place, and its input."""
    if protocol.form is Form.FAST:
        network = _fast(network)
    lr = timed_size(protocol.lr, spec)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(protocol.batch, 3, lr.height, lr.width, generator=generator)
    dtype, memory_format = _DTYPES[protocol.dtype], _FORMATS[protocol.memory_format]
    network = network.eval().to(protocol.device, dtype)
    return network.to(memory_format=memory_format), x.to(protocol.device, dtype).contiguous(memory_format=memory_format)


def _fast(network: nn.Module) -> nn.Module:
    optimize = getattr(zoo, "optimize", None)
    if not callable(optimize):
        raise BadInput("This version has no fast forms yet: zoo.optimize comes with a later one. Pass --form plain.")
    optimized: nn.Module = optimize(network)
    return optimized


def timed_size(lr: Size, spec: ModelSpec) -> Size:
    """The LR size that is run: each side raised to the model's multiple, as evaluation by padding would."""
    return Size(*(-(-side // spec.size_multiple_px) * spec.size_multiple_px for side in lr))


class _Cpu:
    """Wall clock of the call, resident memory of the process."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self._network, self._x = network, x
        self._peak = observe.PeakRss()

    def step(self) -> float:
        started = time.perf_counter_ns()
        self._network(self._x)
        return (time.perf_counter_ns() - started) / 1e6

    def memory(self) -> Mapping[str, Any]:
        kind = "RSS growth (high-water mark)" if self._peak.exact else "RSS growth (ru_maxrss)"
        return {"peak_memory_bytes": self._peak.bytes(), "peak_memory_kind": kind}


class _Cuda:
    """Events on the current stream around the call; the allocator's statistics."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self._network, self._x = network, x
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def step(self) -> float:
        begin: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        begin.record()
        self._network(self._x)
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end))

    def memory(self) -> Mapping[str, Any]:
        return {
            "peak_memory_bytes": torch.cuda.max_memory_allocated(),
            "peak_memory_kind": "CUDA allocated",
            "peak_reserved_bytes": torch.cuda.max_memory_reserved(),
        }


def _timing_values(warm: sampling.WarmUp, samples: sampling.Samples, load: dict[str, Any]) -> dict[str, Any]:
    times = samples.times_ms
    p10, median, p90 = (sampling.quantile(times, q) for q in (0.1, 0.5, 0.9))
    return {
        "median_ms": median,
        "p10_ms": p10,
        "p90_ms": p90,
        "interval_ms": [samples.interval.low_ms, samples.interval.high_ms],
        "relative_interval": samples.interval.relative,
        "reached_target": samples.reached_target,
        "samples_ms": list(times),
        "warm_up": {"samples_ms": list(warm.times_ms), "stable": warm.stable},
        "load": load,
        "noise": observe.noise(load, p10_ms=p10, p90_ms=p90, warm_up_stable=warm.stable, cores=usable_cores()),
    }


def _circumstances(protocol: TimingProtocol, x: Tensor) -> dict[str, Any]:
    cuda = protocol.device == "cuda"
    return {
        "device": protocol.device,
        "device_name": torch.cuda.get_device_name() if cuda else cpu_name(),
        "threads": torch.get_num_threads(),
        "form": protocol.form.value,
        "dtype": protocol.dtype,
        "memory_format": protocol.memory_format,
        "batch": protocol.batch,
        "lr": str(protocol.lr),
        "timed_lr": f"{x.shape[2]}x{x.shape[3]}",
        "cudnn_benchmark": torch.backends.cudnn.benchmark if cuda else None,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32 if cuda else None,
    }
