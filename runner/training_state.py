"""What a training is after some step, and how it is kept: checkpoints to go on from bit by bit, weights to load."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor, nn

from runner.recipes import Recipe, parse_recipe
from zoo.catalogue import find
from zoo.contract import BadInput, JobFailed
from zoo.files import atomic_target, write_bytes_atomically, write_text_atomically
from zoo.weights import default_store, load_strictly

CHECKPOINT: Final = "checkpoint.pt"
CURVE: Final = "curve.json"


class Diverged(JobFailed):
    """The loss or a weight is not a number any more."""


@dataclass
class State:
    """What a run is after some step: everything that the next step depends on."""

    network: nn.Module
    average: nn.Module
    "Moving average of the weights: what is evaluated and exported."
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    "Time spent in steps, over all sittings."
    curve: list[dict[str, float]] = field(default_factory=list)
    "One entry per report: iteration, loss (mean since the last), seconds, and what the validation gave."
    recent: list[float] = field(default_factory=list)
    "Losses since the last report."
    images_sha256: str | None = None
    "Digest of the training images, from the first step on."
    precision: dict[str, Any] = field(default_factory=dict)
    "What mixed precision carries from step to step: the loss scale of float16."


def start(recipe: Recipe, *, network: nn.Module | None = None, weights: dict[str, Tensor] | None = None) -> State:
    """The state before the first step: `network`, or the zoo's under the recipe's seed.

    It starts from `weights` where given (the stage before), else from what the recipe's `start` names.
    """
    torch.manual_seed(recipe.seed)
    spec = find(recipe.model) if network is None or recipe.start else None
    network = network or find(recipe.model).network(recipe.scale)
    if weights is not None:
        network.load_state_dict(weights)
    elif recipe.start and spec:
        load_strictly(network, *default_store().state_dict_for(spec, recipe.scale, recipe.start))
    network.train().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.rate, betas=recipe.betas)
    return State(network=network, average=copy.deepcopy(network).eval().requires_grad_(False), optimizer=optimizer)


def save(state: State, recipe: Recipe, folder: Path) -> Path:
    """Write the checkpoint whole or not at all: the one before stays until the new one is on disk.

    Raises Diverged where a weight is NaN or infinite: such a state is nothing to go on from. JobFailed on a full disk.
    """
    for name, value in state.network.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise Diverged(
                f"After step {state.iteration} {name} holds NaN or infinity, so it is not checkpointed; the checkpoint "
                f"before it stays. Train with a smaller rate in the recipe."
            )
    content = {
        "recipe": recipe.model_dump(),
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "iteration": state.iteration,
        "seconds": state.seconds,
        "curve": state.curve,
        "recent": state.recent,
        "images_sha256": state.images_sha256,
        "precision": state.precision,
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    path = folder / CHECKPOINT
    try:
        with atomic_target(path) as part:
            torch.save(content, part)
        write_text_atomically(folder / CURVE, json.dumps(state.curve, indent=1) + "\n")
    except (OSError, RuntimeError) as error:
        raise JobFailed(
            f"The checkpoint of step {state.iteration} cannot be written to {folder}: {error}. "
            f"The one before it is whole; free space and start again with --resume."
        ) from error
    return path


def resume(recipe: Recipe, folder: Path, *, network: nn.Module | None = None) -> State:
    """The state of a checkpoint. Raises BadInput: none there, or one of another recipe (the difference is named)."""
    path = folder / CHECKPOINT
    content = _read(path)
    held = parse_recipe(content["recipe"], where=path.name)
    if changes := recipe.difference(held):
        raise BadInput(
            f"{path} was made by another recipe ({'; '.join(changes)}). Resume with that recipe, or start in another "
            f"folder."
        )
    # The checkpoint replaces every weight, so what the first step started from need not be here any more.
    state = start(recipe.model_copy(update={"start": None}), network=network)
    state.network.load_state_dict(content["network"])
    state.average.load_state_dict(content["average"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.iteration, state.seconds, state.curve = content["iteration"], content["seconds"], content["curve"]
    state.recent, state.images_sha256 = content["recent"], content["images_sha256"]
    state.precision = content["precision"]
    torch.set_rng_state(content["rng"])
    if content["rng_cuda"] and len(content["rng_cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(content["rng_cuda"])
    return state


def checkpoint_recipe(folder: Path) -> Recipe:
    """The recipe of a run, as its checkpoint has it. Raises BadInput where there is none."""
    return parse_recipe(_read(folder / CHECKPOINT)["recipe"], where=CHECKPOINT)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadInput(f"{path.parent} holds no {path.name}. Start without --resume, or name the folder of the run.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise BadInput(f"{path} is no checkpoint of this suite: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("recipe"), dict):
        raise BadInput(f"{path} is no checkpoint of this suite: it names no recipe. Name the folder of a run of ours.")
    return {"recent": [], "images_sha256": None, "precision": {}, "rng_cuda": []} | content


def export(state: State, path: Path) -> Path:
    """Write the averaged weights as safetensors, which `create_model(weights=PATH)` loads; gives the path."""
    return export_tensors(state.average.state_dict(), path)


def export_tensors(tensors: dict[str, Tensor], path: Path) -> Path:
    """Write a state dict as safetensors, whole or not at all."""
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes_atomically(path, safetensors.torch.save(kept))
    return path
