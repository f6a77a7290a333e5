"""The one place where a paper's number and runs of ours meet: a verdict per printed number.

*Reproduced*: our number under the suite's default rule rounds to the printed digits. *Explained*: another recorded
rule (that of the network's own paper, a counting tool's, an LR recipe, cutting a count instead of rounding it) gives
exactly the printed digits. *Contradicted*: the number was taken under the table's own conditions and differs; for a
count the difference that no rule explains is stated. *Not measured*: nothing can decide yet, with what it would take.

The rule of the network's own paper, where a record holds it, is tried before the tools and decides alone: it is how the
number was made. It is compared to the decimals that the paper itself prints, because a later table may add a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Any, Final

from reports.claims import PaperTable, printed
from reports.evidence import COMPLEXITY, QUALITY, Evidence, PaperRule, counted_at, quality_protocol
from reports.remedy import remedy
from zoo.contract import BadInput, ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok, Reported
from zoo.protocols import EVAL_CHOICES, EvalProtocol, shown_choice
from zoo.quantities import METRICS, MULTI_ADDS, PARAMS, PSNR_Y, SSIM_Y

OFFICIAL: Final = "official"
EXACT: Final = "exact"
PAPERS_RULE: Final = "the paper's own rule"
FAR_OFF: Final = 1.5
"""A printed count that differs from the exact one by more than this factor is pointed out, explained or not."""


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
    exact_over_printed: float | None = None
    "Of a count: the exact count at the table's size, as a multiple of the printed number."
    caution: str = ""
    "Part of the cause: how far the printed count is off the exact one, where that is more than `FAR_OFF`."


@dataclass(frozen=True)
class _Reading:
    """One of our values, the rule it was taken under, and its run."""

    rule: str
    words: str
    "The rule as a sentence names it."
    value: float
    run: Measured
    decimals: int | None = None
    "Decimals that the rule's paper prints, where they are fewer than the table's."
    note: str = ""

    def gives(self, claim: Reported, rounding: str = ROUND_HALF_UP) -> bool:
        return equals_printed(claim, self.value, rounding, decimals=self.decimals)


def compare(claim: Reported, evidence: Evidence, *, table: PaperTable, spec: ModelSpec | None) -> Verdict:
    """Judge a printed number. Raises BadInput for a cell without one."""
    if claim.value is None:
        raise BadInput(f"{claim.table} row {claim.row} prints no {claim.metric} for {claim.dataset}: nothing to judge.")
    if _is_count(claim):
        return _judge_count(claim, evidence, table=table, spec=spec)
    if claim.metric in (PSNR_Y.name, SSIM_Y.name):
        return _judge_quality(claim, evidence, table=table, spec=spec)
    return _not_measured(claim, table=table, spec=spec)


def equals_printed(
    claim: Reported, value: float, rounding: str = ROUND_HALF_UP, *, decimals: int | None = None
) -> bool:
    """Whether `value` (stored unit) rounds, half up unless told, to the printed digits, or to fewer `decimals`."""
    if claim.value is None or not math.isfinite(value):
        return False
    scale = Decimal(METRICS[claim.metric].display_scale)
    kept = claim.decimals if decimals is None else min(decimals, claim.decimals)
    return (Decimal(repr(value)) / scale).quantize(Decimal(1).scaleb(-kept), rounding=rounding) == claim.value / scale


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
    deciding = table.deciding_counters(claim.model)
    if rule := evidence.paper_rule(claim.model, claim.scale, lr=lr):
        readings.append(_by_papers_rule(claim, rule))
        deciding = (PAPERS_RULE,)
    if not readings:
        return _not_measured(claim, table=table, spec=spec, tried=runs)
    verdict = _from_readings(claim, readings, default=EXACT, deciding=deciding, table=table, spec=spec)
    return _beside_exact(claim, verdict, next((r for r in readings if r.rule == EXACT), None))


def _counts(run: Measured, metric: str) -> Iterator[_Reading]:
    if (own := _number(run.values.get(metric))) is not None:
        yield _Reading(EXACT, "the exact count", own, run)
    for tool, counted in run.values.get("counters", {}).items():
        if tool != EXACT and (value := _number(counted.get(metric))) is not None:
            yield _Reading(tool, f"{tool}'s counting rule", value, run)


def _by_papers_rule(claim: Reported, rule: PaperRule) -> _Reading:
    if claim.metric == PARAMS.name:
        return _Reading(PAPERS_RULE, f"{PAPERS_RULE} ({rule.params_rule})", rule.params, rule.run)
    coarser = "" if rule.digits >= claim.decimals else ", in whole G" if not rule.digits else f", .{rule.digits} G"
    words = f"{PAPERS_RULE} ({rule.rule}; LR {rule.lr}{coarser})"
    return _Reading(PAPERS_RULE, words, rule.multi_adds, rule.run, decimals=rule.digits, note=rule.note)


def _beside_exact(claim: Reported, verdict: Verdict, exact: _Reading | None) -> Verdict:
    """The verdict with the exact count as a multiple of the printed one, in words where they are far apart."""
    if exact is None or not claim.value:
        return verdict
    ratio = exact.value / float(claim.value)
    caution = _caution(claim, exact) if max(ratio, 1 / ratio if ratio else math.inf) > FAR_OFF else ""
    cause = f"{verdict.cause}; {caution}" if caution else verdict.cause
    return replace(verdict, cause=cause, exact_over_printed=ratio, caution=caution)


def _caution(claim: Reported, exact: _Reading) -> str:
    """How far apart a printed count and the exact one are; of multi-adds the convolutions alone, where known."""
    value, what = exact.value, "the exact count"
    convolutions = _number(exact.run.values.get("by_kind", {}).get("convolution"))
    # Every paper's multi-adds mean its convolutions at least, so those alone are the fairer measure of a gap.
    if claim.metric == MULTI_ADDS.name and convolutions and convolutions > FAR_OFF * float(claim.value or 0):
        value, what = convolutions, "the true count of convolutions"
    factor = value / float(claim.value or math.nan)
    side = f"{factor:.1f}x below" if factor > 1 else f"{1 / factor:.1f}x above" if factor else "not 0 as is"
    return f"the printed number is about {side} {what}"


def _judge_quality(claim: Reported, evidence: Evidence, *, table: PaperTable, spec: ModelSpec | None) -> Verdict:
    on_data = evidence.select(
        claim.model, claim.scale, QUALITY, where=lambda r: not r.stale and r.key.dataset == claim.dataset
    )
    default = quality_protocol(spec, claim.scale)
    found = quality_values(on_data, claim.metric)
    if not found:
        return _not_measured(claim, table=table, spec=spec, tried=on_data)
    # Another file of the same network says nothing about this one: the default's weights are the ones judged.
    weights = next((run for run, _value in found if run.key.protocol == default), found[0][0]).key.weights_sha256
    readings = [
        _Reading(run.key.protocol, protocol_words(run.key.protocol, default), value, run)
        for run, value in found
        if run.key.weights_sha256 == weights
    ]
    return _from_readings(claim, readings, default=default, deciding=(default,), table=table, spec=spec)


def quality_values(runs: Iterable[Measured], metric: str) -> list[tuple[Measured, float]]:
    """Runs with the authors' own weights and what they measured, in the given order."""
    return [
        (run, value)
        for run in runs
        if run.provenance.weights_origin == OFFICIAL and (value := _number(run.values.get(metric))) is not None
    ]


