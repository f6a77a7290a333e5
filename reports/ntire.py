"""NTIRE efficient super-resolution challenges: who is eligible, the scores, the ranks, and what they hang on.

The editions are data (`reports.ntire_editions`); numbers come as entries, from a file of teams or from runs. Scores
live as natural logarithms, because the organisers' exp(2 m / m0) leaves float64 from 354.9 times the baseline on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from reports.ntire_editions import LR_SIDE_PX, Baseline, Edition, ScoreWeights
from zoo.contract import BadInput

SCORED: Final = ("main", "runtime", "flops", "params")
"""Tracks of an edition with a score; main is the weighted sum of the others."""

SUB_TRACKS_2022: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"sub1": ("params", "flops"), "sub2": ("runtime", "params", "flops", "activations", "memory")}
)
"""The metrics whose ranks are summed up."""

LARGEST_LOG: Final = math.log(sys.float_info.max)
"""A score whose logarithm is above this (709.78) is no float64."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One team or model with the numbers that a challenge looks at; None where a number is not known."""

    team: str
    val_psnr_db: float | None
    test_psnr_db: float | None
    runtime_ms: float | None
    "Mean of the validation and the test average."
    params_m: float
    flops_g: float
    "By the edition's counter, at LR 256x256."
    activations_m: float | None = None
    memory_mib: float | None = None

    @property
    def is_baseline(self) -> bool:
        """True for a name like `RLFN (Baseline)` or `00_RLFN_baseline`: it is scored and never ranked."""
        return self.team.lower().endswith(("(baseline)", "_baseline"))


class Eligibility(Enum):
    """Whether a PSNR suffices."""

    YES = "eligible"
    NO = "not eligible"
    UNKNOWN = "unknown"


class ThresholdRule(Enum):
    """Which PSNR is compared with a threshold; the organisers do not document it, so each report states it."""

    PRINTED = "PSNR rounded to two decimals, as the organisers' tables print it"
    RAW = "PSNR as measured, not rounded"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an entry stands among the ones it is ranked with."""

    entry: Entry
    eligibility: Eligibility
    why: str
    "The sentence behind the eligibility."
    log_scores: Mapping[str, float]
    "Natural logarithm of the score of `runtime`, `flops`, `params` and `main`; what cannot be scored is absent."
    ranks: Mapping[str, int] = field(default_factory=dict)
    "Rank by track and metric from 1, ties share the smaller number; empty for who is not ranked."
    rank_sums: Mapping[str, int] = field(default_factory=dict)
    "2022: the sums that the sub-tracks are ranked by."

    def score(self, metric: str) -> float | None:
        """Score as the organisers print it; None where it is unknown or no float64."""
        log = self.log_scores.get(metric)
        return None if log is None or log > LARGEST_LOG else math.exp(log)

    @property
    def overflows(self) -> bool:
        """True when a score exists that no float64 can hold."""
        return any(log > LARGEST_LOG for log in self.log_scores.values())


def eligibility(entry: Entry, edition: Edition, rule: ThresholdRule) -> tuple[Eligibility, str]:
    """Whether an entry may be ranked, and the sentence that says why."""
    asked = [("validation", entry.val_psnr_db, edition.val_threshold_db)]
    if edition.test_threshold_db is not None:
        asked.append(("test", entry.test_psnr_db, edition.test_threshold_db))
    # A value that fails decides, whatever is unknown beside it.
    for name, psnr_db, threshold_db in asked:
        if psnr_db is not None and _compared(psnr_db, rule) < threshold_db:
            digits = 2 if rule is ThresholdRule.PRINTED else 6
            return Eligibility.NO, f"{name} PSNR {psnr_db:.{digits}f} dB is below {threshold_db:.2f} dB"
    if unknown := [name for name, psnr_db, _threshold in asked if psnr_db is None]:
        return Eligibility.UNKNOWN, f"{' and '.join(unknown)} PSNR not known"
    return Eligibility.YES, "every PSNR asked for is reached"


def _compared(psnr_db: float, rule: ThresholdRule) -> float:
    return float(f"{psnr_db:.2f}") if rule is ThresholdRule.PRINTED else psnr_db


def log_scores(entry: Entry, baseline: Baseline, weights: ScoreWeights) -> dict[str, float]:
    """ln of exp(2 m / m0) for each metric and of their weighted sum; what lacks a number is left out."""
    pairs = {
        "runtime": (entry.runtime_ms, baseline.runtime_ms),
        "flops": (entry.flops_g, baseline.flops_g),
        "params": (entry.params_m, baseline.params_m),
    }
    logs = {name: 2 * ours / theirs for name, (ours, theirs) in pairs.items() if ours is not None and theirs}
    if len(logs) == len(pairs):
        shares = (weights.runtime, weights.flops, weights.params)
        logs["main"] = _log_of_weighted_sum([(share, logs[name]) for share, name in zip(shares, pairs, strict=True)])
    return logs


def _log_of_weighted_sum(terms: Sequence[tuple[float, float]]) -> float:
    """ln(sum of weight * exp(log)) without leaving float64."""
    largest = max(log for _weight, log in terms)
    return largest + math.log(math.fsum(weight * math.exp(log - largest) for weight, log in terms))


def rank(
    entries: Iterable[Entry],
    edition: Edition,
    *,
    rule: ThresholdRule = ThresholdRule.PRINTED,
    baseline: Baseline | None = None,
) -> list[Standing]:
    """All entries with their scores, in main order: ranked ones first, then the others by score.

    `baseline` stands in for the edition's own (a runtime measured elsewhere). Rank 1 is the smallest value; entries
    that are not eligible, of unknown eligibility or named as the baseline are not ranked. Raises BadInput where two
    entries have one name.
    """
    standings = {}
    for entry in entries:
        if entry.team in standings:
            raise BadInput(f"Two entries are called {entry.team!r}. Give each team a name of its own.")
        eligible, why = eligibility(entry, edition, rule)
        logs = log_scores(entry, baseline or edition.baseline, edition.weights) if edition.weights else {}
        standings[entry.team] = Standing(entry=entry, eligibility=eligible, why=why, log_scores=logs)
    ranked = [s for s in standings.values() if s.eligibility is Eligibility.YES and not s.entry.is_baseline]
    sums = {} if edition.weights else _rank_sums([s.entry for s in ranked])
    ranks = _score_ranks(ranked) if edition.weights else _ranks_2022([s.entry for s in ranked], sums)
    placed = [replace(s, ranks=_of_team(ranks, team), rank_sums=_of_team(sums, team)) for team, s in standings.items()]
    return sorted(placed, key=_main_order)


def _of_team(by_name: Mapping[str, Mapping[str, int]], team: str) -> dict[str, int]:
    return {name: by_team[team] for name, by_team in by_name.items() if team in by_team}


def _main_order(standing: Standing) -> tuple[float, float, float]:
    runtime_ms = standing.entry.runtime_ms
    return (
        standing.ranks.get("main", math.inf),
        standing.log_scores.get("main", math.inf),
        math.inf if runtime_ms is None else runtime_ms,
    )


def _score_ranks(ranked: Sequence[Standing]) -> dict[str, dict[str, int]]:
    """By track, team -> rank, from the logarithms: those keep their order where no float64 holds the scores."""
    return {track: _ranks({s.entry.team: s.log_scores.get(track) for s in ranked}) for track in SCORED}


def _ranks(values: Mapping[str, float | None]) -> dict[str, int]:
    """Rank from 1, smallest value first; equal values share the smaller rank, unknown ones have none."""
    known = {team: value for team, value in values.items() if value is not None}
    return {team: 1 + sum(other < value for other in known.values()) for team, value in known.items()}


def _metric_ranks(ranked: Sequence[Entry]) -> dict[str, dict[str, int]]:
    return {
        "runtime": _ranks({entry.team: entry.runtime_ms for entry in ranked}),
        "flops": _ranks({entry.team: entry.flops_g for entry in ranked}),
        "params": _ranks({entry.team: entry.params_m for entry in ranked}),
        "activations": _ranks({entry.team: entry.activations_m for entry in ranked}),
        "memory": _ranks({entry.team: entry.memory_mib for entry in ranked}),
    }


def _rank_sums(ranked: Sequence[Entry]) -> dict[str, dict[str, int]]:
    """2022: by sub-track, team -> sum of its ranks in the sub-track's metrics; absent where one of them is unknown."""
    of_metric = _metric_ranks(ranked)
    return {
        track: {
            entry.team: sum(of_metric[metric][entry.team] for metric in metrics)
            for entry in ranked
            if all(entry.team in of_metric[metric] for metric in metrics)
        }
        for track, metrics in SUB_TRACKS_2022.items()
    }


