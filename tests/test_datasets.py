"""Data sets: layouts, pairing, the errors of real folders, manifests, the built-in sample."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.data_manifest import ImageState, manifest_of, verify, write_lr
from runner.datasets import DataMissing, Dataset, found_datasets, open_dataset, open_hr, sample_images
from runner.images import read_rgb, write_rgb
from runner.known_sets import KNOWN_SETS, Manifest, committed_manifest
from runner.resize_others import make_lr
from tests import shared
from zoo.contract import BadInput
from zoo.protocols import LrRecipe


def picture(seed: int, height: int = 26, width: int = 34) -> np.ndarray:
    """A random uint8 image (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_set(root: Path, hr: str = "HR", names: tuple[str, ...] = ("a", "b")) -> Path:
    """A data set of two small images."""
    for seed, name in enumerate(names):
        write_rgb(root / hr / f"{name}.png", picture(seed))
    return root


def give_lr(root: Path, folder: str, recipe: LrRecipe, scale: int = 4, ending: str = "x4") -> None:
    """LR images marked by an inverted pixel, so that they cannot be taken for generated ones."""
    for path in sorted(root.rglob("HR/*.png")) or sorted(root.rglob("GTmod12/*.png")) or sorted(root.glob("*.png")):
        lr = make_lr(read_rgb(path), scale, recipe)
        lr[0, 0] = 255 - lr[0, 0]
        write_rgb(root / folder / f"{path.stem}{ending}.png", lr)


def first(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(lr, hr) of the first image."""
    return dataset.load(dataset.pairs[0])


@pytest.mark.parametrize("hr", ["HR", "GTmod12", ".", "My_HR"])
@pytest.mark.parametrize("recipe", list(LrRecipe))
def test_lr_is_generated_by_the_recipe_where_none_is_given(tmp_path: Path, hr: str, recipe: LrRecipe) -> None:
    dataset = open_dataset(str(make_set(tmp_path / "My", hr)), 4, recipe=recipe)
    assert (dataset.name, dataset.lr_source) == ("My", recipe.value)
    assert [pair.name for pair in dataset.pairs] == ["a", "b"]
    lr, cropped = first(dataset)
    np.testing.assert_array_equal(lr, make_lr(picture(0), 4, recipe))
    np.testing.assert_array_equal(cropped, picture(0)[:24, :32])


@pytest.mark.parametrize("ending", ["x4", ""])
@pytest.mark.parametrize(
    ("hr", "lr", "recipe"),
    [
        ("HR", "LR_bicubic/X4", LrRecipe.MATLAB_U8),
        ("GTmod12", "LRbicx4", LrRecipe.MATLAB_FLOAT),
        (".", "LR_bicubic/X4", LrRecipe.MATLAB_U8),
    ],
)
def test_given_lr_is_used_for_the_recipe_of_its_layout_only(
    tmp_path: Path, hr: str, lr: str, recipe: LrRecipe, ending: str
) -> None:
    root = make_set(tmp_path / "My", hr)
    give_lr(root, lr, recipe, ending=ending)
    for asked in LrRecipe:
        dataset = open_dataset(str(root), 4, recipe=asked)
        generated = make_lr(picture(0), 4, asked)
        assert dataset.lr_source == ("given" if asked is recipe else asked.value)
        assert np.array_equal(first(dataset)[0], generated) == (asked is not recipe)
    assert open_dataset(str(root), 2, recipe=recipe).lr_source == recipe.value


def test_lr_that_does_not_fit_names_both_sizes(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    give_lr(root, "LR_bicubic/X4", LrRecipe.MATLAB_U8, scale=2, ending="")
    dataset = open_dataset(str(root), 4)
    with pytest.raises(BadInput, match=r"13x17.*26x34.*Expected LR of 6x8"):
        first(dataset)
    with pytest.raises(BadInput, match="13x17"):
        _ = dataset.manifest_sha256


def test_a_missing_or_foreign_lr_image_is_named(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    give_lr(root, "LR_bicubic/X4", LrRecipe.MATLAB_U8)
    write_rgb(root / "LR_bicubic/X4/zx4.png", picture(0))
    with pytest.raises(BadInput, match=r"zx4\.png"):
        open_dataset(str(root), 4)
    (root / "LR_bicubic/X4/zx4.png").unlink()
    (root / "LR_bicubic/X4/bx4.png").unlink()
    with pytest.raises(BadInput, match=r"no LR image for b .*bx4\.png or b\.png"):
        open_dataset(str(root), 4)


def test_missing_empty_and_ambiguous_folders(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"no folder .*none"):
        open_dataset(str(tmp_path / "none"), 4)
    (tmp_path / "empty" / "HR").mkdir(parents=True)
    with pytest.raises(BadInput, match="holds no images"):
        open_dataset(str(tmp_path / "empty"), 4)
    root = make_set(tmp_path / "My")
    Image.fromarray(picture(0)).save(root / "HR" / "a.bmp")
    with pytest.raises(BadInput, match=r"a\.bmp and a\.png"):
        open_dataset(str(root), 4)
    with pytest.raises(BadInput, match="at least 2"):
        open_dataset("sample", 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Set6", "Did you mean Set5"),
        ("Urban100", "SelfExSR repository"),
        ("b100", "esr data pull B100"),
        ("nonsense", "esr data list"),
        ("x" * 5000, "no data set"),
        ("", "no folder ''"),
    ],
)
def test_unknown_and_absent_names_say_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv("ESR_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataMissing, match=words):
        open_dataset(name, 4, folders=[tmp_path], cache=tmp_path / "cache")


def test_names_are_searched_in_given_folders_then_the_environment_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("given", "one", "two", "cache"):
        make_set(tmp_path / folder / "My")
    paths = os.pathsep.join(str(tmp_path / name) for name in ("one", "two"))
    monkeypatch.setenv("ESR_DATA_DIR", paths)

    def where(*folders: Path) -> str:
        return open_dataset("my", 4, folders=folders, cache=tmp_path / "cache").pairs[0].hr_path.parts[-4]

    assert where(tmp_path / "given") == "given"
    assert where() == "one"
    monkeypatch.setenv("ESR_DATA_DIR", "")
    assert where() == "cache"
    assert [place.root.name for place in found_datasets([tmp_path / "given"], tmp_path / "cache")] == ["My"]


def test_only_the_grey_photograph_of_a_known_set_may_be_grey(tmp_path: Path) -> None:
    for name in ("Set14", "Other"):
        root = make_set(tmp_path / name, names=("img_002", "img_003"))
        Image.fromarray(picture(0)[..., 0]).save(root / "HR" / "img_003.png")
    dataset = open_dataset(str(tmp_path / "Set14"), 4)
    hr = dataset.load(dataset.pairs[1])[1]
    np.testing.assert_array_equal(hr, np.stack([picture(0)[:24, :32, 0]] * 3, axis=2))
    other = open_dataset(str(tmp_path / "Other"), 4)
    with pytest.raises(BadInput, match="8-bit grey"):
        other.load(other.pairs[1])


def test_the_digest_follows_pixels_names_scale_and_recipe_but_not_the_file_format(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    original = open_dataset(str(root), 4).manifest_sha256
    assert open_dataset(str(root), 3).manifest_sha256 != original
    assert open_dataset(str(root), 4, recipe=LrRecipe.MATLAB_FLOAT).manifest_sha256 != original
    copy = make_set(tmp_path / "copy" / "My")
    (copy / "HR" / "a.png").unlink()
    Image.fromarray(picture(0)).save(copy / "HR" / "a.bmp")
    assert open_dataset(str(copy), 4).manifest_sha256 == original
    changed = picture(0)
    changed[3, 3, 0] ^= 1
    Image.fromarray(changed).save(copy / "HR" / "a.bmp")
    assert open_dataset(str(copy), 4).manifest_sha256 != original


def test_prepared_lr_is_found_and_has_the_digest_of_generated_lr(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    recipe = LrRecipe.MATLAB_FLOAT
    generated = open_dataset(str(root), 4, recipe=recipe)
    folder = write_lr(open_hr(str(root)), 4, recipe, root)
    assert folder == root / "LR_matlab-float" / "X4"
    prepared = open_dataset(str(root), 4, recipe=recipe)
    assert prepared.pairs[0].lr_path == folder / "ax4.png"
    assert prepared.lr_source == "matlab-float"
    assert prepared.manifest_sha256 == generated.manifest_sha256
    manifest = Manifest.parse((folder / "manifest.json").read_text(encoding="utf-8"), "manifest.json")
    assert manifest.lr is not None
    assert (manifest.scale, manifest.recipe, list(manifest.lr)) == (4, "matlab-float", ["a", "b"])
    assert manifest.lr["a"].size == "6x8"
    with pytest.raises(BadInput, match="exists already"):
        write_lr(open_hr(str(root)), 4, recipe, root)


def test_prepared_lr_of_another_hr_is_refused(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    folder = write_lr(open_hr(str(root)), 4, LrRecipe.MATLAB_U8, root)
    write_rgb(root / "HR" / "a.png", picture(7))
    with pytest.raises(BadInput, match=r"changed since LR was prepared.*esr data prepare"):
        first(open_dataset(str(root), 4))
    (folder / "manifest.json").unlink()
    with pytest.raises(BadInput, match=r"manifest\.json is missing"):
        open_dataset(str(root), 4)


def test_a_damaged_image_leaves_no_prepared_folder(tmp_path: Path) -> None:
    root = make_set(tmp_path / "My")
    (root / "HR" / "b.png").write_bytes(b"broken")
    with pytest.raises(BadInput, match="cannot be decoded"):
        write_lr(open_hr(str(root)), 4, LrRecipe.MATLAB_U8, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_verify_says_which_images_differ_are_missing_or_are_too_many(tmp_path: Path) -> None:
    names = ("same", "changed", "resized", "gone", "broken", "renamed")
    root = make_set(tmp_path / "My", names=names)
    manifest = manifest_of(open_hr(str(root)))
    hr = root / "HR"
    write_rgb(hr / "changed.png", picture(77))
    write_rgb(hr / "resized.png", picture(2, 20, 20))
    (hr / "gone.png").unlink()
    (hr / "broken.png").write_bytes(b"broken")
    (hr / "renamed.png").rename(hr / "another_name.png")
    write_rgb(hr / "extra.png", picture(99))
    found = {image.name: image for image in verify(open_hr(str(root)), manifest)}
    assert {name: image.state for name, image in found.items()} == {
        "same": ImageState.OK,
        "changed": ImageState.DIFFERS,
        "resized": ImageState.DIFFERS,
        "gone": ImageState.MISSING,
        "broken": ImageState.UNREADABLE,
        "renamed": ImageState.OK,
        "extra": ImageState.EXTRA,
    }
    assert found["renamed"].detail == "as another_name"
    assert found["resized"].detail == "20x20, published 26x34"
    assert "other pixels" in found["changed"].detail


def test_sample_is_always_there_and_is_what_its_manifest_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESR_DATA_DIR", "")
    assert committed_manifest("sample") == manifest_of(sample_images())
    for scale in (2, 3, 4):
        dataset = open_dataset("sample", scale, cache=tmp_path)
        assert dataset.name == "sample"
        assert len(dataset.pairs) == 4
        lr, hr = first(dataset)
        assert hr.shape == (288, 384, 3)
        assert lr.shape == (288 // scale, 384 // scale, 3)


def test_sample_with_other_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.datasets.SAMPLE_IMAGES", ("chelsea", "coffee"))
    monkeypatch.setattr("runner.datasets.read_rgb", lambda path, *, grey_to_rgb: picture(0, 400, 400))
    with pytest.raises(BadInput, match="other pixels"):
        open_dataset("sample", 4)


@pytest.mark.parametrize("text", ["", "[]", '{"name": "a"}', '{"name": "a", "hr": {}, "more": 1}'])
def test_a_manifest_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadInput, match=r"mine\.json is not a manifest"):
        Manifest.parse(text, "mine.json")


def test_committed_manifests_have_the_published_number_of_images() -> None:
    held = {name: known.manifest() for name, known in KNOWN_SETS.items()}
    assert {name for name, manifest in held.items() if manifest} >= {"Set5", "Set14", "B100"}
    for name, manifest in held.items():
        assert manifest is None or len(manifest.hr) == KNOWN_SETS[name].images
    assert all(manifest for name, manifest in held.items() if KNOWN_SETS[name].archive)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Set5", "Set14", "B100"])
def test_the_shared_sets_are_the_published_ones(name: str) -> None:
    images = open_hr(name, folders=[shared.require("datasets")])
    manifest = KNOWN_SETS[name].manifest()
    assert manifest is not None
    assert {image.state for image in verify(images, manifest)} == {ImageState.OK}


@pytest.mark.shared
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_has_one_digest_with_given_and_with_generated_lr(scale: int) -> None:
    given = open_dataset("Set5", scale, folders=[shared.require("datasets")])
    assert given.lr_source == "given"
    generated = open_dataset(str(given.pairs[0].hr_path.parent), scale)
    assert generated.lr_source == "matlab-u8"
    assert generated.manifest_sha256 == given.manifest_sha256
