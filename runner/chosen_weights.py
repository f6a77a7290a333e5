"""Which checkpoint a network gets for a choice of the user's, and the hash that a run's key names it by."""

from __future__ import annotations

from pathlib import Path

from zoo.contract import ModelSpec, WeightsMissing
from zoo.files import sha256_of

AUTO = "auto"
"""Weights: official where published, else bundled; none for a network without parameters and for a user's file.

Where the official file is not on this machine and a bundled one exists, it is the bundled one: `stands_in` says so."""

NO_WEIGHTS = "none"
"""Weights: the network's own initialisation under a fixed seed."""


def choose_weights(
    choice: str, *, reference: str, spec: ModelSpec, scale: int, folders: tuple[Path, ...] = ()
) -> str | None:
    """What `create_model` is to be given for a choice of the user's: official, bundled, a file, or None.

    A model of a user's file is taken as its constructor leaves it, which may have loaded weights of its own.
    """
    if choice == NO_WEIGHTS or not spec.learned:
        return None
    if choice != AUTO:
        return choice
    if scale in spec.bundled and not _official_is_here(spec, scale, folders):
        return "bundled"
    if scale not in spec.weights and reference != spec.name:
        return None
    return "official"


def _official_is_here(spec: ModelSpec, scale: int, folders: tuple[Path, ...]) -> bool:
    from zoo.weights import default_store

    return default_store(folders).is_here(spec, scale)


def stands_in(choice: str, weights: str | None, *, spec: ModelSpec, scale: int) -> str:
    """What a person must be told where bundled weights stand in for official ones; empty where they do not."""
    if choice != AUTO or weights != "bundled" or scale not in spec.weights:
        return ""
    return (
        f"{spec.name} x{scale}: the official checkpoint is not on this machine, so this is the bundled one "
        f"({spec.bundled[scale].note}), not the paper's. `esr weights pull {spec.name} --scale {scale}` gets that."
    )


def weights_sha256(weights: str | None, *, spec: ModelSpec, scale: int) -> str | None:
    """sha256 of the checkpoint, from the declaration where there is one, so that it need not be here."""
    if weights is None:
        return None
    if weights in ("official", "bundled"):
        declared = (spec.weights if weights == "official" else spec.bundled).get(scale)
        return declared.sha256 if declared else None
    path = Path(weights)
    if not path.is_file():
        raise WeightsMissing(f"{path} does not exist. Pass an existing .pth or .safetensors file, or official.")
    return sha256_of(path)
