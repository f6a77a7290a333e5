"""A/B/B/A: several networks timed in turns, so that what drifts (clock, heat, neighbours) meets all of them alike.

Like `sampling`, this sees a run as a function that gives its time in ms, and a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from runner.tasks.sampling import LEVEL, RESAMPLES, SEED, SamplingRule, Step

MIN_BLOCKS: Final = 6
"""The target is not asked before this many blocks."""
FEWEST_BLOCKS: Final = 3
"""Taken whatever they take."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How a network's time compares with the first one's: the median over blocks of the ratio within a block."""

    ratio: float
    "Time of this one over time of the first."
    low: float
    high: float
    "95 % bootstrap interval over blocks (percentile method, fixed seed)."

    @property
    def relative(self) -> float:
        """Half the interval's width over the ratio."""
        return (self.high - self.low) / 2 / self.ratio if self.ratio > 0 else float("inf")


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Times of all networks."""

    times_ms: tuple[tuple[float, ...], ...]
    "One tuple for each network: two times for each block, in the order in which they were taken."
    ratios: tuple[Ratio, ...]
    "One for each network, the first one's being 1."
    reached_target: bool

    @property
    def blocks(self) -> int:
        return len(self.times_ms[0]) // 2


def interleave(
    steps: Sequence[Step], rule: SamplingRule, *, seconds_left: float, clock: Callable[[], float] = time.perf_counter
) -> Interleaved:
    """Run warm networks in blocks, forward and then backward (A B C C B A), until the ratios are known well enough.

    Within a block all networks have the same mean place in time, so a steady drift cancels. Ends when the interval of
    every ratio is within the rule's target, at the rule's number of samples, or when `seconds_left` are over.
    """
    started = clock()
    times: list[list[float]] = [[] for _ in steps]
    blocks, ask_at = 0, MIN_BLOCKS
    while True:
        order = range(len(steps))
        for index in (*order, *reversed(order)):
            times[index].append(steps[index]())
        blocks += 1
        ended = 2 * blocks >= rule.max_samples or (blocks >= FEWEST_BLOCKS and clock() - started >= seconds_left)
        if blocks >= ask_at or ended:
            ratios = tuple(block_ratio(times[0], taken) for taken in times)
            ask_at = blocks + max(1, blocks // 7)
            reached = blocks >= MIN_BLOCKS and all(ratio.relative <= rule.target for ratio in ratios)
            if reached or ended:
                return Interleaved(
                    times_ms=tuple(tuple(taken) for taken in times), ratios=ratios, reached_target=reached
                )


def block_ratio(first_ms: Sequence[float], times_ms: Sequence[float]) -> Ratio:
    """Ratio of two networks' times, each with two times in every block."""
    first, other = (np.asarray(times, dtype=np.float64).reshape(-1, 2).sum(axis=1) for times in (first_ms, times_ms))
    ratios = other / first
    generator = np.random.default_rng(SEED)
    drawn = ratios[generator.integers(0, len(ratios), size=(RESAMPLES, len(ratios)))]
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(ratio=float(np.median(ratios)), low=float(low), high=float(high))
