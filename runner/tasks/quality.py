"""Quality of a network on a data set: PSNR and SSIM of every image, by a protocol."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import zoo
from runner import machine
from runner.datasets import Dataset, Pair
from runner.fitting import FittingNetwork, is_out_of_memory
from runner.images import U8, size_of
from runner.inference import Network, infer, sr_size
from runner.journal import Journal
from runner.lanes import Cores, OneEach, side_by_side
from runner.metrics import Image, scores
from runner.overlap import Stages, overlapped
from runner.receptive_field import EXACT
from zoo.contract import BadInput, JobFailed
from zoo.protocols import (
    TILED_FOR_MEMORY,
    CropToMultiple,
    EvalProtocol,
    Inference,
    PadSymmetric,
    Rounding,
    SelfEnsemble,
    Size,
)

VERSION: Final = 1
"""Raise it when a change of this file, of the metrics or of the resizing changes a result.

Other kernels for the same sums are no change: which ones PyTorch takes is decided by the number of threads and the
layout in memory. Images go in with channels last, where that matters least: plain AGDN on one thread or two differs by
8e-7 (8e-6 with channels first), its PSNR by up to 5e-5 dB.
"""

_BATCH: Final = 4
_SCORERS: Final = 4
_FAR_OUT: Final = 1.0
"""SR further outside [0, 1] than this is told: a network that works in 0..255 scores, but means nothing."""

Entry = dict[str, Any]
"""What is kept of an image: its `score`, and `tiled_for_memory` or `out_of_range` where they apply."""


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """Result of one image."""

    name: str
    psnr_y_db: float
    "In the protocol's colour; inf for identical images."
    ssim_y: float
    height: int
    "HR pixels that were compared, before the border is cut."
    width: int


def evaluate(
    network: nn.Module,
    dataset: Dataset,
    *,
    protocol: EvalProtocol,
    on_image: Callable[[ImageScore], object] | None = None,
    on_sr: Callable[[str, U8], None] | None = None,
    device: str = "cpu",
    batch: int | None = None,
    journal: Journal | None = None,
) -> dict[str, Any]:
    """Mean and per-image PSNR/SSIM of a network in eval mode; a few images are in memory, however many there are.

    Keys: psnr_y_db, ssim_y (means over images), per_image, protocol, lr_source; where there is something to tell,
    tiled_for_memory and out_of_range, by image. On a CPU small images go through beside each other, one on each thread;
    elsewhere, and with a journal, the next image is read and the last one scored while the network runs.

    `on_image` is called as soon as an image and those before it are scored, `on_sr` with a name and the SR image as
    uint8 (h, w, 3); both from any thread, `on_image` from one at a time. Images of one size go through together,
    `batch` at once (default: 1 on the CPU, where more is slower, 4 elsewhere), if that gives what each gives alone.
    What `journal` holds is not done again. The network is left on `device`. Raises BadInput on data that do not fit,
    JobFailed when the network's output has another size, holds NaN or infinity, or fits into memory not even in tiles.
    """
    if protocol.lr_recipe is not dataset.recipe:
        raise BadInput(
            f"The protocol wants LR by {protocol.lr_recipe.value}, {dataset.name} was opened for "
            f"{dataset.recipe.value}. Open it with the protocol's recipe."
        )
    if protocol.form.one_size:
        raise BadInput(f"Quality has no form {protocol.form.value}: it is built for one size. Pass plain or fast.")
    known = dict(journal.entries) if journal else {}
    teller = _Teller([pair.name for pair in dataset.pairs], known, on_image)
    work = _Evaluation(
        network.to(device), dataset, protocol, device=device, journal=journal, on_sr=on_sr, on_entry=teller.tell
    )
    missing = [pair for pair in dataset.pairs if pair.name not in known]
    # A journal promises that a kill loses one image, not one of each lane.
    lanes = min(torch.get_num_threads(), len(missing)) if device == "cpu" and not journal and not batch else 1
    with machine.numpy_on_one_thread():
        made = dict(zip((pair.name for pair in missing), _results(work, missing, lanes, batch), strict=True))
    return _values([known.get(pair.name) or made[pair.name] for pair in dataset.pairs], dataset, protocol)


def _results(work: _Evaluation, missing: Sequence[Pair], lanes: int, batch: int | None) -> Iterator[Entry]:
    """What is kept of each image, several at once in lanes or the stages of neighbours at once."""
    if lanes > 1 and work.spread(lanes):
        return side_by_side(missing, work.alone, lanes=lanes)
    return overlapped(
        missing,
        Stages(load=work.dataset.load, run=work.run, finish=work.finish, alike=lambda loaded: size_of(loaded[0])),
        together=batch or (1 if work.device == "cpu" else _BATCH),
        finishers=min(_SCORERS, machine.usable_cores()),
    )


def _values(entries: Sequence[Entry], dataset: Dataset, protocol: EvalProtocol) -> dict[str, Any]:
    """What a record of the run holds."""
    scored = [entry["score"] for entry in entries]
    values: dict[str, Any] = {
        "psnr_y_db": math.fsum(score["psnr_y_db"] for score in scored) / len(scored),
        "ssim_y": math.fsum(score["ssim_y"] for score in scored) / len(scored),
        "per_image": scored,
        "protocol": protocol.id(dataset.scale),
        "lr_source": dataset.lr_source,
    }
    for remark in ("tiled_for_memory", "out_of_range"):
        if told := {entry["score"]["name"]: entry[remark] for entry in entries if remark in entry}:
            values[remark] = told
    if "tiled_for_memory" in values:
        values["protocol"] += TILED_FOR_MEMORY
    return values


class _Teller:
    """Calls `on_image` in the order of the data set, whatever the order in which images are scored."""

    def __init__(
        self, names: Sequence[str], known: Mapping[str, Entry], on_image: Callable[[ImageScore], object] | None
    ) -> None:
        self._due, self._scored, self._on_image = deque(names), dict(known), on_image
        self._lock = threading.Lock()
        self._drain()

    def tell(self, entry: Entry) -> None:
        with self._lock:
            self._scored[entry["score"]["name"]] = entry
            self._drain()

    def _drain(self) -> None:
        while self._due and self._due[0] in self._scored:
            score = ImageScore(**self._scored.pop(self._due.popleft())["score"])
            if self._on_image:
                self._on_image(score)


Output = tuple[Image, Entry]
"""SR as it is scored: uint8 (h, w, 3), or float32 (h, w, 3) in [0, 1] where it is not rounded; and remarks on it."""


class _Evaluation:
    """The stages of one evaluation."""

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        protocol: EvalProtocol,
        *,
        device: str,
        journal: Journal | None,
        on_sr: Callable[[str, U8], None] | None,
        on_entry: Callable[[Entry], None],
    ) -> None:
        self.on_entry = on_entry
        self.dataset, self.protocol, self.device, self.journal, self.on_sr = dataset, protocol, device, journal, on_sr
        rule = protocol.inference.inner if isinstance(protocol.inference, SelfEnsemble) else protocol.inference
        multiple_px = rule.multiple_px if isinstance(rule, (CropToMultiple, PadSymmetric)) else 1
        self.formed = zoo.optimize(network).to(device) if protocol.form.fast else network
        self.network = FittingNetwork(self.formed, dataset.scale, plain=network, multiple_px=multiple_px)
        self.cores = Cores(torch.get_num_threads())
        self.rounded = protocol.rounding.of_sr
        self.batches: bool | None = None
        "Whether images that go through together come out as they do alone; None before the first were tried."

    def spread(self, lanes: int) -> bool:
        """Make ready for `alone` in several threads at once; False where the network cannot be copied."""
        copies = OneEach.made(self.formed, lanes)
        if copies is not None:
            self.network.network = copies
        return copies is not None

    def alone(self, pair: Pair) -> Entry:
        """All stages of one image, which is given the threads that its size is worth."""
        images = self.dataset.load(pair)
        lr_px = size_of(images[0])
        with self.cores.taken(lr_px.height * lr_px.width):
            (output,) = self.run([(pair, images)])
        return self.finish(pair, images, output)

    def run(self, group: Sequence[tuple[Pair, tuple[U8, U8]]]) -> list[Output]:
        """SR of images of one LR size, kept until they are scored where there is a journal."""
        kept = [self._kept(pair) for pair, _images in group]
        todo = [(pair, lr) for (pair, (lr, _hr)), output in zip(group, kept, strict=True) if output is None]
        made = iter(self._super_resolved(todo))
        outputs = [next(made) if output is None else output for output in kept]
        if self.journal:
            for (pair, _images), before, output in zip(group, kept, outputs, strict=True):
                # What was tiled is told in the entry, which a kept image has no room for: it is made again.
                if before is None and not output[1]:
                    self.journal.keep_output(pair.name, output[0])
        return outputs

    def _kept(self, pair: Pair) -> Output | None:
        image = self.journal.output(pair.name) if self.journal else None
        return None if image is None else (image, {})

    def _super_resolved(self, todo: Sequence[tuple[Pair, U8]]) -> Iterator[Output]:
        together = self._together(todo) if len(todo) > 1 and self.batches is not False else None
        for index, (pair, lr) in enumerate(todo):
            name = f"{pair.name} of {self.dataset.name}"
            if together is not None and self.batches:
                sr, remarks = together[index], Entry()
            else:
                sr = self._infer(lr[None], name)[0]
                remarks = Entry(tiled_for_memory=asdict(self.network.tiled)) if self.network.tiled else Entry()
                if together is not None and self.batches is None:
                    # Sums of another order differ in the last digits; images that mix differ in the first.
                    self.batches = bool((together[index] - sr).abs().max() <= EXACT)
            low, high = (float(value) for value in torch.aminmax(sr))
            if not math.isfinite(low) or not math.isfinite(high):
                raise JobFailed(f"{name}: the network's output holds NaN or infinity. Check its weights.")
            if low < -_FAR_OUT or high > 1 + _FAR_OUT:
                remarks["out_of_range"] = [low, high]
            yield self._as_scored(sr.clamp(0, 1).float()), remarks

    def _together(self, todo: Sequence[tuple[Pair, U8]]) -> Tensor | None:
        """SR of several images in one call, None where memory does not hold them."""
        names = ", ".join(pair.name for pair, _lr in todo)
        try:
            return self._infer(np.stack([lr for _pair, lr in todo]), f"{names} of {self.dataset.name}", whole=True)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        self.batches = False
        return None

    def _infer(self, lr: npt.NDArray[np.uint8], name: str, *, whole: bool = False) -> Tensor:
        """SR (n, 3, h*scale, w*scale) on the device, as the network gives it, of LR (n, h, w, 3)."""
        network = self.network.network if whole else self.network
        return _inferred(network, lr, self.dataset.scale, self.protocol.inference, name=name, device=self.device)

    def _as_scored(self, sr: Tensor) -> Image:
        if self.rounded:
            return to_uint8(sr)
        exact: npt.NDArray[np.float32] = sr.permute(1, 2, 0).contiguous().cpu().numpy()
        return exact

    def finish(self, pair: Pair, images: tuple[U8, U8], output: Output) -> Entry:
        """Score an image and make its entry durable. Runs in a thread."""
        sr, remarks = output
        height, width = sr.shape[:2]
        hr = images[1][:height, :width]
        shown = sr if self.rounded else sr.astype(np.float64) * 255
        try:
            result = scores(shown, hr, self.protocol, self.dataset.scale)
        except BadInput as error:
            raise type(error)(f"{pair.name} of {self.dataset.name}: {error}") from None
        score = ImageScore(name=pair.name, psnr_y_db=result.psnr_db, ssim_y=result.ssim, height=height, width=width)
        if self.on_sr:
            self.on_sr(pair.name, np.rint(shown).astype(np.uint8))
        entry: Entry = {"score": asdict(score), **remarks}
        if self.journal:
            self.journal.add(pair.name, entry)
        self.on_entry(entry)
        return entry


def super_resolve(network: Network, lr: U8, scale: int, rule: Inference, *, name: str, device: str = "cpu") -> Tensor:
    """SR of one image: (3, h*scale, w*scale) in [0, 1] on the CPU.

    Raises JobFailed, with the image's `name`, on an output of another size or with NaN or infinity.
    """
    sr = _inferred(network, lr[None], scale, rule, name=name, device=device)[0]
    if not bool(torch.isfinite(sr).all()):
        raise JobFailed(f"{name}: the network's output holds NaN or infinity. Check its weights.")
    return sr.clamp(0, 1).float().cpu()


def _inferred(
    network: Network, lr: npt.NDArray[np.uint8], scale: int, rule: Inference, *, name: str, device: str
) -> Tensor:
    """SR of LR (n, h, w, 3) on the device, its size checked."""
    size = Size(*lr.shape[1:3])
    expected = (len(lr), 3, *sr_size(size, scale, rule))
    x = torch.from_numpy(np.ascontiguousarray(lr)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        sr = infer(network, x.to(device), scale, rule)
    if tuple(sr.shape) != expected:
        raise JobFailed(
            f"{name}: the network made {tuple(sr.shape)} of LR {size} at x{scale}. "
            f"Expected ({', '.join(map(str, expected))})."
        )
    return sr


def to_tensor(img: U8) -> Tensor:
    """uint8 (h, w, 3) -> float32 (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(img)).permute(2, 0, 1)[None].float() / 255


def to_uint8(sr: Tensor) -> U8:
    """(3, h, w) in [0, 1] -> uint8 (h, w, 3), rounded to nearest (halves to even, as the field's tools do)."""
    pixels: U8 = (sr * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def rounded(sr: Tensor, rounding: Rounding) -> Image:
    """SR (3, h, w) in [0, 1] as the metrics take it: uint8 (h, w, 3), or float64 in 0..255 where it is not rounded."""
    if not rounding.of_sr:
        exact: npt.NDArray[np.float64] = (sr.double() * 255).permute(1, 2, 0).contiguous().cpu().numpy()
        return exact
    return to_uint8(sr)
