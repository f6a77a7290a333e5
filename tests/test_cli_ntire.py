"""`esr ntire`: ranking a file, measuring models, the files it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import challenge
from tests.cli import esr
from tests.test_challenge import write_sets

TEAMS = """team,val_psnr,test_psnr,runtime_ms,params_m,flops_g
XJU_100th Ann,26.90,27.02,58.836,0.069,4.39
VPEG_C,26.90,27.03,16.032,0.084,4.97
hajnal,27.00,26.95,10.67,0.243,14.89
RLFN (Baseline),26.96,27.07,11.77,0.317,19.67
Snail,26.95,27.05,9999,0.3,20
"""

TINY = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 48, 3, padding=1)
        self.up = nn.PixelShuffle(4)

    def forward(self, x):
        return self.up(self.conv(x))

class Base(Tiny):
    def forward(self, x):
        return super().forward(x) * 1.0

class Broken(Tiny):
    def forward(self, x):
        if x.device.type != "meta" and x.shape[-1] < 256:
            raise RuntimeError("no small images")
        return super().forward(x)
"""


@pytest.fixture
def teams(tmp_path: Path) -> str:
    path = tmp_path / "teams.csv"
    path.write_text(TEAMS, encoding="utf-8")
    return str(path)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[[str], str]:
    """Reference of a class in a file of the user's."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY, encoding="utf-8")
    return lambda name: f"{path}:{name}"


@pytest.fixture
def data(tmp_path: Path) -> str:
    write_sets(tmp_path / "data", {"DIV2K_LSDIR_valid": ("0801", "0000001"), "DIV2K_LSDIR_test": ("0901",)})
    return str(tmp_path / "data")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the start of an interpreter for every model."""

    def call(function: Callable[..., Any], *arguments: Any, timeout_s: float, what: str) -> Any:
        return function(*arguments)

    monkeypatch.setattr(challenge, "in_fresh_process", call)


def test_ranking_a_csv(capsys: pytest.CaptureFixture[str], teams: str) -> None:
    result = esr(capsys, "ntire", "--rank", teams, "--json")
    assert result.code == 0
    rows = {row["team"]: row for row in result.rows}
    ranks = {team: row["rank_main"] for team, row in rows.items()}
    assert ranks == {"VPEG_C": 1, "XJU_100th Ann": 2, "Snail": 3, "hajnal": None, "RLFN (Baseline)": None}
    assert rows["VPEG_C"]["score_main"] == pytest.approx(11.17, rel=0.003)
    assert rows["VPEG_C"]["baseline"]["runtime_ms"] == 11.77
    assert [one["baseline_runtime_ms"] for one in rows["XJU_100th Ann"]["sensitivity"]] == [11.77, 13.54]
    assert rows["hajnal"]["eligibility"] == "not eligible"
    assert "hajnal: test PSNR 26.95 dB is below 26.99 dB" in result.words


def test_a_score_beyond_float64_is_null_beside_its_logarithm_and_said_to_be_so(
    capsys: pytest.CaptureFixture[str], teams: str
) -> None:
    result = esr(capsys, "ntire", "--rank", teams, "--json")
    snail = next(row for row in result.rows if row["team"] == "Snail")
    assert snail["score_main"] is None
    assert snail["log_score_main"] == pytest.approx(2 * 9999 / 11.77, abs=0.5)
    assert "beyond float64" in result.words
    table = esr(capsys, "ntire", "--rank", teams).stdout
    assert "e^1698.7" in table


def test_the_table_shows_what_the_baselines_runtime_changes(capsys: pytest.CaptureFixture[str], teams: str) -> None:
    table = esr(capsys, "ntire", "--rank", teams).stdout
    assert "score 11.77" in table
    assert "score 13.54" in table
    assert "4164" in table or "4163.58" in table


