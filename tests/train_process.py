"""A training in a process of its own: to be killed at any step, or to be one of several that share a batch.

`python -m tests.train_process FOLDER OUT STEPS BATCH DEVICES THREADS` trains AGDN-S on the images of FOLDER, prints
`step N` after each step and keeps a checkpoint of each; the first process writes the first step's gradients.
"""

from __future__ import annotations

import sys
from pathlib import Path

import safetensors.torch
import torch

from runner.devices import fabric_of
from runner.patch_cache import open_training_images
from runner.patches import TrainingImages
from runner.recipes import Recipe
from runner.training import train
from runner.training_sets import training_folders
from runner.training_state import State, export, start

GRADIENTS = "gradients.safetensors"
WEIGHTS = "weights.safetensors"


def recipe_of(steps: int, batch: int) -> Recipe:
    fields = {"iterations": steps, "batch": batch, "lr_patch_px": 16, "rate": 1e-3, "halve_at": (3,), "ema": 0.9}
    return Recipe(name="process", model="agdn_s", scale=4, **fields)


def images_of(folder: Path, out: Path) -> TrainingImages:
    folders = training_folders([str(folder)], 4)
    return open_training_images(folders, scale=4, lr_patch_px=16, cache=out / "cache")


def run(folder: Path, out: Path, steps: int, batch: int, devices: int) -> State:
    """Train; gives the state at the end."""
    fabric = fabric_of(devices=devices)
    recipe = recipe_of(steps, batch)
    state = start(recipe)

    def after(state: State) -> None:
        print(f"step {state.iteration}", flush=True)
        if state.iteration == 1 and fabric.is_global_zero:
            gradients = {name: value.grad for name, value in state.network.named_parameters() if value.grad is not None}
            out.mkdir(parents=True, exist_ok=True)
            (out / GRADIENTS).write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in gradients.items()}))

    with fabric.rank_zero_first(local=True):
        images = images_of(folder, out)
    train(state, recipe, images, folder=out, fabric=fabric, checkpoint_every_s=0, on_step=after)
    if fabric.is_global_zero:
        export(state, out / WEIGHTS)
    return state


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[6]))
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
