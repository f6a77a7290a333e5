"""Ranks with intervals and the pairs that cannot be told apart, for every data set and scale with per-image records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.columns import dataset_order
from reports.evidence import QUALITY, Evidence, quality_protocol
from reports.statistics import Difference, Rank, differences, ranks
from zoo.contract import ModelSpec
from zoo.facts import Measured, Ok

CONFIDENCE: Final = 0.95
MOST: Final = 40
"""Networks of one set up to which all pairs are compared: their number grows with the square, 780 at 40."""
_LEARNED: Final = ("official", "third-party", "bundled", "file", None)
"""Origins of weights that make a network comparable; None is a network without any."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One network's place on one data set."""

    rank: Rank
    display_name: str
    run: Measured
    alike: tuple[str, ...]
    "Display names of the networks from which it is not shown to differ, best first."


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All networks measured on the same images by the default protocol."""

    dataset: str
    scale: int
    images: int
    standings: tuple[Standing, ...]
    "Best first."
    pairs: tuple[Difference, ...]
    "By model name."
    too_few: bool
    "True where the images are too few to call any difference real."

    @property
    def told_apart(self) -> int:
        """Pairs whose difference is real."""
        return sum(pair.is_real() for pair in self.pairs)

    @property
    def narrowest(self) -> Difference | None:
        """The smallest mean difference that is real, None if none is."""
        return min((pair for pair in self.pairs if pair.is_real()), key=lambda pair: pair.mean_db, default=None)


def comparisons(evidence: Evidence, specs: Sequence[ModelSpec], scales: Iterable[int]) -> tuple[Comparison, ...]:
    """By scale, in each the largest sets first; only where two networks or more, and no more than `MOST`, stand."""
    found = []
    for scale in scales:
        groups = _groups(evidence, {spec.name: spec for spec in specs}, scale)
        order = sorted(groups, key=lambda name: (-len(_values(next(iter(groups[name].values())))), dataset_order(name)))
        found += [_compared(name, scale, groups[name], specs) for name in order if len(groups[name]) > 1]
    return tuple(found)


def uncompared(evidence: Evidence, scales: Iterable[int]) -> tuple[str, ...]:
    """The sets of more than `MOST` networks, which `comparisons` leaves out: `B100 x4, 1010 networks`."""
    return tuple(
        f"{name} x{scale}, {len(models)} networks"
        for scale in scales
        for name, models in sorted(_models(evidence, scale).items(), key=lambda item: dataset_order(item[0]))
        if len(models) > MOST
    )


def _models(evidence: Evidence, scale: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in evidence.all(scale, QUALITY):
        if run.key.dataset and isinstance(run.outcome, Ok) and not run.stale:
            found.setdefault(run.key.dataset, set()).add(run.key.model)
    return found


def _groups(evidence: Evidence, specs: Mapping[str, ModelSpec], scale: int) -> dict[str, dict[str, Measured]]:
    """Data set -> model -> its best record; of several versions of a data set the one with the most networks."""
    records: dict[tuple[str, str, frozenset[str]], dict[str, Measured]] = {}
    # Known before a single image is read.
    crowded = {name for name, models in _models(evidence, scale).items() if len(models) > MOST}
    for run in evidence.all(scale, QUALITY):
        key, spec = run.key, specs.get(run.key.model)
        usable = isinstance(run.outcome, Ok) and not run.stale and run.provenance.weights_origin in _LEARNED
        if not usable or not key.dataset or key.dataset in crowded or key.protocol != quality_protocol(spec, scale):
            continue
        values = _values(run)
        if len(values) > 1 and all(map(math.isfinite, values.values())):
            place = (key.dataset, key.dataset_sha256 or "", frozenset(values))
            # Best first, so that the first record of a model stays.
            records.setdefault(place, {}).setdefault(key.model, run)
    chosen: dict[str, dict[str, Measured]] = {}
    for (dataset, _sha256, _images), group in records.items():
        if len(group) > len(chosen.get(dataset, {})):
            chosen[dataset] = group
    return chosen


def _compared(dataset: str, scale: int, runs: Mapping[str, Measured], specs: Sequence[ModelSpec]) -> Comparison:
    names = {spec.name: spec.display_name for spec in specs}
    values = {model: _values(run) for model, run in runs.items()}
    pairs = differences(values, confidence=CONFIDENCE)
    placed = ranks(values, confidence=CONFIDENCE)
    alike: dict[str, set[str]] = {model: set() for model in runs}
    for pair in pairs:
        if not pair.is_real():
            alike[pair.first].add(pair.second)
            alike[pair.second].add(pair.first)
    standings = tuple(
        Standing(
            rank=rank,
            display_name=names.get(rank.name, rank.name),
            run=runs[rank.name],
            alike=tuple(names.get(other.name, other.name) for other in placed if other.name in alike[rank.name]),
        )
        for rank in placed
    )
    return Comparison(
        dataset=dataset,
        scale=scale,
        images=pairs[0].images,
        standings=standings,
        pairs=tuple(pairs),
        too_few=pairs[0].too_few,
    )


def _values(run: Measured) -> dict[str, float]:
    """PSNR in dB of every image."""
    per_image: Iterable[Mapping[str, Any]] = run.values.get("per_image", ())
    return {str(score["name"]): float(score["psnr_y_db"]) for score in per_image}
