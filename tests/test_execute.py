"""Jobs become records whatever happens: networks that fail, crash or hang, what is missing, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner import execute
from runner.execute import Event, Phase, run
from runner.plan import Job, Policy, Protocols, Selection, Task, expand
from runner.store import Store
from tests.fake_tasks import NETWORKS, Fakes
from tests.shared import ROOT
from zoo.catalogue import catalogue
from zoo.contract import InputTooSmall, ModelSpec
from zoo.facts import Failed, Measured, NotApplicable, Ok
from zoo.files import write_text_atomically
from zoo.protocols import Size


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(NETWORKS, encoding="utf-8")
    return file


def _jobs(store: Store, *models: str, task: Task, **options: Any) -> tuple[Job, ...]:
    selection = Selection(models=models, scales=(4,), tasks=(task,), datasets=("sample",), **options)
    return expand(selection, store, Policy.ALWAYS).jobs


def _only(store: Store, job: Job) -> Measured:
    (record,) = run([job], store)
    assert store.find(job.key) == record
    return record


TINY = Protocols(lr=Size(8, 8), threads=1)


def test_a_finished_job_is_stored_with_its_provenance(fakes: Fakes, store: Store, user_file: Path) -> None:
    record = _only(store, *_jobs(store, f"{user_file}:Toy", task=Task.COMPLEXITY))
    assert record.outcome == Ok(values={"params": 1})
    assert record.provenance.weights_origin is None
    assert {"cpu", "cores", "memory", "system"} <= set(record.provenance.machine)
    assert {"python", "torch"} <= set(record.provenance.versions)


def test_quality_gets_the_network_and_the_data_set_and_tells_of_each_image(
    fakes: Fakes, store: Store, user_file: Path
) -> None:
    events: list[Event] = []
    jobs = _jobs(store, f"{user_file}:Toy", task=Task.QUALITY)
    (record,) = run(jobs, store, events.append)
    assert ("quality", "Toy", "sample") in fakes.calls
    assert [event.phase for event in events] == [Phase.STARTED, Phase.PROGRESS, Phase.FINISHED]
    assert events[1].detail == "first.png"
    assert events[2].record == record
    assert record.provenance.weights_origin == "as built"


def _raise(error: Exception) -> Any:
    raise error


def test_any_error_of_a_task_is_a_failed_record_and_the_next_job_runs(
    fakes: Fakes, store: Store, user_file: Path
) -> None:
    outcomes = iter([lambda: _raise(ZeroDivisionError("planted")), lambda: {"params": 2}])
    fakes.complexity = lambda: next(outcomes)()
    first, second = run(_jobs(store, f"{user_file}:Toy", "agdn", task=Task.COMPLEXITY), store)
    assert isinstance(first.outcome, Failed)
    assert first.outcome.kind == "ZeroDivisionError"
    assert first.outcome.message.startswith("planted (in test_execute.py:")
    assert second.outcome == Ok(values={"params": 2})


def test_values_that_cannot_be_stored_are_a_failure_of_the_job(fakes: Fakes, store: Store, user_file: Path) -> None:
    fakes.complexity = lambda: {"params": object()}
    record = _only(store, *_jobs(store, f"{user_file}:Toy", task=Task.COMPLEXITY))
    assert isinstance(record.outcome, Failed)
    assert record.outcome.kind == "TypeError"


def test_an_input_below_the_minimum_is_not_applicable(fakes: Fakes, store: Store, user_file: Path) -> None:
    fakes.complexity = lambda: _raise(InputTooSmall("too small"))
    record = _only(store, *_jobs(store, f"{user_file}:Toy", task=Task.COMPLEXITY))
    assert record.outcome == NotApplicable(reason="too small", remedy="Choose a larger input size.")


def test_missing_weights_name_the_command_and_no_folder(
    fakes: Fakes, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ESR_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    record = _only(store, *_jobs(store, "agdn", task=Task.QUALITY))
    assert record.outcome == NotApplicable(
        reason="The checkpoint of agdn x4 is not on this machine.", remedy="Run `esr weights pull agdn --scale 4`."
    )
    assert record.provenance.weights_origin == "official"


def test_weights_that_nobody_published_ask_for_a_file(fakes: Fakes, store: Store) -> None:
    ablation = next(spec.name for spec in catalogue().values() if spec.ablation_of and not spec.weights)
    record = _only(store, *_jobs(store, ablation, task=Task.QUALITY))
    assert isinstance(record.outcome, NotApplicable)
    assert "--weights FILE" in record.outcome.remedy


def test_a_known_data_set_that_is_away_names_the_command(fakes: Fakes, store: Store, user_file: Path) -> None:
    selection = Selection(models=(f"{user_file}:Toy",), scales=(4,), tasks=(Task.QUALITY,), datasets=("Set5",))
    record = _only(store, *expand(selection, store).jobs)
    assert isinstance(record.outcome, NotApplicable)
    assert "esr data pull Set5" in record.outcome.remedy


def test_images_that_change_after_planning_are_not_measured(fakes: Fakes, store: Store, user_file: Path) -> None:
    (job,) = _jobs(store, f"{user_file}:Toy", task=Task.QUALITY)
    record = _only(store, replace(job, key=replace(job.key, dataset_sha256="older")))
    assert isinstance(record.outcome, Failed)
    assert "changed after the run was planned" in record.outcome.message


@pytest.mark.parametrize("task", [Task.LATENCY, Task.QUALITY])
def test_a_reported_only_model_says_what_would_change_that(
    fakes: Fakes, store: Store, monkeypatch: pytest.MonkeyPatch, task: Task, reported_only: ModelSpec
) -> None:
    monkeypatch.setitem(catalogue(), reported_only.name, reported_only)
    monkeypatch.setattr(execute, "in_fresh_process", lambda function, job, **_options: function(job))
    record = _only(store, *_jobs(store, reported_only.name, task=task))
    assert record.outcome == NotApplicable(reason="No code was released.", remedy="What would change that: A release.")


def test_ctrl_c_keeps_what_was_finished(fakes: Fakes, store: Store, user_file: Path) -> None:
    outcomes = iter([lambda: {"params": 1}, lambda: _raise(KeyboardInterrupt())])  # type: ignore[arg-type]
    fakes.complexity = lambda: next(outcomes)()
    jobs = _jobs(store, f"{user_file}:Toy", "agdn", task=Task.COMPLEXITY)
    with pytest.raises(KeyboardInterrupt):
        list(run(jobs, store))
    assert [record.key.model for record in store.records()] == ["Toy"]


def test_what_is_stored_is_not_run_again(fakes: Fakes, store: Store, user_file: Path) -> None:
    selection = Selection(models=(f"{user_file}:Toy",), scales=(2, 4), tasks=(Task.COMPLEXITY,))
    runs = run(expand(selection, store).jobs, store)
    next(runs)
    runs.close()
    rest = expand(selection, store)
    assert [job.key.scale for job in rest.jobs] == [4]
    assert [record.key.scale for record in rest.held] == [2]


def test_latency_runs_in_a_process_of_its_own(store: Store, user_file: Path) -> None:
    user_file.write_text(
        NETWORKS
        + "\nclass Telling(Toy):\n    def forward(self, x):\n        raise RuntimeError(f'pid {os.getpid()}')\n",
        encoding="utf-8",
    )
    record = _only(store, *_jobs(store, f"{user_file}:Telling", task=Task.LATENCY, protocols=TINY))
    assert isinstance(record.outcome, Failed)
    assert record.outcome.message.startswith("pid ")
    assert f"pid {os.getpid()} " not in record.outcome.message


def test_crashes_and_errors_in_the_child_are_records_and_the_sound_network_after_them_is_measured(
    store: Store, user_file: Path
) -> None:
    models = [f"{user_file}:{name}" for name in ("Crashing", "Exiting", "Broken", "Toy")]
    jobs = _jobs(store, *models, task=Task.LATENCY, protocols=TINY, max_seconds=0.2)
    crashing, exiting, broken, toy = (record.outcome for record in run(jobs, store))
    assert isinstance(crashing, Failed)
    assert (crashing.kind, "SIGKILL" in crashing.message) == ("Crashed", True)
    assert isinstance(exiting, Failed)
    assert "exit code 7" in exiting.message
    assert broken == Failed(kind="RuntimeError", message=f"planted (in nets.py:{_line('planted')})")
    assert isinstance(toy, Ok)
    assert toy.values["median_ms"] > 0
    assert len(toy.values["samples_ms"]) >= 3


def _line(text: str) -> int:
    return next(n for n, line in enumerate(NETWORKS.splitlines(), start=1) if text in line)


def test_a_hanging_network_is_stopped_and_its_process_is_gone(store: Store, user_file: Path) -> None:
    (job,) = _jobs(store, f"{user_file}:Hanging", task=Task.LATENCY, protocols=TINY, timeout_s=0.5)
    record = _only(store, job)
    assert isinstance(record.outcome, Failed)
    assert record.outcome.kind == "TimedOut"
    assert "Hanging x4 latency gave no result within 0.5 s" in record.outcome.message
    assert not _workers()


def _workers() -> list[psutil.Process]:
    """Living fresh processes of this one; the server they are forked from and multiprocessing's tracker are none."""
    own = psutil.Process()
    standing = {
        c
        for c in own.children()
        if {"forkserver", "resource_tracker"} & set(" ".join(c.cmdline()).replace(".", " ").split())
    }
    return [c for c in own.children(recursive=True) if c not in standing]


