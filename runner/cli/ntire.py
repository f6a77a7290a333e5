"""`esr ntire`: an NTIRE-style complexity report, and the ranking of a file of teams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from runner.cli.latency import Device, MaxSeconds, Threads, require_device
from runner.cli.options import DataDir, Json, Weights, WeightsDir
from runner.cli.output import json_text, progress, talk
from zoo.contract import BadInput, EsrError
from zoo.files import write_text_atomically

if TYPE_CHECKING:
    from reports.ntire import Entry, ThresholdRule
    from reports.ntire_editions import Edition
    from runner.challenge import Measurement, Request

PUBLISHED = "published"
MEASURED = "measured"

OptionalModels = Annotated[
    list[str] | None, typer.Argument(metavar="MODEL...", help="Zoo name, or my_net.py:MyNet; none with --rank.")
]
Year = Annotated[int, typer.Option("--edition", help="2022, 2024, 2025 or 2026.")]
Teams = Annotated[
    Path | None,
    typer.Option(
        "--rank",
        help="Rank a CSV with the columns team, val_psnr, test_psnr, runtime_ms, params_m, flops_g (optionally "
        "activations_m, memory_mib), or a results.json of the organisers.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Images for PSNR and runtime: a folder with the organisers' DIV2K_LSDIR_valid_HR and _LR (and _test_), or "
        "any data set. Without it times are taken at LR 256x256.",
    ),
]
BaselineOf = Annotated[
    str,
    typer.Option(
        "--baseline",
        help="What is scored against: the published values, `measured` (times the edition's baseline here), or a "
        "model to time here. 2022 has no score; there it is shown beside the models.",
    ),
]
RawThreshold = Annotated[
    bool, typer.Option("--raw-threshold", help="Compare PSNR with the threshold unrounded, not as printed.")
]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Times each image is run; its median counts.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for report.json and, with --data, results.json and results.txt.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("ntire", epilog="Example: esr ntire agdn_s --edition 2024")(ntire)


def ntire(
    models: OptionalModels = None,
    edition: Year = 2024,
    rank: Teams = None,
    data: Data = None,
    baseline: BaselineOf = PUBLISHED,
    raw_threshold: RawThreshold = False,
    device: Device = "cpu",
    threads: Threads = None,
    runs: Runs = 1,
    max_seconds: MaxSeconds = 20.0,
    weights: Weights = "official",
    weights_dir: WeightsDir = None,
    data_dir: DataDir = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Measure models as an NTIRE efficient SR challenge does (x4, LR 256x256), or rank a file of teams.

    A runtime of this machine is not comparable with the published baseline's, so the main score is left open unless
    the baseline is measured here too: --baseline measured.
    """
    from reports.ntire import ThresholdRule
    from reports.ntire_editions import edition_of

    chosen = edition_of(edition)
    rule = ThresholdRule.RAW if raw_threshold else ThresholdRule.PRINTED
    if (rank is None) == (not models):
        raise BadInput("Expected either models to measure or a file to rank: `esr ntire agdn_s` or --rank teams.csv.")
    if rank is not None:
        _rank_file(rank, chosen, rule, out=out, as_json=as_json)
        return

    from runner import machine
    from runner.challenge import Request

    require_device(device)
    request = Request(
        edition=chosen,
        device=device,
        threads=threads or machine.default_threads(),
        data=data,
        data_folders=tuple(data_dir or ()),
        weights=weights,
        weights_folders=tuple(weights_dir or ()),
        runs=runs,
        max_seconds=max_seconds,
    )
    _report(models or [], request, rule, baseline=baseline, out=out, as_json=as_json)


def _rank_file(path: Path, edition: Edition, rule: ThresholdRule, *, out: Path | None, as_json: bool) -> None:
    from reports.ntire import rank, sensitivity, uncounted_suspicion
    from reports.ntire_rows import score_fields, team_row
    from runner.cli import ntire_tables

    entries = _read_entries(path)
    standings = rank(entries, edition, rule=rule)
    changes = sensitivity(entries, edition, rule=rule)
    rows = [
        team_row(standing.entry)
        | score_fields(standing, edition, baseline=edition.baseline, baseline_source=PUBLISHED, sensitivities=changes)
        for standing in standings
    ]
    ntire_tables.emit_teams(rows, edition, as_json=as_json)
    ntire_tables.explain(standings, edition, rule, edition.baseline, PUBLISHED)
    talk(f"the file does not say where it was timed; the organisers timed on: {edition.hardware}")
    for entry in entries:
        if suspicion := uncounted_suspicion(entry):
            talk(f"[yellow]FLOPs:[/] {escape(suspicion)}")
    if out is not None:
        _write_report(out, rows)


