"""Networks timed in turns: ratios on a planted clock, what drifts, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.tasks import latency, latency_compare
from runner.tasks.interleaving import FEWEST_BLOCKS, MIN_BLOCKS, block_ratio, interleave
from runner.tasks.latency_compare import Side
from runner.tasks.latency_devices import Run
from runner.tasks.sampling import SamplingRule
from zoo.contract import BadInput, ModelSpec
from zoo.protocols import Size, TimingProtocol

PROTOCOL = TimingProtocol(device="cpu", lr=Size(8, 8), threads=torch.get_num_threads())


class Clock:
    """Time that only planted work moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.seconds

    def step(self, name: str, ms: float, *, drift: float = 0.0) -> Any:
        """A step that takes `ms`, and `drift` times that more for every second that has gone by."""

        def run() -> float:
            self.order.append(name)
            taken = ms * (1 + drift * self.seconds)
            self.seconds += taken / 1e3
            return taken

        return run


def test_blocks_run_forward_and_backward() -> None:
    clock = Clock()
    steps = [clock.step(name, 10) for name in "ABC"]
    found = interleave(steps, SamplingRule(), seconds_left=1e6, clock=clock)
    assert "".join(clock.order) == "ABCCBA" * MIN_BLOCKS
    assert found.blocks == MIN_BLOCKS
    assert found.reached_target
    assert [len(times) for times in found.times_ms] == [2 * MIN_BLOCKS] * 3


def test_a_planted_factor_is_found_exactly() -> None:
    clock = Clock()
    found = interleave([clock.step("A", 20), clock.step("B", 10)], SamplingRule(), seconds_left=1e6, clock=clock)
    assert [(r.ratio, r.low, r.high) for r in found.ratios] == [(1, 1, 1), (0.5, 0.5, 0.5)]


def test_a_drift_that_spoils_both_times_leaves_the_ratio() -> None:
    clock = Clock()
    steps = [clock.step("A", 20, drift=0.5), clock.step("B", 10, drift=0.5)]
    found = interleave(steps, SamplingRule(target=-1), seconds_left=4, clock=clock)
    times = found.times_ms[0]
    assert times[-1] > 2 * times[0], "the drift must be large"
    assert found.ratios[1].ratio == pytest.approx(0.5, rel=0.01)


def test_the_cap_ends_it_and_is_not_called_success() -> None:
    clock = Clock()
    steps = [clock.step("A", 60_000), clock.step("B", 60_000)]
    found = interleave(steps, SamplingRule(), seconds_left=1, clock=clock)
    assert found.blocks == FEWEST_BLOCKS
    assert not found.reached_target


def test_the_interval_holds_the_planted_ratio() -> None:
    generator = torch.Generator().manual_seed(1)
    noise = 1 + 0.1 * torch.randn(2, 80, generator=generator).clamp(-2, 2).double()
    ratio = block_ratio((20 * noise[0]).tolist(), (10 * noise[1]).tolist())
    assert 0.45 < ratio.low < 0.5 < ratio.high < 0.55
    assert ratio == block_ratio((20 * noise[0]).tolist(), (10 * noise[1]).tolist())


class Twice(nn.Module):
    """Doubles the sides."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Half(Twice):
    """The same, in half the planted time."""


SPEC = ModelSpec(name="twice", display_name="Twice", build=lambda _scale: Twice(), scales=(2,))


class Planted:
    """A device on which a network takes the time that its class stands for."""

    def __init__(self, clock: Clock, run: Run, x: Tensor) -> None:
        self.step = clock.step(type(run).__name__, 10 if isinstance(run, Half) else 20)
        run(x)

    def memory(self) -> Mapping[str, Any]:
        return {}


def test_a_comparison_gives_each_side_its_values_and_its_ratio() -> None:
    clock = Clock()
    sides = [Side(spec=SPEC, scale=2, protocol=PROTOCOL, network=network) for network in (Twice(), Half())]
    first, second = latency_compare.compare(
        sides, rule=SamplingRule(), clock=clock, device_for=lambda _kind, run, x: Planted(clock, run, x)
    )
    assert (first["ratio"], second["ratio"], second["ratio_interval"]) == (1, 0.5, [0.5, 0.5])
    assert (first["median_ms"], second["median_ms"]) == (20, 10)
    assert second["ratio_reached_target"]
    assert len(second["samples_ms"]) == 2 * second["blocks"]
    assert "peak_memory_bytes" not in second


def test_sides_on_different_terms_are_refused() -> None:
    other = replace(PROTOCOL, threads=PROTOCOL.threads + 1)
    for protocols in ([PROTOCOL], [PROTOCOL, other]):
        with pytest.raises(BadInput, match="same threads"):
            latency_compare.compare(
                [Side(spec=SPEC, scale=2, protocol=protocol) for protocol in protocols], rule=SamplingRule()
            )


def test_a_planted_slow_start_is_warm_up_and_the_median_is_right() -> None:
    clock = Clock()

    class SlowStart:
        def __init__(self) -> None:
            self._calls = 0

        def step(self) -> float:
            self._calls += 1
            return clock.step("A", 90_000 if self._calls == 1 else 15)()  # type: ignore[no-any-return]

        def memory(self) -> Mapping[str, Any]:
            return {}

    values = latency.measure(
        SPEC, 2, protocol=PROTOCOL, network=Twice(), clock=clock, device_for=lambda *_: SlowStart()
    )
    assert values["warm_up"]["samples_ms"][0] == 90_000
    assert values["median_ms"] == 15
    assert set(values["samples_ms"]) == {15}
    assert values["reached_target"]
