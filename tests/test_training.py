"""Training: patches by counting, steps that repeat, runs that go on bit by bit, and refusals."""

from __future__ import annotations

import errno
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from runner import training, training_state
from runner.images import write_rgb
from runner.patch_cache import open_training_images
from runner.patches import OnBad, TrainingImages, draw
from runner.recipes import Recipe, load_stages, parse_recipe, recipe_names
from runner.resize import matlab_bicubic
from runner.training_sets import training_folders
from tests.cli import esr
from zoo.contract import BadInput, JobFailed
from zoo.create import create_model

RECIPE = Recipe(
    name="tiny", model="agdn_s", scale=4, iterations=12, batch=4, lr_patch_px=8, rate=1e-3, halve_at=(6, 9), warm_up=2
)


class Tiny(nn.Module):
    """One convolution and a pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 48, 3, padding=1)
        self.shuffle = nn.PixelShuffle(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.conv(x))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of two sizes, one of them no multiple of the scale."""
    random = np.random.default_rng(5)
    for index, (height, width) in enumerate([(48, 64), (61, 45), (48, 48), (40, 80)]):
        smooth = random.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        write_rgb(tmp_path / "images" / f"{index}.png", np.kron(smooth, np.ones((4, 4, 1), np.uint8))[:height, :width])
    return tmp_path / "images"


def opened(folder: Path, **options: OnBad) -> TrainingImages:
    return open_training_images(
        training_folders([str(folder)], 4), scale=4, lr_patch_px=8, cache=folder.parent / "cache", **options
    )


def tiny(recipe: Recipe = RECIPE) -> training_state.State:
    torch.manual_seed(1)
    return training_state.start(recipe, network=Tiny())


def weights(state: training_state.State) -> list[bytes]:
    return [value.numpy().tobytes() for value in state.average.state_dict().values()]


def test_patches_are_aligned_pieces_of_the_images_and_of_their_exact_lr(folder: Path) -> None:
    images = opened(folder)
    lr, hr = images.image(1)
    assert hr.shape == (60, 44, 3)
    assert np.array_equal(lr, matlab_bicubic(np.ascontiguousarray(hr), 4))
    places = {
        np.ascontiguousarray(turned[y : y + 8, x : x + 8]).tobytes()
        for index in range(len(images.names))
        for mirrored in (images.image(index)[0], images.image(index)[0][:, ::-1])
        for turned in (np.rot90(mirrored, turn) for turn in range(4))
        for y in range(turned.shape[0] - 7)
        for x in range(turned.shape[1] - 7)
    }
    lrs, hrs = draw(images, step=3, batch=16, lr_patch_px=8, seed=0)
    assert lrs.shape == (16, 8, 8, 3)
    assert hrs.shape == (16, 32, 32, 3)
    assert all(patch.tobytes() in places for patch in lrs)
    # Inner pixels of an LR patch depend on the HR patch alone, so misalignment shows there. A quarter turn swaps the
    # two passes of the downsampling, whose rounding in between can move a value by one level.
    for ours, patch in zip(lrs, hrs, strict=True):
        made = matlab_bicubic(np.ascontiguousarray(patch), 4)
        assert np.abs(ours.astype(int) - made)[3:-3, 3:-3].max() <= 1


def test_devices_draw_the_parts_of_one_batch(folder: Path) -> None:
    images = opened(folder)
    whole = draw(images, step=7, batch=6, lr_patch_px=8, seed=2)
    parts = [draw(images, step=7, batch=6, lr_patch_px=8, seed=2, part=slice(at, at + 3)) for at in (0, 3)]
    for values, (first, second) in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(values, np.concatenate([first, second]))
    assert not np.array_equal(whole[0], draw(images, step=8, batch=6, lr_patch_px=8, seed=2)[0])


def test_the_cache_is_made_once_and_anew_for_a_changed_image(folder: Path) -> None:
    opened(folder)
    with mock.patch("runner.patch_cache.read_rgb", side_effect=AssertionError("decoded again")):
        opened(folder)
    write_rgb(folder / "0.png", np.full((40, 40, 3), 9, np.uint8))
    assert (opened(folder).image(0)[1] == 9).all()


def test_a_small_image_stops_or_is_left_out_by_name(folder: Path) -> None:
    write_rgb(folder / "small.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(BadInput, match=r"small\.png is 20x20, smaller than a patch of 32 px"):
        opened(folder)
    assert not (folder.parent / "cache").exists()
    assert [line.split(":")[0] for line in opened(folder, on_bad=OnBad.SKIP).skipped] == ["small.png"]


def test_a_corrupt_image_is_named(folder: Path) -> None:
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:200])
    with pytest.raises(BadInput, match=r"torn\.png"):
        opened(folder)
    assert len(opened(folder, on_bad=OnBad.SKIP).names) == 4


def test_the_same_seed_gives_the_same_weights_and_the_loss_falls(folder: Path) -> None:
    images = opened(folder)
    runs = [training.train(tiny(), RECIPE, images, folder=folder / name, report_every=4) for name in ("a", "b")]
    assert weights(runs[0]) == weights(runs[1])
    assert runs[0].curve[-1]["loss"] < runs[0].curve[0]["loss"]


