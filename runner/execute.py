"""Run planned jobs: whatever a job does, it becomes a record, and the next one runs.

The only broad `except` of the suite that keeps what it caught is here. Latency jobs run each in a process of its own
with a time-out; complexity and quality run in the process that `measure` is called in: this one, or a worker of
`runner.executors`.
"""

from __future__ import annotations

import inspect
import json
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from runner import machine
from runner.claims import Claims
from runner.data_identity import manifest_sha256
from runner.isolation import in_fresh_process
from runner.journal import Journal, StoreUnwritable
from runner.plan import Job
from runner.records import plain
from runner.store import Store
from zoo.catalogue import find
from zoo.contract import (
    EsrError,
    InputTooSmall,
    JobFailed,
    ModelSpec,
    NotHere,
    NotRunnable,
    ReportedOnly,
    UnknownModel,
    WeightsMissing,
)
from zoo.facts import Failed, Measured, NotApplicable, Ok, Outcome, RunKey
from zoo.files import sha256_of
from zoo.protocols import TILED_FOR_MEMORY, CountProtocol, EvalProtocol, TimingProtocol

if TYPE_CHECKING:
    from torch import nn

    from runner.datasets import Dataset

Progress = Callable[[str], object]
"""Receives a word on what a job has just done (the image it finished)."""


class Phase(Enum):
    """Where a job stands."""

    STARTED = "started"
    PROGRESS = "progress"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to one job of a run."""

    phase: Phase
    job: Job
    index: int
    "Place of the job in the run, from 0."
    total: int
    detail: str = ""
    "For PROGRESS: what was done."
    record: Measured | None = None
    "For FINISHED: the stored record."


WAITING: Final = "waiting for another run on this store"
"""What is told of a job that another run is at."""


def _ignore(_event: Event) -> None:
    pass


class Tell(Protocol):
    """Says that the job at an index of the run is to begin (None), or what it has just done.

    False in answer to None: another run on the store is at the job, so it is to be left out.
    """

    def __call__(self, index: int, detail: str | None, /) -> bool: ...


class Executor(Protocol):
    """Where jobs run; `runner.executors` has the others."""

    def environment(self, device: str) -> str:
        """Digest of the machine that latencies are planned for (`machine.environment_digest`)."""

    def threads(self) -> int:
        """Threads that a timing there uses unless told."""

    def measure_all(self, jobs: Sequence[Job], tell: Tell) -> Generator[tuple[int, Measured]]:
        """Index and record of every job, in the order they finish; nothing runs on after it is closed."""


class InProcess:
    """The jobs in order in this process, each when the one before it is stored."""

    def environment(self, device: str) -> str:
        """This machine's."""
        return machine.environment_digest(device)

    def threads(self) -> int:
        """One per core of this machine."""
        return machine.default_threads()

    def measure_all(self, jobs: Sequence[Job], tell: Tell) -> Generator[tuple[int, Measured]]:
        """One by one."""
        for index, job in enumerate(jobs):
            if tell(index, None):
                yield index, measure(job, partial(tell, index))


def run(
    jobs: Sequence[Job],
    store: Store,
    on_event: Callable[[Event], None] = _ignore,
    executor: Executor | None = None,
) -> Iterator[Measured]:
    """Run `jobs`, in order unless the executor does several at once; store each record, then yield it.

    A job that another run on the store is at comes last, and is not run if that one has made its record; such records
    are yielded too. KeyboardInterrupt ends the run; what was finished is stored. Raises StoreUnwritable.
    """
    executor = executor or InProcess()
    kept = [replace(job, journal=store.journal_folder(job.key).absolute()) for job in jobs]

    def event(index: int, phase: Phase, detail: str = "", record: Measured | None = None) -> None:
        on_event(Event(phase=phase, job=jobs[index], index=index, total=len(jobs), detail=detail, record=record))

    with Claims.of(jobs, store) as claims:

        def tell(index: int, detail: str | None) -> bool:
            if detail is None and not claims.begin(index):
                return False
            event(index, Phase.STARTED if detail is None else Phase.PROGRESS, detail or "")
            return True

        def made_elsewhere() -> Iterator[Measured]:
            for index in sorted(claims.made):
                record = claims.made.pop(index)
                event(index, Phase.FINISHED, "by another run", record)
                yield record

        def measured(indices: Sequence[int]) -> Iterator[Measured]:
            share = [kept[index] for index in indices]
            with closing(executor.measure_all(share, lambda at, detail: tell(indices[at], detail))) as records:
                for at, record in records:
                    claims.finish(indices[at], record)
                    event(indices[at], Phase.FINISHED, record=record)
                    yield record
                    yield from made_elsewhere()
            yield from made_elsewhere()

        yield from measured(range(len(jobs)))
        while claims.postponed:
            index = claims.postponed.pop(0)
            event(index, Phase.PROGRESS, WAITING)
            if claims.wait(index):
                yield from measured([index])
            yield from made_elsewhere()


