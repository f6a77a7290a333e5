"""FDIWN's weight normalisation, and the printed multi-adds that leave it out."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.formula import formula_image
from zoo.catalogue import find
from zoo.create import create_model
from zoo.layers.convolution import WeightNormConv2d
from zoo.protocols import Size

LR = {2: Size(360, 640), 3: Size(240, 427), 4: Size(180, 320)}


def conv_multi_adds(name: str, scale: int, lr: Size) -> dict[str, int]:
    """Multi-adds of convolutions, `plain` ones and `normalised` ones, found by hooks on the meta device."""
    network = create_model(name, scale, weights=None, device="meta")
    found = {"plain": 0, "normalised": 0}

    def count(module: nn.Module, _args: object, y: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | WeightNormConv2d)
        kind = "normalised" if isinstance(module, WeightNormConv2d) else "plain"
        found[kind] += y.numel() * (module.weight_v if kind == "normalised" else module.weight)[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | WeightNormConv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.empty(1, 3, *lr, device="meta"))
    return found


def test_weight_normalisation_equals_that_of_torch() -> None:
    ours = WeightNormConv2d(5, 7, 3)
    with torch.no_grad():
        ours.weight_g.copy_(torch.linspace(-1, 2, 7).view(7, 1, 1, 1))
    theirs = weight_norm(nn.Conv2d(5, 7, 3, padding=1))
    theirs.load_state_dict(
        {
            "bias": ours.bias,
            "parametrizations.weight.original0": ours.weight_g,
            "parametrizations.weight.original1": ours.weight_v,
        }
    )
    x = torch.randn(2, 5, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))


def test_weight_normalisation_starts_as_an_ordinary_convolution() -> None:
    layer = WeightNormConv2d(5, 7, 3)
    torch.testing.assert_close(layer.weight, layer.weight_v)


@pytest.mark.parametrize("name", ["fdiwn", "fdiwn_m"])
def test_every_parameter_is_trained_and_a_used_network_can_be_copied(name: str) -> None:
    torch.manual_seed(0)
    network = find(name).network(2).train()
    network(formula_image(12, 10)).mean().backward()
    assert all(p.requires_grad and p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    copy.deepcopy(network)


@pytest.mark.parametrize(
    ("name", "scale", "printed"),
    [
        ("fdiwn", 2, "112.0"),
        ("fdiwn", 3, "51.5"),
        ("fdiwn", 4, "28.4"),
        ("fdiwn_m", 2, "73.6"),
        ("fdiwn_m", 3, "35.9"),
        ("fdiwn_m", 4, "19.6"),
    ],
)
def test_the_printed_multi_adds_leave_out_normalised_convolutions(name: str, scale: int, printed: str) -> None:
    """Counted at 240x426 for x3, as the printed digits need."""
    found = conv_multi_adds(name, scale, Size(240, 426) if scale == 3 else LR[scale])
    assert f"{found['plain'] / 1e9:.1f}" == printed
    assert found["normalised"] > found["plain"]


@pytest.mark.parametrize(("scale", "printed"), [(2, 433), (3, 446), (4, 454)])
def test_the_inferred_network_has_the_printed_parameters(scale: int, printed: int) -> None:
    """By the count that leaves out the scalars of shuffle attention, which belong to no leaf module."""
    network = create_model("fdiwn_m", scale, weights=None, device="meta")
    scalars = [p for key, p in network.named_parameters() if key.endswith(("cweight", "cbias", "sweight", "sbias"))]
    total = sum(p.numel() for p in network.parameters())
    assert round((total - sum(p.numel() for p in scalars)) / 1000) == printed


def test_the_inferred_network_says_so() -> None:
    assert find("fdiwn_m").note.startswith("Inferred")
    assert not find("fdiwn_m").weights
