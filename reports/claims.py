"""What papers print, as data: one CSV of numbers and one TOML of conditions per paper, in `reports/papers/`.

The TOML says under which conditions each table's numbers hold, and in `[TABLE.layout]` how the paper lays it out.
CSV columns: table, row, model, scale, metric, dataset, value, decimals, mark. Values are in the metric's stored unit,
rows in the paper's order. `mark` is empty, best, second, or `not printed` for a cell without a number.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from zoo.contract import BadInput
from zoo.facts import Mark, Reported
from zoo.protocols import Size, lr_size
from zoo.quantities import METRICS

PAPERS: Final = Path(__file__).parent / "papers"
COLUMNS: Final = ("table", "row", "model", "scale", "metric", "dataset", "value", "decimals", "mark")
NOT_PRINTED: Final = "not printed"


UNITS: Final = MappingProxyType({"": 0, "K": 3, "M": 6, "G": 9})
"""Powers of ten of the units in which a table may print a count."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a paper lays a table out, beside what its numbers already say (their order, groups and decimals)."""

    row_header: str = "Method"
    venue: bool = False
    "Whether a column names each network's venue."
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    "Columns of check marks: header, and the rows that have one."
    labels: Mapping[str, str] = field(default_factory=dict)
    "The paper's words for a metric or a data set, where they are not ours."
    units: Mapping[str, str] = field(default_factory=dict)
    "Unit of a count (K, M, G) where the table does not use ours."


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of a paper and the conditions its numbers were taken under."""

    key: str
    "`table5`."
    title: str
    "What it shows, in our words."
    counter: str
    "Counting tool whose rule the paper's own multi-adds and parameters follow."
    cited_counters: tuple[str, ...]
    "Tools that must all disagree before a count cited from another paper is contradicted; empty: `counter` decides."
    own: str
    "Beginning of the names of the paper's own networks."
    hr: Size | None
    "HR size of its multi-adds; None where `lr` is fixed instead."
    lr: Size | None
    layout: Layout = Layout()

    @property
    def label(self) -> str:
        """`table5` -> `Table 5`."""
        return self.key.replace("table", "Table ")

    def counted_lr(self, scale: int) -> Size:
        """LR size at which the multi-adds of this table hold."""
        if self.lr is not None:
            return self.lr
        assert self.hr is not None, "the loader admits no table without a size"
        return lr_size(self.hr, scale)

    def deciding_counters(self, model: str) -> tuple[str, ...]:
        """The tools whose numbers can contradict a count of this model."""
        return (self.counter,) if model.startswith(self.own) else self.cited_counters or (self.counter,)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """All printed numbers of one paper, in its order."""

    key: str
    citation: str
    title: str
    tables: Mapping[str, PaperTable]
    claims: tuple[Reported, ...]

    def cite(self, claim: Reported) -> str:
        """Where a number stands: `Wang et al., CVPRW 2024, Table 5, row CARN`."""
        return f"{self.citation}, {self.tables[claim.table].label}, row {claim.row}"


class _LayoutFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    row_header: str = "Method"
    venue: bool = False
    checks: dict[str, tuple[str, ...]] = {}
    labels: dict[str, str] = {}
    units: dict[str, Literal["", "K", "M", "G"]] = {}


class _TableFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    counter: str
    cited_counters: tuple[str, ...] = ()
    hr: str | None = None
    lr: str | None = None
    layout: _LayoutFile = _LayoutFile()


class _PaperFile(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _TableFile]
    citation: str
    title: str
    own: str
    labels: dict[str, str] = {}
    "The paper's words for metrics and data sets, in all its tables."


def _first(error: ValidationError) -> str:
    """The first complaint in one line: pydantic's own text takes four per field."""
    what = error.errors()[0]
    return f"{'.'.join(map(str, what['loc']))} is {what['input']!r}: {what['msg']}"


def _none_if_empty(text: str) -> str | None:
    return text or None


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    table: str
    row: str
    model: str
    scale: Annotated[int, Field(ge=1, le=4)]
    metric: str
    dataset: Annotated[str | None, BeforeValidator(_none_if_empty)]
    value: Annotated[Decimal | None, BeforeValidator(_none_if_empty)]
    decimals: int
    mark: Literal["", "best", "second", "not printed"]


@cache
def load_papers(folder: Path = PAPERS) -> Mapping[str, Paper]:
    """Every paper of the folder by key (file stem). Raises BadInput with file and line."""
    return MappingProxyType({path.stem: _load(path) for path in sorted(folder.glob("*.csv"))})


