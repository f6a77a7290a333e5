"""A paper's tables keep its layout and order; best, second and the difference follow from rules."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from reports.assemble import Report, assemble
from reports.claims import PAPERS, load_papers, printed
from reports.compare import VerdictKind
from reports.modes import difference_text
from reports.paper_tables import PaperCell, PaperView
from reports.tables import CellKind
from reports.write import write
from runner.cli.report import COMMITTED
from runner.store import Store
from tests.made_records import SHA256, counted, evaluated, failed, record, spec
from zoo.catalogue import catalogue
from zoo.contract import BadInput, ModelSpec, Weights
from zoo.facts import Mark, Measured, Ok
from zoo.protocols import EvalProtocol
from zoo.quantities import MULTI_ADDS, PARAMS

WEIGHTS = {4: Weights(file="x.pth", sha256=SHA256, size_bytes=1, url=None, licence="MIT")}
SPECS = (
    spec("agdn", display_name="AGDN", weights=WEIGHTS),
    spec("agdn_b5", ablation_of="agdn", scales=(4,)),
    spec("agdn_b6", ablation_of="agdn", scales=(4,)),
    spec("agdn_s", scales=(4,)),
)


def _report(records: list[Measured], specs: tuple[ModelSpec, ...] = SPECS, papers: Path = PAPERS) -> Report:
    return assemble(specs, load_papers(papers), records, created_utc="2024-05-06T08:00:00Z", suite="esr-bench 0")


def _view(report: Report, key: str) -> PaperView:
    return next(view for view in report.papers if view.table.key == key)


def _cell(view: PaperView, row: str, column: str, scale: int = 4) -> PaperCell:
    cells = next(r for r in view.rows if (r.label, r.scale) == (row, scale)).cells
    return cells[[c.key for c in view.columns].index(column)]


# --- layout -------------------------------------------------------------------------------------------------------


def test_tables_stand_in_the_papers_order_with_its_rows() -> None:
    views = _report([]).papers
    assert [view.table.label for view in views] == [f"Table {n}" for n in range(1, 7)]
    assert [row.label for row in views[0].rows] == ["1", "2", "3", "4", "5"]
    assert [row.label for row in views[1].rows] == ["ESA+CCA", "MVSA+RCCA"]
    assert [row.label for row in views[2].rows] == ["AGDN-woTLC", "AGDN"]
    assert [row.label for row in views[3].rows] == ["5", "6", "7"]
    assert [row.label for row in views[5].rows][:2] == ["XJU_100th Ann(Ours)", "VPEG_C"]
    big = views[4]
    assert big.scales == (2, 3, 4)
    assert [sum(row.scale == scale for row in big.rows) for scale in big.scales] == [15, 15, 16]
    assert (big.rows[0].label, big.rows[-2].label, big.rows[-1].label) == ("CARN", "AGDN-S(Ours)", "AGDN(Ours)")


def test_check_marks_of_table_1_and_headers_are_the_papers() -> None:
    views = _report([]).papers
    assert list(views[0].layout.checks) == ["MVSA", "RCCA", "SGSA"]
    assert [row.checks for row in views[0].rows] == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (True, True, False),
        (True, True, True),
    ]
    heads = [column.head for column in views[4].columns]
    assert heads[:4] == ["Params [K]", "M-Adds [G]", "Set5 PSNR [dB]", "Set5 SSIM"]
    assert [column.group for column in views[4].columns[2::2]] == ["Set5", "Set14", "BSD100", "Urban100", "Manga109"]
    assert [view.layout.row_header for view in views] == ["Method"] * 3 + ["Number", "Method", "Team"]
    assert [column.head for column in views[5].columns] == [
        "Val PSNR [dB]",
        "Test PSNR [dB]",
        "Runtime [ms]",
        "Params [M]",
        "FLOPs [G]",
    ]


def test_every_claim_stands_in_exactly_one_cell_with_its_printed_digits() -> None:
    report = _report([])
    found = [cell for view in report.papers for row in view.rows for cell in row.cells]
    assert [cell.claim for cell in found] == list(load_papers()["agdn"].claims)
    for view in report.papers:
        for row in view.rows:
            for column, cell in zip(view.columns, row.cells, strict=True):
                assert cell.claim is not None
                assert cell.printed is not None
                if column.shift == 0:
                    assert cell.printed.text == printed(cell.claim)
    assert _cell(_view(report, "table6"), "VPEG_C", "params").printed.text == "0.084"  # type: ignore[union-attr]


def test_measured_numbers_are_shown_in_the_tables_unit_and_decimals_and_rounded_half_up() -> None:
    at_256 = record(
        "agdn_s", "complexity", Ok(values={"params": 69_272, "multi_adds": 4_365_000_000}), protocol="lr256x256-exact"
    )
    view = _view(_report([at_256]), "table6")
    row = view.rows[0].label
    assert _cell(view, row, "params").measured.text == "0.069"
    assert _cell(view, row, "multi_adds").measured.text == "4.37"


def test_a_count_at_another_size_fills_params_only() -> None:
    view = _view(_report([counted("agdn_s", params=69_272, multi_adds=10**9)]), "table6")
    row = view.rows[0].label
    assert _cell(view, row, "params").measured.text == "0.069"
    assert _cell(view, row, "multi_adds").measured.kind is CellKind.MISSING


def test_what_is_missing_names_its_remedy_and_what_failed_its_run() -> None:
    broken = failed("agdn", "quality", protocol=EvalProtocol().id(4), dataset="Set5")
    view = _view(_report([broken]), "table4")
    assert _cell(view, "7", "Set5 psnr_y_db").measured.kind is CellKind.FAILED
    missing = _cell(view, "7", "Set14 psnr_y_db").measured
    assert missing.remedy is not None
    assert "esr bench agdn --scale 4 --tasks quality --data Set14" in missing.remedy.text("agdn")
    assert "RTX 3090" in _cell(_view(_report([]), "table6"), "VPEG_C", "runtime_ms").measured.remedy.template  # type: ignore[union-attr]


# --- marks and differences ----------------------------------------------------------------------------------------


def _blocks(*params: int, stale: bool = False) -> list[Measured]:
    names = ("agdn_b5", "agdn_b6", "agdn")
    return [counted(n, params=p, multi_adds=1, stale=stale) for n, p in zip(names, params, strict=False)]


@pytest.mark.parametrize(
    ("params", "marks"),
    [
        ((215_000, 254_000, 293_000), ("best", "second", "")),
        ((293_000, 254_000, 254_400), ("second", "best", "best")),  # equal as shown
        ((254_000, 254_000, 254_000), ("best", "best", "best")),
        ((293_000, 254_000), ("", "best", "")),  # of two rows one is best, and none is second
        ((293_000,), ("", "", "")),
    ],
)
def test_best_and_second_of_the_measured(params: tuple[int, ...], marks: tuple[str, ...]) -> None:
    view = _view(_report(_blocks(*params)), "table4")
    assert tuple(_cell(view, row, "params").measured_mark.value for row in "567") == marks


def test_printed_numbers_are_ranked_apart_and_by_the_direction_of_the_metric() -> None:
    view = _view(_report(_blocks(3, 2, 1)), "table4")
    assert [_cell(view, row, "params").printed_mark.value for row in "567"] == ["best", "second", ""]
    assert [_cell(view, row, "Set5 psnr_y_db").printed_mark.value for row in "567"] == ["", "second", "best"]


def test_a_stale_number_is_not_ranked() -> None:
    view = _view(_report(_blocks(1, 2, 3, stale=True)), "table4")
    assert {_cell(view, row, "params").measured_mark for row in "567"} == {Mark.NONE}


def test_scales_are_ranked_apart() -> None:
    big = _view(_report([]), "table5")
    best = {
        row.scale: row.label
        for row in big.rows
        for c, cell in zip(big.columns, row.cells, strict=True)
        if c.key == "params" and cell.printed_mark is Mark.BEST
    }
    assert best == {2: "SAFMN", 3: "SAFMN", 4: "AGDN-S(Ours)"}


def test_the_difference_is_of_the_digits_shown() -> None:
    view = _view(
        _report([evaluated("agdn", psnr_y_db=27.7196), evaluated("agdn", psnr_y_db=32.42, dataset="Set5")]), "table4"
    )
    assert _cell(view, "7", "B100 psnr_y_db").difference == Decimal("0.00")
    assert _cell(view, "7", "Set5 psnr_y_db").difference == Decimal("-0.01")
    assert _cell(view, "6", "Set5 psnr_y_db").difference is None
    assert [difference_text(Decimal(d)) for d in ("0.00", "-0.01", "0.10", "-0.00")] == [
        "0.00",
        "−0.01",
        "+0.10",
        "0.00",
    ]


def test_infinite_psnr_has_no_rank_and_no_difference() -> None:
    view = _view(_report([evaluated("agdn", psnr_y_db=float("inf"), dataset="Set5")]), "table4")
    cell = _cell(view, "7", "Set5 psnr_y_db")
    assert (cell.measured.text, cell.difference, cell.measured_mark) == ("inf", None, Mark.NONE)


# --- another paper ------------------------------------------------------------------------------------------------

SECOND_TOML = """
citation = "Someone et al., TEST 2025"
title = "Another paper"
own = "tiny"

