"""LR by OpenCV's rule, against cv2 itself, exact arithmetic by hand and torch's cubic; and by Pillow."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from skimage import data

from runner.images import read_rgb
from runner.resize import U8, matlab_bicubic
from runner.resize_others import make_lr, opencv_cubic, opencv_sums, opencv_ties, pil_bicubic
from tests import shared
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

_images = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, min_side=8, max_side=24).map(lambda s: (*s[:2], 3)))
_any_channels = st.sampled_from([(), (1,), (2,), (3,), (4,)])
_any_image = st.tuples(array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=48), _any_channels).flatmap(
    lambda shape: arrays(np.uint8, shape[0] + shape[1])
)


@pytest.fixture
def cv2_without_ipp() -> Iterator[None]:
    optimised = cv2.useOptimized()
    cv2.setUseOptimized(False)
    try:
        yield
    finally:
        cv2.setUseOptimized(optimised)


def _assert_is_cv2s(img: U8, scale: int) -> None:
    """Equal where cv2 leaves the work to IPP; else it may lie 1 above ours at exact halves, and nowhere else."""
    height, width = img.shape[0] // scale, img.shape[1] // scale
    cropped = img[: height * scale, : width * scale]
    ours = opencv_cubic(img, scale)
    theirs = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_CUBIC).reshape(ours.shape)
    by_ipp = cv2.ipp.useIPP() and img.shape[2:] != (2,) and width > 1
    free = np.zeros(ours.shape, bool) if by_ipp else opencv_ties(opencv_sums(img, scale))
    np.testing.assert_array_equal(theirs[~free], ours[~free])
    assert set((theirs.astype(int) - ours)[free].tolist()) <= {0, 1}


def _natural() -> list[U8]:
    return [data.chelsea(), data.astronaut()[:509, :507], data.camera()[:511, :510]]


@given(img=_any_image, scale=st.sampled_from([2, 3, 4]))
def test_opencv_is_cv2(img: U8, scale: int) -> None:
    _assert_is_cv2s(img, scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("shape", [(128, 96), (129, 97, 3), (131, 95, 3), (1357, 2043, 3), (77, 83, 4)])
def test_opencv_is_cv2_on_noise(shape: tuple[int, ...], scale: int) -> None:
    _assert_is_cv2s(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_opencv_is_cv2_on_natural_images(scale: int) -> None:
    for img in _natural():
        _assert_is_cv2s(img, scale)


@pytest.mark.shared
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_opencv_is_cv2_on_published_images(name: str, scale: int) -> None:
    for path in sorted(shared.require(f"datasets/{name}/HR").iterdir()):
        _assert_is_cv2s(read_rgb(path, grey_to_rgb=True), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_opencv_is_cv2_without_ipp_but_for_halves(cv2_without_ipp: None, scale: int) -> None:
    assert not cv2.ipp.useIPP()
    for img in (*_natural(), np.random.default_rng(0).integers(0, 256, (301, 203, 3), dtype=np.uint8)):
        _assert_is_cv2s(img, scale)


def test_without_ipp_halves_are_rounded_up_where_a_row_does_not_fill_vectors(cv2_without_ipp: None) -> None:
    """Rows of 28.5 alone: a build has vectors of a length of its own, so only that full ones go to even is asserted."""
    img = np.zeros((8, 2 * 67), np.uint8)
    img[2] = 48
    row = cv2.resize(img, (67, 4), interpolation=cv2.INTER_CUBIC)[1]
    assert set(row.tolist()) == {28, 29}
    assert np.flatnonzero(row == 29)[0] % 8 == 0


@given(img=_images, scale=st.sampled_from([2, 3, 4, 5]))
def test_opencv_is_torchs_cubic_but_for_rounding(img: U8, scale: int) -> None:
    """torch interpolates with a = -0.75 and without antialiasing too, in floating point."""
    height, width = (side - side % scale for side in img.shape[:2])
    x = torch.from_numpy(img[:height, :width].astype(np.float64)).permute(2, 0, 1)[None]
    size = (height // scale, width // scale)
    expected = torch.nn.functional.interpolate(x, size, mode="bicubic", align_corners=False, antialias=False)
    exact = expected[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(opencv_sums(img, scale) / 2**22, exact, atol=1e-9)
    tie = np.abs(exact - np.floor(exact) - 0.5) < 1e-9
    np.testing.assert_array_equal(opencv_cubic(img, scale)[~tie], np.clip(np.rint(exact), 0, 255)[~tie])
    np.testing.assert_array_equal(opencv_ties(opencv_sums(img, scale)), tie)


def test_opencv_by_hand() -> None:
    """Weights -3, 19, 19, -3 of 32 at x2 and x4, on the middle four of a row; at x3 the middle pixel alone."""
    row = np.array([[0, 0, 32, 64, 96, 128, 0, 0]] * 8, np.uint8)
    assert opencv_cubic(row, 2)[1].tolist() == [0, 48, 127, 0]  # (19*32 + 19*64 - 3*96) / 32 = 48
    assert opencv_cubic(row, 4)[0].tolist() == [13, 67]
    assert opencv_cubic(np.tile(np.arange(9, dtype=np.uint8) * 10, (9, 1)), 3)[0].tolist() == [10, 40, 70]


def test_halves_go_to_even() -> None:
    """One row of 16 gives 16 * 19 / 32 = 9.5, one of 48 gives 28.5."""
    img = np.zeros((8, 8), np.uint8)
    img[2] = 16
    assert opencv_cubic(img, 2)[1].tolist() == [10] * 4
    img[2] = 48
    assert opencv_cubic(img, 2)[1].tolist() == [28] * 4
    assert opencv_ties(opencv_sums(img, 2))[1].all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pil_is_pillow(scale: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (25, 34, 3), dtype=np.uint8)
    for img in (noise, data.chelsea(), data.astronaut()[:509, :507]):
        height, width = img.shape[0] // scale, img.shape[1] // scale
        cropped = Image.fromarray(img[: height * scale, : width * scale])
        expected = np.asarray(cropped.resize((width, height), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(pil_bicubic(img, scale), expected)
        np.testing.assert_array_equal(pil_bicubic(img[:, :, 0], scale), expected[:, :, 0])


def test_every_recipe_is_made_and_no_two_are_alike() -> None:
    img = np.random.default_rng(0).integers(0, 256, (26, 34, 3), dtype=np.uint8)
    made = {recipe: make_lr(img, 4, recipe) for recipe in LrRecipe}
    assert {lr.shape for lr in made.values()} == {(6, 8, 3)}
    assert len({lr.tobytes() for lr in made.values()}) == len(LrRecipe)
    np.testing.assert_array_equal(make_lr(img, 4, "matlab-float"), matlab_bicubic(img, 4, LrRecipe.MATLAB_FLOAT))


@pytest.mark.parametrize("recipe", ["opencv", "pil"])
@pytest.mark.parametrize(("shape", "scale"), [((8, 3, 3), 4), ((8, 8), 1), ((0, 8, 3), 2)])
def test_bad_input_is_named(recipe: str, shape: tuple[int, ...], scale: int) -> None:
    with pytest.raises(BadInput, match="at least"):
        make_lr(np.zeros(shape, np.uint8), scale, recipe)
