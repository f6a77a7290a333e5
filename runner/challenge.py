"""Measure a model for an NTIRE edition: counts here, times and PSNR in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.ntire_editions import LR_SIDE_PX, SCALE, Edition
from runner.datasets import SAMPLE, Dataset, HrImages, Pair, find_root, open_dataset
from runner.images import image_files
from runner.isolation import in_fresh_process
from runner.layouts import place_of
from zoo.catalogue import find
from zoo.contract import BadInput, EsrError, JobFailed, ModelSpec
from zoo.facts import Failed, Ok
from zoo.protocols import LrRecipe, Size

if TYPE_CHECKING:
    from runner.tasks.challenge import ChallengeRun

LR_SIZE = Size(LR_SIDE_PX, LR_SIDE_PX)
GIVEN = "given"

SET_TIMEOUT_S = 12 * 3600.0
"""200 large images of a slow network on a CPU are hours; a hang must end some day."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """How models are to be measured; picklable, as it travels to the process that times."""

    edition: Edition
    device: str
    threads: int
    data: str | None = None
    "Folder with the organisers' folders in it, or any data set; None: no PSNR, times at LR 256x256."
    data_folders: tuple[Path, ...] = ()
    weights: str = "official"
    weights_folders: tuple[Path, ...] = ()
    runs: int = 1
    max_seconds: float = 20.0
    "Cap of the timing without data."


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times without image sets, or with them."""

    runtime_ms: float
    "Of the warm network."
    rule: str
    "What the runtime is, in words."
    device_name: str
    threads: int
    memory_bytes: int
    memory_kind: str
    noise: list[str]
    samples_ms: list[float]
    run: ChallengeRun | None = None
    "With data: per-image values of every set."


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What an NTIRE report says of one model of ours."""

    name: str
    counts: Mapping[str, Any]
    "Fields of `runner.counters.count`."
    flops: int
    "By the edition's counter."
    uncounted_ops: tuple[str, ...]
    "What that counter says it left out."
    timing: Timing

    @property
    def memory_mib(self) -> float:
        """Peak memory, on the validation set where there is one."""
        return self.timing.memory_bytes / 2**20


def open_sets(request: Request) -> tuple[Dataset, Dataset | None]:
    """Validation and test set of `request.data`. Raises DataMissing, BadInput.

    A folder that holds `<set>_HR` and `<set>_LR` of the edition is read as the organisers lay it out; anything else is
    a data set of the suite that takes the place of the validation set.
    """
    name, edition = request.data or "", request.edition
    if name != SAMPLE:
        root = find_root(name, folders=request.data_folders)
        if _has_organisers_layout(root, edition):
            has_test = (root / f"{edition.test_set}_HR").is_dir()
            return _set_of(root, edition.val_set), _set_of(root, edition.test_set) if has_test else None
    return open_dataset(name, SCALE, folders=request.data_folders), None


def _has_organisers_layout(root: Path, edition: Edition) -> bool:
    """DIV2K as it is published has `_HR` too, but its LR elsewhere; without LR anywhere the organisers' is meant."""
    hr, lr = root / f"{edition.val_set}_HR", root / f"{edition.val_set}_LR"
    return hr.is_dir() and (lr.is_dir() or place_of(root) is None)


def _set_of(root: Path, name: str) -> Dataset:
    """The organisers' layout: HR files in name order, the LR file of each has `x4` before its suffix."""
    hr_folder, lr_folder = root / f"{name}_HR", root / f"{name}_LR"
    hr_paths = {path.stem: path for path in image_files(hr_folder)}
    lr_paths = {path.stem: path for path in image_files(lr_folder)} if lr_folder.is_dir() else {}
    if not hr_paths:
        raise BadInput(f"{hr_folder} holds no images. Put the HR images of {name} there.")
    if missing := [stem for stem in hr_paths if f"{stem}x{SCALE}" not in lr_paths]:
        raise BadInput(
            f"{lr_folder} has no {missing[0]}x{SCALE}.png ({len(missing)} of {len(hr_paths)} LR images are missing). "
            f"Put the organisers' LR images there."
        )
    return Dataset(
        hr=HrImages(name=name, paths=hr_paths),
        scale=SCALE,
        recipe=LrRecipe.MATLAB_U8,
        lr_source=GIVEN,
        pairs=tuple(Pair(stem, path, lr_paths[f"{stem}x{SCALE}"]) for stem, path in hr_paths.items()),
    )


