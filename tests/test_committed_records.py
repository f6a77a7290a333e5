"""The records that come with the suite: readable, current, and what this code measures."""

from __future__ import annotations

import hashlib
import random

import pytest

from runner.cli.report import COMMITTED
from runner.counters import count
from runner.datasets import open_dataset
from runner.plan import Task
from runner.store import Store, mark_stale
from runner.tasks.quality import evaluate
from tests import shared
from zoo.catalogue import catalogue
from zoo.create import create_model
from zoo.facts import Measured, Ok
from zoo.protocols import EvalProtocol, Size

CONTENT = Store(COMMITTED).read()
EVALUATED = [record for record in CONTENT.records if record.key.task == "quality"]
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


def test_means_are_those_of_the_images() -> None:
    for record in EVALUATED:
        for name in ("psnr_y_db", "ssim_y"):
            values = [score[name] for score in record.values["per_image"]]
            assert record.values[name] == pytest.approx(sum(values) / len(values), abs=1e-9), _label(record)


def test_every_record_names_a_protocol_that_this_code_reads_and_the_published_weights() -> None:
    for record in EVALUATED:
        key, spec = record.key, catalogue()[record.key.model]
        assert EvalProtocol.parse(key.protocol).id(key.scale) == key.protocol
        declared = [files[key.scale].sha256 for files in (spec.weights, spec.bundled) if key.scale in files]
        assert key.weights_sha256 in (declared or [None]), _label(record)


def _random_cheap_cell() -> Measured:
    """One of the quality records that took under 4 s, by the records themselves: new records, another choice."""
    cheap = [record for record in EVALUATED if record.key.dataset == "Set5" and record.provenance.duration_s < 4]
    seed = hashlib.sha256("".join(sorted(record.key.digest() for record in EVALUATED)).encode()).hexdigest()
    return random.Random(seed).choice(sorted(cheap, key=lambda record: record.key.digest()))


@pytest.mark.shared
def test_a_random_cell_is_measured_again() -> None:
    shared.require("weights")
    shared.require("datasets")
    record = _random_cheap_cell()
    key, protocol = record.key, EvalProtocol.parse(record.key.protocol)
    dataset = open_dataset(str(key.dataset), key.scale, recipe=protocol.lr_recipe)
    assert dataset.manifest_sha256 == key.dataset_sha256
    spec = catalogue()[key.model]
    network = create_model(spec, key.scale, "official" if spec.learned else None)
    now = evaluate(network, dataset, protocol=protocol)
    for was, score in zip(record.values["per_image"], now["per_image"], strict=True):
        assert score["name"] == was["name"]
        # Another processor rounds sums elsewhere, which moves a few of the uint8 values by one.
        assert score["psnr_y_db"] == pytest.approx(was["psnr_y_db"], abs=2e-3), _label(record)
        assert score["ssim_y"] == pytest.approx(was["ssim_y"], abs=2e-5), _label(record)