@pytest.mark.parametrize("stop", [1, 6, 11])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_by_bit(folder: Path, stop: int) -> None:
    images = opened(folder)
    whole = training.train(tiny(), RECIPE, images, folder=folder / "whole")
    training.train(tiny(), RECIPE, images, folder=folder / "cut", until=stop)
    went_on = training_state.resume(RECIPE, folder / "cut", network=Tiny())
    assert went_on.iteration == stop
    training.train(went_on, RECIPE, images, folder=folder / "cut")
    assert weights(went_on) == weights(whole)


def test_another_recipe_is_not_resumed(folder: Path) -> None:
    training.train(tiny(), RECIPE, opened(folder), folder=folder / "run", until=1)
    with pytest.raises(BadInput, match=r"rate: 0\.002, not 0\.001"):
        training_state.resume(RECIPE.model_copy(update={"rate": 2e-3}), folder / "run", network=Tiny())


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(folder: Path) -> None:
    images = opened(folder)
    state = training.train(tiny(), RECIPE, images, folder=folder / "run", until=3)
    kept = (folder / "run" / training_state.CHECKPOINT).read_bytes()
    with torch.no_grad():
        state.network.conv.weight[0] = float("nan")
    with pytest.raises(training_state.Diverged, match="The loss of step 4 is nan"):
        training.train(state, RECIPE, images, folder=folder / "run")
    assert (folder / "run" / training_state.CHECKPOINT).read_bytes() == kept


def test_a_full_disk_leaves_the_old_checkpoint(folder: Path) -> None:
    images = opened(folder)
    state = training.train(tiny(), RECIPE, images, folder=folder / "run", until=3)
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch("torch.save", side_effect=full), pytest.raises(JobFailed, match="No space left"):
        training.train(state, RECIPE, images, folder=folder / "run", until=4)
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == before


def test_the_rate_warms_up_and_halves() -> None:
    rates = [RECIPE.rate_at(done) for done in (0, 1, 5, 6, 9)]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4, 2.5e-4])
    scaled = load_stages("agdn_s_x4_short")[0].scaled_to(100)
    assert (scaled.iterations, scaled.halve_at) == (100, (10, 50, 80, 90, 95))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_names_a_network_at_its_scale(name: str) -> None:
    for stage in load_stages(name):
        assert create_model(stage.model, stage.scale, weights=None, device="meta") is not None


def test_recipe_typos_get_a_suggestion() -> None:
    with pytest.raises(BadInput, match="Did you mean agdn_s_x4_short"):
        load_stages("agdn_s_x4_shrot")
    with pytest.raises(BadInput, match=r"no field 'halve_att'. Did you mean halve_at\?"):
        parse_recipe(RECIPE.model_dump() | {"halve_att": []}, where="mine.toml")
    with pytest.raises(BadInput, match="halve_at must ascend"):
        parse_recipe(RECIPE.model_dump() | {"halve_at": [5, 2]}, where="mine.toml")


def test_the_command_trains_goes_on_and_writes_weights_that_load(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rgb(folder / "large.png", np.random.default_rng(3).integers(0, 256, (72, 68, 3), dtype=np.uint8))
    recipe = folder.parent / "mine.toml"
    recipe.write_text('model = "agdn_s"\nscale = 4\niterations = 3\nbatch = 1\nlr_patch_px = 16\nrate = 1e-3\n')
    out = folder.parent / "out"
    common = ("train", "--recipe", str(recipe), "--data", str(folder), "--out", str(out), "--on-bad", "skip", "--json")
    first = esr(capsys, *common, "--iterations", "1")
    assert (first.code, first.rows[0]["iterations"]) == (0, 1)
    assert create_model("agdn_s", 4, weights=str(out / "agdn_s_x4.safetensors")) is not None
    again = esr(capsys, *common)
    assert again.code == 2
    assert "Go on with --resume" in again.words
    assert esr(capsys, *common, "--resume").rows[0]["iterations"] == 1
    assert esr(capsys, *common, "--resume", "--iterations", "3").code == 2


def test_a_patch_that_the_network_cannot_take_is_refused_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = folder.parent / "mine.toml"
    recipe.write_text('model = "agdn_s"\nscale = 4\niterations = 3\nbatch = 1\nlr_patch_px = 8\nrate = 1e-3\n')
    result = esr(capsys, "train", "--recipe", str(recipe), "--data", str(folder), "--out", str(folder.parent / "out"))
    assert result.code == 2
    assert "agdn_s needs LR patches of at least 15 px and a multiple of 1, the recipe mine has 8" in result.words
    assert not (folder.parent / "out").exists()


def test_the_seed_of_a_recipe_decides_the_initial_weights() -> None:
    recipes = [RECIPE, RECIPE, RECIPE.model_copy(update={"seed": 1})]
    first, again, other = (weights(training_state.start(recipe)) for recipe in recipes)
    assert first == again
    assert first != other


def test_an_unscaled_recipe_with_a_warm_up_can_be_resumed(folder: Path) -> None:
    training.train(tiny(), RECIPE, opened(folder), folder=folder / "run", until=1)
    held = training_state.checkpoint_recipe(folder / "run")
    assert held == RECIPE.scaled_to(held.iterations) == RECIPE


def test_a_resumed_run_takes_no_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = esr(capsys, "train", "--recipe", "agdn_s_x4_short", "--data", str(folder), "--resume", "--budget", "5m")
    assert result.code == 2
    assert "keeps its length" in result.words
