"""`esr explain`: steps that add up, the exact step of full-range luma, and the search for printed digits."""

from __future__ import annotations

import functools
import math
from decimal import Decimal
from pathlib import Path

import pytest

from runner.datasets import Dataset, open_dataset
from runner.explain import FULL_RANGE_DB, Printed, Score, candidates, runs_needed, search, walk
from runner.tasks.quality import evaluate
from tests.cli import esr
from tests.test_datasets import make_set
from zoo.contract import BadInput
from zoo.create import create_model
from zoo.protocols import Colour, CropToMultiple, EvalProtocol, LrRecipe, Quadrants, Rounding, SelfEnsemble, SsimWindow

NETWORK = create_model("bicubic", 2, None)
A = EvalProtocol()
B = EvalProtocol(
    colour=Colour.RGB,
    crop_border_px=0,
    rounding=Rounding.NONE,
    ssim_window=SsimWindow.UNIFORM7,
    lr_recipe=LrRecipe.PIL,
    inference=SelfEnsemble(CropToMultiple(3)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("data") / "Mine")


def _open(folder: Path, recipe: LrRecipe) -> Dataset:
    return open_dataset(str(folder), 2, recipe=recipe)


def _evaluated(folder: Path, protocol: EvalProtocol) -> Score:
    values = evaluate(NETWORK, _open(folder, protocol.lr_recipe), protocol=protocol)
    return Score(values["psnr_y_db"], values["ssim_y"])


def _numbers(score: Score) -> tuple[float, float]:
    assert score.psnr_db is not None
    assert score.ssim is not None
    return score.psnr_db, score.ssim


def test_a_walk_goes_from_one_evaluation_to_the_other_and_its_steps_add_up(folder: Path) -> None:
    found = walk(NETWORK, functools.partial(_open, folder), A, B, scale=2)
    for score, protocol in ((found.start, A), (found.end, B)):
        assert _numbers(score) == pytest.approx(_numbers(_evaluated(folder, protocol)), abs=1e-8)
    assert [step.choice for step in found.steps] == [
        "LR recipe",
        "inference",
        "rounding",
        "colour",
        "crop",
        "SSIM window",
    ]
    psnr_steps, ssim_steps = zip(*(_numbers(step.step) for step in found.steps), strict=True)
    start, end = _numbers(found.start), _numbers(found.end)
    assert math.fsum(psnr_steps) == pytest.approx(end[0] - start[0], abs=1e-12)
    assert math.fsum(ssim_steps) == pytest.approx(end[1] - start[1], abs=1e-12)
    assert [step.score for step in found.steps][-1] == found.end
    for step in found.steps[1:3]:
        assert _numbers(step.score) == pytest.approx(_numbers(_evaluated(folder, step.protocol)), abs=1e-8)
    # Alone is in A, so the first choice alone is its step, and the window alone moves no PSNR.
    assert found.steps[0].alone == found.steps[0].step
    assert found.steps[-1].alone.psnr_db == 0


@pytest.mark.parametrize("rounding", [Rounding.SR, Rounding.NONE])
def test_full_range_luma_is_exactly_that_many_decibels_lower(folder: Path, rounding: Rounding) -> None:
    full, limited = (EvalProtocol(colour=colour, rounding=rounding) for colour in (Colour.Y_FULL, Colour.Y))
    (step,) = walk(NETWORK, functools.partial(_open, folder), full, limited, scale=2).steps
    assert step.step.psnr_db == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)
    assert pytest.approx(1.3219, abs=5e-5) == FULL_RANGE_DB
    assert "20 log10(255/219)" in step.note


def test_the_scale_as_border_is_no_other_choice(folder: Path) -> None:
    assert walk(NETWORK, functools.partial(_open, folder), A, EvalProtocol(crop_border_px=2), scale=2).steps == ()


