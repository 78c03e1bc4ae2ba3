"""What holds for all tests."""

from __future__ import annotations

import os

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: something that should have run did not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and not exitstatus:
        reporter.write_line("tests were skipped, and in CI they must run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
