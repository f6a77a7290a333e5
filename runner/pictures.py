"""People's pictures: whatever Pillow opens becomes what a network takes, and its SR a PNG of the same kind.

`runner.images` reads data sets and refuses what would change a number; here nobody measures, so grey, palette, alpha,
16-bit and rotated pictures are all done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from runner.images import UNDECODABLE
from runner.inference import Network, infer, sr_size
from zoo.contract import BadInput, JobFailed
from zoo.files import atomic_target
from zoo.protocols import Inference, Size

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_LUMA: Final = np.array([0.299, 0.587, 0.114])
"""BT.601, full range: what Pillow makes grey with."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded picture."""

    rgb: Pixels
    "(h, w, 3) in the depth of the file; three equal channels for a grey picture."
    grey: bool = False
    alpha: npt.NDArray[np.uint8] | None = None
    "(h, w)."
    icc_profile: bytes | None = None
    note: str | None = None
    "What was lost in reading, in words."

    @property
    def size(self) -> Size:
        """(height, width)."""
        return Size(*self.rgb.shape[:2])

    @property
    def peak(self) -> int:
        """The value of white."""
        return int(np.iinfo(self.rgb.dtype).max)

    @property
    def kind(self) -> str:
        """In words: `RGB`, `grey 16-bit with alpha`."""
        words = ["grey" if self.grey else "RGB"]
        words += ["16-bit"] if self.peak > 255 else []
        words += ["with alpha"] if self.alpha is not None else []
        return " ".join(words)


def read_picture(path: Path) -> Picture:
    """Decode a file and turn it as its EXIF data say. Raises BadInput: missing, damaged, or floating-point."""
    if not path.is_file():
        raise BadInput(f"{path} does not exist. Expected an image file.")
    try:
        with Image.open(path) as opened:
            deep = any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ())) and opened.mode in ("RGB", "RGBA")
            image = ImageOps.exif_transpose(opened)
            picture = _decoded(image, path)
    except UNDECODABLE as error:
        raise BadInput(
            f"{path} cannot be decoded as an image ({type(error).__name__}: {error}). It may be truncated."
        ) from error
    return replace(picture, note="its 16 bits per colour were read as 8") if deep else picture


def _decoded(image: Image.Image, path: Path) -> Picture:
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise BadInput(f"{path} holds floating-point values of unknown range. Convert it to 8 or 16 bits first.")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise BadInput(f"{path} holds grey values outside 16 bits. Convert it to 8 or 16 bits first.")
        return Picture(rgb=_three(values.astype(np.uint16)), grey=True, icc_profile=profile)
    alpha = None
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA") if image.mode not in ("LA", "La") else image.convert("LA")
        alpha = np.asarray(image.getchannel("A")).copy()
    if image.mode in ("L", "LA", "1"):
        return Picture(rgb=_three(np.asarray(image.convert("L"))), grey=True, alpha=alpha, icc_profile=profile)
    # A profile of another colour space does not describe RGB.
    profile = profile if image.mode in ("RGB", "RGBA", "P") else None
    return Picture(rgb=np.array(image.convert("RGB")), alpha=alpha, icc_profile=profile)


def _three(grey: Any) -> Any:
    return np.repeat(grey[..., None], 3, axis=2)


def super_resolve(network: Network, lr: Picture, scale: int, rule: Inference, *, name: str, device: str) -> Picture:
    """The picture `scale` times as large: colours by the network, alpha by bicubic interpolation.

    Raises JobFailed on an output of another size or with NaN or infinity.
    """
    expected = sr_size(lr.size, scale, rule)
    with torch.inference_mode():
        sr = infer(network, _tensor(lr).to(device), scale, rule)
        if tuple(sr.shape) != (1, 3, *expected):
            raise JobFailed(
                f"{name}: the network made {tuple(sr.shape)} of LR {lr.size} at x{scale}. "
                f"Expected (1, 3, {expected.height}, {expected.width})."
            )
        if not bool(torch.isfinite(sr).all()):
            raise JobFailed(f"{name}: the network's output holds NaN or infinity. Check its weights.")
        values = sr[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    if lr.grey:
        values = _three(values @ _LUMA)
    rgb = np.rint(values * lr.peak).astype(lr.rgb.dtype)
    return replace(lr, rgb=rgb, alpha=None if lr.alpha is None else _enlarged(lr.alpha, expected))


def _tensor(picture: Picture) -> Tensor:
    """(1, 3, h, w) in [0, 1]."""
    values = picture.rgb.astype(np.float32) / picture.peak
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


def _enlarged(alpha: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(alpha).resize((size.width, size.height), Image.Resampling.BICUBIC))


def write_picture(path: Path, picture: Picture) -> None:
    """Write a PNG, whole or not at all. Alpha of a 16-bit picture cannot come here: no reader gives one."""
    colours = picture.rgb[..., 0] if picture.grey else picture.rgb
    image = Image.fromarray(np.ascontiguousarray(colours))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    options = {"icc_profile": picture.icc_profile} if picture.icc_profile else {}
    with atomic_target(path) as part:
        image.save(part, format="PNG", **options)
