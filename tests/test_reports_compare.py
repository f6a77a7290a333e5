"""A printed number is judged on records only, and each verdict says why."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from reports.claims import load_papers
from reports.compare import Verdict, VerdictKind, compare, equals_printed
from reports.evidence import Evidence
from tests.made_records import SHA256, by_papers_rule, counted, evaluated, failed, not_here, record, spec
from zoo.contract import BadInput, ModelSpec, Weights
from zoo.facts import Measured, Ok, Reported
from zoo.protocols import EvalProtocol, LrRecipe, PadSymmetric

PAPER = load_papers()["agdn"]
AGDN = spec("agdn", weights={4: Weights(file="agdn/x4.pth", sha256=SHA256, size_bytes=1, url=None, licence="MIT")})


def _claim(metric: str, dataset: str | None = None, *, table: str = "table5", model: str = "agdn") -> Reported:
    return next(
        c
        for c in PAPER.claims
        if (c.table, c.model, c.scale, c.metric, c.dataset) == (table, model, 4, metric, dataset)
    )


def _judge(claim: Reported, *records: Measured, model: ModelSpec | None = AGDN) -> Verdict:
    return compare(claim, Evidence(records), table=PAPER.tables[claim.table], spec=model)


@pytest.mark.parametrize(
    ("value", "equal"),
    [(32.4259, True), (32.425, True), (32.4349, True), (32.435, False), (32.42499, False), (float("inf"), False)],
)
def test_equal_means_rounds_half_up_to_the_printed_digits(value: float, equal: bool) -> None:
    assert equals_printed(_claim("psnr_y_db", "Set5"), value) is equal


def test_equal_digits_reproduce() -> None:
    run = evaluated("agdn", psnr_y_db=27.7196)
    verdict = _judge(_claim("psnr_y_db", "B100"), run)
    assert verdict.kind is VerdictKind.REPRODUCED
    assert verdict.ours == 27.7196
    assert verdict.runs == (run,)


def test_one_printed_unit_off_contradicts_and_shows_both() -> None:
    verdict = _judge(_claim("psnr_y_db", "B100"), evaluated("agdn", psnr_y_db=27.7096))
    assert verdict.kind is VerdictKind.CONTRADICTED
    assert "27.72" in verdict.cause
    assert "27.7096" in verdict.cause


def test_another_recorded_protocol_explains() -> None:
    default = evaluated("agdn", psnr_y_db=27.7096)
    other = evaluated(
        "agdn", psnr_y_db=27.7203, evaluation=EvalProtocol(lr_recipe=LrRecipe.MATLAB_FLOAT), dataset_sha256="ef" * 32
    )
    verdict = _judge(_claim("psnr_y_db", "B100"), default, other)
    assert verdict.kind is VerdictKind.EXPLAINED
    assert "matlab-float" in verdict.cause
    assert verdict.ours == 27.7096
    assert verdict.runs == (default, other)


def test_the_model_s_own_inference_rule_is_the_default() -> None:
    windowed = replace(AGDN, inference=PadSymmetric(8))
    padded = evaluated("agdn", psnr_y_db=27.72, evaluation=EvalProtocol(inference=PadSymmetric(8)))
    assert _judge(_claim("psnr_y_db", "B100"), padded, model=windowed).kind is VerdictKind.REPRODUCED
    assert _judge(_claim("psnr_y_db", "B100"), padded, model=AGDN).kind is VerdictKind.EXPLAINED


@pytest.mark.parametrize("origin", ["third-party", "bundled", "file", "random"])
def test_other_weights_neither_prove_nor_contradict(origin: str) -> None:
    for value in (27.72, 20.0):
        verdict = _judge(_claim("psnr_y_db", "B100"), evaluated("agdn", psnr_y_db=value, origin=origin))
        assert verdict.kind is VerdictKind.NOT_MEASURED
        assert origin in verdict.cause


def test_a_stale_record_does_not_count() -> None:
    verdict = _judge(_claim("psnr_y_db", "B100"), evaluated("agdn", psnr_y_db=27.72, stale=True))
    assert verdict.kind is VerdictKind.NOT_MEASURED


def test_a_count_by_the_table_s_tool_explains_what_the_exact_count_does_not_give() -> None:
    thop = {"thop": {"params": 292_683, "multi_adds": 16_128_179_326}}
    run = counted("agdn", params=294_174, multi_adds=16_200_000_000, counters=thop)
    verdict = _judge(_claim("params"), run)
    assert verdict.kind is VerdictKind.EXPLAINED
    assert "thop" in verdict.cause
    assert "294.17 K" in verdict.cause


def test_exact_count_equal_to_the_printed_digits_reproduces() -> None:
    assert _judge(_claim("params"), counted("agdn", params=293_400, multi_adds=1)).kind is VerdictKind.REPRODUCED


def test_without_the_table_s_tool_a_different_count_decides_nothing() -> None:
    verdict = _judge(_claim("multi_adds"), counted("agdn", params=1, multi_adds=17_000_000_000))
    assert verdict.kind is VerdictKind.NOT_MEASURED
    assert "thop" in verdict.cause
    assert "esr bench agdn --scale 4 --tasks complexity" in verdict.cause


def test_all_tools_off_contradicts() -> None:
    tools = {"thop": {"params": 1, "multi_adds": 15_000_000_000}, "fvcore": {"params": 1, "multi_adds": 18 * 10**9}}
    verdict = _judge(_claim("multi_adds"), counted("agdn", params=1, multi_adds=17 * 10**9, counters=tools))
    assert verdict.kind is VerdictKind.CONTRADICTED
    assert all(part in verdict.cause for part in ("exact 17.000 G", "thop 15.000 G", "fvcore 18.000 G"))


def test_a_count_cited_from_another_paper_is_contradicted_by_all_tools_only() -> None:
    claim = _claim("multi_adds", model="rfdn")
    rfdn = spec("rfdn")
    tools = {name: {"params": 1, "multi_adds": 31_100_000_000} for name in ("thop", "ptflops", "fvcore", "torch")}
    one = counted("rfdn", params=1, multi_adds=31_100_000_000, counters={"thop": tools["thop"]})
    partly = _judge(claim, one, model=rfdn)
    assert (partly.kind, "ptflops, fvcore, torch" in partly.cause) == (VerdictKind.NOT_MEASURED, True)
    all_of_them = counted("rfdn", params=1, multi_adds=31_100_000_000, counters=tools)
    assert _judge(claim, one, all_of_them, model=rfdn).kind is VerdictKind.CONTRADICTED


def test_a_count_that_was_cut_instead_of_rounded_is_explained() -> None:
    claim = _claim("params", model="fdiwn_m")
    verdict = _judge(claim, counted("fdiwn_m", params=454_648, multi_adds=1), model=spec("fdiwn_m"))
    assert (verdict.kind, "cut off" in verdict.cause) == (VerdictKind.EXPLAINED, True)


def test_the_papers_own_rule_explains_before_any_tool_and_is_named_with_its_size() -> None:
    tools = {"thop": {"params": 1, "multi_adds": 16_100_000_000}}
    rule = by_papers_rule(16_128_179_326, lr="180x320", note="No tool is named.")
    run = counted("agdn", params=1, multi_adds=16_642_000_000, counters=tools, as_printed=rule)
    verdict = _judge(_claim("multi_adds"), run)
    assert (verdict.kind, verdict.ours) == (VerdictKind.EXPLAINED, 16_642_000_000)
    assert verdict.cause == (
        "the paper's own rule (convolutions only; LR 180x320) gives 16.128 G; the default rule gives 16.642 G. "
        "No tool is named"
    )


def test_params_by_the_papers_own_rule_are_explained() -> None:
    run = counted("agdn", params=294_174, multi_adds=1, as_printed=by_papers_rule(1, params=292_683))
    verdict = _judge(_claim("params"), run)
    assert (verdict.kind, "(trainable ones) gives 292.68 K" in verdict.cause) == (VerdictKind.EXPLAINED, True)


def test_an_exact_count_needs_no_rule() -> None:
    run = counted("agdn", params=1, multi_adds=16_128_179_326, as_printed=by_papers_rule(17_000_000_000))
    assert _judge(_claim("multi_adds"), run).kind is VerdictKind.REPRODUCED


@pytest.mark.parametrize(("digits", "kind"), [(0, VerdictKind.EXPLAINED), (1, VerdictKind.CONTRADICTED)])
def test_a_count_is_compared_to_the_digits_that_its_paper_prints(digits: int, kind: VerdictKind) -> None:
    """SAFMN prints 14G, which the AGDN paper prints as 14.0G."""
    claim = _claim("multi_adds", model="safmn")
    rule = by_papers_rule(13_555_000_000, digits=digits)
    run = counted("safmn", params=1, multi_adds=13_542_000_000, as_printed=rule)
    verdict = _judge(claim, run, model=spec("safmn"))
    assert (verdict.kind, "in whole G" in verdict.cause) == (kind, digits == 0)


def test_what_the_papers_own_rule_does_not_give_is_an_unexplained_difference_in_numbers() -> None:
    run = counted("agdn", params=1, multi_adds=17_000_000_000, as_printed=by_papers_rule(15_900_000_000))
    verdict = _judge(_claim("multi_adds"), run)
    assert verdict.kind is VerdictKind.CONTRADICTED
    assert verdict.cause == (
        "printed 16.1, we get: exact 17.000 G, the paper's own rule 15.900 G; unexplained, the paper's own rule "
        "(convolutions only; LR 180x320) minus printed: -0.200 G, -1.24%"
    )


def test_a_rule_for_images_of_another_size_says_nothing() -> None:
    run = counted("agdn", params=1, multi_adds=17 * 10**9, as_printed=by_papers_rule(16_100_000_000, lr="256x256"))
    assert _judge(_claim("multi_adds"), run).kind is VerdictKind.NOT_MEASURED
    table6 = _claim("multi_adds", table="table6", model="agdn_s")
    at_256 = counted("agdn_s", params=1, multi_adds=1, as_printed=by_papers_rule(4_390_000_000, lr="256x256", digits=2))
    assert _judge(table6, at_256, model=spec("agdn_s")).kind is VerdictKind.EXPLAINED


def test_a_stale_record_s_rule_does_not_count() -> None:
    run = counted("agdn", params=1, multi_adds=1, as_printed=by_papers_rule(16_100_000_000), stale=True)
    assert _judge(_claim("multi_adds"), run).kind is VerdictKind.NOT_MEASURED


@pytest.mark.parametrize("x", [2, 3, 10])
def test_a_printed_count_far_off_the_exact_one_says_how_far_from_the_records_own_numbers(x: int) -> None:
    kinds = {"convolution": x * 16_100_000_000}
    rule = by_papers_rule(16_100_000_000)
    run = counted("agdn", params=1, multi_adds=20 * 16_100_000_000, by_kind=kinds, as_printed=rule)
    verdict = _judge(_claim("multi_adds"), run)
    assert verdict.caution == f"the printed number is about {x}.0x below the true count of convolutions"
    assert verdict.cause.endswith(verdict.caution)
    assert verdict.exact_over_printed == 20


@pytest.mark.parametrize(
    ("exact", "caution"),
    [
        (1.49, ""),
        (1.51, "the printed number is about 1.5x below the exact count"),
        (0.67, ""),
        (0.5, "the printed number is about 2.0x above the exact count"),
    ],
)
def test_only_a_factor_above_one_and_a_half_is_pointed_out(exact: float, caution: str) -> None:
    rule = by_papers_rule(16_100_000_000)
    run = counted("agdn", params=1, multi_adds=round(exact * 16_100_000_000), as_printed=rule)
    assert _judge(_claim("multi_adds"), run).caution == caution


def test_a_psnr_may_not_be_explained_by_cutting() -> None:
    verdict = _judge(_claim("psnr_y_db", "B100"), evaluated("agdn", psnr_y_db=27.7286))
    assert verdict.kind is VerdictKind.CONTRADICTED


def test_multi_adds_of_another_size_are_not_compared() -> None:
    """Table 6 counts at LR 256x256: a 720p record with the same digits is no evidence."""
    claim = _claim("multi_adds", table="table6", model="agdn_s")
    at_720p = counted("agdn_s", params=69_272, multi_adds=4_390_000_000)
    verdict = _judge(claim, at_720p, model=spec("agdn_s"))
    assert verdict.kind is VerdictKind.NOT_MEASURED
    assert "LR 256x256" in verdict.cause
    at_256 = record("agdn_s", "complexity", Ok(values={"multi_adds": 4_387_685_760}), protocol="lr256x256-exact")
    assert _judge(claim, at_256, model=spec("agdn_s")).kind is VerdictKind.REPRODUCED


def test_not_measured_says_what_it_would_take() -> None:
    quality = _claim("psnr_y_db", "Set5")
    assert _judge(quality).cause == (
        "`esr weights pull agdn --scale 4`, then `esr bench agdn --scale 4 --tasks quality --data Set5`"
    )
    assert "no x4 checkpoint is published" in _judge(quality, model=spec("agdn")).cause
    assert "No code was published." in _judge(quality, model=spec("agdn", runnable=False)).cause
    assert "catalogue" in _judge(quality, model=None).cause
    assert "has no x4 build" in _judge(quality, model=spec("agdn", scales=(2,))).cause
    assert "RTX 3090" in _judge(_claim("runtime_ms", table="table6", model="agdn_s")).cause


def test_failed_and_inapplicable_runs_give_their_reason() -> None:
    claim = _claim("psnr_y_db", "B100")
    protocol = EvalProtocol().id(4)
    broken = _judge(claim, failed("agdn", "quality", protocol=protocol, dataset="B100", message="out of memory"))
    assert (broken.kind, "out of memory" in broken.cause) == (VerdictKind.NOT_MEASURED, True)
    absent = _judge(claim, not_here("agdn", "quality", protocol=protocol, dataset="B100", remedy="Run `x`."))
    assert (absent.kind, "Run `x`." in absent.cause) == (VerdictKind.NOT_MEASURED, True)


def test_a_cell_without_a_number_is_not_judged() -> None:
    with pytest.raises(BadInput, match="Manga109"):
        _judge(next(c for c in PAPER.claims if c.value is None))


def test_printed_digits_survive_decimal_arithmetic() -> None:
    claim = _claim("multi_adds")
    assert claim.value == Decimal("16.1e9")
    assert equals_printed(claim, 16_128_179_326)
