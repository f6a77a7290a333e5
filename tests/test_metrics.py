"""PSNR and SSIM against scikit-image, formulas by hand, and the properties that any such metric has."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from runner.metrics import ShapeMismatch, psnr, psnr_y, scores, ssim, ssim_y
from zoo.protocols import Colour, EvalProtocol, Rounding, SsimWindow

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]


def _luma(img: npt.NDArray[Any]) -> F64:
    """BT.601 limited range, as ITU-R writes it."""
    r, g, b = (img[..., c].astype(np.float64) for c in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def _reference_ssim(x: F64, y: F64) -> float:
    """scikit-image's Gaussian SSIM, mean over the windows that lie inside."""
    _, full = structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    return float(full[5:-5, 5:-5].mean())


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[U8, U8]:
    height, width = (draw(st.integers(11, 60)) for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 8, 255]))
    low = draw(st.integers(0, 255))
    hr = np.clip(low + rng.integers(0, spread + 1, (height, width, 3)), 0, 255).astype(np.uint8)
    noise = rng.integers(-spread, spread + 1, hr.shape)
    return np.clip(hr + noise, 0, 255).astype(np.uint8), hr


@given(pair=_pairs())
def test_agrees_with_scikit_image_to_1e_9(pair: tuple[U8, U8]) -> None:
    sr, hr = pair
    assert ssim_y(sr, hr, crop_border_px=0) == pytest.approx(_reference_ssim(_luma(sr), _luma(hr)), abs=1e-9)
    if (_luma(sr) != _luma(hr)).any():
        expected = peak_signal_noise_ratio(_luma(hr), _luma(sr), data_range=255)
        assert psnr_y(sr, hr, crop_border_px=0) == pytest.approx(expected, abs=1e-9)


@given(pair=_pairs())
def test_rgb_agrees_with_scikit_image(pair: tuple[U8, U8]) -> None:
    sr, hr = pair
    protocol = EvalProtocol(colour=Colour.RGB, crop_border_px=0)
    channels = [_reference_ssim(sr[..., c].astype(float), hr[..., c].astype(float)) for c in range(3)]
    assert ssim(sr, hr, protocol, 4) == pytest.approx(np.mean(channels), abs=1e-9)
    if (sr != hr).any():
        expected = peak_signal_noise_ratio(hr, sr, data_range=255)
        assert psnr(sr, hr, protocol, 4) == pytest.approx(expected, abs=1e-9)


@given(pair=_pairs())
def test_equal_images_score_infinity_and_exactly_one(pair: tuple[U8, U8]) -> None:
    hr = pair[1]
    assert psnr_y(hr, hr.copy(), crop_border_px=0) == math.inf
    assert ssim_y(hr, hr.copy(), crop_border_px=0) == 1.0


@given(pair=_pairs())
def test_both_are_symmetric_and_ssim_is_bounded(pair: tuple[U8, U8]) -> None:
    sr, hr = pair
    assert psnr_y(sr, hr, crop_border_px=0) == psnr_y(hr, sr, crop_border_px=0)
    assert ssim_y(sr, hr, crop_border_px=0) == pytest.approx(ssim_y(hr, sr, crop_border_px=0), abs=1e-14)
    assert -1 <= ssim_y(sr, hr, crop_border_px=0) <= 1


def test_constant_images_by_hand() -> None:
    """Luma of grey g is 16 + 219 g / 255; without variance SSIM is its luminance term."""
    hr, sr = (np.full((20, 24, 3), level, np.uint8) for level in (100, 110))
    assert psnr_y(sr, hr, crop_border_px=2) == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-9)
    a, b = (16 + 219 * level / 255 for level in (100, 110))
    c1 = 2.55**2
    assert ssim_y(sr, hr, crop_border_px=2) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-9)


def test_full_range_luma_is_lower_by_exactly_the_ratio_of_the_ranges() -> None:
    rng = np.random.default_rng(1)
    hr = rng.integers(0, 256, (30, 30, 1)).repeat(3, axis=2).astype(np.uint8)
    sr = rng.integers(0, 256, (30, 30, 1)).repeat(3, axis=2).astype(np.uint8)
    limited, full = (psnr(sr, hr, EvalProtocol(colour=colour), 2) for colour in (Colour.Y, Colour.Y_FULL))
    assert limited - full == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


def test_the_border_is_cut_and_defaults_to_the_scale() -> None:
    rng = np.random.default_rng(2)
    hr = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    sr = hr.copy()
    sr[:4], sr[-4:], sr[:, :4], sr[:, -4:] = 0, 0, 0, 0
    assert psnr(sr, hr, EvalProtocol(), 4) == math.inf
    assert ssim(sr, hr, EvalProtocol(), 4) == 1.0
    assert psnr(sr, hr, EvalProtocol(), 3) < math.inf
    inner = (slice(3, -3), slice(3, -3))
    assert ssim_y(sr, hr, crop_border_px=3) == ssim_y(sr[inner], hr[inner], crop_border_px=0)


