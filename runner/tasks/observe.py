"""What else happened while a network was timed: load of the machine, clock, heat, throttling, memory of the process."""

from __future__ import annotations

import ctypes
import gc
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

NOISE_SHARE = 0.10
"""Share of the usable cores that others may take before a time is flagged."""

NOISE_SPREAD = 1.25
"""Ratio of the 90th to the 10th percentile above which a time is flagged."""

THROTTLE_SHARE = 0.85
"""Clock after the run over clock before it, below which a time is flagged."""

GPU_NOISE_SHARE = 0.10
"""Share of the time that a GPU may have been busy before a run begins."""

_CGROUP_STAT = Path("/sys/fs/cgroup/cpu.stat")
_THROTTLE_COUNTS = ("/sys/devices/system/cpu", "cpu[0-9]*/thermal_throttle/core_throttle_count")
_GPU_QUERY = {
    "clock_mhz": "clocks.sm",
    "temperature_c": "temperature.gpu",
    "throttle_reasons": "clocks_throttle_reasons.active",
    "busy_percent": "utilization.gpu",
}
_GPU_SLOWED = 0x8 | 0x20 | 0x40 | 0x80 | 0x4
"""NVML's bits for a clock held down by power (0x4, 0x80), heat (0x20, 0x40) or hardware (0x8)."""

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
    temperature_c: float | None = None
    "Of the hottest processor sensor."
    throttle_count: int | None = None
    "How often the cores were slowed down by heat since the machine started."
    quota_s: float | None = None
    "Seconds for which the container's processor quota held this group's threads back."
    gpu: dict[str, float] = field(default_factory=dict)
    "Clock, temperature, throttle reasons and use of the GPU, for a run on it."

    @classmethod
    def now(cls, device: str = "cpu") -> LoadMark:
        """Read the counters; the GPU's too for the device cuda."""
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
            temperature_c=_temperature_c(),
            throttle_count=_throttle_count(),
            quota_s=_quota_s(),
            gpu=_gpu_state() if device == "cuda" else {},
        )


def _temperature_c() -> float | None:
    read: Mapping[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    heats = [sensor.current for name in ("coretemp", "k10temp", "cpu_thermal") for sensor in read.get(name, ())]
    return max(heats, default=None)


def _throttle_count() -> int | None:
    folder, pattern = _THROTTLE_COUNTS
    try:
        return sum(int(path.read_text(encoding="ascii")) for path in Path(folder).glob(pattern)) or None
    except (OSError, ValueError):
        return None


def _quota_s() -> float | None:
    try:
        lines = dict(line.split() for line in _CGROUP_STAT.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return int(lines["throttled_usec"]) / 1e6 if "throttled_usec" in lines else None


def _gpu_state() -> dict[str, float]:
    """What nvidia-smi says of the first GPU; what it cannot say is left out."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_GPU_QUERY.values())}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    state = {}
    for name, word in zip(_GPU_QUERY, line.split(","), strict=False):
        try:
            state[name] = float(int(word.strip(), 0))
        except ValueError:
            continue
    return state


def load_between(before: LoadMark, after: LoadMark) -> dict[str, Any]:
    """Load observations of a record: `others_cores` is the mean number of cores that other processes kept busy."""
    wall = max(after.wall_s - before.wall_s, 1e-9)
    others = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    load = {
        "others_cores": round(max(0.0, others / wall), 3),
        "own_cores": round((after.own_s - before.own_s) / wall, 3),
        "load_1min_before": before.load_1min,
        "load_1min_after": after.load_1min,
        "clock_mhz_before": before.clock_mhz,
        "clock_mhz_after": after.clock_mhz,
        "wall_s": round(wall, 3),
    }
    return load | _heat(before, after)


def _heat(before: LoadMark, after: LoadMark) -> dict[str, Any]:
    """What can be read here of temperature and throttling."""
    heat: dict[str, Any] = {}
    if before.temperature_c is not None and after.temperature_c is not None:
        heat |= {"temperature_c_before": before.temperature_c, "temperature_c_after": after.temperature_c}
    if before.throttle_count is not None and after.throttle_count is not None:
        heat["throttled_times"] = after.throttle_count - before.throttle_count
    if before.quota_s is not None and after.quota_s is not None:
        heat["quota_held_s"] = round(after.quota_s - before.quota_s, 3)
    if before.gpu or after.gpu:
        heat |= {"gpu_before": dict(before.gpu), "gpu_after": dict(after.gpu)}
    return heat


def noise(load: dict[str, Any], *, p10_ms: float, p90_ms: float, warm_up_stable: bool, cores: int) -> list[str]:
    """Reasons not to trust a time, in words; empty when none was seen."""
    found = []
    if load["others_cores"] > NOISE_SHARE * cores:
        found.append(f"other processes used {load['others_cores']:.2f} of {cores} cores")
    before, after = load["clock_mhz_before"], load["clock_mhz_after"]
    if before and after and after < THROTTLE_SHARE * before:
        found.append(f"the clock fell from {before:.0f} to {after:.0f} MHz")
    found += _throttling(load)
    if p90_ms > NOISE_SPREAD * p10_ms:
        found.append(f"p90 is {p90_ms / p10_ms:.2f} times p10")
    if not warm_up_stable:
        found.append("warm-up ended before the times were stable")
    return found


def _throttling(load: dict[str, Any]) -> list[str]:
    found = []
    if load.get("throttled_times"):
        found.append(f"the cores were slowed down by heat {load['throttled_times']} times")
    if load.get("quota_held_s", 0) > NOISE_SHARE * load["wall_s"]:
        found.append(f"the container's processor quota held threads back for {load['quota_held_s']:.2f} s")
    before, after = load.get("gpu_before", {}), load.get("gpu_after", {})
    if int(after.get("throttle_reasons", 0)) & _GPU_SLOWED:
        found.append("the GPU's clock was held down by power or heat")
    if before.get("busy_percent", 0) > 100 * GPU_NOISE_SHARE:
        found.append(f"the GPU was busy ({before['busy_percent']:.0f} %) before the run")
    return found


def return_free_memory() -> None:
    """Give what the heap holds free back to the system, where the C library can (glibc).

    What was freed before a measurement would otherwise be used again during it and not show as growth.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform != "win32" else None
    if trim is not None:
        trim(0)


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
