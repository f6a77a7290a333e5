"""From the exact count to what papers print: no remainder before the paper's rule, rounding after it."""

from __future__ import annotations

import json
from functools import cache

import pytest

from agdn.network import AGDN
from reports.claims import load_papers
from runner.counters import count
from runner.counters.ledger import Ledger
from runner.counters.paper import paper_ledger
from tests import shared
from zoo.catalogue import catalogue
from zoo.protocols import HR_720P, lr_size

BUILDS = [(name, s) for name, spec in catalogue().items() if spec.runnable and spec.paper_count for s in spec.scales]

UNEXPLAINED = {("rfdn", 4), ("agdn_esa_cca", 4)}
"""31.658G printed as 31.6G; a row of Table 2 whose configuration the paper does not name."""


@cache
def _ledger(name: str, scale: int) -> Ledger:
    spec = catalogue()[name]
    assert spec.paper_count is not None
    return paper_ledger(spec, scale, spec.paper_count, lr=lr_size(HR_720P, scale))


@pytest.mark.parametrize(("name", "scale"), BUILDS, ids=[f"{name}-x{scale}" for name, scale in BUILDS])
def test_named_differences_lead_to_the_papers_rule_and_rounding_to_print(name: str, scale: int) -> None:
    ledger = _ledger(name, scale)
    assert ledger.remainder == 0
    assert all(printed.explained == ((name, scale) not in UNEXPLAINED) for printed in ledger.printed)


def test_every_network_with_printed_multi_adds_has_a_rule() -> None:
    claims = {(c.model, c.scale) for p in load_papers().values() for c in p.claims if c.metric == "multi_adds"}
    assert {build for build in claims if catalogue()[build[0]].runnable} <= set(BUILDS)


@pytest.mark.shared
@pytest.mark.parametrize(("entry", "window"), [("tlc96", 96), ("tlc48", 48), ("no_tlc", None)])
def test_agdn_s_at_the_challenges_size_with_and_without_tlc(entry: str, window: int | None) -> None:
    path = shared.require("ntire2024/agdn_s_macs256.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))[entry]
    network = AGDN(scale=4, num_feat=24, num_block=4, tlc_window=window).eval()
    counted = count(network, lr_size=(256, 256), counters=("all",))
    names = {"thop": "thop", "ptflops_pytorch": "ptflops", "ptflops_aten": "ptflops_aten", "fvcore": "fvcore"}
    names |= {"torch_flop_counter_div2": "torch", "model_summary": "ntire2022"}
    # One tool was not run on one form.
    names = {theirs: ours for theirs, ours in names.items() if recorded[theirs] is not None}
    got = {theirs: counted["counters"][ours]["multi_adds"] for theirs, ours in names.items()}
    assert got == {name: recorded[name] for name in names}
    assert [counted["activations"], counted["conv_calls"]] == recorded["activations_convs"]
