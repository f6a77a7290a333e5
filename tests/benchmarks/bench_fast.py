"""The fast form against the plain one in one process, turn about (A B B A), on two threads; its growth and memory.

`make bench` collects this file; `python -m tests.benchmarks.bench_fast [ratio|growth|memory]` prints the figures. The
weights are the networks' own initialisation, which takes the same time. Issue 8's bounds: at least twice as fast at
LR 180x320, time per pixel constant within 15 % from 128x128 to 720x1280, memory linear and not above the plain form's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch import nn

import zoo

NETWORKS = [("agdn", 2), ("agdn", 3), ("agdn", 4), ("agdn_s", 4)]
SIZES = [(128, 128), (180, 320), (360, 640), (720, 1280)]
THREADS = 2


def _seconds(network: nn.Module, x: torch.Tensor) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        network(x)
    return time.perf_counter() - started


def ratio(name: str, scale: int, *, rounds: int = 4) -> dict[str, float]:
    """Medians of both forms in seconds, and how many times as fast the second is."""
    torch.set_num_threads(THREADS)
    plain = zoo.create_model(name, scale, weights=None)
    fast = zoo.optimize(plain)
    x = torch.rand(1, 3, 180, 320)
    times: dict[nn.Module, list[float]] = {plain: [], fast: []}
    for network in (plain, fast, fast):
        _seconds(network, x)
    for _ in range(rounds):
        for network in (plain, fast, fast, plain):
            times[network].append(_seconds(network, x))
    found = {
        "plain_s": median(times[plain]),
        "fast_s": median(times[fast]),
        "ratio": median(times[plain]) / median(times[fast]),
        "ratio_of_minima": min(times[plain]) / min(times[fast]),
    }
    print(f"\n{name} x{scale}: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
    return found


def growth(name: str = "agdn", scale: int = 4, *, rounds: int = 3) -> list[float]:
    """Best time per LR pixel of the fast form at each size, in microseconds; sizes take turns."""
    torch.set_num_threads(THREADS)
    fast = zoo.optimize(zoo.create_model(name, scale, weights=None))
    inputs = [torch.rand(1, 3, *size) for size in SIZES]
    times: list[list[float]] = [[] for _ in SIZES]
    for x in inputs:
        _seconds(fast, x[:, :, :360, :640])
    for _ in range(rounds):
        for x, found in zip(inputs, times, strict=True):
            pixels = x.shape[2] * x.shape[3]
            found += [_seconds(fast, x) / pixels * 1e6 for _ in range(max(1, 60_000 // pixels))]
    best = [min(found) for found in times]
    for (h, w), value in zip(SIZES, best, strict=True):
        print(f"{name} x{scale} fast at {h}x{w}: {value:.2f} us per pixel")
    return best


def peak_mib(name: str, scale: int, form: str, size: tuple[int, int]) -> float:
    """Growth of a fresh process's resident memory in one forward pass (Linux)."""
    code = f"from tests.benchmarks import bench_fast as b; b.print_peak({name!r}, {scale}, {form!r}, {size})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def print_peak(name: str, scale: int, form: str, size: tuple[int, int]) -> None:
    """Run one form in this process and print the growth in MiB."""
    torch.set_num_threads(THREADS)
    network = zoo.create_model(name, scale, weights=None)
    network = zoo.optimize(network) if form == "fast" else network
    x = torch.rand(1, 3, *size)
    _seconds(network, x[:, :, :32, :32])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew from here
    before = _status_kib("VmRSS")
    _seconds(network, x)
    print((_status_kib("VmHWM") - before) / 1024)


def _status_kib(field: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{field}:")[2].split()[0])


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_fast_is_at_least_twice_as_fast(benchmark: Any, name: str, scale: int) -> None:
    found = benchmark.pedantic(ratio, args=(name, scale), rounds=1)
    benchmark.extra_info |= found
    assert found["ratio"] >= 2


def test_time_per_pixel_is_constant(benchmark: Any) -> None:
    best = benchmark.pedantic(growth, rounds=1)
    assert max(best) <= 1.15 * min(best)


@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_peak_memory_is_not_above_the_plain_form(benchmark: Any, name: str, scale: int) -> None:
    plain = peak_mib(name, scale, "plain", (180, 320))
    fast = benchmark.pedantic(peak_mib, args=(name, scale, "fast", (180, 320)), rounds=1)
    print(f"\n{name} x{scale}: plain {plain:.0f} MiB, fast {fast:.0f} MiB")
    assert fast <= plain


def test_memory_grows_linearly(benchmark: Any) -> None:
    small, large = (peak_at(size) for size in ((360, 640), (720, 1280)))
    benchmark.pedantic(lambda: None, rounds=1)
    assert large <= 4.4 * small


def peak_at(size: tuple[int, int]) -> float:
    """Peak of the fast form at one size."""
    peak = peak_mib("agdn", 4, "fast", size)
    print(f"\nagdn x4 fast at {size[0]}x{size[1]}: {peak:.0f} MiB")
    return peak


if __name__ == "__main__":
    what = sys.argv[1:] or ["ratio", "growth", "memory"]
    if "ratio" in what:
        for network in NETWORKS:
            ratio(*network)
    if "growth" in what:
        growth()
    if "memory" in what:
        for name, scale in NETWORKS:
            print(
                f"{name} x{scale}: "
                + ", ".join(f"{form} {peak_mib(name, scale, form, (180, 320)):.0f} MiB" for form in ("plain", "fast"))
            )
        for size in SIZES:
            peak_at(size)
