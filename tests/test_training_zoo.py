"""Every trainable network of the zoo trains: by the loop's own loss, in its memory layout, on the smallest patch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.lkdn import LKDN
from baselines.lkdn_s_train import reparameterise
from baselines.smsr import SMSR
from runner import training_state
from runner.recipes import Recipe
from runner.training import loss_of
from zoo.catalogue import catalogue, find
from zoo.contract import BadInput
from zoo.create import create_model

TRAINABLE = [name for name, spec in catalogue().items() if spec.runnable and spec.learned]


def smallest(name: str, **options: object) -> Recipe:
    """A recipe on the smallest patch that the network takes."""
    spec = find(name)
    multiple = spec.size_multiple_px
    side = -(-max(8, spec.min_side_px) // multiple) * multiple
    fields = {"name": "tiny", "iterations": 9, "batch": 1, "lr_patch_px": side, "rate": 3e-4, "model": name}
    return Recipe.model_validate(fields | {"scale": 4 if 4 in spec.scales else spec.scales[-1]} | options)


def fixed_batch(recipe: Recipe) -> tuple[Tensor, Tensor]:
    """A smooth pair (lr, hr) in [0, 1], channels last as the loop makes them."""
    hr_px = recipe.lr_patch_px * recipe.scale
    coarse = torch.rand(recipe.batch, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    hr = F.interpolate(coarse, size=(hr_px, hr_px), mode="bicubic").clamp(0, 1)
    lr = F.avg_pool2d(hr, recipe.scale)
    return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)


def losses_of(state: training_state.State, recipe: Recipe, steps: int) -> list[float]:
    """Loss before each of some steps on the fixed batch, and after the last."""
    state.network.to(memory_format=torch.channels_last)
    lr, hr = fixed_batch(recipe)
    found = []
    for iteration in range(steps + 1):
        # Networks with random masks (SMSR) draw the same ones each time, so that the loss is one function.
        torch.manual_seed(0)
        loss = loss_of(state.network, recipe, iteration, lr, hr)
        found.append(float(loss.detach()))
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
    return found


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_loss_of_a_fixed_batch_falls(name: str) -> None:
    recipe = smallest(name)
    losses = losses_of(training_state.start(recipe), recipe, 2)
    assert losses[0] > losses[1] > losses[2]


def test_the_sparsity_loss_of_smsr_lowers_the_share_that_it_computes() -> None:
    def share_after(weight: float) -> float:
        recipe = smallest("smsr", sparsity=weight, rate=1e-2)
        state = training_state.start(recipe)
        losses_of(state, recipe, 3)
        assert isinstance(state.network, SMSR)
        torch.manual_seed(0)
        with torch.no_grad():
            return float(state.network.forward_with_sparsity(fixed_batch(recipe)[0])[1].mean())

    assert share_after(10.0) < share_after(1e-9) - 0.01


def test_the_sparsity_weight_rises_as_the_paper_has_it() -> None:
    recipe = smallest("smsr", iterations=1000, sparsity=0.1, sparsity_rise=50)
    assert [recipe.sparsity_at(done) for done in (0, 25, 50, 999)] == pytest.approx([0, 0.05, 0.1, 0.1])
    assert recipe.scaled_to(100).sparsity_rise == 5


def test_a_network_without_masks_takes_no_sparsity() -> None:
    from lightning_fabric import Fabric

    from runner.training import _set_up

    recipe = smallest("agdn_s", sparsity=0.1)
    with pytest.raises(BadInput, match="agdn_s has no masks"):
        _set_up(training_state.start(recipe), recipe, Fabric(accelerator="cpu", devices=1))


def test_a_trained_training_form_folds_into_the_deployed_network() -> None:
    recipe = smallest("lkdn_s_train")
    state = training_state.start(recipe)
    losses_of(state, recipe, 3)
    deploys = find("lkdn_s_train").deploys
    assert deploys is not None
    deployed = create_model(deploys.model, 4, weights=None)
    deployed.load_state_dict(dict(deploys.fold(state.network.state_dict())))
    x = fixed_batch(recipe)[0]
    network = state.network.eval()
    assert isinstance(network, LKDN)
    with torch.inference_mode():
        torch.testing.assert_close(deployed(x), network(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(deployed(x), reparameterise(network)(x), rtol=0, atol=1e-6)
