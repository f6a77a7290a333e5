"""A large store is read quickly, and says the same as one that is read thoroughly."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runner.store
from runner.reading import LateValues, Reader
from runner.records import BadRecord, from_text, to_text
from runner.store import Store
from tests.made_records import counted, evaluated, failed, not_here
from zoo.facts import Measured, Ok

NASTY = '\n  "values": {\n  }\n },\n "provenance": {"a": [\n   ]'
RECORDS = [
    counted("agdn", params=1, multi_adds=2, counters={"thop": {"params": 3}}),
    evaluated("agdn", psnr_y_db=math.inf, dataset=NASTY),
    failed(NASTY, "quality", protocol="p", message=NASTY),
    not_here("agdn", "latency", protocol="p"),
    replace(evaluated("x", psnr_y_db=1.0), outcome=Ok(values={})),
    replace(
        evaluated("x", psnr_y_db=1.0),
        outcome=Ok(values={"per_image": [], "of": {"inner": [1, [2, [3]]]}, NASTY: [NASTY]}),
    ),
    replace(
        evaluated("x", psnr_y_db=1.0), outcome=Ok(values={"samples_ms": [1.0, math.nan], "values": {"values": {}}})
    ),
]


def _quick(record: Measured, folder: Path) -> Measured:
    path = folder / "record.json"
    path.write_text(to_text(record), encoding="utf-8")
    return Reader().read(str(path))


def _same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # NaN is not itself


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_quick_read_gives_the_same_record(record: Measured, tmp_path: Path) -> None:
    quick = _quick(record, tmp_path)
    assert (quick.key, quick.provenance, quick.schema_version) == (record.key, record.provenance, record.schema_version)
    assert type(quick.outcome) is type(record.outcome)
    assert _same(dict(quick.values), dict(from_text(to_text(record)).values))
    assert to_text(quick) == to_text(record)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(NASTY),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just(NASTY), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(values=st.dictionaries(st.text(max_size=8) | st.just(NASTY), JSON, max_size=4))
def test_any_values_come_back(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    record = replace(evaluated("x", psnr_y_db=1.0), outcome=Ok(values=values))
    quick = _quick(record, tmp_path_factory.getbasetemp())
    assert dict(quick.values) == dict(from_text(to_text(record)).values)


def test_long_lists_are_not_kept_and_still_come_back(tmp_path: Path) -> None:
    images = [{"name": f"image {i}", "psnr_y_db": 30.0} for i in range(1000)]
    record = replace(evaluated("x", psnr_y_db=1.0), outcome=Ok(values={"per_image": images, "psnr_y_db": 30.0}))
    quick = _quick(record, tmp_path)
    assert isinstance(quick.values, LateValues)
    assert len(pickle.dumps(quick)) < 2000
    assert quick.values["psnr_y_db"] == 30.0
    assert list(quick.values) == ["per_image", "psnr_y_db"]
    assert quick.values["per_image"] == images
    assert quick == record


@pytest.mark.parametrize("damage", ['"psnr_y_db": 3', '"per_image": ['], ids=["value", "list"])
def test_values_that_are_no_json_are_named_when_they_are_used(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = replace(evaluated("x", psnr_y_db=33.0), outcome=Ok(values={"psnr_y_db": 33.0, "per_image": [1, 2]}))
    path.write_text(to_text(record).replace(damage, f"{damage}!"), encoding="utf-8")
    values = Reader().read(str(path)).values
    with pytest.raises(BadRecord, match=r"record\.json|not JSON"):
        (values["psnr_y_db"], values["per_image"])


def test_a_large_store_reads_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    for record in RECORDS[:4]:
        store.append(record)
        store.append(replace(record, provenance=replace(record.provenance, created_utc="2025-01-01T00:00:00Z")))
    (tmp_path / "agdn" / "x4" / "quality-0123456789ab.json").write_text("{", encoding="utf-8")
    (tmp_path / "agdn" / "x4" / "note.json").write_text("{}", encoding="utf-8")
    renamed = tmp_path / "agdn" / "x4" / "quality-ffffffffffff.json"
    renamed.write_text(to_text(RECORDS[1]), encoding="utf-8")
    thorough = store.read()
    monkeypatch.setattr(runner.store, "QUICK_FROM", 0)
    quick = store.read()
    assert quick == thorough
    assert len(quick.problems) == 3
    assert any(isinstance(record.values, LateValues) for record in quick.records)


def test_a_newer_schema_and_a_foreign_file_say_what_they_are(tmp_path: Path) -> None:
    content = json.loads(to_text(RECORDS[0])) | {"schema_version": 99}
    for text, message in ((json.dumps(content, indent=1), "newer than this suite"), ('{"a": 1}', "no record")):
        path = tmp_path / "record.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadRecord, match=message):
            Reader().read(str(path))
