"""How a number is taken: evaluation, counting and timing protocols, each with a short printable id.

Two numbers are comparable when their protocol ids are equal. The id names every choice that moves the number, so it
is also part of a record's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple


class Size(NamedTuple):
    """An image size in pixels, height first."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """`"720x1280"` -> `Size(720, 1280)` (HEIGHTxWIDTH). Raises ValueError with the expected form."""
        match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text.strip())
        if match is None or not (height := int(match[1])) or not (width := int(match[2])):
            raise ValueError(f"{text!r} is not a size. Expected HEIGHTxWIDTH in pixels, both at least 1: 720x1280.")
        return cls(height, width)


HR_720P: Final = Size(720, 1280)
"""The HR size at which the field quotes multi-adds (printed there as 1280x720)."""


def lr_size(hr: Size, scale: int) -> Size:
    """The LR size of an HR size: each side divided by the scale, rounded half up (720x1280 at x3 -> 240x427)."""
    return Size(*(max(1, (2 * side + scale) // (2 * scale)) for side in hr))


class Colour(Enum):
    """The channel in which PSNR and SSIM are taken."""

    Y = "y601"
    "BT.601 luma, limited range 16..235: 16 + (65.481 R + 128.553 G + 24.966 B) / 255."
    Y_FULL = "y601full"
    "BT.601 luma, full range 0..255: 0.299 R + 0.587 G + 0.114 B."
    RGB = "rgb"
    "All three channels together."


class Rounding(Enum):
    """When the SR image becomes 8-bit."""

    SR = "u8"
    "SR is clamped and rounded to uint8, luma stays float: what most papers print."
    SR_AND_LUMA = "u8y8"
    "Luma of the uint8 SR and HR is rounded to uint8 too (MATLAB rgb2ycbcr of a uint8 image)."
    NONE = "float"
    "SR is clamped only."


class LrRecipe(Enum):
    """How LR was made from HR. The three MATLAB recipes are bit-exact; see `runner.resize`."""

    MATLAB_U8 = "matlab-u8"
    MATLAB_FLOAT = "matlab-float"
    MATLAB_U8_REPLICATE = "matlab-u8-replicate"


@dataclass(frozen=True)
class Whole:
    """The whole image in one forward pass."""

    @property
    def id(self) -> str:
        return "whole"


@dataclass(frozen=True)
class PadSymmetric:
    """LR is mirror-padded (edge repeated) at the bottom and right to a multiple, SR cropped back."""

    multiple_px: int

    @property
    def id(self) -> str:
        return f"sym{self.multiple_px}"


@dataclass(frozen=True)
class Quadrants:
    """Four overlapping corner pieces run on their own and assembled without blending ("chop")."""

    overlap_px: int = 10
    "LR pixels by which each piece reaches past the half."
    max_area_px: int = 160_000
    "A piece of this many LR pixels or more is quartered again."

    @property
    def id(self) -> str:
        return f"quad{self.overlap_px}"


@dataclass(frozen=True)
class CropToMultiple:
    """LR (and HR with it) is cropped at the bottom and right to a multiple before anything else."""

    multiple_px: int

    @property
    def id(self) -> str:
        return f"cropto{self.multiple_px}"


@dataclass(frozen=True)
class Tiled:
    """LR is cut into tiles, each run with a halo of its neighbours that is cut off again; nothing is blended.

    Equal to the whole image, up to the rounding of sums, where the network sees no further than the halo.
    """

    tile_px: int = 256
    "LR side of a tile without its halo."
    halo_px: int = 32
    "LR pixels added on each side, as far as the image reaches."
    align_px: int = 1
    "Tiles and halos begin at multiples of this, for networks with windows or strides."

    @property
    def id(self) -> str:
        return f"tile{self.tile_px}+{self.halo_px}" + (f"@{self.align_px}" if self.align_px > 1 else "")


Inference = Whole | PadSymmetric | Quadrants | CropToMultiple | Tiled
"""How an LR image of any size is sent through a network."""


class Form(Enum):
    """Which form of a network is run."""

    PLAIN = "plain"
    FAST = "fast"


@dataclass(frozen=True, kw_only=True)
class EvalProtocol:
    """Everything that decides a PSNR/SSIM value besides the network and the images."""

    colour: Colour = Colour.Y
    crop_border_px: int | None = None
    "HR pixels cut on each side; None means the scale."
    rounding: Rounding = Rounding.SR
    lr_recipe: LrRecipe = LrRecipe.MATLAB_U8
    inference: Inference = Whole()
    form: Form = Form.PLAIN
    "Which form of the network is run; the fast one gives the same up to rounding, and says so in the id."

    def crop_px(self, scale: int) -> int:
        """HR pixels cut on each side at this scale."""
        return scale if self.crop_border_px is None else self.crop_border_px

    def id(self, scale: int) -> str:
        """Printable id, e.g. `y601-crop4-u8-gauss11-matlab-u8-whole`."""
        return (
            f"{self.colour.value}-crop{self.crop_px(scale)}-{self.rounding.value}-gauss11-"
            f"{self.lr_recipe.value}-{self.inference.id}" + (f"-{Form.FAST.value}" if self.form is Form.FAST else "")
        )


TILED_FOR_MEMORY: Final = "+oomtiles"
"""Ends the protocol id of a run in which an image did not fit into memory and went through in tiles."""


@dataclass(frozen=True, kw_only=True)
class CountProtocol:
    """The input size at which a network is counted, and by which counters."""

    lr: Size
    counters: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"lr{self.lr}-{'+'.join(self.counters)}"


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """Everything under the user's control that decides a latency."""

    device: str
    "cpu or cuda."
    lr: Size
    batch: int = 1
    threads: int
    "Intra-operation CPU threads."
    form: Form = Form.PLAIN
    dtype: str = "float32"
    memory_format: str = "contiguous"

    @property
    def id(self) -> str:
        return (
            f"{self.device}-{self.form.value}-{self.dtype}-{self.memory_format}-n{self.batch}-lr{self.lr}"
            f"-t{self.threads}"
        )
