"""LR by OpenCV's rule, against exact arithmetic by hand and torch's cubic, and by Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from runner.resize import U8, matlab_bicubic
from runner.resize_others import make_lr, opencv_cubic, opencv_sums, opencv_ties, pil_bicubic
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

_images = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, min_side=8, max_side=24).map(lambda s: (*s[:2], 3)))


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


def test_pil_is_pillow() -> None:
    img = np.random.default_rng(1).integers(0, 256, (25, 34, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(img[:24, :32]).resize((8, 6), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pil_bicubic(img, 4), expected)
    np.testing.assert_array_equal(pil_bicubic(img[:, :, 0], 4), expected[:, :, 0])


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
