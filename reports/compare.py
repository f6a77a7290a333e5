"""The one place where a paper's number and runs of ours meet: a verdict per printed number.

*Reproduced*: our number under the suite's default rule rounds to the printed digits. *Explained*: another recorded
rule (a counting tool's, an LR recipe, cutting a count instead of rounding it) gives exactly the printed digits.
*Contradicted*: the number was taken under the table's own conditions and differs. *Not measured*: nothing at hand can
decide, with what it would take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Any, Final

from reports.claims import PaperTable, printed
from reports.evidence import COMPLEXITY, QUALITY, Evidence, counted_at, quality_protocol
from reports.remedy import remedy
from zoo.contract import BadInput, ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok, Reported
from zoo.quantities import METRICS, MULTI_ADDS, PARAMS, PSNR_Y, SSIM_Y

OFFICIAL: Final = "official"


class VerdictKind(Enum):
    """How a printed number relates to ours."""

    REPRODUCED = "reproduced"
    EXPLAINED = "explained"
    CONTRADICTED = "contradicted"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One printed number judged on the records at hand."""

    kind: VerdictKind
    cause: str
    "Why, in one sentence: our value, the rule applied, or what is missing."
    ours: float | None = None
    "Our value in the metric's stored unit, where there is one."
    runs: tuple[Measured, ...] = ()
    "The runs that decided."


@dataclass(frozen=True)
class _Reading:
    """One of our values, the rule it was taken under, and its run."""

    rule: str
    value: float
    run: Measured


def compare(claim: Reported, evidence: Evidence, *, table: PaperTable, spec: ModelSpec | None) -> Verdict:
    """Judge a printed number. Raises BadInput for a cell without one."""
    if claim.value is None:
        raise BadInput(f"{claim.table} row {claim.row} prints no {claim.metric} for {claim.dataset}: nothing to judge.")
    if _is_count(claim):
        return _judge_count(claim, evidence, table=table, spec=spec)
    if claim.metric in (PSNR_Y.name, SSIM_Y.name):
        return _judge_quality(claim, evidence, table=table, spec=spec)
    return _not_measured(claim, table=table, spec=spec)


def equals_printed(claim: Reported, value: float, rounding: str = ROUND_HALF_UP) -> bool:
    """Whether `value` (stored unit) rounds, half up unless told, to the printed digits."""
    if not math.isfinite(value):
        return False
    shown = Decimal(repr(value)) / Decimal(METRICS[claim.metric].display_scale)
    return str(shown.quantize(Decimal(1).scaleb(-claim.decimals), rounding=rounding)) == printed(claim)


def shown(claim: Reported, value: float) -> str:
    """Our value in the claim's unit with two digits more than printed, so that a difference can be seen."""
    metric = METRICS[claim.metric]
    number = f"{value / metric.display_scale:.{claim.decimals + 2}f}"
    return f"{number} {metric.display_unit}".rstrip()


def _judge_count(claim: Reported, evidence: Evidence, *, table: PaperTable, spec: ModelSpec | None) -> Verdict:
    lr = table.counted_lr(claim.scale)
    runs = evidence.select(
        claim.model,
        claim.scale,
        COMPLEXITY,
        where=lambda r: (
            not r.stale and (counted_at(r, lr) or (claim.metric == PARAMS.name and isinstance(r.outcome, Ok)))
        ),
    )
    readings = [reading for run in runs for reading in _counts(run, claim.metric)]
    if not readings:
        return _not_measured(claim, table=table, spec=spec, tried=runs)
    return _from_readings(
        claim,
        readings,
        default="exact",
        deciding=table.deciding_counters(claim.model),
        table=table,
        spec=spec,
        noun="{}'s counting rule",
    )


def _counts(run: Measured, metric: str) -> Iterator[_Reading]:
    if (own := _number(run.values.get(metric))) is not None:
        yield _Reading("exact", own, run)
    for tool, counted in run.values.get("counters", {}).items():
        if tool != "exact" and (value := _number(counted.get(metric))) is not None:
            yield _Reading(tool, value, run)


