"""Records of runs on disk: one file each, added and never changed.

`<root>/<model>/x<scale>/<task>-<key12>.json`; a second run of the same key adds `<task>-<key12>-2.json`, and so on.
Writers hold a lock and publish a file by one rename, so that a reader, a second run or a kill sees whole records only.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import urllib.parse
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from runner.journal import StoreUnwritable
from runner.reading import Reader
from runner.records import BadRecord, from_text, to_text
from zoo.contract import ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok, RunKey
from zoo.files import write_text_atomically

if TYPE_CHECKING:
    import pandas

_FILE_NAME = re.compile(r"(?P<task>[a-z]+)-(?P<key12>[0-9a-f]{12})(?:-(?P<run>[1-9]\d*))?\.json")
_LONGEST_NAME = 100
_UNFINISHED = ".unfinished"
QUICK_FROM = 2000
"""Files from which a store is read quickly: values are then checked at use and not before."""


class RecordWarning(UserWarning):
    """A file in a store that was left out, by name and reason."""


@dataclass(frozen=True)
class Problem:
    """A file in a store that is no record of this suite's, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Contents:
    """Everything a store holds: the current record of each key, and the files that could not be read."""

    records: tuple[Measured, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Store:
    """A folder of records; it comes into being with the first one."""

    root: Path

    def append(self, record: Measured) -> Path:
        """Write a record durably and give its path; a record already there is never touched.

        A NotApplicable that says what the newest record of its key says already is not written again.
        Raises TypeError for values that JSON cannot hold, StoreUnwritable where the disk refuses.
        """
        text = to_text(record)
        try:
            return self._append(record, text)
        except OSError as error:
            raise StoreUnwritable(
                f"The record of {record.key.model} x{record.key.scale} {record.key.task} cannot be written below "
                f"{self.root}: {error.strerror or error}. Free space there or choose another folder with --store; "
                f"what was written before is whole."
            ) from error

    def _append(self, record: Measured, text: str) -> Path:
        folder = self.folder(record.key)
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".lock"):
            _sweep(folder)
            runs = self._files(record.key)
            if runs and isinstance(record.outcome, NotApplicable):
                newest, _problem = _read(runs[-1])
                if newest is not None and newest.outcome == record.outcome:
                    return runs[-1]
            number = _run_number(runs[-1]) + 1 if runs else 1
            stem = f"{record.key.task}-{record.key.key12}"
            path = folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
            write_text_atomically(path, text)
        return path

    def count(self, keys: Iterable[RunKey]) -> int:
        """Records of any of these keys, whatever came of them."""
        return sum(len(self._files(key)) for key in keys)

    def journal_folder(self, key: RunKey) -> Path:
        """Where the unfinished job of a key keeps what is done of it."""
        return self.root / _UNFINISHED / f"{key.task}-{key.digest()[:24]}"

    def journals(self) -> list[Path]:
        """The journal folders there are."""
        return [path for path in sorted((self.root / _UNFINISHED).glob("*")) if path.is_dir()]

    @property
    def claims(self) -> Path:
        """Folder of the files that runs lock while they work at a key."""
        return self.root / ".claims"

    def newest_ns_of(self, journal: str) -> int:
        """When the newest record of a journal's key was written, 0 without one."""
        task, _, digest = journal.partition("-")
        files = self.root.glob(f"*/*/{task}-{digest[:12]}*.json")
        return max((path.stat().st_mtime_ns for path in files), default=0)

    def find(self, key: RunKey) -> Measured | None:
        """The current record of a key (see `current`), None if there is none. Warns of files it cannot read."""
        return current([record for record in self._readable(self._files(key)) if record.key == key])

    def history(self, key: RunKey) -> list[Measured]:
        """All records of a key, oldest first."""
        return [record for record in self._readable(self._files(key)) if record.key == key]

    def records(self) -> list[Measured]:
        """The current record of every key, in path order. Warns of files it cannot read (RecordWarning)."""
        contents = self.read()
        for problem in contents.problems:
            warnings.warn(str(problem), RecordWarning, stacklevel=2)
        return list(contents.records)

    def read(self) -> Contents:
        """Records and problems together, for callers that show both."""
        files = self._all_files()
        read = Reader().read if len(files) > QUICK_FROM else _thoroughly
        kept: dict[RunKey, Measured] = {}
        problems = []
        with _no_collector():
            for path in files:
                record, problem = _read(path, read)
                if record is not None:
                    earlier = kept.get(record.key)
                    kept[record.key] = record if earlier is None else _newer(earlier, record)
                if problem is not None:
                    problems.append(problem)
        return Contents(tuple(kept.values()), tuple(problems))

    def folder(self, key: RunKey) -> Path:
        """Folder of a key's records: `<root>/<model>/x<scale>`."""
        return self.root / safe_name(key.model) / f"x{key.scale}"

    def _files(self, key: RunKey) -> list[Path]:
        found = self.folder(key).glob(f"{key.task}-{key.key12}*.json")
        return sorted((path for path in found if _FILE_NAME.fullmatch(path.name)), key=_run_number)

    def _all_files(self) -> list[str]:
        """Every JSON file below the root, runs of a key in order; hidden ones are writes that a kill left behind."""
        found: list[str] = []
        # Strings and not Paths: of a hundred thousand files the objects would take longer than the disk.
        for folder, below, names in os.walk(self.root):
            below.sort()
            own = sorted((name for name in names if name.endswith(".json") and not name.startswith(".")), key=_order)
            found += [f"{folder}{os.sep}{name}" for name in own]
        return found

    def _readable(self, paths: Iterable[Path]) -> Iterator[Measured]:
        for path in paths:
            record, problem = _read(path)
            if problem is not None:
                warnings.warn(str(problem), RecordWarning, stacklevel=3)
            if record is not None:
                yield record


