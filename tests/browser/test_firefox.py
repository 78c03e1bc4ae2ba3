"""The contact sheet in Debian's Firefox, opened from ``file://``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet

READY = "document.documentElement.dataset.ready === 'true'"


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of two products, all states, with the originals beside it."""
    return fake_sheet.write(tmp_path_factory.mktemp("firefox"), fake_sheet.campaign(2))


def test_a_broken_page_is_noticed(firefox: Any, tmp_path: Path) -> None:
    """What the tests below take as proof: errors, refused scripts and requests of a page are seen."""
    page = tmp_path / "broken.html"
    page.write_text(
        "<!doctype html><meta http-equiv='Content-Security-Policy' content=\"script-src 'nonce-yes'\">"
        "<img src='http://127.0.0.1:59999/x.png'><script>document.title = 'ran'</script>"
        "<script nonce=yes>console.error('said'); throw new Error('thrown')</script>"
    )
    firefox.open(page)
    assert firefox.evaluate("document.title") == ""
    assert any("said" in error for error in firefox.errors)
    assert any("thrown" in error for error in firefox.errors)
    assert any("CSP" in error for error in firefox.errors)
    assert firefox.requests == ["http://127.0.0.1:59999/x.png"]


def test_opens_without_errors_or_requests(firefox: Any, sheet: Path) -> None:
    """The sheet becomes ready, shows its tiles with their pictures, and asks the network for nothing."""
    firefox.open(sheet)
    firefox.wait_for(READY)
    assert firefox.evaluate("document.querySelectorAll('[data-index]').length") > 0
    firefox.wait_for("[...document.querySelectorAll('[data-index] img')].some(i => i.complete && i.naturalWidth > 50)")
    assert firefox.errors == []
    assert firefox.requests == []


def test_local_storage_survives_a_reload(firefox: Any, sheet: Path) -> None:
    """Decisions live in localStorage: on a file:// page of Firefox too they are there again."""
    firefox.open(sheet)
    firefox.wait_for(READY)
    firefox.evaluate("localStorage.setItem('kept', 'yes')")
    firefox.reload()
    firefox.wait_for(READY)
    assert firefox.evaluate("localStorage.getItem('kept')") == "yes"
