"""`esr complexity`: one row per model, what is missing said, files whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import esr


def test_agdn_by_all_counters(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = esr(capsys, "complexity", "agdn_s", "--lr", "256x256", "--counter", "all", "--json").rows
    assert {name: entry["multi_adds"] for name, entry in row["counters"].items()} == {
        "exact": 4_368_811_392,
        "thop": 4_247_700_960,
        "ptflops": 4_413_990_672,
        "ptflops_aten": 4_432_157_552,
        "fvcore": 4_387_685_760,
        "torch": 4_368_811_392,
        "ntire2022": 4_241_416_336,
    }
    assert (row["params"], row["activations"], row["conv_calls"]) == (69_272, 190_917_488, 165)
    assert row["uncounted_ops"] == []


def test_the_tree_goes_down_to_the_depth_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = esr(capsys, "complexity", "agdn_s", "--depth", "2", "--json").rows
    assert {module["level"] for module in row["modules"]} == {0, 1, 2}
    whole, *below = row["modules"]
    assert whole["multi_adds"] == row["multi_adds"]
    assert sum(module["multi_adds"] for module in below if module["level"] == 1) == row["multi_adds"]
    assert "B4.ea" in esr(capsys, "complexity", "agdn_s", "--depth", "2").stdout


def test_the_ledger_leads_from_exact_to_each_tool_and_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = esr(capsys, "complexity", "agdn_s", "--counter", "all", "--ledger", "--json").rows
    ends = {tool: counted["multi_adds"] for tool, counted in row["counters"].items() if tool != "exact"}
    ends["its paper's rule"] = row["as_printed"]["multi_adds"]
    assert set(row["ledger"]) == set(ends)
    for name, way in row["ledger"].items():
        assert way["remainder"] == 0
        steps = sum(step["multi_adds"] for step in way["differences"])
        assert row["multi_adds"] + steps == ends[name]
    (printed,) = row["ledger"]["its paper's rule"]["printed"]
    assert (printed["where"], printed["multi_adds"]) == ("Table 5", 3_700_000_000)
    assert printed["rest"] == printed["multi_adds"] - ends["its paper's rule"]
    shown = esr(capsys, "complexity", "agdn_s", "--counter", "thop", "--ledger").stdout
    assert "from exact to thop" in shown
    assert "products of two activations missed" in shown
    assert "printed in Table 5" in shown


def test_the_table_is_written_as_csv_markdown_and_html(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ("csv", "markdown", "html")
    options = [part for name in names for part in (f"--{name}", str(tmp_path / name))]
    assert esr(capsys, "complexity", "rlfn_ntire", "--counter", "thop", *options).code == 0
    for name in names:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "rlfn_ntire" in text
        assert "17276926464" in text


def test_a_model_that_fails_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    result = esr(capsys, "complexity", "agdn_s", "bicubic", "--lr", "4x4", "--json")
    failed, bicubic = result.rows
    assert result.code == 1
    assert "LR sides of at least" in failed["error"]
    assert "LR sides of at least" in result.words
    assert failed["multi_adds"] is None
    assert (bicubic["params"], bicubic["error"]) == (0, None)


def test_an_operation_without_a_rule_is_said_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = (
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.nn.functional.pixel_shuffle(torch.linalg.inv(x).repeat(1, 16, 1, 1), 4)\n"
    )
    path = tmp_path / "net.py"
    path.write_text(source, encoding="utf-8")
    result = esr(capsys, "complexity", f"{path}:Net", "--lr", "8x8", "--json")
    assert result.code == 0
    assert 'register("aten::linalg_inv_ex"' in result.words
    assert len(result.rows[0]["uncounted_ops"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["agdn", "--counter", "flops"], "no counter flops. Choose from exact"),
        (["agdn", "--lr", "8x8", "--hr", "32x32"], "exclude each other"),
        (["agdn", "--lr", "8"], "Expected HEIGHTxWIDTH"),
        (["agdn", "--scale", "8"], "no x8 build"),
        (["agdm"], "Did you mean agdn"),
    ],
)
def test_a_wrong_request_is_a_usage_error(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    result = esr(capsys, "complexity", *arguments)
    assert result.code == 2
    assert said in result.words
    assert result.stdout == ""
