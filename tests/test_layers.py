"""Shared layers against independent implementations: timm's, torch's, and formulas by hand."""

from __future__ import annotations

import pytest
import torch
from timm.layers import LayerNorm2d
from timm.models.swin_transformer import window_partition as timm_partition
from timm.models.swin_transformer import window_reverse as timm_reverse
from torch import Tensor
from torch.nn import functional as F

from zoo.layers.attention import population_std
from zoo.layers.colour import MeanShift
from zoo.layers.norm import ChannelLayerNorm, LocalVariance
from zoo.layers.windows import window_partition, window_reverse


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 6, 24, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_channel_layer_norm_equals_timms(x: Tensor, eps: float) -> None:
    ours, theirs = ChannelLayerNorm(6, eps=eps).double(), LayerNorm2d(6, eps=eps).double()
    state = {"weight": torch.rand(6).double(), "bias": torch.rand(6).double()}
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [(8, 8), (4, 16), (24, 2)])
def test_windows_equal_timms(x: Tensor, window: tuple[int, int]) -> None:
    expected = timm_partition(x.permute(0, 2, 3, 1), window)
    tokens = window_partition(x, window)
    assert torch.equal(tokens, expected.flatten(1, 2))
    back = timm_reverse(expected, window, 24, 16).permute(0, 3, 1, 2)
    assert torch.equal(window_reverse(tokens, window, (24, 16)), back)
    assert torch.equal(back, x)


@pytest.mark.parametrize("window", [5, 7])
def test_local_variance_equals_the_moments_of_each_window(x: Tensor, window: int) -> None:
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    mean = F.avg_pool2d(padded, window, stride=3)
    square = F.avg_pool2d(padded * padded, window, stride=3)
    expected = (square - mean * mean) * window**2 / (window**2 - 1)
    torch.testing.assert_close(LocalVariance(window, stride=3)(x), expected, rtol=0, atol=1e-12)


def test_population_std_equals_torchs_biased_one(x: Tensor) -> None:
    torch.testing.assert_close(population_std(x), x.std(dim=(2, 3), correction=0, keepdim=True), rtol=0, atol=1e-12)


def test_mean_shift_is_frozen_and_undone_by_its_opposite() -> None:
    image = torch.rand(1, 3, 5, 5)
    away, back = MeanShift(sign=-1, value_range=255.0), MeanShift(sign=1, value_range=255.0)
    torch.testing.assert_close(back(away(image)), image, rtol=0, atol=2e-5)
    assert not any(p.requires_grad for p in away.parameters())
