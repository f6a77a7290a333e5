"""What the suite measures: each quantity's unit, direction and printed digits, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Direction(Enum):
    """Which end of a quantity is the good one."""

    HIGHER = "higher is better"
    LOWER = "lower is better"
    NEUTRAL = "not ranked"


class Product(Enum):
    """The kind of layer that multi-adds are spent in, in the order of tables and figures."""

    DENSE = "dense convolution"
    "All input channels, a window of more than one pixel."
    POINTWISE = "1×1 convolution"
    GROUPED = "grouped convolution"
    "Depthwise ones too, of any window."
    TRANSPOSED = "transposed convolution"
    OTHER_CONVOLUTION = "other convolution"
    "Of an operation registered by the user."
    LINEAR = "linear layer"
    "Matrix products with a parameter."
    MATMUL = "product of activations"
    "Attention, Gram matrices: neither factor is a parameter."


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One quantity as records, tables and figures name it."""

    name: str
    "Key in records and JSON; the unit is part of the name where there is one."
    label: str
    "Column header."
    unit: str
    "Unit of the stored value, empty for a pure number."
    direction: Direction
    digits: int
    "Decimals shown in `display_unit`."
    display_unit: str
    "Unit used in tables and figures."
    display_scale: float = 1.0
    "Stored value divided by this is the shown value."

    def show(self, value: float) -> str:
        """`value` (in the stored unit) as a table prints it, without the unit."""
        return f"{value / self.display_scale:.{self.digits}f}"


PSNR_Y: Final = Metric(
    name="psnr_y_db", label="PSNR-Y", unit="dB", direction=Direction.HIGHER, digits=2, display_unit="dB"
)
PSNR_RGB: Final = Metric(
    name="psnr_rgb_db", label="PSNR-RGB", unit="dB", direction=Direction.HIGHER, digits=2, display_unit="dB"
)
SSIM_Y: Final = Metric(name="ssim_y", label="SSIM-Y", unit="", direction=Direction.HIGHER, digits=4, display_unit="")
PARAMS: Final = Metric(
    name="params",
    label="Params",
    unit="",
    direction=Direction.LOWER,
    digits=0,
    display_unit="K",
    display_scale=1e3,
)
MULTI_ADDS: Final = Metric(
    name="multi_adds",
    label="Multi-adds",
    unit="",
    direction=Direction.LOWER,
    digits=1,
    display_unit="G",
    display_scale=1e9,
)
ACTIVATIONS: Final = Metric(
    name="activations",
    label="Activations",
    unit="",
    direction=Direction.LOWER,
    digits=1,
    display_unit="M",
    display_scale=1e6,
)
CONV_CALLS: Final = Metric(
    name="conv_calls", label="Conv calls", unit="", direction=Direction.NEUTRAL, digits=0, display_unit=""
)
LATENCY: Final = Metric(
    name="median_ms", label="Latency", unit="ms", direction=Direction.LOWER, digits=1, display_unit="ms"
)
RUNTIME: Final = Metric(
    name="runtime_ms", label="Challenge runtime", unit="ms", direction=Direction.LOWER, digits=3, display_unit="ms"
)
"""Mean over the challenge's images on its organisers' GPU, the first image included: not the same thing as LATENCY."""
PEAK_MEMORY: Final = Metric(
    name="peak_memory_bytes",
    label="Peak memory",
    unit="bytes",
    direction=Direction.LOWER,
    digits=0,
    display_unit="MiB",
    display_scale=2.0**20,
)

METRICS: Final = MappingProxyType(
    {
        m.name: m
        for m in (
            PSNR_Y,
            SSIM_Y,
            PSNR_RGB,
            PARAMS,
            MULTI_ADDS,
            ACTIVATIONS,
            CONV_CALLS,
            LATENCY,
            RUNTIME,
            PEAK_MEMORY,
        )
    }
)
