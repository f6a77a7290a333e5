"""What SMSR does beyond a plain network: masks, training with soft masks, and multi-adds by mask density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from baselines.smsr import SMB, SMSR, Masks
from baselines.smsr_counts import dense_parts, printed_multi_adds, sparse_multi_adds
from tests import shared
from tests.formula import formula_image, load_formula_weights
from zoo.contract import BadInput
from zoo.create import create_model
from zoo.protocols import HR_720P, Size, lr_size

X2_720P = Size(360, 640)
SET5_DENSITIES = (0.2967696, 0.32121331, 0.53791783, 0.29325707, 0.3801711)


def smsr(scale: int = 2) -> SMSR:
    network = SMSR(scale=scale)
    load_formula_weights(network)
    return network


def by_two_convolutions(block: SMB, x: Tensor, masks: Masks) -> Tensor:
    """The SMB as the paper defines it: dense and sparse input channels in a convolution each, masked afterwards."""
    dense, sparse, features = torch.ones(()), torch.zeros(()), []
    for i, conv in enumerate(block.body):
        a = F.conv2d(x * dense, conv.weight, padding=1)
        b = F.conv2d(x * sparse, conv.weight, padding=1)
        dense, sparse = masks.dense[i], masks.sparse[i]
        x = F.relu(dense * (a + masks.spatial * b) + sparse * masks.spatial * (a + b))
        features.append(x)
    return block.collect(torch.cat(features, 1))


def test_gated_neighbourhoods_equal_two_convolutions() -> None:
    module = smsr().eval().requires_grad_(False).body[0]
    x = torch.randn(2, 64, 9, 12, generator=torch.Generator().manual_seed(0))
    masks = module.masks(x)
    assert 0 < float(masks.spatial.mean()) < 1
    assert 0 < float(masks.dense.mean()) < 1
    torch.testing.assert_close(module.body(x, masks), by_two_convolutions(module.body, x, masks), rtol=0, atol=2e-6)


def test_the_last_odd_row_and_column_lie_outside_the_mask() -> None:
    module = smsr().eval().body[0]
    masks = module.masks(torch.randn(1, 64, 7, 9, generator=torch.Generator().manual_seed(0)))
    assert masks.spatial.shape == (1, 1, 7, 9)
    assert not masks.spatial[:, :, -1].any()
    assert not masks.spatial[..., -1].any()


def test_training_draws_soft_masks_anew_and_reaches_every_parameter() -> None:
    network, x = smsr().train(), formula_image(16, 20)
    torch.manual_seed(0)
    sr, share = network.forward_with_sparsity(x)
    assert share.shape == (1, 5, 4)
    assert 0 < share.min() < share.max() < 1
    assert not torch.equal(network(x), sr)
    (sr.mean() + share.mean()).backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and not p.grad.abs().sum() > 0]
    assert not without


def test_the_share_is_the_mean_of_what_each_layer_computes() -> None:
    module = smsr().train().body[0]
    masks = module.masks(torch.randn(3, 64, 8, 8))
    expected = torch.stack([masks.gate(i).mean((1, 2, 3)) for i in range(4)], 1)
    torch.testing.assert_close(masks.computed_share(), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_dense_multi_adds_equal_those_of_the_network(scale: int) -> None:
    lr = lr_size(HR_720P, scale)
    network = create_model("smsr", scale, weights=None, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, *lr, device="meta"))
    assert counter.get_total_flops() == 2 * dense_parts(lr, scale).total


@pytest.mark.parametrize(("scale", "printed"), [(2, "131.6"), (3, "67.8"), (4, "41.6")])
def test_the_printed_multi_adds_follow_from_the_mask_rule(scale: int, printed: str) -> None:
    assert f"{printed_multi_adds(lr_size(HR_720P, scale), scale) / 1e9:.1f}" == printed


@pytest.mark.shared
@pytest.mark.parametrize(
    ("densities", "expected", "known_to"),
    [
        (SET5_DENSITIES, 111_826_017_267, 1e-7),
        ((1.0,) * 5, 223_813_557_760, 0),
        ((0.0,) * 5, 47_310_000_000, 1e-4),
    ],
    ids=["set5", "all", "none"],
)
def test_sparse_multi_adds_with_the_official_weights(
    densities: tuple[float, ...], expected: int, known_to: float
) -> None:
    shared.require("weights/smsr")
    network = create_model("smsr", 2)
    assert sparse_multi_adds(network, X2_720P, densities) == pytest.approx(expected, rel=known_to, abs=0)


@pytest.mark.parametrize("densities", [(1.0,) * 4, (0.5, 0.5, 0.5, 0.5, 1.5)])
def test_densities_that_do_not_fit_are_refused(densities: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="Expected 5 mask densities"):
        sparse_multi_adds(smsr(), X2_720P, densities)


@pytest.mark.shared
def test_butterfly_is_skipped_as_much_as_by_the_authors_code() -> None:
    with Image.open(shared.require("datasets/Set5/LR_bicubic/X2/butterflyx2.png")) as image:
        pixels = np.array(image.convert("RGB"))
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        _, share = create_model("smsr", 2).forward_with_sparsity(x)
    assert float(1 - share.mean()) == pytest.approx(0.342, abs=5e-4)
