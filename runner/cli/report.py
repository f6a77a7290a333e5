"""`esr report`: the page of everything known, measured first where asked."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli import report_figures, report_gallery
from runner.cli.bench import follow
from runner.cli.options import DataDir, Json, Scale, WeightsDir
from runner.cli.output import emit, progress, talk
from zoo.catalogue import catalogue
from zoo.contract import BadInput
from zoo.files import write_bytes_atomically

if TYPE_CHECKING:
    from reports.assemble import Report
    from runner.store import Store

COMMITTED = Path(__file__).parents[2] / "reports" / "records"
"""Reference records that come with the suite."""

COLUMNS = {
    "table": "table",
    "title": "of",
    "reproduced": "reproduced",
    "explained": "explained",
    "contradicted": "contradicted",
    "not_measured": "not measured",
    "numbers": "numbers",
}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        "report", epilog="Examples: esr report --live --out report; esr report --gallery Set14 --models imdn,bsrn,agdn"
    )(report)


def report(
    live: Annotated[bool, typer.Option("--live", help="First measure what can be measured here at once.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the page, tables and figures.")] = Path("report"),
    store: Annotated[Path, typer.Option("--store", help="Folder of your records.")] = Path("results"),
    budget: Annotated[float, typer.Option("--budget", min=0, help="Seconds that --live may spend measuring.")] = 240.0,
    gallery: Annotated[
        str | None, typer.Option("--gallery", help="Data set whose images are shown side by side: a name or a folder.")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option("--models", help="Networks of the gallery, a,b,c; default: the best whose weights are here."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="Images of the gallery, a,b,c; default: where the networks disagree most."),
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option("--crop", metavar="IMAGE:TOP,LEFT,HxW", help="Region of an image, in HR pixels; repeatable."),
    ] = None,
    difference: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--difference", metavar="A B", help="Draw two networks image by image, as SVG and PDF in figures."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Data set of --difference; default: the largest that has both.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="Count these networks, a,b,c, at several LR sizes, for the curves.")
    ] = None,
    scale: Scale = 4,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda, for the gallery.")] = "cpu",
    data_dir: DataDir = None,
    weights_dir: WeightsDir = None,
    as_json: Json = False,
) -> None:
    """Write index.html, results, figures and the papers' tables; print how many printed numbers hold, table by table.

    The page stands alone. tables/ holds Tables 1 to 6 as CSV, Markdown, LaTeX and JSON, printed and measured.

    --gallery adds pictures (--models, --images, --crop, --scale, --device choose): every network on the parts where
    they disagree most. Images of a data set keep their owner's licence; so does a page that holds them.
    """
    from reports.write import write
    from runner.store import Store

    if data is not None and difference is None:
        raise BadInput("--data is the data set of a --difference. Pass --difference A B too, or --gallery DATA.")
    # What cannot be shown is said before minutes of measuring, not after.
    wish = report_gallery.wanted(
        gallery,
        scale=scale,
        models=models,
        images=images,
        crops=crop or (),
        data_dir=data_dir or (),
        weights_dir=weights_dir or (),
        device=device,
    )
    kept = Store(store)
    if live:
        _measure(kept, budget)
    if sweep:
        known = [*Store(COMMITTED).read().records, *kept.read().records]
        report_figures.count_sizes(report_gallery.listed(sweep), scale=scale, store=kept, known=known)
    page = _assembled(kept)
    if wish is not None:
        page = replace(page, gallery=report_gallery.made(wish, page))
    elif live:
        page = replace(page, gallery=report_gallery.sample(scale, page))
    asked = report_figures.difference_files(page, difference, scale=scale, dataset=data, out=out) if difference else {}
    for path, content in asked.items():
        write_bytes_atomically(path, content)
        talk(f"wrote {escape(str(path))}")
    written = write(page, out)
    emit(_tally(page), as_json=as_json, columns=COLUMNS)
    talk(f"wrote {escape(str(written[-1]))}")


def _assembled(kept: Store) -> Report:
    """The report of the committed records and those of a store, as of now."""
    from reports.assemble import assemble
    from reports.claims import load_papers
    from reports.ladder import load_ladders
    from runner import machine
    from runner.plan import Task
    from runner.store import Store, mark_stale

    specs = catalogue()
    contents = [Store(COMMITTED).read(), kept.read()]
    records = [record for content in contents for record in content.records]
    commit = machine.git_commit()
    return assemble(
        tuple(specs.values()),
        load_papers(),
        mark_stale(records, specs, {task.value: task.version for task in Task}),
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        suite=f"esr-bench {importlib.metadata.version('esr-bench')}" + (f", commit {commit[:7]}" if commit else ""),
        ladders=load_ladders(),
        problems=[f"{p.path.name}: {p.reason}" for content in contents for p in content.problems],
    )


def _measure(store: Store, budget_s: float) -> None:
    from reports.claims import load_papers
    from runner.live import live_jobs, run_within
    from zoo.weights import default_store

    jobs = live_jobs(tuple(catalogue().values()), load_papers().values(), store, weights=default_store())
    talk(f"measuring: {len(jobs)} to run, at most {budget_s:g} s")
    with progress() as bar:
        task = bar.add_task("", total=len(jobs))
        done = run_within(jobs, store, lambda event: follow(bar, task, event), budget_s=budget_s)
    if len(done) < len(jobs):
        talk(f"[yellow]the time is spent:[/] {len(jobs) - len(done)} not measured; the same command goes on from there")


def _tally(page: Report) -> list[dict[str, Any]]:
    from reports.compare import VerdictKind

    papers = {judged.paper.key: judged.paper for judged in page.judgements}
    rows: list[dict[str, Any]] = []
    for (paper, table), counts in page.tally.items():
        verdicts = {kind.name.lower(): counts[kind] for kind in VerdictKind}
        about = papers[paper].tables[table]
        rows.append({"paper": paper, "table": about.label, "title": about.title, **verdicts, "numbers": counts.total()})
    return rows
