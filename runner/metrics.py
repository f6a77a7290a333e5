"""PSNR and SSIM of two images: pure functions in float64, checked against scikit-image.

Luma is BT.601; the limited range (16..235) is the field's. SSIM is the original one: 11x11 Gaussian of sigma 1.5,
windows that lie wholly inside the image, K1 = 0.01, K2 = 0.03. Source: Wang et al., IEEE TIP 13(4), 2004.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from zoo.contract import BadInput
from zoo.protocols import Colour, EvalProtocol, Rounding, SsimWindow

Image = npt.NDArray[np.uint8] | npt.NDArray[np.floating[Any]]
"""(h, w, 3) RGB in 0..255."""
F64 = npt.NDArray[np.float64]

PEAK: Final = 255.0
WINDOW_PX: Final = 11
WINDOW_SIGMA: Final = 1.5
UNIFORM_PX: Final = 7
_C1: Final = (0.01 * PEAK) ** 2
_C2: Final = (0.03 * PEAK) ** 2
_LUMA: Final = {
    Colour.Y: (np.array([65.481, 128.553, 24.966]) / 255, 16.0),
    Colour.Y_FULL: (np.array([0.299, 0.587, 0.114]), 0.0),
}


class ShapeMismatch(BadInput):
    """Two images that cannot be compared pixel by pixel."""


@dataclass(frozen=True)
class Scores:
    """Both metrics of one image pair."""

    psnr_db: float
    "inf for identical images."
    ssim: float


def psnr_y(sr: Image, hr: Image, *, crop_border_px: int) -> float:
    """PSNR in dB on BT.601 limited-range luma of two uint8 RGB images (h, w, 3); inf if equal. Raises ShapeMismatch."""
    return _psnr(*_planes(sr, hr, EvalProtocol(crop_border_px=crop_border_px), scale=1))


def ssim_y(sr: Image, hr: Image, *, crop_border_px: int) -> float:
    """SSIM on BT.601 limited-range luma of two uint8 RGB images (h, w, 3); 1.0 if equal. Raises ShapeMismatch."""
    protocol = EvalProtocol(crop_border_px=crop_border_px)
    return _ssim(*_planes(sr, hr, protocol, scale=1), protocol.ssim_window)


def psnr(sr: Image, hr: Image, protocol: EvalProtocol, scale: int) -> float:
    """PSNR in dB by the protocol's colour, crop and rounding; inf if equal. Raises ShapeMismatch."""
    return _psnr(*_planes(sr, hr, protocol, scale))


def ssim(sr: Image, hr: Image, protocol: EvalProtocol, scale: int) -> float:
    """SSIM by the protocol's colour, crop, rounding and window, mean of the channels; 1.0 if equal.

    Raises ShapeMismatch.
    """
    return _ssim(*_planes(sr, hr, protocol, scale), protocol.ssim_window)


def scores(sr: Image, hr: Image, protocol: EvalProtocol, scale: int) -> Scores:
    """Both metrics with one colour conversion. Raises ShapeMismatch."""
    sr_planes, hr_planes = _planes(sr, hr, protocol, scale)
    return Scores(_psnr(sr_planes, hr_planes), _ssim(sr_planes, hr_planes, protocol.ssim_window))


def _planes(sr: Image, hr: Image, protocol: EvalProtocol, scale: int) -> tuple[F64, F64]:
    """Both images as float64 planes (c, h, w) in the protocol's colour, borders cut."""
    _check(sr, hr, protocol.rounding)
    crop = protocol.crop_px(scale)
    height, width = hr.shape[0] - 2 * crop, hr.shape[1] - 2 * crop
    if crop < 0 or min(height, width) < 1:
        raise ShapeMismatch(
            f"Cutting {crop} px on each side leaves nothing of a {hr.shape[0]}x{hr.shape[1]} image. "
            f"Pass a larger image or a crop border from 0 to {(min(hr.shape[:2]) - 1) // 2} px."
        )
    inside = (slice(crop, crop + height), slice(crop, crop + width))
    return _colour(sr[inside], protocol), _colour(hr[inside], protocol)


def _check(sr: Image, hr: Image, rounding: Rounding) -> None:
    if sr.shape != hr.shape or hr.ndim != 3 or hr.shape[2] != 3:
        raise ShapeMismatch(
            f"SR of shape {sr.shape} cannot be compared with HR of shape {hr.shape}. "
            f"Expected two RGB images (h, w, 3) of one size."
        )
    float_sr_allowed = not rounding.of_sr and np.issubdtype(sr.dtype, np.floating)
    if hr.dtype != np.uint8 or not (sr.dtype == np.uint8 or float_sr_allowed):
        raise ShapeMismatch(
            f"Metrics got SR of {sr.dtype} and HR of {hr.dtype}. Expected uint8 images "
            f"(SR may be float in 0..255 where the protocol does not round it)."
        )


