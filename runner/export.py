"""Networks as ONNX models that give the same image: exported by PyTorch, checked in ONNX Runtime before they are kept.

An exporter that bakes a size into a graph raises no error: the file then gives wrong images at other sizes. So a model
for any size is run at several, odd ones included, beside the network, and refused if it differs.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runner.export_ops import Exportable, tidy
from zoo.contract import JobFailed, ModelSpec
from zoo.fast_form import with_plain_convolutions
from zoo.protocols import Size

OPSET: Final = 18
TOLERANCE: Final = 1e-4
"""Largest difference of an exported network's output in [0, 1]: a fortieth of a step of 8 bits."""

_WEIGHT_STEP: Final = 2.0**-18
"""Some thirty roundings of float32, relative: moves an output at least as far as ONNX Runtime's sums do."""

_EXPORTED_AT: Final = Size(50, 57)
"""A size with nothing special: no multiple, no square."""
_BEYOND: Final = ((0, 0), (1, 20), (63, 50))
"""Rows and columns that are added to the exported size for the parity check: more windows, other remainders."""


class CannotExport(JobFailed):
    """The exporter cannot express the network, or what it wrote gives another image."""


class Unsettled(CannotExport):
    """The network's output depends on how float32 rounds, so that no file can be compared with it."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What an exported file says of itself in its `metadata_props`, each name with `esr.` before it."""

    model: str
    scale: int
    revision: str
    weights: str
    "official, third-party, bundled, file, as built or random."
    weights_sha256: str
    "Empty for a network without a checkpoint."
    lr: str
    "`dynamic`, or the only LR size that the file takes."
    min_side_px: int
    size_multiple_px: int
    opset: int = OPSET
    values: str = "RGB in [0, 1]; the output is not clamped"


@dataclass(frozen=True)
class Parity:
    """How an exported network compares with the original on one seeded random input."""

    lr: Size
    batch: int
    max_abs_difference: float
    image: str
    "`noise`, or `smooth` where rounding decides the network's own output on noise."


def onnx_bytes(network: nn.Module, x: Tensor, *, dynamic: bool = False, metadata: Metadata | None = None) -> bytes:
    """An eval-mode network as an ONNX model in float32 with input `lr` and output `sr`.

    For the shape of `x`, or with `dynamic` for any batch, height and width. Raises CannotExport.
    """
    network = copy.deepcopy(network).eval().float().cpu()
    # The guard reads sizes as numbers, which would bake them into the graph.
    network._forward_pre_hooks.clear()
    network = Exportable(with_plain_convolutions(network)).eval()
    example = x.detach().float().cpu().contiguous().clone()
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    if dynamic and example.shape[0] == 1:
        # A dimension of one counts as fixed.
        example = torch.cat([example, example])
    try:
        with torch.inference_mode(False), torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network,
                (example.clone(),),
                dynamo=True,
                opset_version=OPSET,
                input_names=["lr"],
                output_names=["sr"],
                dynamic_shapes=(axes,) if dynamic else None,
                optimize=False,
                verbose=False,
            )
            if program is None:
                raise CannotExport("PyTorch's exporter gave no model.")
            tidy(program.model)
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise CannotExport(f"PyTorch's exporter cannot express it ({_first_cause(error)}).") from error
    if metadata is not None:
        program.model.metadata_props.update({f"esr.{key}": str(value) for key, value in asdict(metadata).items()})
    content: bytes = program.model_proto.SerializeToString()
    return content


def parity(model: bytes, network: nn.Module, sizes: Sequence[tuple[Size, int]]) -> tuple[Parity, ...]:
    """An ONNX model in ONNX Runtime beside its network, at each (LR size, batch).

    On noise; where rounding alone moves the network's output there by more than half of `TOLERANCE` (trained networks
    amplify what is no image), on a smooth image. Raises CannotExport where it fails, makes another size, or differs by
    more than `TOLERANCE`, and Unsettled where neither image is settled.
    """
    from runner.tasks.latency_forms import onnxruntime_run

    run = onnxruntime_run(model, threads=torch.get_num_threads())
    return tuple(_compared(run, network, lr, batch) for lr, batch in sizes)


def _compared(run: Callable[[Tensor], Tensor], network: nn.Module, lr: Size, batch: int) -> Parity:
    unsettled = 0.0
    for image, x in _images(lr, batch):
        with torch.inference_mode():
            expected = network(x)
        try:
            sr = run(x)
        except Exception as error:
            raise CannotExport(f"ONNX Runtime fails on the exported model at LR {lr} ({_line(error)}).") from error
        if sr.shape != expected.shape:
            raise CannotExport(
                f"The exported model makes {tuple(sr.shape)} of LR {lr}. Expected {tuple(expected.shape)}."
            )
        difference = _largest(sr - expected)
        # Not `>`: NaN is a difference too.
        if difference <= TOLERANCE:
            return Parity(lr, batch, difference, image)
        unsettled = _moved_by_rounding(network, x, expected)
        if unsettled <= TOLERANCE / 2:
            raise CannotExport(
                f"The exported model differs from the network by {difference:.1e} at LR {lr}. Expected at most "
                f"{TOLERANCE:.0e}."
            )
    raise Unsettled(
        f"With these weights rounding alone moves its output by {unsettled:.1e} at LR {lr}, so no file can be held to "
        f"it within {TOLERANCE:.0e}."
    )


def _images(lr: Size, batch: int) -> Iterator[tuple[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    yield "noise", torch.rand(batch, 3, *lr, generator=generator)
    coarse = torch.rand(batch, 3, *(max(side // 16, 2) for side in lr), generator=generator)
    yield "smooth", F.interpolate(coarse, size=lr, mode="bicubic", align_corners=False).clamp(0, 1)


def _moved_by_rounding(network: nn.Module, x: Tensor, expected: Tensor) -> float:
    """How far a float32 output is from that of the network in float64 whose weights are a few float32 steps off.

    The other arithmetic alone would say too little: a runtime sums in other orders, with errors of its own.
    """
    moved = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for parameter in moved.parameters():
            step = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) * 2 - 1
            parameter.mul_(1 + _WEIGHT_STEP * step)
        return _largest(moved(x.double()) - expected)


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())


def sizes_to_check(spec: ModelSpec, lr: Size | None) -> tuple[tuple[Size, int], ...]:
    """(LR size, batch) of the parity check: the fixed size, or several that the model accepts."""
    if lr is not None:
        return ((lr, 1),)
    base = exported_size(spec)
    sizes = (Size(*(_accepted(side + more, spec) for side, more in zip(base, extra, strict=True))) for extra in _BEYOND)
    return tuple((size, 1 + index % 2) for index, size in enumerate(sizes))


def exported_size(spec: ModelSpec) -> Size:
    """The LR size with which a model for any size is traced."""
    return Size(*(_accepted(side, spec) for side in _EXPORTED_AT))


def _accepted(side: int, spec: ModelSpec) -> int:
    side = max(side, spec.min_side_px)
    return -(-side // spec.size_multiple_px) * spec.size_multiple_px


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and the failures of the ways it tries; what matters is in its exception."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    lines: list[Any] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return str(lines[0])[:300] if lines else type(error).__name__
