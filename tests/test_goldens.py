"""Every network of the catalogue against the outputs of its authors' code, where the shared material is."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests import shared
from tests.expectations import expectations
from tests.formula import load_formula_weights
from zoo.catalogue import catalogue
from zoo.create import create_model

BUILDS = [(name, scale) for name, spec in catalogue().items() if spec.runnable for scale in spec.scales]
IDS = [f"{name}-x{scale}" for name, scale in BUILDS]


def _has(name: str, scale: int, stem: str) -> bool:
    return (shared.SHARED / "zoo" / name / f"{stem}_x{scale}.safetensors").is_file()


OFFICIAL = [(name, scale) for name, scale in BUILDS if _has(name, scale, "golden")]
SYNTHETIC = [(name, scale) for name, scale in BUILDS if _has(name, scale, "golden_synth")]


def _ids(builds: list[tuple[str, int]]) -> list[str]:
    return [f"{name}-x{scale}" for name, scale in builds]


@cache
def _golden(name: str, scale: int, stem: str) -> dict[str, Tensor]:
    return load_file(shared.require(f"zoo/{name}/{stem}_x{scale}.safetensors"))


def _check(network: nn.Module, golden: dict[str, Tensor], name: str) -> None:
    expected = expectations(name)
    for key in sorted(golden):
        if key.startswith("x_"):
            y = golden[f"y_{key[2:]}"]
            with torch.inference_mode():
                error = float((network(golden[key]) - y).abs().max())
            bound = expected["tolerance"] * (float(y.abs().max()) if expected["relative"] else 1.0)
            assert error <= bound, f"{name} on {key} {tuple(golden[key].shape)}: {error:.2e} > {bound:.2e}"


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), OFFICIAL, ids=_ids(OFFICIAL))
def test_outputs_equal_the_authors(name: str, scale: int) -> None:
    _check(create_model(name, scale), _golden(name, scale, "golden"), name)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), SYNTHETIC, ids=_ids(SYNTHETIC))
def test_outputs_equal_the_authors_code_on_synthetic_weights(name: str, scale: int) -> None:
    golden = _golden(name, scale, "golden_synth")
    network = create_model(name, scale, weights=None)
    stored = {key.removeprefix("sd."): value for key, value in golden.items() if key.startswith("sd.")}
    if stored:
        network.load_state_dict(stored, strict=True)
    else:
        load_formula_weights(network)
    _check(network, golden, name)


@pytest.mark.shared
def test_every_golden_has_a_model() -> None:
    folder = shared.require("zoo")
    stems = {(p.parent.name, int(p.stem[-1])) for p in folder.glob("*/golden*_x*.safetensors")}
    assert stems <= set(BUILDS), f"no model for {stems - set(BUILDS)}"


@pytest.mark.shared
@pytest.mark.parametrize(("name", "scale"), BUILDS, ids=IDS)
def test_state_dict_equals_the_manifest(name: str, scale: int) -> None:
    path = shared.require("zoo") / name / f"manifest_x{scale}.json"
    if not path.is_file():
        return
    manifest = {key: tuple(shape) for key, shape, _dtype in json.loads(path.read_text(encoding="utf-8"))}
    network = create_model(name, scale, weights=None, device="meta")
    # Buffers that a network derives at any size are listed in some manifests and need not be stored by ours.
    ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    derived = {k for k in manifest if k.endswith(("attn_mask", "relative_position_index"))}
    assert {k: v for k, v in manifest.items() if k not in derived} == ours
