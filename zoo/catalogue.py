"""Find models: in-tree rooms, entry points of installed packages, or a class in a user's file."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.contract import BadInput, ModelSpec, UnknownModel

if TYPE_CHECKING:
    from torch import nn

IN_TREE = ("agdn", "baselines")
"""Rooms that are searched for modules with a `SPECS` tuple; they are discovered, never imported by name."""

ENTRY_POINT_GROUP = "esr.models"
"""Entry points of other packages; each loads to a ModelSpec or an iterable of them."""


def _modules(room: str) -> Iterator[ModuleType]:
    package = importlib.import_module(room)
    yield package
    for info in pkgutil.walk_packages(package.__path__, f"{room}."):
        yield importlib.import_module(info.name)


def _as_specs(found: Any, where: str) -> tuple[ModelSpec, ...]:
    specs = (found,) if isinstance(found, ModelSpec) else tuple(found) if isinstance(found, Iterable) else None
    if specs is None or not all(isinstance(spec, ModelSpec) for spec in specs):
        raise BadInput(f"{where} gives {type(found).__name__}. Expected a ModelSpec or an iterable of ModelSpec.")
    return specs


@cache
def catalogue() -> dict[str, ModelSpec]:
    """All models by name: in-tree ones in file order, then those of entry points. Raises BadInput on a name clash."""
    found: dict[str, ModelSpec] = {}
    sources: list[tuple[str, tuple[ModelSpec, ...]]] = [
        (module.__name__, _as_specs(module.SPECS, f"{module.__name__}.SPECS"))
        for room in IN_TREE
        for module in _modules(room)
        if hasattr(module, "SPECS")
    ]
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        sources.append((f"entry point {point.name}", _as_specs(point.load(), f"entry point {point.name}")))
    for where, specs in sources:
        for spec in specs:
            if spec.name in found:
                raise BadInput(f"{where} defines {spec.name!r}, which the catalogue already has. Rename one of them.")
            found[spec.name] = spec
    return found


def list_models() -> list[str]:
    """Names of all models of the catalogue, reported-only ones included."""
    return list(catalogue())


def find(name: str) -> ModelSpec:
    """The model a user means: a catalogue name or `file.py:Class`. Raises UnknownModel with the nearest names."""
    if ":" in name and name.rpartition(":")[0].endswith(".py"):
        return _from_file(name)
    known = catalogue()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(close)}? " if close else ""
    raise UnknownModel(f"There is no model {name!r}. {hint}`esr models` lists all; a file of yours is my_net.py:MyNet.")


def _load_file(path: Path) -> ModuleType:
    # The content is part of the name: an edited file is a new module, never the old one under the new revision.
    module_name = f"esr_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    loader = importlib.util.spec_from_file_location(module_name, path)
    if loader is None or loader.loader is None:
        raise BadInput(f"{path} cannot be imported. Expected a Python file.")
    module = importlib.util.module_from_spec(loader)
    sys.modules[module_name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        loader.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise BadInput(
            f"{path} fails on import: {type(error).__name__}: {error}. Run `python {path}` to see."
        ) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _from_file(reference: str) -> ModelSpec:
    """`file.py:NAME` where NAME is a ModelSpec, or an nn.Module class whose constructor may take `scale`."""
    file, _, attribute = reference.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UnknownModel(f"{file} does not exist (from {reference!r}). Pass an existing file: my_net.py:MyNet.")
    module = _load_file(path)
    found = getattr(module, attribute, None)
    if isinstance(found, ModelSpec):
        return found
    if not inspect.isclass(found):
        classes = [n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
        raise UnknownModel(f"{file} has no class {attribute!r}. It defines: {', '.join(classes) or 'no class'}.")
    cls: Any = found
    takes_scale = "scale" in inspect.signature(cls).parameters

    def build(scale: int) -> nn.Module:
        network: nn.Module = cls(scale=scale) if takes_scale else cls()
        return network

    scales = tuple(getattr(cls, "scales", (2, 3, 4)))
    return ModelSpec(
        name=attribute,
        display_name=attribute,
        build=build,
        scales=scales,
        revision=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        min_side_px=int(getattr(cls, "min_side_px", 1)),
        size_multiple_px=int(getattr(cls, "size_multiple_px", 1)),
        licence="the user's own",
        note=f"from {reference}",
    )
