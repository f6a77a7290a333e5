"""The ledger closes: every tool's number on every network, from the exact count by named differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.counters import TOOLS
from runner.counters.differences import DIFFERENCES
from runner.counters.ledger import Ledger, ledgers, reconcile
from runner.counters.subject import subject_of
from runner.counters.trace import trace
from tests.counters.networks import Many, Small
from zoo.catalogue import catalogue
from zoo.contract import ModelSpec
from zoo.protocols import Size

SPECS = {name: spec for name, spec in catalogue().items() if spec.runnable and spec.ablation_of is None}


class Rare(nn.Module):
    """Parts that no network of the zoo has."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 6, 3, padding="same")
        self.norms = nn.Sequential(
            nn.InstanceNorm2d(6, affine=True),
            nn.InstanceNorm2d(6),
            nn.GroupNorm(2, 6),
            nn.BatchNorm2d(6, affine=False),
            nn.PReLU(),
            nn.ELU(),
            nn.Softmax(1),
            nn.AvgPool2d(3, 1, 1),
            nn.MaxPool2d(3, 1, 1),
        )
        self.up = nn.ConvTranspose2d(6, 4, 5, stride=2, padding=1, groups=2)
        self.tail = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms(self.head(x))
        q = x.flatten(2).transpose(1, 2)[:, None]
        x = x + F.scaled_dot_product_attention(q, q, q)[:, 0].transpose(1, 2).view_as(x)
        flat = x.flatten(2)
        x = x + torch.baddbmm(flat, torch.bmm(flat, flat.transpose(1, 2)), flat).view_as(x)
        x = torch.add(x, F.silu(x)).mul(0.5) + F.grid_sample(x, torch.zeros(1, *x.shape[2:], 2), align_corners=False)
        return self.tail(self.up(x))


def _names(ledger: Ledger) -> dict[str, int]:
    return dict(ledger.differences)


@pytest.mark.parametrize("network", [Small, Many, Rare])
def test_the_ledger_closes_on_networks_of_known_parts(network: type[nn.Module]) -> None:
    found = ledgers(subject_of(network(), lr=Size(16, 20)), TOOLS)
    assert set(found) == set(DIFFERENCES) == set(TOOLS)
    assert {name: ledger.remainder for name, ledger in found.items()} == dict.fromkeys(TOOLS, 0)


def _size(spec: ModelSpec, side: Size) -> Size:
    multiple = spec.size_multiple_px
    return Size(*(-(-pixels // multiple) * multiple for pixels in side))


@pytest.mark.parametrize("name", list(SPECS))
def test_the_ledger_closes_on_every_network(name: str) -> None:
    subject = subject_of(SPECS[name], lr=_size(SPECS[name], Size(48, 72)), scale=SPECS[name].scales[-1])
    for ledger in ledgers(subject, TOOLS).values():
        assert ledger.remainder == 0, ledger


def test_the_parts_of_agdn_s_at_256_are_those_the_organisers_numbers_hold() -> None:
    found = ledgers(subject_of(SPECS["agdn_s"], lr=Size(256, 256)), TOOLS)
    assert found["torch"].exact == 4_241_409_408 + 127_401_984
    assert _names(found["torch"]) == {}
    assert _names(found["fvcore"]) == {
        "bilinear resizes, 4 per output element": 12_582_912,
        "adaptive average pools, 1 per input element": 6_291_456,
    }
    assert _names(found["thop"]) == {
        "products of two activations missed": -127_401_984,
        "adaptive average pools": 6_291_552,
    }
    assert _names(found["ptflops_aten"]) == {"biases of convolutions": 63_346_160}
    assert _names(found["ntire2022"]) == {
        "products of two activations missed": -127_401_984,
        "rectifiers, 1 per element": 6_928,
    }
    assert _names(found["ptflops"]) == {
        "products of two activations missed": -127_401_984,
        "biases of convolutions": 63_346_160,
        "activation modules, 1 per element": 39_668_416 + 6_928,
        "pooling modules, 1 per input element": 6_291_456 + 786_432,
        "activations, softmax and pools as functions (a second time if they are modules)": 39_668_416
        + 6_928
        + 6_291_456
        + 786_432
        + 12_582_912,
        "resizes as functions": 3_145_728,
    }


def test_what_no_rule_describes_is_a_remainder() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    subject = subject_of(Attending(), lr=Size(4, 4))
    counted = TOOLS["ptflops"](subject).multi_adds
    ledger = reconcile("ptflops", counted, trace(subject))
    assert ledger.remainder == counted - ledger.exact - sum(_names(ledger).values())
    assert ledger.remainder != 0
    assert ledger.as_fields()["differences"][-1] == {"name": "unexplained", "multi_adds": ledger.remainder}


def test_tracing_leaves_torch_as_it_was() -> None:
    spaces = (torch, torch.Tensor, F)
    before = [dict(vars(space)) for space in spaces]
    network = Rare()
    trace(subject_of(network, lr=Size(16, 20)))
    assert [dict(vars(space)) for space in spaces] == before
    assert not any(module._forward_hooks for module in network.modules())
