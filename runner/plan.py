"""What is to be run: a selection, minus what the store already holds.

Planning runs no network. It reads the catalogue, and hashes the files of data sets and of a user's own weights,
because a run's key names them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path

from runner import machine
from runner.chosen_weights import AUTO, NO_WEIGHTS, choose_weights, weights_sha256
from runner.data_identity import DatasetIdentity, identify_dataset
from runner.protocol_choice import ProtocolChoice
from runner.store import Store
from zoo.catalogue import find
from zoo.contract import BadInput, ModelSpec
from zoo.facts import Failed, Measured, Ok, RunKey
from zoo.protocols import (
    HR_720P,
    TILED_FOR_MEMORY,
    CountProtocol,
    EvalProtocol,
    Form,
    Size,
    TimingProtocol,
    lr_size,
)

Protocol = EvalProtocol | CountProtocol | TimingProtocol

SAMPLE = "sample"
"""The images that ship with the suite, on which the output of a timed form is looked at."""

_CHECK_S = 600.0
"""What looking at a timed output may take."""


class Task(Enum):
    """What a job measures; each is a module of `runner.tasks` with a VERSION."""

    COMPLEXITY = "complexity"
    LATENCY = "latency"
    QUALITY = "quality"

    @property
    def version(self) -> int:
        """The task's own version: raised when a change of its code changes its results."""
        return int(importlib.import_module(f"runner.tasks.{self.value}").VERSION)


class Policy(Enum):
    """Which of the selected jobs are run again although the store knows something of them."""

    MISSING = "missing"
    "Those that neither finished nor failed. What was not applicable is tried again: weights and data may be there now."
    FAILED = "failed"
    "Those, and the failed ones."
    ALWAYS = "always"
    "All."
    CACHED_ONLY = "cached-only"
    "None: only what the store holds."

    def wants(self, held: Measured | None) -> bool:
        """True when a job with this record (or none) is to be run."""
        match self:
            case Policy.ALWAYS:
                return True
            case Policy.CACHED_ONLY:
                return False
            case Policy.MISSING:
                return held is None or not isinstance(held.outcome, (Ok, Failed))
            case Policy.FAILED:
                return held is None or not isinstance(held.outcome, Ok)


