"""`esr latency` as it is called: planted networks that crash, hang and sleep, forms, comparisons, images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.isolation import in_fresh_process
from runner.tasks import observe
from tests.cli import esr
from tests.fake_tasks import NETWORKS

QUICK = ("--lr", "8x8", "--threads", "1", "--max-seconds", "0.2")


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(
        NETWORKS + "\nclass Aborting(Toy):\n    def forward(self, x):\n        os.abort()\n"
        "\nclass Overflowing(Toy):\n    def forward(self, x):\n        return super().forward(x * 60000) / 60000\n",
        encoding="utf-8",
    )
    return file


def test_a_crash_and_a_hang_are_told_and_the_next_network_is_timed(
    user_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(function: Callable[..., Any], *arguments: Any, timeout_s: float, what: str) -> Any:
        """A loaded machine may take long for the sound network; the hanging one need not be waited for."""
        assert timeout_s == 300
        return in_fresh_process(function, *arguments, timeout_s=0.5 if "Hanging" in what else timeout_s, what=what)

    monkeypatch.setattr("runner.execute.in_fresh_process", impatient)
    models = [f"{user_file}:{name}" for name in ("Aborting", "Hanging", "Toy")]
    result = esr(capsys, "latency", *models, *QUICK, "--timeout", "300", "--no-check", "--json")
    assert result.code == 1
    assert [row["model"] for row in result.rows] == ["Toy"]
    assert result.rows[0]["median_ms"] > 0
    assert "Aborting x4 latency: Crashed" in result.words
    assert "killed by SIGABRT" in result.words
    assert "Hanging x4 latency gave no result within 0.5 s" in result.words
    assert "Traceback" not in result.words


def test_a_crash_in_a_comparison_is_told(user_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [f"{user_file}:{name}" for name in ("Toy", "Aborting")]
    result = esr(capsys, "latency", *models, *QUICK, "--compare", "--no-check", "--json")
    assert (result.code, result.rows) == (1, [])
    assert "Toy x4 latency against Aborting x4 latency ended its process" in result.words


def test_a_network_against_itself_and_in_other_formats(user_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = esr(
        capsys,
        *("latency", f"{user_file}:Toy", *QUICK, "--compare", "--json"),
        *("--dtype", "float32,bfloat16", "--memory-format", "contiguous,channels_last", "--batch", "2"),
    )
    assert result.code == 0, result.words
    assert [(row["dtype"], row["memory_format"]) for row in result.rows] == [
        ("float32", "contiguous"),
        ("float32", "channels_last"),
        ("bfloat16", "contiguous"),
        ("bfloat16", "channels_last"),
    ]
    first, *others = result.rows
    assert (first["ratio"], first["ratio_interval"]) == (1, [1, 1])
    assert all(row["ratio_interval"][0] <= row["ratio"] <= row["ratio_interval"][1] for row in others)
    assert all(row["protocol"].startswith("cpu-plain-") and "-n2-" in row["protocol"] for row in result.rows)
    # The same weights in every row: rounding alone separates the outputs.
    assert all(row["check"]["max_abs_difference"] < 0.05 for row in result.rows)
    assert result.stderr.count("times as long as Toy plain") == 3


def test_half_precision_that_overflows_is_an_error(user_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = esr(capsys, "latency", f"{user_file}:Overflowing", *QUICK, "--dtype", "float16")
    assert result.code == 1
    assert "NaN or inf" in result.stdout
    assert "output: Overflowing plain float16: the output holds NaN or infinity" in result.words


def test_images_are_timed_at_their_sizes_with_and_without_the_first(
    user_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = esr(capsys, "latency", f"{user_file}:Toy", "--per-image", "--data", "sample", "--threads", "1", "--json")
    assert result.code == 0, result.words
    (row,) = result.rows
    times = [image["ms"] for image in row["per_image"]]
    assert [image["lr"] for image in row["per_image"]] == ["72x96"] * 4
    assert row["mean_ms"] == pytest.approx(sum(times) / 4)
    assert row["mean_without_first_ms"] == pytest.approx(sum(times[1:]) / 3)
    assert row["first_ms"] == times[0]
    assert row["protocol"] == "cpu-plain-float32-contiguous-n1-perimage-t1"
    assert row["check"]["images"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--form", "quick"), "--form has no 'quick'. Expected one of: plain, fast, compile"),
        (("--dtype", "float32,int8"), "--dtype has no 'int8'"),
        (("--per-image", "--form", "compile"), "is made for one size"),
        (("--form", "cuda-graph"), "exists on a GPU only"),
        (("--form", "plain,openvino", "--dtype", "float16"), "is timed in float32 or bfloat16"),
        (("--compare",), "--compare needs two networks or more"),
        (("--compare", "--per-image"), "Pass one of them"),
        (("--lr", "8by8"), "HEIGHTxWIDTH"),
    ],
)
def test_usage_errors(
    arguments: tuple[str, ...], message: str, user_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = esr(capsys, "latency", f"{user_file}:Toy", *arguments)
    assert result.code == 2
    assert message in result.words


def test_the_command_line_knows_its_options_without_torch() -> None:
    code = (
        "import sys, runner.cli.latency, runner.cli.export, runner.cli.upscale; "
        "heavy = {'torch', 'onnx', 'onnxruntime', 'openvino', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_busy_neighbour_is_seen() -> None:
    """A real process that never rests, beside this one that waits for it to start and then looks on."""
    program = "import sys\nprint('busy', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as neighbour:
        try:
            assert neighbour.stdout is not None
            neighbour.stdout.readline()
            before = observe.LoadMark.now()
            while (after := observe.LoadMark.now()).wall_s - before.wall_s < 0.5:
                pass
        finally:
            neighbour.kill()
    load = observe.load_between(before, after)
    flags = observe.noise(load, p10_ms=1, p90_ms=1, warm_up_stable=True, cores=1)
    assert flags
    assert flags[0].startswith("other processes used")


def test_bench_keeps_a_form_as_a_record_of_its_own_with_what_its_output_is_worth(
    user_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("bench", f"{user_file}:Toy", "--tasks", "latency", *QUICK, "--store", str(tmp_path / "s"), "--json")
    plain = esr(capsys, *command).rows[0]
    half = esr(capsys, *command, "--dtype", "bfloat16", "--memory-format", "channels_last").rows[0]
    assert plain["protocol"] == "cpu-plain-float32-contiguous-n1-lr8x8-t1"
    assert half["protocol"] == "cpu-plain-bfloat16-channels_last-n1-lr8x8-t1"
    # The plain form in float32 has nothing to be compared with: the quality task measures it.
    assert "check" not in plain
    assert half["check"]["data"] == "sample"
    assert len(list((tmp_path / "s").rglob("latency-*.json"))) == 2
    assert esr(capsys, *command, "--dtype", "float32,bfloat16").code == 2
    assert esr(capsys, *command, "--form", "cuda-graph").code == 2
