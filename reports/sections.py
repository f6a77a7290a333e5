"""The sections of the page, in order: what each shows, and from what.

A section is one `Section` in `SECTIONS` and files of its key below `templates/sections/`: `KEY.html.jinja` (its markup,
rendered with `context`), and where it needs them `KEY.js` and `KEY.css`. The script calls
`esr.section("KEY", ({ root, payload }) => ...)`; it runs when the section is first seen (or printed), with its element
and the JSON that `payload` gave. It may return `{ open(args), print() }`: `open` takes the parts of `#view/a/b`.
Sections of the same `view` share one entry of the navigation, which bears the title of the first.
Facts that no record holds (images) are a field of `Report` with a default, so that `shown` can ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from reports import gallery
from reports.assemble import Report, outcome_counts
from reports.columns import dataset_order
from reports.compare import VerdictKind
from reports.figures import themed
from reports.interactive import curves, differences_payload, plots_library, views
from reports.ladder import FULL, PAPER, ladder_rows, printed_text
from reports.payload import RUNS_SHOWN, Pools, results_table
from reports.payload_papers import paper_views
from reports.tables import CellKind, Table
from zoo.facts import Json, Measured, Ok


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a section may draw from."""

    report: Report
    drawn: Mapping[str, str]
    "SVG of each figure by its key."


def _no_context(_content: Content) -> Mapping[str, Any]:
    return {}


def _no_payload(_content: Content, _pools: Pools) -> Json:
    return None


def _always(_content: Content) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page; the module says which files belong to it."""

    key: str
    "Id of its element and stem of its files."
    title: str
    "Word in the navigation."
    view: str = ""
    "Key of the section whose entry in the navigation it shares; empty: its own."
    context: Callable[[Content], Mapping[str, Any]] = _no_context
    "Variables of its template; `report` is always there."
    payload: Callable[[Content, Pools], Json] = _no_payload
    "What its script receives; None where that is nothing."
    shown: Callable[[Content], bool] = _always
    library: Callable[[], str] | None = None
    "A third-party script (minified JavaScript) that its own script needs; embedded only where the section is shown."


def _start(content: Content) -> Mapping[str, Any]:
    report = content.report
    return {
        "machines": _distinct(report.runs, lambda run: run.provenance.machine),
        "versions": _distinct(report.runs, lambda run: run.provenance.versions),
        "dates": sorted({run.provenance.created_utc[:10] for run in report.runs if not run.stale}),
        "outcomes": outcome_counts(report.runs),
        "networks": _network_counts(report.tables),
        "datasets": _datasets(report.runs),
        "lead": next(iter(_drawn(content, "start-")), None),
        **_tally(content),
    }


def _figures(content: Content) -> Mapping[str, Any]:
    return {"figures": _drawn(content)}


def _drawn(content: Content, place: str = "") -> list[tuple[Any, Markup]]:
    """Figures and their SVG, with ids of its own in each place."""
    return [
        (figure, Markup(themed(content.drawn[figure.key], prefix=f"{place}{figure.key}")))
        for figure in content.report.figures
    ]


def _results(content: Content, pools: Pools) -> Json:
    return {"tables": [results_table(table, pools) for table in content.report.tables]}


def _tables(content: Content, pools: Pools) -> Json:
    return {"tables": paper_views(content.report, pools)}


def _plots(content: Content, pools: Pools) -> Json:
    return views(content.report.tables, pools)


def _three_ways(content: Content) -> Mapping[str, Any]:
    tables = content.report.three_ways
    return {"cautions": [(table, row) for table in tables for row in table.rows if row.caution]}


def _tally(content: Content) -> Mapping[str, Any]:
    report = content.report
    papers = {judged.paper.key: judged.paper for judged in report.judgements}
    stems = {(view.paper.key, view.table.key): view.stem for view in report.papers}
    tally = [
        {
            "paper": papers[paper],
            "table": papers[paper].tables[table],
            "stem": stems[paper, table],
            "counts": counts,
            "total": counts.total(),
        }
        for (paper, table), counts in report.tally.items()
    ]
    return {"tally": tally, "kinds": list(VerdictKind)}


def _ladder(content: Content) -> Mapping[str, Any]:
    papers = {view.paper.key: view.paper for view in content.report.papers}
    rows = [(ladder, ladder_rows(ladder, papers)) for ladder in content.report.ladders]
    return {"ladders": rows, "printed_text": printed_text, "paper": papers[PAPER], "full": FULL}


def _runs(content: Content) -> Mapping[str, Any]:
    return {"runs_shown": min(len(content.report.runs), RUNS_SHOWN)}


def _distinct(runs: Iterable[Measured], of: Callable[[Measured], Mapping[str, str]]) -> list[dict[str, str]]:
    """Distinct machines or library sets of the current runs, newest first."""
    found = {tuple(sorted(of(run).items())): dict(of(run)) for run in runs if not run.stale}
    return list(found.values())


def _datasets(runs: Iterable[Measured]) -> list[str]:
    """Data sets with a current result, in the field's order."""
    found = {r.key.dataset for r in runs if r.key.dataset and isinstance(r.outcome, Ok) and not r.stale}
    return sorted(found, key=dataset_order)


def _network_counts(tables: Sequence[Table]) -> dict[str, int]:
    """How many networks have a current number of each kind, at any scale."""
    counts: dict[str, set[str]] = {"counted": set(), "timed": set(), "evaluated": set(), "listed": set()}
    names = {"multi_adds": "counted", "median_ms": "timed", "psnr_y_db": "evaluated"}
    for table in tables:
        for row in table.rows:
            counts["listed"].add(row.model)
            for column, place in zip(table.columns, row.slots, strict=True):
                kind = names.get(column.metric.name)
                if kind and place.measured.kind is CellKind.MEASURED and not place.measured.stale:
                    counts[kind].add(row.model)
    return {name: len(found) for name, found in counts.items()}


SECTIONS: Final = (
    Section(key="start", title="Start", context=_start),
    Section(key="results", title="Results", payload=_results),
    Section(
        key="threeways",
        title="Multi-adds three ways",
        view="results",
        context=_three_ways,
        shown=lambda content: bool(content.report.three_ways),
    ),
    Section(
        key="tables",
        title="Tables",
        payload=_tables,
        shown=lambda content: bool(content.report.papers),
    ),
    Section(
        key="ladder",
        title="Ablation proxy",
        view="tables",
        context=_ladder,
        shown=lambda content: bool(content.report.ladders and content.report.papers),
    ),
    Section(key="figures", title="Figures", payload=_plots, library=plots_library),
    Section(
        key="differences",
        title="Image by image",
        view="figures",
        payload=lambda content, _pools: differences_payload(content.report.tables, content.report.comparisons),
        library=plots_library,
    ),
    Section(
        key="curves",
        title="Cost over size",
        view="figures",
        context=lambda content: {"curves": curves(content.report)},
        payload=lambda content, _pools: curves(content.report),
        library=plots_library,
    ),
    Section(
        key="figuresforprint",
        title="Figures for print",
        view="figures",
        context=_figures,
        shown=lambda content: bool(content.report.figures),
    ),
    Section(
        key="significance",
        title="Differences",
        shown=lambda content: bool(content.report.comparisons or content.report.uncompared),
    ),
    Section(key="gallery", title="Pictures", payload=lambda content, _pools: gallery.payload(content.report.gallery)),
    Section(key="audit", title="Audit", context=_tally),
    Section(
        key="recipes",
        title="Protocols of printed rows",
        view="audit",
        shown=lambda content: bool(content.report.row_recipes),
    ),
    Section(key="runs", title="Runs", context=_runs),
)
