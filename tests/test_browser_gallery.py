"""The pictures in a real browser: all move together, a slider compares two, and foreign names stay text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from reports.gallery import Gallery, Panel, PanelScore, Picture, Region, Scene
from reports.write import write
from tests.artifacts import keep_screenshots
from tests.browser import EVIL, NEEDS_BROWSER, watched
from tests.test_browser_plots import made_report
from zoo.protocols import Size

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = NEEDS_BROWSER


def _picture(shade: int) -> Picture:
    target = io.BytesIO()
    Image.fromarray(np.full((24, 36, 3), shade, np.uint8)).save(target, format="PNG")
    return Picture(mime="image/png", data=target.getvalue(), lossless=True)


def _panel(model: str, label: str, shade: int) -> Panel:
    whole, crop = (PanelScore(psnr_y_db=psnr, ssim_y=0.7) for psnr in (26 + shade / 100, 25 + shade / 100))
    return Panel(model=model, label=label, picture=_picture(shade), whole=whole, crop=crop)


def _gallery() -> Gallery:
    panels = (
        replace(_panel("", "HR", 10), whole=None, crop=None),
        _panel("bicubic", "Bicubic", 60),
        _panel("evil", EVIL, 110),
        _panel("agdn", "AGDN", 160),
        Panel(model="bsrn", label="BSRN", picture=None, missing=f"{EVIL} is not here. Run `esr weights pull bsrn`."),
    )
    scenes = tuple(
        Scene(
            name=name,
            size=Size(48, 72),
            region=Region(top=12, left=18, size=Size(24, 36)),
            chosen=EVIL,
            overview=_picture(200),
            panels=panels,
        )
        for name in ("first", EVIL)
    )
    return Gallery(dataset=EVIL, scale=4, protocol="y601", rule="By hand.", scenes=scenes, left_out=(EVIL,))


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    write(replace(made_report(), gallery=_gallery()), folder)
    return folder / "index.html"


@pytest.fixture
def page(browser: Browser, report_file: Path) -> Iterator[Page]:
    with watched(browser, report_file, "gallery", height=1000) as page:
        yield page


def _transforms(page: Page) -> set[str]:
    """Where the pictures stand; one entry when all stand alike."""
    return set(page.eval_on_selector_all("#gallery .pane img", "nodes => nodes.map(n => n.style.transform)"))


def test_every_picture_stands_with_its_scores_and_what_is_missing_says_so(page: Page) -> None:
    captions = page.eval_on_selector_all("#gallery-panes figcaption", "nodes => nodes.map(n => n.textContent)")
    assert captions == [
        "HRoriginal",
        "Bicubic26.60 / 0.7000 image25.60 / 0.7000 region",
        f"{EVIL}27.10 / 0.7000 image26.10 / 0.7000 region",
        "AGDN27.60 / 0.7000 image26.60 / 0.7000 region",
        "BSRNnot here",
    ]
    assert "Run `esr weights pull bsrn`" in (page.text_content("#gallery .missing") or "")
    keep_screenshots(page, "gallery")
    assert page.eval_on_selector_all("#gallery img", "nodes => nodes.every(n => n.complete && n.naturalWidth === 36)")


def test_all_pictures_zoom_and_move_together_by_button_key_wheel_and_pointer(page: Page) -> None:
    seen = [_transforms(page)]
    pane = page.locator("#gallery-panes .pane").nth(2)

    def middle() -> tuple[float, float]:
        pane.scroll_into_view_if_needed()
        box = pane.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def wheel() -> None:
        page.mouse.move(*middle())
        page.keyboard.down("Control")
        page.mouse.wheel(0, -200)
        page.keyboard.up("Control")
        page.wait_for_function("n => document.querySelector('#gallery .pane img').style.transform !== n", arg=before)

    def drag() -> None:
        x, y = middle()
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 40, y - 30)
        page.mouse.up()

    for act in (
        lambda: page.click("#gallery-in"),
        lambda: pane.press("+"),
        lambda: pane.press("ArrowRight"),
        wheel,
        drag,
    ):
        (before,) = seen[-1]
        act()
        now = _transforms(page)
        assert len(now) == 1
        assert now != seen[-1]
        seen.append(now)
    page.click("#gallery-reset")
    assert _transforms(page) == seen[0]


def test_the_slider_moves_the_seam_between_any_two(page: Page) -> None:
    clip = "document.getElementById('gallery-after').style.clipPath"
    assert page.evaluate(clip) == "inset(0px 0px 0px 50%)"
    page.focus("#gallery-slider")
    page.keyboard.press("Home")
    assert page.evaluate(clip) == "inset(0px 0px 0px 0%)"
    page.keyboard.press("End")
    assert page.evaluate(clip) == "inset(0px 0px 0px 100%)"
    assert page.eval_on_selector_all("#gallery-pair .tag", "n => n.map(t => t.textContent)") == ["Bicubic", "AGDN"]
    page.select_option("#gallery-left", "evil")
    assert (page.text_content("#gallery-compared") or "").startswith(f"{EVIL} 27.10 / 0.7000 (image)")
    sources = page.eval_on_selector_all("#gallery-pair img", "n => n.map(i => i.getAttribute('alt'))")
    assert sources == [EVIL, "AGDN"]


def test_another_image_keeps_the_choice_and_starts_whole(page: Page) -> None:
    page.select_option("#gallery-right", "bicubic")
    whole = _transforms(page)
    page.click("#gallery-in")
    page.locator("#gallery-images button").nth(1).click()
    assert page.text_content("#gallery-images [aria-pressed=true]") == EVIL
    assert _transforms(page) == whole
    assert page.input_value("#gallery-right") == "bicubic"
    mark = page.eval_on_selector("#gallery-overview .region", "n => [n.style.left, n.style.top, n.style.width]")
    assert mark == ["25%", "25%", "50%"]
