"""What `esr latency` prints of a timed network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.plan import Job

_WHO = {"model": "model", "scale": "scale"}
_HOW = {
    "device": "device",
    "threads": "threads",
    "form": "form",
    "dtype": "dtype",
    "memory_format": "memory format",
    "batch": "batch",
}
_WORTH = {"psnr": "PSNR-Y dB", "plain_psnr": "plain's", "difference": "max |diff|"}
COLUMNS = (
    _WHO
    | {
        "lr": "LR",
        "median_ms": "median ms",
        "p10_ms": "p10",
        "p90_ms": "p90",
        "interval": "±",
        "samples": "samples",
        "peak_mib": "peak MiB",
    }
    | _WORTH
    | _HOW
    | {"noise": "noise"}
)
COMPARED = (
    _WHO
    | {"lr": "LR", "median_ms": "median ms", "ratio": "time/first", "low": "from", "high": "to", "blocks": "blocks"}
    | _WORTH
    | _HOW
    | {"noise": "noise"}
)
PER_IMAGE = (
    _WHO
    | {
        "data": "data",
        "images": "images",
        "mean_ms": "mean ms",
        "mean_without_first_ms": "without first",
        "first_ms": "first",
        "median_ms": "median",
        "peak_mib": "peak MiB",
    }
    | _WORTH
    | _HOW
    | {"noise": "noise"}
)
_USUAL = {"batch": 1}
"""Columns that are shown only where a row differs."""
_MS = ("median_ms", "p10_ms", "p90_ms", "mean_ms", "mean_without_first_ms", "first_ms")


def row_of(job: Job, values: Mapping[str, Any]) -> dict[str, Any]:
    """One timed network as JSON has it."""
    return {"model": job.key.model, "scale": job.key.scale, "protocol": job.key.protocol, **values}


def columns_of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dict[str, str]:
    """The columns without those in which every row has the usual value or nothing."""
    cell_rows = [cells(row) for row in rows]
    return {
        field: header
        for field, header in columns.items()
        if any(row.get(field) not in (None, _USUAL.get(field)) for row in cell_rows)
    }


def wrong(row: Mapping[str, Any]) -> bool:
    """True where the output was looked at and holds NaN or infinity."""
    return not row.get("check", {}).get("finite", True)


def cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the table shows it: the same numbers, shorter."""
    check = row.get("check", {})
    shown: dict[str, Any] = {key: round(row[key], 2) for key in _MS if row.get(key) is not None}
    shown |= {
        "samples": len(row.get("samples_ms", ())) or None,
        "images": len(row.get("per_image", ())) or None,
        "noise": "yes" if row["noise"] else "no",
        "difference": None if (gap := check.get("max_abs_difference")) is None else f"{gap:.1e}",
        "psnr": "NaN or inf" if wrong(row) else _decimals(check.get("psnr_y_db"), 3),
        "plain_psnr": _decimals(check.get("plain_psnr_y_db"), 3) if gap is not None or wrong(row) else None,
    }
    if "relative_interval" in row:
        shown["interval"] = f"{100 * row['relative_interval']:.1f} %"
    if "peak_memory_bytes" in row:
        shown["peak_mib"] = round(row["peak_memory_bytes"] / 2**20, 1)
    if "ratio" in row:
        shown |= dict(zip(("ratio", "low", "high"), (row["ratio"], *row["ratio_interval"]), strict=True))
    return {**row, **shown}


def _decimals(value: float | None, count: int) -> str | None:
    return None if value is None else f"{value:.{count}f}"
