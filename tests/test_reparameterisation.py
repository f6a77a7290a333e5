"""The training form of LKDN-S folds into the deployed form: same function, and the weights its authors deployed."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines.lkdn import LKDN
from baselines.lkdn_s_train import fold_branches, reparameterise
from tests import shared
from tests.formula import formula_image
from zoo.create import create_model

OUTPUT_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 1e-6


def _training(weights: str | None) -> LKDN:
    network = create_model("lkdn_s_train", 4, weights)
    assert isinstance(network, LKDN)
    return network


def _largest_difference(training: LKDN, x: Tensor) -> float:
    with torch.inference_mode():
        return float((reparameterise(training)(x) - training(x)).abs().max())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (32, 33)])
def test_folded_network_computes_the_same_up_to_the_border(height: int, width: int) -> None:
    training = _training(None)
    with torch.no_grad():
        # The default biases are too small for a wrongly padded border to show.
        for bias in (training.get_parameter("upsampler.conv1x1.bias"), training.get_parameter("B1.c1_r.rep1x1.bias")):
            bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    assert _largest_difference(training, formula_image(height, width)) <= OUTPUT_TOLERANCE


def test_the_border_passes_gradient_to_the_bias_it_holds() -> None:
    training, x = _training(None), formula_image(6, 6)
    training(x)[..., :4, :].sum().backward()  # the topmost LR row sees the border through a third of its taps
    bias = training.get_parameter("upsampler.conv1x1.bias")
    outer = training.get_parameter("upsampler.conv3x3.weight")
    # Every one of the six output pixels of that row sees nine taps, padded or not, each with derivative one.
    expected = 6 * outer.sum(dim=(0, 2, 3))
    assert bias.grad is not None
    torch.testing.assert_close(bias.grad, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.shared
def test_folded_network_equals_the_training_form_with_official_weights() -> None:
    golden = load_file(shared.require("zoo/lkdn_s_train/golden_x4.safetensors"))
    training = _training("official")
    for key in (k for k in golden if k.startswith("x_")):
        assert _largest_difference(training, golden[key]) <= OUTPUT_TOLERANCE, key


@pytest.mark.shared
def test_folded_weights_equal_the_deployed_checkpoint() -> None:
    shared.require("weights/lkdn_s")
    folded = fold_branches(_training("official").state_dict())
    deployed = create_model("lkdn_s", 4).state_dict()
    assert folded.keys() == deployed.keys()
    errors = {key: float((folded[key] - deployed[key]).abs().max()) for key in deployed}
    worst = max(errors, key=lambda key: errors[key])
    assert errors[worst] <= WEIGHT_TOLERANCE, f"{worst}: {errors[worst]:.1e}"
