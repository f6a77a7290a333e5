"""Latency as NTIRE's organisers take it: each image of a data set once, at its own size, in a cold process.

Their mean holds the first image, which pays the start-up (1,034 ms of a mean of 15 in the log of 2024); here the mean
without it stands beside it. `runner.tasks.challenge` is the same with a warm network and the challenge's sets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from runner.images import size_of
from runner.inference import infer
from runner.machine import usable_cores
from runner.tasks import latency, latency_devices, latency_forms, observe, sampling
from runner.tasks.challenge import whole_images
from runner.tasks.quality import to_tensor
from runner.timing_terms import require_terms
from zoo.contract import ModelSpec
from zoo.protocols import TimingProtocol

if TYPE_CHECKING:
    from runner.datasets import Dataset


def measure(
    spec: ModelSpec,
    dataset: Dataset,
    *,
    protocol: TimingProtocol,
    network: nn.Module,
    weights: str | None = None,
    check: bool = True,
    device_for: latency.DeviceFor = latency_devices.device_for,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """One timed pass over each image of `dataset` in order; padding to a network's multiple is inside the time.

    Values: `per_image` (`name`, `lr`, `ms`), `mean_ms` (the organisers' number), `mean_without_first_ms` (None for one
    image), `median_ms`, `p10_ms`, `p90_ms`, peak memory (the largest image's), `load`, `noise`. Raises as
    `latency.measure` does, BadInput for a form of one size.
    """
    require_terms(replace(protocol, per_image=True))
    rule = whole_images(spec)
    first = size_of(dataset.load(dataset.pairs[0])[0])
    with torch.inference_mode():
        subject = latency.prepare(
            spec,
            dataset.scale,
            protocol=replace(protocol, lr=first),
            network=network,
            weights=weights,
            clock=clock,
        )

        def forward(x: Tensor) -> Tensor:
            return infer(subject.run, x, dataset.scale, rule)

        before = observe.LoadMark.now(protocol.device)
        per_image: list[dict[str, Any]] = []
        memory: dict[str, Any] = {}
        for pair in dataset.pairs:
            lr, _hr = dataset.load(pair)
            x = latency_forms.placed(to_tensor(lr), protocol)
            device = device_for(protocol.device, forward, x)
            per_image.append({"name": pair.name, "lr": str(size_of(lr)), "ms": device.step()})
            memory = _larger(memory, dict(device.memory()))
        load = observe.load_between(before, observe.LoadMark.now(protocol.device))
        values = _means([row["ms"] for row in per_image]) | {"per_image": per_image, "load": load} | memory
        # Images differ in size, so the spread of their times says nothing of noise.
        values["noise"] = observe.noise(load, p10_ms=1, p90_ms=1, warm_up_stable=True, cores=usable_cores())
        values |= latency.circumstances(subject) | {"lr": None, "timed_lr": None, "data": dataset.name}
        if check:
            values["check"] = latency.checked(subject, dataset)
    return values


def _larger(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return other if not one or other["peak_memory_bytes"] > one["peak_memory_bytes"] else one


def _means(times_ms: list[float]) -> dict[str, Any]:
    rest = times_ms[1:]
    p10, median, p90 = (sampling.quantile(times_ms, q) for q in (0.1, 0.5, 0.9))
    return {
        "mean_ms": math.fsum(times_ms) / len(times_ms),
        "mean_without_first_ms": math.fsum(rest) / len(rest) if rest else None,
        "first_ms": times_ms[0],
        "median_ms": median,
        "p10_ms": p10,
        "p90_ms": p90,
    }
