"""The report as one self-contained HTML file: no request leaves the page, all text is escaped.

Tables travel as compact JSON (texts pooled, runs stored once) and are laid out by the page's own script, so that ten
thousand rows stay small on disk and responsive on screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.assemble import Report, outcome_counts
from reports.columns import Column
from reports.compare import VerdictKind
from reports.figures import themed
from reports.tables import CellKind, Row, Slot, Table
from zoo.facts import Failed, Json, Measured, NotApplicable, Ok
from zoo.quantities import METRICS, Direction

TEMPLATES: Final = Path(__file__).parent / "templates"
RUNS_SHOWN: Final = 20_000
"""Runs listed on the page, newest first; more would break its size limit. Those behind a cell are always kept."""

_KINDS: Final = {kind: index for index, kind in enumerate(CellKind)}
_OUTCOMES: Final = {Ok: "finished", Failed: "failed", NotApplicable: "not applicable"}
_MARKS: Final = {"REPRODUCED": "✓", "EXPLAINED": "≈", "CONTRADICTED": "✗", "NOT_MEASURED": ""}
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


def page(report: Report, figures: Mapping[str, str]) -> str:
    """The whole page; `figures` are the drawn SVGs by key."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "ensure_ascii": False}
    environment.filters["code"] = _with_code
    payload = _Payload(report)
    return environment.get_template("report.html.jinja").render(
        report=report,
        data=payload.content(),
        style=_asset("report.css"),
        script=_asset("report.js"),
        figures=[(figure, Markup(themed(figures[figure.key], prefix=figure.key))) for figure in report.figures],
        machines=_distinct(report.runs, lambda run: run.provenance.machine),
        versions=_distinct(report.runs, lambda run: run.provenance.versions),
        dates=sorted({run.provenance.created_utc[:10] for run in report.runs if not run.stale}),
        outcomes=outcome_counts(report.runs),
        networks=_network_counts(report.tables),
        tally=_tally(report),
        cautions=[(t, row) for t in report.three_ways for row in t.rows if row.caution],
        kinds=list(VerdictKind),
        marks=_MARKS,
        runs_shown=min(len(report.runs), RUNS_SHOWN),
    )


def _with_code(text: str) -> Markup:
    """Escaped text in which what stands between backquotes is code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _asset(name: str) -> Markup:
    # Our own files, not data: escaping them would break them.
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _distinct(runs: Iterable[Measured], of: Any) -> list[dict[str, str]]:
    """Distinct machines or library sets of the current runs, newest first."""
    found = {tuple(sorted(of(run).items())): dict(of(run)) for run in runs if not run.stale}
    return list(found.values())


def _network_counts(tables: Sequence[Table]) -> dict[str, int]:
    """How many networks have a current number of each kind, at any scale."""
    counts: dict[str, set[str]] = {"counted": set(), "timed": set(), "evaluated": set(), "listed": set()}
    names = {"multi_adds": "counted", "median_ms": "timed", "psnr_y_db": "evaluated"}
    for table in tables:
        for row in table.rows:
            counts["listed"].add(row.model)
            for column, slot in zip(table.columns, row.slots, strict=True):
                kind = names.get(column.metric.name)
                if kind and slot.measured.kind is CellKind.MEASURED and not slot.measured.stale:
                    counts[kind].add(row.model)
    return {name: len(found) for name, found in counts.items()}


def _tally(report: Report) -> list[dict[str, Any]]:
    papers = {judged.paper.key: judged.paper for judged in report.judgements}
    return [
        {"paper": papers[paper], "table": papers[paper].tables[table], "counts": counts, "total": counts.total()}
        for (paper, table), counts in report.tally.items()
    ]


class _Payload:
    """The page's data: pools first, then rows that point into them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._texts, self._machines, self._versions = _Pool(), _Pool(), _Pool()
        self._runs: list[Json] = []
        self._run_index: dict[str, int] = {}

    def content(self) -> dict[str, Json]:
        """JSON of the page. Arrays are positional; `report.js` names the positions in the same order."""
        for run in self._report.runs[:RUNS_SHOWN]:
            self._run(run)
        tables: list[Json] = [self._table(table) for table in self._report.tables]
        return {
            "tables": tables,
            "runs": self._runs,
            "listed": min(len(self._report.runs), RUNS_SHOWN),
            "texts": self._texts.values,
            "machines": self._machines.values,
            "versions": self._versions.values,
            "kinds": [kind.value for kind in CellKind],
            "verdicts": [kind.value for kind in VerdictKind],
        }

    def _table(self, table: Table) -> Json:
        return {
            "scale": table.scale,
            "columns": [_column(column, table, index) for index, column in enumerate(table.columns)],
            "rows": [self._row(row) for row in table.rows],
        }

    def _row(self, row: Row) -> Json:
        cells: list[Json] = [self._slot(slot) for slot in row.slots]
        flags = row.ablation + 2 * (not row.runnable)
        return [row.model, row.display_name, self._texts.add(row.venue), self._texts.add(row.note), flags, cells]

    def _slot(self, slot: Slot) -> Json:
        cell, printed = slot.measured, slot.printed
        remedy = self._texts.add(cell.remedy.template) if cell.remedy else -1
        if cell.kind is CellKind.MISSING and printed is None and not cell.runs:
            return remedy
        found: list[Json] = [
            _KINDS[cell.kind],
            cell.text,
            _finite(cell.value),
            cell.detail,
            [self._run(run) for run in cell.runs],
            remedy,
            int(cell.stale),
        ]
        if printed is not None:
            verdict = printed.verdict
            found += [
                printed.text,
                _finite(printed.value),
                self._texts.add(printed.citation),
                list(VerdictKind).index(verdict.kind) if verdict else -1,
                self._texts.add(verdict.cause) if verdict else -1,
            ]
        return found

    def _run(self, run: Measured) -> int:
        digest = f"{run.key.digest()}{run.provenance.created_utc}"
        if digest not in self._run_index:
            self._run_index[digest] = len(self._runs)
            self._runs.append(self._run_fields(run))
        return self._run_index[digest]

    def _run_fields(self, run: Measured) -> list[Json]:
        key, origin = run.key, run.provenance
        return [
            key.model,
            key.scale,
            self._texts.add(key.task),
            self._texts.add(key.protocol),
            self._texts.add(key.dataset or ""),
            _OUTCOMES[type(run.outcome)],
            self._texts.add(_result(run)),
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
    }


def _finite(value: float | None) -> float | str | None:
    """JSON has no word for infinity; the page's script reads this one."""
    return value if value is None or math.isfinite(value) else str(value)


def _result(run: Measured) -> str:
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