[table1]
title = "All of it"
hr = "720x1280"
counter = "thop"

[table1.layout]
row_header = "Net"
checks = { fast = ["TINY"] }
labels = { params = "Size" }
"""
SECOND_CSV = """table,row,model,scale,metric,dataset,value,decimals,mark
table1,AGDN,agdn,4,params,,294000,0,
table1,AGDN,agdn,4,psnr_y_db,Set5,32.4,1,best
table1,TINY,tiny,4,params,,1500,1,best
table1,TINY,tiny,4,psnr_y_db,Set5,,1,not printed
"""


def _two_papers(folder: Path, toml: str = SECOND_TOML) -> Path:
    for file in PAPERS.iterdir():
        shutil.copy(file, folder / file.name)
    (folder / "tiny.toml").write_text(toml, encoding="utf-8")
    (folder / "tiny.csv").write_text(SECOND_CSV, encoding="utf-8")
    return folder


def test_a_second_paper_is_one_csv_and_its_toml(tmp_path: Path) -> None:
    records = [counted("agdn", params=294_174, multi_adds=1), evaluated("agdn", psnr_y_db=32.4259, dataset="Set5")]
    report = _report(records, papers=_two_papers(tmp_path))
    assert len(report.judgements) == 712 + 3
    view = report.papers[-1]
    assert (view.stem, view.paper.citation, len(report.papers)) == ("tiny-table1", "Someone et al., TEST 2025", 7)
    assert [column.head for column in view.columns] == ["Size [K]", "Set5 PSNR-Y [dB]"]
    assert [row.checks for row in view.rows] == [(False,), (True,)]
    agdn, tiny = (row.cells for row in view.rows)
    assert [cell.verdict.kind for cell in agdn if cell.verdict] == [VerdictKind.REPRODUCED] * 2
    assert (tiny[0].printed.text, tiny[1].printed.text) == ("1.5", "-")  # type: ignore[union-attr]
    assert "catalogue" in tiny[0].verdict.cause  # type: ignore[union-attr]
    assert report.tally["tiny", "table1"].total() == 3
    written = {path.name for path in write(report, tmp_path / "out")}
    assert {"tiny-table1.tex", "tiny-table1-difference.csv", "table5.tex"} <= written


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ('checks = { fast = ["NOBODY"] }', "NOBODY.*Expected rows"),
        ('labels = { params = "Size", ssim_y = "S" }', "ssim_y"),
        ('units = { psnr_y_db = "K" }', "Only counts"),
        ('units = { params = "T" }', "tiny.toml: table1.layout.units.params"),
        ('colour = "red"', "colour"),
    ],
)
def test_a_layout_that_does_not_fit_its_numbers_is_named(tmp_path: Path, layout: str, message: str) -> None:
    toml = SECOND_TOML.partition("[table1.layout]")[0] + f"[table1.layout]\n{layout}\n"
    with pytest.raises(BadInput, match=message):
        load_papers(_two_papers(tmp_path, toml))


# --- what the committed records say -------------------------------------------------------------------------------


def test_every_count_that_can_be_run_is_reproduced_or_explained_by_the_committed_records() -> None:
    """Parameters and multi-adds of Tables 1, 2, 4, 5 and 6; the paper does not say how its row ESA+CCA is built."""
    specs = catalogue()
    report = _report(list(Store(COMMITTED).read().records), tuple(specs.values()))
    counts = [j for j in report.judgements if j.claim.metric in (PARAMS.name, MULTI_ADDS.name)]
    assert {j.claim.table for j in counts} == {"table1", "table2", "table4", "table5", "table6"}
    reported_only = {name for name, spec in specs.items() if not spec.runnable}
    assert {j.claim.model for j in counts} & reported_only == {"dfanet", "hpun_m", "osffnet"}
    judged = [j for j in counts if j.claim.model not in reported_only and j.claim.row != "ESA+CCA"]
    assert len(judged) == len(counts) - 2 * 9 - 2
    left = [
        (j.claim.table, j.claim.row, j.claim.scale, j.claim.metric, j.verdict.cause)
        for j in judged
        if j.verdict.kind not in (VerdictKind.REPRODUCED, VerdictKind.EXPLAINED)
    ]
    assert left == []
    assert all(j.verdict.kind is VerdictKind.NOT_MEASURED for j in counts if j.claim.model in reported_only)
