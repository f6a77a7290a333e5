"""Run the command line in this process, as the console script does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from runner.cli import main


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON array on stdout."""
        rows: list[dict[str, Any]] = json.loads(self.stdout)
        return rows

    @property
    def words(self) -> str:
        """stderr on one line."""
        return " ".join(self.stderr.split())


def esr(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """`esr ARGUMENTS...`."""
    capsys.readouterr()
    with mock.patch("sys.argv", ["esr", *arguments]), pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    code = stopped.value.code
    return Result(code if isinstance(code, int) else 0, printed.out, printed.err)
