"""AGDN beyond its goldens: TLC windows, switches, and the printed parameter counts of Tables 1, 2 and 4."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from agdn import network
from agdn.network import AGDN, SparseGlobalSelfAttention, window_starts
from tests.formula import formula_image, load_formula_weights
from zoo.create import create_model

LAYER_NORM_SIGMA_TEMPERATURE = 213
"""Bare tensors of a full block at 42 channels, which thop does not see and the paper's counts leave out."""


@given(length=st.integers(1, 600), window=st.integers(1, 120))
def test_tlc_windows_cover_every_pixel_and_stay_inside(length: int, window: int) -> None:
    starts = window_starts(length, window)
    size = min(length, window)
    covered = {pixel for start in starts for pixel in range(start, start + size)}
    assert covered == set(range(length))
    assert len(starts) <= ceil(length / size)
    assert starts == sorted(set(starts))


def _loop_over_windows(attention: SparseGlobalSelfAttention, x: Tensor, window: int) -> Tensor:
    """TLC as its paper describes it: one window after the other, outputs averaged where they overlap."""
    qkv = attention.qkv_dwconv(attention.qkv(x))
    _, c3, h, w = qkv.shape
    kh, kw, c = min(h, window), min(w, window), c3 // 3
    total, times = torch.zeros(x.shape[0], c, h, w), torch.zeros(h, w)
    for top in window_starts(h, window):
        for left in window_starts(w, window):
            here = (slice(top, top + kh), slice(left, left + kw))
            q, k, v = qkv[..., here[0], here[1]].chunk(3, dim=1)
            heads = [t.reshape(x.shape[0], attention.num_head, -1, kh * kw) for t in (q, k, v)]
            q, k = (t / t.norm(dim=-1, keepdim=True).clamp_min(1e-12) for t in heads[:2])
            a = torch.einsum("nhcp,nhdp->nhcd", q, k) * attention.temperature
            out = torch.einsum("nhcd,nhdp->nhcp", F.relu(a), heads[2])
            total[..., here[0], here[1]] += out.reshape(x.shape[0], c, kh, kw)
            times[here] += 1
    return attention.project_out(total / times)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 40), (40, 17), (33, 50), (5, 7)])
def test_batched_tlc_equals_the_loop_over_windows(height: int, width: int) -> None:
    attention = SparseGlobalSelfAttention(12, num_head=3, tlc_window=16).eval()
    load_formula_weights(attention)
    x = torch.randn(2, 12, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = _loop_over_windows(attention, x, 16)
        assert torch.allclose(attention(x), expected, atol=2e-6)


def test_a_window_larger_than_the_image_is_global_attention() -> None:
    windowed, whole = AGDN(scale=2, tlc_window=64).eval(), AGDN(scale=2, tlc_window=None).eval()
    load_formula_weights(windowed)
    whole.load_state_dict(windowed.state_dict())
    x = formula_image(24, 40)
    with torch.inference_mode():
        assert torch.allclose(windowed(x), whole(x), atol=1e-6)


def test_training_attends_over_the_whole_patch() -> None:
    network, whole = AGDN(scale=2, tlc_window=16), AGDN(scale=2, tlc_window=None)
    load_formula_weights(network)
    whole.load_state_dict(network.state_dict())
    x = formula_image(24, 40)
    with torch.no_grad():
        assert torch.equal(network.train()(x), whole.train()(x))
        assert not torch.allclose(network.eval()(x), whole.eval()(x), atol=1e-6)


def test_every_parameter_gets_a_gradient() -> None:
    network = AGDN(scale=2, num_feat=12, num_block=1).train()
    network(formula_image(24, 24)).sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "printed_k", "num_block_with_bare_tensors"),
    [
        ("agdn_none", 127, 0),
        ("agdn_mvsa", 145, 0),
        ("agdn_b5", 215, 5),
        ("agdn_b6", 254, 6),
        ("agdn", 293, 7),
    ],
)
def test_printed_parameters_leave_out_bare_tensors(name: str, printed_k: int, num_block_with_bare_tensors: int) -> None:
    network = create_model(name, 4, weights=None, device="meta")
    true = sum(p.numel() for p in network.parameters())
    assert round((true - LAYER_NORM_SIGMA_TEMPERATURE * num_block_with_bare_tensors) / 1000) == printed_k


@pytest.mark.parametrize(("name", "printed_k"), [("agdn_rcca", 132), ("agdn_mvsa_rcca", 151)])
def test_printed_parameters_of_rcca_leave_out_its_scale(name: str, printed_k: int) -> None:
    network = create_model(name, 4, weights=None, device="meta")
    assert round((sum(p.numel() for p in network.parameters()) - 7 * 42) / 1000) == printed_k


@pytest.mark.parametrize("window", [16, 48, 96])
def test_the_exporters_sum_over_windows_is_the_networks(window: int) -> None:
    for length in (1, 15, 16, 17, 47, 48, 49, 95, 96, 97, 144, 145, 193, 320, 333):
        indices = network._window_indices(length, window, torch.device("cpu"))
        tiles = torch.rand(2, indices.numel(), 3, generator=torch.Generator().manual_seed(length))
        expected = tiles.new_zeros(2, length, 3).index_add_(1, indices.flatten(), tiles)
        assert torch.equal(network._added_by_gathers(tiles, 1, length, window), expected)
