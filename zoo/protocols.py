"""How a number is taken: evaluation, counting and timing protocols, each with a short printable id.

Two numbers are comparable when their protocol ids are equal. The id names every choice that moves the number, so it
is also part of a record's key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, NamedTuple


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
    LUMA = "y8"
    "SR is clamped only; the channels that are compared (luma, or R, G and B) are rounded to uint8 afterwards."
    NONE = "float"
    "SR is clamped only."

    @property
    def of_sr(self) -> bool:
        """True where SR is rounded before anything is compared."""
        return self in (Rounding.SR, Rounding.SR_AND_LUMA)


class SsimWindow(Enum):
    """The window over which SSIM takes its means."""

    GAUSS11 = "gauss11"
    "11x11 Gaussian of sigma 1.5, windows inside the image only: Wang et al. 2004, MATLAB, what papers print."
    UNIFORM7 = "uniform7"
    "7x7 mean with sample covariance: scikit-image's `structural_similarity` as it is called without options."


class LrRecipe(Enum):
    """How LR was made from HR; see `runner.resize` and `runner.resize_others`."""

    MATLAB_U8 = "matlab-u8"
    "`imresize` of a uint8 image; bit-exact."
    MATLAB_FLOAT = "matlab-float"
    "`imresize` of a double image, as BasicSR's script and Python ports do; bit-exact."
    MATLAB_U8_REPLICATE = "matlab-u8-replicate"
    "`imresize` of a uint8 image in older MATLAB, which repeats the border; bit-exact."
    OPENCV = "opencv"
    "`cv2.resize(..., INTER_CUBIC)`: a = -0.75, no antialiasing; bit-exact with IPP, see `opencv_cubic` for halves."
    PIL = "pil"
    "Pillow's `resize(..., BICUBIC)`: antialiased, a = -0.5, in fixed point; by Pillow itself."


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
        usual = self.max_area_px == Quadrants.max_area_px
        return f"quad{self.overlap_px}" + ("" if usual else f"@{self.max_area_px}")


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


@dataclass(frozen=True)
class SelfEnsemble:
    """Mean of the SR of the eight flips and transposes of LR, each turned back ("x8", a plus in model names).

    The mean is of the network's unrounded outputs. Source: Lim et al., CVPRW 2017, section 4.
    """

    inner: Inference = Whole()
    "How each of the eight is run."

    @property
    def id(self) -> str:
        return f"x8-{self.inner.id}"


Inference = Whole | PadSymmetric | Quadrants | CropToMultiple | Tiled | SelfEnsemble
"""How an LR image of any size is sent through a network."""

_INFERENCE: Final[tuple[tuple[str, Callable[..., Inference]], ...]] = (
    (r"whole", Whole),
    (r"sym([1-9]\d{0,4})", PadSymmetric),
    (r"quad(\d{1,5})(?:@([1-9]\d{0,9}))?", Quadrants),
    (r"cropto([1-9]\d{0,4})", CropToMultiple),
    (r"tile([1-9]\d{0,5})\+(\d{1,5})(?:@([1-9]\d{0,3}))?", Tiled),
)
_ENSEMBLE: Final = "x8-"


def parse_inference(text: str) -> Inference:
    """The rule of an id like `sym32` or `x8-whole`. Raises ValueError with the forms there are."""
    if text.startswith(_ENSEMBLE) and not text.startswith(2 * _ENSEMBLE):
        return SelfEnsemble(parse_inference(text.removeprefix(_ENSEMBLE)))
    for pattern, rule in _INFERENCE:
        if match := re.fullmatch(pattern, text):
            return rule(*(int(number) for number in match.groups() if number is not None))
    raise ValueError(
        f"{text!r} is no way of inference. Expected whole, sym32, quad10, cropto2 or tile256+32 "
        f"(with numbers of your own), or one of these after x8-."
    )


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
class EvalProtocol:
    """Everything that decides a PSNR/SSIM value besides the network and the images."""

    colour: Colour = Colour.Y
    crop_border_px: int | None = None
    "HR pixels cut on each side; None means the scale."
    rounding: Rounding = Rounding.SR
    ssim_window: SsimWindow = SsimWindow.GAUSS11
    lr_recipe: LrRecipe = LrRecipe.MATLAB_U8
    inference: Inference = Whole()
    form: Form = Form.PLAIN
    "Which form of the network is run; the fast one gives the same up to rounding, and says so in the id."

    def crop_px(self, scale: int) -> int:
        """HR pixels cut on each side at this scale."""
        return scale if self.crop_border_px is None else self.crop_border_px

    def id(self, scale: int) -> str:
        """Printable id, e.g. `y601-crop4-u8-gauss11-matlab-u8-whole`; `parse` reads it."""
        return (
            f"{self.colour.value}-crop{self.crop_px(scale)}-{self.rounding.value}-{self.ssim_window.value}-"
            f"{self.lr_recipe.value}-{self.inference.id}"
            + (f"-{self.form.value}" if self.form is not Form.PLAIN else "")
        )

    @classmethod
    def parse(cls, text: str, *, base: EvalProtocol | None = None) -> EvalProtocol:
        """The protocol of an id; `crop` without a number means the scale.

        With a `base`, parts may be left out, which are then the base's, and stand in any order: `rgb-crop0`,
        `matlab-float`; `default` is all of it. Raises ValueError that names the part which is not understood.
        """
        if base is not None and text == "default":
            return base
        found: dict[str, str] = {}
        rest = f"{text}-"
        while match := next((m for name, m in _matches(rest) if name not in found), None):
            assert match.lastgroup is not None, "each pattern is one named group"
            found[match.lastgroup] = match[match.lastgroup]
            rest = rest[match.end() :]
        if rest or not found:
            raise ValueError(f"{text!r} is no protocol: {rest.removesuffix('-')!r} is not understood. {_EXPECTED}")
        # A form that is not named is the plain one.
        wanted = [name for name in _PARTS if name in found or name != "form"]
        if base is None and list(found) != wanted:
            missing = [name for name in wanted if name not in found]
            fault = f"it has no {missing[0].replace('_', ' ')}" if missing else "its parts stand in another order"
            raise ValueError(f"{text!r} is no protocol: {fault}. {_EXPECTED}")
        made: dict[str, Any] = {name: _PARTS[name][1](part) for name, part in found.items()}
        return replace(base or cls(), **made)


def _matches(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Every part of an id that a text may begin with."""
    for name, (pattern, _read) in _PARTS.items():
        if match := re.match(f"(?P<{name}>{pattern})-", text):
            yield name, match


