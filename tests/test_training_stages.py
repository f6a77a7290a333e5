"""Trainings of several stages, by the paper's recipes and a user's: starts, stops, precision, what is left behind."""

from __future__ import annotations

import builtins
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runner import training, training_state
from runner.devices import fabric_of
from runner.images import write_rgb
from runner.patch_cache import open_training_images
from runner.patches import TrainingImages
from runner.recipes import load_stages, scaled_by
from runner.training_sets import training_folders
from tests.cli import Result, esr
from zoo.contract import BadInput
from zoo.create import create_model
from zoo.files import sha256_of

STAGES = """
model = "agdn_none"
scale = 4
batch = 2
ema = 0.5

[[stage]]
name = "long"
iterations = 4
lr_patch_px = 16
rate = 1e-3

[[stage]]
name = "fine-tuning"
iterations = 2
lr_patch_px = 20
loss = "l2"
rate = 1e-4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(2):
        rough = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        write_rgb(tmp_path / "images" / f"{seed}.png", np.kron(rough, np.ones((4, 4, 1), np.uint8)))
    (tmp_path / "mine.toml").write_text(STAGES)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> Result:
    """The two stages on two images, into `out`."""
    images = str(folder / "images")
    where = (
        "--recipe",
        str(folder / "mine.toml"),
        "--data",
        images,
        "--validate",
        images,
        "--out",
        str(folder / "out"),
    )
    return esr(capsys, "train", *where, "--json", *more)


def images_of(folder: Path) -> TrainingImages:
    folders = training_folders([str(folder / "images")], 4)
    return open_training_images(folders, scale=4, lr_patch_px=16, cache=folder / "cache")


def short(**change: Any) -> training_state.Recipe:
    fields: dict[str, Any] = {"name": "short", "model": "agdn_none", "scale": 4, "iterations": 3, "batch": 2}
    return training_state.Recipe(**(fields | {"lr_patch_px": 16, "rate": 1e-3} | change))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_agdn_is_trained_as_section_4_2_says(scale: int) -> None:
    (stage,) = load_stages(f"agdn_x{scale}")
    assert (stage.iterations, stage.batch, stage.lr_patch_px, stage.loss) == (1_000_000, 64, 48, "l1")
    assert [stage.rate_at(done) for done in (0, 100_000, 500_000, 800_000, 900_000, 950_000)] == [
        2e-3 / 2**halvings for halvings in range(6)
    ]
    assert (stage.betas, stage.ema, stage.warm_up, stage.seed) == ((0.9, 0.99), 0.999, 0, 0)
    assert stage.data == ("DIV2K", "Flickr2K")


def test_agdn_s_is_fine_tuned_on_the_first_ten_thousand_images_of_lsdir() -> None:
    first, second = load_stages("agdn_s_x4")
    assert (first.iterations, first.batch, first.lr_patch_px, first.loss) == (1_000_000, 64, 64, "l1")
    assert (second.iterations, second.batch, second.lr_patch_px, second.loss) == (100_000, 32, 96, "l2")
    assert [second.rate_at(done) for done in (0, 49_999, 50_000)] == [5e-4, 5e-4, 2.5e-4]
    assert second.data == ("DIV2K", "LSDIR:10000")
    assert [stage.iterations for stage in scaled_by((first, second), 1e-3)] == [1000, 100]


def test_stages_run_in_order_and_leave_weights_with_their_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, folder)
    assert [(row["stage"], row["iterations"]) for row in result.rows] == [("long", 4), ("fine-tuning", 2)]
    weights = Path(result.rows[-1]["weights"])
    record = json.loads(weights.with_suffix(".json").read_text())
    assert record["weights_sha256"] == sha256_of(weights)
    assert [stage["recipe"]["loss"] for stage in record["stages"]] == ["l1", "l2"]
    assert [stage["images"] for stage in record["stages"]] == [2, 2]
    assert all(stage["curve"][-1]["psnr_y_db"] > 0 for stage in record["stages"])
    assert create_model("agdn_none", 4, weights) is not None
    # The second stage starts from the average of the first, under its own recipe.
    first, second = load_stages(str(folder / "mine.toml"))
    state = training_state.resume(first.model_copy(update={"data": (str(folder / "images"),)}), folder / "out" / "long")
    begun = training_state.start(second, weights=dict(state.average.state_dict()))
    for ours, theirs in zip(begun.network.parameters(), state.average.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("stop_after", [2, 4, 5])  # the last step of the first stage, too
def test_a_run_stopped_in_either_stage_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    done = 0

    def stop(_self: object, _state: object) -> None:
        nonlocal done
        done += 1
        if done == stop_after:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr("runner.cli.train_progress.Reporter.step", stop)
        stopped = run(capsys, folder)
    assert stopped.code == 128 + signal.SIGINT
    assert "Stopped after step" in stopped.words
    assert "--resume goes on from there" in stopped.words
    went_on = run(capsys, folder, "--resume")
    assert went_on.code == 0, went_on.stderr
    again = Path(went_on.rows[-1]["weights"]).read_bytes()
    whole = run(capsys, folder, "--out", str(folder / "whole"))
    assert Path(whole.rows[-1]["weights"]).read_bytes() == again


def test_another_recipe_or_seed_is_not_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, folder)
    assert "seed: 3, not 0" in run(capsys, folder, "--resume", "--seed", "3").words
    (folder / "mine.toml").write_text(STAGES.replace("1e-4", "2e-4"))
    result = run(capsys, folder, "--resume")
    assert result.code == 2
    assert "fine-tuning: rate: 0.0002, not 0.0001" in result.words


def test_other_images_are_not_gone_on_with(folder: Path) -> None:
    recipe, out = short(), folder / "out"
    training.train(training_state.start(recipe), recipe, images_of(folder), folder=out, until=1)
    write_rgb(folder / "images" / "0.png", np.full((96, 96, 3), 9, np.uint8))
    with pytest.raises(BadInput, match="trained on other images"):
        training.train(training_state.resume(recipe, out), recipe, images_of(folder), folder=out)


def test_a_state_with_a_weight_that_is_no_number_is_not_checkpointed(folder: Path) -> None:
    recipe, out = short(), folder / "out"
    state = training.train(training_state.start(recipe), recipe, images_of(folder), folder=out, until=1)
    kept = (out / training_state.CHECKPOINT).read_bytes()
    with torch.no_grad():
        next(state.network.parameters()).fill_(float("inf"))
    with pytest.raises(training_state.Diverged, match="holds NaN or infinity, so it is not checkpointed"):
        training_state.save(state, recipe, out)
    assert (out / training_state.CHECKPOINT).read_bytes() == kept


def test_a_recipe_may_start_from_weights(folder: Path) -> None:
    donor = training_state.start(short(seed=5))
    path = training_state.export(donor, folder / "donor.safetensors")
    state = training_state.start(short(start=str(path)))
    for ours, theirs in zip(state.network.parameters(), donor.average.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_bfloat16_steps_train_float32_weights(folder: Path) -> None:
    recipe = short(iterations=6, ema=0.5)
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        state = training.train(
            training_state.start(recipe),
            recipe,
            images_of(folder),
            folder=folder / precision,
            fabric=fabric_of(precision=precision),
            report_every=1,
        )
        losses[precision] = [entry["loss"] for entry in state.curve]
        assert {value.dtype for value in state.network.parameters()} == {torch.float32}
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)


def test_tensorboard_gets_the_curve_or_is_missed_with_advice(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    assert run(capsys, folder, "--tensorboard").code == 0
    assert list((folder / "out" / "tensorboard").glob("events*"))
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if "tensorboard" in name:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run(capsys, folder, "--tensorboard", "--out", str(folder / "other"))
    assert result.code == 2
    assert "esr-bench[tensorboard]" in result.words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("loss =", "los ="), r"\[\[stage\]\] 2: a recipe has no field 'los'. Did you mean loss"),
        (('name = "long"', 'name = "fine-tuning"'), "need names of their own"),
        (('loss = "l2"', 'start = "official"'), "fine-tuning starts from the stage before it"),
        (("[[stage]]", "[stage]"), "is not TOML|must be tables"),
    ],
)
def test_mistakes_in_stages_are_named(folder: Path, change: tuple[str, str], message: str) -> None:
    (folder / "mine.toml").write_text(STAGES.replace(*change))
    with pytest.raises(BadInput, match=message):
        load_stages(str(folder / "mine.toml"))


def test_what_is_not_trainable_or_names_no_images_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = "scale = 4\niterations = 1\nbatch = 1\nlr_patch_px = 16\nrate = 1e-3\n"
    (folder / "fixed.toml").write_text(f'model = "bicubic"\n{fields}')
    assert "nothing to train" in esr(capsys, "train", "--recipe", str(folder / "fixed.toml")).words
    (folder / "bare.toml").write_text(f'model = "agdn_none"\n{fields}')
    assert "names no training images" in esr(capsys, "train", "--recipe", str(folder / "bare.toml")).words
    assert "Name what to train" in esr(capsys, "train").words


def test_a_budget_scales_every_stage_alike(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, fine = run(capsys, folder, "--iterations", "12").rows
    assert (long["iterations"], fine["iterations"]) == (8, 4)
    assert run(capsys, folder, "--out", str(folder / "other"), "--budget", "1s").code == 0
    first, second = json.loads((folder / "other" / "recipe.json").read_text())
    assert first["iterations"] == pytest.approx(2 * second["iterations"], abs=1)