def _parent_pid() -> int:
    """Process that asked for this one; os.getppid() is the server it was forked from."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    return parent.pid


def _interrupt_parent() -> None:
    os.kill(_parent_pid(), signal.SIGINT)
    signal.pause()


def test_ctrl_c_ends_the_child() -> None:
    from runner.isolation import in_fresh_process

    # A pytest-xdist worker ignores the signal; a terminal's program does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_fresh_process(_interrupt_parent, timeout_s=60, what="it")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not _workers()


_PARENT = """
import os, signal, sys
from runner.isolation import in_fresh_process
from tests.test_execute import _tell_and_hang

if __name__ == "__main__":
    in_fresh_process(_tell_and_hang, sys.argv[1], timeout_s=600, what="it")
"""


def _tell_and_hang(file: str) -> None:
    write_text_atomically(Path(file), str(os.getpid()))
    os.kill(_parent_pid(), signal.SIGKILL)
    signal.pause()


def test_a_hanging_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program, told = tmp_path / "parent.py", tmp_path / "pid"
    program.write_text(_PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.run([sys.executable, str(program), str(told)], env=environment, cwd=ROOT, check=False)
    assert parent.returncode == -signal.SIGKILL
    child = int(told.read_text(encoding="utf-8"))
    try:
        psutil.Process(child).wait(timeout=30)
    except psutil.NoSuchProcess:
        return
