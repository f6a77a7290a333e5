"""Tables, figures and exports say what the records say: measured, printed, missing, failed, stale."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from reports.assemble import Report, assemble, outcome_counts
from reports.claims import load_papers
from reports.compare import VerdictKind
from reports.figures import draw, themed
from reports.html import TEMPLATES, page
from reports.pareto import Point, pareto_front
from reports.sections import SECTIONS
from reports.tables import Cell, CellKind, Slot, Table
from reports.text import results_csv, results_markdown, three_ways_csv, three_ways_markdown
from reports.three_ways import ThreeWays
from reports.write import write
from tests.made_records import SHA256, by_papers_rule, counted, evaluated, failed, not_here, spec, timed
from zoo.contract import ModelSpec, Weights
from zoo.facts import Measured
from zoo.protocols import EvalProtocol

WEIGHTS = {4: Weights(file="x.pth", sha256=SHA256, size_bytes=1, url=None, licence="MIT")}
AGDN = spec("agdn", display_name="AGDN", weights=WEIGHTS)
BSRN = spec("bsrn", display_name="BSRN", weights=WEIGHTS)


def _report(records: list[Measured], *specs: ModelSpec) -> Report:
    return assemble(
        specs or (AGDN, BSRN), load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="esr-bench 0"
    )


def _slot(table: Table, model: str, column: str) -> Slot:
    row = next(row for row in table.rows if row.model == model)
    return row.slots[[c.key for c in table.columns].index(column)]


def _cell(records: list[Measured], column: str, *specs: ModelSpec, model: str = "agdn") -> Cell:
    return _slot(_report(records, *specs).tables[0], model, column).measured


# --- cells --------------------------------------------------------------------------------------------------------


def test_measured_and_printed_stand_side_by_side_in_two_kinds() -> None:
    run = evaluated("agdn", psnr_y_db=27.7196)
    slot = _slot(_report([run]).tables[0], "agdn", "B100 psnr_y_db")
    assert (slot.measured.kind, slot.measured.text, slot.measured.runs) == (CellKind.MEASURED, "27.72", (run,))
    assert slot.printed is not None
    assert (slot.printed.kind, slot.printed.text) == (CellKind.REPORTED, "27.72")
    assert slot.printed.citation == "Wang et al., CVPRW 2024, Table 5, row AGDN(Ours)"
    assert slot.printed.verdict is not None
    assert slot.printed.verdict.kind is VerdictKind.REPRODUCED


def test_a_printed_number_never_fills_a_measured_cell() -> None:
    for table in _report([]).tables:
        for row in table.rows:
            assert all(slot.measured.kind is CellKind.MISSING and slot.measured.value is None for slot in row.slots)


def test_a_missing_cell_names_the_command_that_fills_it() -> None:
    remedies = {}
    for column in ("params", "Set5 psnr_y_db", "median_ms cpu-plain"):
        remedy = _cell([], column).remedy
        assert remedy is not None
        remedies[column] = remedy.text("agdn")
    assert remedies == {
        "params": "`esr bench agdn --scale 4 --tasks complexity`",
        "Set5 psnr_y_db": "`esr weights pull agdn --scale 4`, "
        "then `esr bench agdn --scale 4 --tasks quality --data Set5`",
        "median_ms cpu-plain": "`esr bench agdn --scale 4 --tasks latency --latency-lr 128x128`",
    }


def test_failed_not_applicable_and_missing_are_three_things() -> None:
    protocol = EvalProtocol().id(4)
    records = [
        failed("agdn", "quality", protocol=protocol, dataset="B100"),
        not_here("bsrn", "quality", protocol=protocol, dataset="B100"),
    ]
    table = _report(records, AGDN, BSRN, spec("imdn")).tables[0]
    kinds = [_slot(table, model, "B100 psnr_y_db").measured.kind for model in ("agdn", "bsrn", "imdn")]
    assert kinds == [CellKind.FAILED, CellKind.NOT_APPLICABLE, CellKind.MISSING]


def test_a_run_that_never_saw_the_images_stands_in_the_column_of_those_that_did() -> None:
    records = [
        evaluated("agdn", psnr_y_db=27.72),
        not_here("bsrn", "quality", protocol=EvalProtocol().id(4), dataset="B100"),
    ]
    assert _cell(records, "B100 psnr_y_db", model="bsrn").kind is CellKind.NOT_APPLICABLE


def test_current_beats_stale_finished_beats_failed_official_beats_bundled_newest_wins() -> None:
    old = evaluated("agdn", psnr_y_db=1.0, created="2020-01-01T00:00:00Z")
    new = evaluated("agdn", psnr_y_db=2.0, created="2021-01-01T00:00:00Z")
    bundled = evaluated("agdn", psnr_y_db=3.0, created="2022-01-01T00:00:00Z", origin="bundled")
    broken = failed("agdn", "quality", protocol=EvalProtocol().id(4), dataset="B100", created="2023-01-01T00:00:00Z")
    stale = evaluated("agdn", psnr_y_db=4.0, created="2024-01-01T00:00:00Z", stale=True)
    ladder = [stale, broken, bundled, old, new]
    texts = [_cell(ladder[: n + 1], "B100 psnr_y_db").text for n in range(len(ladder))]
    assert texts == ["4.00", "failed", "3.00", "1.00", "2.00"]


def test_a_stale_number_is_flagged_and_unusual_weights_are_told() -> None:
    assert _cell([evaluated("agdn", psnr_y_db=27.72, stale=True)], "B100 psnr_y_db").stale
    bundled = _cell([evaluated("agdn", psnr_y_db=27.72, origin="bundled")], "B100 psnr_y_db")
    assert bundled.detail == "bundled weights"


def test_latency_shows_its_interval_and_machines_do_not_mix() -> None:
    records = [timed("agdn", median_ms=10.0), timed("bsrn", median_ms=99.0, environment="f" * 16)]
    table = _report(records).tables[0]
    places = [i for i, c in enumerate(table.columns) if c.metric.name == "median_ms"]
    texts = {row.model: [row.slots[i].measured.text for i in places] for row in table.rows}
    assert texts == {"agdn": ["10.0", "not measured"], "bsrn": ["not measured", "99.0"]}
    assert table.rows[0].slots[places[0]].measured.detail == "9.0–12.0"
    assert all(row.slots[i].printed is None for row in table.rows for i in places)


def test_other_images_or_protocols_get_columns_of_their_own() -> None:
    usual = [evaluated(name, psnr_y_db=27.7) for name in ("agdn", "imdn")]
    other = evaluated("bsrn", psnr_y_db=27.0, dataset_sha256="ef" * 32)
    keys = [c.key for c in _report([*usual, other]).tables[0].columns]
    assert "B100 psnr_y_db" in keys
    assert "B100 #efefef psnr_y_db" in keys


def test_multi_adds_printed_at_another_size_do_not_stand_beside() -> None:
    table = _report([], spec("smfan", scales=(4,))).tables[0]
    assert _slot(table, "smfan", "multi_adds").printed is None
    assert _slot(table, "smfan", "params").printed is not None


def test_a_model_known_by_its_records_only_has_a_row() -> None:
    assert _cell([counted("my_net", params=1000, multi_adds=10**9)], "params", model="my_net").value == 1000


# --- the whole ----------------------------------------------------------------------------------------------------


def test_every_printed_number_has_exactly_one_verdict() -> None:
    report = _report([counted("agdn", params=293_400, multi_adds=1)])
    assert len(report.judgements) == report.total.total() == 712
    assert {table: sum(counts.values()) for (_, table), counts in report.tally.items()} == {
        "table1": 60,
        "table2": 24,
        "table3": 20,
        "table4": 36,
        "table5": 542,
        "table6": 30,
    }
    # 293K of AGDN x4 stands in Tables 1, 2, 4 and 5.
    assert report.total[VerdictKind.REPRODUCED] == 4


def test_runs_are_counted_by_outcome_and_stale_ones_apart() -> None:
    records = [timed("agdn", median_ms=1.0), timed("bsrn", median_ms=1.0, stale=True)]
    assert outcome_counts(records) == {"finished": 1, "failed": 0, "not applicable": 0, "stale": 1}


def _exports(stem: str) -> list[str]:
    modes = ("", "-measured", "-printed", "-difference")
    return [*(f"{stem}{mode}.{kind}" for mode in modes for kind in ("csv", "md", "tex")), f"{stem}.json"]


def test_the_same_facts_give_the_same_bytes(tmp_path: Path) -> None:
    records = [
        *(counted(name, params=300_000, multi_adds=16 * 10**9) for name in ("agdn", "bsrn")),
        *(evaluated(name, psnr_y_db=27.5) for name in ("agdn", "bsrn")),
    ]
    first, second = (write(_report(order), tmp_path / name) for name, order in (("a", records), ("b", records[::-1])))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    names = [path.relative_to(tmp_path / "a").as_posix() for path in first]
    assert names == [
        "figures/pareto_x4_b100_measured.svg",
        "figures/pareto_x4_b100_measured.pdf",
        "figures/pareto_x4_b100_printed.svg",
        "figures/pareto_x4_b100_printed.pdf",
        "results.csv",
        "multi_adds.csv",
        "results.md",
        *(f"tables/{name}" for table in range(1, 7) for name in _exports(f"table{table}")),
        "tables/all.tex",
        "index.html",
    ]


def test_the_page_asks_for_nothing_outside_itself() -> None:
    text = page(_report([]), {f.key: draw(f) for f in _report([]).figures})
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', re.sub(r'xmlns(?::\w+)?="[^"]*"', "", text))
    assert "@import" not in text
    assert "url(http" not in text


def test_page_data_is_strict_json_even_for_infinite_psnr() -> None:
    report = _report([evaluated("agdn", psnr_y_db=float("inf"), ssim_y=1.0)])
    text = page(report, {f.key: draw(f) for f in report.figures})
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    assert json.loads(found[1], parse_constant=refuse)["sections"]["results"]["tables"]


# --- multi-adds three ways ----------------------------------------------------------------------------------------


def _three_ways(records: list[Measured], *specs: ModelSpec, model: str = "agdn") -> ThreeWays:
    (table,) = (t for t in _report(records, *specs).three_ways if t.scale == 4)
    return next(row for row in table.rows if row.model == model)


TWO_COUNTS = counted("agdn", params=1, multi_adds=32_200_000_000, as_printed=by_papers_rule(16_128_179_326))


def test_multi_adds_stand_as_printed_by_the_papers_rule_and_by_one_rule() -> None:
    row = _three_ways([TWO_COUNTS])
    assert [cell.kind for cell in (row.printed, row.by_paper, row.exact)] == [
        CellKind.REPORTED,
        CellKind.MEASURED,
        CellKind.MEASURED,
    ]
    assert [cell.text for cell in (row.printed, row.by_paper, row.exact)] == ["16.1", "16.1", "32.2"]
    assert row.by_paper.detail == "convolutions only; LR 180x320"
    assert row.by_paper.runs == row.exact.runs == (TWO_COUNTS,)
    assert (row.exact_over_printed, row.caution) == (2.0, "the printed number is about 2.0x below the exact count")


def test_three_ways_hold_every_row_of_the_largest_table_at_each_scale() -> None:
    assert [(t.scale, t.table.key, len(t.rows)) for t in _report([]).three_ways] == [
        (4, "table5", 16),
        (3, "table5", 15),
        (2, "table5", 15),
    ]


def test_a_network_that_cannot_run_shows_its_printed_number_and_not_measured() -> None:
    absent = spec("hpun_m", runnable=False)
    tried = not_here("hpun_m", "complexity", protocol="lr180x320-exact")
    for records in ([], [tried]):
        row = _three_ways(records, absent, model="hpun_m")
        assert [cell.text for cell in (row.printed, row.by_paper, row.exact)] == [
            "27.7",
            "not measured",
            "not measured",
        ]
        assert row.exact_over_printed is None


def test_a_counted_network_without_a_rule_says_so() -> None:
    row = _three_ways([counted("agdn", params=1, multi_adds=16_100_000_000)])
    assert (row.by_paper.text, row.by_paper.value, row.exact.text) == ("no rule known", None, "16.1")


def test_three_ways_are_on_the_page_and_in_both_exports() -> None:
    report = _report([TWO_COUNTS])
    text = page(report, {f.key: draw(f) for f in report.figures})
    section = text[text.index('<section id="threeways"') : text.index('<section id="figures"')]
    assert "<li>AGDN ×4: the printed number is about 2.0x below the exact count.</li>" in section
    assert '<em class="inline" title="Wang et al., CVPRW 2024, Table 5, row AGDN(Ours)">16.1</em>' in section
    markdown = three_ways_markdown(report.three_ways)
    assert "| AGDN | *16.1* | 16.1 | convolutions only; LR 180x320 | 32.2 | 2.00 |" in markdown
    rows = list(csv.DictReader(io.StringIO(three_ways_csv(report.three_ways))))
    agdn = next(row for row in rows if (row["model"], row["scale"]) == ("agdn", "4"))
    assert (agdn["printed"], agdn["by_papers_rule"], agdn["exact"]) == ("16100000000", "16128179326", "32200000000")
    assert (agdn["papers_rule_lr"], agdn["exact_lr"], agdn["exact_over_printed"]) == ("180x320", "180x320", "2.0")
    assert len(rows) == 46


# --- figures ------------------------------------------------------------------------------------------------------


def _point(label: str, cost: float, psnr: float) -> Point:
    return Point(label=label, multi_adds=cost * 1e9, params=300e3, psnr_y_db=psnr)


def test_the_front_holds_what_nothing_beats() -> None:
    points = [_point("a", 1, 30), _point("b", 2, 29), _point("c", 3, 31), _point("d", 3, 30.5), _point("e", 4, 31)]
    assert [p.label for p in pareto_front(points)] == ["a", "c"]


def test_measured_and_printed_numbers_are_never_in_one_figure() -> None:
    records = [
        *(counted(name, params=300_000, multi_adds=16 * 10**9) for name in ("agdn", "bsrn")),
        *(evaluated(name, psnr_y_db=27.5) for name in ("agdn", "bsrn")),
        *(counted("imdn", params=1, multi_adds=1), evaluated("imdn", psnr_y_db=99.0, stale=True)),
    ]
    measured, printed = _report(records, AGDN, BSRN, spec("imdn", display_name="IMDN")).figures
    assert {p.psnr_y_db for p in measured.points} == {27.5}
    assert {p.label: p.psnr_y_db for p in printed.points} == {"AGDN": 27.72, "BSRN": 27.65, "IMDN": 27.56}
    assert printed.title.endswith("as printed")
    assert measured.title.endswith("measured here")


def test_a_label_with_markup_or_mathematics_is_drawn_as_it_is() -> None:
    named = [spec("agdn", display_name="<b>$x_1$"), BSRN]
    svg = themed(draw(_report([], *named).figures[0]), prefix="p")
    assert "&lt;b&gt;$x_1$" in svg
    assert "<b>" not in svg


# --- exports ------------------------------------------------------------------------------------------------------


def test_csv_round_trips_and_keeps_measured_and_printed_apart() -> None:
    report = _report([evaluated("agdn", psnr_y_db=27.719612345), counted("agdn", params=294_174, multi_adds=1)])
    rows = list(csv.DictReader(io.StringIO(results_csv(report.tables))))
    assert Counter(row["scale"] for row in rows) == {"4": 2, "3": 2, "2": 2}
    agdn = next(row for row in rows if (row["model"], row["scale"]) == ("agdn", "4"))
    assert (agdn["B100 psnr_y_db"], agdn["B100 psnr_y_db printed"]) == ("27.719612345", "27.72")
    assert (agdn["params"], agdn["params printed"], agdn["params status"]) == ("294174", "293000", "measured")
    bsrn = next(row for row in rows if (row["model"], row["scale"]) == ("bsrn", "4"))
    assert (bsrn["params"], bsrn["params printed"], bsrn["params status"]) == ("", "352000", "missing")


@pytest.mark.parametrize("name", ["a|b", "<script>alert(1)</script>", "*x*", "two\nlines", "`code`"])
def test_markdown_cannot_be_broken_by_a_name(name: str) -> None:
    text = results_markdown(_report([], spec("agdn", display_name=name)).tables)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[:3]}
    assert len(cells) == 1
    assert "<script" not in text
    assert f"| {name} " not in text


# --- sections -----------------------------------------------------------------------------------------------------


def test_every_section_has_its_template_and_no_file_is_left_over() -> None:
    files = {path.name.partition(".")[0] for path in (TEMPLATES / "sections").iterdir()}
    assert files == {section.key for section in SECTIONS}
    for section in SECTIONS:
        assert (TEMPLATES / "sections" / f"{section.key}.html.jinja").is_file()


def test_a_section_without_facts_is_left_out_with_its_library() -> None:
    report = _report([])
    drawn = {f.key: draw(f) for f in report.figures}
    runs = next(section for section in SECTIONS if section.key == "runs")
    library = replace(runs, library=lambda: "const library_of_a_section = '</script>';")
    assert "const library_of_a_section = '<\\/script>';" in page(report, drawn, sections=(library,))
    absent = replace(library, shown=lambda _content: False)
    assert "library_of_a_section" not in page(report, drawn, sections=(absent,))
    assert 'id="runs"' not in page(report, drawn, sections=(absent,))
