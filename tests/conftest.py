"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import pytest


def pytest_configure() -> None:
    """Runs are told to leave by signals: also where these tests run in the background, and would inherit deaf ears."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for way in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(way, signal.SIG_DFL)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: something that should have run did not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and not exitstatus:
        reporter.write_line("tests were skipped, and in CI they must run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
