"""What is known: numbers that a paper printed, and records of runs. Only `reports.compare` brings the two together.

Nothing here imports torch, so reports can be read and drawn where torch is not installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final

SCHEMA_VERSION: Final = 1
"""Version of the record files. A reader refuses a newer one and says so."""

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


class Mark(Enum):
    """Emphasis a paper gives a printed number."""

    NONE = ""
    BEST = "best"
    SECOND = "second"


@dataclass(frozen=True, kw_only=True)
class Reported:
    """One number as a paper prints it. Never a measurement."""

    paper: str
    "Short key of the paper, e.g. `agdn`."
    table: str
    "Where in the paper: `table5`."
    row: str
    "Row label as printed: `CARN`."
    model: str
    "Zoo name the row is about."
    scale: int
    metric: str
    "Name of a `zoo.quantities.Metric`."
    dataset: str | None
    "Data set of a quality number, None for the others."
    value: Decimal | None
    "In the metric's stored unit; None where the paper prints no number."
    decimals: int
    "Printed decimals, in the metric's display unit."
    mark: Mark = Mark.NONE


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """What a run was: two runs with equal keys measured the same thing."""

    model: str
    revision: str
    "`ModelSpec.revision`: raised when a network's code changes its results."
    scale: int
    task: str
    "quality, complexity or latency."
    task_version: int
    protocol: str
    "Id of the protocol (`zoo.protocols`)."
    weights_sha256: str | None = None
    "sha256 of the checkpoint file; None where weights do not matter or are random."
    dataset: str | None = None
    dataset_sha256: str | None = None
    "Digest of the data set's manifest (decoded pixels of HR and LR)."
    environment: str | None = None
    "Digest of machine and library versions; latency only."

    def canonical_json(self) -> str:
        """The key as JSON with sorted names and no spaces: what the digest is taken of."""
        return _CANONICAL.encode(vars(self))

    def digest(self) -> str:
        """sha256 of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @property
    def key12(self) -> str:
        """First 12 digits of the digest, used in file names."""
        return self.digest()[:12]


@dataclass(frozen=True, kw_only=True)
class Ok:
    """The run finished; `values` are raw (per-image values, timing samples), means are derived by readers."""

    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The run was tried and did not finish."""

    kind: str
    "Name of the error class."
    message: str


@dataclass(frozen=True, kw_only=True)
class NotApplicable:
    """The run cannot be done here; nothing is wrong with the model."""

    reason: str
    remedy: str
    "The command or step that would make it possible."


Outcome = Ok | Failed | NotApplicable


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a record comes from."""

    created_utc: str
    "ISO 8601, seconds, UTC."
    machine: Mapping[str, str]
    "CPU, GPU, cores, memory, system."
    versions: Mapping[str, str]
    "Python and library versions."
    git_commit: str | None
    "Commit of the suite, with `+dirty` when the tree had changes; None outside a clone."
    duration_s: float
    weights_origin: str | None = None
    "official, third-party, bundled, file, random, or `as built` for a user's file; None where weights cannot matter."


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run of ours: what was run, what came of it, and where. Never a paper's number."""

    key: RunKey
    outcome: Outcome
    provenance: Provenance
    schema_version: int = SCHEMA_VERSION
    stale: bool = field(default=False, compare=False)
    "True when a newer revision, task version or data manifest exists: shown, never as current."

    @property
    def values(self) -> Mapping[str, Any]:
        """Values of a finished run, empty for any other outcome."""
        return self.outcome.values if isinstance(self.outcome, Ok) else {}
