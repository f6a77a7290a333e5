"""The adapters: each tool's own rule on networks whose parts are known, in any order, leaving nothing behind."""

from __future__ import annotations

import copy
import itertools
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from runner.counters import COUNTERS, TOOLS, count
from runner.counters.ntire import count_conv_modules
from runner.counters.subject import subject_of
from tests.counters.networks import Many, Small
from zoo.contract import JobFailed
from zoo.protocols import Size

HEIGHT, WIDTH = 16, 20
PIXELS = HEIGHT * WIDTH


def tool(name: str, network: nn.Module) -> int:
    return int(count(network, lr_size=(HEIGHT, WIDTH), counters=(name,))["counters"][name]["multi_adds"])


CONVOLUTIONS = 2 * PIXELS * 8 * 27 + PIXELS * 8 * 4 * 9 + 4 * PIXELS * 24
BIASES = (2 * 8 + 8) * PIXELS
TRANSPOSED = PIXELS * 8 * 8 * 16
LINEAR = PIXELS * 64
ATTENTION = 2 * PIXELS * 64

EXPECTED = {
    "exact": CONVOLUTIONS + TRANSPOSED + LINEAR + ATTENTION,
    "torch": CONVOLUTIONS + TRANSPOSED + LINEAR + ATTENTION,
    # Transposed convolution at output size; average pool one per element and output; layer norm 4 per element.
    "thop": CONVOLUTIONS + 4 * TRANSPOSED + LINEAR + 8 * PIXELS + 8 + 4 * 8 * PIXELS,
    # Misses the convolution with padding="same"; norm 5, nearest 1, bilinear 4 per element, pools per input element.
    "fvcore": CONVOLUTIONS
    - PIXELS * 8 * 4 * 9
    + TRANSPOSED
    + LINEAR
    + ATTENTION
    + 5 * 8 * PIXELS
    + 8 * PIXELS
    + 8 * PIXELS
    + 4 * 8 * PIXELS // 4,
    "ptflops_aten": CONVOLUTIONS + TRANSPOSED + LINEAR + ATTENTION + BIASES + 4 * 8 * PIXELS + 8 * PIXELS,
    # Rectifier one per element, linear layers of 4-D input by their second dimension (here the height).
    "ntire2022": CONVOLUTIONS + 4 * TRANSPOSED + 8 * PIXELS + HEIGHT * HEIGHT,
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_each_tool_by_its_own_rule(name: str) -> None:
    assert tool(name, Many()) == EXPECTED[name]


def test_ptflops_counts_activations_that_are_modules_twice() -> None:
    gelu = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.GELU())
    assert tool("ptflops", gelu) == PIXELS * 24 + 2 * 8 * PIXELS


@pytest.mark.parametrize("name", ["ptflops", "ptflops_aten", "fvcore", "thop", "torch"])
@pytest.mark.parametrize("network", [Small, Many])
def test_shapes_give_a_tool_the_number_that_values_give_it(name: str, network: type[nn.Module]) -> None:
    class Branching(network):  # type: ignore[misc,valid-type]
        """Asks for a value, so that it can only be run on a real device."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.untyped_storage().data_ptr() != 0 or x.device.type == "meta"
            if x.device.type == "meta":
                raise NotImplementedError("values are needed")
            return super().forward(x)  # type: ignore[no-any-return]

    on_meta = TOOLS[name](subject_of(network(), lr=Size(HEIGHT, WIDTH)))
    on_cpu = TOOLS[name](subject_of(Branching(), lr=Size(HEIGHT, WIDTH)))
    assert (on_meta.device, on_cpu.device) == ("meta", "cpu")
    assert on_meta.multi_adds == on_cpu.multi_adds
    assert on_meta.params == on_cpu.params


def test_all_counters_twice_in_any_order_give_the_same_numbers() -> None:
    network = Many()
    before = copy.deepcopy({n: set(vars(m)) for n, m in network.named_modules()})
    first = count(network, lr_size=(HEIGHT, WIDTH), counters=("all",))["counters"]
    assert list(first) == list(COUNTERS)
    orders = list(itertools.permutations(COUNTERS))
    for order in random.Random(0).sample(orders, 6):
        for name in (*order, *order):
            assert count(network, lr_size=(HEIGHT, WIDTH), counters=(name,))["counters"][name] == first[name], order
    assert before == {n: set(vars(m)) for n, m in network.named_modules()}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert not any("total_ops" in m._buffers for m in network.modules())


def test_a_failing_network_leaves_torch_unpatched(capsys: pytest.CaptureFixture[str]) -> None:
    class Faulty(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("the fault")

    spaces = (torch, torch.Tensor, F)
    before = [dict(vars(space)) for space in spaces]
    meta_conv = nn.Conv2d(3, 4, 3).to("meta")(torch.zeros(1, 3, 8, 8, device="meta")).shape
    for name in TOOLS:
        with pytest.raises(JobFailed, match=r"does not run at LR 8x8 \(on meta: .*the fault"):
            TOOLS[name](subject_of(Faulty(), lr=Size(8, 8)))
    assert [dict(vars(space)) for space in spaces] == before
    assert nn.Conv2d(3, 4, 3).to("meta")(torch.zeros(1, 3, 8, 8, device="meta")).shape == meta_conv
    assert capsys.readouterr() == ("", "")


def test_tools_are_silent_and_name_what_they_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    found = count(Many(), lr_size=(HEIGHT, WIDTH), counters=("all",))["counters"]
    assert capfd.readouterr() == ("", "")
    assert "GELU x1" in found["thop"]["uncounted_ops"]
    assert "aten::_convolution_mode x1" in found["fvcore"]["uncounted_ops"]
    assert any(name.startswith("aten._softmax") for name in found["ptflops_aten"]["uncounted_ops"])


def test_parameters_by_each_tools_rule() -> None:
    found = count(Small(), lr_size=(HEIGHT, WIDTH), counters=("all",))["counters"]
    every = sum(p.numel() for p in Small().parameters())
    # thop sees no bare tensor, ptflops no frozen one: both leave out the 8 gains.
    assert {name: entry["params"] for name, entry in found.items()} == {
        "exact": every,
        "thop": every - 8,
        "ptflops": every - 8,
        "ptflops_aten": every - 8,
        "fvcore": every,
        "torch": None,
        "ntire2022": every,
    }


def test_convolution_calls_by_the_organisers_rule_see_modules_only() -> None:
    functional = nn.Conv2d(3, 4, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = functional
            self.line = nn.Conv1d(3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.line(x.flatten(2))
            return self.conv(x) + F.conv2d(x, self.conv.weight)

    assert count_conv_modules(subject_of(Net(), lr=Size(8, 8))) == (4 * 64, 1)