def _colour(img: Image, protocol: EvalProtocol) -> F64:
    """(h, w, 3) -> (1, h, w) luma or (3, h, w)."""
    if protocol.colour is Colour.RGB:
        planes = np.ascontiguousarray(np.moveaxis(img, 2, 0), dtype=np.float64)
        return np.floor(planes + 0.5) if protocol.rounding is Rounding.LUMA else planes
    weights, offset = _LUMA[protocol.colour]
    luma: F64 = img.astype(np.float64) @ weights + offset
    if protocol.rounding in (Rounding.SR_AND_LUMA, Rounding.LUMA):
        luma = np.floor(luma + 0.5)
    return luma[None]


def _psnr(sr: F64, hr: F64) -> float:
    difference = (sr - hr).ravel()
    mse = float(difference @ difference) / difference.size
    return math.inf if mse == 0 else 10 * math.log10(PEAK**2 / mse)


def _ssim(sr: F64, hr: F64, window: SsimWindow) -> float:
    """Mean SSIM over all windows inside the planes (c, h, w)."""
    if window is SsimWindow.UNIFORM7:
        return _ssim_uniform(sr, hr)
    height, width = hr.shape[1:]
    if min(height, width) < WINDOW_PX:
        raise ShapeMismatch(
            f"SSIM needs at least {WINDOW_PX}x{WINDOW_PX} px after the border is cut, got {height}x{width}. "
            f"Pass a larger image or a smaller crop border."
        )
    windows: int = (height - WINDOW_PX + 1) * (width - WINDOW_PX + 1)
    totals = [_ssim_sum(x, y) for x, y in zip(sr, hr, strict=True)]
    return math.fsum(totals) / (windows * len(totals))


def _ssim_uniform(sr: F64, hr: F64) -> float:
    """scikit-image's own value with its default window, mean of the planes (c, h, w)."""
    # Imported here: it takes a quarter of a second, and few ask for this window.
    from skimage.metrics import structural_similarity

    height, width = hr.shape[1:]
    if min(height, width) < UNIFORM_PX:
        raise ShapeMismatch(
            f"SSIM by a uniform window needs at least {UNIFORM_PX}x{UNIFORM_PX} px after the border is cut, got "
            f"{height}x{width}. Pass a larger image or a smaller crop border."
        )
    compare: Callable[..., float] = structural_similarity
    values = [compare(x, y, win_size=UNIFORM_PX, data_range=PEAK) for x, y in zip(sr, hr, strict=True)]
    return math.fsum(values) / len(values)


# One band of rows and its maps stay in the processor's cache; a banded matrix of this size is mostly not zero.
_BLOCK_PX: Final = 16


def _ssim_sum(x: F64, y: F64) -> float:
    """Sum of the SSIM map of two planes (h, w).

    Filtering x + y, x - y and their squares gives all that SSIM needs of the five usual maps: the product of the means
    is (s^2 - d^2) / 4, the covariance (var s - var d) / 4, the sum of the variances (var s + var d) / 2. With equal
    images d is zero, so numerator and denominator are the same number and the result is exactly 1.
    """
    rows = x.shape[0] - WINDOW_PX + 1
    total = 0.0
    for top in range(0, rows, _BLOCK_PX):
        band = slice(top, min(top + _BLOCK_PX, rows) + WINDOW_PX - 1)
        s, d = x[band] + y[band], x[band] - y[band]
        mean_s, mean_d, square_s, square_d = _blur(np.stack((s, d, s * s, d * d)))
        mean_s *= mean_s
        mean_d *= mean_d
        var_s, var_d = square_s - mean_s, square_d - mean_d
        numerator = ((mean_s - mean_d) / 2 + _C1) * ((var_s - var_d) / 2 + _C2)
        denominator = ((mean_s + mean_d) / 2 + _C1) * ((var_s + var_d) / 2 + _C2)
        total += float(np.sum(numerator / denominator))
    return total


def _blur(maps: F64) -> F64:
    """Gaussian window over (n, h, w), windows inside only: (n, h - 10, w - 10).

    Each pass is a product with a banded matrix, a block of outputs at a time: matrix products of that size are faster
    than 11 shifted sums.
    """
    columns = _window_matrix(maps.shape[1] - WINDOW_PX + 1) @ maps
    width = maps.shape[2] - WINDOW_PX + 1
    whole = width - width % _BLOCK_PX
    rest = columns[:, :, whole:] @ _window_matrix(width - whole).T
    if not whole:
        return rest
    blocks = sliding_window_view(columns, _BLOCK_PX + WINDOW_PX - 1, axis=2)[:, :, :whole:_BLOCK_PX]
    filtered = np.moveaxis(blocks, 2, 0) @ _window_matrix(_BLOCK_PX).T
    return np.concatenate((np.moveaxis(filtered, 0, 2).reshape(*columns.shape[:2], whole), rest), axis=2)


@cache
def _window_matrix(outputs: int) -> F64:
    """(outputs, outputs + 10): row i holds the window's weights from column i on."""
    offsets = np.arange(WINDOW_PX) - WINDOW_PX // 2
    window = np.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    window /= window.sum()
    matrix = np.zeros((outputs, outputs + WINDOW_PX - 1))
    for row in range(outputs):
        matrix[row, row : row + WINDOW_PX] = window
    return matrix
