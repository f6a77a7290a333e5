"""Proxy ablation ladders: the rows of a paper's ablation tables trained here under one equal, small budget.

A ladder ranks designs after a short training; the paper's numbers are of a long one. So what stands here is never a
verdict on a printed number, which stands beside it as what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from reports.claims import Paper
from zoo.contract import BadInput
from zoo.facts import Reported
from zoo.quantities import PSNR_Y

LADDERS: Final = Path(__file__).parent / "ladders"
TABLES: Final = ("table1", "table2", "table4")
"""Tables of the AGDN paper whose rows are networks of their own: each has to be trained. Table 3 switches TLC only."""
PAPER: Final = "agdn"
FULL: Final = "agdn"
"""The network that every row is compared with."""


class LadderRun(BaseModel):
    """One network trained under one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    seed: int
    loss: float
    "Mean training loss of the last report."
    seconds: float
    "In steps."
    psnr_y_db: dict[str, dict[str, float]]
    "By data set and image, of the averaged weights."


class Ladder(BaseModel):
    """All runs of a ladder, and what they have in common: the whole budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tables: tuple[str, ...]
    scale: int
    iterations: int
    batch: int
    lr_patch_px: int
    recipe: dict[str, str | int | float | list[str] | list[int] | list[float] | None]
    "All fields of the recipe but model and seed."
    images: int
    images_sha256: str
    seeds: tuple[int, ...]
    runs: tuple[LadderRun, ...]
    machine: dict[str, str]
    versions: dict[str, str]
    git_commit: str | None
    finished_utc: str

    @property
    def patches(self) -> int:
        """Patches that each training has seen."""
        return self.iterations * self.batch

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that every run was measured on."""
        return tuple(self.runs[0].psnr_y_db)


@dataclass(frozen=True, kw_only=True)
class LadderCell:
    """A row on a data set."""

    dataset: str
    mean_db: float
    "Over images and seeds."
    low_db: float
    high_db: float
    "Lowest and highest seed."
    gap_db: float
    "Mean of row minus full network, seed by seed."
    gap_low_db: float | None
    gap_high_db: float | None
    "95 % interval of that over trainings (Student's t over seeds); None for the full network and a single seed."
    printed: Reported | None

    @property
    def is_apart(self) -> bool:
        """Whether the interval leaves out zero."""
        if self.gap_low_db is None or self.gap_high_db is None:
            return False
        return self.gap_low_db > 0 or self.gap_high_db < 0


@dataclass(frozen=True, kw_only=True)
class LadderRow:
    """A row of one of the paper's tables, as the proxy has it."""

    table: str
    row: str
    "As printed."
    model: str
    cells: tuple[LadderCell, ...]


def load_ladders(folder: Path = LADDERS) -> tuple[Ladder, ...]:
    """Every ladder of a folder, by file name. Raises BadInput with the file."""
    return tuple(load_ladder(path) for path in sorted(folder.glob("*.json")))


def load_ladder(path: Path) -> Ladder:
    """A ladder's file. Raises BadInput."""
    try:
        return Ladder.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} is no ladder: {str(error).splitlines()[0]}. `esr train --ladder` writes one."
        ) from error


def table_rows(paper: Paper, tables: Iterable[str]) -> list[tuple[str, str, str]]:
    """(table, row as printed, model) in the paper's order. Raises BadInput for a table that is no ladder."""
    tables = tuple(tables)
    if unknown := [table for table in tables if table not in TABLES]:
        raise BadInput(f"There is no ladder of {unknown[0]!r}. Expected {', '.join(TABLES)}, with commas for several.")
    found = {(claim.table, claim.row, claim.model): None for claim in paper.claims if claim.table in tables}
    return sorted(found, key=lambda row: tables.index(row[0]))


def ladder_rows(ladder: Ladder, papers: Mapping[str, Paper]) -> list[LadderRow]:
    """The rows of a ladder's tables with proxy and printed numbers."""
    paper = papers[PAPER]
    claims = {(c.table, c.model, c.dataset): c for c in paper.claims if c.metric == PSNR_Y.name}
    return [
        LadderRow(
            table=table,
            row=row,
            model=model,
            cells=tuple(
                _cell(ladder, model, dataset, claims.get((table, model, dataset))) for dataset in ladder.datasets
            ),
        )
        for table, row, model in table_rows(paper, ladder.tables)
        if any(run.model == model for run in ladder.runs)
    ]


def _cell(ladder: Ladder, model: str, dataset: str, printed: Reported | None) -> LadderCell:
    ours, full = (dict(_by_seed(ladder.runs, name, dataset)) for name in (model, FULL))
    gaps = [ours[seed] - full[seed] for seed in ours if seed in full]
    low, high = _interval(gaps) if model != FULL else (None, None)
    return LadderCell(
        dataset=dataset,
        mean_db=_mean(list(ours.values())),
        low_db=min(ours.values()),
        high_db=max(ours.values()),
        gap_db=_mean(gaps),
        gap_low_db=low,
        gap_high_db=high,
        printed=printed,
    )


def _by_seed(runs: Iterable[LadderRun], model: str, dataset: str) -> Iterator[tuple[int, float]]:
    for run in runs:
        if run.model == model:
            yield run.seed, _mean(list(run.psnr_y_db[dataset].values()))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _interval(gaps: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % of Student's t: the trainings are the units, and there are few of them."""
    if len(gaps) < 2:
        return None, None
    mean = _mean(gaps)
    error = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1) / len(gaps))
    # Here and not above: it takes longer to import than most pages to make.
    from scipy import stats

    reach = float(stats.t.ppf(0.975, len(gaps) - 1)) * error
    return mean - reach, mean + reach


def printed_text(cell: LadderCell) -> str:
    """The printed number with its digits, `-` where there is none."""
    value = cell.printed.value if cell.printed else None
    return "-" if value is None or cell.printed is None else f"{Decimal(value):.{cell.printed.decimals}f}"