def _read_entries(path: Path) -> list[Entry]:
    from reports.ntire_files import entries_of, read_results, read_teams

    if not path.is_file():
        raise BadInput(f"{path} does not exist. Pass a CSV of teams or a results.json to --rank.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no UTF-8 text: {error.reason}. Save it as UTF-8.") from error
    if path.suffix == ".json":
        if not (entries := entries_of(read_results(text, where=str(path)))):
            raise BadInput(f"{path} names no team. Expected one entry per team.")
        return entries
    return read_teams(text, where=str(path))


def _report(
    references: list[str], request: Request, rule: ThresholdRule, *, baseline: str, out: Path | None, as_json: bool
) -> None:
    from reports.ntire import rank, sensitivity
    from reports.ntire_rows import score_fields
    from runner.challenge_report import BASELINE_SUFFIX, entry_of, measured_baseline, model_row
    from runner.cli import ntire_tables

    baseline_reference = _check(references, request, baseline)
    measured, failed = _measure(references, baseline_reference, request)
    against, source = request.edition.baseline, PUBLISHED
    named = {m.name: m for m in (measured.get(reference) for reference in references) if m}
    here = baseline_reference is not None
    if baseline_reference is not None:
        reference_run = measured[baseline_reference]
        against, source = measured_baseline(reference_run), f"measured on {reference_run.timing.device_name}"
        named[reference_run.name + BASELINE_SUFFIX] = reference_run
    entries = [entry_of(m, request.edition, name=name, baseline_measured=here) for name, m in named.items()]
    standings = rank(entries, request.edition, rule=rule, baseline=against)
    # What the organisers printed for their card says nothing of a baseline that was timed here.
    changes = {} if here else sensitivity(entries, request.edition, rule=rule)
    rows = [
        model_row(named[standing.entry.team], request.edition, baseline_measured=here)
        | score_fields(standing, request.edition, baseline=against, baseline_source=source, sensitivities=changes)
        for standing in standings
    ]
    rows += [{"model": name, "edition": request.edition.year, "error": message} for name, message in failed.items()]
    ntire_tables.emit_models(rows, request.edition, as_json=as_json)
    ntire_tables.explain(standings, request.edition, rule, against, source)
    ntire_tables.explain_models(rows, [*named.values()], request.edition)
    if out is not None:
        _write_report(out, rows)
        _write_results(out, named)
    if failed:
        raise typer.Exit(1)


def _check(references: list[str], request: Request, baseline: str) -> str | None:
    """Reference of the model to time as the baseline, None for the published one; raises before hours are spent."""
    from runner.challenge import open_sets, spec_for_challenge

    names = [spec_for_challenge(reference).name for reference in references]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{doubled} is named twice. Name each model once.")
    if request.data is not None:
        open_sets(request)
    if baseline == PUBLISHED:
        return None
    edition = request.edition
    if baseline == MEASURED and edition.baseline.model is None:
        raise BadInput(
            f"The suite has no network {edition.baseline.name}, the baseline of {edition.year}. "
            f"Pass --baseline with a model of yours: --baseline my_{edition.baseline.name.lower()}.py:CLASS."
        )
    reference = edition.baseline.model or baseline if baseline == MEASURED else baseline
    spec_for_challenge(reference)
    return reference


def _measure(
    references: list[str], baseline: str | None, request: Request
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Measurements and error messages, by reference. Without its baseline a report is nothing: that error is raised."""
    from runner.challenge import measure

    measured: dict[str, Measurement] = {}
    failed: dict[str, str] = {}
    todo = dict.fromkeys(([baseline] if baseline else []) + references)
    with progress() as bar:
        task = bar.add_task("ntire", total=len(todo))
        for reference in todo:
            bar.update(task, description=escape(reference))
            try:
                measured[reference] = measure(reference, request)
            except EsrError as error:
                if reference == baseline:
                    raise
                talk(f"[bold red]failed:[/] {escape(str(error))}")
                failed[reference] = str(error)
            bar.advance(task)
    return measured, failed


def _write_report(folder: Path, rows: list[dict[str, Any]]) -> None:
    path = folder / "report.json"
    write_text_atomically(path, json_text(rows))
    talk(f"wrote {escape(str(path))}")


def _write_results(folder: Path, named: dict[str, Measurement]) -> None:
    """results.json and results.txt of these models and of those that the folder held before, as the organisers do."""
    from reports.ntire_files import read_results, results_json, results_txt
    from runner.challenge_report import organisers_results

    new = organisers_results(named)
    if not new:
        talk("no results.json and results.txt: the organisers' files hold times and PSNR of images. Pass --data.")
        return
    path = folder / "results.json"
    old = read_results(path.read_text(encoding="utf-8"), where=str(path)) if path.is_file() else {}
    if replaced := sorted(old.keys() & new.keys()):
        talk(f"replaced in results.json: {escape(', '.join(replaced))}")
    results = dict(sorted((old | new).items()))
    write_text_atomically(path, results_json(results))
    write_text_atomically(folder / "results.txt", results_txt(results))
    talk(f"wrote {escape(str(path))} and results.txt ({len(results)} models)")