def test_rounded_luma_follows_matlab() -> None:
    rng = np.random.default_rng(3)
    sr, hr = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    protocol = EvalProtocol(rounding=Rounding.SR_AND_LUMA, crop_border_px=0)
    expected = peak_signal_noise_ratio(np.floor(_luma(hr) + 0.5), np.floor(_luma(sr) + 0.5), data_range=255)
    assert psnr(sr, hr, protocol, 4) == pytest.approx(expected, abs=1e-9)


def test_float_sr_is_compared_unrounded() -> None:
    rng = np.random.default_rng(4)
    hr = rng.integers(1, 255, (32, 32, 3), dtype=np.uint8)
    sr = hr + rng.uniform(-0.4, 0.4, hr.shape)
    protocol = EvalProtocol(rounding=Rounding.NONE)
    both = scores(sr, hr, protocol, 4)
    inner = (slice(4, -4), slice(4, -4))
    expected = peak_signal_noise_ratio(_luma(hr[inner]), _luma(sr[inner]), data_range=255)
    assert both.psnr_db == pytest.approx(expected, abs=1e-9)
    assert both.ssim == pytest.approx(_reference_ssim(_luma(sr[inner]), _luma(hr[inner])), abs=1e-9)


def test_one_window_by_the_definition() -> None:
    """11x11 pixels are one window: weighted means, variances and covariance written out."""
    rng = np.random.default_rng(5)
    sr, hr = rng.integers(0, 256, (2, 11, 11, 3), dtype=np.uint8)
    x, y = _luma(sr), _luma(hr)
    axis = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    w = np.outer(axis, axis) / axis.sum() ** 2
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim_y(sr, hr, crop_border_px=0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("sr", "hr", "crop", "words"),
    [
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 24, 3), np.uint8), 0, r"\(20, 20, 3\).*\(20, 24, 3\)"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8), 0, "RGB"),
        (np.zeros((20, 20, 3), np.float32), np.zeros((20, 20, 3), np.uint8), 0, "float32"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint16), 0, "uint16"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), 10, "leaves nothing of a 20x20"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), -1, "0 to 9 px"),
        (np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 3), np.uint8), 5, "at least 11x11 px.*10x10"),
    ],
)
def test_images_that_cannot_be_compared(sr: U8, hr: U8, crop: int, words: str) -> None:
    with pytest.raises(ShapeMismatch, match=words):
        ssim_y(sr, hr, crop_border_px=crop)


@given(pair=_pairs())
def test_the_uniform_window_is_the_formula(pair: tuple[U8, U8]) -> None:
    """Means over 7x7, variances with n - 1, summed window by window."""
    sr, hr = (img[:20, :20] for img in pair)
    x, y = (np.lib.stride_tricks.sliding_window_view(_luma(img), (7, 7)).reshape(-1, 49) for img in (sr, hr))
    dx, dy = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    var_x, var_y, cov = ((a * b).sum(1) / 48 for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = x.mean(1), y.mean(1)
    values = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    values /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    protocol = EvalProtocol(ssim_window=SsimWindow.UNIFORM7, crop_border_px=0)
    assert ssim(sr, hr, protocol, 4) == pytest.approx(values.mean(), abs=1e-9)
    assert psnr(sr, hr, protocol, 4) == psnr(sr, hr, EvalProtocol(crop_border_px=0), 4)


def test_rounding_afterwards_rounds_what_is_compared() -> None:
    hr = np.full((20, 20, 3), 100, np.uint8)
    sr = hr + 0.4
    luma = EvalProtocol(rounding=Rounding.LUMA, crop_border_px=0)
    assert psnr(sr, hr, replace(luma, colour=Colour.RGB), 2) == math.inf
    assert psnr(sr, hr, luma, 2) == math.inf  # 16 + 219 * 100.4 / 255 = 102.2 and 101.9
    assert psnr(hr + 1.0, hr, luma, 2) == pytest.approx(10 * math.log10(255**2))  # 102.7 and 101.9


def test_a_window_that_does_not_fit_is_named() -> None:
    img = np.zeros((8, 8, 3), np.uint8)
    assert ssim(img, img, EvalProtocol(ssim_window=SsimWindow.UNIFORM7, crop_border_px=0), 2) == 1
    with pytest.raises(ShapeMismatch, match="7x7"):
        ssim(img, img, EvalProtocol(ssim_window=SsimWindow.UNIFORM7, crop_border_px=1), 2)