def test_a_search_finds_the_protocol_that_made_a_number(folder: Path) -> None:
    made_by = EvalProtocol(lr_recipe=LrRecipe.MATLAB_FLOAT, rounding=Rounding.SR_AND_LUMA, crop_border_px=0)
    score = _evaluated(folder, made_by)
    printed = Printed.parse(f"{score.psnr_db:.4f}/{score.ssim:.6f}")
    assert printed is not None
    found = search(NETWORK, functools.partial(_open, folder), printed, A, scale=2)
    giving = [candidate for candidate in found if candidate.gives]
    assert made_by in [candidate.protocol for candidate in giving]
    assert giving[0].changes == ("LR recipe matlab-float", "rounding u8y8", "crop 0")
    assert _numbers(giving[0].score) == pytest.approx(_numbers(score), abs=1e-8)
    assert len(found) == len(candidates(A, scale=2))
    nowhere = search(NETWORK, functools.partial(_open, folder), Printed(Decimal("99.99"), None), A, scale=2)
    assert not any(candidate.gives for candidate in nowhere)
    assert [c.score.psnr_db for c in nowhere] == sorted((c.score.psnr_db for c in nowhere), reverse=True)  # type: ignore[type-var]


def test_candidates_are_every_named_choice_once() -> None:
    ours = EvalProtocol(inference=Quadrants())
    tried = candidates(ours, scale=4)
    assert len({protocol.id(4) for protocol in tried}) == len(tried) == (3 * 4 - 1) * 2 * 2 * 5
    assert ours.id(4) in {protocol.id(4) for protocol in tried}
    assert runs_needed(tried) == 5
    assert runs_needed(candidates(ours, scale=4, self_ensemble=True)) == 10


@pytest.mark.parametrize(
    ("text", "score", "gives"),
    [
        ("38.10", Score(38.0988, None), True),
        ("38.10", Score(38.0949, None), False),
        ("38.1", Score(38.0949, None), True),
        ("0.9610", Score(None, 0.96096), True),
        ("0.9610", Score(None, 0.96094), False),
        ("38.10/0.9610", Score(38.0988, 0.96094), False),
        ("31.005", Score(31.0045, None), True),
        ("38.10", Score(math.inf, None), False),
    ],
)
def test_printed_digits_are_rounded_half_up(text: str, score: Score, gives: bool) -> None:
    printed = Printed.parse(text)
    assert printed is not None
    assert printed.given_by(score) == gives


@pytest.mark.parametrize("text", ["default", "rgb", "nan", "-3", "", "38.10/x", "inf"])
def test_what_is_no_printed_number(text: str) -> None:
    assert Printed.parse(text) is None


def test_two_numbers_of_one_kind() -> None:
    with pytest.raises(BadInput, match="two numbers of one kind"):
        Printed.parse("38.10/37.2")


def test_the_command_walks_and_searches(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    on = ("--scale", "2", "--data", str(folder))
    rows = esr(capsys, "explain", "default", "rgb-crop0", *on, "--json").rows
    assert [row["choice"] for row in rows] == ["A", "colour", "crop"]
    assert rows[-1]["protocol"] == "rgb-crop0-u8-gauss11-matlab-u8-whole"
    total = rows[-1]["psnr_y_db"] - rows[0]["psnr_y_db"]
    assert rows[1]["step_db"] + rows[2]["step_db"] == pytest.approx(total, abs=1e-12)
    table = esr(capsys, "explain", "default", "rgb-crop0", *on)
    assert f"{total:+.4f} dB" in table.words
    found = esr(capsys, "explain", f"{rows[-1]['psnr_y_db']:.3f}", *on, "--json")
    assert found.rows[0]["gives"] is True
    assert {"colour rgb", "crop 0"} <= set(found.rows[0]["changes"])
    none = esr(capsys, "explain", "default", "99.99", *on, "--json")
    assert [row["gives"] for row in none.rows] == [False] * 3
    assert "None of the 110 protocols tried gives 99.99" in none.words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("38.10", "0.96"), "both printed numbers"),
        (("default", "matlab"), "Expected the parts"),
        (("default", "rgb", "--model", "agdm"), "no model 'agdm'"),
        (("default", "rgb", "--data", "no_such_set"), "no_such_set"),
    ],
)
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    result = esr(capsys, "explain", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert words in result.words
