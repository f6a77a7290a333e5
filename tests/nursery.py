"""`python -m tests.nursery`: imports the suite once, then forks a child for every command line that comes in.

A line of stdin is a JSON object: `argv` of `esr`, `out` for its stdout and stderr, `environment` to add, `limit` for
RLIMIT_FSIZE or null, `kill_at` or null. It is answered by the child's pid, and by its wait status when it has ended.
Killing a child is killing a real `esr`; starting one costs no import.

`kill_at` is a time that no load of the machine moves: the child gets SIGKILL when it is about to do its n-th operation
on files (as Python's audit events count them); the number it came to stands in `<out>.operations`.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.shared import ROOT


class Nursery:
    """The other end: starts the nursery, and a child at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self._answer() == "ready\n"

    def start(
        self, *arguments: object, out: Path, limit: int | None = None, kill_at: int | None = None, **environment: str
    ) -> int:
        """Pid of `esr ARGUMENTS...`."""
        argv = [str(argument) for argument in arguments]
        order = {"argv": argv, "out": str(out), "environment": environment, "limit": limit, "kill_at": kill_at}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def result(self) -> int:
        """Exit code of the child, minus the signal that ended it."""
        return os.waitstatus_to_exitcode(int(self._answer()))

    def close(self) -> None:
        """End the nursery."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _child(order: dict[str, Any]) -> None:
    from runner.cli import main

    handle = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    if order["limit"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], resource.RLIM_INFINITY))
    os.environ.update(order["environment"])
    operations = _count_operations(order["kill_at"])
    sys.argv = ["esr", *order["argv"]]
    code = 0
    try:
        main()
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    sys.stdout.flush()
    Path(f"{order['out']}.operations").write_text(str(next(operations)), encoding="ascii")
    os._exit(code)


def _count_operations(kill_at: int | None) -> Iterator[int]:
    counter = itertools.count()

    def count(event: str, _arguments: object) -> None:
        if event == "open" or event.startswith(("os.", "shutil.", "fcntl.", "tempfile.")):
            at = next(counter)
            if kill_at is not None and at >= kill_at:
                signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(count)
    return counter


def serve() -> None:
    """Fork until stdin ends. No network runs here, so that the children inherit no threads."""
    import runner.claims
    import runner.cli
    import runner.datasets
    import runner.tasks.quality
    from zoo.catalogue import catalogue

    assert runner.cli
    catalogue()
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _child(json.loads(line))
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
