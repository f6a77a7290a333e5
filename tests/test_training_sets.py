"""Training sets: layouts of the field, LR from three sources, the bounded cache, and patches drawn ahead."""

from __future__ import annotations

import errno
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from runner.images import write_rgb
from runner.patch_cache import open_training_images
from runner.patches import LrSource, OnBad, TrainingImages, draw, drawn_ahead
from runner.resize import matlab_bicubic
from runner.training_sets import training_folders
from zoo.contract import BadInput, JobFailed


def picture(seed: int, height: int = 24, width: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plant(root: Path, *files: str) -> None:
    """Images at these paths, each with pixels of its own."""
    for seed, file in enumerate(files):
        write_rgb(root / file, picture(seed))


def opened(root: Path, *sets: str, scale: int = 2, **options: object) -> TrainingImages:
    folders = training_folders(sets, scale, folders=[root], cache=root / "none")
    return open_training_images(folders, scale=scale, lr_patch_px=8, cache=root / "cache", **options)


@pytest.mark.parametrize(
    ("files", "asked", "found"),
    [
        (("DIV2K/DIV2K_train_HR/0001.png", "DIV2K/DIV2K_valid_HR/0801.png"), "DIV2K", ["0001.png"]),
        (("Flickr2K/Flickr2K_HR/000001.png",), "Flickr2K", ["000001.png"]),
        (("DIV2K/DIV2K_train_HR/0001.png", "Flickr2K/Flickr2K_HR/000001.png"), "DF2K", ["0001.png", "000001.png"]),
        (("DF2K/DF2K_train_HR/0001.png", "DF2K/DF2K_train_HR/000001.png"), "df2k", ["000001.png", "0001.png"]),
        (("DF2K/DIV2K_train_HR/0001.png", "DF2K/Flickr2K_HR/000001.png"), "DF2K", ["0001.png", "000001.png"]),
        (("LSDIR/0001000/0000001.png", "LSDIR/0002000/0001001.png"), "LSDIR:1", ["0000001.png"]),
        (("LSDIR/train/0001000/1.png", "LSDIR/train/0002000/1001.png"), "LSDIR", ["1.png", "1001.png"]),
        (("BSDS400/100007.png", "BSDS400/12003.png"), "BSDS400:2", ["100007.png", "12003.png"]),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, files: tuple[str, ...], asked: str, found: list[str]) -> None:
    plant(tmp_path, *files)
    assert list(opened(tmp_path, asked).names) == found


def test_the_fine_tuning_sets_are_two_and_only_so_much_of_the_second(tmp_path: Path) -> None:
    plant(tmp_path, "DIV2K/DIV2K_train_HR/0001.png", *(f"LSDIR/000{n}000/{n}.png" for n in (1, 2, 3)))
    assert opened(tmp_path, "DIV2K", "LSDIR:2").names == ("0001.png", "1.png", "2.png")


def test_fewer_images_than_asked_for_are_refused(tmp_path: Path) -> None:
    plant(tmp_path, "LSDIR/0001000/1.png")
    with pytest.raises(BadInput, match="LSDIR:10000 wants 10,000 images, 1 are here"):
        opened(tmp_path, "LSDIR:10000")


def test_a_set_that_is_not_here_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "DIV2K/DIV2K_train_HR/0001.png")
    with pytest.raises(BadInput, match="Flickr2K"):
        opened(tmp_path, "DF2K")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no images"):
        opened(tmp_path, "empty")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_made_on_the_fly_has_the_values_of_the_cached_one(tmp_path: Path, scale: int) -> None:
    for index in range(3):
        write_rgb(tmp_path / "set" / f"{index}.png", picture(index, 14 * scale + 1, 11 * scale))
    cached, fly = (opened(tmp_path, "set", scale=scale, lr=lr) for lr in (LrSource.CACHED, LrSource.ON_THE_FLY))
    for step in range(6):
        options = {"step": step, "batch": 16, "lr_patch_px": 8, "seed": 3}
        for ours, theirs in zip(draw(fly, **options), draw(cached, **options), strict=True):
            assert np.array_equal(ours, theirs)
    assert fly.sha256 == cached.sha256
    assert not (next(iter(fly.parts)).lr)


@pytest.mark.parametrize(
    "place", ["DIV2K_train_LR_bicubic/X2/{}x2.png", "LR_bicubic/X2/{}.png", "LR_matlab-u8/X2/{}.png"]
)
def test_lr_that_came_with_the_set_is_used_when_asked_for(tmp_path: Path, place: str) -> None:
    plant(tmp_path, "DIV2K/DIV2K_train_HR/0001.png")
    write_rgb(tmp_path / "DIV2K" / place.format("0001"), np.full((12, 14, 3), 77, np.uint8))
    lr = opened(tmp_path, "DIV2K", lr=LrSource.GIVEN).image(0)[0]
    assert lr is not None
    assert (lr == 77).all()
    made = opened(tmp_path, "DIV2K")
    assert np.array_equal(made.image(0)[0], matlab_bicubic(picture(0), 2))


def test_lr_that_is_missing_or_of_another_size_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png")
    with pytest.raises(BadInput, match="has no LR images"):
        opened(tmp_path, "set", lr=LrSource.GIVEN)
    write_rgb(tmp_path / "set" / "LR_bicubic" / "X2" / "a.png", picture(0, 5, 5))
    with pytest.raises(BadInput, match=r"a\.png is 5x5, a\.png needs LR of 12x14"):
        opened(tmp_path, "set", lr=LrSource.GIVEN)


def test_a_cache_larger_than_its_limit_or_the_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png")
    with pytest.raises(BadInput, match="Raise --cache-gib"):
        opened(tmp_path, "set", limit_bytes=1000)
    full = mock.Mock(free=100)
    with (
        mock.patch("runner.patch_cache.shutil.disk_usage", return_value=full),
        pytest.raises(BadInput, match="--cache"),
    ):
        opened(tmp_path, "set")
    assert not (tmp_path / "cache").exists()


def test_a_disk_that_fills_up_while_decoding_leaves_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png")
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        mock.patch("runner.patch_cache.write_text_atomically", side_effect=full),
        pytest.raises(JobFailed, match=r"No space left on device.*--cache"),
    ):
        opened(tmp_path, "set")
    assert not list((tmp_path / "cache").glob("*"))
    assert opened(tmp_path, "set").names == ("a.png",)