def measure(job: Job, on_progress: Progress | None = None) -> Measured:
    """Run one job and give its record, not stored."""
    started = time.perf_counter()
    if isinstance(job.protocol, TimingProtocol):
        outcome = _guarded(job, lambda: in_fresh_process(_attempt, job, timeout_s=job.timeout_s, what=job.label))
    else:
        outcome = _attempt(job, on_progress)
    provenance = machine.provenance(started, _origin(job, outcome))
    return Measured(key=_key(job, outcome), outcome=outcome, provenance=provenance)


def _key(job: Job, outcome: Outcome) -> RunKey:
    """The job's key; a protocol that memory changed under way (images in tiles) is the record's own."""
    if isinstance(outcome, Ok) and isinstance(job.protocol, EvalProtocol):
        ran = job.key.protocol + TILED_FOR_MEMORY
        return replace(job.key, protocol=ran) if outcome.values.get("protocol") == ran else job.key
    return job.key


def compare(jobs: Sequence[Job]) -> Outcome:
    """Time latency jobs in turns in one fresh process; `sides` of the values has one mapping for each, in order."""
    label, timeout_s = " against ".join(job.label for job in jobs), sum(job.timeout_s for job in jobs)
    return _guarded(jobs[0], lambda: in_fresh_process(_attempt_comparison, jobs, timeout_s=timeout_s, what=label))


def _attempt_comparison(jobs: Sequence[Job]) -> Outcome:
    def work() -> Outcome:
        from runner.tasks import timed_jobs

        return Ok(values=plain({"sides": timed_jobs.compare(jobs)}))

    return _guarded(jobs[0], work)


def _attempt(job: Job, on_progress: Progress | None = None) -> Outcome:
    return _guarded(job, lambda: Ok(values=plain(_values(job, on_progress or (lambda _detail: None)))))


