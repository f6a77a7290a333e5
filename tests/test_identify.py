"""`esr data identify`: every recipe is named from its own images, and what is off is told where none fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from runner.identify import Identified, identify, pair_up
from runner.images import image_files, write_rgb
from runner.resize import U8
from runner.resize_others import make_lr, opencv_sums, opencv_ties
from tests import shared
from tests.cli import esr
from zoo.contract import BadInput, JobFailed
from zoo.protocols import LrRecipe

SIZES = ((101, 133), (98, 122))


def scene(seed: int, height: int, width: int) -> U8:
    """A picture with structure at several sizes, so that shifts can be told from noise."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (2, 2, 0)) * 4 + noise * 0.2
    return np.clip(128 + 45 * smooth, 0, 255).astype(np.uint8)


SCENES = {f"s{index}": scene(index, *size) for index, size in enumerate(SIZES)}


def lay(folder: Path, images: dict[str, U8], ending: str = "") -> Path:
    for name, img in images.items():
        write_rgb(folder / f"{name}{ending}.png", img)
    return folder


def found(tmp_path: Path, hr: dict[str, U8], lr: dict[str, U8], ending: str = "x4") -> Identified:
    return identify(pair_up(image_files(lay(tmp_path / "hr", hr)), image_files(lay(tmp_path / "lr", lr, ending))))


@pytest.mark.parametrize("recipe", list(LrRecipe))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_each_recipe_is_named_with_its_scale(tmp_path: Path, recipe: LrRecipe, scale: int) -> None:
    what = found(tmp_path, SCENES, {n: make_lr(img, scale, recipe) for n, img in SCENES.items()}, f"x{scale}")
    best, second = what.matches[:2]
    assert (best.recipe, best.exact, best.exact_images, best.scale) == (recipe, True, 2, scale)
    assert second.differing > 0
    assert (what.multiple, what.rounded_up, what.notes) == (1, False, ())
    assert best.values == sum(make_lr(img, scale).size for img in SCENES.values())


def test_one_altered_value_is_counted_and_its_image_named(tmp_path: Path) -> None:
    lr = {n: make_lr(img, 4, "matlab-float") for n, img in SCENES.items()}
    lr["s1"][5, 7, 1] ^= 3
    best = found(tmp_path, SCENES, lr).matches[0]
    assert (best.recipe, best.exact, best.differing, best.unlike) == (LrRecipe.MATLAB_FLOAT, False, 1, ("s1",))
    assert best.largest in (1, 3)


