"""When warm-up and sampling end, and what the samples say; runs are planted numbers on a planted clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.sampling import SamplingRule, median_interval, quantile, sample, warm_up


class Runs:
    """A step that takes the planted times one after the other, the last one for ever; its clock shows their sum."""

    def __init__(self, *times_ms: float) -> None:
        self._times, self.count, self._elapsed_ms = times_ms, 0, 0.0

    def step(self) -> float:
        taken = self._times[min(self.count, len(self._times) - 1)]
        self.count += 1
        self._elapsed_ms += taken
        return taken

    def clock(self) -> float:
        return self._elapsed_ms / 1e3


def _noisy(seed: int) -> Iterator[float]:
    generator = np.random.default_rng(seed)
    while True:
        yield float(generator.lognormal(mean=2, sigma=0.5))


def test_a_slow_start_is_no_sample() -> None:
    runs = Runs(4000, 900, 50, 10, 10.1, 10)
    rule = SamplingRule(max_seconds=100)
    warm = warm_up(runs.step, rule, clock=runs.clock)
    samples = sample(runs.step, rule, seconds_left=10, clock=runs.clock)
    assert warm.times_ms == (4000, 900, 50, 10, 10.1, 10)
    assert warm.stable
    assert set(samples.times_ms) == {10}


def test_warm_up_ends_at_a_third_of_the_cap_and_says_so() -> None:
    runs = Runs(8000, 4000)
    warm = warm_up(runs.step, SamplingRule(max_seconds=21), clock=runs.clock)
    assert warm.times_ms == (8000, 4000, 4000)
    assert warm.seconds == 8
    assert not warm.stable


def test_a_first_run_longer_than_the_cap_costs_no_sample() -> None:
    runs = Runs(60_000, 10)
    rule = SamplingRule(max_seconds=2)
    warm = warm_up(runs.step, rule, clock=runs.clock)
    samples = sample(runs.step, rule, seconds_left=rule.max_seconds - warm.seconds, clock=runs.clock)
    assert warm.stable
    assert samples.times_ms == (10,) * rule.min_samples


def test_warm_up_that_never_settles_ends_after_fifty_runs() -> None:
    runs = Runs(*[10, 20] * 60)
    warm = warm_up(runs.step, SamplingRule(max_seconds=1e6), clock=runs.clock)
    assert len(warm.times_ms) == 50
    assert not warm.stable


def test_steady_times_need_few_samples() -> None:
    runs = Runs(10)
    samples = sample(runs.step, SamplingRule(), seconds_left=1e6, clock=runs.clock)
    assert len(samples.times_ms) == SamplingRule().min_samples
    assert samples.reached_target
    assert samples.interval.relative == 0


def test_noisy_times_are_sampled_until_the_interval_is_narrow() -> None:
    times = _noisy(0)
    samples = sample(lambda: next(times), SamplingRule(target=0.05, max_samples=5000), seconds_left=1e6)
    assert samples.reached_target
    assert samples.interval.relative <= 0.05
    assert len(samples.times_ms) > 200


def test_the_cap_wins_over_the_target_and_is_not_called_success() -> None:
    times = [8.0, 16.0] * 500
    runs = Runs(*times)
    samples = sample(runs.step, SamplingRule(target=0.01), seconds_left=0.6, clock=runs.clock)
    assert not samples.reached_target
    assert 0.6 <= sum(samples.times_ms) / 1e3 < 0.65


def test_three_samples_are_taken_whatever_they_take() -> None:
    runs = Runs(60_000)
    samples = sample(runs.step, SamplingRule(), seconds_left=-5, clock=runs.clock)
    assert samples.times_ms == (60_000,) * 3
    # Three equal times are no proof of precision.
    assert not samples.reached_target


def test_the_number_of_samples_is_bounded() -> None:
    runs = Runs(*[1, 9] * 100)
    assert len(sample(runs.step, SamplingRule(max_samples=40), seconds_left=1e6, clock=runs.clock).times_ms) == 40


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=30))
def test_the_interval_lies_within_the_samples_and_is_repeatable(times: list[float]) -> None:
    interval = median_interval(times)
    assert min(times) <= interval.low_ms <= interval.high_ms <= max(times)
    assert interval == median_interval(times)


def test_the_interval_covers_the_median_about_as_often_as_it_says() -> None:
    true_median = float(np.exp(2))
    covered = 0
    for seed in range(200):
        times = _noisy(seed)
        interval = median_interval([next(times) for _ in range(40)])
        covered += interval.low_ms <= true_median <= interval.high_ms
    # 95 % nominal; the percentile method on 40 samples is known to be within a few points of it.
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize(("q", "value"), [(0.1, 1.4), (0.5, 3.0), (0.9, 4.6)])
def test_quantiles_are_linear_between_neighbours(q: float, value: float) -> None:
    assert quantile([5, 1, 4, 2, 3], q) == pytest.approx(value)
