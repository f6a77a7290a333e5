"""MATLAB's bicubic downsampling of uint8 images, equal to `imresize` in every value, by three recipes.

The recipes share the antialiased cubic kernel (a = -0.5, stretched by the scale), rows before columns, and round half
up at the end; they differ in the border and in the rounding between the two passes (`zoo.protocols.LrRecipe`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from zoo.contract import BadInput
from zoo.protocols import LrRecipe, Size

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Steps:
    """What a recipe does beside the common kernel."""

    border: Literal["symmetric", "edge"]
    "numpy's name: `symmetric` mirrors with the edge repeated, `edge` repeats the edge pixel."
    round_between: bool
    "True where `imresize` works on uint8, so that the first pass ends in uint8."


_STEPS = {
    LrRecipe.MATLAB_U8: _Steps("symmetric", round_between=True),
    LrRecipe.MATLAB_FLOAT: _Steps("symmetric", round_between=False),
    LrRecipe.MATLAB_U8_REPLICATE: _Steps("edge", round_between=True),
}


def matlab_bicubic(img: U8, scale: int, recipe: LrRecipe | str = LrRecipe.MATLAB_U8) -> U8:
    """LR of a uint8 image (h, w) or (h, w, c): (h // scale, w // scale) after mod-crop at the bottom and right.

    Raises BadInput on another type or shape, a scale below 2, a side shorter than the scale, or an unknown recipe.
    """
    check_resizable(img, scale)
    steps = _steps(parse_recipe(recipe))
    size = modcrop_size(Size(*img.shape[:2]), scale)
    cropped = img[: size.height, : size.width]
    rows = _downsample_rows(cropped.astype(np.float64), scale, steps.border)
    if steps.round_between:
        rows = _round_half_up(rows)
    both = _downsample_rows(rows.swapaxes(0, 1), scale, steps.border).swapaxes(0, 1)
    return np.ascontiguousarray(_round_half_up(both).astype(np.uint8))


def modcrop_size(hr: Size, scale: int) -> Size:
    """The largest multiple of the scale in each side."""
    return Size(hr.height - hr.height % scale, hr.width - hr.width % scale)


def parse_recipe(recipe: LrRecipe | str) -> LrRecipe:
    """The recipe of an id like `matlab-u8`. Raises BadInput with the known ids."""
    try:
        return LrRecipe(recipe)
    except ValueError:
        known = ", ".join(r.value for r in LrRecipe)
        raise BadInput(f"There is no LR recipe {recipe!r}. Known: {known}.") from None


def _steps(recipe: LrRecipe) -> _Steps:
    if recipe not in _STEPS:
        known = ", ".join(r.value for r in _STEPS)
        raise BadInput(f"{recipe.value} is not MATLAB's: `make_lr` takes it. MATLAB's recipes: {known}.")
    return _STEPS[recipe]


def check_resizable(img: U8, scale: int) -> None:
    """Raises BadInput unless the image is uint8 (h, w) or (h, w, c) and has an LR at this scale."""
    if img.dtype != np.uint8 or img.ndim not in (2, 3):
        raise BadInput(f"Downsampling got {img.dtype} of shape {img.shape}. Expected uint8 (h, w) or (h, w, c).")
    if scale < 2:
        raise BadInput(f"Downsampling got scale {scale}. Expected an integer of at least 2.")
    if min(img.shape[:2]) < scale:
        raise BadInput(
            f"An image of {Size(*img.shape[:2])} has no x{scale} LR. Both sides must be at least {scale} px."
        )


def _kernel(scale: int) -> tuple[F64, int]:
    """Weights of one output pixel, and the source index of the first (negative) for output 0.

    An integer scale gives every output the same weights: its centre lies at (scale - 1) / 2 of its own source pixels.
    """
    centre = (scale - 1) / 2
    # MATLAB counts from floor(centre - half the support) and takes two taps more than the support; the outer are zero.
    first = int(np.floor(centre - 2 * scale))
    taps = np.arange(first, first + 4 * scale + 2)
    weights = _cubic((centre - taps) / scale)
    used = np.flatnonzero(weights)
    taps, weights = taps[used[0] : used[-1] + 1], weights[used[0] : used[-1] + 1]
    return weights / weights.sum(), int(taps[0])


def _cubic(x: F64) -> F64:
    """Keys' cubic convolution kernel with a = -0.5. Source: IEEE Trans. ASSP 29(6), 1981."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _downsample_rows(img: F64, scale: int, border: Literal["symmetric", "edge"]) -> F64:
    """One pass along axis 0, whose length is a multiple of the scale."""
    weights, first = _kernel(scale)
    height = img.shape[0]
    after = first + len(weights) - scale
    padded = np.pad(img, [(-first, after)] + [(0, 0)] * (img.ndim - 1), mode=border)
    out = np.zeros((height // scale, *img.shape[1:]))
    for k, weight in enumerate(weights):
        out += weight * padded[k : k + height - scale + 1 : scale]
    return out


def _round_half_up(values: F64) -> F64:
    """MATLAB's conversion to uint8: nearest, halves up (numpy takes them to even), 0..255."""
    return np.clip(np.floor(values + 0.5), 0, 255)
