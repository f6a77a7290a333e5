"""A headless Chromium for tests of the page, and pages that are watched: whatever goes wrong in one fails its test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
"""A name that says so when it runs: `watched` looks."""

NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
]
"""Marks of a module whose tests open a page."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, file: Path, section: str, *, height: int = 900) -> Iterator[Page]:
    """The open page at a section, 1300 pixels wide.

    At the end no console message, page error, dialog, request beside the file itself or run of EVIL may have been.
    """
    context = browser.new_context(viewport={"width": 1300, "height": height})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: _note(troubles, dialog))
    page.on("request", lambda request: troubles.extend(_foreign(request.url, file)))
    page.goto(f"{file.as_uri()}#{section}")
    try:
        yield page
        assert page.evaluate("window.hacked") is None
    finally:
        context.close()
    assert troubles == []


def _note(troubles: list[str], dialog: Dialog) -> None:
    troubles.append(f"dialog {dialog.message}")
    # An open dialog freezes the page, and the test with it.
    dialog.dismiss()


def _foreign(url: str, file: Path) -> list[str]:
    own = url.partition("#")[0] == file.as_uri() or url.startswith(("data:", "blob:", "about:blank"))
    return [] if own else [f"request {url}"]


def go_to(page: Page, title: str) -> None:
    """Open a section by the navigation."""
    page.click(f"#nav a:text-is('{title}')")


def models_shown(page: Page) -> list[str]:
    """The models of the results table, from above."""
    shown: list[str] = page.eval_on_selector_all("#table tbody th", "cells => cells.map(c => c.firstChild.textContent)")
    return shown