def test_hr_cropped_to_twelve_first(tmp_path: Path) -> None:
    lr = {n: make_lr(img[: img.shape[0] // 12 * 12, : img.shape[1] // 12 * 12], 4) for n, img in SCENES.items()}
    what = found(tmp_path, SCENES, lr)
    assert (what.multiple, what.matches[0].exact, what.matches[0].recipe) == (12, True, LrRecipe.MATLAB_U8)


def test_hr_that_was_not_cropped_gives_one_more_lr_pixel(tmp_path: Path) -> None:
    padded = {
        n: np.pad(img, ((0, -img.shape[0] % 4), (0, -img.shape[1] % 4), (0, 0)), "edge") for n, img in SCENES.items()
    }
    what = found(tmp_path, SCENES, {n: make_lr(img, 4) for n, img in padded.items()})
    assert (what.rounded_up, what.matches[0].exact, what.matches[0].recipe) == (True, True, LrRecipe.MATLAB_U8)


@pytest.mark.parametrize(("down", "right"), [(1, 2), (0, 3), (4, 0)])
def test_a_shift_is_named(tmp_path: Path, down: int, right: int) -> None:
    full = {f"s{index}": scene(index, 132, 164) for index in range(2)}
    hr = {n: img[4:, 4:] for n, img in full.items()}
    lr = {n: make_lr(img[4 + down : 4 + down + 128, 4 + right : 4 + right + 160], 4) for n, img in full.items()}
    fitting = {
        n: np.pad(img, ((0, 32 - img.shape[0]), (0, 40 - img.shape[1]), (0, 0)), "edge") for n, img in lr.items()
    }
    what = found(tmp_path, hr, fitting)
    assert not what.matches[0].exact
    assert f"starts {down:+d} pixels down and {right:+d} right in HR; there 0 of" in what.notes[0]
    assert "matlab-u8" in what.notes[0]


def test_swapped_channels_are_told(tmp_path: Path) -> None:
    what = found(tmp_path, SCENES, {n: make_lr(img, 2, "pil")[:, :, ::-1] for n, img in SCENES.items()}, "x2")
    assert not what.matches[0].exact
    assert any("red and blue are swapped" in note and "0 values" in note for note in what.notes)


def test_halves_of_opencv_may_be_rounded_either_way(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    sums = opencv_sums(noise, 2)
    up = np.clip((sums + (1 << 21)) >> 22, 0, 255).astype(np.uint8)
    ties = int(opencv_ties(sums).sum())
    assert 0 < ties < 60
    assert (up != make_lr(noise, 2, "opencv")).sum() > 0
    assert found(tmp_path, {"n": noise}, {"n": up}, "x2").matches[0].exact


@pytest.mark.parametrize(
    ("hr_name", "lr_name"),
    [
        ("img_001_SRF_4_HR", "img_001_SRF_4_LR"),
        ("baby", "babyx4"),
        ("baby", "baby"),
        ("0801", "0801x4"),
        ("baby_HR_x4", "baby_LRBI_x4"),
        ("a_LR_b", "a_LR_bx4"),
    ],
)
def test_names_of_one_image_in_both_folders(hr_name: str, lr_name: str) -> None:
    ((_image, pair),) = pair_up([Path("hr") / f"{hr_name}.png"], [Path("lr") / f"{lr_name}.png"]).items()
    assert [path.stem for path in pair] == [hr_name, lr_name]


def test_what_does_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="b is an LR image without an HR image"):
        pair_up([Path("a.png")], [Path("a.png"), Path("bx4.png")])
    with pytest.raises(BadInput, match="for one image"):
        pair_up([Path("a.png")], [Path("a.png"), Path("ax4.png")])
    with pytest.raises(BadInput, match="holds no images"):
        pair_up([], [])
    lr = {"s0": make_lr(SCENES["s0"], 4), "s1": SCENES["s1"][:40, :41]}
    with pytest.raises(JobFailed, match=r"No scale fits all images: 1 of 2 images fit x4; s1 has HR 98x122"):
        found(tmp_path, SCENES, lr)
    result = esr(capsys, "data", "identify", str(tmp_path / "hr"), str(tmp_path / "none"))
    assert (result.code, result.stdout) == (2, "")
    assert "no folder" in result.words


def test_the_command_reads_a_selfexsr_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lay(tmp_path / "image_SRF_4", {n: img[:96, :120] for n, img in SCENES.items()}, "_SRF_4_HR")
    lay(folder, {n: make_lr(img[:96, :120], 4, "matlab-u8-replicate") for n, img in SCENES.items()}, "_SRF_4_LR")
    result = esr(capsys, "data", "identify", str(folder), str(folder), "--json")
    assert result.code == 0
    assert (result.rows[0]["recipe"], result.rows[0]["exact"]) == ("matlab-u8-replicate", True)
    assert len(result.rows) == len(LrRecipe)
    assert "matlab-u8-replicate at x4 makes every value" in result.words
    lay(folder, {"s0": make_lr(SCENES["s0"][:96, :120], 4, "pil")}, "_SRF_4_LR")
    mixed = esr(capsys, "data", "identify", str(folder), str(folder))
    assert "no recipe makes these images; the closest is matlab-u8-replicate" in mixed.words
    assert "1 of 2 images are exact; not s0" in mixed.words


def test_the_folder_of_a_data_set_stands_for_its_hr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path / "My" / "GTmod12", SCENES)
    lr = lay(tmp_path / "lr", {n: make_lr(img, 2, "pil") for n, img in SCENES.items()}, "x2")
    assert esr(capsys, "data", "identify", str(tmp_path / "My"), str(lr), "--json").rows[0]["recipe"] == "pil"


@pytest.mark.shared
def test_set5s_own_lr_is_a_current_matlabs() -> None:
    folder = shared.require("datasets/Set5")
    what = identify(pair_up(image_files(folder / "HR"), image_files(folder / "LR_bicubic/X3")))
    best, second = what.matches[:2]
    assert (best.recipe, best.differing, best.values) == (LrRecipe.MATLAB_U8, 0, 187_962)
    assert second.recipe is LrRecipe.MATLAB_U8_REPLICATE
    assert second.differing > 1000