@dataclass(frozen=True, kw_only=True)
class Protocols:
    """How the selected tasks are measured."""

    hr: Size = HR_720P
    "HR size at which networks are counted and timed; LR is this divided by the scale."
    lr: Size | None = None
    "LR size instead, the same at every scale."
    timed_lr: Size | None = None
    "LR size of latency only, where the above would take too long."
    counters: tuple[str, ...] | None = None
    "None: all there are."
    evaluation: EvalProtocol | None = None
    "None: the default protocol with each model's own inference rule."
    choice: ProtocolChoice = ProtocolChoice()
    "What is to differ from that."
    device: str = "cpu"
    threads: int = field(default_factory=machine.default_threads)
    form: Form = Form.PLAIN
    dtype: str = "float32"
    memory_format: str = "contiguous"
    batch: int = 1
    "Form, dtype, memory format and batch of latency; an evaluation has a form of its own."

    def of(self, task: Task, spec: ModelSpec, scale: int) -> Protocol:
        """The protocol of one job."""
        lr = self.lr or lr_size(self.hr, scale)
        match task:
            case Task.COMPLEXITY:
                return CountProtocol(lr=lr, counters=self.counters or _all_counters())
            case Task.LATENCY:
                return TimingProtocol(
                    device=self.device,
                    lr=self.timed_lr or lr,
                    batch=self.batch,
                    threads=self.threads,
                    form=self.form,
                    dtype=self.dtype,
                    memory_format=self.memory_format,
                )
            case Task.QUALITY:
                return self.choice.of(self.evaluation or EvalProtocol(inference=spec.inference))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a user asked for: the product of models, scales, tasks and (for quality) data sets."""

    models: tuple[str, ...]
    "Zoo names or file.py:NAME."
    scales: tuple[int, ...]
    tasks: tuple[Task, ...] = tuple(Task)
    datasets: tuple[str, ...] = ()
    "Names or folders; for quality only."
    protocols: Protocols = field(default_factory=Protocols)
    weights: str = AUTO
    "auto, official, bundled, none or a file; latency by auto takes random ones where no checkpoint is here."
    check_on: str | None = None
    "Images on which a timed output is looked at; None: `sample`, for other forms than plain float32 on the CPU."
    weights_folders: tuple[Path, ...] = ()
    data_folders: tuple[Path, ...] = ()
    max_seconds: float = 20.0
    "Sampling cap of one latency job."
    timeout_s: float | None = None
    """Wall clock after which a latency job is stopped; None means ten times the sampling cap and three minutes, and ten
    minutes more where the output is looked at, which takes passes over whole images on a machine that may be busy."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run: everything a process needs to do it, and the key of its record. Picklable."""

    reference: str
    "The model as the user named it."
    key: RunKey
    protocol: Protocol
    weights: str | None = None
    "official, bundled or a file; None for no checkpoint; auto, for latency, for whatever is here."
    dataset: str | None = None
    "Name or folder, for quality; for latency the images on which the output is looked at, or which are timed."
    check: bool = True
    "Look at the output of a network that is timed image by image, too."
    weights_folders: tuple[Path, ...] = ()
    data_folders: tuple[Path, ...] = ()
    max_seconds: float = 20.0
    timeout_s: float = 380.0

    device: str = "cpu"
    "Where a quality job runs; a timing's protocol says it."
    journal: Path | None = None
    "Folder for what is finished of the job, if it is to go on after a kill; on the machine that runs it."

    @property
    def task(self) -> Task:
        return Task(self.key.task)

    @property
    def keys(self) -> tuple[RunKey, ...]:
        """Keys that its record may have: the job's own, and that of a run whose images had to be tiled for memory."""
        if not isinstance(self.protocol, EvalProtocol):
            return (self.key,)
        return self.key, replace(self.key, protocol=self.key.protocol + TILED_FOR_MEMORY)

    @property
    def label(self) -> str:
        """What a progress line shows: `agdn x4 quality Set5`."""
        words = (self.key.model, f"x{self.key.scale}", self.key.task, self.key.dataset)
        return " ".join(word for word in words if word)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Jobs to run, what the store holds of the selection, and the combinations that do not exist."""

    jobs: tuple[Job, ...]
    held: tuple[Measured, ...]
    "Current records of the selected jobs that are not run."
    missing: tuple[Job, ...] = ()
    "Jobs that are neither run nor held: under cached-only."
    absent: tuple[str, ...] = ()
    "Models without one of the selected scales, in words: nothing is planned for these."


def expand(
    selection: Selection,
    store: Store,
    policy: Policy = Policy.MISSING,
    *,
    identify: DatasetIdentity | None = None,
    environment: Callable[[str], str] = machine.environment_digest,
) -> Plan:
    """Jobs of a selection in the order complexity, latency, quality of each model; reported-only models included.

    Raises UnknownModel, UnknownScale when a model has none of the scales, BadInput for a quality task without data,
    WeightsMissing for a weights file that does not exist.
    """
    if not selection.models:
        raise BadInput("No model is selected. Name one (`esr models` lists them) or pass --all.")
    if Task.QUALITY in selection.tasks and not selection.datasets:
        raise BadInput("Quality needs images. Pass --data NAME (`esr data list` shows them), or leave quality out.")
    # One plan hashes a data set once, however many models meet it.
    identify = cache(identify or identify_dataset)
    planned: list[Job] = []
    absent: list[str] = []
    for reference in dict.fromkeys(selection.models):
        spec = find(reference)
        scales = [scale for scale in dict.fromkeys(selection.scales) if scale in spec.scales]
        if not scales:
            spec.require_scale(selection.scales[0])
        absent += [f"{spec.name} has no x{scale} build" for scale in selection.scales if scale not in scales]
        for scale in scales:
            planned += _jobs(selection, reference, spec, scale, identify, environment)
    found = [(job, _held(job, store)) for job in planned]
    return Plan(
        jobs=tuple(job for job, record in found if policy.wants(record)),
        held=tuple(record for _job, record in found if record is not None and not policy.wants(record)),
        missing=tuple(job for job, record in found if record is None and not policy.wants(record)),
        absent=tuple(absent),
    )


def _held(job: Job, store: Store) -> Measured | None:
    """What the store knows of a job: a finished record of one of its keys, else the newest of its own."""
    found = [record for key in job.keys if (record := store.find(key)) is not None]
    return next((record for record in found if isinstance(record.outcome, Ok)), found[0] if found else None)


def _jobs(
    selection: Selection,
    reference: str,
    spec: ModelSpec,
    scale: int,
    identify: DatasetIdentity,
    environment: Callable[[str], str],
) -> Iterator[Job]:
    for task in (task for task in Task if task in selection.tasks):
        protocol = selection.protocols.of(task, spec, scale)
        job = Job(
            reference=reference,
            key=_key(spec, scale, task, protocol),
            protocol=protocol,
            weights_folders=selection.weights_folders,
            data_folders=selection.data_folders,
            max_seconds=selection.max_seconds,
            device=selection.protocols.device,
            timeout_s=10 * selection.max_seconds + 180 if selection.timeout_s is None else selection.timeout_s,
        )
        if isinstance(protocol, TimingProtocol):
            check_on = selection.check_on or (None if protocol.is_reference else SAMPLE)
            # Weights do not move a time, so they are no part of the key.
            yield replace(
                job,
                key=replace(job.key, environment=environment(protocol.device)),
                weights=None if selection.weights == NO_WEIGHTS else selection.weights,
                dataset=check_on,
                timeout_s=job.timeout_s + (_CHECK_S if check_on and selection.timeout_s is None else 0),
            )
        elif isinstance(protocol, CountProtocol):
            yield job
        else:
            folders = selection.weights_folders
            weights = choose_weights(selection.weights, reference=reference, spec=spec, scale=scale, folders=folders)
            sha256 = weights_sha256(weights, spec=spec, scale=scale)
            for dataset in dict.fromkeys(selection.datasets):
                name, digest = identify(dataset, scale, protocol.lr_recipe, selection.data_folders)
                key = replace(job.key, weights_sha256=sha256, dataset=name, dataset_sha256=digest)
                yield replace(job, key=key, weights=weights, dataset=dataset)


def _all_counters() -> tuple[str, ...]:
    from runner.counters import COUNTERS

    return tuple(COUNTERS)


def _key(spec: ModelSpec, scale: int, task: Task, protocol: Protocol) -> RunKey:
    return RunKey(
        model=spec.name,
        revision=spec.revision,
        scale=scale,
        task=task.value,
        task_version=task.version,
        protocol=protocol.id(scale) if isinstance(protocol, EvalProtocol) else protocol.id,
    )
