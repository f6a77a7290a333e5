"""Checkpoints: where they are searched, how they are fetched, and how they are loaded without running code.

A weights folder holds files at `Weights.file` (`agdn/AGDN_x4.pth`). Folders are searched in this order: the ones given
(`--weights-dir`), those of the environment variable ESR_WEIGHTS_DIR (a search path), the user cache.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor, nn

from zoo.catalogue import catalogue
from zoo.contract import ModelSpec, Weights, WeightsError, WeightsMissing
from zoo.files import atomic_target, sha256_of

ENVIRONMENT_VARIABLE = "ESR_WEIGHTS_DIR"
SUITE = Path(__file__).resolve().parent.parent
"""Folder that holds the five packages; `file` of a bundled checkpoint is a path below it."""
USER_ENTRIES = ("params_ema", "params", "state_dict")
"""Wrappers recognised, in this order, in a file that no spec declares."""


class FileState(Enum):
    """What `verify` found for one declared checkpoint."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"


@dataclass(frozen=True)
class Verified:
    """One declared checkpoint and its state on this machine."""

    model: str
    scale: int
    weights: Weights
    state: FileState
    path: Path | None


@dataclass(frozen=True)
class LoadedWeights:
    """Where a state dict came from."""

    path: Path
    sha256: str
    origin: str


@dataclass(frozen=True)
class WeightsStore:
    """The folders that are searched for checkpoints, and the one that new files go to."""

    folders: tuple[Path, ...]
    cache: Path

    def locate(self, weights: Weights) -> Path | None:
        """First file at the declared place whose sha256 fits; a wrong file is passed over. None if there is none."""
        return next((path for path in self._candidates(weights) if sha256_of(path) == weights.sha256), None)

    def _candidates(self, weights: Weights) -> Iterator[Path]:
        for folder in (*self.folders, self.cache):
            if (path := folder / weights.file).is_file():
                yield path

    def require(self, spec: ModelSpec, scale: int, weights: Weights) -> Path:
        """Path of the checkpoint. Raises WeightsMissing, or WeightsError when only an altered file was found."""
        if path := self.locate(weights):
            return path
        for wrong in self._candidates(weights):
            raise WeightsError(
                f"{wrong} is not the published {weights.file}: expected sha256 {weights.sha256}, got "
                f"{sha256_of(wrong)}. Remove it and run `esr weights pull {spec.name} --scale {scale}`."
            )
        raise WeightsMissing(
            f"The checkpoint of {spec.name} x{scale} ({weights.file}) is in none of: "
            f"{', '.join(map(str, (*self.folders, self.cache)))}. "
            f"Run `esr weights pull {spec.name} --scale {scale}`, or `esr weights add FILE`, "
            f"or point {ENVIRONMENT_VARIABLE} at its folder."
        )

    def resolve(self, spec: ModelSpec, scale: int, weights: str | Path) -> tuple[Weights | None, LoadedWeights]:
        """The file that "official", "bundled" or a path stands for. Raises WeightsMissing, WeightsError."""
        if weights == "official":
            declared = spec.weights.get(scale)
            if declared is None:
                has = ", ".join(f"x{s}" for s in sorted(spec.weights)) or "none"
                raise WeightsMissing(
                    f"No checkpoint of {spec.name} x{scale} is known (published scales: {has}). "
                    f"Pass --weights FILE with your own, or --weights none for random ones."
                )
            path = self.require(spec, scale, declared)
            return declared, LoadedWeights(path, declared.sha256, declared.origin.value)
        if weights == "bundled":
            declared = spec.bundled.get(scale)
            if declared is None:
                raise WeightsMissing(
                    f"No checkpoint of {spec.name} x{scale} ships with the suite. Pass --weights FILE."
                )
            path = SUITE / declared.file
            if not path.is_file() or sha256_of(path) != declared.sha256:
                raise WeightsError(
                    f"{declared.file} of the suite is missing or altered (expected sha256 {declared.sha256}). "
                    f"Install the suite again."
                )
            return declared, LoadedWeights(path, declared.sha256, declared.origin.value)
        path = Path(weights)
        if not path.is_file():
            raise WeightsMissing(f"{path} does not exist. Pass an existing .pth or .safetensors file, or `official`.")
        digest = sha256_of(path)
        known = next((w for w in spec.weights.values() if w.sha256 == digest), None)
        return known, LoadedWeights(path, digest, known.origin.value if known else "file")

    def state_dict_for(self, spec: ModelSpec, scale: int, weights: str | Path) -> tuple[dict[str, Tensor], str]:
        """State dict with the network's own keys, and a name for messages. Raises WeightsMissing, WeightsError."""
        declared, loaded = self.resolve(spec, scale, weights)
        return read_state_dict(loaded.path, declared), f"{spec.name} x{scale} from {loaded.path.name}"

    def add(self, file: Path) -> Verified:
        """Copy a file into the user cache at its declared place, recognised by sha256. Raises WeightsError."""
        if not file.is_file():
            raise WeightsMissing(f"{file} does not exist. Pass the path of a downloaded checkpoint.")
        digest = sha256_of(file)
        for model, scale, weights in declared_weights(catalogue().values()):
            if weights.sha256 == digest:
                target = self.cache / weights.file
                with atomic_target(target) as part:
                    shutil.copyfile(file, part)
                return Verified(model, scale, weights, FileState.OK, target)
        raise WeightsError(
            f"{file} (sha256 {digest}) is no checkpoint the zoo declares. "
            f"Use it directly: --weights {file}. `esr weights list` shows what is known."
        )

    def verify(self, specs: Iterable[ModelSpec]) -> Iterator[Verified]:
        """State of every declared checkpoint of `specs`."""
        for model, scale, weights in declared_weights(specs):
            if path := self.locate(weights):
                yield Verified(model, scale, weights, FileState.OK, path)
            elif wrong := next(self._candidates(weights), None):
                yield Verified(model, scale, weights, FileState.ALTERED, wrong)
            else:
                yield Verified(model, scale, weights, FileState.MISSING, None)

    def is_here(self, spec: ModelSpec, scale: int) -> bool:
        """Whether the published checkpoint of a model at a scale is on this machine, whole."""
        return scale in spec.weights and self.locate(spec.weights[scale]) is not None


