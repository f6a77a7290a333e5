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

    @property
    def id(self) -> str:
        return f"tile{self.tile_px}+{self.halo_px}"


Inference = Whole | PadSymmetric | Quadrants | CropToMultiple | Tiled
"""How an LR image of any size is sent through a network."""


@dataclass(frozen=True, kw_only=True)
class EvalProtocol:
    """Everything that decides a PSNR/SSIM value besides the network and the images."""

    colour: Colour = Colour.Y
    crop_border_px: int | None = None
    "HR pixels cut on each side; None means the scale."
    rounding: Rounding = Rounding.SR
    lr_recipe: LrRecipe = LrRecipe.MATLAB_U8
    inference: Inference = Whole()

    def crop_px(self, scale: int) -> int:
        """HR pixels cut on each side at this scale."""
        return scale if self.crop_border_px is None else self.crop_border_px

    def id(self, scale: int) -> str:
        """Printable id, e.g. `y601-crop4-u8-gauss11-matlab-u8-whole`."""
        return (
            f"{self.colour.value}-crop{self.crop_px(scale)}-{self.rounding.value}-gauss11-"
            f"{self.lr_recipe.value}-{self.inference.id}"
        )


@dataclass(frozen=True, kw_only=True)
class CountProtocol:
    """The input size at which a network is counted, and by which counters."""

    lr: Size
    counters: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"lr{self.lr}-{'+'.join(self.counters)}"


class Engine(Enum):
    """What executes a network."""

    EAGER = "eager"
    COMPILE = "compile"
    "torch.compile of this input size, weights frozen."
    CUDA_GRAPH = "cuda-graph"
    "One CUDA graph of the whole pass, replayed."
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


class Form(Enum):
    """Which form of a network is run: as written or `zoo.optimize`d, by which engine."""

    PLAIN = "plain"
    FAST = "fast"
    COMPILE = "compile"
    FAST_COMPILE = "fast-compile"
    CUDA_GRAPH = "cuda-graph"
    FAST_CUDA_GRAPH = "fast-cuda-graph"
    ONNXRUNTIME = "onnxruntime"
    FAST_ONNXRUNTIME = "fast-onnxruntime"
    OPENVINO = "openvino"
    FAST_OPENVINO = "fast-openvino"

    @property
    def fast(self) -> bool:
        """True where the network is `zoo.optimize`d first."""
        return self.value.split("-")[0] == "fast"

    @property
    def engine(self) -> Engine:
        """What executes it."""
        word = self.value.removeprefix("fast-")
        return Engine.EAGER if word in ("plain", "fast") else Engine(word)

    @property
    def one_size(self) -> bool:
        """True where the form is built for one input size; eager forms take any."""
        return self.engine is not Engine.EAGER


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """Everything under the user's control that decides a latency."""

    device: str
    "cpu or cuda."
    lr: Size
    "Not used where `per_image`."
    batch: int = 1
    threads: int
    "Intra-operation CPU threads."
    form: Form = Form.PLAIN
    dtype: str = "float32"
    memory_format: str = "contiguous"
    "Of the input; and of the weights where channels_last."
    per_image: bool = False
    "Time each image of a data set once at its own size without warm-up, as NTIRE's organisers do."

    @property
    def is_reference(self) -> bool:
        """True for the form that others are compared with: plain float32 on the CPU."""
        return (self.device, self.form, self.dtype, self.batch) == ("cpu", Form.PLAIN, "float32", 1)

    @property
    def id(self) -> str:
        sizes = "perimage" if self.per_image else f"lr{self.lr}"
        return (
            f"{self.device}-{self.form.value}-{self.dtype}-{self.memory_format}-n{self.batch}-{sizes}-t{self.threads}"
        )
