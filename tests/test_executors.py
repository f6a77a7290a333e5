"""One plan, several executors: the same records, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner import machine
from runner.execute import Event, Executor, InProcess, Phase, run
from runner.executors import Where, opened
from runner.executors.local import Pool
from runner.executors.team import NoWorkers, Team
from runner.executors.worker import Card, WorkerDied, card
from runner.plan import Job, Policy, Protocols, Selection, Task, expand
from runner.store import Store
from tests.cli import esr
from tests.fake_workers import NETWORKS
from zoo.contract import BadInput
from zoo.facts import Failed, Measured, NotApplicable, Ok
from zoo.protocols import Size

SMALL = Protocols(lr=Size(8, 8), counters=("exact",), threads=1)


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    file = tmp_path / "nets.py"
    file.write_text(NETWORKS, encoding="utf-8")
    return file


def plan(nets: Path, store: Store, *names: str, tasks: tuple[Task, ...] = (Task.QUALITY,), **more: Any) -> list[Job]:
    models = tuple(f"{nets}:{name}" for name in names)
    selection = Selection(models=models, scales=(4,), tasks=tasks, datasets=("sample",), protocols=SMALL, **more)
    return list(expand(selection, store, Policy.ALWAYS).jobs)


def kill_at_its_first_image(nets: Path) -> Any:
    """A listener that kills the process of `Victim` when that has told of an image."""

    def listen(event: Event) -> None:
        if event.phase is Phase.PROGRESS and event.job.key.model == "Victim" and "worker died" not in event.detail:
            pid = int((nets.parent / "pid").read_text(encoding="utf-8"))
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)

    return listen


def by_key(records: Sequence[Measured]) -> dict[str, object]:
    return {record.key.digest(): record.outcome for record in records}


def compare_with_a_kill(nets: Path, tmp_path: Path, executor: Executor) -> None:
    """A plan with sound, broken and missing things, one worker killed on the way: records as without any of that."""
    store = Store(tmp_path / "results")
    jobs = plan(nets, store, "Toy", "Broken", "Other", tasks=(Task.COMPLEXITY, Task.QUALITY))
    jobs.insert(1, *plan(nets, store, "Victim"))
    seen: list[Event] = []
    kill = kill_at_its_first_image(nets)

    def listen(event: Event) -> None:
        seen.append(event)
        kill(event)

    records = list(run(jobs, store, listen, executor))
    # The file with the process is there now, so that the network runs through here.
    expected = list(run(jobs, Store(tmp_path / "expected")))
    assert len(records) == len(jobs) == 7
    assert by_key(records) == by_key(expected)
    assert sum(isinstance(record.outcome, Failed) for record in records) == 2
    assert by_key(store.records()) == by_key(records)
    assert not store.read().problems
    assert {tuple(record.provenance.machine.items()) for record in records} == {tuple(machine.describe().items())}
    assert {record.provenance.weights_origin for record in records} == {"as built", None}
    again = [event.detail for event in seen if "tried once more" in event.detail]
    assert len(again) == 1
    finished = [event.job.key.digest() for event in seen if event.phase is Phase.FINISHED]
    assert sorted(finished) == sorted(by_key(records))
    images = [event.detail for event in seen if event.phase is Phase.PROGRESS and event.job.key.model == "Other"]
    assert len(images) == 4


def test_a_pool_makes_the_records_of_one_process_though_a_worker_is_killed(nets: Path, tmp_path: Path) -> None:
    with opened(Where.LOCAL, jobs=2) as executor:
        assert isinstance(executor, Pool)
        compare_with_a_kill(nets, tmp_path, executor)
    assert not _workers()


def test_a_job_that_kills_two_workers_has_failed_and_the_next_one_runs(nets: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    with opened(Where.LOCAL, jobs=2) as executor:
        deadly, toy = sorted(run(plan(nets, store, "Deadly", "Toy"), store, executor=executor), key=_model)
    assert isinstance(deadly.outcome, Failed)
    assert deadly.outcome.kind == "WorkerDied"
    assert deadly.outcome.message.count("killed by SIGKILL") == 2
    assert "Deadly x4 quality sample" in deadly.outcome.message
    assert isinstance(toy.outcome, Ok)


def _model(record: Measured) -> str:
    return record.key.model


def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished(nets: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")

    def interrupt(event: Event) -> None:
        if event.phase is Phase.PROGRESS and event.job.key.model == "Victim":
            raise KeyboardInterrupt

    # Finished before the other tells of an image: that one waits at its second.
    finished = plan(nets, store, "Toy", tasks=(Task.COMPLEXITY,))
    with opened(Where.LOCAL, jobs=2) as executor:
        list(run(finished, store, executor=executor))
        with pytest.raises(KeyboardInterrupt):
            list(run(plan(nets, store, "Victim"), store, interrupt, executor))
    assert [record.key.model for record in store.records()] == ["Toy"]
    assert not _workers()


def _workers() -> list[psutil.Process]:
    """Living children but multiprocessing's own servers."""
    own = psutil.Process()
    servers = ("forkserver import main", "resource_tracker import main")
    standing = {c for c in own.children() if any(server in " ".join(c.cmdline()) for server in servers)}
    return [c for c in own.children(recursive=True) if c not in standing]


