"""`zoo.optimize`: equal outputs for every network and every switch of AGDN, and nothing done to the original."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo
from agdn import fast_attention
from agdn.fast import FastAGDN
from agdn.network import AGDN
from tests import shared
from tests.expectations import expectations
from tests.formula import formula_image, load_formula_weights
from zoo.catalogue import catalogue
from zoo.contract import InputTooSmall
from zoo.create import create_model
from zoo.layers import bands

SPECS = {name: spec for name, spec in catalogue().items() if spec.runnable}
ABLATIONS = [name for name, spec in SPECS.items() if spec.ablation_of == "agdn"]
GOLDEN = [
    (name, scale)
    for name in SPECS
    for scale in (2, 3, 4)
    if (shared.SHARED / "zoo" / name / f"golden_x{scale}.safetensors").is_file()
]


@pytest.fixture(autouse=True)
def many_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images are cut into as many bands as their halos allow."""
    monkeypatch.setattr(bands, "BAND_PIXELS", 64)
    monkeypatch.setattr(fast_attention, "QKV_VALUES", 2 * 36 * 16 * 16)


def _network(name: str, scale: int) -> nn.Module:
    network = create_model(name, scale, weights=None)
    load_formula_weights(network)
    return network


def _error(network: nn.Module, x: Tensor) -> float:
    with torch.inference_mode():
        y = network(x)
        return float((zoo.optimize(network)(x) - y).abs().max() / y.abs().max().clamp_min(1))


def _small(**options: object) -> AGDN:
    network = AGDN(scale=2, num_feat=12, num_block=2, **options).eval()  # type: ignore[arg-type]
    load_formula_weights(network)
    return network


@pytest.mark.parametrize("size", [(15, 15), (16, 16), (17, 40), (40, 17), (33, 50)])
@pytest.mark.parametrize("tlc_window", [16, 24, None])
def test_agdn_equals_the_plain_form_in_float64(size: tuple[int, int], tlc_window: int | None) -> None:
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert _error(_small(tlc_window=tlc_window).double(), x) < 1e-10


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_equal_the_plain_form_in_float64(name: str) -> None:
    assert _error(_network(name, 4).double(), formula_image(19, 26).double()) < 1e-10


@pytest.mark.parametrize("size", [(15, 15), (33, 50)])
@pytest.mark.parametrize("batch", [1, 3])
def test_float32_is_as_exact_as_the_plain_form(size: tuple[int, int], batch: int) -> None:
    x = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
    network = _small(tlc_window=16)
    fast = zoo.optimize(network)
    with torch.inference_mode():
        y = copy.deepcopy(network).double()(x.double())
        assert (fast(x) - y).abs().max() <= 3 * (network(x) - y).abs().max()


@pytest.mark.parametrize("name", SPECS)
def test_every_network_computes_the_same_in_float64(name: str) -> None:
    spec = SPECS[name]
    multiple = spec.size_multiple_px
    height, width = (-(-max(side, spec.min_side_px) // multiple) * multiple for side in (23, 34))
    assert _error(_network(name, spec.scales[0]).double(), formula_image(height, width).double()) < 1e-10


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), GOLDEN, ids=[f"{name}-x{scale}" for name, scale in GOLDEN])
def test_goldens(name: str, scale: int) -> None:
    expected, golden = expectations(name), load_file(shared.require(f"zoo/{name}/golden_x{scale}.safetensors"))
    fast = zoo.optimize(create_model(name, scale))
    for key in (k for k in golden if k.startswith("x_")):
        y = golden[f"y_{key[2:]}"]
        with torch.inference_mode():
            error = float((fast(golden[key]) - y).abs().max())
        assert error <= expected["tolerance"] * (float(y.abs().max()) if expected["relative"] else 1.0), key


def test_agdn_brings_its_own_form() -> None:
    assert isinstance(zoo.optimize(_small()).network, FastAGDN)


def test_the_original_stays_as_it_is() -> None:
    network, x = _network("agdn_s", 4), formula_image(20, 24)
    modules, state = list(network.modules()), copy.deepcopy(network.state_dict())
    with torch.inference_mode():
        before = network(x)
        zoo.optimize(network)(x)
        assert torch.equal(network(x), before)
    assert list(network.modules()) == modules
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert all(p.requires_grad for key, p in network.named_parameters())


def test_the_guard_of_the_input_stays() -> None:
    with pytest.raises(InputTooSmall):
        zoo.optimize(_network("agdn", 4))(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["agdn_s", "bsrn"])
def test_the_fast_form_traces_without_a_break(name: str) -> None:
    network, x = _network(name, 4), formula_image(20, 24)
    fast = zoo.optimize(network)
    compiled = torch.compile(fast, fullgraph=True, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), network(x), rtol=0, atol=1e-4)


def _traced(network: nn.Module, x: Tensor) -> list[torch.fx.GraphModule]:
    """What a compiler is given of the network: the graph, and in it the parts that it compiles once."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        graphs.extend(part for part in graph.modules() if isinstance(part, torch.fx.GraphModule))
        return graph

    torch.compiler.reset()
    with torch.inference_mode():
        compiled = torch.compile(network, fullgraph=True, backend=backend)
        torch.testing.assert_close(compiled(x), network(x), rtol=0, atol=1e-5)
    return graphs


def test_a_compiler_gets_one_block_and_no_more_for_more_windows() -> None:
    """Its time would otherwise grow with the blocks, and twofold with each window: 300 s were too few for one block."""
    options = {"scale": 2, "num_feat": 12, "tlc_window": 24}
    networks = [AGDN(num_block=blocks, **options).eval() for blocks in (2, 5)]  # type: ignore[arg-type]
    traced = []
    for network, size in zip(networks, ((20, 22), (60, 100)), strict=True):
        load_formula_weights(network)
        traced.append(_traced(zoo.optimize(network), formula_image(*size)))
    small, large = traced
    assert len(small) == len(large) == 2
    assert len(small[1].graph.nodes) == len(large[1].graph.nodes)