def _judge_quality(claim: Reported, evidence: Evidence, *, table: PaperTable, spec: ModelSpec | None) -> Verdict:
    on_data = evidence.select(
        claim.model, claim.scale, QUALITY, where=lambda r: not r.stale and r.key.dataset == claim.dataset
    )
    readings = [
        _Reading(run.key.protocol, value, run)
        for run in on_data
        if run.provenance.weights_origin == OFFICIAL and (value := _number(run.values.get(claim.metric))) is not None
    ]
    default = quality_protocol(spec, claim.scale)
    if not readings:
        return _not_measured(claim, table=table, spec=spec, tried=on_data)
    return _from_readings(
        claim, readings, default=default, deciding=(default,), table=table, spec=spec, noun="protocol {}"
    )


def _from_readings(
    claim: Reported,
    readings: list[_Reading],
    *,
    default: str,
    deciding: tuple[str, ...],
    table: PaperTable,
    spec: ModelSpec | None,
    noun: str,
) -> Verdict:
    """Default rule first, then any other; only `deciding` rules, when all are known, can contradict."""
    by_rule: dict[str, _Reading] = {}
    for reading in readings:
        by_rule.setdefault(reading.rule, reading)
    ours = by_rule.get(default)
    if ours is not None and equals_printed(claim, ours.value):
        return _verdict(VerdictKind.REPRODUCED, f"we get {shown(claim, ours.value)}", ours)
    own = f"; the default rule gives {shown(claim, ours.value)}" if ours else ""
    # A deciding rule explains better than one that happens to give the same digits.
    for rule in (*deciding, *by_rule):
        if (by := by_rule.get(rule)) is not None and equals_printed(claim, by.value):
            cause = f"{noun.format(rule)} gives {shown(claim, by.value)}{own}"
            return _verdict(VerdictKind.EXPLAINED, cause, ours or by, by)
    listed = ", ".join(f"{r.rule} {shown(claim, r.value)}" for r in by_rule.values())
    cut = next((r for r in by_rule.values() if _is_count(claim) and equals_printed(claim, r.value, ROUND_DOWN)), None)
    if cut is not None:
        return _verdict(VerdictKind.EXPLAINED, f"cut off instead of rounded: {listed}", ours or cut, cut)
    if not (unasked := [rule for rule in deciding if rule not in by_rule]):
        cause = f"printed {printed(claim)}, we get: {listed}"
        return _verdict(VerdictKind.CONTRADICTED, cause, ours or by_rule[deciding[0]], *by_rule.values())
    lr = table.counted_lr(claim.scale)
    needs = remedy(spec, scale=claim.scale, metric=claim.metric, dataset=claim.dataset, lr=lr)
    return Verdict(
        kind=VerdictKind.NOT_MEASURED,
        cause=f"{listed}, but not yet by {', '.join(unasked)}: {needs.text(claim.model)}",
        runs=tuple({r.run.key.digest(): r.run for r in by_rule.values()}.values()),
    )


def _is_count(claim: Reported) -> bool:
    return claim.metric in (PARAMS.name, MULTI_ADDS.name)


def _verdict(kind: VerdictKind, cause: str, ours: _Reading, *others: _Reading) -> Verdict:
    runs = {reading.run.key.digest(): reading.run for reading in (ours, *others)}
    return Verdict(kind=kind, cause=cause, ours=ours.value, runs=tuple(runs.values()))


def _not_measured(
    claim: Reported, *, table: PaperTable, spec: ModelSpec | None, tried: tuple[Measured, ...] = ()
) -> Verdict:
    needs = remedy(
        spec, scale=claim.scale, metric=claim.metric, dataset=claim.dataset, lr=table.counted_lr(claim.scale)
    )
    cause = needs.text(claim.model)
    for run in tried:
        if isinstance(run.outcome, Failed):
            cause = f"the run failed ({run.outcome.kind}: {run.outcome.message}); again: {cause}"
            break
        if isinstance(run.outcome, NotApplicable):
            cause = f"{run.outcome.reason}: {run.outcome.remedy}"
            break
        if isinstance(run.outcome, Ok):
            origin = run.provenance.weights_origin
            cause = f"run with {origin} weights only, which says nothing about the paper's: {cause}"
            break
    return Verdict(kind=VerdictKind.NOT_MEASURED, cause=cause, runs=tried[:1])


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
