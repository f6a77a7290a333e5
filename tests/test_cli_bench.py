"""`esr latency`, `esr bench` and `esr weights` as a user meets them: JSON, exit codes, going on, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from runner import machine
from runner.cli import app
from runner.store import Store
from tests.fake_tasks import NETWORKS, Fakes
from zoo.contract import EsrError, JobFailed
from zoo.facts import Ok


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(NETWORKS, encoding="utf-8")
    return file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user cache, and no other weights folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ESR_WEIGHTS_DIR", raising=False)
    return tmp_path / "cache" / "esr" / "weights"


def esr(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _rows(result: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


QUICK = ("--max-seconds", "0.2", "--threads", "1")


def test_latency_json_has_the_fields_of_the_contract(nets: Path) -> None:
    result = esr("latency", f"{nets}:Toy", "--scale", "2", "--lr", "8x10", *QUICK, "--json")
    assert result.exit_code == 0
    (row,) = _rows(result)
    fields = {"median_ms", "p10_ms", "p90_ms", "samples_ms", "peak_memory_bytes", "device", "threads", "load", "noise"}
    assert fields <= set(row)
    assert (row["model"], row["scale"], row["lr"], row["threads"], row["device"]) == ("Toy", 2, "8x10", 1, "cpu")
    assert row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]


def test_latency_of_a_crashing_network_exits_1_and_measures_the_next(nets: Path) -> None:
    result = esr("latency", f"{nets}:Crashing", f"{nets}:Toy", "--lr", "8x8", *QUICK, "--json")
    assert result.exit_code == 1
    assert [row["model"] for row in _rows(result)] == ["Toy"]
    assert "killed by SIGKILL" in " ".join(result.stderr.split())


def test_latency_default_size_is_720p_over_the_scale(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def measure(job: Any) -> Any:
        seen.append(job.key.protocol)
        raise EsrError("enough")

    monkeypatch.setattr("runner.execute.measure", measure)
    assert isinstance(esr("latency", f"{nets}:Toy", "--threads", "1").exception, EsrError)
    assert seen == ["cpu-plain-float32-contiguous-n1-lr180x320-t1"]


@pytest.mark.skipif(machine.gpu_name() is not None, reason="this machine has a GPU")
@pytest.mark.parametrize("command", ["latency", "bench"])
def test_cuda_where_there_is_none_is_a_failed_job(command: str, nets: Path) -> None:
    error = esr(command, f"{nets}:Toy", "--device", "cuda").exception
    assert isinstance(error, JobFailed)
    assert "no CUDA device" in str(error)
    assert "--device cpu" in str(error)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("latency", "agdn", "--device", "tpu"), "--device cpu"),
        (("latency", "agdn", "--lr", "8x8"), "at least 15 px"),
        (("latency", "agdn", "--lr", "8by8"), "HEIGHTxWIDTH"),
        (("latency", "agdn", "--scale", "8"), "no x8 build"),
        (("bench",), "--all"),
        (("bench", "agdn", "--all"), "not both"),
        (("bench", "agdn", "--tasks", "speed"), "complexity, latency, quality"),
        (("bench", "agdn", "--policy", "some"), "cached-only"),
        (("bench", "agdn", "--scale", "four"), "2,3,4"),
        (("bench", "agdn", "--tasks", "quality", "--data", "no_such_set"), "no_such_set"),
        (("weights", "pull"), "--all"),
        (("weights", "pull", "agdn", "--scale", "8"), "no x8 build"),
        (("weights", "add", "nowhere.pth"), "nowhere.pth does not exist"),
    ],
)
def test_usage_errors_say_what_is_expected(arguments: tuple[str, ...], words: str) -> None:
    result = esr(*arguments)
    assert isinstance(result.exception, EsrError)
    assert not isinstance(result.exception, JobFailed)
    assert words in str(result.exception)
    assert result.stdout == ""


def test_bench_keeps_records_and_goes_on_where_it_ended(fakes: Fakes, nets: Path, tmp_path: Path) -> None:
    store = tmp_path / "kept"
    fakes.quality = lambda: 1 / 0  # type: ignore[assignment, return-value]
    command = ("bench", f"{nets}:Toy", "--scale", "2,4", "--tasks", "complexity,quality", "--store", store, "--json")
    first = esr(*command)
    assert first.exit_code == 1
    assert [(row["scale"], row["task"], row["status"]) for row in _rows(first)] == [
        (2, "complexity", "ok"),
        (2, "quality", "failed"),
        (4, "complexity", "ok"),
        (4, "quality", "failed"),
    ]
    assert len(Store(store).records()) == 4

    fakes.quality = lambda: {"psnr_y_db": 30.0, "ssim_y": 0.9}
    fakes.calls.clear()
    held = esr(*command)
    assert held.exit_code == 1
    assert {call[0] for call in fakes.calls} == {"open"}
    again = esr(*command, "--policy", "failed")
    assert again.exit_code == 0
    assert [row["status"] for row in _rows(again)] == ["ok"] * 4
    assert not [call for call in fakes.calls if call[0] == "complexity"]


def test_bench_measures_for_real(nets: Path, tmp_path: Path) -> None:
    arguments = ("bench", f"{nets}:Toy", "--scale", "4", "--latency-lr", "8x8", *QUICK)
    result = esr(*arguments, "--store", tmp_path / "kept", "--json")
    assert result.exit_code == 0
    complexity, latency, quality = _rows(result)
    # 1x1 convolution 3 -> 48 with bias, counted at 180x320.
    assert complexity["params"] == 3 * 48 + 48
    assert complexity["multi_adds"] == 3 * 48 * 180 * 320
    assert latency["timed_lr"] == "8x8"
    assert len(quality["per_image"]) >= 4
    table = esr(*arguments, "--store", tmp_path / "kept", "--policy", "cached-only")
    assert "192 parameters" in table.stdout


def test_bench_keeps_each_protocol_apart_and_leaves_the_models_own_inference(fakes: Fakes, tmp_path: Path) -> None:
    command = ("bench", "smsr", "bsrn", "--scale", "2", "--tasks", "quality", "--weights", "none", "--json")
    kept = ("--store", tmp_path / "kept")
    for choice in ((), ("--lr-recipe", "matlab-float"), ("--protocol", "crop4-matlab-float", "--ssim", "uniform7")):
        assert esr(*command, *choice, *kept).exit_code == 0
    ids = {record.key.protocol for record in Store(tmp_path / "kept").records()}
    parts = ("crop2-u8-gauss11-matlab-u8", "crop2-u8-gauss11-matlab-float", "crop4-u8-uniform7-matlab-float")
    assert ids == {f"y601-{part}-{inference}" for part in parts for inference in ("whole", "cropto2")}


def test_bench_interrupted_keeps_what_is_finished(fakes: Fakes, nets: Path, tmp_path: Path) -> None:
    def interrupt() -> dict[str, Any]:
        raise KeyboardInterrupt

    fakes.quality = interrupt
    result = esr("bench", f"{nets}:Toy", "--tasks", "complexity,quality", "--store", tmp_path / "kept")
    assert result.exit_code == 130
    assert "1 of 2 are finished and kept" in " ".join(result.stderr.split())
    assert [record.outcome for record in Store(tmp_path / "kept").records()] == [Ok(values={"params": 1})]


def test_bench_cached_only_runs_nothing_and_names_what_is_missing(fakes: Fakes, nets: Path, tmp_path: Path) -> None:
    result = esr("bench", f"{nets}:Toy", "--policy", "cached-only", "--store", tmp_path / "none", "--json")
    assert result.exit_code == 0
    assert [row["status"] for row in _rows(result)] == ["missing"] * 3
    assert not (tmp_path / "none").exists()


def test_bench_names_a_damaged_record_and_makes_it_anew(fakes: Fakes, nets: Path, tmp_path: Path) -> None:
    store = tmp_path / "kept"
    fakes.complexity = lambda: {"params": 1, "multi_adds": 2}
    command = ("bench", f"{nets}:Toy", "--tasks", "complexity", "--store", store)
    esr(*command)
    (file,) = store.rglob("complexity-*.json")
    file.write_text("{", encoding="utf-8")
    with pytest.warns(UserWarning, match="not JSON"):
        result = esr(*command)
    assert result.exit_code == 0
    assert file.name in "".join(result.stderr.split())
    assert "1 parameters" in result.stdout


def test_all_leaves_ablation_rows_to_those_who_name_them(fakes: Fakes, tmp_path: Path) -> None:
    result = esr("bench", "--all", "--tasks", "complexity", "--policy", "cached-only", "--store", tmp_path, "--json")
    models = {row["model"] for row in _rows(result)}
    assert {"agdn", "agdn_s", "bicubic"} <= models
    from zoo.catalogue import catalogue

    assert not any(catalogue()[model].ablation_of for model in models)


def test_weights_list_names_every_declared_file_and_what_is_missing(cache: Path) -> None:
    rows = _rows(esr("weights", "list", "agdn", "--json"))
    assert [(row["model"], row["scale"], row["state"]) for row in rows] == [
        ("agdn", scale, "missing") for scale in (2, 3, 4)
    ]


def test_weights_verify_exits_1_for_an_altered_file_only(cache: Path) -> None:
    assert esr("weights", "verify", "agdn").exit_code == 0
    file = cache / "agdn" / "AGDN_x4.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"altered")
    result = esr("weights", "verify", "agdn", "--json")
    assert result.exit_code == 1
    assert [row["state"] for row in _rows(result)] == ["missing", "missing", "altered"]
    assert "esr weights pull agdn --scale 4" in " ".join(result.stderr.split())


def test_weights_add_refuses_what_nobody_published(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(b"mine")
    result = esr("weights", "add", file)
    assert isinstance(result.exception, EsrError)
    assert "no checkpoint the zoo declares" in str(result.exception)
    assert not cache.exists()


def test_weights_pull_goes_on_after_a_failure_and_exits_1(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo import weights_download

    def pull(spec: Any, scale: int, store: Any, *, on_bytes: Any) -> Path:
        on_bytes(10)
        if scale == 2:
            raise weights_download.DownloadFailed("planted")
        return tmp_path / f"{spec.name}_x{scale}.pth"

    monkeypatch.setattr(weights_download, "pull", pull)
    result = esr("weights", "pull", "agdn", "--json")
    assert result.exit_code == 1
    assert [(row["scale"], row["state"]) for row in _rows(result)] == [(3, "ok"), (4, "ok")]
    assert "planted" in result.stderr


def test_weights_pull_of_a_model_without_any_says_so(cache: Path) -> None:
    result = esr("weights", "pull", "bicubic")
    assert result.exit_code == 1
    assert "No checkpoint of bicubic" in " ".join(result.stderr.split())
