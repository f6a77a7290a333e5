"""How many times to run, and what the times say: warm-up rule, adaptive sampling, median with its interval.

Everything here sees a run as a function that gives its time in ms, and a clock; nothing here touches a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

Step = Callable[[], float]
"""Runs once and gives the time it took, in ms."""

LEVEL: Final = 0.95
"""Confidence level of the interval."""

RESAMPLES: Final = 1000
SEED: Final = 0

WARM_UP_WINDOW: Final = 3
WARM_UP_SPREAD: Final = 0.10
WARM_UP_MOST: Final = 50
FEWEST_SAMPLES: Final = 3


@dataclass(frozen=True, kw_only=True)
class SamplingRule:
    """When warm-up and sampling end."""

    target: float = 0.01
    "Half the width of the median's interval over the median: sampling ends when it is not above this."
    min_samples: int = 10
    "The target is not asked before this many samples."
    max_samples: int = 2000
    max_seconds: float = 20.0
    "Cap of warm-up (its first run left out, at most a third) and sampling; three samples are taken whatever they take."


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The runs before the first sample."""

    times_ms: tuple[float, ...]
    stable: bool
    "True when the last three times lie within a tenth of their median."
    seconds: float = 0.0
    "What it took, the first run left out."


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Bootstrap interval of a median (percentile method, fixed seed)."""

    low_ms: float
    high_ms: float
    relative: float
    "Half the width over the median."


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Times of one run after warm-up."""

    times_ms: tuple[float, ...]
    interval: Interval
    reached_target: bool


def warm_up(step: Step, rule: SamplingRule, *, clock: Callable[[], float] = time.perf_counter) -> WarmUp:
    """Run until stable: at least three times, until the last three lie within 10 % of their median.

    Ends at 50 runs or a third of the cap as well, and says so; none of these times is a sample. The first run is not
    charged to the cap: what a network does once (loading, compiling) must not eat the time for its samples.
    """
    times = [step()]
    started = clock()
    while True:
        times.append(step())
        seconds = clock() - started
        last = times[-WARM_UP_WINDOW:]
        if len(last) == WARM_UP_WINDOW and max(last) - min(last) <= WARM_UP_SPREAD * float(np.median(last)):
            return WarmUp(times_ms=tuple(times), stable=True, seconds=seconds)
        if len(times) >= WARM_UP_MOST or seconds >= rule.max_seconds / 3:
            return WarmUp(times_ms=tuple(times), stable=False, seconds=seconds)


def sample(
    step: Step, rule: SamplingRule, *, seconds_left: float, clock: Callable[[], float] = time.perf_counter
) -> Samples:
    """Run until the median's interval is narrow enough, the samples are many enough or `seconds_left` are over.

    The interval is asked at counts that grow by a seventh, so that the computing does not sit between all runs.
    """
    started = clock()
    times: list[float] = []
    ask_at = rule.min_samples
    while True:
        times.append(step())
        count = len(times)
        ended = count >= rule.max_samples or (count >= FEWEST_SAMPLES and clock() - started >= seconds_left)
        if count >= ask_at or ended:
            interval = median_interval(times)
            ask_at = count + max(1, count // 7)
            reached = count >= rule.min_samples and interval.relative <= rule.target
            if reached or ended:
                return Samples(times_ms=tuple(times), interval=interval, reached_target=reached)


def median_interval(times_ms: Sequence[float]) -> Interval:
    """95 % bootstrap interval of the median of at least one time; runs are taken as independent."""
    times = np.asarray(times_ms, dtype=np.float64)
    generator = np.random.default_rng(SEED)
    drawn = times[generator.integers(0, len(times), size=(RESAMPLES, len(times)))]
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    median = float(np.median(times))
    relative = float(high - low) / 2 / median if median > 0 else float("inf")
    return Interval(low_ms=float(low), high_ms=float(high), relative=relative)


def quantile(times_ms: Sequence[float], q: float) -> float:
    """Quantile of the times, linear between neighbours."""
    return float(np.quantile(np.asarray(times_ms, dtype=np.float64), q))