def test_one_job_at_a_time_needs_no_process() -> None:
    with opened(Where.LOCAL) as alone, opened(Where.LOCAL, jobs=1) as one:
        assert isinstance(alone, InProcess)
        assert isinstance(one, InProcess)


def test_the_address_of_a_cluster_needs_ray() -> None:
    with pytest.raises(BadInput, match="--executor ray"), opened(Where.LOCAL, address="127.0.0.1:6379"):
        pass


# How jobs are dealt out, with workers that are objects.


@dataclass(eq=False)
class _Worker:
    card: Card
    log: list[str]
    mortal: set[str]
    job: Job | None = None

    def give(self, job: Job) -> None:
        self.job = job
        self.log.append(f"+{job.key.task}")

    def hear(self) -> str | Measured:
        assert self.job is not None
        self.log.append(f"-{self.job.key.task}")
        if self.job.key.task in self.mortal:
            raise WorkerDied("planted")
        return Measured(key=self.job.key, outcome=Ok(values={}), provenance=self.card.provenance)

    def end(self) -> None:
        self.log.append("end")


@dataclass
class _Place:
    size: int
    cards: list[Card]
    mortal: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    hires: int = 10

    def hire(self, count: int) -> list[_Worker]:
        count = min(count, self.hires)
        self.hires -= count
        return [_Worker(self.cards[index % len(self.cards)], self.log, self.mortal) for index in range(count)]

    def wait(self, busy: Sequence[_Worker]) -> list[_Worker]:
        return [busy[0]]


def _all(place: _Place, jobs: Sequence[Job]) -> list[Measured]:
    return [record for _index, record in Team(place).measure_all(jobs, lambda index, detail: True)]


@pytest.fixture
def mixed(nets: Path, tmp_path: Path) -> list[Job]:
    """Four jobs that may share a machine, two timings."""
    return plan(nets, Store(tmp_path), "Toy", "Other", tasks=tuple(Task))


def test_a_latency_has_its_machine_to_itself(mixed: list[Job]) -> None:
    place = _Place(2, [card("here")])
    assert len(_all(place, mixed)) == 6
    at_once = 0
    for step in place.log:
        at_once += {"+": 1, "-": -1}.get(step[0], 0)
        if step == "+latency":
            assert at_once == 1
    assert max(place.log.index(f"-{task}") for task in ("quality", "complexity")) < place.log.index("+latency")
    assert place.log.count("end") == 2


def test_two_machines_take_latencies_at_once(mixed: list[Job]) -> None:
    place = _Place(2, [card("here"), card("there")])
    _all(place, [job for job in mixed if job.key.task == "latency"])
    assert place.log[:2] == ["+latency", "+latency"]


def test_a_latency_runs_on_the_machine_it_was_planned_for_or_not_at_all(mixed: list[Job]) -> None:
    other = replace(card("there"), environments={"cpu": "another", "cuda": "another"})
    (record,) = _all(_Place(1, [other]), [job for job in mixed if job.key.task == "latency"][:1])
    assert isinstance(record.outcome, NotApplicable)
    assert "Toy x4 latency" in record.outcome.reason


def test_latencies_are_planned_for_the_machine_that_most_workers_are_on() -> None:
    other = replace(card("there"), environments={"cpu": "another", "cuda": "another"}, threads=7)
    team = Team(_Place(3, [other, card("here"), other]))
    assert team.environment("cpu") == "another"
    assert team.threads() == min(7, machine.default_threads())


def test_when_nobody_is_left_the_run_ends_with_what_is_finished(mixed: list[Job]) -> None:
    place = _Place(1, [card("here")], mortal={"quality"}, hires=1)
    records = Team(place).measure_all(mixed, lambda index, detail: True)
    assert next(records)[1].key.task == "complexity"
    with pytest.raises(NoWorkers, match="start the same command again"):
        list(records)


def test_bench_jobs_option_gives_the_rows_of_one_process(
    nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("bench", f"{nets}:Toy", f"{nets}:Other", "--scale", "2,4", "--tasks", "quality", "--json", "--store")
    several = esr(capsys, *command, str(tmp_path / "a"), "--jobs", "2")
    one = esr(capsys, *command, str(tmp_path / "b"))
    assert several.code == one.code == 0
    assert "4/4 " in several.stderr
    drop = {"created_utc"}
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in result.rows] for result in (several, one)]
    assert json.dumps(rows[0]) == json.dumps(rows[1])