def spec_for_challenge(reference: str) -> ModelSpec:
    """A runnable model with an x4 build. Raises UnknownModel, NotRunnable, UnknownScale."""
    spec = find(reference)
    if not spec.runnable:
        spec.network(SCALE)  # raises NotRunnable with the reason
    spec.require_scale(SCALE)
    return spec


def measure(reference: str, request: Request) -> Measurement:
    """Count a model at LR 256x256 and time it. Raises EsrError."""
    from runner.counters import count

    spec = spec_for_challenge(reference)
    counter = request.edition.flops_counter
    counts = count(spec, lr_size=LR_SIZE, scale=SCALE, counters=(counter,))
    by_tool = counts["counters"][counter]
    return Measurement(
        name=spec.name,
        counts=counts,
        flops=by_tool["multi_adds"],
        uncounted_ops=tuple(by_tool["uncounted_ops"]),
        timing=_timing_at_lr_size(reference, request) if request.data is None else _timing_on_sets(reference, request),
    )


def _timing_at_lr_size(reference: str, request: Request) -> Timing:
    """The latency task at LR 256x256."""
    from runner import execute
    from runner.plan import Policy, Protocols, Selection, Task, expand
    from runner.store import Store

    protocols = Protocols(lr=LR_SIZE, device=request.device, threads=request.threads)
    selection = Selection(
        models=(reference,),
        scales=(SCALE,),
        tasks=(Task.LATENCY,),
        protocols=protocols,
        max_seconds=request.max_seconds,
    )
    (job,) = expand(selection, Store(Path()), Policy.ALWAYS).jobs
    outcome = execute.measure(job).outcome
    if not isinstance(outcome, Ok):
        raise JobFailed(
            f"{reference} was not timed: {outcome.message if isinstance(outcome, Failed) else outcome.reason}"
        )
    values = outcome.values
    return Timing(
        runtime_ms=values["median_ms"],
        rule=f"median at LR {LR_SIZE}, warm",
        device_name=values["device_name"],
        threads=values["threads"],
        memory_bytes=values["peak_memory_bytes"],
        memory_kind=values["peak_memory_kind"],
        noise=list(values["noise"]),
        samples_ms=list(values["samples_ms"]),
    )


def _timing_on_sets(reference: str, request: Request) -> Timing:
    outcome = in_fresh_process(_attempt, reference, request, timeout_s=SET_TIMEOUT_S, what=f"{reference} on its images")
    if isinstance(outcome, Failed):
        raise JobFailed(f"{reference} was not measured: {outcome.message}")
    run: ChallengeRun = outcome.values["run"]
    sets = [run.valid, *([run.test] if run.test else [])]
    over = " and ".join(f"{len(of.images)} images of {of.dataset}" for of in sets)
    return Timing(
        runtime_ms=run.mean_ms,
        rule=f"mean over {over}, warm",
        device_name=run.device_name,
        threads=run.threads,
        memory_bytes=run.valid.memory_bytes,
        memory_kind=run.memory_kind,
        noise=run.noise,
        samples_ms=[ms for of in sets for times in of.samples_ms for ms in times],
        run=run,
    )


def _attempt(reference: str, request: Request) -> Ok | Failed:
    """Runs in the fresh process: what can be expected to go wrong becomes an answer."""
    from runner.tasks import challenge
    from zoo.create import create_model
    from zoo.weights import default_store

    try:
        spec = spec_for_challenge(reference)
        valid, test = open_sets(request)
        weights = weights_of(reference, spec, request.weights)
        network = create_model(spec, SCALE, weights, store=default_store(request.weights_folders))
        run = challenge.measure(
            network,
            spec,
            valid=valid,
            test=test,
            device=request.device,
            threads=request.threads,
            runs=request.runs,
        )
        return Ok(values={"run": run})
    except (EsrError, RuntimeError) as error:
        # RuntimeError is torch's own word for a forward pass that fails, memory included.
        return Failed(kind=type(error).__name__, message=str(error))


def weights_of(reference: str, spec: ModelSpec, weights: str) -> str | None:
    """What `create_model` is given: a user's file without published weights keeps what its constructor made."""
    is_own_file = reference != spec.name
    return (
        None if weights == "none" or (weights == "official" and is_own_file and SCALE not in spec.weights) else weights
    )
