"""What the interactive plots are drawn from: only current numbers, each with its run."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re

import pytest

from reports.assemble import assemble
from reports.claims import load_papers
from reports.interactive import curves, differences_payload, image_sets, plots_library, views
from reports.payload import Pools
from reports.statistics import differences
from tests.made_records import counted, evaluated, failed, record, spec, timed
from tests.test_browser_plots import PER_IMAGE, made_report, per_image
from zoo.facts import Measured, Ok
from zoo.protocols import EvalProtocol

MODELS = ("agdn", "bsrn")


def _report(*records: Measured, papers: bool = False) -> object:
    specs = [spec(name) for name in MODELS]
    claims = load_papers() if papers else {}
    return assemble(specs, claims, records, created_utc="2024-05-06T08:00:00Z", suite="made up")


def _measured(view: dict, axis: str) -> dict[str, float]:  # type: ignore[type-arg]
    """Model -> value of one axis."""
    place = [a["key"] for a in view["axes"]].index(axis)
    found = {}
    for model, _name, _ablation, measured, _printed in view["rows"]:
        values = dict(zip(measured[::4], measured[1::4], strict=True))
        if place in values:
            found[model] = values[place]
    return found


def test_values_stand_in_displayed_units_with_the_run_behind_them() -> None:
    run = counted("agdn", params=294_174, multi_adds=16_642_307_416)
    pools = Pools()
    view = views(_report(run).tables, pools)[0]  # type: ignore[attr-defined]
    assert _measured(view, "params") == {"agdn": 294.174}
    assert _measured(view, "multi_adds") == {"agdn": 16.64231}
    row = view["rows"][0]
    fields = pools.content()["runs"][row[3][2]]
    assert run.key.key12 in fields


def test_stale_failed_and_infinite_numbers_make_no_point() -> None:
    quality = EvalProtocol().id(4)
    records = [
        evaluated("agdn", psnr_y_db=math.inf),
        evaluated("bsrn", psnr_y_db=27.0, stale=True),
        failed("agdn", "complexity", protocol="lr180x320-exact"),
        failed("bsrn", "quality", protocol=quality, dataset="Set5"),
    ]
    view = views(_report(*records).tables, Pools())[0]  # type: ignore[attr-defined]
    assert [axis["key"] for axis in view["axes"]] == ["B100 ssim_y"]
    assert [row[0] for row in view["rows"]] == ["agdn"]


def test_memory_is_an_axis_of_its_own_from_the_run_behind_params_and_latency() -> None:
    values = {"params": 1, "multi_adds": 2, "activations": 3, "peak_activation_bytes": 3 * 2**20}
    took = {"median_ms": 5.0, "p10_ms": 4.0, "p90_ms": 6.0, "samples_ms": [5.0], "peak_memory_bytes": 2**20}
    records = [
        record("agdn", "complexity", Ok(values=values), protocol="lr180x320-exact"),
        record("agdn", "latency", Ok(values=took), protocol=timed("x", median_ms=1).key.protocol, environment="e" * 16),
    ]
    view = views(_report(*records).tables, Pools())[0]  # type: ignore[attr-defined]
    memory = [axis["key"] for axis in view["axes"] if axis["metric"] == "peak_memory_bytes"]
    assert [_measured(view, key) for key in memory] == [{"agdn": 3}, {"agdn": 1}]
    assert {axis["unit"] for axis in view["axes"] if axis["key"] in memory} == {"MiB"}


def test_printed_numbers_stand_apart_with_their_citation() -> None:
    pools = Pools()
    view = views(_report(papers=True).tables, pools)[0]  # type: ignore[attr-defined]
    agdn = next(row for row in view["rows"] if row[0] == "agdn")
    assert agdn[3] == []
    texts = pools.content()["texts"]
    assert {texts[place].split(", Table")[0] for place in agdn[4][2::4]} == {"Wang et al., CVPRW 2024"}


@pytest.mark.parametrize("compared", [True, False])
def test_differences_carry_the_statistic_of_the_suite(compared: bool) -> None:
    report = made_report()
    assert len(report.comparisons) == 1
    found = differences_payload(report.tables, report.comparisons if compared else ())
    assert [one["group"] for one in found] == ["B100"]
    models = [model for model, _name in found[0]["models"]]
    values = {model: dict(zip("abcd", PER_IMAGE[model], strict=True)) for model in models}
    expected = {(gap.first, gap.second): (gap.low_db, gap.high_db) for gap in differences(values)}
    assert len(found[0]["intervals"]) == len(expected) == 6
    for i, j, low, high in found[0]["intervals"]:
        pair = (models[i], models[j])
        known = expected.get(pair) or tuple(-end for end in reversed(expected[pair[::-1]]))
        assert (low, high) == pytest.approx(known, abs=1e-4)


def test_a_network_measured_on_other_images_is_not_compared() -> None:
    records = [per_image("agdn", {"a": 1.0, "b": 2.0}), per_image("bsrn", {"a": 1.0, "c": 2.0})]
    assert list(image_sets(_report(*records).tables)) == []  # type: ignore[attr-defined]


def test_an_infinite_image_is_left_out_and_its_set_has_no_interval() -> None:
    records = [per_image("agdn", {"a": math.inf, "b": 2.0}), per_image("bsrn", {"a": 1.0, "b": 2.0})]
    (found,) = differences_payload(_report(*records).tables)  # type: ignore[attr-defined]
    assert found["psnr"][0] == [None, 2.0]
    assert found["intervals"] == []


def test_too_many_images_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.interactive.IMAGE_VALUES", 14)
    values = {f"i{n}": 1.0 + n for n in range(5)}
    specs = [spec(f"net{i}") for i in range(4)]
    report = assemble(
        specs, {}, [per_image(s.name, values) for s in specs], created_utc="2024-05-06T08:00:00Z", suite="made up"
    )
    (found,) = differences_payload(report.tables)
    assert (len(found["models"]), found["left_out"]) == (2, 2)


def test_curves_need_three_sizes_and_take_the_newest_count() -> None:
    def at(lr: str, multi_adds: int, created: str = "2024-05-06T07:08:09Z") -> Measured:
        values = {"multi_adds": multi_adds, "activations": 1, "peak_activation_bytes": None}
        return record("agdn", "complexity", Ok(values=values), protocol=f"lr{lr}-exact", created=created)

    records = [at("64x64", 1), at("128x128", 4), at("256x256", 16), at("64x64", 2, "2025-01-01T00:00:00Z")]
    found = curves(_report(*records))  # type: ignore[arg-type]
    assert found == [[4, "agdn", "AGDN", [[64, 64, 2, 1, None], [128, 128, 4, 1, None], [256, 256, 16, 1, None]]]]
    assert curves(_report(*records[:2])) == []  # type: ignore[arg-type]


def test_the_library_is_whole_deterministic_and_asks_nobody() -> None:
    script = plots_library()
    packed = re.search(r'const PACKED = "([A-Za-z0-9+/=]+)"', script)
    assert packed is not None
    unpacked = gzip.decompress(base64.b64decode(packed[1]))
    assert unpacked.lstrip().startswith(b"/**\n* plotly.js v")
    assert b"Licensed under the MIT license" in unpacked[:300]
    assert len(script) < 2.5 * 2**20
    plots_library.cache_clear()
    assert plots_library() == script


def test_the_same_facts_give_the_same_data() -> None:
    first, second = (
        json.dumps([views(r.tables, Pools()), differences_payload(r.tables), curves(r)])
        for r in (made_report(), made_report())
    )
    assert first == second
