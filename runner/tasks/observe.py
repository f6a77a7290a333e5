"""What else happened while a network was timed: load of the machine, clock, peak memory of the process."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

NOISE_SHARE = 0.10
"""Share of the usable cores that others may take before a time is flagged."""

NOISE_SPREAD = 1.25
"""Ratio of the 90th to the 10th percentile above which a time is flagged."""

THROTTLE_SHARE = 0.85
"""Clock after the run over clock before it, below which a time is flagged."""

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@dataclass(frozen=True, kw_only=True)
class LoadMark:
    """The machine at one moment."""

    wall_s: float
    busy_s: float
    "Processor seconds of the whole machine, hypervisor's theft included."
    own_s: float
    "Processor seconds of this process."
    load_1min: float
    clock_mhz: float | None

    @classmethod
    def now(cls) -> LoadMark:
        """Read the counters."""
        total = psutil.cpu_times()
        own = psutil.Process().cpu_times()
        frequency = psutil.cpu_freq()
        idle = total.idle + getattr(total, "iowait", 0.0)
        # Linux counts a guest's time in `user` already.
        guest = getattr(total, "guest", 0.0) + getattr(total, "guest_nice", 0.0)
        return cls(
            wall_s=time.perf_counter(),
            busy_s=sum(total) - idle - guest,
            own_s=own.user + own.system,
            load_1min=psutil.getloadavg()[0],
            clock_mhz=frequency.current if frequency else None,
        )


def load_between(before: LoadMark, after: LoadMark) -> dict[str, Any]:
    """Load observations of a record: `others_cores` is the mean number of cores that other processes kept busy."""
    wall = max(after.wall_s - before.wall_s, 1e-9)
    others = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return {
        "others_cores": round(max(0.0, others / wall), 3),
        "own_cores": round((after.own_s - before.own_s) / wall, 3),
        "load_1min_before": before.load_1min,
        "load_1min_after": after.load_1min,
        "clock_mhz_before": before.clock_mhz,
        "clock_mhz_after": after.clock_mhz,
        "wall_s": round(wall, 3),
    }


def noise(load: dict[str, Any], *, p10_ms: float, p90_ms: float, warm_up_stable: bool, cores: int) -> list[str]:
    """Reasons not to trust a time, in words; empty when none was seen."""
    found = []
    if load["others_cores"] > NOISE_SHARE * cores:
        found.append(f"other processes used {load['others_cores']:.2f} of {cores} cores")
    before, after = load["clock_mhz_before"], load["clock_mhz_after"]
    if before and after and after < THROTTLE_SHARE * before:
        found.append(f"the clock fell from {before:.0f} to {after:.0f} MHz")
    if p90_ms > NOISE_SPREAD * p10_ms:
        found.append(f"p90 is {p90_ms / p10_ms:.2f} times p10")
    if not warm_up_stable:
        found.append("warm-up ended before the times were stable")
    return found


class PeakRss:
    """Growth of this process's resident memory from now to its highest point, in bytes.

    On Linux the kernel's high-water mark is reset first (clear_refs), so the growth is exact to a page. Elsewhere it
    is `ru_maxrss` less the present size, which is too high if the process was larger before.
    """

    def __init__(self) -> None:
        self.exact = _reset_high_water()
        self._start = psutil.Process().memory_info().rss

    def bytes(self) -> int:
        """The growth up to now."""
        peak = _high_water() if self.exact else _ru_maxrss()
        return max(0, peak - self._start)


def _reset_high_water() -> bool:
    try:
        _RESET.write_text("5", encoding="ascii")
        _high_water()
    except (OSError, ValueError):
        return False
    return True


def _high_water() -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{_STATUS} has no VmHWM")


def _ru_maxrss() -> int:
    # Kilobytes everywhere but on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
