"""Every counter on every network of the catalogue, against the tools' numbers for the released networks.

Where our network is another form of the same function (or the released number was taken another way), the file
`tests/expectations/<model>.toml` says so: `[counts_differ.<tool>]` with a `reason` and our number by section.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import pytest

from runner.counters import TOOLS
from runner.counters.exact import ExactCount, count_exact
from runner.counters.ledger import reconcile
from runner.counters.ntire import count_conv_modules
from runner.counters.subject import Subject, subject_of
from runner.counters.trace import Trace, trace
from tests.expectations import expectations
from zoo.catalogue import catalogue
from zoo.create import create_model
from zoo.protocols import HR_720P, Size, lr_size

SPECS = {name: spec for name, spec in catalogue().items() if spec.runnable}
BUILDS = [(name, scale) for name, spec in SPECS.items() for scale in spec.scales]
FACTS = [
    (name, scale, section)
    for name, scale in BUILDS
    for section in ("counts_720p", "counts_lr256")
    if f"x{scale}" in expectations(name).get(section, {})
]
IDS = [f"{name}-x{scale}-{section}" for name, scale, section in FACTS]
TOOL_OF = {
    "thop": "thop",
    "fvcore": "fvcore",
    "torch_flop_counter_div2": "torch",
    "ptflops_pytorch": "ptflops",
    "ptflops_aten": "ptflops_aten",
}


def _facts(name: str, scale: int, section: str) -> dict[str, Any]:
    return dict(expectations(name)[section][f"x{scale}"])


def _expected(name: str, scale: int, section: str, key: str) -> int | None:
    """Our number where a named reason sets it apart, else the released network's; None where there is none."""
    own = expectations(name).get("counts_differ", {}).get(key, {})
    assert not own or own["reason"]
    found: int | None = own.get(f"{section}.x{scale}", _facts(name, scale, section).get(key))
    return found


@cache
def _subject(name: str, scale: int, section: str) -> Subject:
    return subject_of(SPECS[name], lr=Size(*_facts(name, scale, section)["lr"]), scale=scale)


@cache
def _exact(name: str, scale: int, section: str) -> ExactCount:
    return count_exact(_subject(name, scale, section))


@lru_cache(maxsize=1)
def _trace(name: str, scale: int, section: str) -> Trace:
    return trace(_subject(name, scale, section))


@pytest.mark.parametrize(("name", "scale", "section"), FACTS, ids=IDS)
def test_the_exact_count_is_every_convolution_and_matrix_product(name: str, scale: int, section: str) -> None:
    found = _exact(name, scale, section)
    assert found.uncounted == ()
    assert found.device == "meta"
    expected = _expected(name, scale, section, "exact") or _facts(name, scale, section)["torch_flop_counter_div2"]
    assert found.multi_adds == expected


@pytest.mark.parametrize(("name", "scale", "section"), FACTS, ids=IDS)
def test_convolution_calls_by_the_organisers_rule(name: str, scale: int, section: str) -> None:
    expected = [_expected(name, scale, section, key) for key in ("conv_activations", "conv_calls")]
    if expected == [None, None]:
        # FDIWN-M was never released: its file holds what its printed numbers imply and no more.
        assert name == "fdiwn_m"
        return
    assert list(count_conv_modules(_subject(name, scale, section))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("key", list(TOOL_OF))
@pytest.mark.parametrize(("name", "scale", "section"), FACTS, ids=IDS)
def test_each_tool_reads_what_it_reads_on_the_released_network(name: str, scale: int, section: str, key: str) -> None:
    """And the ledger leads from the exact count to that number."""
    expected = _expected(name, scale, section, key)
    if expected is None:
        assert key not in _facts(name, scale, section)
        return
    tool = TOOL_OF[key]
    counted = TOOLS[tool](_subject(name, scale, section)).multi_adds
    assert counted == expected
    assert reconcile(tool, counted, _trace(name, scale, section)).remainder == 0


@pytest.mark.parametrize("name", [n for n in SPECS if "counts_differ" in expectations(n)])
def test_a_declared_difference_is_one(name: str) -> None:
    for key, own in expectations(name)["counts_differ"].items():
        for place, number in own.items():
            if place != "reason":
                section, scale = place.split(".x")
                assert number != _facts(name, int(scale), section).get(key), f"{name} {key} {place} is no difference"


@pytest.mark.parametrize(("name", "scale"), BUILDS, ids=[f"{n}-x{s}" for n, s in BUILDS])
def test_the_tree_of_every_network_adds_up(name: str, scale: int) -> None:
    spec = SPECS[name]
    height, width = (-(-side // spec.size_multiple_px) * spec.size_multiple_px for side in lr_size(HR_720P, scale))
    found = count_exact(subject_of(spec, lr=Size(height, width), scale=scale))
    assert found.tree.total() == found.by_kind
    parameters = list(create_model(spec, scale, weights=None, device="meta").parameters())
    assert sum(node.own_params for node in found.tree.walk()) == found.params == sum(p.numel() for p in parameters)
    assert found.peak_activation_bytes >= 4 * 3 * height * width * (1 + scale**2)
    assert found.uncounted == ()
