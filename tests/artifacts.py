"""Screenshots that a person looks at: kept by CI below `artifacts/`, never compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.shared import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = ROOT / "artifacts"


def keep_screenshots(page: Page, name: str) -> None:
    """The page as it stands, in light and dark."""
    FOLDER.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png", full_page=True)
