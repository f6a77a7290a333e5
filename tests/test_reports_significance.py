"""What the report says of differences: which records meet, which networks are alike, and which recipe made a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from reports.assemble import Report, assemble
from reports.claims import load_papers
from reports.compare import VerdictKind
from reports.evidence import Evidence
from reports.row_recipes import row_recipes
from reports.significance import comparisons, uncompared
from reports.statistics import differences
from tests.made_records import CREATED, evaluated, spec
from zoo.facts import Measured, Ok
from zoo.protocols import EvalProtocol, LrRecipe, PadSymmetric, Rounding

SPECS = tuple(spec(name) for name in ("a", "b", "c"))
DIFFICULTY = np.random.default_rng(0).normal(28, 4, 100)


def run(model: str, shift: float, *, images: int = 100, seed: int = 1, **rest: object) -> Measured:
    """A quality record with per-image values."""
    values = DIFFICULTY[:images] + shift + np.random.default_rng(seed).normal(0, 0.02, images)
    record = evaluated(model, psnr_y_db=float(values.mean()), **rest)  # type: ignore[arg-type]
    per_image = [{"name": f"{index:03}", "psnr_y_db": float(value)} for index, value in enumerate(values)]
    return replace(record, outcome=Ok(values={**record.values, "per_image": per_image}))


def test_networks_that_cannot_be_told_apart_are_listed_and_the_others_ranked() -> None:
    records = [run("a", 0.5, seed=1), run("b", 0.001, seed=2), run("c", 0.0, seed=3)]
    (found,) = comparisons(Evidence(records), SPECS, (4, 3, 2))
    assert (found.dataset, found.scale, found.images, found.too_few) == ("B100", 4, 100, False)
    assert found.standings[0].rank.name == "a"
    assert [line.alike for line in found.standings] == [(), ("C",), ("B",)]
    assert found.told_apart == 2
    assert found.narrowest is not None
    assert found.narrowest.mean_db == pytest.approx(0.5, abs=0.02)
    assert list(found.pairs) == differences(
        {r.key.model: {s["name"]: s["psnr_y_db"] for s in r.values["per_image"]} for r in records}
    )


def test_five_images_tell_nothing_apart() -> None:
    (found,) = comparisons(
        Evidence([run("a", 5.0, images=5, dataset="Set5"), run("b", 0.0, images=5, dataset="Set5")]), SPECS, (4,)
    )
    assert found.too_few
    assert (found.told_apart, found.narrowest) == (0, None)
    assert [line.alike for line in found.standings] == [("B",), ("A",)]


def test_only_records_of_the_same_images_by_the_default_protocol_meet() -> None:
    usual = [run("a", 0.5), run("b", 0.0)]
    others = [
        run("c", 9.0, evaluation=EvalProtocol(lr_recipe=LrRecipe.PIL)),
        run("c", 9.0, dataset_sha256="ef" * 32),
        run("c", 9.0, images=50),
        run("c", 9.0, origin="random"),
        run("c", 9.0, stale=True),
        run("c", float("inf")),
    ]
    (found,) = comparisons(Evidence([*usual, *others]), SPECS, (4,))
    assert [line.rank.name for line in found.standings] == ["a", "b"]
    windowed = (*SPECS[:2], replace(SPECS[2], inference=PadSymmetric(8)))
    own = run("c", 9.0, evaluation=EvalProtocol(inference=PadSymmetric(8)))
    (found,) = comparisons(Evidence([*usual, own]), windowed, (4,))
    assert [line.rank.name for line in found.standings] == ["c", "a", "b"]
    assert comparisons(Evidence(usual[:1]), SPECS, (4,)) == ()


PAPER = load_papers()["agdn"]
BSRN = spec("bsrn", display_name="BSRN")
USUAL = EvalProtocol()
FLOAT = EvalProtocol(lr_recipe=LrRecipe.MATLAB_FLOAT)
RAW = EvalProtocol(rounding=Rounding.NONE)


def bsrn(dataset: str, psnr: float, ssim: float, evaluation: EvalProtocol = USUAL, **rest: object) -> Measured:
    return evaluated("bsrn", psnr_y_db=psnr, ssim_y=ssim, dataset=dataset, evaluation=evaluation, **rest)  # type: ignore[arg-type]


# Printed at x4: Set5 32.35 / 0.8966, Set14 28.73 / 0.7847.
RECORDS = [
    bsrn("Set5", 32.3488, 0.89652),
    bsrn("Set14", 28.7354, 0.78470),
    bsrn("Set5", 32.3510, 0.89655, FLOAT),
    bsrn("Set14", 28.7330, 0.78470, FLOAT),
    bsrn("Set5", 32.3510, 0.89610, RAW),
]


def _report(records: Sequence[Measured]) -> Report:
    return assemble([BSRN], {"agdn": PAPER}, records, created_utc=CREATED, suite="suite")


def test_the_protocol_that_gives_most_of_a_row_comes_first_and_the_row_is_told_in_each_cause() -> None:
    report = _report(RECORDS)
    (row,) = [r for r in report.row_recipes if r.table == "table5"]
    assert (row.row, row.scale, row.printed, row.whole) == ("BSRN", 4, 10, True)
    assert [(g.words.split(" (")[0], g.given, g.measured) for g in row.protocols] == [
        ("LR recipe matlab-float", 4, 4),
        ("the default protocol", 2, 4),
        ("rounding float", 1, 2),
    ]
    verdicts = {(j.claim.dataset, j.claim.metric): j.verdict for j in report.judgements if j.claim.model == "bsrn"}
    explained = verdicts["Set14", "psnr_y_db"]
    assert explained.kind is VerdictKind.EXPLAINED
    assert "LR recipe matlab-float (protocol y601-crop4-u8-gauss11-matlab-float-whole) gives 28.73" in explained.cause
    assert explained.cause.endswith("it gives 4 of the row's 4 measured by it")
    assert verdicts["Set5", "psnr_y_db"].kind is VerdictKind.REPRODUCED


def test_a_row_of_which_no_protocol_gives_all() -> None:
    found = row_recipes([PAPER], Evidence([bsrn("Set5", 30.0, 0.8966)]), {"bsrn": BSRN})
    (row,) = [r for r in found.values() if r.table == "table5"]
    assert (row.best.given, row.best.measured, row.whole) == (1, 2, False)
    assert row_recipes([PAPER], Evidence([bsrn("Set5", 32.35, 0.8966, origin="bundled")]), {"bsrn": BSRN}) == {}


def test_of_protocols_that_give_as_many_the_one_that_misses_fewer_comes_first() -> None:
    found = row_recipes([PAPER], Evidence([*RECORDS[:2], RECORDS[2]]), {"bsrn": BSRN})
    (row,) = [r for r in found.values() if r.table == "table5"]
    assert [(g.given, g.measured) for g in row.protocols] == [(2, 2), (2, 4)]
    assert row.best.words.startswith("LR recipe matlab-float")
    assert not row.whole


def test_another_checkpoint_of_the_network_explains_nothing() -> None:
    other = bsrn("Set14", 28.7330, 0.78470, FLOAT)
    other = replace(other, key=replace(other.key, weights_sha256="12" * 32))
    report = _report([RECORDS[1], other])
    (verdict,) = [
        j.verdict
        for j in report.judgements
        if (j.claim.model, j.claim.dataset, j.claim.metric, j.claim.scale) == ("bsrn", "Set14", "psnr_y_db", 4)
    ]
    assert verdict.kind is VerdictKind.CONTRADICTED


def test_a_contradiction_lists_every_protocol_that_was_tried() -> None:
    wrong = [bsrn("Set5", 31.0 + index / 10, 0.5, e) for index, e in enumerate((EvalProtocol(), FLOAT, RAW))]
    report = _report(wrong)
    (verdict,) = [
        j.verdict
        for j in report.judgements
        if (j.claim.model, j.claim.dataset, j.claim.metric, j.claim.scale) == ("bsrn", "Set5", "psnr_y_db", 4)
    ]
    assert verdict.kind is VerdictKind.CONTRADICTED
    assert len(verdict.runs) == 3
    assert all(r.key.protocol in verdict.cause for r in wrong)


def test_both_sections_are_on_the_page_with_names_escaped() -> None:
    from reports.html import page

    evil = spec("a", display_name="<script>alert(1)</script>")
    records = [run("a", 0.5), run("b", 0.0), *RECORDS]
    report = assemble([evil, SPECS[1], BSRN], {"agdn": PAPER}, records, created_utc=CREATED, suite="suite")
    html = page(report, {figure.key: "<svg/>" for figure in report.figures})
    assert "<script>alert" not in html
    assert "Which differences are real" in html
    assert "1 of 1 pairs told apart" in html
    assert "Which protocol made a printed row" in html
    assert "LR recipe matlab-float" in html


def test_too_many_networks_are_named_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence([run(name, 0.1) for name in "abc"])
    monkeypatch.setattr("reports.significance.MOST", 2)
    assert comparisons(evidence, SPECS, (4,)) == ()
    assert uncompared(evidence, (4, 3)) == ("B100 x4, 3 networks",)
