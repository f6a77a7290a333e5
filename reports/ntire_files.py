"""The files of an NTIRE report: a CSV of teams to rank, and the organisers' results.json and results.txt."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reports.ntire import Entry
from zoo.contract import BadInput

REQUIRED_COLUMNS: Final = ("team", "val_psnr", "test_psnr", "runtime_ms", "params_m", "flops_g")
OPTIONAL_COLUMNS: Final = ("activations_m", "memory_mib")
"""The 2022 sub-track of overall performance needs them."""

_MAY_BE_ZERO: Final = ("params_m", "flops_g", "activations_m")
"""A fixed function such as bicubic interpolation has no parameters."""


def read_teams(text: str, *, where: str) -> list[Entry]:
    """Entries of a CSV with the columns above (dB, ms, 1e6, 1e9, 1e6, MiB), an empty cell where a value is unknown.

    Raises BadInput naming `where`, the line and the column.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        _require_columns(reader.fieldnames or (), where)
        entries = [_entry(row, f"{where}, line {reader.line_num}") for row in reader]
    except csv.Error as error:
        raise BadInput(f"{where}, line {reader.line_num} is no CSV: {error}. Expected one team per line.") from error
    if not entries:
        raise BadInput(f"{where} names no team. Expected one line per team below the header.")
    return entries


def _require_columns(names: Sequence[str], where: str) -> None:
    header = ",".join(REQUIRED_COLUMNS)
    if missing := [name for name in REQUIRED_COLUMNS if name not in names]:
        raise BadInput(f"{where} has no column {', '.join(missing)}. Expected the header {header}.")
    if unknown := [name for name in names if name not in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)]:
        raise BadInput(
            f"{where} has a column {', '.join(map(repr, unknown))} that no rule knows. "
            f"Expected {header} and optionally {','.join(OPTIONAL_COLUMNS)}."
        )


def _entry(row: Mapping[str, str | None], where: str) -> Entry:
    if None in row or None in row.values():
        raise BadInput(f"{where} has more or fewer cells than the header. Expected one cell per column.")
    team = (row["team"] or "").strip()
    if not team:
        raise BadInput(f"{where} has no team name. Expected a name in the column team.")
    return Entry(
        team=team,
        val_psnr_db=_known(row, "val_psnr", where),
        test_psnr_db=_known(row, "test_psnr", where),
        runtime_ms=_known(row, "runtime_ms", where),
        params_m=_number(row, "params_m", where),
        flops_g=_number(row, "flops_g", where),
        activations_m=_known(row, "activations_m", where),
        memory_mib=_known(row, "memory_mib", where),
    )


def _known(row: Mapping[str, str | None], column: str, where: str) -> float | None:
    """The number of a cell, None for an empty one."""
    return _number(row, column, where) if (row.get(column) or "").strip() else None


def _number(row: Mapping[str, str | None], column: str, where: str) -> float:
    cell = (row[column] or "").strip()
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 or (value == 0 and column in _MAY_BE_ZERO))):
        raise BadInput(f"{where}: {column} is {cell!r}. Expected a positive number with a decimal point.")
    return value


class OrganisersResult(BaseModel):
    """One model in the organisers' results.json."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    valid_runtime: list[float]
    "ms, one per image in the order of the HR file names."
    valid_psnr: list[float]
    "dB, RGB."
    valid_memory: float
    "MiB."
    valid_ave_runtime: float
    valid_ave_psnr: float
    test_runtime: list[float] | None = None
    test_psnr: list[float] | None = None
    test_memory: float | None = None
    test_ave_runtime: float | None = None
    test_ave_psnr: float | None = None
    activations: float
    "1e6."
    num_conv: int
    "Calls of a convolution, not layers."
    flops: float = Field(ge=0)
    "1e9."
    num_parameters: float = Field(ge=0)
    "1e6."

    @property
    def ave_runtime(self) -> float | None:
        """Mean of both averages in ms: the runtime that is scored. None without a test set."""
        return None if self.test_ave_runtime is None else (self.valid_ave_runtime + self.test_ave_runtime) / 2


Results = dict[str, OrganisersResult]
_RESULTS: Final = TypeAdapter(Results)


def read_results(text: str, *, where: str) -> Results:
    """The organisers' results.json, keys kept in their order. Raises BadInput naming `where`."""
    try:
        return _RESULTS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"{where} is not a results.json of the organisers: {first['msg']} (at {at or 'the top'}). "
            f"Expected an object of models with valid_ave_psnr, valid_ave_runtime, flops, num_parameters and the rest."
        ) from error


def results_json(results: Results) -> str:
    """`results` as the organisers' results.json; keys of a test set are absent where none was run."""
    plain = {key: result.model_dump(exclude_none=True) for key, result in results.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=4) + "\n"


def entries_of(results: Results) -> list[Entry]:
    """Entries of the organisers' results.json; runtime is unknown where a test set is missing."""
    return [
        Entry(
            team=key,
            val_psnr_db=result.valid_ave_psnr,
            test_psnr_db=result.test_ave_psnr,
            runtime_ms=result.ave_runtime,
            params_m=result.num_parameters,
            flops_g=result.flops,
            activations_m=result.activations,
            memory_mib=result.valid_memory,
        )
        for key, result in results.items()
    ]


_WITH_TEST: Final = {
    "Model": 20,
    "Val PSNR": 10,
    "Test PSNR": 10,
    "Val Time [ms]": 14,
    "Test Time [ms]": 14,
    "Ave Time [ms]": 14,
    "Params [M]": 10,
    "FLOPs [G]": 10,
    "Acts [M]": 8,
    "Mem [M]": 8,
    "Conv": 8,
}
"""Header and width of each column of results.txt."""

_TEST_ONLY: Final = ("Test PSNR", "Test Time [ms]", "Ave Time [ms]")


def results_txt(results: Results) -> str:
    """The organisers' results.txt: left-justified columns joined by tabs, one line per model.

    The columns of a test set are there only where every model was run on one.
    """
    rows = [(key, result, result.ave_runtime) for key, result in results.items()]
    with_test = all(ave is not None for _key, _result, ave in rows)
    widths = {name: width for name, width in _WITH_TEST.items() if with_test or name not in _TEST_ONLY}
    lines = [dict(zip(widths, widths, strict=True)), *(_cells(*row) for row in rows)]
    return "".join("\t".join(f"{line[name]:{width}s}" for name, width in widths.items()) + "\n" for line in lines)


def _cells(key: str, result: OrganisersResult, ave_ms: float | None) -> dict[str, str]:
    return {
        "Model": key,
        "Val PSNR": f"{result.valid_ave_psnr:.2f}",
        "Test PSNR": "" if result.test_ave_psnr is None else f"{result.test_ave_psnr:.2f}",
        "Val Time [ms]": f"{result.valid_ave_runtime:.2f}",
        "Test Time [ms]": "" if result.test_ave_runtime is None else f"{result.test_ave_runtime:.2f}",
        "Ave Time [ms]": "" if ave_ms is None else f"{ave_ms:.2f}",
        "Params [M]": f"{result.num_parameters:.3f}",
        "FLOPs [G]": f"{result.flops:.2f}",
        "Acts [M]": f"{result.activations:.2f}",
        "Mem [M]": f"{result.valid_memory:.2f}",
        "Conv": f"{result.num_conv:4d}",
    }
