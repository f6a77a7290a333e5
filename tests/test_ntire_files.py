"""The files of an NTIRE report: CSV of teams, results.json and results.txt to the last blank."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reports.ntire_files import (
    OrganisersResult,
    entries_of,
    read_results,
    read_teams,
    results_json,
    results_txt,
)
from zoo.contract import BadInput

HEADER = "team,val_psnr,test_psnr,runtime_ms,params_m,flops_g"


def test_a_csv_of_teams_is_read_as_written() -> None:
    text = f'\ufeff{HEADER},memory_mib\n"Doe, Inc.",26.90,27.02,58.836,0.069,4.39,612\r\nb,,,,0.1,5,\n'
    first, second = read_teams(text, where="teams.csv")
    assert first.team == "Doe, Inc."
    assert (first.val_psnr_db, first.runtime_ms, first.params_m, first.flops_g) == (26.90, 58.836, 0.069, 4.39)
    assert first.memory_mib == 612
    assert (second.val_psnr_db, second.test_psnr_db, second.runtime_ms, second.memory_mib) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column team, val_psnr"),
        ("team,val_psnr,test_psnr,params_m,flops_g\n", "no column runtime_ms"),
        (f"{HEADER},psnr\n", "column 'psnr' that no rule knows"),
        (f"{HEADER}\n", "names no team"),
        (f"{HEADER}\na,1,1,1,1\n", "line 2 has more or fewer cells"),
        (f"{HEADER}\na,1,1,1,1,1,1\n", "line 2 has more or fewer cells"),
        (f"{HEADER}\n ,1,1,1,1,1\n", "line 2 has no team name"),
        (f"{HEADER}\na,1,1,1,1,1\nb,1,1,fast,1,1\n", "line 3: runtime_ms is 'fast'"),
        (f"{HEADER}\na,1,1,0,1,1\n", "runtime_ms is '0'"),
        (f"{HEADER}\na,nan,1,1,1,1\n", "val_psnr is 'nan'"),
        (f"{HEADER}\na,1,inf,1,1,1\n", "test_psnr is 'inf'"),
        (f"{HEADER}\na,1,1,1,-1,1\n", "params_m is '-1'"),
        (f"{HEADER}\na,1,1,1,,1\n", "params_m is ''"),
        (f'{HEADER}\n"a,1,1,1,1,1\n', "is no CSV"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=r"teams\.csv") as caught:
        read_teams(text, where="teams.csv")
    assert message in str(caught.value)


def rlfn(**changes: Any) -> OrganisersResult:
    """The organisers' third logged run of RLFN, its lists cut to two images."""
    values: dict[str, Any] = {
        "valid_runtime": [1033.757, 9.5],
        "valid_psnr": [26.9, 27.01],
        "valid_memory": 467.698,
        "valid_ave_runtime": 14.943,
        "valid_ave_psnr": 26.955139,
        "test_runtime": [9.4, 9.5],
        "test_psnr": [27.0, 27.1],
        "test_memory": 773.169,
        "test_ave_runtime": 9.486488,
        "test_ave_psnr": 27.069471,
        "activations": 80.045184,
        "num_conv": 39,
        "flops": 19.67485952,
        "num_parameters": 0.317218,
    }
    return OrganisersResult(**(values | changes))


WITHOUT_TEST = {f"test_{key}": None for key in ("runtime", "psnr", "memory", "ave_runtime", "ave_psnr")}


def test_results_txt_has_the_organisers_columns_widths_and_decimals() -> None:
    lines = results_txt({"00_RLFN_baseline": rlfn()}).split("\n")
    assert lines == [
        "Model               \tVal PSNR  \tTest PSNR \tVal Time [ms] \tTest Time [ms]\tAve Time [ms] \t"
        "Params [M]\tFLOPs [G] \tActs [M]\tMem [M] \tConv    ",
        "00_RLFN_baseline    \t26.96     \t27.07     \t14.94         \t9.49          \t12.21         \t"
        "0.317     \t19.67     \t80.05   \t467.70  \t  39    ",
        "",
    ]


def test_results_txt_without_a_test_set_has_eight_columns() -> None:
    lines = results_txt({"00_RLFN_baseline": rlfn(**WITHOUT_TEST)}).split("\n")
    assert lines == [
        "Model               \tVal PSNR  \tVal Time [ms] \tParams [M]\tFLOPs [G] \tActs [M]\tMem [M] \tConv    ",
        "00_RLFN_baseline    \t26.96     \t14.94         \t0.317     \t19.67     \t80.05   \t467.70  \t  39    ",
        "",
    ]


def test_one_model_without_a_test_set_takes_the_test_columns_from_all() -> None:
    text = results_txt({"00_a": rlfn(), "01_b": rlfn(**WITHOUT_TEST)})
    assert "Test" not in text
    assert [line.split("\t")[0].strip() for line in text.splitlines()] == ["Model", "00_a", "01_b"]


def test_results_json_has_the_organisers_keys_and_comes_back() -> None:
    results = {"00_RLFN_baseline": rlfn(), "01_b": rlfn(**WITHOUT_TEST)}
    plain = json.loads(results_json(results))
    measured = {"runtime", "psnr", "memory", "ave_runtime", "ave_psnr"}
    shared = {f"valid_{key}" for key in measured} | {"activations", "num_conv", "flops", "num_parameters"}
    assert set(plain["00_RLFN_baseline"]) == shared | {f"test_{key}" for key in measured}
    assert set(plain["01_b"]) == shared
    assert read_results(results_json(results), where="results.json") == results


def test_keys_that_only_the_organisers_know_are_kept() -> None:
    plain = json.loads(results_json({"a": rlfn()}))
    plain["a"]["valid_ssim"] = [0.75, 0.76]
    again = results_json(read_results(json.dumps(plain), where="results.json"))
    assert json.loads(again)["a"]["valid_ssim"] == [0.75, 0.76]


@pytest.mark.parametrize("text", ["", "[]", '{"a": {}}', '{"a": {"valid_runtime": "fast"}}'])
def test_another_json_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"r\.json is not a results\.json"):
        read_results(text, where="r.json")


def test_the_ranked_runtime_is_the_mean_of_both_sets() -> None:
    with_test, without = entries_of({"00_RLFN_baseline": rlfn(), "b": rlfn(**WITHOUT_TEST)})
    assert with_test.runtime_ms == pytest.approx((14.943 + 9.486488) / 2)
    assert (with_test.val_psnr_db, with_test.test_psnr_db) == (26.955139, 27.069471)
    assert with_test.is_baseline
    assert without.runtime_ms is None
