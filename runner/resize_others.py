"""LR by tools other than MATLAB: OpenCV's bicubic, in numpy, and Pillow's, by Pillow; and LR by any recipe."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.resize import U8, check_resizable, matlab_bicubic, modcrop_size, parse_recipe
from zoo.protocols import LrRecipe, Size

I64 = npt.NDArray[np.int64]

_OPENCV_A: Final = -0.75
_COEFFICIENT_BITS: Final = 11
"""cv2 resizes uint8 with weights of 11 bits in each direction."""
_UNIT: Final = 1 << 2 * _COEFFICIENT_BITS


def make_lr(img: U8, scale: int, recipe: LrRecipe | str = LrRecipe.MATLAB_U8) -> U8:
    """LR of a uint8 image (h, w) or (h, w, c) by any recipe: (h // scale, w // scale) after mod-crop.

    Raises BadInput as `matlab_bicubic` does.
    """
    match parse_recipe(recipe):
        case LrRecipe.OPENCV:
            return opencv_cubic(img, scale)
        case LrRecipe.PIL:
            return pil_bicubic(img, scale)
        case matlab:
            return matlab_bicubic(img, scale, matlab)


def pil_bicubic(img: U8, scale: int) -> U8:
    """Pillow's own antialiased bicubic after mod-crop. Raises BadInput."""
    check_resizable(img, scale)
    size = modcrop_size(Size(*img.shape[:2]), scale)
    small = (size.width // scale, size.height // scale)
    # Channel by channel: Pillow takes two channels for grey with alpha, and weights the one by the other.
    cropped = np.atleast_3d(img[: size.height, : size.width])
    channels = [
        Image.fromarray(cropped[:, :, c]).resize(small, Image.Resampling.BICUBIC) for c in range(cropped.shape[2])
    ]
    lr: U8 = np.stack([np.asarray(channel) for channel in channels], axis=2)
    return lr[:, :, 0] if img.ndim == 2 else lr


def opencv_cubic(img: U8, scale: int) -> U8:
    """`cv2.resize(..., interpolation=INTER_CUBIC)` after mod-crop. Raises BadInput.

    Four taps without antialiasing, 11-bit weights, sums in whole numbers, exact halves to even: every value of cv2 4.10
    to 5.0 on x86-64, whose wheels leave grey and RGB to Intel's IPP (`tests/test_resize_others.py`). Without IPP, for
    two channels and for an LR one pixel wide, cv2's own code rounds halves up in the last values of a row, which do not
    fill a vector (there: the count of values modulo 8), and is 1 above this: 3 values in a million of Set5, Set14 and
    B100 (RGB) at x2 and x4, none at x3. Halves themselves are 2 and 3 values in a thousand of these sets.
    """
    return _to_u8(opencv_sums(img, scale))


def opencv_sums(img: U8, scale: int) -> I64:
    """What `opencv_cubic` rounds: values times 2**22, (h // scale, w // scale[, c]). Raises BadInput."""
    check_resizable(img, scale)
    size = modcrop_size(Size(*img.shape[:2]), scale)
    cropped = img[: size.height, : size.width].astype(np.int64)
    across = _cubic_pass(cropped.swapaxes(0, 1), scale).swapaxes(0, 1)
    return np.ascontiguousarray(_cubic_pass(across, scale))


def opencv_ties(sums: I64) -> npt.NDArray[np.bool_]:
    """Where a sum lies exactly between two grey levels: cv2 with IPP and without may round it differently."""
    ties: npt.NDArray[np.bool_] = (sums & (_UNIT - 1)) == _UNIT // 2
    return ties


def _to_u8(sums: I64) -> U8:
    down = sums >> 2 * _COEFFICIENT_BITS
    rest = sums & (_UNIT - 1)
    up = (rest > _UNIT // 2) | ((rest == _UNIT // 2) & (down & 1 == 1))
    lr: U8 = np.clip(down + up, 0, 255).astype(np.uint8)
    return lr


def _cubic_pass(values: I64, scale: int) -> I64:
    """One pass along axis 0: output i is centred at source (i + 0.5) * scale - 0.5; the border pixel is repeated."""
    outputs = values.shape[0] // scale
    # The scale is whole, so every output lies at the same fraction between its source pixels.
    offset = (scale - 1) // 2
    weights = _cubic_weights((scale - 1) / 2 - offset)
    source = np.arange(outputs) * scale + offset
    last = values.shape[0] - 1
    out: I64 = np.sum([weights[k] * values[np.clip(source + k - 1, 0, last)] for k in range(4)], axis=0, dtype=np.int64)
    return out


def _cubic_weights(fraction: float) -> list[int]:
    """cv2's `interpolateCubic` at a fraction between two pixels, in units of 2**-11, rounded to nearest."""
    x, a = fraction, _OPENCV_A
    first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
    second = ((a + 2) * x - (a + 3)) * x * x + 1
    third = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1
    weights = (first, second, third, 1 - first - second - third)
    return [round(weight * (1 << _COEFFICIENT_BITS)) for weight in weights]
