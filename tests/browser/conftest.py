"""A real headless Chromium and Firefox, one for all tests, and pages that remember what went wrong in them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fakes.work import HANGS

# The shell is the same engine without the browser's own windows, which take half of the time.
SHELLS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
CHROMIUM = Path(os.environ.get("CHROMIUM") or next(filter(os.path.exists, SHELLS), SHELLS[-1]))
FIREFOX = Path(os.environ.get("FIREFOX", "/usr/bin/firefox-esr"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Watched:
    """A page, with every console error, exception and request it made."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: Path, fragment: str = "") -> Any:
        """Open a file and return its page, with the script run."""
        self.page.goto(path.as_uri() + fragment)
        return self.page


def _absent(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI the browser tests must run")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def launched() -> Iterator[Any]:
    """Return a running Chromium and the event loop that drives it; skip without one, but fail in CI.

    The loop counts as running in this thread, where no other could then run: it is put aside until it is needed.
    """
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _absent("playwright")
    if not CHROMIUM.exists():
        _absent(str(CHROMIUM))
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * HANGS)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)
        browser.close()


@pytest.fixture
def chromium(launched: Any) -> Iterator[Any]:
    """Return the running Chromium, for the length of a test."""
    browser, loop = launched
    asyncio._set_running_loop(loop)
    yield browser
    asyncio._set_running_loop(None)


@pytest.fixture
def watch(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """Return a maker of watched pages; its options are those of a Playwright context."""
    contexts = []

    def make(**options: Any) -> Watched:
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        context.set_default_timeout(1000 * HANGS)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
        watched.page.on(
            "console",
            lambda message: watched.errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        return watched

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def firefox() -> Iterator[Any]:
    """Return a tab of a running Firefox; skip without one, but fail in CI."""
    try:
        from browser.firefox import running
    except ImportError:
        _absent("websockets")
    if not FIREFOX.exists():
        _absent(str(FIREFOX))
    with running(FIREFOX) as tab:
        yield tab


@pytest.fixture
def look(watch: Callable[..., Watched]) -> Iterator[Any]:
    """Return what opens a sheet; in the end none may have logged an error or asked the network."""
    from browser.sheet_page import looking  # it needs Playwright, which may be missing

    with looking(watch) as look:
        yield look
