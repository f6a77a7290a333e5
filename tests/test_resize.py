"""MATLAB's bicubic downsampling: against its own files, and against exact integer arithmetic with weights by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runner.images import read_rgb
from runner.resize import matlab_bicubic
from tests import shared
from zoo.contract import BadInput
from zoo.protocols import LrRecipe

U8 = npt.NDArray[np.uint8]
MATLAB = (LrRecipe.MATLAB_U8, LrRecipe.MATLAB_FLOAT, LrRecipe.MATLAB_U8_REPLICATE)

# Twice the cubic (a = -0.5) at distances 1/4, 3/4, ... (x2), 0, 1/3, ... (x3), 1/8, 3/8, ... (x4), scaled to integers.
HALF_KERNELS = {
    2: (256, (111, 29, -9, -3)),
    3: (81, (27, 21, 9, 0, -2, -1)),
    4: (4096, (987, 745, 399, 93, -49, -75, -45, -7)),
}


def _taps(scale: int) -> tuple[int, list[int]]:
    """Denominator and the weights of one output pixel, from the first source pixel to the last."""
    denominator, half = HALF_KERNELS[scale]
    mirrored = list(half[::-1]) if scale % 2 == 0 else list(half[:0:-1])
    return denominator, mirrored + list(half)


def _exact_pass(img: npt.NDArray[np.object_], scale: int, *, replicate: bool) -> npt.NDArray[np.object_]:
    """Numerators of one pass along axis 0."""
    _, taps = _taps(scale)
    height = img.shape[0]
    reach = (len(taps) - scale) // 2
    out = np.zeros((height // scale, *img.shape[1:]), dtype=object)
    for i in range(height // scale):
        for k, weight in enumerate(taps):
            j = i * scale + k - reach
            if replicate:
                j = min(max(j, 0), height - 1)
            else:
                j %= 2 * height
                j = min(j, 2 * height - 1 - j)
            out[i] += weight * img[j]
    return out


def _exact(img: U8, scale: int, recipe: LrRecipe) -> U8:
    """The recipe in integers: no value is rounded but where the recipe says so."""
    denominator, _ = _taps(scale)
    replicate = recipe is LrRecipe.MATLAB_U8_REPLICATE

    def to_u8(numerator: npt.NDArray[np.object_], divisor: int) -> npt.NDArray[np.object_]:
        rounded = (2 * numerator + divisor) // (2 * divisor)
        return np.minimum(np.maximum(rounded, 0), 255)

    height, width = (side - side % scale for side in img.shape[:2])
    first = _exact_pass(img[:height, :width].astype(object), scale, replicate=replicate)
    divisor = denominator
    if recipe is LrRecipe.MATLAB_FLOAT:
        divisor *= denominator
    else:
        first = to_u8(first, denominator)
    second = _exact_pass(first.swapaxes(0, 1), scale, replicate=replicate).swapaxes(0, 1)
    return to_u8(second, divisor).astype(np.uint8)


@st.composite
def _images(draw: st.DrawFn, scale: int) -> U8:
    height, width = (draw(st.integers(scale, 5 * scale + 1)) for _ in range(2))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([2, 3, 17, 256]))
    noise = np.random.default_rng(seed).integers(0, levels, (height, width, 2))
    return (noise * 255 // (levels - 1)).astype(np.uint8)


@pytest.mark.parametrize("recipe", MATLAB)
@pytest.mark.parametrize("scale", [2, 3, 4])
@given(data=st.data())
def test_equals_exact_integer_arithmetic(recipe: LrRecipe, scale: int, data: st.DataObject) -> None:
    img = data.draw(_images(scale))
    np.testing.assert_array_equal(matlab_bicubic(img, scale, recipe), _exact(img, scale, recipe))


@pytest.mark.shared
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_matlabs_own_files_in_every_value(scale: int) -> None:
    folder = shared.require("datasets/Set5")
    values = 0
    for hr in sorted((folder / "HR").iterdir()):
        official = read_rgb(folder / f"LR_bicubic/X{scale}/{hr.stem}x{scale}.png")
        np.testing.assert_array_equal(matlab_bicubic(read_rgb(hr), scale), official)
        values += official.size
    assert values == {2: 425_592, 3: 187_962, 4: 106_398}[scale]


def test_impulse_response_by_hand() -> None:
    """A row of 200 in 100: 100 + 100 w, w = -3, 29, 111, -9 of 256."""
    img = np.full((16, 4), 100, np.uint8)
    img[8] = 200
    column = matlab_bicubic(img, 2)[:, 0]
    assert column.tolist() == [100, 100, 99, 111, 143, 96, 100, 100]


def test_borders_by_hand() -> None:
    """One row of 200 above 100: mirrored it is met twice (111 + 29 of 256), replicated four times (+ -9 + -3)."""
    img = np.full((16, 2), 100, np.uint8)
    img[0] = 200
    assert matlab_bicubic(img, 2, "matlab-u8")[0, 0] == 155  # 100 + 100 * 140 / 256 = 154.69
    assert matlab_bicubic(img, 2, "matlab-u8-replicate")[0, 0] == 150  # 100 + 100 * 128 / 256


def test_halves_are_rounded_up() -> None:
    """Alternating 0 and 1 average to exactly one half at x2."""
    img = np.tile(np.array([[0], [1]], np.uint8), (8, 2))
    assert matlab_bicubic(img, 2)[3].tolist() == [1]


@pytest.mark.parametrize("recipe", MATLAB)
@given(scale=st.integers(2, 9), level=st.integers(0, 255), height=st.integers(1, 3), width=st.integers(1, 3))
def test_a_constant_image_stays_constant(recipe: LrRecipe, scale: int, level: int, height: int, width: int) -> None:
    lr = matlab_bicubic(np.full((height * scale, width * scale, 3), level, np.uint8), scale, recipe)
    assert lr.shape == (height, width, 3)
    assert (lr == level).all()


@pytest.mark.parametrize("recipe", MATLAB)
@pytest.mark.parametrize("scale", [2, 3, 4])
@given(data=st.data())
def test_flips_commute_where_the_scale_divides_the_size(recipe: LrRecipe, scale: int, data: st.DataObject) -> None:
    img = data.draw(_images(scale))
    height, width = (side - side % scale for side in img.shape[:2])
    img = img[:height, :width]
    lr = matlab_bicubic(img, scale, recipe)
    np.testing.assert_array_equal(matlab_bicubic(img[::-1], scale, recipe), lr[::-1])
    np.testing.assert_array_equal(matlab_bicubic(img[:, ::-1], scale, recipe), lr[:, ::-1])


@given(img=arrays(np.uint8, (11, 14, 3)), scale=st.sampled_from([2, 3, 4]))
def test_odd_rows_and_columns_are_cropped_first(img: U8, scale: int) -> None:
    cropped = img[: 11 - 11 % scale, : 14 - 14 % scale]
    lr = matlab_bicubic(img, scale)
    np.testing.assert_array_equal(lr, matlab_bicubic(cropped, scale))
    assert lr.shape == (11 // scale, 14 // scale, 3)


def test_a_grey_image_equals_a_channel() -> None:
    img = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(matlab_bicubic(img[:, :, 1], 4), matlab_bicubic(img, 4)[:, :, 1])


@pytest.mark.parametrize(
    ("shape", "dtype", "scale", "recipe", "words"),
    [
        ((8, 8, 3), np.float32, 2, "matlab-u8", "float32"),
        ((8, 8, 3, 1), np.uint8, 2, "matlab-u8", "shape"),
        ((8, 8, 3), np.uint8, 1, "matlab-u8", "at least 2"),
        ((8, 3, 3), np.uint8, 4, "matlab-u8", "at least 4 px"),
        ((0, 8, 3), np.uint8, 2, "matlab-u8", "0x8"),
        ((8, 8, 3), np.uint8, 2, "matlab", "matlab-u8, matlab-float, matlab-u8-replicate"),
        ((8, 8, 3), np.uint8, 2, "pil", "not MATLAB's"),
    ],
)
def test_bad_input_is_named(
    shape: tuple[int, ...], dtype: type[np.generic], scale: int, recipe: str, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        matlab_bicubic(np.zeros(shape, dtype), scale, recipe)  # type: ignore[arg-type]
