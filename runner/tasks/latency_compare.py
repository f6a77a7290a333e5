"""Networks, or forms of one network, timed in turns in one process: the ratio of their times with its interval.

One process and not one for each: all sides then share the cores, the thread pool, the allocator and the state of the
clock, which two processes do not (the waiting one's threads spin and take cores from the other). What one side leaves
behind in the process (memory in the allocator's cache) is there for the others too. Peak memory is not taken here,
since it cannot be told apart; `latency.measure` has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from runner.tasks import latency, latency_devices, observe, sampling
from runner.tasks.interleaving import interleave
from runner.tasks.sampling import SamplingRule
from zoo.contract import BadInput, ModelSpec
from zoo.protocols import TimingProtocol

if TYPE_CHECKING:
    from runner.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the networks that are compared; `latency.measure` has the same words."""

    spec: ModelSpec
    scale: int
    protocol: TimingProtocol
    network: nn.Module | None = None
    weights: str | None = None


def compare(
    sides: Sequence[Side],
    *,
    rule: SamplingRule,
    check_on: Dataset | None = None,
    clock: Callable[[], float] = time.perf_counter,
    device_for: latency.DeviceFor = latency_devices.device_for,
) -> list[dict[str, Any]]:
    """The values of each side as `latency.measure` has them (without memory), and its ratio to the first.

    `ratio` (this side's time over the first's), `ratio_interval`, `ratio_reached_target`, `blocks`. The rule's cap is
    one side's share of the whole time. Raises BadInput for sides that do not share device and threads.
    """
    if len(sides) < 2 or len({(side.protocol.device, side.protocol.threads) for side in sides}) != 1:
        raise BadInput("A comparison needs two sides or more, all on the same device with the same threads.")
    with torch.inference_mode():
        subjects = [
            latency.prepare(
                side.spec, side.scale, protocol=side.protocol, network=side.network, weights=side.weights, clock=clock
            )
            for side in sides
        ]
        kind = sides[0].protocol.device
        steps = [device_for(kind, subject.run, subject.x).step for subject in subjects]
        before = observe.LoadMark.now(kind)
        warm = [sampling.warm_up(step, rule, clock=clock) for step in steps]
        left = rule.max_seconds * len(sides) - sum(side.seconds for side in warm)
        found = interleave(steps, rule, seconds_left=left, clock=clock)
        load = observe.load_between(before, observe.LoadMark.now(kind))
        rows = []
        for subject, warmed, times, ratio in zip(subjects, warm, found.times_ms, found.ratios, strict=True):
            interval = sampling.median_interval(times)
            samples = sampling.Samples(
                times_ms=times, interval=interval, reached_target=interval.relative <= rule.target
            )
            row = latency.timing_values(warmed, samples, load) | latency.circumstances(subject)
            row |= {
                "ratio": ratio.ratio,
                "ratio_interval": [ratio.low, ratio.high],
                "ratio_reached_target": found.reached_target,
                "blocks": found.blocks,
            }
            if check_on is not None and check_on.scale == subject.scale:
                row["check"] = latency.checked(subject, check_on)
            rows.append(row)
    return rows
