"""The layouts in which people have the published sets: found by name, known by pixels, LR taken for its own recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runner.data_manifest import ImageState, manifest_of, verify
from runner.datasets import DataMissing, found_datasets, lr_scales, open_dataset, open_hr
from runner.images import write_rgb
from runner.known_sets import KNOWN_SETS, KnownSet, Manifest, known_set
from runner.layouts import place_of
from runner.recognise import recognise
from runner.resize_others import make_lr
from tests.cli import esr
from tests.test_datasets import first, picture
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

SIZES = ((26, 34), (25, 37), (31, 28))
PICTURES = {f"img_{index:03}": picture(index, *size) for index, size in enumerate(SIZES, 1)}


OTHER_NAMES = dict(zip(PICTURES, ("zebra", "ape", "man"), strict=True))


def crop(img: np.ndarray, multiple: int) -> np.ndarray:
    """Cut at the bottom and right."""
    return img[: img.shape[0] // multiple * multiple, : img.shape[1] // multiple * multiple]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Manifest:
    """`Mine`, a published set of three images, known by its manifest."""
    for name, img in PICTURES.items():
        write_rgb(tmp_path / "original" / f"{name}.png", img)
    manifest = manifest_of(open_hr(str(tmp_path / "original"))).model_copy(update={"name": "Mine"})
    known = KnownSet(name="Mine", images=3, obtain="Ask.", aliases=("Mein",))
    known_sets = {"Mine": known}
    monkeypatch.setattr("runner.known_sets.KNOWN_SETS", known_sets)
    monkeypatch.setattr("runner.recognise.KNOWN_SETS", known_sets)
    monkeypatch.setattr("runner.known_sets.committed_manifest", lambda name: manifest if name == "Mine" else None)
    monkeypatch.setenv("ESR_DATA_DIR", "")
    return manifest


LAYOUTS = {
    # key: (folder of data, HR file, LR file, mod-crop of HR, recipe of LR); {} is the image's name
    "EDSR": ("benchmark/Mine", "HR/{}.png", "LR_bicubic/X4/{}x4.png", 1, LrRecipe.MATLAB_U8),
    "BasicSR": ("datasets/Mine", "GTmod12/{}.png", "LRbicx4/{}.png", 12, LrRecipe.MATLAB_FLOAT),
    "SelfExSR": (
        "Mein",
        "image_SRF_4/{}_SRF_4_HR.png",
        "image_SRF_4/{}_SRF_4_LR.png",
        4,
        LrRecipe.MATLAB_U8_REPLICATE,
    ),
    "NTIRE": ("", "Mine_HR/{}.png", "Mine_LR/{}x4.png", 1, LrRecipe.MATLAB_U8),
    "DIV2K": ("DIV2K", "Mine_HR/{}.png", "Mine_LR_bicubic/X4/{}x4.png", 1, LrRecipe.MATLAB_U8),
}


def lay_out(data: Path, key: str, rename: dict[str, str] | None = None) -> None:
    """`Mine` in a layout, LR marked by an inverted pixel so that it cannot be taken for generated LR."""
    folder, hr_file, lr_file, multiple, recipe = LAYOUTS[key]
    for name, img in PICTURES.items():
        stem = (rename or {}).get(name, name)
        lr = make_lr(img, 4, recipe)
        lr[0, 0] = 255 - lr[0, 0]
        write_rgb(data / folder / hr_file.format(stem), crop(img, multiple))
        write_rgb(data / folder / lr_file.format(stem), make_lr(crop(img, multiple), 4, recipe) if multiple > 4 else lr)
    if key == "SelfExSR":  # which has results of several methods beside
        write_rgb(data / folder / "image_SRF_4" / "img_001_SRF_4_A+.png", PICTURES["img_001"])


@pytest.mark.parametrize("key", list(LAYOUTS))
@pytest.mark.parametrize(
    "rename", [{}, dict(zip(PICTURES, ("zebra", "ape", "man"), strict=True))], ids=["own", "other"]
)
def test_a_set_is_found_by_name_in_every_layout(
    tmp_path: Path, published: Manifest, key: str, rename: dict[str, str]
) -> None:
    data, recipe = tmp_path / "data", LAYOUTS[key][4]
    lay_out(data, key, rename)
    dataset = open_dataset("mine", 4, recipe=recipe, folders=[data])
    assert (dataset.name, dataset.lr_source) == ("Mine", "given")
    assert [pair.name for pair in dataset.pairs] == list(PICTURES)
    lr, hr = first(dataset)
    assert hr.shape[0] == 4 * lr.shape[0]
    np.testing.assert_array_equal(hr, crop(PICTURES["img_001"], LAYOUTS[key][3])[: hr.shape[0], : hr.shape[1]])
    made = open_dataset("mine", 4, recipe=LrRecipe.PIL, folders=[data])
    assert made.lr_source == "pil"
    assert open_dataset("mine", 2, recipe=recipe, folders=[data]).lr_source == recipe.value
    (place,) = [place for place in found_datasets([data], tmp_path / "none") if place.root.name.startswith("M")]
    assert (place.layout.key, lr_scales(place)) == (key, [4])
    states = verify(open_hr("mine", folders=[data]), published)
    assert {image.state for image in states} == {ImageState.OK}


def test_a_folder_of_any_name_is_known_by_its_pixels(tmp_path: Path, published: Manifest) -> None:
    folder = tmp_path / "pictures" / "things"
    for stem, img in zip("cab", PICTURES.values(), strict=True):
        write_rgb(folder / f"{stem}.png", crop(img, 3))
    hr = open_hr(str(folder))
    assert hr.name == "Mine"
    assert {name: path.stem for name, path in hr.paths.items()} == dict(zip(PICTURES, "cab", strict=True))
    assert hr.stems == dict(zip(PICTURES, "cab", strict=True))
    # 25x37 cropped to multiples of 2 and of 3 is the same.
    assert {image.detail[:-1] for image in verify(hr, published)} == {"cropped to a multiple of "}
    write_rgb(folder / "c.png", crop(255 - PICTURES["img_001"], 3))
    assert open_hr(str(folder)).name == "things"
    assert recognise({"c": folder / "c.png"}) is None


def test_one_digest_whatever_the_names(tmp_path: Path, published: Manifest) -> None:
    lay_out(tmp_path / "a", "NTIRE")
    lay_out(tmp_path / "b", "EDSR", {"img_001": "z"})
    digests = {open_dataset("Mine", 4, folders=[tmp_path / name]).manifest_sha256 for name in "ab"}
    assert len(digests) == 1


def test_the_hr_folder_itself_may_be_passed(tmp_path: Path, published: Manifest) -> None:
    lay_out(tmp_path, "NTIRE")
    dataset = open_dataset(str(tmp_path / "Mine_HR"), 4)
    assert (dataset.name, dataset.lr_source) == ("Mine", "given")


def test_an_lr_image_that_is_missing_in_a_layout_is_named(tmp_path: Path, published: Manifest) -> None:
    lay_out(tmp_path, "SelfExSR")
    (tmp_path / "Mein/image_SRF_4/img_002_SRF_4_LR.png").unlink()
    with pytest.raises(BadInput, match=r"expected img_002_SRF_4_LR\.png"):
        open_dataset("Mine", 4, recipe=LrRecipe.MATLAB_U8_REPLICATE, folders=[tmp_path])


def test_hr_of_the_scale_is_taken_where_there_is_one_for_each(tmp_path: Path) -> None:
    for scale in (3, 2):
        write_rgb(tmp_path / f"My/image_SRF_{scale}/a_SRF_{scale}_HR.png", crop(PICTURES["img_001"], scale))
    for scale, expected in ((2, 2), (3, 3), (4, 2), (None, 2)):
        place = place_of(tmp_path / "My", scale)
        assert place is not None
        assert place.scale == expected


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "nothing_HR"])
def test_names_that_stand_for_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataMissing):
        open_hr(name, folders=[tmp_path])


def test_published_sets_have_as_many_names_as_images_and_answer_to_their_aliases() -> None:
    assert known_set("bsd100") is KNOWN_SETS["B100"]
    for known in KNOWN_SETS.values():
        assert len(set(known.names)) in (0, known.images)
    assert KNOWN_SETS["DIV2K_LSDIR_valid"].names[:1] == ("0000001",)


def test_verify_without_a_manifest_still_tells_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(801, 900):
        write_rgb(tmp_path / "DIV2K_valid_HR" / f"{number:04}.png", picture(number, 8, 8))
    (tmp_path / "DIV2K_valid_HR" / "0811.png").write_bytes(b"no image")
    result = esr(capsys, "data", "verify", "DIV2K_valid", "--data-dir", str(tmp_path), "--json")
    states = {row["image"]: row["state"] for row in result.rows}
    assert result.code == 1
    assert (states["0900"], states["0811"], states["0801"]) == ("missing", "unreadable", "not compared")
    assert "holds no manifest of DIV2K_valid" in result.words
