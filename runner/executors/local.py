"""Workers as processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection, wait

from runner.execute import InProcess
from runner.executors.team import Team
from runner.executors.worker import Card, Surroundings, WorkerDied, card
from runner.isolation import at_child_start, clean_context, end, ending
from runner.journal import StoreUnwritable
from runner.plan import Job
from zoo.facts import Measured

_PLACE = "here"
_LAST_WORDS_S = 5.0
"""What a process whose pipe has closed is given to be gone."""


@cache
def _here() -> Card:
    return card(_PLACE)


class LocalWorker:
    """A process that runs one job after the other; what it has imported and hashed serves the next one."""

    def __init__(self, threads: int) -> None:
        context = clean_context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, Surroundings.here(), threads))
        self._process.start()
        # The child holds the only other end now, so its death reads as the end of the pipe.
        theirs.close()

    @property
    def card(self) -> Card:
        """This machine's, taken when first asked for."""
        return _here()

    @property
    def pipe(self) -> Connection:
        """Ready when there is news, or when the process is gone."""
        return self._pipe

    def give(self, job: Job) -> None:
        """Send it a job."""
        try:
            self._pipe.send(job)
        except OSError:
            raise self._death() from None

    def hear(self) -> str | Measured:
        """What it says next."""
        try:
            news: str | Measured | StoreUnwritable = self._pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(news, StoreUnwritable):
            raise news
        return news

    def end(self) -> None:
        """Kill it with its children."""
        self._pipe.close()
        end(self._process)

    def _death(self) -> WorkerDied:
        self._process.join(_LAST_WORDS_S)
        return WorkerDied(ending(self._process.exitcode))


class Processes:
    """`size` processes that share this machine, each with `threads` CPU threads (a `Workplace`)."""

    def __init__(self, size: int, *, threads: int) -> None:
        self.size = size
        self._threads = threads

    def hire(self, count: int) -> list[LocalWorker]:
        """New processes; there is always place for them."""
        return [LocalWorker(self._threads) for _ in range(count)]

    def wait(self, busy: Sequence[LocalWorker]) -> list[LocalWorker]:
        """Those with news, dead ones included."""
        ready = wait([worker.pipe for worker in busy])
        return [worker for worker in busy if worker.pipe in ready]


class Pool(Team[LocalWorker]):
    """A team of processes; what concerns the machine is known without asking them."""

    environment = InProcess.environment
    threads = InProcess.threads


def _serve(pipe: Connection, surroundings: Surroundings, threads: int) -> None:
    """The child: a record for each job until the other end closes."""
    at_child_start()
    surroundings.take_on()
    import torch

    from runner.execute import measure

    # Each with all cores, the workers would wait for each other.
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    with pipe:
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                os._exit(0)
            try:
                pipe.send(measure(job, pipe.send))
            except StoreUnwritable as error:
                # Of the journal, which is the driver's disk too: the run ends.
                pipe.send(error)
