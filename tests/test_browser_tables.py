"""Tables and audit in a real browser: modes, sorting, filters, files, keys; screenshots of the real page are kept."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports.assemble import Report, assemble
from reports.claims import Paper, load_papers
from reports.write import write
from runner.cli.report import COMMITTED
from runner.store import Store, mark_stale
from tests.browser import EVIL, NEEDS_BROWSER, go_to, watched
from tests.made_records import SHA256, counted, evaluated, spec
from tests.shared import ROOT
from zoo.catalogue import catalogue
from zoo.contract import Weights

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARTIFACTS = ROOT / "artifacts"
"""Screenshots, kept by CI for people to look at; nothing compares them."""

pytestmark = NEEDS_BROWSER


def _evil_paper() -> Paper:
    paper = load_papers()["agdn"]
    claims = [replace(c, row=EVIL if c.row == "CARN" else c.row) for c in paper.claims]
    return replace(paper, claims=tuple(claims), citation=f"{paper.citation} {EVIL}")


def _made() -> Report:
    weights = {4: Weights(file="x.pth", sha256=SHA256, size_bytes=1, url=None, licence="MIT")}
    specs = [spec("agdn", weights=weights), spec("agdn_b5", scales=(4,)), spec("agdn_b6", scales=(4,)), spec("carn")]
    records = [
        *(counted(name, params=p, multi_adds=p * 50_000) for name, p in (("agdn", 293_400), ("agdn_b5", 214_900))),
        evaluated("agdn", psnr_y_db=32.4259, dataset="Set5"),
        evaluated("agdn", psnr_y_db=28.71, dataset="Set14"),
        evaluated("agdn_b6", psnr_y_db=32.5, dataset="Set5", origin="bundled"),
    ]
    return assemble(specs, {"agdn": _evil_paper()}, records, created_utc="2024-05-06T08:00:00Z", suite=EVIL)


@pytest.fixture(scope="module")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('it\'s a "report" & <b>more<b>')
    write(_made(), folder)
    return folder / "index.html"


@pytest.fixture
def page(browser: Browser, made_file: Path) -> Iterator[Page]:
    with watched(browser, made_file, "tables") as page:
        yield page


def _rows(page: Page, table: str) -> list[str]:
    return page.eval_on_selector_all(f"#{table} tbody th", "cells => cells.map(c => c.textContent)")


def _cell(page: Page, table: str, row: str, column: str) -> str:
    """Selector of a number of a paper's table."""
    heads = page.eval_on_selector_all(f"#{table} tr.heads th", "cells => cells.map(c => c.dataset.key)")
    place = _rows(page, table).index(row) + 1
    return f"#{table} tbody tr:nth-child({place}) > :nth-child({heads.index(column) + 1})"


def test_all_six_tables_stand_in_the_papers_order_and_hostile_text_is_text(page: Page) -> None:
    assert page.eval_on_selector_all(".papertable", "nodes => nodes.map(n => n.id)") == [
        f"table{n}" for n in range(1, 7)
    ]
    assert _rows(page, "table4") == ["5", "6", "7"]
    assert _rows(page, "table5").count(EVIL) == 3
    assert EVIL in (page.text_content("#table5 h3") or "")
    assert page.locator("img").count() == 0


def test_the_four_modes_show_their_numbers_and_emphasis(page: Page) -> None:
    cell = _cell(page, "table4", "7", "Set14 psnr_y_db")
    texts = {}
    for mode in ("both", "measured", "printed", "difference"):
        page.click(f"#modes button[data-value={mode}]")
        texts[mode] = page.text_content(cell)
    assert texts == {"both": "28.71✗28.80", "measured": "✗28.71", "printed": "✗28.80", "difference": "✗−0.09"}
    page.click("#modes button[data-value=both]")
    params = _cell(page, "table4", "5", "params")
    style = "node => [getComputedStyle(node).fontWeight, getComputedStyle(node).fontStyle]"
    assert page.eval_on_selector(f"{params} .best:not(.printed)", style) == ["700", "normal"]
    assert page.eval_on_selector(f"{params} .printed.best", style) == ["700", "italic"]
    assert page.text_content(_cell(page, "table4", "6", "Set5 psnr_y_db")) == "†32.5032.42"
    assert page.get_attribute(f"{_cell(page, 'table4', '6', 'Set14 psnr_y_db')} .none", "aria-label") == "not measured"


def test_numbers_of_a_column_share_their_decimal_point(page: Page) -> None:
    page.click("#modes button[data-value=printed]")
    ends = "cells => cells.map(c => [c.textContent.split('.')[1]?.length, Math.round(c.getBoundingClientRect().right)])"
    for column in (4, 5, 6):
        found = page.eval_on_selector_all(f"#table5 tbody td:nth-child({column}) .printed:last-child", ends)
        assert len({tuple(entry) for entry in found}) == 1


def test_sorting_and_both_filters(page: Page) -> None:
    page.click("#table5 .tabs button:text-is('×4')")
    assert len(_rows(page, "table5")) == 16
    page.click('#table5 th[data-key="params"] button')
    assert _rows(page, "table5")[0] == "AGDN(Ours)"  # the only measured one
    page.click("#modes button[data-value=printed]")
    assert _rows(page, "table5")[:2] == ["AGDN-S(Ours)", "SAFMN"]
    page.click('#table5 th[data-key="params"] button')
    assert _rows(page, "table5")[0] == EVIL
    assert page.get_attribute('#table5 th[data-key="params"]', "aria-sort") == "descending"
    page.fill("#tablefilter", "agdn")
    assert _rows(page, "table5") == ["AGDN(Ours)", "AGDN-S(Ours)"]
    assert _rows(page, "table1") == ["1", "2", "3", "4", "5"]  # their models are AGDN's


