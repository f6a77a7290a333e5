"""The data of the page as compact JSON: texts pooled, runs stored once, cells as arrays that point into the pools."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from reports.columns import Column
from reports.compare import VerdictKind
from reports.tables import CellKind, Row, Slot, Table
from zoo.facts import Failed, Json, Measured, NotApplicable, Ok, RunKey
from zoo.quantities import METRICS, Direction

RUNS_SHOWN: Final = 20_000
"""Runs listed on the page, newest first; more would break its size limit. Those behind a cell are always kept."""

_KINDS: Final = {kind: index for index, kind in enumerate(CellKind)}
_VERDICTS: Final = {kind: index for index, kind in enumerate(VerdictKind)}
_OUTCOMES: Final = {Ok: "finished", Failed: "failed", NotApplicable: "not applicable"}
_HEADLINE_VALUES: Final = ("psnr_y_db", "multi_adds", "median_ms")


class _Pool:
    """Each distinct value once; cells refer to it by number."""

    def __init__(self) -> None:
        self.values: list[Json] = []
        self._index: dict[Any, int] = {}

    def add(self, value: Any, key: Any = None) -> int:
        place = value if key is None else key
        if place not in self._index:
            self._index[place] = len(self.values)
            self.values.append(value)
        return self._index[place]


class Pools:
    """What the sections of one page share: a section's payload holds the numbers that `text` and `run` give."""

    def __init__(self, runs: Iterable[Measured] = ()) -> None:
        self._texts, self._machines, self._versions = _Pool(), _Pool(), _Pool()
        self._runs: list[Json] = []
        self._run_index: dict[tuple[RunKey, str], int] = {}
        self._listed = 0
        for number, run in enumerate(runs):
            if number == RUNS_SHOWN:
                break
            self.run(run)
        self._listed = len(self._runs)

    def text(self, text: str) -> int:
        """Place of a text in the page's `texts`."""
        return self._texts.add(text)

    def run(self, run: Measured) -> int:
        """Place of a run in the page's `runs`."""
        place = (run.key, run.provenance.created_utc)
        if place not in self._run_index:
            self._run_index[place] = len(self._runs)
            self._runs.append(self._run_fields(run))
        return self._run_index[place]

    def content(self) -> dict[str, Json]:
        """The pools themselves; `report.js` names the positions of a run in the same order."""
        return {
            "runs": self._runs,
            "listed": self._listed,
            "texts": self._texts.values,
            "machines": self._machines.values,
            "versions": self._versions.values,
            "kinds": [kind.value for kind in CellKind],
            "verdicts": [kind.value for kind in VerdictKind],
        }

    def _run_fields(self, run: Measured) -> list[Json]:
        key, origin = run.key, run.provenance
        return [
            key.model,
            key.scale,
            self._texts.add(key.task),
            self._texts.add(key.protocol),
            self._texts.add(key.dataset or ""),
            _OUTCOMES[type(run.outcome)],
            self._texts.add(result_line(run)),
            origin.created_utc,
            origin.duration_s,
            self._machines.add([list(item) for item in origin.machine.items()], key=tuple(origin.machine.items())),
            self._versions.add([list(item) for item in origin.versions.items()], key=tuple(origin.versions.items())),
            self._texts.add(origin.git_commit or ""),
            self._texts.add(key.weights_sha256 or ""),
            self._texts.add(origin.weights_origin or ""),
            key.key12,
            int(run.stale),
            key.revision,
            key.task_version,
        ]


def results_table(table: Table, pools: Pools) -> Json:
    """One results table; `sections/results.js` names the positions in the same order."""
    return {
        "scale": table.scale,
        "columns": [_column(column, table, index) for index, column in enumerate(table.columns)],
        "rows": [_row(row, pools) for row in table.rows],
    }


def _row(row: Row, pools: Pools) -> Json:
    cells: list[Json] = [slot(place, pools) for place in row.slots]
    flags = row.ablation + 2 * (not row.runnable)
    return [row.model, row.display_name, pools.text(row.venue), pools.text(row.note), flags, cells]


def slot(place: Slot, pools: Pools) -> Json:
    """A measured cell and, where a paper prints a number for its place, the printed one."""
    cell, printed = place.measured, place.printed
    remedy = pools.text(cell.remedy.template) if cell.remedy else -1
    if cell.kind is CellKind.MISSING and printed is None and not cell.runs:
        return remedy
    found: list[Json] = [
        _KINDS[cell.kind],
        cell.text,
        finite(cell.value),
        cell.detail,
        [pools.run(run) for run in cell.runs],
        remedy,
        int(cell.stale),
    ]
    if printed is not None:
        verdict = printed.verdict
        found += [
            printed.text,
            finite(printed.value),
            pools.text(printed.citation),
            verdict_index(verdict.kind) if verdict else -1,
            pools.text(verdict.cause) if verdict else -1,
        ]
    return found


def verdict_index(kind: VerdictKind) -> int:
    """Place of a verdict in the page's `verdicts`."""
    return _VERDICTS[kind]


def _column(column: Column, table: Table, index: int) -> Json:
    filled = sum(row.slots[index].measured.kind is CellKind.MEASURED for row in table.rows)
    return {
        "key": column.key,
        "label": column.metric.label,
        "unit": column.metric.display_unit,
        "group": column.group,
        "about": column.about,
        "higher": column.metric.direction is Direction.HIGHER,
        "filled": filled,
        "usual": column.rule.compares,
    }


def finite(value: float | None) -> float | str | None:
    """JSON has no word for infinity; the page's script reads this one."""
    return value if value is None or math.isfinite(value) else str(value)


def result_line(run: Measured) -> str:
    """What came of a run, in one line."""
    match run.outcome:
        case Failed(kind=kind, message=message):
            return f"{kind}: {message}"
        case NotApplicable(reason=reason, remedy=remedy):
            return f"{reason} {remedy}"
        case Ok(values=values):
            shown = [METRICS[name] for name in _HEADLINE_VALUES if isinstance(values.get(name), (int, float))]
            return ", ".join(
                f"{metric.label} {metric.show(values[metric.name])} {metric.display_unit}" for metric in shown
            )
