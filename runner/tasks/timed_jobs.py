"""Planned latency jobs, and comparisons of them, run: weights found, images opened, the right task called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from runner.chosen_weights import AUTO, choose_weights
from runner.plan import SAMPLE, Job
from runner.tasks import latency, latency_compare
from runner.tasks.latency_forms import require_form
from runner.tasks.sampling import SamplingRule
from zoo.catalogue import find
from zoo.contract import JobFailed, ModelSpec, NotHere, WeightsMissing
from zoo.create import create_model
from zoo.protocols import TimingProtocol
from zoo.weights import default_store

if TYPE_CHECKING:
    from runner.datasets import Dataset


def measure(job: Job) -> Mapping[str, Any]:
    """The values of one latency job. Raises what its task raises."""
    spec, protocol = find(job.reference), _protocol(job)
    require_form(protocol)
    network, weights = _network(job, spec)
    if protocol.per_image:
        from runner.tasks import latency_images

        images = _images(job, job.dataset or SAMPLE)
        return latency_images.measure(
            spec, images, protocol=protocol, network=network, weights=weights, check=job.check
        )
    return latency.measure(
        spec,
        job.key.scale,
        protocol=protocol,
        network=network,
        weights=weights,
        check_on=_images(job, job.dataset) if job.dataset else None,
        max_seconds=job.max_seconds,
    )


def compare(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The values of each job with its ratio to the first, all timed in turns in this process."""
    sides = []
    for job in jobs:
        spec, protocol = find(job.reference), _protocol(job)
        require_form(protocol)
        network, weights = _network(job, spec)
        sides.append(
            latency_compare.Side(spec=spec, scale=job.key.scale, protocol=protocol, network=network, weights=weights)
        )
    first = jobs[0]
    check_on = _images(first, first.dataset) if first.dataset else None
    return latency_compare.compare(sides, rule=SamplingRule(max_seconds=first.max_seconds), check_on=check_on)


def _protocol(job: Job) -> TimingProtocol:
    if not isinstance(job.protocol, TimingProtocol):
        raise JobFailed(f"{job.label} is no latency job.")
    return job.protocol


def _images(job: Job, name: str) -> Dataset:
    from runner.datasets import DataMissing, open_dataset

    try:
        return open_dataset(name, job.key.scale, folders=job.data_folders)
    except DataMissing as error:
        remedy = f"Run `esr data pull {name}`, or pass --data-dir with the folder that holds it."
        raise NotHere(f"The data set {name} is not on this machine.", remedy=remedy) from error


def _network(job: Job, spec: ModelSpec) -> tuple[nn.Module, str | None]:
    """The network with the best weights that are here, unless the job names some, and a word for their origin."""
    scale, store = job.key.scale, default_store(job.weights_folders)
    automatic = job.weights == AUTO
    choice = job.weights
    if automatic:
        folders = job.weights_folders
        choice = choose_weights(AUTO, reference=job.reference, spec=spec, scale=scale, folders=folders)
    try:
        return create_model(spec, scale, choice, store=store), _origin(choice, job, spec)
    except WeightsMissing as error:
        if not automatic:
            remedy = "Pass --weights none to time it with random ones, which takes the same time."
            raise NotHere(str(error), remedy=remedy) from error
    return create_model(spec, scale, None), "random"


def _origin(choice: str | None, job: Job, spec: ModelSpec) -> str | None:
    if choice is None:
        return None if not spec.learned else "random" if job.reference == spec.name else "as built"
    published = {"official": spec.weights, "bundled": spec.bundled}.get(choice, {})
    return published[job.key.scale].origin.value if job.key.scale in published else "file"
