"""What is ELAN's own: the frozen shift and the map from the third-party file's keys."""

from __future__ import annotations

import pytest
import torch

from baselines.elan_light import ShiftConv2d, rename_friedricelab
from zoo.create import create_model


def test_each_fifth_of_the_channels_reads_one_neighbour() -> None:
    shift = ShiftConv2d(12, 12)
    with torch.no_grad():
        shift.conv1x1.weight.copy_(torch.eye(12).view(12, 12, 1, 1))
        shift.conv1x1.bias.zero_()
    x = torch.randn(1, 12, 5, 6)
    with torch.inference_mode():
        y = shift(x)
    right, left, below, above, rest = slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8), slice(8, 12)
    assert torch.equal(y[:, right, :, :-1], x[:, right, :, 1:])
    assert torch.equal(y[:, left, :, 1:], x[:, left, :, :-1])
    assert torch.equal(y[:, below, :-1], x[:, below, 1:])
    assert torch.equal(y[:, above, 1:], x[:, above, :-1])
    assert torch.equal(y[:, rest], x[:, rest])
    assert not y[:, right, :, -1].any()
    assert not y[:, above, 0].any()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("head.weight", "head.0.weight"),
        ("tail.0.bias", "tail.0.bias"),
        ("sub_mean.weight", "sub_mean.weight"),
        ("body.3.modules_lfe.1.lfe.0.weight", "body.3.modules_lfe.lfe_1.conv0.shift_conv.conv1x1.weight"),
        ("body.3.modules_lfe.0.lfe.2.mask", "body.3.modules_lfe.lfe_0.conv1.shift_conv.weight"),
        ("body.11.modules_gmsa.0.project_inp.1.bias", "body.11.modules_gmsa.gmsa_0.project_inp.1.bias"),
    ],
)
def test_third_party_keys_lead_to_the_authors(theirs: str, ours: str) -> None:
    assert rename_friedricelab(theirs) == ours
    assert ours in create_model("elan_light", 4, weights=None, device="meta").state_dict()


def test_the_shift_is_frozen_and_the_rest_trains() -> None:
    network = create_model("elan_light", 2, weights=None).train()
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {k for k in network.state_dict() if k.endswith("shift_conv.weight") or "_mean." in k}
    unreached = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not unreached
