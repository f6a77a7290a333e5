"""What a record says about where it was made: processor, system, library versions, commit of the suite."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil
from threadpoolctl import threadpool_limits

from zoo.facts import Provenance

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow", "thop", "ptflops", "fvcore", "scikit-image")
"""Distributions whose version can move a number of this suite."""

TIMED_LIBRARIES = ("python", "torch", "timm", "cuda", "cudnn")
"""The versions that decide a latency; part of a latency's key."""

_ROOT = Path(__file__).resolve().parent.parent


def usable_cores() -> int:
    """Logical processors this process may run on (affinity respected)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def numpy_on_one_thread() -> Iterator[None]:
    """Keep NumPy's BLAS off other threads: after each call those wait in a busy loop, on the cores of the network.

    Of 20 images of B100 at x4, AGDN's fast form took 2.5 s with a scoring in between and 1.4 s without.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def default_threads() -> int:
    """Threads a timing uses unless told: one per physical core, never more than this process may use."""
    return max(1, min(usable_cores(), psutil.cpu_count(logical=False) or 1))


@cache
def cpu_name() -> str:
    """Model name of the processor as the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def gpu_name() -> str | None:
    """Name and driver of the first CUDA device, None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    name: str = torch.cuda.get_device_name(0)
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        driver = "unknown"
    return f"{name} (driver {driver})"


def describe() -> dict[str, str]:
    """The machine in words: cpu, cores, memory, system and gpu. No host name, no path."""
    described = {
        "cpu": cpu_name(),
        "cores": f"{psutil.cpu_count(logical=False) or 1} physical, {usable_cores()} usable",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }
    gpu = gpu_name()
    return described | ({"gpu": gpu} if gpu else {})


@cache
def versions() -> dict[str, str]:
    """Versions of Python, the libraries that move a number, and CUDA where torch runs on it."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    if gpu_name():
        import torch

        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return found


@cache
def git_commit() -> str | None:
    """Commit of the suite, `+dirty` when its tree differs from it; None when it does not run from a clone."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(_ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        # Installed below some other project's clone, that project's commit would be a lie.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != _ROOT:
            return None
        return git("rev-parse", "HEAD") + ("+dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment_digest(device: str) -> str:
    """Digest (16 hex digits) of what decides a latency besides the protocol: processor or GPU, and versions.

    `device` is "cpu" or "cuda"; the GPU and its versions count for the latter only.
    """
    decides = {"cpu": cpu_name(), "cores": str(usable_cores()), "system": f"{platform.system()} {platform.machine()}"}
    decides |= {name: version for name, version in versions().items() if name in TIMED_LIBRARIES}
    if device == "cpu":
        decides = {name: value for name, value in decides.items() if name not in ("cuda", "cudnn")}
    else:
        decides["gpu"] = gpu_name() or "none"
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def provenance(started: float, weights_origin: str | None = None) -> Provenance:
    """Provenance of a run that began at `started` (a `time.perf_counter()` value) and ends now."""
    return Provenance(
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=describe(),
        versions=dict(versions()),
        git_commit=git_commit(),
        duration_s=round(time.perf_counter() - started, 3),
        weights_origin=weights_origin,
    )
