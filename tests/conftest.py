"""Shared material for all tests, and the rule that none of them may skip where what it needs is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import shared
from tests.browser import launched
from zoo.contract import ModelSpec, ReportedOnly

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from runner.store import Store
    from tests.fake_tasks import Fakes

# A loaded machine is no failure: no example has a deadline.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# Beside another worker each test has one core; two thread pools on two cores wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

for variable, folder in (("ESR_WEIGHTS_DIR", "weights"), ("ESR_DATA_DIR", "datasets")):
    if variable not in os.environ and (shared.SHARED / folder).is_dir():
        os.environ[variable] = str(shared.SHARED / folder)

_wrongly_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.skipped:
        return
    lacks_material = shared.SKIP_PREFIX in str(report.longrepr) and shared.present()
    lacks_browser = "browser" in report.keywords and "ESR_REQUIRE_BROWSER" in os.environ
    if lacks_material or lacks_browser:
        _wrongly_skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _wrongly_skipped:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            names = ", ".join(_wrongly_skipped[:5])
            reporter.write_line(f"FAILED: skipped although what they need should be here: {names}", red=True)


@pytest.fixture
def reported_only() -> ModelSpec:
    """A model of which only printed numbers exist."""
    build = ReportedOnly(reason="No code was released.", would_change="A release.")
    return ModelSpec(name="printed", display_name="Printed", build=build, scales=(2, 3, 4))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; a module that asks for it is marked NEEDS_BROWSER."""
    with launched() as browser:
        yield browser


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Tasks that take no time, in the place of the real ones."""
    from tests import fake_tasks

    return fake_tasks.install(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store of records."""
    from runner.store import Store

    return Store(tmp_path / "results")
