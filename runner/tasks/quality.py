"""Quality of a network on a data set: PSNR and SSIM of every image, by a protocol."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from runner.datasets import Dataset, Pair
from runner.images import U8, size_of
from runner.inference import Network, infer, sr_size
from runner.metrics import Image, scores
from zoo.contract import BadInput, JobFailed
from zoo.protocols import EvalProtocol, Inference, Rounding

VERSION: Final = 1
"""Raise it when a change of this file, of the metrics or of the resizing changes a result."""


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
    on_image: Callable[[ImageScore], None] | None = None,
    on_sr: Callable[[str, U8], None] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Mean and per-image PSNR/SSIM of a network in eval mode; one image is in memory at a time.

    Keys: psnr_y_db, ssim_y (means over images), per_image, protocol, lr_source. `on_image` is called after each image,
    `on_sr` with its name and the SR image as uint8 (h, w, 3). Raises BadInput on data that do not fit, JobFailed when
    the network's output has another size or holds NaN or infinity.
    """
    if protocol.lr_recipe is not dataset.recipe:
        raise BadInput(
            f"The protocol wants LR by {protocol.lr_recipe.value}, {dataset.name} was opened for "
            f"{dataset.recipe.value}. Open it with the protocol's recipe."
        )
    network.to(device)
    per_image = []
    for pair in dataset.pairs:
        lr, hr = dataset.load(pair)
        sr, hr = _super_resolve(network, lr, hr, pair=pair, dataset=dataset, protocol=protocol, device=device)
        result = scores(rounded(sr, protocol.rounding), hr, protocol, dataset.scale)
        height, width = size_of(hr)
        score = ImageScore(name=pair.name, psnr_y_db=result.psnr_db, ssim_y=result.ssim, height=height, width=width)
        per_image.append(score)
        if on_sr:
            on_sr(pair.name, to_uint8(sr))
        if on_image:
            on_image(score)
    return {
        "psnr_y_db": math.fsum(score.psnr_y_db for score in per_image) / len(per_image),
        "ssim_y": math.fsum(score.ssim_y for score in per_image) / len(per_image),
        "per_image": [asdict(score) for score in per_image],
        "protocol": protocol.id(dataset.scale),
        "lr_source": dataset.lr_source,
    }


def _super_resolve(
    network: nn.Module, lr: U8, hr: U8, *, pair: Pair, dataset: Dataset, protocol: EvalProtocol, device: str
) -> tuple[Tensor, U8]:
    """SR (3, h, w) in [0, 1] on the CPU, and the part of HR that it is to be compared with."""
    name = f"{pair.name} of {dataset.name}"
    sr = super_resolve(network, lr, dataset.scale, protocol.inference, name=name, device=device)
    height, width = sr.shape[1:]
    return sr, hr[:height, :width]


def super_resolve(network: Network, lr: U8, scale: int, rule: Inference, *, name: str, device: str = "cpu") -> Tensor:
    """SR of one image: (3, h*scale, w*scale) in [0, 1] on the CPU.

    Raises JobFailed, with the image's `name`, on an output of another size or with NaN or infinity.
    """
    expected = sr_size(size_of(lr), scale, rule)
    with torch.inference_mode():
        sr = infer(network, to_tensor(lr).to(device), scale, rule)
        if tuple(sr.shape) != (1, 3, *expected):
            raise JobFailed(
                f"{name}: the network made {tuple(sr.shape)} of LR {size_of(lr)} at x{scale}. "
                f"Expected (1, 3, {expected.height}, {expected.width})."
            )
        if not bool(torch.isfinite(sr).all()):
            raise JobFailed(f"{name}: the network's output holds NaN or infinity. Check its weights.")
        return sr[0].clamp(0, 1).float().cpu()


def to_tensor(img: U8) -> Tensor:
    """uint8 (h, w, 3) -> float32 (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(img)).permute(2, 0, 1)[None].float() / 255


def to_uint8(sr: Tensor) -> U8:
    """(3, h, w) in [0, 1] -> uint8 (h, w, 3), rounded to nearest (halves to even, as the field's tools do)."""
    pixels: U8 = (sr * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return pixels


def rounded(sr: Tensor, rounding: Rounding) -> Image:
    """SR (3, h, w) in [0, 1] as the metrics take it: uint8 (h, w, 3), or float64 in 0..255 where it is not rounded."""
    if not rounding.of_sr:
        exact: npt.NDArray[np.float64] = (sr.double() * 255).permute(1, 2, 0).contiguous().numpy()
        return exact
    return to_uint8(sr)
