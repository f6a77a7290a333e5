"""Which differences between networks are real: paired bootstrap over images, corrected for the number of comparisons.

Images are the units: two networks are compared on the same images, and an interval says how the mean difference would
vary over other images of the same kind. It says nothing of other data sets or of other trainings of a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from zoo.contract import BadInput

FEWEST_IMAGES: Final = 10
"""Below this a bootstrap interval over images is not to be trusted (Set5), and `too_few` says so."""

_RESAMPLES: Final = 9999
_DRAWN_AT_ONCE: Final = 500_000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much higher one network's values are than another's, on the same images."""

    first: str
    second: str
    images: int
    mean_db: float
    "Mean over images of first minus second."
    low_db: float
    high_db: float
    "Percentile bootstrap interval of that mean."
    p_value: float
    "Two-sided Wilcoxon signed-rank test over images; 1 where all differences are zero."
    p_corrected: float
    "The same after Holm's correction for all pairs of the table."

    @property
    def too_few(self) -> bool:
        """True when the images are too few to trust the interval."""
        return self.images < FEWEST_IMAGES

    def is_real(self, level: float = 0.05) -> bool:
        """True when the corrected test rejects equality and the images are enough to say so."""
        return not self.too_few and self.p_corrected < level


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A network's place by mean value, and the places it takes when the images are drawn again."""

    name: str
    mean_db: float
    rank: int
    "1 is the highest mean; equal means share the better place."
    low: int
    high: int


PerImage = Mapping[str, Mapping[str, float]]
"""Network -> image -> value in dB."""


def differences(values: PerImage, *, confidence: float = 0.95, seed: int = 0) -> list[Difference]:
    """Every pair of networks, the higher mean first, in the order of `values`.

    Deterministic for a seed. Raises BadInput: networks measured on different images, or values that are not finite.
    """
    table = _table(values)
    drawn = _resampled_means(table, seed, _RESAMPLES)
    found = []
    for a, b in combinations(values, 2):
        first, second = (a, b) if table[a].mean() >= table[b].mean() else (b, a)
        gap = table[first] - table[second]
        low, high = _interval(gap, drawn[first] - drawn[second], confidence)
        found.append((first, second, gap, low, high, _p_value(gap)))
    corrected = holm([p for *_rest, p in found])
    return [
        Difference(
            first=first,
            second=second,
            images=len(gap),
            mean_db=float(gap.mean()),
            low_db=low,
            high_db=high,
            p_value=p,
            p_corrected=p_corrected,
        )
        for (first, second, gap, low, high, p), p_corrected in zip(found, corrected, strict=True)
    ]


def mean_intervals(
    values: PerImage, *, confidence: float = 0.95, seed: int = 0, resamples: int = _RESAMPLES
) -> list[tuple[float, float]]:
    """(low, high) of the mean of first minus second for every pair (a, b), a before b in the order of `values`.

    The interval of `differences`, for many pairs at once: all share one drawing of images. Raises BadInput likewise.
    """
    table = _table(values)
    means = np.stack(list(_resampled_means(table, seed, resamples).values()))
    tail = (1 - confidence) / 2
    found: list[tuple[float, float]] = []
    for index, first in enumerate(means):
        low, high = np.quantile(first - means[index + 1 :], [tail, 1 - tail], axis=1)
        found += zip(low.tolist(), high.tolist(), strict=True)
    return found


def ranks(values: PerImage, *, confidence: float = 0.95, seed: int = 0, resamples: int = _RESAMPLES) -> list[Rank]:
    """Places of the networks by mean, best first, with the interval of places over resampled images."""
    # Here and not above: scipy.stats takes longer to import than most pages to make.
    from scipy import stats

    table = _table(values)
    matrix = np.stack([table[name] for name in values])
    drawn = _resampled_means(table, seed, resamples)
    means = np.stack([drawn[name] for name in values])
    places = stats.rankdata(-means, method="min", axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(places, [tail, 1 - tail], axis=1, method="closest_observation")
    own = stats.rankdata(-matrix.mean(axis=1), method="min")
    found = [
        Rank(name=name, mean_db=float(row.mean()), rank=int(rank), low=int(lowest), high=int(highest))
        for name, row, rank, lowest, highest in zip(values, matrix, own, low, high, strict=True)
    ]
    return sorted(found, key=lambda rank: rank.rank)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p-values that hold for all comparisons together, in the given order."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    largest = 0.0
    for done, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        corrected[index] = largest
    return [float(p) for p in corrected]


def _table(values: PerImage) -> dict[str, npt.NDArray[np.float64]]:
    if len(values) < 2:
        raise BadInput(f"A comparison needs at least two networks, got {len(values)}.")
    first_name, first = next(iter(values.items()))
    for name, images in values.items():
        if other := set(images) ^ set(first):
            raise BadInput(
                f"{name} and {first_name} were not measured on the same images ({sorted(other)[0]} is in one only). "
                f"Measure both on the same data set."
            )
        if not np.isfinite(list(images.values())).all():
            raise BadInput(f"{name} has a value that is not finite, which has no difference. Leave that image out.")
    if len(first) < 2:
        raise BadInput(f"Differences over images need at least two images, got {len(first)}.")
    return {name: np.array([images[image] for image in first]) for name, images in values.items()}


def _resampled_means(
    table: Mapping[str, npt.NDArray[np.float64]], seed: int, resamples: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Means of every network over the same resamples of the images: the draws are shared, so differences are paired."""
    images = len(next(iter(table.values())))
    generator = np.random.default_rng(seed)
    means = {name: np.empty(resamples) for name in table}
    # In steps, so that many images need no gigabytes; the numbers drawn are the same.
    step = max(1, _DRAWN_AT_ONCE // images)
    for begin in range(0, resamples, step):
        drawn = generator.integers(images, size=(min(step, resamples - begin), images))
        # Network by network: all at once would hold networks x resamples x images values.
        for name, row in table.items():
            means[name][begin : begin + len(drawn)] = row[drawn].mean(axis=1)
    return means


def _interval(
    gap: npt.NDArray[np.float64], resampled: npt.NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean gap."""
    if np.ptp(gap) == 0:
        return float(gap[0]), float(gap[0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _p_value(gap: npt.NDArray[np.float64]) -> float:
    if not gap.any():
        return 1.0
    from scipy import stats

    return float(stats.wilcoxon(gap).pvalue)
