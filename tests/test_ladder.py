"""Proxy ladders: equal budgets, seeds, intervals, and printed numbers that are never judged by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reports.assemble import assemble
from reports.claims import load_papers
from reports.compare import VerdictKind
from reports.html import page
from reports.ladder import FULL, LADDERS, Ladder, LadderRun, ladder_rows, load_ladder, load_ladders, table_rows
from runner.images import write_rgb
from runner.ladder import RESULT, rungs
from runner.recipes import load_stages
from tests.cli import esr
from zoo.contract import BadInput

PAPERS = load_papers()


def ladder_of(values: dict[str, list[float]], tables: tuple[str, ...] = ("table2",)) -> Ladder:
    """A made ladder: PSNR on one image of Set5 by model, one value per seed."""
    runs = tuple(
        LadderRun(model=model, seed=seed, loss=0.1, seconds=1.0, psnr_y_db={"Set5": {"baby": value}})
        for model, found in values.items()
        for seed, value in enumerate(found)
    )
    common = {"scale": 4, "iterations": 10, "batch": 2, "lr_patch_px": 16, "recipe": {}, "images": 1}
    origin = {"machine": {}, "versions": {}, "git_commit": None, "finished_utc": "", "images_sha256": ""}
    seeds = tuple(range(len(runs) // len(values)))
    return Ladder.model_validate(common | origin | {"tables": tables, "seeds": seeds, "runs": runs})


def test_every_row_of_the_three_tables_is_a_rung() -> None:
    rows = table_rows(PAPERS["agdn"], ("table1", "table2", "table4"))
    assert [model for _table, _row, model in rows] == [
        *("agdn_none", "agdn_mvsa", "agdn_rcca", "agdn_mvsa_rcca", FULL),
        *("agdn_esa_cca", FULL),
        *("agdn_b5", "agdn_b6", FULL),
    ]


def test_table_3_is_no_ladder() -> None:
    with pytest.raises(BadInput, match="no ladder of 'table3'"):
        table_rows(PAPERS["agdn"], ("table3",))


def test_rungs_differ_in_network_and_seed_only() -> None:
    (base,) = load_stages("ladder_x4")
    found = rungs(base, ["agdn", "agdn_b5", "agdn"], [0, 1])
    assert [(rung.model, rung.seed) for rung in found] == [("agdn", 0), ("agdn_b5", 0), ("agdn", 1), ("agdn_b5", 1)]
    fields = {"model", "seed", "name"}
    assert len({rung.model_dump_json(exclude=fields) for rung in found}) == 1


def test_gaps_are_taken_seed_by_seed_with_an_interval_over_trainings() -> None:
    row, full = ladder_rows(ladder_of({"agdn": [30.0, 31.0, 32.0], "agdn_esa_cca": [29.9, 30.8, 31.7]}), PAPERS)
    (cell,) = row.cells
    assert (cell.low_db, cell.high_db) == (29.9, 31.7)
    assert cell.gap_db == pytest.approx(-0.2)
    # Three gaps of -0.1, -0.2, -0.3: standard error 0.1 / sqrt(3), t(0.975, 2) = 4.303.
    assert cell.gap_low_db == pytest.approx(-0.2 - 4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert cell.gap_high_db == pytest.approx(-0.2 + 4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert not cell.is_apart
    assert full.cells[0].gap_low_db is None
    assert str(cell.printed and cell.printed.value) == "32.42"


def test_one_seed_has_no_interval() -> None:
    row, _full = ladder_rows(ladder_of({"agdn": [30.0], "agdn_esa_cca": [29.0]}), PAPERS)
    assert row.cells[0].gap_low_db is None
    assert not row.cells[0].is_apart


def test_the_page_calls_it_a_proxy_and_judges_nothing_by_it() -> None:
    ladders = [ladder_of({"agdn": [30.0, 31.0], "agdn_esa_cca": [32.42, 32.42]})]
    report = assemble([], PAPERS, [], created_utc="2026-01-01T00:00:00Z", suite="test", ladders=ladders)
    html = page(report, {figure.key: "<svg></svg>" for figure in report.figures})
    section = html.partition("Ablation rows trained here: a proxy")[2].partition("</section>")[0]
    assert "10 iterations of 2 patches" in section
    assert "32.42" in section
    assert 'class="mark' not in section
    assert {judged.verdict.kind for judged in report.judgements} == {VerdictKind.NOT_MEASURED}


def test_the_command_trains_measures_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        rough = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        write_rgb(tmp_path / "images" / f"{seed}.png", np.kron(rough, np.ones((4, 4, 1), np.uint8)))
    options = (
        "--data",
        str(tmp_path / "images"),
        "--validate",
        str(tmp_path / "images"),
        "--out",
        str(tmp_path / "out"),
    )
    command = ("train", "--ladder", "table2", "--seeds", "0,1", *options, "--json")
    first = esr(capsys, *command, "--iterations", "2")
    assert first.code == 0, first.stderr
    assert [(row["table"], row["model"], row["iterations"]) for row in first.rows] == [
        ("table2", "agdn_esa_cca", 2),
        ("table2", "agdn", 2),
    ]
    assert first.rows[0]["gap_low_db"] < first.rows[0]["gap_db"] < first.rows[0]["gap_high_db"]
    held = load_ladder(tmp_path / "out" / RESULT)
    assert (held.patches, held.images, held.seeds) == (8, 3, (0, 1))
    # The second call finds everything done; another budget is another ladder.
    assert esr(capsys, *command).rows == first.rows
    other = esr(capsys, *command, "--iterations", "3")
    assert other.code == 2
    assert "iterations: 3, not 2" in other.words


def test_committed_ladders_are_whole_and_of_a_clean_tree() -> None:
    for ladder in load_ladders(LADDERS):
        models = {model for _table, _row, model in table_rows(PAPERS["agdn"], ladder.tables)}
        assert {(run.model, run.seed) for run in ladder.runs} == {(m, s) for m in models for s in ladder.seeds}
        assert "dirty" not in (ladder.git_commit or "")
