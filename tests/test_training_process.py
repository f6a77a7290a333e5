"""Trainings in processes of their own: killed at any moment, stopped by a signal, two of them sharing a batch."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from runner.images import write_rgb
from runner.training import train
from runner.training_state import CURVE, export, resume
from tests.shared import ROOT
from tests.train_process import GRADIENTS, WEIGHTS, images_of, recipe_of, run

STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(3):
        rough = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        write_rgb(folder / f"{seed}.png", np.kron(rough, np.ones((4, 4, 1), np.uint8)))
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run(folder, out, STEPS, 2, 1)
    return out


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started(folder: Path, out: Path, **variables: str) -> subprocess.Popen[str]:
    arguments = (str(folder), str(out), str(STEPS), "2", "1", str(torch.get_num_threads()))
    command = [sys.executable, "-m", "tests.train_process", *arguments]
    environment = os.environ | variables | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until_step(process: subprocess.Popen[str], step: int) -> None:
    """Read what a run prints until it has done a step."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == f"step {step}":
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def go_on(folder: Path, out: Path) -> int:
    """Finish a run from its checkpoint in this process; gives the step it went on from."""
    recipe = recipe_of(STEPS, 2)
    state = resume(recipe, out)
    begun = state.iteration
    train(state, recipe, images_of(folder, out), folder=out)
    export(state, out / WEIGHTS)
    return begun


def losses_of(out: Path) -> list[tuple[float, float]]:
    """Iteration and loss of every report."""
    return [(entry["iteration"], entry["loss"]) for entry in json.loads((out / CURVE).read_text())]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(folder: Path, whole: Path, tmp_path: Path) -> None:
    process = started(folder, tmp_path)
    # The kill lands wherever the process is then: in a step, in a checkpoint, between the two.
    until_step(process, step := random.Random(7).randint(1, STEPS - 2))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert step <= go_on(folder, tmp_path) < STEPS
    assert (tmp_path / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert losses_of(tmp_path) == losses_of(whole)


def test_sigterm_ends_after_a_whole_step_with_its_checkpoint(folder: Path, whole: Path, tmp_path: Path) -> None:
    process = started(folder, tmp_path)
    until_step(process, 2)
    process.send_signal(signal.SIGTERM)
    _out, words = process.communicate()
    assert "Stopped after step" in words
    assert go_on(folder, tmp_path) >= 2
    assert (tmp_path / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_two_processes_under_torchrun_equal_one_with_the_same_batch(folder: Path, whole: Path, tmp_path: Path) -> None:
    # What torchrun tells its processes; torchrun itself would import torch once more.
    world = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    both = [started(folder, tmp_path, RANK=rank, LOCAL_RANK=rank, **world) for rank in ("0", "1")]
    for process in both:
        _out, words = process.communicate()
        assert process.returncode == 0, words
    for name in (GRADIENTS, WEIGHTS):
        ours, theirs = load_file(tmp_path / name), load_file(whole / name)
        assert ours.keys() == theirs.keys()
        worst = max(float((ours[key] - theirs[key]).abs().max()) for key in ours)
        assert worst <= 1e-5, f"{name}: {worst:.1e}"
    assert max(float(value.abs().max()) for value in load_file(whole / GRADIENTS).values()) > 1e-3
