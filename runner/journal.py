"""Results of a job in the making, one durable line an image, so that a kill loses only the image at work.

A folder per job: `done.jsonl` (a head that says whose it is, then a line with its checksum for each finished image) and
the outputs that are not scored yet. A torn or altered line is left out; the folder goes when the job's record is kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from zoo.contract import JobFailed

Array = npt.NDArray[Any]

_LINES: Final = "done.jsonl"
_OUTPUT_SUFFIX: Final = ".output"


class StoreUnwritable(JobFailed):
    """The folder of a store does not take a record."""


class Journal:
    """Finished images of one job, by name. Open it with `Journal.open`; its methods may be called from any thread."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _LINES
        head, self.entries, end = _read(self._path)
        if head != identity:
            self.entries, end = {}, 0
            for left in folder.iterdir():
                left.unlink()
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        # A line that a kill tore would swallow the next one.
        os.ftruncate(self._handle, end)
        os.lseek(self._handle, end, os.SEEK_SET)
        self._end = end
        if not end:
            self._write(_line({"journal": identity}))
            _sync_folder(folder)

    entries: dict[str, dict[str, Any]]
    "What was kept of each finished image, from this run and those before it."

    @classmethod
    @contextmanager
    def open(cls, folder: Path, identity: str) -> Iterator[Self]:
        """The journal in `folder`, held against every other process.

        What was written under another `identity` (another network, other code) is dropped. Raises StoreUnwritable.
        """
        with _said(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_suffix(".lock"))
            lock.acquire()
        try:
            with _said(folder):
                journal = cls(folder, identity)
            try:
                yield journal
            finally:
                os.close(journal._handle)
        finally:
            lock.release()

    def add(self, name: str, values: Mapping[str, Any]) -> None:
        """Make the result of an image durable; its kept output is not needed any more. Raises StoreUnwritable."""
        with self._lock, _said(self.folder, len(self.entries)):
            self._write(_line({"name": name, "values": dict(values)}))
            self.entries[name] = dict(values)
        self._output(name).unlink(missing_ok=True)

    def keep_output(self, name: str, output: Array) -> None:
        """Keep what the network made of an image until it is scored. Raises StoreUnwritable.

        Not synced: it survives the process, and after a power cut a checksum tells whether it is whole.
        """
        stream = io.BytesIO()
        np.save(stream, output, allow_pickle=False)
        content = stream.getvalue()
        path = self._output(name)
        part = path.with_suffix(".part")
        with _said(self.folder, len(self.entries)):
            part.write_bytes(zlib.crc32(content).to_bytes(4, "big") + content)
            part.replace(path)

    def output(self, name: str) -> Array | None:
        """The kept output of an image, None if there is none or it is not whole."""
        try:
            content = self._output(name).read_bytes()
        except OSError:
            return None
        if zlib.crc32(content[4:]).to_bytes(4, "big") != content[:4]:
            return None
        array: Array = np.load(io.BytesIO(content[4:]), allow_pickle=False)
        return array

    def _output(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}{_OUTPUT_SUFFIX}"

    def _write(self, line: bytes) -> None:
        """Append and sync; on an error the file is cut back to its last whole line."""
        try:
            written = 0
            while written < len(line):
                written += os.write(self._handle, line[written:])
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, self._end)
            os.lseek(self._handle, self._end, os.SEEK_SET)
            raise
        self._end += len(line)


def remove(folder: Path) -> None:
    """Remove a journal whose record is kept; what cannot be removed is dropped by the next run of its job."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)


def last_change_ns(folder: Path) -> int:
    """When the journal in `folder` last grew, 0 without one."""
    try:
        return (folder / _LINES).stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def _said(folder: Path, kept: int | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        finished = "What was finished before is kept" if kept is None else f"The {kept} finished images are kept"
        raise StoreUnwritable(
            f"Results cannot be written to {folder}: {error.strerror or error}. {finished}: "
            f"free space there (or choose another --store), and the same command goes on from there."
        ) from error


def _line(content: Mapping[str, Any]) -> bytes:
    # Python's own words for inf and NaN are fine here: nothing but this module reads the file.
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode("ascii")


def _read(path: Path) -> tuple[str | None, dict[str, dict[str, Any]], int]:
    """Identity, entries by name, and the length up to the last whole line."""
    try:
        content = path.read_bytes()
    except OSError:
        return None, {}, 0
    end = content.rfind(b"\n") + 1
    parsed = [_parsed(line) for line in content[:end].splitlines()]
    if not parsed or parsed[0] is None:
        return None, {}, 0
    entries = {item["name"]: item["values"] for item in parsed[1:] if item is not None and "name" in item}
    return parsed[0].get("journal"), entries, end


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The content of a line, None unless its checksum holds."""
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode("ascii"):
        return None
    content: dict[str, Any] = json.loads(text)
    return content


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
