"""The interactive plots in a real browser: axes, brush, hover and the tables that follow; foreign names stay text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reports.assemble import Report, assemble
from reports.claims import load_papers
from reports.statistics import differences
from reports.write import write
from tests.artifacts import keep_screenshots
from tests.browser import EVIL, NEEDS_BROWSER, go_to, models_shown, watched
from tests.made_records import SHA256, counted, evaluated, record, spec, timed
from zoo.contract import Weights
from zoo.facts import Measured, Ok
from zoo.protocols import EvalProtocol

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = NEEDS_BROWSER

SIZES = {"agdn": 294_174, "bsrn": 352_000, "imdn": 715_176, "evil": 1000}
IMAGES = ("a", "b", "c", EVIL)
PER_IMAGE = {
    "agdn": (27.0, 28.0, 29.0, 30.0),
    "bsrn": (27.5, 27.5, 28.0, 29.9),
    "imdn": (26.0, 26.0, 26.0, 26.0),
    "evil": (25.0, 25.0, 25.0, 25.0),
}


def per_image(model: str, values: Mapping[str, float], *, scale: int = 4, dataset: str = "B100") -> Measured:
    """A quality record with its images."""
    images = [
        {"name": name, "psnr_y_db": psnr, "ssim_y": 0.8, "height": 8, "width": 8} for name, psnr in values.items()
    ]
    mean = {"psnr_y_db": sum(values.values()) / len(values), "ssim_y": 0.8, "per_image": images}
    key: dict[str, Any] = {"weights_sha256": SHA256, "dataset": dataset, "dataset_sha256": "cd" * 32}
    protocol = EvalProtocol().id(scale)
    return record(model, "quality", Ok(values=mean), protocol=protocol, scale=scale, origin="official", **key)


def made_report() -> Report:
    """Four networks, one with a hostile name, measured on four images, one with a hostile name."""
    specs = [
        spec("agdn", display_name="AGDN"),
        spec("bsrn", display_name="BSRN"),
        spec("imdn", display_name="IMDN"),
        spec("evil", display_name=EVIL, scales=(4,)),
    ]
    records = [
        *(counted(name, params=p, multi_adds=10**9 * p // 20_000) for name, p in SIZES.items()),
        *(timed(name, median_ms=p / 1000) for name, p in SIZES.items()),
        *(per_image(name, dict(zip(IMAGES, values, strict=True))) for name, values in PER_IMAGE.items()),
        counted("agdn", params=294_174, multi_adds=10**10, scale=2),
    ]
    return assemble(specs, load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="made up")


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    write(made_report(), folder)
    return folder / "index.html"


@pytest.fixture
def page(browser: Browser, report_file: Path) -> Iterator[Page]:
    with watched(browser, report_file, "figures", height=1100) as page:
        page.wait_for_selector("#scatter[data-drawn]")
        yield page


def _after(page: Page, plot: str, act: Any) -> None:
    """Do something that draws a plot anew, and wait until it is."""
    before = int(page.get_attribute(plot, "data-drawn") or 0)
    act()
    page.wait_for_function("([plot, n]) => Number(document.querySelector(plot).dataset.drawn) > n", arg=[plot, before])


def _axis(page: Page, side: str) -> Any:
    return page.evaluate(f"(() => {{ const a = document.getElementById('scatter').layout.{side}axis; return a; }})()")


def _place_of(page: Page, model: str, kind: str = "measured") -> dict[str, float]:
    """Where the disc of a network is on the screen."""
    place: dict[str, float] = page.evaluate(
        """([model, kind]) => {
          const plot = document.getElementById("scatter"), { xaxis, yaxis } = plot._fullLayout;
          const box = plot.querySelector(".nsewdrag").getBoundingClientRect();
          for (const trace of plot.data) for (const [i, e] of (trace.entries ?? []).entries())
            if (e.point.model === model && e.kind === kind && trace.mode !== "lines")
              return { x: box.left + xaxis.d2p(trace.x[i]), y: box.top + yaxis.d2p(trace.y[i]) };
        }""",
        [model, kind],
    )
    return place


def _brush(page: Page, *models: str) -> None:
    """Drag a box around networks."""
    places = [_place_of(page, model) for model in models]
    left, right = min(p["x"] for p in places) - 12, max(p["x"] for p in places) + 12
    top, bottom = min(p["y"] for p in places) - 12, max(p["y"] for p in places) + 12
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move((left + right) / 2, (top + bottom) / 2)
    page.mouse.move(right, bottom)
    page.mouse.up()


def _listed(page: Page) -> list[str]:
    return page.eval_on_selector_all("#scattertable .pick", "nodes => nodes.map(n => n.textContent)")


def _picked(page: Page, table: str) -> list[str]:
    return page.eval_on_selector_all(f"{table} tr.picked th", "cells => cells.map(c => c.firstChild.textContent)")


def test_axes_and_logarithm_change_plot_and_table(page: Page) -> None:
    assert _axis(page, "x")["title"]["text"] == "Multi-adds [G]"
    assert _axis(page, "y")["title"]["text"] == "PSNR-Y on B100 [dB] (higher is better)"
    assert _listed(page) == ["AGDN", "BSRN", "IMDN", EVIL]
    _after(page, "#scatter", lambda: page.select_option("#plot-x", label="Params [K]"))
    assert _axis(page, "x")["title"]["text"] == "Params [K]"
    assert page.evaluate("document.getElementById('scatter').data.at(-2).x") == [1, 294.174]
    _after(page, "#scatter", lambda: page.check("#plot-logx"))
    assert _axis(page, "x")["type"] == "log"
    _after(page, "#scatter", lambda: page.select_option("#plot-y", label="Latency [ms]"))
    assert "lower" in (page.text_content("#scatter-told") or "")
    assert f"front (lower and lower): {EVIL}." in (page.text_content("#scatter-told") or "")
    assert "Latency" in (page.text_content("#scattertable thead") or "")
    _after(page, "#scatter", lambda: page.click("#plot-scales button:text-is('×2')"))
    assert page.text_content("#plot-scales [aria-pressed=true]") == "×2"


def test_the_brush_marks_and_filters_both_tables_and_the_table_marks_the_plot(page: Page) -> None:
    _after(page, "#scatter", lambda: _brush(page, "bsrn", "agdn"))
    assert sorted(_picked(page, "#scattertable")) == ["AGDN", "BSRN"]
    assert len(_listed(page)) == 4
    page.check("#plot-only")
    assert sorted(_listed(page)) == ["AGDN", "BSRN"]
    go_to(page, "Results")
    assert models_shown(page) == ["AGDN", "BSRN"]
    go_to(page, "Figures")
    page.uncheck("#plot-only")
    _after(page, "#scatter", lambda: page.click("#plot-clear"))
    assert _picked(page, "#scattertable") == []
    pick = page.locator("#scattertable .pick", has_text="IMDN")
    pick.focus()
    _after(page, "#scatter", lambda: page.keyboard.press("Enter"))
    dimmed = (
        "document.getElementById('scatter').data.filter(t => t.mode !== 'lines').map(t => t.selectedpoints ?? null)"
    )
    chosen = page.evaluate(dimmed)
    assert sum(len(points or []) for points in chosen) == 1
    assert page.evaluate("document.activeElement.textContent") == "IMDN"
    go_to(page, "Results")
    assert _picked(page, "#table") == ["IMDN"]


def test_a_disc_tells_numbers_protocol_and_run(page: Page) -> None:
    place = _place_of(page, "agdn")
    page.mouse.move(place["x"] + 2, place["y"] + 2)
    page.wait_for_selector("#plotcard:not([hidden])")
    told = page.text_content("#plotcard") or ""
    run = counted("agdn", params=1, multi_adds=1).key.key12
    for words in (
        "AGDN ×4",
        "Measured",
        "28.50",
        "14.7",
        "y601-crop4-u8-gauss11-matlab-u8-whole",
        f"run {run}, 2024-05-06",
    ):
        assert words in told, words
    page.mouse.move(2, 2)
    page.wait_for_selector("#plotcard", state="hidden")


def test_printed_points_are_hollow_and_told_apart(page: Page) -> None:
    _after(page, "#scatter", lambda: page.check("#plot-printed"))
    symbols = page.evaluate(
        "document.getElementById('scatter').data.filter(t => t.mode !== 'lines').map(t => t.marker.symbol)"
    )
    assert symbols == [None, None, "diamond-open"]
    place = _place_of(page, "bsrn", "printed")
    page.mouse.move(place["x"], place["y"])
    page.wait_for_selector("#plotcard:not([hidden])")
    told = page.text_content("#plotcard") or ""
    assert "As printed, not measured here" in told
    assert "Wang et al., CVPRW 2024, Table 5" in told
    assert page.locator("#scattertable tr.hollowrow span.printed").count() == 2 * 3


def test_foreign_names_stay_text_in_labels_cards_and_menus(page: Page) -> None:
    _after(page, "#scatter", lambda: page.select_option("#plot-names", "all"))
    labels = page.eval_on_selector_all("#scatter .textpoint text", "nodes => nodes.map(n => n.textContent)")
    assert f"{EVIL[:31]}…" in labels
    page.locator("#diff-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#diff-plot[data-drawn]")
    _after(page, "#diff-plot", lambda: page.select_option("#diff-second", "evil"))
    ticks = page.eval_on_selector_all("#diff-plot .xtick text", "nodes => nodes.map(n => n.textContent)")
    assert f"{EVIL[:13]}…" in ticks
    assert EVIL in (page.text_content("#differences-told") or "")
    assert page.locator("img").count() == 0


def test_differences_name_mean_interval_and_images(page: Page) -> None:
    page.locator("#diff-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#diff-plot[data-drawn]")
    told = page.text_content("#differences-told") or ""
    values = {name: dict(zip(IMAGES, PER_IMAGE[name], strict=True)) for name in ("agdn", "bsrn")}
    low, high = (
        f"{end:+.3f}".replace("-", "−") for end in (differences(values)[0].low_db, differences(values)[0].high_db)
    )
    assert told.startswith(f"AGDN − BSRN: +0.275 dB [{low}, {high}] mean over 4 images of B100 ×4")
    assert "Higher on 3, lower on 1" in told
    assert "Best for AGDN: c (+1.00)" in told
    assert "Best for BSRN: a (−0.50)" in told
    bars = "document.getElementById('diff-plot').data[0].y.map(v => Math.round(v * 100) / 100)"
    assert page.evaluate(bars) == [1, 0.5, 0.1, -0.5]
    _after(page, "#diff-plot", lambda: page.click("#diff-swap"))
    assert (page.text_content("#differences-told") or "").startswith("BSRN − AGDN: −0.275 dB [")
    _after(
        page,
        "#diff-plot",
        lambda: (
            page.locator("#scattertable .pick", has_text="IMDN").click()
            or page.locator("#scattertable .pick", has_text="BSRN").click()
        ),
    )
    assert (page.text_content("#differences-told") or "").startswith("IMDN − BSRN")


def test_weights_of_this_suite_do_not_press_the_others_together_and_are_told(browser: Browser, tmp_path: Path) -> None:
    weights = {4: Weights(file="x.safetensors", sha256=SHA256, size_bytes=1, url=None, licence="MIT", note="By hand.")}
    specs = [spec("agdn"), spec("bsrn"), spec("imdn", bundled=weights), spec("bicubic")]
    records = [counted(name, params=p, multi_adds=p * 10**5) for name, p in (*SIZES.items(), ("bicubic", 0))]
    values = (
        ("agdn", 27.5, "official"),
        ("bsrn", 27.25, "official"),
        ("imdn", 20.0, "bundled"),
        ("bicubic", 25.9, None),
    )
    records += [evaluated(name, psnr_y_db=psnr, origin=origin) for name, psnr, origin in values]
    write(assemble(specs, {}, records, created_utc="2024-05-06T08:00:00Z", suite="made up"), tmp_path)
    with watched(browser, tmp_path / "index.html", "figures", height=1100) as page:
        page.wait_for_selector("#scatter[data-drawn]")
        low, high = _axis(page, "y")["range"]
        assert 27.2 < low < 27.25
        assert 27.5 < high < 27.55
        told = (page.text_content("#scatter-told") or "").replace("\u00a0", " ")
        assert "IMDN (trained here) (20.00 dB at 71.5 G)" in told
        assert "BICUBIC (25.90 dB at 0.0 G)" in told
        assert "AGDN (" not in told
        listed = page.eval_on_selector_all("#scattertable tbody tr", "rows => rows.map(r => r.textContent)")
        assert any("trained here" in row for row in listed)


def test_plots_follow_the_theme(page: Page) -> None:
    colour = "document.getElementById('scatter').layout.font.color"
    light = page.evaluate(colour)
    keep_screenshots(page, "figures")
    page.wait_for_function(f"c => {colour} !== c", arg=light)
    _after(page, "#scatter", lambda: page.click("#theme"))
    assert page.evaluate(colour) == light


def test_ten_thousand_networks_are_drawn_and_brushed(browser: Browser, tmp_path: Path) -> None:
    specs = [spec(f"net_{i}", display_name=f"Net {i}", scales=(4,)) for i in range(10_000)]
    records = [counted(f"net_{i}", params=1000 + i, multi_adds=10**9 + i * i) for i in range(10_000)]
    report = assemble(specs, load_papers(), records, created_utc="2024-05-06T08:00:00Z", suite="made up")
    write(report, tmp_path)
    file = tmp_path / "index.html"
    assert file.stat().st_size < 8 * 2**20
    with watched(browser, file, "figures", height=1100) as page:
        page.wait_for_selector("#scatter[data-drawn]")
        _after(page, "#scatter", lambda: page.select_option("#plot-y", label="Params [K]"))
        assert page.locator("#scatter .point").count() >= 10_000
        assert page.text_content("#scattercount") == "200 of 10,000 points"