@contextmanager
def _no_collector() -> Iterator[None]:
    """Records hold no cycles: looking for some again and again takes time that grows with the store."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def current(runs: Iterable[Measured]) -> Measured | None:
    """Of runs of one key, oldest first: the newest that finished, else the newest.

    A run that finished is not unmade by a later one that did not: the key says both asked the same.
    """
    last = None
    for run in runs:
        last = run if last is None else _newer(last, run)
    return last


def _newer(earlier: Measured, later: Measured) -> Measured:
    return later if isinstance(later.outcome, Ok) or not isinstance(earlier.outcome, Ok) else earlier


def safe_name(model: str) -> str:
    """A model name as one path component: foreign characters as %XX, a leading dot too, a long name cut with a digest.

    Names of the catalogue stay as they are.
    """
    name = urllib.parse.quote(model, safe="+@", errors="backslashreplace")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 13]}-{hashlib.sha256(model.encode()).hexdigest()[:12]}"
    return name or "%"


def mark_stale(
    records: Iterable[Measured], specs: Mapping[str, ModelSpec], task_versions: Mapping[str, int]
) -> list[Measured]:
    """The records with `stale` set where something newer exists; the others unchanged.

    Stale is a record of another revision of its model, of another version of its task, or one that a later record of
    the same question supersedes (a changed data manifest; a failure or a missing file that has since been mended).
    A model or task that is in neither mapping is not judged.
    """
    kept = list(records)
    newest: dict[tuple[object, ...], Measured] = {}
    for record in sorted(kept, key=lambda r: (isinstance(r.outcome, Ok), r.provenance.created_utc)):
        if not _outdated(record, specs, task_versions):
            newest[_question(record.key)] = record
    return [
        _marked(r, stale=_outdated(r, specs, task_versions) or newest.get(_question(r.key), r).key != r.key)
        for r in kept
    ]


def _marked(record: Measured, *, stale: bool) -> Measured:
    return record if record.stale == stale else replace(record, stale=stale)


def _outdated(record: Measured, specs: Mapping[str, ModelSpec], task_versions: Mapping[str, int]) -> bool:
    key = record.key
    spec = specs.get(key.model)
    other_revision = spec is not None and spec.revision != key.revision
    return other_revision or task_versions.get(key.task, key.task_version) != key.task_version


def _question(key: RunKey) -> tuple[object, ...]:
    """What a run asked, whatever the revision or the data manifest it found."""
    return (key.model, key.scale, key.task, key.protocol, key.dataset, key.weights_sha256, key.environment)


def frame(records: Iterable[Measured]) -> pandas.DataFrame:
    """One row per record: key, status, provenance, then the values.

    Nested values get dotted names (`counters.thop.multi_adds`); lists (per-image values, samples) are left out.
    """
    import pandas

    return pandas.DataFrame([_row(record) for record in records])


def _row(record: Measured) -> dict[str, Any]:
    key, origin, outcome = record.key, record.provenance, record.outcome
    row: dict[str, Any] = {
        "model": key.model,
        "scale": key.scale,
        "task": key.task,
        "dataset": key.dataset,
        "protocol": key.protocol,
        "status": "ok" if isinstance(outcome, Ok) else "failed" if isinstance(outcome, Failed) else "not applicable",
        "stale": record.stale,
        "reason": None,
        "revision": key.revision,
        "task_version": key.task_version,
        "weights_sha256": key.weights_sha256,
        "weights_origin": origin.weights_origin,
        "dataset_sha256": key.dataset_sha256,
        "key12": key.key12,
        "created_utc": origin.created_utc,
        "cpu": origin.machine.get("cpu"),
        "gpu": origin.machine.get("gpu"),
        "git_commit": origin.git_commit,
        "duration_s": origin.duration_s,
    }
    if isinstance(outcome, Failed):
        row["reason"] = f"{outcome.kind}: {outcome.message}"
    elif isinstance(outcome, NotApplicable):
        row["reason"] = f"{outcome.reason} {outcome.remedy}"
    # Where a task stores a value under a name of the key (its protocol), the key's own column stays.
    return row | {name: value for name, value in _flat(record.values) if name not in row}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", value


def _read(path: str | Path, read: Callable[[str], Measured] | None = None) -> tuple[Measured | None, Problem | None]:
    name = os.path.basename(path)  # noqa: PTH119 - see _all_files
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        return None, Problem(Path(path), "no record's name; expected <task>-<12 digits of the key>.json")
    try:
        record = (read or _thoroughly)(str(path))
    except (BadRecord, OSError, UnicodeDecodeError) as error:
        return None, Problem(Path(path), str(error))
    if (match["task"], match["key12"]) != (record.key.task, record.key.key12):
        expected = f"{record.key.task}-{record.key.key12}"
        return None, Problem(
            Path(path), f"its name does not fit its key (expected {expected}): renamed or edited by hand"
        )
    return record, None


def _thoroughly(path: str) -> Measured:
    return from_text(Path(path).read_text(encoding="utf-8"))


def _run_number(path: Path) -> int:
    match = _FILE_NAME.fullmatch(path.name)
    return int(match["run"] or 1) if match else 0


def _order(name: str) -> tuple[str, int]:
    match = _FILE_NAME.fullmatch(name)
    return (f"{match['task']}-{match['key12']}", int(match["run"] or 1)) if match else (name, 0)


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left: under the lock no other writer is at work here."""
    for left in folder.glob(".*.json"):
        left.unlink(missing_ok=True)
