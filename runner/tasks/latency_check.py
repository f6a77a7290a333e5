"""What a form's speed is worth: its output beside that of the plain float32 network, on real images.

A form that is fast and wrong (half precision that overflows to black images, a bad export) shows here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from runner.images import U8, size_of
from runner.inference import infer, pad_symmetric, sr_size
from runner.metrics import psnr_y
from runner.tasks.latency_devices import Run
from runner.tasks.quality import to_tensor, to_uint8
from zoo.contract import BadInput
from zoo.protocols import Inference, Size

if TYPE_CHECKING:
    from runner.datasets import Dataset

PSNR_LOSS_DB: Final = 0.01
"""Loss of PSNR from which a form is flagged: a unit of the last digit that papers print."""


def check(
    run: Run,
    plain: Run | None,
    dataset: Dataset,
    *,
    place: Callable[[Tensor], Tensor],
    rule: Inference,
    trained: bool,
    fitted: Size | None,
    batch: int = 1,
    device: str = "cpu",
) -> dict[str, Any]:
    """Compare a form with the plain float32 network on every image of a data set, each first brought to `fitted`.

    `place` puts a float32 input where the form wants it. None for `plain`: the form is the plain one. None for
    `fitted`: images keep their size and are run by `rule`. Values: `data`, `images`, `lr` (`own` or the size),
    `finite`, `max_abs_difference` (None where not finite or not compared), `psnr_y_db` and `plain_psnr_y_db`
    (means, None for a network that is not trained, of which PSNR says nothing), `flags` (what is wrong, in words).
    """
    own: list[float] = []
    reference: list[float] = []
    differences: list[float] = []
    finite = True
    for pair in dataset.pairs:
        lr, hr = dataset.load(pair)
        x = to_tensor(lr)
        cut, hr = _cut(x, hr, fitted, dataset.scale)
        sr = _run(run, cut, dataset.scale, rule, fitted=fitted, batch=batch, place=place)
        finite &= bool(torch.isfinite(sr).all())
        own.append(_psnr(sr, hr, dataset.scale))
        if plain is not None:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                expected = _run(plain, cut, dataset.scale, rule, fitted=fitted, batch=1, place=lambda t: t.to(device))
            differences.append(float((sr - expected).abs().max()))
            reference.append(_psnr(expected, hr, dataset.scale))
    values: dict[str, Any] = {
        "data": dataset.name,
        "images": len(dataset.pairs),
        "lr": str(fitted) if fitted else "own",
        "finite": finite,
        "max_abs_difference": max(differences) if finite and differences else None,
        "psnr_y_db": _mean(own) if trained and finite else None,
        "plain_psnr_y_db": _mean(reference or own) if trained and (finite or reference) else None,
    }
    return values | {"flags": flags(values)}


def flags(values: dict[str, Any]) -> list[str]:
    """What is wrong with a form's output, in words; empty when nothing was seen."""
    if not values["finite"]:
        return ["the output holds NaN or infinity"]
    if values["psnr_y_db"] is None:
        return []
    loss = values["plain_psnr_y_db"] - values["psnr_y_db"]
    return [f"PSNR is {loss:.3f} dB below the plain form's"] if loss > PSNR_LOSS_DB else []


def _cut(x: Tensor, hr: U8, fitted: Size | None, scale: int) -> tuple[Tensor, U8]:
    """The centre part of an LR image that fits into `fitted`, and its HR part."""
    if fitted is None:
        return x, hr
    tall, wide = (min(side, most) for side, most in zip(x.shape[2:], fitted, strict=True))
    top, left = (int(x.shape[2]) - tall) // 2, (int(x.shape[3]) - wide) // 2
    part = hr[top * scale : (top + tall) * scale, left * scale : (left + wide) * scale]
    return x[:, :, top : top + tall, left : left + wide], part


def _run(
    run: Run,
    x: Tensor,
    scale: int,
    rule: Inference,
    *,
    fitted: Size | None,
    batch: int,
    place: Callable[[Tensor], Tensor],
) -> Tensor:
    """Float32 SR (1, 3, h, w) on the CPU, not clamped; mirrored to `fitted` before and cropped after."""

    def call(lr: Tensor) -> Tensor:
        return run(place(lr.expand(batch, -1, -1, -1)))[:1].float().cpu()

    if fitted is None:
        sr = infer(call, x, scale, rule)
        expected = sr_size(Size(*x.shape[2:]), scale, rule)
    else:
        height, width = x.shape[2:]
        padded = pad_symmetric(x, bottom=fitted.height - height, right=fitted.width - width)
        sr = call(padded)[:, :, : height * scale, : width * scale]
        expected = Size(height * scale, width * scale)
    if tuple(sr.shape) != (1, 3, *expected):
        raise BadInput(
            f"The form made {tuple(sr.shape)} of LR {tuple(x.shape)} at x{scale}. Expected (1, 3, {expected.height}, "
            f"{expected.width}): check the network's scale."
        )
    return sr


def _psnr(sr: Tensor, hr: U8, scale: int) -> float:
    pixels = to_uint8(sr[0].nan_to_num().clamp(0, 1))
    height, width = size_of(pixels)
    return psnr_y(pixels, hr[:height, :width], crop_border_px=scale)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