def _guarded(job: Job, work: Callable[[], Outcome]) -> Outcome:
    """The outcome of `work`, or what an exception of it amounts to."""
    try:
        return work()
    except StoreUnwritable:
        # Nothing can be kept, a failure neither: the run ends, and goes on where it was when there is space.
        raise
    except WeightsMissing:
        return _without_weights(job)
    except NotRunnable as error:
        return _reported_only(job, error)
    except NotHere as error:
        return NotApplicable(reason=error.reason, remedy=error.remedy)
    except InputTooSmall as error:
        return NotApplicable(reason=str(error), remedy="Choose a larger input size.")
    except EsrError as error:
        return Failed(kind=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - a network may raise anything, and the next job must run
        return Failed(kind=type(error).__name__, message=f"{error} (in {_place(error)})")


def _place(error: Exception) -> str:
    """File name and line where an exception was raised, without the folders of this machine."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _without_weights(job: Job) -> NotApplicable:
    key = job.key
    if job.weights == "official" and key.weights_sha256 is not None:
        return NotApplicable(
            reason=f"The checkpoint of {key.model} x{key.scale} is not on this machine.",
            remedy=f"Run `esr weights pull {key.model} --scale {key.scale}`.",
        )
    return NotApplicable(
        reason=f"No {job.weights} checkpoint of {key.model} x{key.scale} is known.",
        remedy=f"Run `esr quality {job.reference} --scale {key.scale} --weights FILE` with a checkpoint of yours.",
    )


def _reported_only(job: Job, error: NotRunnable) -> NotApplicable:
    build = find(job.reference).build
    if isinstance(build, ReportedOnly):
        return NotApplicable(reason=build.reason, remedy=f"What would change that: {build.would_change}")
    return NotApplicable(reason=str(error), remedy="See `esr models`.")


def _origin(job: Job, outcome: Outcome) -> str | None:
    """Where the weights of the run came from, as `Provenance` has it; None where no checkpoint can matter."""
    if isinstance(job.protocol, CountProtocol):
        return None
    if isinstance(job.protocol, TimingProtocol):
        # Which weights were here only the process that looked can say.
        return outcome.values.get("weights") if isinstance(outcome, Ok) else None
    try:
        spec = find(job.reference)
    except EsrError:
        return None
    if not spec.learned:
        return None
    if job.weights is None:
        return "random" if job.reference == spec.name else "as built"
    published = (*spec.bundled.values(), *spec.weights.values())
    return next((w.origin.value for w in published if w.sha256 == job.key.weights_sha256), "file")


def _values(job: Job, on_progress: Progress) -> Mapping[str, Any]:
    """Call the task. Its module is imported here, so that planning and reading records need no torch."""
    spec = _planned_spec(job)
    match job.protocol:
        case CountProtocol() as protocol:
            from runner.tasks import complexity

            return complexity.measure(spec, job.key.scale, protocol=protocol)
        case TimingProtocol():
            from runner.tasks import timed_jobs

            return timed_jobs.measure(job)
        case EvalProtocol() as protocol:
            return _quality(job, spec, protocol, on_progress)


def _planned_spec(job: Job) -> ModelSpec:
    """The model as it was when the job was planned, which another machine may not have. Raises NotHere, JobFailed."""
    try:
        spec = find(job.reference)
    except UnknownModel as error:
        raise NotHere(
            f"{job.reference} is not on the machine that ran the job.",
            remedy="Put the file there at the same path, or install the package that has it.",
        ) from error
    if spec.revision != job.key.revision:
        raise JobFailed(f"{job.reference} changed after the run was planned. Start it again.")
    if job.task.version != job.key.task_version:
        raise NotHere(
            f"The suite on the machine that ran the job measures {job.key.task} by version {job.task.version}, "
            f"the run was planned with {job.key.task_version}.",
            remedy="Install the same version of esr-bench on all machines.",
        )
    return spec


def _quality(job: Job, spec: ModelSpec, protocol: EvalProtocol, on_progress: Progress) -> Mapping[str, Any]:
    from runner.tasks import quality

    # The network first: a model that can never run says so, whatever else is missing.
    network = _network(job, spec)
    dataset = _dataset(job, protocol)
    with _journal(job, network) as journal:
        return quality.evaluate(
            network,
            dataset,
            protocol=protocol,
            on_image=lambda score: on_progress(score.name),
            device=job.device,
            journal=journal,
        )


@contextmanager
def _journal(job: Job, network: nn.Module) -> Iterator[Journal | None]:
    """The job's journal. What was begun by other code is not gone on with: a record names one commit."""
    if job.journal is None:
        yield None
        return
    file = inspect.getsourcefile(type(network))
    stamp = {
        "key": job.key.canonical_json(),
        "commit": machine.git_commit(),
        "network": sha256_of(Path(file)) if file and Path(file).is_file() else None,
        "versions": dict(machine.versions()),
        "device": job.device,
    }
    with Journal.open(job.journal, json.dumps(stamp, sort_keys=True)) as journal:
        yield journal


def _dataset(job: Job, protocol: EvalProtocol) -> Dataset:
    from runner.datasets import DataMissing, open_dataset

    name = job.dataset or ""
    try:
        dataset = open_dataset(name, job.key.scale, recipe=protocol.lr_recipe, folders=job.data_folders)
    except DataMissing as error:
        raise NotHere(
            f"The data set {job.key.dataset} is not on this machine.",
            remedy=f"Run `esr data pull {name}`, or pass --data-dir with the folder that holds it.",
        ) from error
    if manifest_sha256(dataset) != job.key.dataset_sha256:
        raise JobFailed(f"The images of {dataset.name} changed after the run was planned. Start it again.")
    return dataset


def _network(job: Job, spec: ModelSpec) -> nn.Module:
    from zoo.create import create_model
    from zoo.weights import default_store

    if job.weights is not None and job.weights not in ("official", "bundled"):
        _require_planned_file(job, Path(job.weights))
    return create_model(spec, job.key.scale, job.weights, store=default_store(job.weights_folders))


def _require_planned_file(job: Job, weights: Path) -> None:
    """Raise NotHere where a user's checkpoint is not on this machine, JobFailed where it is another file."""
    if not weights.is_file():
        raise NotHere(
            f"{weights.name} is not on the machine that ran the job.",
            remedy="Put the checkpoint there at the same path.",
        )
    if sha256_of(weights) != job.key.weights_sha256:
        raise JobFailed(f"{weights.name} changed after the run was planned. Start it again.")
