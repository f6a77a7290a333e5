"""Weights that this suite trained and ships: whole, with a record that says how, and never taken for the authors'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reports.assemble import assemble
from reports.claims import load_papers
from reports.compare import VerdictKind
from reports.tables import CellKind
from reports.trained_here import SUFFIX, VENUE
from runner.datasets import open_dataset
from runner.live import live_jobs
from runner.plan import Task
from runner.recipes import Recipe, load_stages
from runner.store import Store
from runner.tasks.quality import evaluate
from tests import shared
from tests.cli import esr
from tests.formula import formula_image
from tests.made_records import evaluated
from zoo.catalogue import catalogue, find
from zoo.contract import Origin
from zoo.create import create_model
from zoo.files import sha256_of
from zoo.protocols import EvalProtocol
from zoo.weights import SUITE, default_store

BUNDLED = [(name, scale) for name, spec in catalogue().items() for scale in spec.bundled]


def record_of(name: str, scale: int) -> dict[str, Any]:
    path = (SUITE / find(name).bundled[scale].file).with_suffix(".json")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def test_there_is_a_trained_network_in_every_clone() -> None:
    assert ("agdn_s", 4) in BUNDLED


@pytest.mark.parametrize(("name", "scale"), BUNDLED)
def test_the_file_is_the_declared_one_and_its_record_is_of_it(name: str, scale: int) -> None:
    declared, record = find(name).bundled[scale], record_of(name, scale)
    path = SUITE / declared.file
    assert (sha256_of(path), path.stat().st_size) == (declared.sha256, declared.size_bytes)
    assert declared.origin is Origin.BUNDLED
    assert (record["model"], record["scale"], record["weights_sha256"]) == (name, scale, declared.sha256)
    stages = record["stages"]
    assert all(0 <= stage["iterations"] - stage["curve"][-1]["iteration"] < 100 for stage in stages)
    # The note that tables print says what the record says, and of a run that was cut short how much of it there is.
    done, whole = (
        f"{sum(counts) / 1000:.3g}k"
        for counts in zip(*((stage["iterations"], stage["recipe"]["iterations"]) for stage in stages), strict=True)
    )
    steps = done if done == whole else f"{done} of {whole}"
    (data,) = {tuple(stage["recipe"]["data"]) for stage in stages}
    assert declared.note == f"trained here, {steps} steps on {', '.join(data)}"
    assert all(stage["git_commit"] and "dirty" not in stage["git_commit"] for stage in stages)
    # Each training starts from the weights that the one before it ended with.
    assert [stage["recipe"]["start"] is not None for stage in stages] == [False] + [True] * (len(stages) - 1)


def test_its_recipes_are_those_that_ship() -> None:
    for stage in record_of("agdn_s", 4)["stages"]:
        (recipe,) = load_stages(stage["recipe"]["name"])
        assert recipe.difference(Recipe.model_validate(stage["recipe"])) == []


def test_it_gives_what_its_record_says() -> None:
    network = create_model("agdn_s", 4, "bundled")
    (said,) = (found for found in record_of("agdn_s", 4)["quality"] if found["dataset"] == "sample")
    scores = evaluate(network, open_dataset("sample", 4), protocol=EvalProtocol())
    assert scores["psnr_y_db"] == pytest.approx(said["psnr_y_db"], abs=1e-3)
    bicubic = evaluate(create_model("bicubic", 4), open_dataset("sample", 4), protocol=EvalProtocol())
    assert scores["psnr_y_db"] > bicubic["psnr_y_db"] + 0.5


@pytest.mark.shared
def test_it_gives_what_its_record_says_on_set5() -> None:
    shared.require("datasets/Set5")
    (said,) = (found for found in record_of("agdn_s", 4)["quality"] if found["dataset"] == "Set5")
    scores = evaluate(create_model("agdn_s", 4, "bundled"), open_dataset("Set5", 4), protocol=EvalProtocol())
    assert scores["psnr_y_db"] == pytest.approx(said["psnr_y_db"], abs=1e-3)


def test_bundled_and_random_weights_differ() -> None:
    x = formula_image(16, 16)
    with torch.inference_mode():
        assert not torch.equal(create_model("agdn_s", 4, "bundled")(x), create_model("agdn_s", 4, None)(x))


def test_the_list_shows_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    rows = esr(capsys, "weights", "list", "agdn_s", "--json").rows
    assert [(row["origin"], row["state"]) for row in rows if row["origin"] == "bundled"] == [("bundled", "ok")]
    assert [row["origin"] for row in rows] == ["official", "bundled"]


def test_a_machine_without_official_weights_uses_them_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ESR_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr("zoo.weights.platformdirs.user_cache_dir", lambda _name: str(tmp_path))
    result = esr(capsys, "quality", "agdn_s", "--scale", "4", "--json")
    assert (result.code, result.rows[0]["weights"]) == (0, "bundled")
    assert "the official checkpoint is not on this machine" in result.words


def test_a_live_report_measures_them_wherever_official_ones_are(tmp_path: Path) -> None:
    jobs = live_jobs([find("agdn_s")], [], Store(tmp_path), weights=default_store())
    shipped = [job for job in jobs if job.task is Task.QUALITY and job.weights == "bundled"]
    assert [(job.key.model, job.key.dataset) for job in shipped] == [("agdn_s", "sample")]


def test_they_have_a_row_of_their_own_and_no_verdict_rests_on_them() -> None:
    spec = find("agdn_s")
    run = evaluated("agdn_s", psnr_y_db=32.03, dataset="Set5", origin="bundled")
    report = assemble([spec], load_papers(), [run], created_utc="2026-01-01T00:00:00Z", suite="test")
    rows = {row.model: row for row in report.tables[0].rows}
    place = next(i for i, c in enumerate(report.tables[0].columns) if c.key == "Set5 psnr_y_db")
    assert rows["agdn_s"].slots[place].measured.kind is CellKind.MISSING
    own = rows[f"agdn_s{SUFFIX}"]
    assert own.slots[place].measured.text == "32.03"
    assert own.slots[place].printed is None
    assert own.display_name == "AGDN-S (trained here)"
    assert spec.bundled[4].note in own.note
    assert own.venue == VENUE
    judged = [j for j in report.judgements if j.claim.model == "agdn_s" and j.claim.dataset == "Set5"]
    assert judged
    assert {j.verdict.kind for j in judged} == {VerdictKind.NOT_MEASURED}
    remedy = next(s.measured.remedy for s in own.slots if s.measured.remedy and "quality" in s.measured.remedy.template)
    assert "esr bench agdn_s --scale 4 --tasks quality" in remedy.text(own.model)
    assert "--weights bundled" in remedy.text(own.model)