_PARTS: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "colour": ("y601full|y601|rgb", Colour),
    "crop_border_px": (r"crop\d{0,4}", lambda part: int(part[4:]) if part != "crop" else None),
    "rounding": ("u8y8|u8|y8|float", Rounding),
    "ssim_window": ("gauss11|uniform7", SsimWindow),
    "lr_recipe": ("|".join(sorted((recipe.value for recipe in LrRecipe), key=len, reverse=True)), LrRecipe),
    "inference": (
        rf"(?:{_ENSEMBLE})?(?:whole|sym\d+|quad\d+(?:@\d+)?|cropto\d+|tile\d+\+\d+(?:@\d+)?)",
        parse_inference,
    ),
    "form": ("plain|fast", Form),
}
"""Pattern and reader of each part of an id, in its order. No part reads like another, so each may be left out."""
_EXPECTED: Final = (
    f"Expected the parts colour (y601, y601full, rgb), crop in HR pixels (crop4), rounding (u8, u8y8, y8, float), SSIM "
    f"window (gauss11, uniform7), LR recipe ({', '.join(recipe.value for recipe in LrRecipe)}) and inference (whole, "
    f"sym32, quad10, cropto2, tile256+32, each also after x8-) with - between: {EvalProtocol().id(4)}."
)


TILED_FOR_MEMORY: Final = "+oomtiles"
"""Ends the protocol id of a run in which an image did not fit into memory and went through in tiles."""


EVAL_CHOICES: Final = {
    "lr_recipe": "LR recipe",
    "inference": "inference",
    "rounding": "rounding",
    "colour": "colour",
    "crop_border_px": "crop",
    "ssim_window": "SSIM window",
}
"""Each choice of an `EvalProtocol` in words, from the input to the metric."""


def shown_choice(protocol: EvalProtocol, name: str, scale: int | None = None) -> str:
    """One choice as the id prints it; the border in pixels, or `scale` where the scale is not known."""
    if name == "crop_border_px":
        crop = protocol.crop_border_px if scale is None else protocol.crop_px(scale)
        return "scale" if crop is None else str(crop)
    value = getattr(protocol, name)
    return str(value.id if name == "inference" else value.value)


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
        """True for the form that others are compared with: plain, float32, contiguous, on the CPU."""
        chosen = (self.device, self.form, self.dtype, self.memory_format, self.batch)
        return chosen == ("cpu", Form.PLAIN, "float32", "contiguous", 1)

    @property
    def id(self) -> str:
        sizes = "perimage" if self.per_image else f"lr{self.lr}"
        return (
            f"{self.device}-{self.form.value}-{self.dtype}-{self.memory_format}-n{self.batch}-{sizes}-t{self.threads}"
        )
