"""Reading many record files at once: what a record is about is read and checked, its values when someone asks for them.

A file as `runner.records` writes it is cut at its indentation, which no text inside it can imitate: a JSON string holds
no line break. Anything that does not look so goes to the thorough reader, which says what is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from runner.records import BadRecord, RecordFile, decode, from_text
from zoo.facts import SCHEMA_VERSION, Measured, Ok, Provenance, RunKey

_VALUES: Final = b'\n  "values": {\n'
_AFTER: Final = b'\n  }\n },\n "provenance": {'
_WITHOUT: Final = b'\n  "values": {}\n },\n "provenance": {'
_LIST: Final = b'": [\n'
_LIST_END: Final = b"\n   ]"
_NAME: Final = b'\n   "'
NON_FINITE: Final = b'"float"'


class LateValues(Mapping[str, Any]):
    """Values of a record file: parsed at first use, long lists (per-image values, samples) read anew from the file.

    Raises BadRecord at use where the file holds no valid values or has changed.
    """

    __slots__ = ("_lists", "_parsed", "_path", "_text")

    def __init__(self, text: bytes, lists: frozenset[str], path: str) -> None:
        self._text, self._lists, self._path = text, lists, path
        self._parsed: dict[str, Any] | None = None

    def _short(self) -> dict[str, Any]:
        if self._parsed is None:
            try:
                found = json.loads(self._text)
                # Most records hold no number that JSON has no word for; looking for one takes longer than parsing.
                self._parsed = decode(found) if NON_FINITE in self._text else found
            except (ValueError, RecursionError) as error:
                raise BadRecord(f"{self._path}: its values are not JSON ({error}). Move the file away.") from None
            self._text = b""
        return self._parsed

    def _long(self, name: str) -> Any:
        try:
            return from_text(Path(self._path).read_text(encoding="utf-8")).values[name]
        except (OSError, UnicodeDecodeError, KeyError) as error:
            raise BadRecord(f"{self._path} changed while it was in use: {error!r}. Run the command again.") from None

    def __getitem__(self, name: str) -> Any:
        return self._long(name) if name in self._lists else self._short()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._short())

    def __len__(self) -> int:
        return len(self._short())

    def __repr__(self) -> str:
        return f"LateValues({self._path})"


class Reader:
    """Reads record files one after the other; equal texts (machines, versions, names) are kept once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._mappings: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def read(self, path: str) -> Measured:
        """The record of a file. Raises BadRecord, OSError, UnicodeDecodeError as the thorough reader does."""
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - a Path costs as much as the read itself
            raw = stream.read(os.fstat(stream.fileno()).st_size + 1)
        return self._quick(raw, path) or from_text(raw.decode("utf-8"))

    def _quick(self, raw: bytes, path: str) -> Measured | None:
        start, end = raw.find(_VALUES), raw.rfind(_AFTER)
        if not 0 < start < end:
            return None
        try:
            file = RecordFile.model_validate_json(raw[:start] + _WITHOUT + raw[end + len(_AFTER) :])
        except ValidationError:
            return None
        if file.schema_version > SCHEMA_VERSION or file.outcome.status != "ok":
            return None
        key, origin = vars(file.key), dict(vars(file.provenance))
        origin |= {name: self._mapping(origin[name]) for name in ("machine", "versions")}
        text, lists = _without_lists(raw[start + len(_VALUES) - 1 : end])
        return Measured(
            key=RunKey(**{name: self._shared(value) for name, value in key.items()}),
            outcome=Ok(values=LateValues(b"{" + text + b"}", lists, path)),
            provenance=Provenance(**origin),
            schema_version=file.schema_version,
        )

    def _shared(self, value: Any) -> Any:
        return self._texts.setdefault(value, value) if isinstance(value, str) else value

    def _mapping(self, value: dict[str, str]) -> Mapping[str, str]:
        return self._mappings.setdefault(tuple(value.items()), value)


def _without_lists(text: bytes) -> tuple[bytes, frozenset[str]]:
    """The lines of a values object with `null` for its own lists, and the names of those."""
    parts, names, done = [], [], 0
    at = text.find(_LIST)
    while at >= 0:
        line = text.rfind(b"\n", 0, at)
        if text.startswith(_NAME, line) and (end := text.find(_LIST_END, at)) >= 0:
            # Names in records are plain words; an escaped one would be cut under another name, so it stays.
            name = text[line + len(_NAME) : at]
            if b"\\" not in name:
                names.append(name.decode("utf-8", errors="replace"))
                parts += [text[done : at + 3], b"null"]
                done = end + len(_LIST_END)
            at = text.find(_LIST, end)
        else:
            at = text.find(_LIST, at + 1)
    return b"".join((*parts, text[done:])), frozenset(names)
