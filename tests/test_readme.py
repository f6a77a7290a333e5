"""Every command and every Python example of the README runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import shared
from tests.shared import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?P<needs><!-- needs: [^>]*-->\n)?```(?P<language>\w+)\n(?P<body>.*?)```", re.DOTALL)
BLOCKS = [(m["language"], m["body"], bool(m["needs"])) for m in BLOCK.finditer(TEXT)]
SHELL = [(body, needs) for language, body, needs in BLOCKS if language == "sh"]
PYTHON = [body for language, body, _ in BLOCKS if language == "python"]


def _esr(command: str, folder: Path) -> None:
    """Run one line of a shell block in `folder`."""
    program, *arguments = command.split()
    assert program == "esr", command
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", "from runner.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, f"{command}: exit {result.returncode}\n{result.stderr}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the README's own network in it."""
    (tmp_path / "my_net.py").write_text(next(b for b in PYTHON if "class MyNet" in b), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("body", "needs"), SHELL, ids=[body.split("\n")[0] for body, _ in SHELL])
def test_commands_run(body: str, needs: bool, folder: Path) -> None:
    if needs:
        shared.require("weights")
        shared.require("datasets")
    for command in body.strip().splitlines():
        _esr(command, folder)


@pytest.mark.parametrize("body", PYTHON, ids=[body.split("\n")[0] for body in PYTHON])
def test_python_examples_run(body: str, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", body], check=True, cwd=folder, env=environment)


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).is_file(), target


def test_the_makefile_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}: $(STAMP)" in makefile for target in ("report", "test"))