def _load(path: Path) -> Paper:
    conditions = path.with_suffix(".toml")
    try:
        about = _PaperFile.model_validate(tomllib.loads(conditions.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise BadInput(f"{conditions.name}: {_first(error)}. Expected the form of agdn.toml.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{conditions.name} does not describe {path.name}: {error}. See agdn.toml.") from None
    tables = {
        key: _table(key, entry, about=about, path=conditions) for key, entry in (about.__pydantic_extra__ or {}).items()
    }
    try:
        claims = tuple(_claims(path, tables))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is no UTF-8 text: {error.reason}. Save it as UTF-8.") from error
    except csv.Error as error:
        raise BadInput(f"{path.name} is no CSV: {error}. Expected one number per line.") from error
    _check_layouts(conditions, about, claims)
    return Paper(
        key=path.stem, citation=about.citation, title=about.title, tables=MappingProxyType(tables), claims=claims
    )


def _table(key: str, entry: _TableFile, *, about: _PaperFile, path: Path) -> PaperTable:
    if (entry.hr is None) == (entry.lr is None):
        raise BadInput(f"{path.name}: [{key}] needs exactly one of hr and lr, the size its multi-adds are counted at.")
    return PaperTable(
        key=key,
        title=entry.title,
        counter=entry.counter,
        cited_counters=entry.cited_counters,
        own=about.own,
        hr=Size.parse(entry.hr) if entry.hr else None,
        lr=Size.parse(entry.lr) if entry.lr else None,
        layout=Layout(**{**entry.layout.model_dump(), "labels": about.labels | entry.layout.labels}),
    )


def _check_layouts(path: Path, about: _PaperFile, claims: tuple[Reported, ...]) -> None:
    """Raises BadInput where a layout speaks of rows, metrics or data sets that its table does not have."""
    for key, entry in (about.__pydantic_extra__ or {}).items():
        layout = entry.layout
        own = [claim for claim in claims if claim.table == key]
        rows = {claim.row for claim in own}
        columns = {claim.metric for claim in own} | {claim.dataset for claim in own}
        if strange := [name for name in layout.units if name in METRICS and METRICS[name].display_unit not in UNITS]:
            raise BadInput(
                f"{path.name}: [{key}.layout] gives {', '.join(strange)} a unit. Only counts can have K, M, G."
            )
        checked = {row for column in layout.checks.values() for row in column}
        if unknown := sorted((checked - rows) | ((set(layout.labels) | set(layout.units)) - columns)):
            raise BadInput(
                f"{path.name}: [{key}.layout] names {', '.join(unknown)}, which no line of {path.stem}.csv has in this "
                f"table. Expected rows ({', '.join(sorted(rows))}), metrics or data sets as the CSV spells them."
            )


def _claims(path: Path, tables: Mapping[str, PaperTable]) -> Iterator[Reported]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BadInput(f"{path.name} has columns {reader.fieldnames}. Expected {', '.join(COLUMNS)}.")
        for entry in reader:
            where = f"{path.name} line {reader.line_num}"
            try:
                row = _Row.model_validate(entry)
            except ValidationError as error:
                raise BadInput(f"{where}: {_first(error)}. Correct that cell.") from None
            if row.table not in tables:
                raise BadInput(
                    f"{where} names {row.table}, which {path.stem}.toml does not describe. Add [{row.table}]."
                )
            if row.metric not in METRICS:
                raise BadInput(f"{where} names metric {row.metric!r}. Expected one of {', '.join(METRICS)}.")
            if (row.value is None) != (row.mark == NOT_PRINTED):
                raise BadInput(f"{where}: a cell has either a value or the mark '{NOT_PRINTED}'.")
            yield _reported(path.stem, row)


def _reported(paper: str, row: _Row) -> Reported:
    return Reported(
        paper=paper,
        table=row.table,
        row=row.row,
        model=row.model,
        scale=row.scale,
        metric=row.metric,
        dataset=row.dataset,
        value=row.value,
        decimals=row.decimals,
        mark=Mark.NONE if row.mark == NOT_PRINTED else Mark(row.mark),
    )


def printed(claim: Reported) -> str:
    """The claim with its printed digits in the metric's display unit, without the unit; `-` where none is printed."""
    if claim.value is None:
        return "-"
    shown = claim.value / Decimal(METRICS[claim.metric].display_scale)
    return f"{shown:.{claim.decimals}f}"