def test_a_number_tells_run_protocol_machine_and_citation_by_hover_focus_and_click(page: Page) -> None:
    cell = _cell(page, "table4", "7", "Set5 psnr_y_db")
    words = (
        "y601-crop4-u8-gauss11-matlab-u8-whole",
        "Example CPU 3000",
        SHA256,
        "Table 4, row 7",
        "reproduced",
        "0.00",
    )
    page.hover(cell)
    page.wait_for_selector("#card:not([hidden])")
    assert all(word in (page.text_content("#card") or "") for word in words)
    page.mouse.move(1, 1)
    page.wait_for_selector("#card", state="hidden")
    page.click(cell)
    page.keyboard.press("Escape")
    assert page.is_hidden("#card")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#card:not([hidden])")
    assert "M-Adds" in (page.text_content("#card h3") or "")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.click(_cell(page, "table6", "VPEG_C", "runtime_ms"))
    assert "RTX 3090" in (page.text_content("#card") or "")


def test_every_kind_of_file_can_be_saved_and_equals_the_written_one(page: Page, made_file: Path) -> None:
    page.click("#modes button[data-value=measured]")
    for kind, name in (
        ("csv", "table4-measured.csv"),
        ("md", "table4-measured.md"),
        ("tex", "table4-measured.tex"),
        ("json", "table4.json"),
    ):
        with page.expect_download() as event:
            page.click(f"#table4 .saves button[data-kind={kind}]")
        assert event.value.suggested_filename == name
        assert Path(event.value.path()).read_bytes() == (made_file.parent / "tables" / name).read_bytes()


def test_tab_reaches_navigation_modes_and_one_number_per_table(page: Page, made_file: Path) -> None:
    page.goto("about:blank")
    page.goto(made_file.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Start"
    go_to(page, "Tables")
    stops = page.eval_on_selector_all(
        ".papertable", "all => all.map(t => t.querySelectorAll('td[tabindex=\"0\"]').length)"
    )
    assert stops == [1] * 6


# --- audit --------------------------------------------------------------------------------------------------------


def _count(page: Page) -> str:
    return page.text_content("#claimcount") or ""


def test_the_audit_lists_every_number_and_filters_by_each_of_its_sides(page: Page) -> None:
    go_to(page, "Audit")
    assert _count(page) == "200 of 712 printed numbers"
    page.click("#claimmore")
    assert page.locator("#claimtablelist tbody tr").count() == 400
    page.click("#claimverdicts button:text-is('reproduced')")
    # 293K stands in Tables 1, 2, 4, 5, and Set5's 32.43 in those and Table 3.
    assert _count(page) == "10 printed numbers"
    page.select_option("#claimtable", label="Table 4")
    assert _count(page) == "3 printed numbers"
    page.select_option("#claimmetric", "Params")
    assert _count(page) == "2 printed numbers"
    page.select_option("#claimmodel", "agdn")
    assert _count(page) == "1 printed numbers"
    page.click("#claimreset")
    page.fill("#claimfilter", "rtx 3090")
    assert _count(page) == "6 printed numbers"


def test_the_audit_sorts_and_each_row_gives_its_reason(page: Page) -> None:
    go_to(page, "Audit")
    page.click('#claimtablelist th[data-key="verdict"] button')
    assert "reproduced" in (page.text_content("#claimtablelist tbody tr:first-child") or "")
    assert "we get" in (page.text_content("#claimtablelist tbody tr:first-child td.text") or "")
    empty = page.eval_on_selector_all(
        "#claimtablelist tbody td.text", "cells => cells.filter(c => !c.textContent.trim()).length"
    )
    assert empty == 0


def test_a_number_of_the_start_page_leads_to_its_reasons(page: Page) -> None:
    go_to(page, "Start")
    page.click(".verdicts li:nth-child(4) a.contradicted")
    assert page.text_content("#nav a[aria-current=page]") == "Audit"
    assert _count(page) == "3 printed numbers"  # Set14's PSNR and SSIM, Set5's SSIM


# --- the real page ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    specs = catalogue()
    records = mark_stale(Store(COMMITTED).read().records, specs, {})
    report = assemble(
        tuple(specs.values()), load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="esr-bench"
    )
    folder = tmp_path_factory.mktemp("real")
    write(report, folder)
    return folder / "index.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_real_page_fits_its_width_in_both_themes(
    browser: Browser,
    real_file: Path,
    width: int,
    theme: str,
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    ARTIFACTS.mkdir(exist_ok=True)
    for view in ("start", "results", "tables", "audit", "runs"):
        page.goto(f"{real_file.as_uri()}#{view}")
        page.screenshot(path=ARTIFACTS / f"{view}-{width}-{theme}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{view} is wider than the screen"
    page.close()


def test_the_start_page_fits_one_screen_and_the_file_its_limit(browser: Browser, real_file: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(real_file.as_uri())
    bottom = page.eval_on_selector("#start .facts", "node => node.getBoundingClientRect().bottom")
    assert bottom <= 800
    assert real_file.stat().st_size < 8 * 2**20
    page.close()


def test_paper_shows_every_section_in_ink(browser: Browser, real_file: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(real_file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#table5 tbody tr").count() == 46
    assert page.locator("#claimtablelist tbody tr").count() == 712
    assert page.locator(".view:visible").count() == page.locator(".view").count()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".top:visible, .bar:visible").count() == 0
    ARTIFACTS.mkdir(exist_ok=True)
    page.pdf(path=ARTIFACTS / "report.pdf", prefer_css_page_size=True)
    page.close()


def test_csv_of_the_real_page_opens_in_a_spreadsheet(real_file: Path) -> None:
    with (real_file.parent / "tables" / "table5.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 47