def test_the_threshold_rule_is_stated_and_can_be_raw(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "close.csv"
    path.write_text(TEAMS.splitlines()[0] + "\nclose,26.8964,27.05,5,0.1,8\n", encoding="utf-8")
    printed = esr(capsys, "ntire", "--rank", str(path), "--json")
    raw = esr(capsys, "ntire", "--rank", str(path), "--raw-threshold", "--json")
    assert printed.rows[0]["rank_main"] == 1
    assert raw.rows[0]["rank_main"] is None
    assert "rounded to two decimals" in printed.words
    assert "not rounded" in raw.words
    assert "26.896400 dB is below 26.90 dB" in raw.words


def test_2022_ranks_without_a_score(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEAMS.splitlines()[0] + "\na,29.0,,5,0.2,8\nb,29.1,,6,0.1,7\n", encoding="utf-8")
    rows = {row["team"]: row for row in esr(capsys, "ntire", "--rank", str(path), "--edition", "2022", "--json").rows}
    assert [rows[team]["rank_main"] for team in "ab"] == [1, 2]
    assert [rows[team]["rank_sub1"] for team in "ab"] == [2, 1]
    assert [rows[team]["rank_sub2"] for team in "ab"] == [None, None]
    assert "score_main" not in rows["a"]


def test_out_keeps_the_rows(capsys: pytest.CaptureFixture[str], teams: str, tmp_path: Path) -> None:
    result = esr(capsys, "ntire", "--rank", teams, "--json", "--out", str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8")) == result.rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "either models to measure or a file to rank"),
        (("bicubic", "--rank", "t.csv"), "either models to measure or a file to rank"),
        (("--rank", "absent.csv"), "absent.csv does not exist"),
        (("bicubic", "--edition", "2023"), "unverified"),
        (("bicubic", "--edition", "2025", "--baseline", "measured"), "no network EFDN"),
        (("bicubic", "bicubic"), "named twice"),
        (("bicubic", "--data", "no_such_set"), "no_such_set"),
        (("no_such_net",), "no model 'no_such_net'"),
        (("bicubic", "--baseline", "no_such_net"), "no model 'no_such_net'"),
        (("hpun_m",), "What would change that"),
        (("bicubic", "--device", "tpu"), "no device"),
    ],
)
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    result = esr(capsys, "ntire", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert words in result.words


@pytest.mark.usefixtures("in_this_process")
def test_models_are_scored_against_a_baseline_measured_beside_them(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], data: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = esr(capsys, "ntire", tiny("Tiny"), "--data", data, "--baseline", tiny("Base"), "--out", str(out), "--json")
    assert result.code == 0
    rows = {(row["model"], row["is_baseline"]): row for row in result.rows}
    assert set(rows) == {("Tiny", False), ("Base", True)}
    row = rows["Tiny", False]
    assert (row["params"], row["conv_calls"], row["activations"]) == (1344, 1, 48 * 256**2)
    assert (row["flops"], row["flops_counter"]) == (27 * 48 * 256**2, "fvcore")
    assert row["score_main"] is not None
    assert row["comparable"] is True
    assert row["baseline"]["source"].startswith("measured on ")
    assert rows["Base", True]["score_main"] == pytest.approx(2.718281828**2)
    assert [len(of["per_image"]) for of in row["sets"]] == [2, 1]
    # Three images are not the edition's 400, so nothing says that the model is eligible.
    assert (row["eligibility"], row["rank_main"]) == ("unknown", None)
    assert "does not decide" in result.words
    written = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert list(written) == ["00_Base_baseline", "01_Tiny"]
    assert written["01_Tiny"]["valid_psnr"] == [image["psnr_db"] for image in row["sets"][0]["per_image"]]
    assert (out / "results.txt").read_text(encoding="utf-8").splitlines()[2].startswith("01_Tiny             \t")


@pytest.mark.usefixtures("in_this_process")
def test_2022_shows_a_measured_baseline_without_ranking_or_scoring_it(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], tmp_path: Path
) -> None:
    write_sets(tmp_path / "div2k", {"DIV2K_valid": ("0801",)})
    options = ("--edition", "2022", "--data", str(tmp_path / "div2k"), "--baseline", tiny("Base"))
    rows = {row["model"]: row for row in esr(capsys, "ntire", tiny("Tiny"), *options, "--json").rows}
    assert rows["Base"]["is_baseline"] is True
    assert rows["Base"]["rank_main"] is None
    assert rows["Tiny"]["flops_counter"] == "ntire2022"
    assert "score_main" not in rows["Tiny"]


@pytest.mark.usefixtures("in_this_process")
def test_results_of_earlier_runs_stay_in_the_folder(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], data: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    for model in ("Tiny", "Base", "Tiny"):
        result = esr(capsys, "ntire", tiny(model), "--data", data, "--out", out)
        assert result.code == 0
    assert "replaced in results.json: 01_Tiny" in result.words
    assert list(json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))) == ["01_Base", "01_Tiny"]


@pytest.mark.usefixtures("in_this_process")
def test_a_model_that_fails_is_reported_and_the_next_one_is_measured(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], data: str
) -> None:
    result = esr(capsys, "ntire", tiny("Broken"), tiny("Tiny"), "--data", data, "--json")
    assert result.code == 1
    assert result.rows[0]["error"] is None
    assert "no small images" in result.rows[1]["error"]
    assert "no small images" in result.words


def test_without_data_the_time_is_taken_at_256_and_not_compared_with_the_published_one(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], tmp_path: Path
) -> None:
    result = esr(capsys, "ntire", tiny("Tiny"), "--max-seconds", "1", "--json", "--out", str(tmp_path / "out"))
    (row,) = result.rows
    assert row["runtime_rule"] == "median at LR 256x256, warm"
    assert row["runtime_ms"] > 0
    assert (row["score_main"], row["score_runtime"], row["comparable"]) == (None, None, False)
    assert row["score_flops"] == pytest.approx(2.718281828 ** (2 * 0.084934656 / 19.67))
    assert "Pass --baseline measured" in result.words
    assert not (tmp_path / "out" / "results.json").exists()
    assert "Pass --data" in result.words


def test_images_are_run_in_a_process_of_their_own(
    capsys: pytest.CaptureFixture[str], tiny: Callable[[str], str], data: str
) -> None:
    result = esr(capsys, "ntire", tiny("Tiny"), "--data", data, "--runs", "2", "--json")
    assert result.code == 0
    (row,) = result.rows
    assert [len(image["samples_ms"]) for image in row["sets"][0]["per_image"]] == [2, 2]
    assert row["memory_mib"] > 0