def _ranks_2022(ranked: Sequence[Entry], sums: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """2022: the main track is the order of runtime, a sub-track the order of its sum of ranks."""
    of_metric = _metric_ranks(ranked)
    return {"main": of_metric["runtime"], **of_metric, **{track: _ranks(dict(by)) for track, by in sums.items()}}


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The same entry scored against one runtime of the baseline."""

    source: str
    baseline_runtime_ms: float
    score: float | None
    log_score: float
    rank: int | None


def sensitivity(
    entries: Sequence[Entry], edition: Edition, *, rule: ThresholdRule = ThresholdRule.PRINTED
) -> dict[str, list[Sensitivity]]:
    """By team: final score and main rank under every runtime the organisers printed for their baseline.

    The runtimes were taken on one card with one script; what differs between the rows is that choice alone. Empty
    for an edition without a score.
    """
    own = edition.baseline.runtime_ms
    if edition.weights is None or own is None:
        return {}
    found: dict[str, list[Sensitivity]] = {entry.team: [] for entry in entries}
    for source, runtime_ms in (("published scores", own), *edition.baseline.other_runtimes_ms):
        for standing in rank(entries, edition, rule=rule, baseline=replace(edition.baseline, runtime_ms=runtime_ms)):
            if (log := standing.log_scores.get("main")) is not None:
                found[standing.entry.team].append(
                    Sensitivity(
                        source=source,
                        baseline_runtime_ms=runtime_ms,
                        score=standing.score("main"),
                        log_score=log,
                        rank=standing.ranks.get("main"),
                    )
                )
    return found


def uncounted_suspicion(entry: Entry) -> str | None:
    """A sentence where FLOPs are less than half of params x pixels, the least that convolutions at LR size cost."""
    expected_g = entry.params_m * LR_SIDE_PX**2 / 1e3
    if entry.flops_g >= expected_g / 2:
        return None
    return (
        f"{entry.team}: {entry.flops_g:.2f} G FLOPs are less than half of parameters x {LR_SIDE_PX}x{LR_SIDE_PX} "
        f"({expected_g:.2f} G). Either most parameters work below LR size, or the counter missed modules."
    )
