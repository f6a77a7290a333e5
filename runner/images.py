"""8-bit RGB images in files: read strictly, write atomically, identify by their pixels."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo.contract import BadInput
from zoo.files import atomic_target
from zoo.protocols import Size

U8 = npt.NDArray[np.uint8]

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Files that count as images of a data set, in lower case; every other file is left alone."""

UNDECODABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged files."""

_REFUSED: Final = {
    "L": "an 8-bit grey image",
    "1": "a black-and-white image",
    "P": "an image with a palette",
    "PA": "an image with a palette and an alpha channel",
    "LA": "a grey image with an alpha channel",
    "La": "a grey image with an alpha channel",
    "RGBA": "an image with an alpha channel",
    "RGBa": "an image with an alpha channel",
    "RGBX": "an image with a fourth channel",
    "CMYK": "a CMYK image",
    "YCbCr": "a YCbCr image",
    "LAB": "a CIE Lab image",
    "HSV": "an HSV image",
    "I": "a grey image of more than 8 bits",
    "F": "a floating-point image",
}


def read_rgb(path: Path, *, grey_to_rgb: bool = False) -> U8:
    """Pixels of an 8-bit RGB file, uint8 (h, w, 3), as stored (no EXIF rotation).

    `grey_to_rgb` accepts an 8-bit grey file too and repeats its channel; only data sets known to hold grey photographs
    ask for it. Raises BadInput on alpha, palette, 16-bit, CMYK, grey, damaged or missing files.
    """
    if not path.is_file():
        raise BadInput(f"{path} does not exist. Expected an 8-bit RGB image file.")
    try:
        with Image.open(path) as image:
            kind = _refusal(image, grey_to_rgb=grey_to_rgb)
            if kind is None:
                pixels: U8 = np.array(image.convert("RGB"), dtype=np.uint8)
                return pixels
    except UNDECODABLE as error:
        raise BadInput(
            f"{path} cannot be decoded as an image ({type(error).__name__}: {error}). "
            f"It may be truncated: compare its size with the original and copy it again."
        ) from error
    raise BadInput(f"{path} is {kind}. Expected 8-bit RGB without alpha: convert it, so that the choice is yours.")


def _refusal(image: Image.Image, *, grey_to_rgb: bool) -> str | None:
    """What makes an opened file unfit, None if nothing does."""
    # Pillow opens 16-bit RGB files as 8-bit ones; only the decoder's raw mode tells.
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) or image.mode.startswith("I;16"):
        return "a 16-bit image"
    if "transparency" in image.info:
        return "an image with a transparent colour"
    if image.mode == "RGB" or (grey_to_rgb and image.mode == "L"):
        return None
    return _REFUSED.get(image.mode, f"an image of mode {image.mode}")


def write_rgb(path: Path, img: U8) -> None:
    """Write uint8 (h, w, 3) as a lossless file by its suffix (.png), whole or not at all. Raises BadInput."""
    if img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3:
        raise BadInput(f"write_rgb got {img.dtype} of shape {img.shape}. Expected uint8 (h, w, 3).")
    if path.suffix.lower() != ".png":
        raise BadInput(f"{path} would not keep every value. Pass a path that ends in .png.")
    with atomic_target(path) as part:
        Image.fromarray(img).save(part, format="PNG")


def size_of(img: U8) -> Size:
    """(height, width) of an image array."""
    return Size(*img.shape[:2])


def pixel_sha256(img: U8) -> str:
    """sha256 over the size and the RGB values: equal for equal pixels, whatever the file format."""
    height, width = size_of(img)
    return hashlib.sha256(f"{height}x{width}x3:".encode() + np.ascontiguousarray(img).tobytes()).hexdigest()


def image_files(folder: Path) -> list[Path]:
    """Image files directly in a folder, by name; hidden files are left out."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in found if p.is_file()), key=lambda p: p.name)
