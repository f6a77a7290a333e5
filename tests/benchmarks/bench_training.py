"""Steps per second of the training loop against a plain one: PNG decode per sample, no cache, contiguous tensors.

Issue 7 asks for 1.3x. Both train AGDN-S x4 on the same pictures with the same batch; the loops take turns, so that what
else the machine does falls on both. `python -m tests.benchmarks.bench_training` prints the ratio alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from runner.images import read_rgb, write_rgb
from runner.patch_cache import open_training_images
from runner.recipes import Recipe
from runner.resize import matlab_bicubic
from runner.training import train
from runner.training_sets import training_folders
from runner.training_state import start

BATCH, PATCH, SCALE = 16, 32, 4
TURNS, STEPS = 4, 4
PICTURES, HEIGHT, WIDTH = 8, 321, 481
"""As many pixels each as BSDS photographs have."""


def pictures(folder: Path) -> Path:
    """Smooth pictures with noise, which PNG compresses about as well as photographs."""
    for seed in range(PICTURES):
        random = np.random.default_rng(seed)
        coarse = random.integers(0, 256, (HEIGHT // 8 + 1, WIDTH // 8 + 1, 3))
        smooth = np.kron(coarse, np.ones((8, 8, 1)))[:HEIGHT, :WIDTH]
        noisy = smooth + random.normal(0, 8, smooth.shape)
        write_rgb(folder / f"{seed}.png", np.clip(noisy, 0, 255).astype(np.uint8))
    return folder


def plain_steps(folder: Path) -> Iterator[None]:
    """The loop that people write first: each sample decodes its HR and LR files, crops, and becomes contiguous."""
    lr_folder = folder / "LR"
    for file in sorted(folder.glob("*.png")):
        write_rgb(lr_folder / file.name, matlab_bicubic(read_rgb(file), SCALE))
    files = sorted(folder.glob("*.png"))
    state = start(recipe(10_000))
    random = np.random.default_rng(0)
    while True:
        lrs, hrs = [], []
        for index in random.integers(len(files), size=BATCH):
            hr, lr = read_rgb(files[index]), read_rgb(lr_folder / files[index].name)
            top, left = (int(random.integers(side - PATCH + 1)) for side in lr.shape[:2])
            lrs.append(lr[top : top + PATCH, left : left + PATCH])
            corner = (slice(top * SCALE, (top + PATCH) * SCALE), slice(left * SCALE, (left + PATCH) * SCALE))
            hrs.append(hr[corner])
        x, y = (
            torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).contiguous().float() / 255 for patches in (lrs, hrs)
        )
        loss = F.l1_loss(state.network(x), y)
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        yield


def recipe(iterations: int) -> Recipe:
    fields = {"batch": BATCH, "lr_patch_px": PATCH, "rate": 1e-3, "iterations": iterations}
    return Recipe(name="bench", model="agdn_s", scale=SCALE, **fields)


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) / STEPS


def both(folder: Path) -> tuple[float, float]:
    """Median seconds per step of the plain loop and of ours, in turns; checkpoints and averages are in ours."""
    images = open_training_images(
        training_folders([str(folder)], SCALE), scale=SCALE, lr_patch_px=PATCH, cache=folder / "cache"
    )
    plain, ours_state = plain_steps(folder), start(recipe(10_000))

    def ours() -> None:
        train(ours_state, recipe(10_000), images, folder=folder / "run", until=ours_state.iteration + STEPS)

    def theirs() -> None:
        for _ in range(STEPS):
            next(plain)

    theirs()
    ours()
    times = [(seconds(theirs), seconds(ours)) for _ in range(TURNS)]
    return median(t for t, _ in times), median(o for _, o in times)


def test_steps_against_a_plain_loop(benchmark: Any, tmp_path: Path) -> None:
    plain_s, ours_s = benchmark.pedantic(both, args=(pictures(tmp_path / "set"),), rounds=1)
    benchmark.extra_info |= {"plain_s": plain_s, "ours_s": ours_s, "ratio": plain_s / ours_s}
    print(f"\nplain {plain_s:.3f} s, ours {ours_s:.3f} s a step: {plain_s / ours_s:.2f}x")
    assert plain_s / ours_s >= 1.3


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        plain, ours = both(pictures(Path(name) / "set"))
        print(f"plain {plain:.3f} s, ours {ours:.3f} s a step: {plain / ours:.2f}x, {torch.get_num_threads()} threads")
