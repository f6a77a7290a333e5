"""Time and PSNR of a network on a challenge's image sets, image by image, as the NTIRE organisers take them.

What is the same: batch 1, float32, whole images, only the forward pass timed, CUDA events on a GPU; RGB PSNR of the
8-bit SR with 4 pixels cut. What is better: the network is warm before the first image counts (the organisers' mean
holds the start-up, whose time is kept here as `first_ms`), every raw time is kept, and peak memory is taken per set
and over forward passes only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from runner.datasets import Dataset, Pair
from runner.images import U8
from runner.inference import infer
from runner.machine import cpu_name, numpy_on_one_thread, usable_cores
from runner.metrics import psnr
from runner.tasks import observe, sampling
from runner.tasks.quality import to_tensor, to_uint8
from zoo.contract import JobFailed, ModelSpec
from zoo.protocols import Colour, EvalProtocol, Inference, PadSymmetric, Whole

WARM_UP_SECONDS = 20.0
"""Cap of the warm-up on the first image."""

CROP_BORDER_PX = 4


@dataclass(frozen=True, kw_only=True)
class SetRun:
    """One image set, in the order of its file names."""

    dataset: str
    images: tuple[str, ...]
    samples_ms: tuple[tuple[float, ...], ...]
    "Every timed forward pass of each image."
    psnr_db: tuple[float, ...]
    memory_bytes: int

    @property
    def runtimes_ms(self) -> tuple[float, ...]:
        """Median time of each image."""
        return tuple(median(times) for times in self.samples_ms)

    @property
    def mean_ms(self) -> float:
        """Mean over images of the warm network."""
        return math.fsum(self.runtimes_ms) / len(self.images)

    @property
    def mean_psnr_db(self) -> float:
        """Mean of the images' PSNR."""
        return math.fsum(self.psnr_db) / len(self.images)


@dataclass(frozen=True, kw_only=True)
class ChallengeRun:
    """A network on the validation set, and on the test set where there is one."""

    device_name: str
    threads: int
    memory_kind: str
    first_ms: float
    "The first forward pass of the process, on the first validation image."
    noise: list[str]
    "Reasons not to trust the times."
    valid: SetRun
    test: SetRun | None

    @property
    def mean_ms(self) -> float:
        """Mean of the sets' means of the warm network."""
        return self._over_sets(self.valid.mean_ms)

    @property
    def mean_with_start_up_ms(self) -> float:
        """The same by the organisers' rule: the first image counts with the time that it took a cold process."""
        start_up = (self.first_ms - self.valid.runtimes_ms[0]) / len(self.valid.images)
        return self._over_sets(self.valid.mean_ms + start_up)

    def _over_sets(self, valid_ms: float) -> float:
        return valid_ms if self.test is None else (valid_ms + self.test.mean_ms) / 2


def measure(
    network: nn.Module,
    spec: ModelSpec,
    *,
    valid: Dataset,
    test: Dataset | None,
    device: str,
    threads: int,
    runs: int = 1,
) -> ChallengeRun:
    """Run an eval-mode network over the sets, each image `runs` times in a row.

    Raises BadInput on images that do not fit, JobFailed where the output has another size, holds NaN or equals HR.
    """
    torch.set_num_threads(threads)
    network = network.to(device)
    rule = whole_images(spec)

    def forward(lr: Tensor) -> Tensor:
        return infer(network, lr, valid.scale, rule)

    before = observe.LoadMark.now()
    memory = _Memory(device)
    # The images are scored between two timed passes.
    with torch.inference_mode(), numpy_on_one_thread():
        first = to_tensor(valid.load(valid.pairs[0])[0]).to(device)
        memory.before_forward()
        first_ms = _timed(forward, first)[1]
        warm = sampling.warm_up(
            lambda: _timed(forward, first)[1], sampling.SamplingRule(max_seconds=3 * WARM_UP_SECONDS)
        )
        memory.after_forward()
        on_valid = _run_set(forward, valid, memory=memory, runs=runs)
        on_test = None if test is None else _run_set(forward, test, memory=memory.of_next_set(), runs=runs)
    load = observe.load_between(before, observe.LoadMark.now())
    return ChallengeRun(
        device_name=torch.cuda.get_device_name() if device == "cuda" else cpu_name(),
        threads=torch.get_num_threads(),
        memory_kind=memory.kind,
        first_ms=first_ms,
        # Images differ in size, so the spread of their times says nothing of noise.
        noise=observe.noise(load, p10_ms=1, p90_ms=1, warm_up_stable=warm.stable, cores=usable_cores()),
        valid=on_valid,
        test=on_test,
    )


