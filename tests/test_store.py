"""Records on disk: round trip, current and stale runs, foreign files, several writers."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.records import BadRecord, KeyFile, ProvenanceFile, from_text, plain, to_text
from runner.store import RecordWarning, Store, StoreUnwritable, frame, mark_stale, safe_name
from zoo.contract import ModelSpec, ReportedOnly
from zoo.facts import SCHEMA_VERSION, Failed, Measured, NotApplicable, Ok, Outcome, Provenance, RunKey

KEY = RunKey(model="net", revision="1", scale=4, task="latency", task_version=1, protocol="cpu-t2", environment="e")
ORIGIN = Provenance(
    created_utc="2026-01-02T03:04:05Z",
    machine={"cpu": "some"},
    versions={"torch": "2"},
    git_commit=None,
    duration_s=1.5,
)
OK = Ok(values={"median_ms": 12.5, "samples_ms": [12.0, 12.5, 13.0], "counters": {"thop": {"multi_adds": 7}}})
AWAY = NotApplicable(reason="not here", remedy="fetch it")
BROKEN = Failed(kind="RuntimeError", message="no")


def record(outcome: Outcome = OK, *, at: str = "2026-01-02T03:04:05Z", **key: object) -> Measured:
    return Measured(
        key=replace(KEY, **key),  # type: ignore[arg-type]
        outcome=outcome,
        provenance=replace(ORIGIN, created_utc=at),
    )


TEXT = st.text(max_size=20)
OPTIONAL = st.none() | TEXT
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.dictionaries(
    TEXT.filter(lambda name: name != "float"),
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(lambda name: name != "float"), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)
RECORDS = st.builds(
    Measured,
    key=st.builds(
        RunKey,
        model=TEXT,
        revision=TEXT,
        scale=st.integers(1, 8),
        task=st.sampled_from(["quality", "complexity", "latency"]),
        task_version=st.integers(1, 9),
        protocol=TEXT,
        weights_sha256=OPTIONAL,
        dataset=OPTIONAL,
        dataset_sha256=OPTIONAL,
        environment=OPTIONAL,
    ),
    outcome=st.builds(Ok, values=VALUES)
    | st.builds(Failed, kind=TEXT, message=TEXT)
    | st.builds(NotApplicable, reason=TEXT, remedy=TEXT),
    provenance=st.builds(
        Provenance,
        created_utc=TEXT,
        machine=st.dictionaries(TEXT, TEXT, max_size=3),
        versions=st.dictionaries(TEXT, TEXT, max_size=3),
        git_commit=OPTIONAL,
        duration_s=st.floats(allow_nan=False, allow_infinity=False),
        weights_origin=OPTIONAL,
    ),
)


@given(RECORDS)
def test_a_record_comes_back_as_it_was(measured: Measured) -> None:
    text = to_text(measured)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert from_text(text) == measured


@settings(max_examples=30)
@given(RECORDS)
def test_any_record_can_be_stored_and_found(tmp_path_factory: pytest.TempPathFactory, measured: Measured) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    path = store.append(measured)
    assert path.resolve().is_relative_to(store.root.resolve())
    assert len(path.relative_to(store.root).parts) == 3
    assert store.find(measured.key) == measured
    assert store.read().problems == ()


def test_nan_comes_back() -> None:
    back = from_text(to_text(record(Ok(values={"a": [math.nan, -math.inf]}))))
    assert math.isnan(back.values["a"][0])
    assert back.values["a"][1] == -math.inf


def test_the_file_has_every_field_of_the_dataclasses() -> None:
    assert list(KeyFile.model_fields) == [f.name for f in fields(RunKey)]
    assert list(ProvenanceFile.model_fields) == [f.name for f in fields(Provenance)]


def test_numpy_scalars_become_numbers_and_other_objects_are_refused() -> None:
    import numpy as np

    assert plain({"a": np.float32(0.5), "b": (np.int64(3),)}) == {"a": 0.5, "b": [3]}
    with pytest.raises(TypeError, match="cannot hold a object"):
        plain({"a": object()})
    with pytest.raises(TypeError, match="no text"):
        plain({1: 2})


def test_a_record_lies_where_the_design_says(tmp_path: Path) -> None:
    assert Store(tmp_path).append(record()) == tmp_path / "net" / "x4" / f"latency-{KEY.key12}.json"


def test_a_second_run_is_added_and_the_first_file_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.append(record(Ok(values={"median_ms": 1.0})))
    before = first.read_bytes()
    second = store.append(record(Ok(values={"median_ms": 2.0})))
    assert second.name == f"latency-{KEY.key12}-2.json"
    assert first.read_bytes() == before
    found = store.find(KEY)
    assert found is not None
    assert found.values["median_ms"] == 2.0
    assert [r.values["median_ms"] for r in store.history(KEY)] == [1.0, 2.0]
    assert len(store.records()) == 1


def test_the_tenth_run_is_newer_than_the_ninth(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(1, 12):
        store.append(record(Ok(values={"run": number})))
    assert [r.values["run"] for r in store.records()] == [11]
    assert [r.values["run"] for r in store.history(KEY)] == list(range(1, 12))


def test_a_finished_run_outlives_a_later_failure_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for outcome in (AWAY, BROKEN):
        store.append(record(outcome))
        assert store.records() == [record(outcome)]
    store.append(record(OK))
    store.append(record(BROKEN))
    assert store.records() == [record(OK)]
    assert store.find(KEY) == record(OK)


def test_saying_again_that_a_run_is_not_applicable_adds_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.append(record(AWAY)) == store.append(record(AWAY))
    assert len(store.history(KEY)) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ('{"schema_version": 1, "key": {"mod', "truncated"),
        ("[1, 2]", "no record of this suite"),
        ('{"results": {}}', "no schema_version"),
        (json.dumps({"schema_version": SCHEMA_VERSION + 1}), "newer"),
        (json.dumps({"schema_version": 1, "key": {}}), "wrong field"),
        (to_text(record()).replace('"scale": 4', '"scale": "4"'), r"key\.scale"),
        (to_text(record()).replace('"scale": 4', '"scale": 4, "surprise": 1'), "surprise"),
        (to_text(record()).replace('"net"', '"other"'), "edited by hand"),
        ("\udcff", "utf-8"),
    ],
)
def test_a_foreign_file_is_named_and_the_others_are_read(tmp_path: Path, content: str, reason: str) -> None:
    store = Store(tmp_path)
    good = record(task="complexity", environment=None)
    store.append(good)
    bad = store.folder(KEY) / f"latency-{KEY.key12}.json"
    bad.write_bytes(content.encode("utf-8", "surrogateescape"))
    (problem,) = store.read().problems
    assert problem.path == bad
    with pytest.warns(RecordWarning, match=reason):
        assert store.records() == [good]


def test_a_corrupt_file_is_kept_and_the_next_run_goes_beside_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.append(record())
    first.write_text("{", encoding="utf-8")
    with pytest.warns(RecordWarning, match=r"not JSON"):
        assert store.find(KEY) is None
    assert store.append(record()).name.endswith("-2.json")
    assert first.read_text(encoding="utf-8") == "{"


def test_a_file_of_another_name_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    (problem,) = Store(tmp_path).read().problems
    assert "no record's name" in str(problem)


def test_a_store_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.records() == []
    assert store.find(KEY) is None
    assert not store.root.exists()


def test_what_a_killed_writer_left_is_not_read_and_goes_with_the_next_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = store.folder(KEY) / ".latency-aaaaaaaaaaaa.json.x1.json"
    left.parent.mkdir(parents=True)
    left.write_text("{", encoding="utf-8")
    assert store.read().problems == ()
    store.append(record())
    assert not left.exists()


def test_a_refused_record_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Store(tmp_path).append(record(Ok(values={"a": object()})))
    assert not list(tmp_path.rglob("*.json"))


def test_a_full_or_closed_disk_is_told_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.append(record(model="first"))

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnwritable, match=r"No space left on device\. Free space"):
        store.append(record())
    assert [path.parent.parent.name for path in tmp_path.rglob("*.json")] == ["first"]
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnwritable, match="--store"):
        Store(tmp_path / "file").append(record())


def _append_many(root: Path, writer: int) -> None:
    store = Store(root)
    for number in range(20):
        store.append(record(Ok(values={"writer": writer, "number": number})))


def test_two_processes_on_one_store_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(tmp_path, writer)) for writer in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = Store(tmp_path)
    runs = [(r.values["writer"], r.values["number"]) for r in store.history(KEY)]
    assert sorted(runs) == [(writer, number) for writer in (1, 2) for number in range(20)]
    assert store.read().problems == ()


@pytest.mark.parametrize("name", ["../up", "..", ".", "", "a/b", "a\\b", ".hidden", "n" * 300, "Ü net", "con\x00trol"])
def test_no_model_name_leaves_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert not safe.startswith(".")
    assert 0 < len(safe) <= 100


def test_names_of_the_catalogue_stay_readable() -> None:
    assert safe_name("agdn_s") == "agdn_s"
    assert safe_name("MyNet") == "MyNet"


SPECS = {"net": ModelSpec(name="net", display_name="Net", build=ReportedOnly(reason="", would_change=""), scales=(4,))}


def _stale(*records: Measured) -> list[bool]:
    return [r.stale for r in mark_stale(records, SPECS, {"latency": 1})]


def test_other_revisions_and_task_versions_are_stale() -> None:
    assert _stale(record(), record(revision="0"), record(task_version=2)) == [False, True, True]


def test_models_and_tasks_that_are_not_known_are_not_judged() -> None:
    assert _stale(record(model="MyNet", revision="abc"), record(task="quality", task_version=9)) == [False, False]


def test_an_older_data_manifest_is_stale() -> None:
    old = record(dataset="Set5", dataset_sha256="a", at="2026-01-01T00:00:00Z")
    new = record(dataset="Set5", dataset_sha256="b", at="2026-01-02T00:00:00Z")
    assert _stale(old, new) == [True, False]
    assert _stale(new, old) == [False, True]


def test_a_mended_run_makes_the_missing_one_stale() -> None:
    away = record(AWAY, dataset="Set5", at="2026-01-03T00:00:00Z")
    assert _stale(away, record(dataset="Set5", dataset_sha256="b")) == [True, False]


def test_other_data_sets_machines_and_weights_do_not_compete() -> None:
    assert not any(
        _stale(record(), record(environment="f"), record(weights_sha256="w"), record(dataset="a"), record(protocol="p"))
    )


def test_an_outdated_run_makes_nothing_else_stale() -> None:
    assert _stale(record(BROKEN), record(revision="0", at="2027-01-01T00:00:00Z")) == [False, True]


def test_frame_has_one_flat_row_per_record() -> None:
    table = frame([record(), record(BROKEN, model="b"), record(AWAY, model="c")])
    assert list(table["status"]) == ["ok", "failed", "not applicable"]
    assert table.loc[0, "median_ms"] == 12.5
    assert table.loc[0, "counters.thop.multi_adds"] == 7
    assert "samples_ms" not in table
    assert table.loc[1, "reason"] == "RuntimeError: no"
    assert table.loc[2, "reason"] == "not here fetch it"
    assert frame([]).empty


def test_a_newer_schema_says_to_update() -> None:
    with pytest.raises(BadRecord, match="update the suite"):
        from_text(json.dumps({"schema_version": 99}))
