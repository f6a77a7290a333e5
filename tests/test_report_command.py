"""`esr report`: what it measures first, what it writes, and what it prints."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reports.claims import load_papers
from runner.cli import app
from runner.live import live_jobs, run_within
from runner.plan import Task
from runner.store import Store
from tests.made_records import counted
from zoo.catalogue import catalogue
from zoo.weights import WeightsStore

TINY = ("bicubic",)


def _nothing_here(tmp_path: Path) -> WeightsStore:
    return WeightsStore((), tmp_path / "no weights")


def test_report_writes_page_tables_and_figures_and_prints_the_tally(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.append(counted("agdn", params=293_400, multi_adds=16_100_000_000))
    result = CliRunner().invoke(
        app, ["report", "--out", str(tmp_path / "page"), "--store", str(tmp_path / "results"), "--json"]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["table"] for row in rows] == [f"Table {n}" for n in range(1, 7)]
    assert sum(row["numbers"] for row in rows) == 712
    for row in rows:
        verdicts = ("reproduced", "explained", "contradicted", "not_measured")
        assert sum(row[verdict] for verdict in verdicts) == row["numbers"]
    assert rows[4]["reproduced"] >= 2
    written = sorted(path.relative_to(tmp_path / "page").as_posix() for path in (tmp_path / "page").rglob("*.*"))
    assert {"index.html", "results.csv", "results.md", "multi_adds.csv"} <= set(written)
    # Which figures there are follows from the committed records.
    assert any(name.startswith("figures/pareto_x4_") for name in written)


def test_an_unreadable_record_is_named_on_the_page(tmp_path: Path) -> None:
    broken = tmp_path / "results" / "agdn" / "x4" / "complexity-0123456789ab.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{", encoding="utf-8")
    result = CliRunner().invoke(app, ["report", "--out", str(tmp_path), "--store", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert "complexity-0123456789ab.json" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_live_plans_cost_then_interpolation_then_speed_and_needs_no_weights(tmp_path: Path) -> None:
    jobs = live_jobs(
        tuple(catalogue().values()), load_papers().values(), Store(tmp_path), weights=_nothing_here(tmp_path)
    )
    assert jobs[0].key.protocol == "lr180x320-exact+thop"
    stages = [task for task, _ in groupby(job.task for job in jobs)]
    assert stages[:3] == [Task.COMPLEXITY, Task.QUALITY, Task.LATENCY]
    assert stages[-1] is Task.COMPLEXITY
    assert {job.key.model for job in jobs if job.task is Task.QUALITY} == {
        spec.name for spec in catalogue().values() if spec.runnable and (not spec.learned or spec.bundled)
    }
    runnable = {spec.name for spec in catalogue().values() if spec.runnable}
    assert {job.key.model for job in jobs if job.task is Task.COMPLEXITY} == runnable
    timed = {spec.name for spec in catalogue().values() if spec.runnable and 4 in spec.scales}
    assert {job.key.model for job in jobs if job.task is Task.LATENCY} == timed


def test_live_asks_for_nothing_that_the_store_holds(tmp_path: Path) -> None:
    specs = [catalogue()[name] for name in TINY]
    store = Store(tmp_path / "results")
    weights = _nothing_here(tmp_path)
    jobs = live_jobs(specs, (), store, weights=weights)
    cheap = [job for job in jobs if job.task is Task.COMPLEXITY]
    records = run_within(cheap, store, lambda _event: None, budget_s=600)
    assert len(records) == len(cheap)
    left = live_jobs(specs, (), store, weights=weights)
    assert {job.task for job in left} == {Task.QUALITY, Task.LATENCY}


@pytest.mark.parametrize(("budget_s", "run"), [(0.0, 0), (1e-9, 1)])
def test_the_budget_ends_measuring_after_the_job_at_work(tmp_path: Path, budget_s: float, run: int) -> None:
    specs = [catalogue()[name] for name in TINY]
    store = Store(tmp_path / "results")
    jobs = live_jobs(specs, (), store, weights=_nothing_here(tmp_path))
    assert len(run_within(jobs, store, lambda _event: None, budget_s=budget_s)) == run
    assert len(store.records()) == run
