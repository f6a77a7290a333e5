"""What the executors have in common: a worker, what it says of itself, and how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from runner import machine
from runner.plan import Job
from zoo.facts import Measured, Provenance

DEVICES = ("cpu", "cuda")
SEARCH_PATHS = ("ESR_DATA_DIR", "ESR_WEIGHTS_DIR")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a worker says of the machine it runs on."""

    place: str
    "The same for workers that share a machine, and so disturb each other's timings."
    environments: dict[str, str]
    "Digest by device (`machine.environment_digest`): the timings that may be taken there."
    threads: int
    "Default thread count of a timing there."
    provenance: Provenance
    "Of a job that left no record of its own."


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What of the driver's process decides where a job looks for files."""

    folder: str
    "Working folder: relative paths mean what they mean for the driver."
    search_paths: dict[str, str]

    @classmethod
    def here(cls) -> Surroundings:
        """This process's."""
        return cls(folder=str(Path.cwd()), search_paths={name: os.environ.get(name, "") for name in SEARCH_PATHS})

    def take_on(self) -> None:
        """Make them this process's as far as this machine has them; its own search paths come after the driver's."""
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        for name, path in self.search_paths.items():
            folders = dict.fromkeys(f"{path}{os.pathsep}{os.environ.get(name, '')}".split(os.pathsep))
            os.environ[name] = os.pathsep.join(folder for folder in folders if folder)


def card(place: str) -> Card:
    """The card of this process."""
    return Card(
        place=place,
        environments={device: machine.environment_digest(device) for device in DEVICES},
        threads=machine.default_threads(),
        provenance=machine.provenance(time.perf_counter()),
    )


class WorkerDied(Exception):
    """A worker ended in the middle of a job; the text says how."""


class Worker(Protocol):
    """Runs one job at a time."""

    @property
    def card(self) -> Card:
        """What it says of its machine."""

    def give(self, job: Job) -> None:
        """Start a job. Raises WorkerDied."""

    def hear(self) -> str | Measured:
        """The next word on the job (the image it finished), or its record. Raises WorkerDied."""

    def end(self) -> None:
        """End it now, with everything it started; harmless when it is dead."""


W = TypeVar("W", bound=Worker)


class Workplace(Protocol[W]):
    """Where workers come from."""

    size: int
    "How many are wanted."

    def hire(self, count: int) -> Sequence[W]:
        """New workers, fewer than `count` where there is no place for more."""

    def wait(self, busy: Sequence[W]) -> Sequence[W]:
        """Those of the busy workers that have something to say; blocks until one has."""
