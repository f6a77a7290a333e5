"""A sweep that is killed, starved of disk or run twice at once: nothing finished is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from runner.images import write_rgb
from runner.store import Store
from tests.nursery import Nursery
from zoo.facts import Ok, Outcome, RunKey

IMAGES = 10
KILLS = 30
JOURNAL_LIMIT = 2_100

NETWORKS = """
import hashlib, os
from torch import nn

class Telling(nn.Upsample):
    '''Writes a line for every image it is given, before anything else.'''
    scales = (2,)
    def __init__(self):
        super().__init__(scale_factor=2)
    def forward(self, x):
        name = hashlib.sha256(x.numpy().tobytes()).hexdigest()
        line = f"{type(self).__name__} {name}\\n".encode()
        handle = os.open(os.environ["TELLING"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line)
        os.close(handle)
        return super().forward(x)

class Other(Telling):
    pass
"""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


class Sweep:
    """One new store, and the command that fills it; images and networks are shared by the sweeps of a test."""

    def __init__(self, nursery: Nursery, shared: Path) -> None:
        self.nursery = nursery
        if not (shared / "Tiny").exists():
            rng = np.random.default_rng(7)
            for index in range(IMAGES):
                size = (24, 20) if index % 3 else (20, 28)
                write_rgb(shared / "Tiny" / f"{index}.png", rng.integers(0, 256, (*size, 3), dtype=np.uint8))
            (shared / "nets.py").write_text(NETWORKS, encoding="utf-8")
        folder = Path(tempfile.mkdtemp(dir=shared))
        self.store, self.out = Store(folder / "results"), folder / "out"
        models = (f"{shared}/nets.py:Telling", "bicubic", f"{shared}/nets.py:Other")
        options = ("--scale", "2", "--tasks", "quality", "--data", shared / "Tiny", "--weights", "none")
        self.command: tuple[object, ...] = ("bench", *models, *options, "--store", self.store.root, "--json")
        self._told = folder / "forwards"

    def start(self, nursery: Nursery | None = None, *, limit: int | None = None, kill_at: int | None = None) -> int:
        """Pid of the command."""
        told = str(self._told)
        return (nursery or self.nursery).start(*self.command, out=self.out, limit=limit, kill_at=kill_at, TELLING=told)

    def run(self, *, limit: int | None = None) -> int:
        """Exit code of the command."""
        self.start(limit=limit)
        return self.nursery.result()

    def forwards(self) -> list[str]:
        """Network and image of every forward pass so far."""
        return self._told.read_text(encoding="ascii").splitlines() if self._told.exists() else []

    def operations(self) -> int:
        """How many file operations the last whole run of the command took."""
        return int(Path(f"{self.out}.operations").read_text(encoding="ascii"))

    def outcomes(self) -> dict[RunKey, Outcome]:
        """What the store holds; every file in it is a whole record."""
        contents = self.store.read()
        assert contents.problems == ()
        return {record.key: record.outcome for record in contents.records}

    def words(self) -> str:
        """What the command printed so far, on one line."""
        return " ".join(self.out.read_text(encoding="utf-8").split())


def _is_finished(sweep: Sweep) -> bool:
    outcomes = sweep.outcomes().values()
    return len(outcomes) == 3 and all(isinstance(outcome, Ok) for outcome in outcomes)


def test_thirty_kills_at_random_times_lose_no_record_and_repeat_an_image_each_at_most(
    nursery: Nursery, tmp_path: Path
) -> None:
    """Two of three kills come before a random file operation, which no load moves, the third after a random time."""
    whole = Sweep(nursery, tmp_path)
    started = time.monotonic()
    assert whole.run() == 0
    duration_s = time.monotonic() - started
    expected, operations = whole.outcomes(), whole.operations()
    assert len(whole.forwards()) == 2 * IMAGES == len(set(whole.forwards()))
    rng, kills, in_the_middle = random.Random(5), 0, 0
    while kills < KILLS:
        sweep = Sweep(nursery, tmp_path)
        while not _is_finished(sweep) and kills < KILLS:
            before = Counter(sweep.forwards())
            if kills % 3:
                sweep.start(kill_at=rng.randrange(operations))
            else:
                _kill_after(rng.uniform(0, duration_s), sweep.start())
            killed = nursery.result() == -signal.SIGKILL
            new = Counter(sweep.forwards()) - before
            # A life repeats at most the one image that the kill before it caught.
            assert sum(min(count, before[image]) for image, count in new.items()) <= 1
            assert sweep.outcomes().items() <= expected.items()
            kills += killed
            in_the_middle += killed and len(new) > 0
        assert sweep.run() == 0
        assert sweep.outcomes() == expected
        assert not sweep.store.journals()
    assert in_the_middle > KILLS / 4, "the kills missed the images"


def _kill_after(seconds: float, pid: int) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        try:
            psutil.Process(pid).wait(timeout=seconds)
        except psutil.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)


def test_a_full_disk_is_told_and_costs_nothing_that_was_finished(nursery: Nursery, tmp_path: Path) -> None:
    """RLIMIT_FSIZE is a disk that takes no file above a size: of the journal, a few lines."""
    sweep = Sweep(nursery, tmp_path)
    assert sweep.run(limit=JOURNAL_LIMIT) == 1
    assert "File too large" in sweep.words()
    assert "finished images are kept" in sweep.words()
    assert "Traceback" not in sweep.words()
    assert len(sweep.forwards()) > 1
    assert sweep.outcomes() == {}
    assert sweep.run() == 0
    assert len(sweep.forwards()) - 2 * IMAGES <= 1
    assert _is_finished(sweep)


def test_two_runs_on_one_store_share_the_work(nursery: Nursery, tmp_path: Path) -> None:
    second = Nursery()
    try:
        sweep = Sweep(nursery, tmp_path)
        sweep.start()
        sweep.start(second)
        assert (nursery.result(), second.result()) == (0, 0)
    finally:
        second.close()
    assert len(sweep.forwards()) == 2 * IMAGES == len(set(sweep.forwards()))
    assert _is_finished(sweep)
    assert len(list(sweep.store.root.rglob("*.json"))) == 3
