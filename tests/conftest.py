"""Shared material for all tests, and the rule that none of them may skip while it is there."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests import shared
from zoo.contract import ModelSpec, ReportedOnly

# A loaded machine is no failure: no example has a deadline.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

for variable, folder in (("ESR_WEIGHTS_DIR", "weights"), ("ESR_DATA_DIR", "datasets")):
    if variable not in os.environ and (shared.SHARED / folder).is_dir():
        os.environ[variable] = str(shared.SHARED / folder)

_skipped_for_lack_of_material: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and shared.SKIP_PREFIX in str(report.longrepr):
        _skipped_for_lack_of_material.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if shared.present() and _skipped_for_lack_of_material:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            names = ", ".join(_skipped_for_lack_of_material[:5])
            reporter.write_line(f"FAILED: skipped although {shared.SHARED} exists: {names}", red=True)


@pytest.fixture
def reported_only() -> ModelSpec:
    """A model of which only printed numbers exist."""
    build = ReportedOnly(reason="No code was released.", would_change="A release.")
    return ModelSpec(name="printed", display_name="Printed", build=build, scales=(2, 3, 4))
