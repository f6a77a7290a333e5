"""The record file: how one `Measured` is written as JSON, and what a file must be to be read back.

Inside the suite a record is a frozen dataclass of `zoo.facts`; here, at the border, pydantic checks a file field by
field. JSON has no word for inf and NaN, so such a float is written as `{"float": "inf"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.contract import EsrError
from zoo.facts import SCHEMA_VERSION, Failed, Measured, NotApplicable, Ok, Outcome, Provenance, RunKey

_NON_FINITE = "float"


class BadRecord(EsrError):
    """A file that is no record this version can read."""


class _Border(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class KeyFile(_Border):
    """`RunKey` in a file."""

    model: str
    revision: str
    scale: int
    task: str
    task_version: int
    protocol: str
    weights_sha256: str | None
    dataset: str | None
    dataset_sha256: str | None
    environment: str | None


class OkFile(_Border):
    """`Ok` in a file."""

    status: Literal["ok"] = "ok"
    values: dict[str, Any]


class FailedFile(_Border):
    """`Failed` in a file."""

    status: Literal["failed"] = "failed"
    kind: str
    message: str


class NotApplicableFile(_Border):
    """`NotApplicable` in a file."""

    status: Literal["not applicable"] = "not applicable"
    reason: str
    remedy: str


class ProvenanceFile(_Border):
    """`Provenance` in a file."""

    created_utc: str
    machine: dict[str, str]
    versions: dict[str, str]
    git_commit: str | None
    duration_s: float
    weights_origin: str | None


class RecordFile(_Border):
    """One whole record file."""

    schema_version: int
    key: KeyFile
    outcome: Annotated[OkFile | FailedFile | NotApplicableFile, Field(discriminator="status")]
    provenance: ProvenanceFile


def to_text(record: Measured) -> str:
    """The record as the text of its file. Raises TypeError for a value that JSON cannot hold."""
    content = RecordFile(
        schema_version=record.schema_version,
        key=KeyFile(**asdict(record.key)),
        outcome=_outcome_file(record.outcome),
        provenance=ProvenanceFile(**_mutable(asdict(record.provenance))),
    )
    return json.dumps(_encode(content.model_dump()), indent=1, allow_nan=False) + "\n"


def from_text(text: str) -> Measured:
    """The record of a file's text. Raises BadRecord: not JSON, another kind of file, or a newer schema."""
    try:
        content = decode(json.loads(text))
    except ValueError as error:
        raise BadRecord(f"not JSON ({error}); it may be truncated") from error
    except RecursionError as error:
        raise BadRecord("no record of this suite: lists or objects stand in each other hundreds deep") from error
    if not isinstance(content, dict) or not isinstance(version := content.get("schema_version"), int):
        raise BadRecord("no record of this suite: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise BadRecord(f"schema version {version}, newer than this suite's {SCHEMA_VERSION}: update the suite")
    try:
        file = RecordFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "record"
        raise BadRecord(f"{error.error_count()} wrong field(s), the first: {where}: {first['msg']}") from error
    return Measured(
        key=RunKey(**file.key.model_dump()),
        outcome=_outcome(file.outcome),
        provenance=Provenance(**file.provenance.model_dump()),
        schema_version=file.schema_version,
    )


def plain(value: Any) -> Any:
    """`value` in JSON's own types: tuples become lists, numpy and torch scalars Python numbers. Raises TypeError."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"a record holds names that are no text: {list(value)[:3]}. Use str keys.")
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if callable(item := getattr(value, "item", None)):
        return plain(item())
    raise TypeError(f"a record cannot hold a {type(value).__name__}. Use numbers, text, lists and dicts.")


def _outcome_file(outcome: Outcome) -> OkFile | FailedFile | NotApplicableFile:
    match outcome:
        case Ok(values=values):
            return OkFile(values=plain(values))
        case Failed(kind=kind, message=message):
            return FailedFile(kind=kind, message=message)
        case NotApplicable(reason=reason, remedy=remedy):
            return NotApplicableFile(reason=reason, remedy=remedy)


def _outcome(file: OkFile | FailedFile | NotApplicableFile) -> Outcome:
    match file:
        case OkFile():
            return Ok(values=file.values)
        case FailedFile():
            return Failed(kind=file.kind, message=file.message)
        case NotApplicableFile():
            return NotApplicable(reason=file.reason, remedy=file.remedy)


def _mutable(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NON_FINITE: repr(value)}
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    return [_encode(item) for item in value] if isinstance(value, list) else value


def decode(value: Any) -> Any:
    """JSON as it was read, with the floats that JSON has no word for."""
    if isinstance(value, dict):
        if set(value) == {_NON_FINITE} and value[_NON_FINITE] in ("inf", "-inf", "nan"):
            return float(value[_NON_FINITE])
        return {name: decode(item) for name, item in value.items()}
    return [decode(item) for item in value] if isinstance(value, list) else value
