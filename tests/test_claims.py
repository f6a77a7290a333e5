"""Claims inside one process: what another run holds comes last, what it has made is not made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.claims import Claims
from runner.execute import WAITING, Event, Phase, run
from runner.journal import Journal
from runner.plan import Job
from runner.store import Store
from tests.test_store import record
from zoo.contract import JobFailed
from zoo.facts import Measured
from zoo.protocols import EvalProtocol

FIRST, SECOND = record(task="quality", model="first"), record(task="quality", model="second")


def _job(made: Measured) -> Job:
    return Job(reference=made.key.model, key=made.key, protocol=EvalProtocol())


def test_a_job_of_another_run_comes_last_and_its_record_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    jobs = [_job(FIRST), _job(SECOND)]
    seen: list[tuple[str, Phase, str]] = []
    measured: list[str] = []

    def measure(job: Job, _progress: object) -> Measured:
        measured.append(job.key.model)
        return SECOND

    with Claims.of(jobs, store) as other:
        assert other.begin(0)

        def follow(event: Event) -> None:
            seen.append((event.job.key.model, event.phase, event.detail))
            if event.detail == WAITING:
                other.finish(0, FIRST)

        monkeypatch.setattr("runner.execute.measure", measure)
        assert list(run(jobs, store, follow)) == [SECOND, FIRST]
    assert measured == ["second"]
    assert seen == [
        ("second", Phase.STARTED, ""),
        ("second", Phase.FINISHED, ""),
        ("first", Phase.PROGRESS, WAITING),
        ("first", Phase.FINISHED, "by another run"),
    ]


def test_a_record_made_since_the_plan_is_not_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Claims.of([_job(FIRST)], store) as claims:
        store.append(FIRST)
        assert not claims.begin(0)
        assert claims.made == {0: FIRST}
    with Claims.of([_job(FIRST)], store) as claims:
        assert claims.begin(0), "one that was there before is to be made anew, or would not be planned"


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def stop_in_a_job() -> None:
        with Claims.of([_job(FIRST)], store) as claims:
            assert claims.begin(0)
            raise JobFailed("stop")

    with pytest.raises(JobFailed):
        stop_in_a_job()
    with Claims.of([_job(FIRST)], store) as claims:
        assert claims.begin(0)


def test_a_journal_older_than_its_record_is_dropped_and_a_newer_one_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for made in (FIRST, SECOND):
        with Journal.open(store.journal_folder(made.key), "job") as journal:
            journal.add("a", {})
    store.append(FIRST)
    with Claims.of([], store):
        assert store.journals() == [store.journal_folder(SECOND.key)]


def test_a_tiled_record_answers_for_its_job(tmp_path: Path) -> None:
    store, job = Store(tmp_path), _job(FIRST)
    tiled = replace(FIRST, key=job.keys[1])
    assert tiled.key.protocol.endswith("+oomtiles")
    with Claims.of([job], store) as claims:
        store.append(tiled)
        assert not claims.begin(0)
        assert claims.made == {0: tiled}
