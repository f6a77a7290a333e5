"""Time and memory of the exact counter beside thop and fvcore as their users run them: on CPU tensors.

`make bench` collects this file; `python -m tests.benchmarks.bench_counters` prints the memory part alone. The bounds
are issue 4's: AGDN x4 at 1280x720 at least 8x faster than thop and 15x faster than fvcore in the same process, the
whole zoo at all scales within 60 s, at most 1 GiB above what the imports take.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from runner.counters.exact import count_exact
from runner.counters.subject import silenced, subject_of
from zoo.catalogue import catalogue, find
from zoo.create import create_model
from zoo.protocols import HR_720P, Size, lr_size


def _exact(name: str = "agdn", scale: int = 4) -> None:
    spec = find(name)
    multiple = spec.size_multiple_px
    lr = Size(*(-(-side // multiple) * multiple for side in lr_size(HR_720P, scale)))
    count_exact(subject_of(spec, lr=lr, scale=scale))


def _zoo() -> None:
    for name, spec in catalogue().items():
        for scale in spec.scales if spec.runnable else ():
            _exact(name, scale)


def _thop() -> None:
    from thop import profile

    profile(create_model("agdn", 4, weights=None), (torch.zeros(1, 3, *lr_size(HR_720P, 4)),), verbose=False)


def _fvcore() -> None:
    from fvcore.nn import FlopCountAnalysis

    FlopCountAnalysis(create_model("agdn", 4, weights=None), torch.zeros(1, 3, *lr_size(HR_720P, 4))).total()


def _seconds(run: Callable[[], None], rounds: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return median(once() for _ in range(rounds))


@pytest.mark.parametrize(("tool", "bound"), [(_thop, 8), (_fvcore, 15)], ids=["thop", "fvcore"])
def test_exact_against_a_tool_on_agdn_x4(benchmark: Any, tool: Callable[[], None], bound: int) -> None:
    _exact()  # torch imports its shape functions at the first use
    with silenced():
        theirs = _seconds(tool, 3)
    benchmark.pedantic(_exact, rounds=5)
    ratio = theirs / benchmark.stats.stats.median
    benchmark.extra_info |= {"tool_s": theirs, "ratio": ratio}
    print(f"\n{tool.__name__[1:]} {theirs:.2f} s, exact {benchmark.stats.stats.median:.3f} s: {ratio:.1f}x")
    assert ratio >= bound


def test_the_whole_zoo_at_all_scales(benchmark: Any) -> None:
    benchmark.pedantic(_zoo, rounds=1)
    assert benchmark.stats.stats.max < 60


def _peak_above_import_mib(what: str) -> float:
    """Growth of a fresh process's peak resident memory while it counts."""
    code = f"from tests.benchmarks import bench_counters as b; b.print_growth({what!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _peak_kib() -> int:
    """Peak resident memory of this process (Linux); `ru_maxrss` would still hold the parent's peak after exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def print_growth(what: str) -> None:
    """Run one of this file's functions and print the growth in MiB."""
    import fvcore.nn
    import thop  # noqa: F401

    assert fvcore.nn
    before = _peak_kib()
    run: dict[str, Callable[[], None]] = {
        "exact AGDN x2": lambda: _exact("agdn", 2),
        "exact whole zoo": _zoo,
        "thop AGDN x4": _thop,
        "fvcore AGDN x4": _fvcore,
    }
    with silenced():
        run[what]()
    print((_peak_kib() - before) / 1024)


@pytest.mark.parametrize("what", ["exact AGDN x2", "exact whole zoo"])
def test_memory_above_imports(benchmark: Any, what: str) -> None:
    grown = benchmark.pedantic(_peak_above_import_mib, args=(what,), rounds=1)
    benchmark.extra_info["peak_mib"] = grown
    print(f"\n{what}: {grown:.0f} MiB above imports")
    assert grown < 1024


if __name__ == "__main__":
    for title in ("exact AGDN x2", "exact whole zoo", "thop AGDN x4", "fvcore AGDN x4"):
        print(f"{title}: {_peak_above_import_mib(title):.0f} MiB above imports")