def whole_images(spec: ModelSpec) -> Inference:
    """The organisers run whole images; a network with window multiples gets them mirror-padded, inside the time."""
    return Whole() if spec.size_multiple_px == 1 else PadSymmetric(spec.size_multiple_px)


def _run_set(forward: Callable[[Tensor], Tensor], dataset: Dataset, *, memory: _Memory, runs: int) -> SetRun:
    samples_ms: list[tuple[float, ...]] = []
    psnr_db: list[float] = []
    for pair in dataset.pairs:
        lr, hr = dataset.load(pair)
        x = to_tensor(lr).to(memory.device)
        memory.before_forward()
        sr, ms = _timed(forward, x)
        times = [ms]
        while len(times) < runs:
            # The result is not kept: a second SR image would show in the peak memory.
            times.append(_timed(forward, x)[1])
        memory.after_forward()
        samples_ms.append(tuple(times))
        psnr_db.append(_psnr(sr, hr, pair, dataset))
    return SetRun(
        dataset=dataset.name,
        images=tuple(pair.name for pair in dataset.pairs),
        samples_ms=tuple(samples_ms),
        psnr_db=tuple(psnr_db),
        memory_bytes=memory.peak_bytes,
    )


def _psnr(sr: Tensor, hr: U8, pair: Pair, dataset: Dataset) -> float:
    """RGB PSNR of one image by the organisers' protocol. Raises JobFailed."""
    where = f"{pair.name} of {dataset.name}"
    if tuple(sr.shape) != (1, 3, *hr.shape[:2]):
        raise JobFailed(f"{where}: the network made {tuple(sr.shape)}. Expected (1, 3, {hr.shape[0]}, {hr.shape[1]}).")
    if not bool(torch.isfinite(sr).all()):
        raise JobFailed(f"{where}: the network's output holds NaN or infinity. Check its weights.")
    protocol = EvalProtocol(colour=Colour.RGB, crop_border_px=CROP_BORDER_PX)
    value = psnr(to_uint8(sr[0].clamp(0, 1).float().cpu()), hr, protocol, dataset.scale)
    if math.isinf(value):
        raise JobFailed(
            f"{where}: SR equals HR in every pixel, and a mean of infinite PSNR says nothing. Check --data."
        )
    return value


def _timed(forward: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, float]:
    """SR and the time of one forward pass in ms: events of the stream on CUDA, the wall clock elsewhere."""
    if x.device.type != "cuda":
        started = time.perf_counter_ns()
        sr = forward(x)
        return sr, (time.perf_counter_ns() - started) / 1e6
    begin: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    begin.record()
    sr = forward(x)
    end.record()
    torch.cuda.synchronize()
    return sr, float(begin.elapsed_time(end))


class _Memory:
    """Peak memory over the forward passes of one set.

    On CUDA the allocator's peak, weights and images included. On the CPU how far the resident memory rises above where
    it was before the first forward pass; what loading and comparing images needs in between is not seen.
    """

    def __init__(self, device: str, base_bytes: int | None = None) -> None:
        self.device = device
        self.peak_bytes = 0
        self.kind = "CUDA allocated" if device == "cuda" else "RSS growth during forward passes"
        self._base_bytes = _resident_bytes() if base_bytes is None else base_bytes
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def of_next_set(self) -> _Memory:
        """A peak of its own for another set. What the process has kept since its start counts there too."""
        return _Memory(self.device, self._base_bytes)

    def before_forward(self) -> None:
        """Start watching."""
        if self.device != "cuda":
            self._before_bytes, self._growth = _resident_bytes(), observe.PeakRss()

    def after_forward(self) -> None:
        """Take the peak since `before_forward` into account."""
        if self.device == "cuda":
            now = torch.cuda.max_memory_allocated()
        else:
            now = self._before_bytes + self._growth.bytes() - self._base_bytes
        self.peak_bytes = max(self.peak_bytes, now)


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
