"""The latency task: how long one forward pass takes, after warm-up, with raw samples and what disturbed them.

CPU times come from `perf_counter_ns`, CUDA times from events on the stream with a synchronisation per run. Called for
a record, it runs in a fresh process (`runner.execute`), so that memory and threads are this network's alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from runner.machine import cpu_name, usable_cores
from runner.tasks import latency_devices, latency_forms, observe, sampling
from runner.tasks.latency_devices import Device, Run
from runner.tasks.sampling import SamplingRule
from zoo.contract import ModelSpec
from zoo.create import check_input, create_model
from zoo.protocols import Size, TimingProtocol

if TYPE_CHECKING:
    from runner.datasets import Dataset

VERSION = 1
"""Raise it when a change here changes a time."""

DeviceFor = Callable[[str, Run, Tensor], Device]
"""`latency_devices.device_for`, or a planted device."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network in the form in which it is timed, ready to run."""

    spec: ModelSpec
    scale: int
    protocol: TimingProtocol
    run: Run
    x: Tensor
    "Seeded random input."
    plain: nn.Module | None
    "The plain float32 network with the same weights, to compare outputs with; None where it is what is timed."
    weights: str | None
    "Origin of the weights in a word; None where that is not known."
    build_seconds: float
    "What the form took to be made, compilation or capture included."


def measure(
    spec: ModelSpec,
    scale: int,
    *,
    protocol: TimingProtocol,
    network: nn.Module | None = None,
    weights: str | None = None,
    check_on: Dataset | None = None,
    max_seconds: float = 20.0,
    rule: SamplingRule | None = None,
    clock: Callable[[], float] = time.perf_counter,
    device_for: DeviceFor = latency_devices.device_for,
) -> dict[str, Any]:
    """Times of a network on a seeded random input of `protocol.lr`, its sides raised to the model's multiple.

    The network has its own initialisation under a fixed seed unless given, with a word for the origin of its `weights`.
    Values: `median_ms`, `p10_ms`, `p90_ms`, `interval_ms` (95 % bootstrap of the median) derived from `samples_ms`;
    `warm_up`, `load`, `noise` (reasons not to trust the time), `peak_memory_bytes` and its kind. On the CPU that is the
    growth of the resident memory from before the first call to its peak; on CUDA the allocator's peak, weights and
    input included, with `peak_reserved_bytes`. `check` has what `latency_check` found on the data set `check_on`.
    Raises NotHere without the device or extra, BadInput for a form, dtype or format that does not exist, InputTooSmall.
    """
    rule = rule or SamplingRule(max_seconds=max_seconds)
    with torch.inference_mode():
        subject = prepare(spec, scale, protocol=protocol, network=network, weights=weights, clock=clock)
        device = device_for(protocol.device, subject.run, subject.x)
        before = observe.LoadMark.now(protocol.device)
        warm = sampling.warm_up(device.step, rule, clock=clock)
        samples = sampling.sample(device.step, rule, seconds_left=rule.max_seconds - warm.seconds, clock=clock)
        load = observe.load_between(before, observe.LoadMark.now(protocol.device))
        memory = device.memory()
        values = timing_values(warm, samples, load) | dict(memory) | circumstances(subject)
        if check_on is not None:
            values["check"] = checked(subject, check_on)
    return values


def prepare(
    spec: ModelSpec,
    scale: int,
    *,
    protocol: TimingProtocol,
    network: nn.Module | None = None,
    weights: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Subject:
    """The network in its form and place, and its input. Raises as `measure` does."""
    latency_forms.require_form(protocol)
    torch.set_num_threads(protocol.threads)
    lr = timed_size(protocol.lr, spec)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(protocol.batch, 3, *lr, generator=generator)
    # Here, because an exported or captured network has no guard of its own.
    check_input(x, spec, scale)
    if network is None:
        network, weights = create_model(spec, scale, weights=None), "random" if spec.learned else None
    plain = None if protocol.is_reference else copy.deepcopy(network).eval()
    x = latency_forms.placed(x, protocol)
    started = clock()
    run = latency_forms.in_form(network, protocol, x)
    return Subject(
        spec=spec,
        scale=scale,
        protocol=protocol,
        run=run,
        x=x,
        plain=plain,
        weights=weights,
        build_seconds=round(clock() - started, 3),
    )


def timed_size(lr: Size, spec: ModelSpec) -> Size:
    """The LR size that is run: each side raised to the model's multiple, as evaluation by padding would."""
    return Size(*(-(-side // spec.size_multiple_px) * spec.size_multiple_px for side in lr))


def checked(subject: Subject, dataset: Dataset) -> dict[str, Any]:
    """What `latency_check.check` says of a subject's output."""
    from runner.tasks import latency_check

    protocol = subject.protocol
    height, width = subject.x.shape[2:]
    plain = subject.plain
    if plain is not None and protocol.device == "cuda":
        plain = plain.to(protocol.device)
    return latency_check.check(
        subject.run,
        plain,
        dataset,
        place=lambda x: latency_forms.placed(x, protocol),
        rule=subject.spec.inference,
        trained=subject.weights != "random",
        fitted=Size(int(height), int(width)) if protocol.form.one_size else None,
        batch=protocol.batch,
        device=protocol.device,
    )


def timing_values(warm: sampling.WarmUp, samples: sampling.Samples, load: dict[str, Any]) -> dict[str, Any]:
    """The values of a record that come from times and load."""
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


def circumstances(subject: Subject) -> dict[str, Any]:
    """The values of a record that say what was run where."""
    protocol, x = subject.protocol, subject.x
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
        "weights": subject.weights,
        "build_seconds": subject.build_seconds,
        "cudnn_benchmark": torch.backends.cudnn.benchmark if cuda else None,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32 if cuda else None,
    }
