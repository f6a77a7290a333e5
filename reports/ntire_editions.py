"""The editions of the NTIRE efficient super-resolution challenge that can be reproduced, as data.

Numbers are the organisers': their repositories, and for 2022 and 2024 the reports as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from zoo.contract import BadInput

LR_SIDE_PX: Final = 256
"""Complexity is taken at an LR image of 256x256 in every edition."""

SCALE: Final = 4
"""The upscaling factor of every edition."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The network that an edition measures against, as its organisers published it."""

    name: str
    model: str | None
    "Zoo name of the same network, None where the suite has none."
    runtime_ms: float | None = None
    "The value that the published scores were made with."
    flops_g: float | None = None
    params_m: float | None = None
    val_psnr_db: float | None = None
    test_psnr_db: float | None = None
    other_runtimes_ms: tuple[tuple[str, float], ...] = ()
    "Where the organisers printed another value for the same network, and the value."


@dataclass(frozen=True, kw_only=True)
class ScoreWeights:
    """Share of each metric in the final score; the shares add up to 1."""

    runtime: float
    flops: float
    params: float


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One year's challenge."""

    year: int
    baseline: Baseline
    hardware: str
    "Where the organisers timed."
    timing_device: str | None
    "How a driver names that device; None where the organisers do not state it."
    val_threshold_db: float
    test_threshold_db: float | None
    "None where the edition asks for the validation value only."
    weights: ScoreWeights | None
    "None: no score, ranks and sums of ranks (2022)."
    flops_counter: str
    "Name of the organisers' counter among `runner.counters`."
    val_set: str
    test_set: str
    images: int
    "In each of the two sets."
    source: str


_SOURCE: Final = "the organisers' repository and report"


def _since_2024(*, year: int, baseline: Baseline, device: str, weights: ScoreWeights, source: str = _SOURCE) -> Edition:
    """An edition by the rules that have not changed since 2024: images, thresholds, counter, a stated device."""
    return Edition(
        year=year,
        baseline=baseline,
        hardware=device,
        timing_device=device,
        val_threshold_db=26.90,
        test_threshold_db=26.99,
        weights=weights,
        flops_counter="fvcore",
        val_set="DIV2K_LSDIR_valid",
        test_set="DIV2K_LSDIR_test",
        images=200,
        source=source,
    )


EDITIONS: Final[Mapping[int, Edition]] = MappingProxyType(
    {
        edition.year: edition
        for edition in (
            Edition(
                year=2022,
                baseline=Baseline(name="IMDN", model="imdn", val_psnr_db=29.13),
                hardware="Titan Xp by the README; the final runs' device is not stated",
                timing_device=None,
                val_threshold_db=29.00,
                test_threshold_db=None,
                weights=None,
                flops_counter="ntire2022",
                val_set="DIV2K_valid",
                test_set="DIV2K_test",
                images=100,
                source="abstract of the report (arXiv 2205.05675) and a reply of the organisers",
            ),
            _since_2024(
                year=2024,
                baseline=Baseline(
                    name="RLFN",
                    model="rlfn_ntire",
                    runtime_ms=11.77,
                    flops_g=19.67,
                    params_m=0.317,
                    val_psnr_db=26.96,
                    test_psnr_db=27.07,
                    other_runtimes_ms=(("README", 13.54),),
                ),
                device="RTX 3090",
                weights=ScoreWeights(runtime=0.70, flops=0.15, params=0.15),
                source=f"{_SOURCE}, Table 1",
            ),
            _since_2024(
                year=2025,
                baseline=Baseline(
                    name="EFDN",
                    model=None,
                    runtime_ms=16.69,
                    flops_g=16.70,
                    params_m=0.276,
                    val_psnr_db=26.93,
                    test_psnr_db=27.01,
                ),
                device="RTX A6000",
                weights=ScoreWeights(runtime=0.70, flops=0.15, params=0.15),
            ),
            _since_2024(
                year=2026,
                baseline=Baseline(
                    name="SPAN",
                    model=None,
                    runtime_ms=7.74,
                    flops_g=9.83,
                    params_m=0.151,
                    val_psnr_db=26.94,
                    test_psnr_db=27.01,
                ),
                device="RTX A6000",
                weights=ScoreWeights(runtime=0.80, flops=0.10, params=0.10),
            ),
        )
    }
)

REFUSED: Final[Mapping[int, str]] = MappingProxyType(
    {
        2023: "The formula, the thresholds and the device of NTIRE 2023 are in no public source of its organisers, "
        "so they are unverified, and a guess would look like a result."
    }
)


def edition_of(year: int) -> Edition:
    """The edition of a year. Raises BadInput for one that is unknown or cannot be reproduced."""
    known = ", ".join(map(str, EDITIONS))
    if year in REFUSED:
        raise BadInput(f"{REFUSED[year]} Pass --edition with one of {known}.")
    if year not in EDITIONS:
        raise BadInput(f"There is no NTIRE edition {year} here. Pass --edition with one of {known}.")
    return EDITIONS[year]
