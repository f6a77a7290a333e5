"""The records that come with the suite: readable, current, and what this code measures."""

from __future__ import annotations

import pytest

from runner.cli.report import COMMITTED
from runner.counters import count
from runner.plan import Task
from runner.store import Store, mark_stale
from zoo.catalogue import catalogue
from zoo.facts import Measured, Ok
from zoo.protocols import Size

CONTENT = Store(COMMITTED).read()
COUNTED = [record for record in CONTENT.records if record.key.task == "complexity"]


def _label(record: Measured) -> str:
    return f"{record.key.model}-x{record.key.scale}-{record.key.protocol.split('-')[0]}"


def test_every_file_is_a_record_of_a_finished_run() -> None:
    assert CONTENT.problems == ()
    assert all(isinstance(record.outcome, Ok) for record in CONTENT.records)


def test_none_is_stale_or_from_a_changed_tree() -> None:
    marked = mark_stale(CONTENT.records, catalogue(), {task.value: task.version for task in Task})
    assert [_label(record) for record in marked if record.stale] == []
    assert [_label(record) for record in CONTENT.records if "dirty" in (record.provenance.git_commit or "")] == []


def test_every_network_is_counted_at_every_scale() -> None:
    builds = {(name, scale) for name, spec in catalogue().items() if spec.runnable for scale in spec.scales}
    assert {(record.key.model, record.key.scale) for record in COUNTED} == builds


@pytest.mark.parametrize("record", COUNTED, ids=_label)
def test_the_exact_count_is_what_the_record_says(record: Measured) -> None:
    lr = Size.parse(record.key.protocol.split("-")[0].removeprefix("lr"))
    now = count(catalogue()[record.key.model], lr_size=lr, scale=record.key.scale)
    assert {name: record.values[name] for name in ("params", "multi_adds", "activations", "conv_calls")} == {
        name: now[name] for name in ("params", "multi_adds", "activations", "conv_calls")
    }
