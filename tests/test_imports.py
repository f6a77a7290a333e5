"""The arrows of the house: zoo <- agdn, baselines, reports, runner; reports <- runner; reports never needs torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import ROOT

ROOMS = ("zoo", "agdn", "baselines", "runner", "reports")
ALLOWED = {
    "zoo": set(),
    "agdn": {"zoo"},
    "baselines": {"zoo"},
    "reports": {"zoo"},
    "runner": {"zoo", "reports"},
}
TORCH_FREE_ZOO = ("quantities", "protocols", "facts", "contract", "catalogue", "files", "__init__")


def _imports(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, TYPE_CHECKING blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))], ids=str)
def test_arrows(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    forbidden = (_imports(path) & set(ROOMS)) - ALLOWED[room] - {room}
    assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


@pytest.mark.parametrize("path", sorted((ROOT / "reports").rglob("*.py")), ids=str)
def test_reports_never_import_torch(path: Path) -> None:
    assert not _imports(path) & {"torch", "torchvision", "timm"}


def test_reports_and_their_vocabulary_load_without_torch() -> None:
    modules = [f"zoo.{name}" for name in TORCH_FREE_ZOO if name != "__init__"]
    modules += [
        ".".join(p.relative_to(ROOT).with_suffix("").parts)
        for p in sorted((ROOT / "reports").rglob("*.py"))
        if p.name != "__init__.py"
    ]
    code = f"import sys, {', '.join(modules)}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_networks_do_not_import_each_other() -> None:
    for path in (ROOT / "baselines").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        assert not any(m.startswith("agdn") for m in modules), path
