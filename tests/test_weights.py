"""Checkpoints: search order, strict and safe loading, and errors that name the next step."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.contract import ModelSpec, Weights, WeightsError, WeightsMissing
from zoo.create import create_model
from zoo.files import sha256_of
from zoo.weights import FileState, WeightsStore


class TinyNet(nn.Module):
    """Two tensors, x2 by nearest neighbour."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.conv(x), scale_factor=2)


def _state(value: float = 0.5) -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.full((3, 3, 1, 1), value), "conv.bias": torch.zeros(3)}


def _spec(folder: Path, content: object, *, entry: str | None = None, strip_prefix: str = "") -> ModelSpec:
    path = folder / "tiny" / "tiny.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    weights = Weights(
        file="tiny/tiny.pth",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        url=None,
        licence="MIT",
        entry=entry,
        strip_prefix=strip_prefix,
    )
    return ModelSpec(
        name="tiny", display_name="Tiny", build=lambda _scale: TinyNet(), scales=(2, 4), weights={2: weights}
    )


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    return WeightsStore((tmp_path / "given",), tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "entry", "prefix"),
    [
        (_state(), None, ""),
        ({"params": _state(0.1), "params_ema": _state()}, "params_ema", ""),
        ({f"module.{k}": v for k, v in _state().items()}, None, "module."),
    ],
    ids=["plain", "entry", "prefix"],
)
def test_declared_entry_and_prefix_lead_to_the_tensors(
    store: WeightsStore, content: object, entry: str | None, prefix: str
) -> None:
    spec = _spec(store.folders[0], content, entry=entry, strip_prefix=prefix)
    network = create_model(spec, 2, store=store)
    assert float(network.state_dict()["conv.weight"].mean()) == 0.5


def test_rename_leads_to_the_networks_keys(store: WeightsStore) -> None:
    spec = _spec(store.folders[0], {k.replace("conv", "old"): v for k, v in _state().items()})
    renamed = replace(spec.weights[2], rename=lambda key: key.replace("old", "conv"))
    network = create_model(replace(spec, weights={2: renamed}), 2, store=store)
    assert float(network.state_dict()["conv.weight"].mean()) == 0.5


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_users_own_file(tmp_path: Path, store: WeightsStore, suffix: str) -> None:
    spec = _spec(store.folders[0], _state())
    path = tmp_path / f"mine{suffix}"
    if suffix == ".pth":
        torch.save({"params_ema": _state(0.25)}, path)
    else:
        save_file(_state(0.25), path)
    network = create_model(spec, 2, weights=path, store=store)
    assert float(network.state_dict()["conv.weight"].mean()) == 0.25


def test_missing_file_says_where_it_looked_and_what_to_run(store: WeightsStore) -> None:
    spec = _spec(store.folders[0], _state())
    (store.folders[0] / "tiny" / "tiny.pth").unlink()
    with pytest.raises(WeightsMissing, match=r"none of: .*given.*cache.*esr weights pull tiny --scale 2"):
        create_model(spec, 2, store=store)


def test_scale_without_checkpoint_names_the_published_ones(store: WeightsStore) -> None:
    with pytest.raises(WeightsMissing, match=r"x4 is known \(published scales: x2\)"):
        create_model(_spec(store.folders[0], _state()), 4, store=store)


def test_an_altered_file_is_refused(store: WeightsStore) -> None:
    spec = _spec(store.folders[0], _state())
    torch.save(_state(0.75), store.folders[0] / "tiny" / "tiny.pth")
    with pytest.raises(WeightsError, match=r"expected sha256 .*, got .*Remove it and run"):
        create_model(spec, 2, store=store)


def test_an_altered_file_does_not_hide_a_good_one_further_down(store: WeightsStore) -> None:
    spec = _spec(store.cache, _state())
    wrong = store.folders[0] / "tiny" / "tiny.pth"
    wrong.parent.mkdir(parents=True)
    torch.save(_state(0.75), wrong)
    network = create_model(spec, 2, store=store)
    assert float(network.state_dict()["conv.weight"].mean()) == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv.bias"), r"1 missing: conv\.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 not of this network: extra"),
        (lambda s: s.update({"conv.bias": torch.zeros(4)}), r"conv\.bias \(expected \(3,\), got \(4,\)\)"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_strict_loading_names_the_difference(store: WeightsStore, change: object, message: str) -> None:
    state = _state()
    change(state)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=message):
        create_model(_spec(store.folders[0], state), 2, store=store)


class _RunsCode:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", [torch.save, lambda o, p: Path(p).write_bytes(pickle.dumps(o))], ids=["zip", "raw"])
def test_a_pickle_with_code_is_never_executed(tmp_path: Path, store: WeightsStore, writer: object) -> None:
    spec, trap, path = _spec(store.folders[0], _state()), tmp_path / "executed", tmp_path / "evil.pth"
    writer({"conv.weight": _RunsCode(trap)}, path)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=r"could run code"):
        create_model(spec, 2, weights=path, store=store)
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_named(tmp_path: Path, store: WeightsStore, suffix: str) -> None:
    spec, path = _spec(store.folders[0], _state()), tmp_path / f"half{suffix}"
    torch.save(_state(), tmp_path / "whole.pth")
    path.write_bytes((tmp_path / "whole.pth").read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"half.*truncated"):
        create_model(spec, 2, weights=path, store=store)


def test_a_file_without_tensors_is_refused(tmp_path: Path, store: WeightsStore) -> None:
    spec, path = _spec(store.folders[0], _state()), tmp_path / "numbers.pth"
    torch.save({"epoch": 3}, path)
    with pytest.raises(WeightsError, match=r"epoch hold no tensor"):
        create_model(spec, 2, weights=path, store=store)


def test_bundled_weights_are_found_from_any_folder_and_checked(
    tmp_path: Path, store: WeightsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(tmp_path, _state(0.125))
    spec = replace(spec, weights={}, bundled=spec.weights)
    monkeypatch.setattr("zoo.weights.SUITE", tmp_path)
    monkeypatch.chdir(store.folders[0].parent)
    network = create_model(spec, 2, weights="bundled", store=store)
    assert float(network.state_dict()["conv.weight"].mean()) == 0.125
    (tmp_path / "tiny" / "tiny.pth").write_bytes(b"changed")
    with pytest.raises(WeightsError, match=r"tiny\.pth of the suite is missing or altered"):
        create_model(spec, 2, weights="bundled", store=store)


def test_add_refuses_a_file_the_zoo_does_not_declare(tmp_path: Path, store: WeightsStore) -> None:
    path = tmp_path / "unknown.pth"
    torch.save(_state(), path)
    with pytest.raises(WeightsError, match=r"no checkpoint the zoo declares"):
        store.add(path)
    assert not store.cache.exists()


def test_verify_tells_ok_altered_and_missing(store: WeightsStore) -> None:
    spec = _spec(store.folders[0], _state())
    path = store.folders[0] / "tiny" / "tiny.pth"
    assert [v.state for v in store.verify([spec])] == [FileState.OK]
    path.write_bytes(b"changed")
    assert [v.state for v in store.verify([spec])] == [FileState.ALTERED]
    path.unlink()
    assert [v.state for v in store.verify([spec])] == [FileState.MISSING]
