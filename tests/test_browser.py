"""The report page in a real browser: nothing leaves the page, nothing foreign runs, keys and pointer both work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports.assemble import assemble
from reports.claims import load_papers
from reports.write import write
from tests.browser import EVIL, NEEDS_BROWSER, go_to, models_shown, watched
from tests.made_records import SHA256, counted, evaluated, failed, spec, timed
from zoo.contract import Weights
from zoo.protocols import EvalProtocol

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = {4: Weights(file="x.pth", sha256=SHA256, size_bytes=1, url=None, licence="MIT")}
    specs = [
        spec("agdn", display_name="AGDN", weights=weights),
        spec("bsrn", display_name="BSRN", weights=weights),
        spec("imdn", display_name="IMDN", weights=weights),
        spec("osffnet", display_name="OSFFNet", runnable=False),
        spec("evil", display_name=EVIL, note=EVIL, scales=(4,)),
        spec("agdn_b5", display_name="AGDN, 5 blocks", ablation_of="agdn", scales=(4,)),
    ]
    records = [
        *(counted(name, params=p, multi_adds=10**9 * p // 20_000) for name, p in SIZES.items()),
        *(timed(name, median_ms=p / 1000) for name, p in SIZES.items()),
        evaluated("agdn", psnr_y_db=27.7196, ssim_y=0.74118),
        evaluated("bsrn", psnr_y_db=27.61, ssim_y=0.73, stale=True),
        failed("imdn", "quality", protocol=EvalProtocol().id(4), dataset="B100", message=EVIL),
        evaluated("evil", psnr_y_db=27.5),
        evaluated(EVIL, psnr_y_db=27.4, dataset=EVIL),
    ]
    report = assemble(
        specs, load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite=EVIL, problems=[f"{EVIL}.json: broken"]
    )
    folder = tmp_path_factory.mktemp("report")
    write(report, folder)
    return folder / "index.html"


SIZES = {"agdn": 294_174, "bsrn": 352_000, "imdn": 715_176, "evil": 1000}


@pytest.fixture
def page(browser: Browser, report_file: Path) -> Iterator[Page]:
    with watched(browser, report_file, "results") as page:
        yield page


def _cell(page: Page, model: str, column: str) -> str:
    """Selector of a number of the results table, marked by its place."""
    heads = page.eval_on_selector_all("#table tr.heads th", "cells => cells.map(c => c.dataset.key)")
    row = models_shown(page).index(model) + 1
    return f"#table tbody tr:nth-child({row}) > :nth-child({heads.index(column) + 1})"


def test_the_navigation_shows_one_view_at_a_time_and_says_which(page: Page) -> None:
    for title in page.eval_on_selector_all("#nav a", "links => links.map(a => a.textContent)"):
        go_to(page, title)
        assert page.locator(".view:visible").count() == 1
        assert page.text_content("#nav a[aria-current=page]") == title
    page.go_back()
    assert page.text_content("#nav a[aria-current=page]") == "Audit"


def test_the_theme_follows_the_system_until_one_chooses(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(background) == light
    page.reload()
    assert page.evaluate(background) == light


def test_names_with_markup_are_shown_as_text_and_never_run(page: Page) -> None:
    assert EVIL in models_shown(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    page.click(_cell(page, EVIL, "params"))
    go_to(page, "Runs")
    page.locator("#outcomes button", has_text="failed").click()
    assert EVIL in (page.text_content("#runtable tbody") or "")
    assert page.evaluate("window.hacked") is None


def test_a_click_on_a_header_sorts_best_first_and_back(page: Page) -> None:
    page.click('#table th[data-key="params"] button')
    assert models_shown(page)[:4] == [EVIL, "AGDN", "BSRN", "IMDN"]
    page.click('#table th[data-key="params"] button')
    assert models_shown(page)[:4] == ["IMDN", "BSRN", "AGDN", EVIL]
    assert page.get_attribute('#table th[data-key="params"]', "aria-sort") == "descending"


def test_rows_without_a_number_stay_below_in_both_directions(page: Page) -> None:
    for _ in range(2):
        page.click('#table th[data-key="params"] button')
        assert "OSFFNet" in models_shown(page)[4:]


def test_sorting_works_by_keyboard(page: Page) -> None:
    page.focus('#table th[data-key="params"] button')
    page.keyboard.press("Enter")
    assert models_shown(page)[0] == EVIL
    page.keyboard.press("Enter")
    assert models_shown(page)[0] == "IMDN"


def test_a_number_tells_its_run_by_click_hover_and_key(page: Page) -> None:
    cell = _cell(page, "AGDN", "B100 psnr_y_db")
    page.click(cell)
    for words in ("y601-crop4-u8-gauss11-matlab-u8-whole", SHA256, "official", "Example CPU 3000", "torch 2.9.0"):
        assert words in (page.text_content("#card") or ""), words
    assert "reproduced" in (page.text_content("#card") or "")
    assert "Wang et al., CVPRW 2024, Table 5, row AGDN(Ours)" in (page.text_content("#card") or "")
    page.keyboard.press("Escape")
    assert page.is_hidden("#card")
    page.mouse.move(1, 1)
    page.hover(cell)
    page.wait_for_selector("#card:not([hidden])")
    page.mouse.move(1, 1)
    page.wait_for_selector("#card", state="hidden")
    page.focus(cell)
    page.keyboard.press("Enter")
    assert page.is_visible("#card")


def test_arrow_keys_walk_over_numbers(page: Page) -> None:
    page.focus(_cell(page, "AGDN", "params"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert (page.text_content("#card h3") or "").startswith("BSRN ×4, Multi-adds")


def test_a_missing_number_names_its_command(page: Page) -> None:
    page.click("#groups button:text-is('Set5')")
    page.click(_cell(page, "AGDN", "Set5 psnr_y_db"))
    codes = page.eval_on_selector_all("#card code", "codes => codes.map(c => c.textContent)")
    assert codes[:2] == ["esr weights pull agdn --scale 4", "esr bench agdn --scale 4 --tasks quality --data Set5"]


def test_failed_stale_and_missing_look_different(page: Page) -> None:
    assert page.text_content(f"{_cell(page, 'IMDN', 'B100 psnr_y_db')} .failed") == "failed"
    assert page.text_content(f"{_cell(page, 'BSRN', 'B100 psnr_y_db')} .flag") == "stale"
    assert page.text_content(f"{_cell(page, 'OSFFNet', 'params')} .none") == "not measured"


def test_printed_numbers_are_italic_and_measured_ones_are_not(page: Page) -> None:
    cell = _cell(page, "AGDN", "params")
    style = "node => getComputedStyle(node).fontStyle"
    assert page.eval_on_selector(f"{cell} .printed", style) == "italic"
    assert page.eval_on_selector(f"{cell} > span:first-child", style) == "normal"


def test_scale_filter_and_ablation_switch(page: Page) -> None:
    assert "AGDN, 5 blocks" not in models_shown(page)
    page.check("#ablations")
    assert "AGDN, 5 blocks" in models_shown(page)
    page.fill("#filter", "bsrn")
    assert models_shown(page) == ["BSRN"]
    page.click("#scales button:text-is('×2')")
    assert page.text_content("#count") == "1 models"


def test_ten_thousand_rows_stay_small_on_disk_and_few_in_the_document(browser: Browser, tmp_path: Path) -> None:
    hostile = ["<script>alert(1)</script>", 'it\'s "quoted" & <b>bold</b>', "</script><script>alert(2)</script>"]
    names = [*hostile, *(f"Net {i}" for i in range(3, 10_000))]
    specs = [spec(f"net_{i}", display_name=name, scales=(4,)) for i, name in enumerate(names)]
    records = [counted(f"net_{i}", params=1000 + i, multi_adds=10**9 + i) for i in range(10_000)]
    report = assemble(specs, load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="made up")
    write(report, tmp_path)
    file = tmp_path / "index.html"
    assert file.stat().st_size < 8 * 2**20
    with watched(browser, file, "results") as page:
        assert page.text_content("#count") == "200 of 10,000 models"
        assert set(hostile) < set(models_shown(page))
        for _ in range(2):
            page.click('#table th[data-key="params"] button')
        assert models_shown(page)[0] == "Net 9999"
        page.click("#more")
        assert page.locator("#table tbody tr").count() == 400


@pytest.mark.parametrize(
    "script",
    [
        "await fetch('other.json').catch(() => 0)",
        "console.log('x')",
        "window.hacked = 1",
        "alert(1)",
        "throw Error('x')",
    ],
)
def test_a_page_that_misbehaves_fails_its_test(browser: Browser, tmp_path: Path, script: str) -> None:
    file = tmp_path / "index.html"
    run = f"setTimeout(async () => {{ try {{ {script}; }} finally {{ window.done = true; }} }})"
    file.write_text(f"<p>text<script>{run}</script>", encoding="utf-8")
    with pytest.raises(AssertionError), watched(browser, file, "start") as page:
        page.wait_for_function("window.done")