def protocol_words(protocol: str, default: str) -> str:
    """A protocol by what differs from the default: `LR recipe matlab-float (protocol y601-...)`."""
    try:
        own, usual = EvalProtocol.parse(protocol), EvalProtocol.parse(default)
    except ValueError:  # of a newer suite
        return f"protocol {protocol}"
    differing = [
        f"{words} {shown_choice(own, name)}"
        for name, words in EVAL_CHOICES.items()
        if shown_choice(own, name) != shown_choice(usual, name)
    ]
    return f"{', '.join(differing)} (protocol {protocol})" if differing else f"protocol {protocol}"


def _from_readings(
    claim: Reported,
    readings: list[_Reading],
    *,
    default: str,
    deciding: tuple[str, ...],
    table: PaperTable,
    spec: ModelSpec | None,
) -> Verdict:
    """Default rule first, then any other; only `deciding` rules, when all are known, can contradict."""
    by_rule: dict[str, _Reading] = {}
    for reading in readings:
        by_rule.setdefault(reading.rule, reading)
    ours = by_rule.get(default)
    if ours is not None and ours.gives(claim):
        return _verdict(VerdictKind.REPRODUCED, f"we get {shown(claim, ours.value)}", ours)
    own = f"; the default rule gives {shown(claim, ours.value)}" if ours else ""
    # A deciding rule explains better than one that happens to give the same digits.
    ordered = [by_rule[rule] for rule in dict.fromkeys((*deciding, *by_rule)) if rule in by_rule]
    for by in ordered:
        if by.gives(claim):
            note = f". {by.note.rstrip('.')}" if by.note else ""
            return _verdict(
                VerdictKind.EXPLAINED, f"{by.words} gives {shown(claim, by.value)}{own}{note}", ours or by, by
            )
    listed = ", ".join(f"{r.rule} {shown(claim, r.value)}" for r in by_rule.values())
    cut = next((r for r in ordered if _is_count(claim) and r.gives(claim, ROUND_DOWN)), None)
    if cut is not None:
        cause = f"{cut.words}, cut off instead of rounded: {listed}"
        return _verdict(VerdictKind.EXPLAINED, cause, ours or cut, cut)
    if not (unasked := [rule for rule in deciding if rule not in by_rule]):
        cause = f"printed {printed(claim)}, we get: {listed}"
        if _is_count(claim):
            cause = f"{cause}; {_unexplained(claim, by_rule[deciding[0]])}"
        return _verdict(VerdictKind.CONTRADICTED, cause, ours or by_rule[deciding[0]], *by_rule.values())
    lr = table.counted_lr(claim.scale)
    needs = remedy(spec, scale=claim.scale, metric=claim.metric, dataset=claim.dataset, lr=lr)
    return Verdict(
        kind=VerdictKind.NOT_MEASURED,
        cause=f"{listed}, but not yet by {', '.join(unasked)}: {needs.text(claim.model)}",
        runs=tuple({r.run.key.digest(): r.run for r in by_rule.values()}.values()),
    )


def _unexplained(claim: Reported, reading: _Reading) -> str:
    """What the best founded rule leaves open, in the table's unit and as a share of the printed number."""
    assert claim.value is not None
    difference = reading.value - float(claim.value)
    share = f", {100 * difference / float(claim.value):+.2f}%" if claim.value else ""
    sign = "+" if difference > 0 else ""
    return f"unexplained, {reading.words} minus printed: {sign}{shown(claim, difference)}{share}"


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