def test_a_cut_cache_is_made_again(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png", "set/b.png")
    before = opened(tmp_path, "set")
    (flat,) = (tmp_path / "cache").glob("*/hr.u8")
    flat.write_bytes(flat.read_bytes()[:-1])
    assert opened(tmp_path, "set").sha256 == before.sha256
    assert flat.stat().st_size == 2 * 24 * 28 * 3


def test_a_corrupt_image_in_the_middle_is_named_or_skipped_and_the_rest_is_whole(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png", "set/b.png", "set/c.png")
    torn = tmp_path / "set" / "b.png"
    torn.write_bytes(torn.read_bytes()[:-300])
    with pytest.raises(BadInput, match=r"b\.png cannot be decoded.*--on-bad skip"):
        opened(tmp_path, "set")
    assert not list((tmp_path / "cache").glob("*"))
    images = opened(tmp_path, "set", on_bad=OnBad.SKIP)
    assert images.names == ("a.png", "c.png")
    assert [line.partition(":")[0] for line in images.skipped] == ["b.png"]
    assert np.array_equal(images.image(1)[1], picture(2))


def test_patches_drawn_ahead_are_those_drawn_when_asked(tmp_path: Path) -> None:
    plant(tmp_path, "set/a.png", "set/b.png")
    images = opened(tmp_path, "set")
    options = {"first": 3, "last": 12, "batch": 4, "lr_patch_px": 8, "seed": 1}
    ahead = [list(drawn_ahead(images, workers=workers, **options)) for workers in (0, 1, 3)]
    for other in ahead[1:]:
        assert len(other) == 9
        assert all(
            np.array_equal(a, b) for x, y in zip(ahead[0], other, strict=True) for a, b in zip(x, y, strict=True)
        )
