"""What holds for all tests."""

from __future__ import annotations

import os
import random
import signal

import pytest
from hypothesis import settings

# The suite looks at the same examples every time; `make soak` draws fresh ones. A slow machine is no failure.
settings.register_profile("suite", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Whatever a test draws from `random`, it draws the same every time, by itself or among others."""
    random.seed(item.nodeid)


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