def declared_weights(specs: Iterable[ModelSpec]) -> Iterator[tuple[str, int, Weights]]:
    """(model, scale, weights) of all published checkpoints of `specs`."""
    for spec in specs:
        for scale, weights in spec.weights.items():
            yield spec.name, scale, weights


def bundled_weights(specs: Iterable[ModelSpec]) -> Iterator[Verified]:
    """State of every checkpoint of `specs` that ships with the suite."""
    for spec in specs:
        for scale, weights in spec.bundled.items():
            path = SUITE / weights.file
            state = FileState.MISSING
            if path.is_file():
                state = FileState.OK if sha256_of(path) == weights.sha256 else FileState.ALTERED
            yield Verified(spec.name, scale, weights, state, path if path.is_file() else None)


def default_store(folders: Iterable[Path] = ()) -> WeightsStore:
    """The store of `folders`, then ESR_WEIGHTS_DIR, then the user cache."""
    from_environment = (Path(p) for p in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if p)
    return WeightsStore((*folders, *from_environment), Path(platformdirs.user_cache_dir("esr")) / "weights")


def read_state_dict(path: Path, declared: Weights | None) -> dict[str, Tensor]:
    """Tensors of a checkpoint on the CPU under the network's keys; never runs code of the file. Raises WeightsError."""
    content = _read_file(path)
    if declared is not None:
        tensors = content if declared.entry is None else _entry(content, declared.entry, path)
        prefix, rename = declared.strip_prefix, declared.rename or str
    else:
        entry = next((name for name in USER_ENTRIES if isinstance(content.get(name), Mapping)), None)
        tensors = content if entry is None else content[entry]
        prefix = "module." if tensors and all(str(key).startswith("module.") for key in tensors) else ""
        rename = str
    bad = [key for key, value in tensors.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if bad:
        raise WeightsError(
            f"{path} is not a state dict: {', '.join(map(str, bad[:5]))} hold no tensor under a name. "
            f"Expected tensors by name, at the top or under {', '.join(USER_ENTRIES)}."
        )
    return {rename(key.removeprefix(prefix)): value for key, value in tensors.items()}


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, so it was not opened: loading it could run code. Expected a state dict; "
            f"if you trust the file, save it again as .safetensors."
        ) from error
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}). It may be truncated: compare its size "
            f"and sha256, then `esr weights pull` or copy it again."
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}. Expected a state dict (tensors by name).")
    return content


def _entry(content: Mapping[str, Any], entry: str, path: Path) -> Mapping[str, Any]:
    found = content.get(entry)
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} has no entry {entry!r} (has {', '.join(list(content)[:5])}).")
    return found


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load `tensors` into `network`: same keys, same shapes, or WeightsError naming the differences."""
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected]
    shapes = [
        f"{key} (expected {tuple(expected[key].shape)}, got {tuple(tensors[key].shape)})"
        for key in expected
        if key in tensors and expected[key].shape != tensors[key].shape
    ]
    if missing or extra or shapes:
        parts = [
            f"{len(names)} {label}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for label, names in (("missing", missing), ("not of this network", extra), ("of another shape", shapes))
            if names
        ]
        raise WeightsError(
            f"The checkpoint for {what} does not fit the network: {'; '.join(parts)}. "
            f"Check the model name, the scale and the entry of the file."
        )
    network.load_state_dict(dict(tensors), strict=True)
