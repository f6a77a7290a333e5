"""Jobs dealt out to workers: what may share a machine runs side by side, a latency has its machine to itself.

A job whose worker dies is given to another one once; when that one dies too, the job has failed. The rest goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic

from runner.execute import Tell
from runner.executors.worker import W, Worker, WorkerDied, Workplace
from runner.plan import Job
from zoo.contract import JobFailed
from zoo.facts import Failed, Measured, NotApplicable, Outcome
from zoo.protocols import TimingProtocol


class NoWorkers(JobFailed):
    """There is nobody left to run the rest of a plan."""


@dataclass(frozen=True)
class _Task:
    """A job that is not finished, and how its first worker died if it did."""

    index: int
    job: Job
    death: str | None = None

    @property
    def alone(self) -> bool:
        """True for a timing: another job on the machine would show in it."""
        return isinstance(self.job.protocol, TimingProtocol)


class Team(Generic[W]):
    """Workers of one workplace, hired when first needed (an `Executor`)."""

    def __init__(self, workplace: Workplace[W]) -> None:
        self._workplace = workplace
        self._workers: list[W] = []
        self._busy: dict[W, _Task] = {}

    def environment(self, device: str) -> str:
        """Digest of the machine that most workers are on: latencies are planned for it, and run only there."""
        return Counter(worker.card.environments[device] for worker in self._staff()).most_common(1)[0][0]

    def threads(self) -> int:
        """Default threads of a timing on the smallest machine."""
        return min(worker.card.threads for worker in self._staff())

    def measure_all(self, jobs: Sequence[Job], tell: Tell) -> Generator[tuple[int, Measured]]:
        """Index and record of every job, as they finish. Raises NoWorkers."""
        tasks = [_Task(index, job) for index, job in enumerate(jobs)]
        # Timings last: until then nobody has to stand idle for them.
        waiting = sorted(tasks, key=lambda task: task.alone)
        try:
            while waiting or self._busy:
                self._deal(waiting, tell)
                if not self._busy:
                    yield from ((task.index, self._left(task)) for task in waiting)
                    return
                for worker in self._workplace.wait(list(self._busy)):
                    yield from self._heard(worker, waiting, tell)
        finally:
            self.dismiss()

    def dismiss(self) -> None:
        """End all workers."""
        workers, self._workers = self._workers, []
        self._busy.clear()
        for worker in workers:
            worker.end()

    def _staff(self) -> list[W]:
        """The living workers, the places of dead ones filled again. Raises NoWorkers."""
        if missing := self._workplace.size - len(self._workers):
            self._workers += self._workplace.hire(missing)
        if not self._workers:
            raise NoWorkers(
                "No worker is left that could run the rest. What is finished is kept: start the same command again."
            )
        return self._workers

    def _deal(self, waiting: list[_Task], tell: Tell) -> None:
        if not waiting:
            return
        for worker in list(self._staff()):
            if worker in self._busy:
                continue
            task = self._next(worker, waiting, tell)
            if task is None:
                continue
            try:
                worker.give(task.job)
            except WorkerDied:
                # It died idle, which says nothing of the job.
                self._bury(worker)
                waiting.insert(0, task)
            else:
                self._busy[worker] = task

    def _next(self, worker: W, waiting: list[_Task], tell: Tell) -> _Task | None:
        """The first task that the worker may take and no other run is at; it waits no longer, nor do those left out."""
        while (task := next((task for task in waiting if self._may(worker, task)), None)) is not None:
            waiting.remove(task)
            if task.death is not None or tell(task.index, None):
                return task
        return None

    def _may(self, worker: W, task: _Task) -> bool:
        neighbours = [other for at, other in self._busy.items() if at.card.place == worker.card.place]
        if not task.alone:
            return not any(other.alone for other in neighbours)
        return not neighbours and task.job.key.environment in worker.card.environments.values()

    def _heard(self, worker: W, waiting: list[_Task], tell: Tell) -> Iterator[tuple[int, Measured]]:
        task = self._busy[worker]
        try:
            news = worker.hear()
        except WorkerDied as death:
            self._bury(worker)
            if task.death is None:
                tell(task.index, f"worker died ({death}), tried once more")
                waiting.insert(0, replace(task, death=str(death)))
            else:
                yield task.index, _unmade(task.job, worker, _twice(task, str(death)))
            return
        if isinstance(news, Measured):
            del self._busy[worker]
            yield task.index, news
        else:
            tell(task.index, news)

    def _bury(self, worker: W) -> None:
        self._busy.pop(worker, None)
        self._workers.remove(worker)
        worker.end()

    def _left(self, task: _Task) -> Measured:
        """The record of a timing that no worker may take."""
        outcome = NotApplicable(
            reason=f"No machine of the run is the one that {task.job.label} was planned for.",
            remedy="Start it again, so that it is planned for a machine that is there.",
        )
        return _unmade(task.job, self._staff()[0], outcome)


def _twice(task: _Task, death: str) -> Failed:
    return Failed(
        kind=WorkerDied.__name__,
        message=f"{task.job.label} ended two workers without a result (first: {task.death}; then: {death}).",
    )


def _unmade(job: Job, worker: Worker, outcome: Outcome) -> Measured:
    """The record of a job that its worker could not make."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Measured(key=job.key, outcome=outcome, provenance=replace(worker.card.provenance, created_utc=now))
