"""Stand-ins for the tasks and the data sets, so that planning and execution are tested without them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import runner
import runner.tasks


class DataMissing(Exception):
    """Stands for `runner.datasets.DataMissing`."""


@dataclass
class Fakes:
    """What the stand-ins do, and what they were asked."""

    manifest: str = "m1"
    calls: list[tuple[str, ...]] = field(default_factory=list)
    complexity: Callable[[], dict[str, Any]] = lambda: {"params": 1}
    quality: Callable[[], dict[str, Any]] = lambda: {"psnr_y_db": 30.0}


@dataclass
class _Pair:
    name: str
    hr_path: Path
    lr_path: Path | None = None


@dataclass
class _Dataset:
    name: str
    scale: int
    recipe: object
    manifest_sha256: str
    pairs: tuple[_Pair, ...] = ()


@dataclass
class _Score:
    name: str


@dataclass
class _Known:
    name: str


def install(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Put stand-ins in the place of runner.tasks.{quality,complexity}, runner.datasets and runner.known_sets."""
    fakes = Fakes()

    def complexity(spec: Any, scale: int, *, protocol: Any) -> dict[str, Any]:
        fakes.calls.append(("complexity", spec.name, str(scale)))
        return fakes.complexity()

    def quality(
        network: Any, dataset: Any, *, protocol: Any, on_image: Callable[[Any], None], **_options: Any
    ) -> dict[str, Any]:
        fakes.calls.append(("quality", type(network).__name__, dataset.name))
        on_image(_Score("first.png"))
        return fakes.quality()

    def open_dataset(name: str, scale: int, *, recipe: Any, folders: Any) -> _Dataset:
        fakes.calls.append(("open", name))
        if name != "sample":
            raise DataMissing(f"There is no data set {name!r}.")
        return _Dataset(name, scale, recipe, fakes.manifest)

    def known_set(name: str) -> _Known | None:
        return _Known("Set5") if name.lower() == "set5" else None

    _module(monkeypatch, runner.tasks, "complexity", {"VERSION": 3, "measure": complexity})
    _module(monkeypatch, runner.tasks, "quality", {"VERSION": 2, "evaluate": quality})
    _module(monkeypatch, runner, "counters", {"COUNTERS": ("exact", "thop")})
    _module(monkeypatch, runner, "datasets", {"DataMissing": DataMissing, "open_dataset": open_dataset})
    _module(monkeypatch, runner, "known_sets", {"known_set": known_set})
    monkeypatch.setattr("runner.data_identity._manifests", {})
    return fakes


def _module(monkeypatch: pytest.MonkeyPatch, package: ModuleType, name: str, content: dict[str, Any]) -> None:
    module = ModuleType(f"{package.__name__}.{name}")
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(package, name, module, raising=False)


NETWORKS = """
import os, signal, time
import torch
from torch import nn

class Toy(nn.Module):
    scales = (2, 4)
    def __init__(self, scale=4):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * scale**2, 1)
        self.shuffle = nn.PixelShuffle(scale)
    def forward(self, x):
        return self.shuffle(self.conv(x))

class Broken(Toy):
    def forward(self, x):
        raise RuntimeError("planted")

class Crashing(Toy):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGKILL)

class Exiting(Toy):
    def forward(self, x):
        os._exit(7)

class Hanging(Toy):
    def forward(self, x):
        while True:
            time.sleep(0.05)
"""
"""A file of a user's: one sound network and four planted ways to go wrong."""
