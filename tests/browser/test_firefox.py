"""The contact sheet in Debian's Firefox, opened from ``file://``."""

from __future__ import annotations

import json
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


VERDICTS = "[...document.querySelectorAll('#tiles .tile')].map(each => each.dataset.decision)"


@pytest.fixture
def six(firefox: Any, tmp_path: Path) -> Path:
    """A sheet of six pictures, opened, with nothing decided in this browser."""
    path = fake_sheet.write(tmp_path, fake_sheet.campaign(1, troubled=False), files=False)
    firefox.open(path)
    firefox.wait_for(READY)
    firefox.evaluate("localStorage.clear()")
    reload(firefox)
    return path


def reload(firefox: Any) -> None:
    firefox.reload()
    firefox.wait_for(READY)


def typed(firefox: Any, text: str) -> None:
    firefox.press(*("Space" if sign == " " else sign for sign in text))


def test_culling_survives_a_reload(firefox: Any, six: Path) -> None:
    """Keys decide, go on, write and undo; on a file:// page of Firefox too the decisions are there again."""
    firefox.press("Home", "Shift+P", "Shift+X", "3", "n")
    firefox.wait_for("document.activeElement.id === 'note-text'")
    typed(firefox, "too px")
    firefox.press("Enter")
    firefox.wait_for("!document.getElementById('note').open")
    firefox.press("ArrowRight", "p", "Control+z")
    for _ in range(2):
        assert firefox.evaluate(VERDICTS) == ["approved", "rejected", "", "", "", ""]
        verdict = "document.querySelectorAll('#tiles .verdict')[2].title"
        assert firefox.evaluate(verdict) == "note: too px · 3 of 5 stars"
        reload(firefox)
    firefox.press("Home", "y")
    assert firefox.evaluate(VERDICTS) == ["approved", "rejected", "approved", "approved", "approved", "approved"]
    assert firefox.errors == []
    assert firefox.requests == []


def test_pivots_by_address_and_by_select(firefox: Any, sheet: Path) -> None:
    """Bands and columns as the link says; another choice is in the address, and a reload shows the same."""
    firefox.open(sheet, "#bands=ratio&down=&across=prompt")
    firefox.wait_for(READY)
    headings = "[...document.querySelectorAll('#headings .band .name')].map(each => each.textContent)"
    columns = "[...document.querySelectorAll('#columns span')].map(each => each.textContent)"
    assert firefox.evaluate(headings)[:2] == ["1:1", "16:9"]
    assert firefox.evaluate(columns) == ["table", "banner"]
    firefox.evaluate(
        "(() => { const one = document.getElementById('axis-across'); one.value = 'ratio'; "
        "one.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )
    for _ in range(2):
        assert firefox.evaluate("document.getElementById('axis-bands').value") == ""
        assert sorted(firefox.evaluate(columns)) == sorted(fake_sheet.RATIOS)
        assert "across=ratio" in firefox.evaluate("location.hash")
        reload(firefox)
    assert firefox.errors == []


def test_large_picture_by_keyboard(firefox: Any, sheet: Path) -> None:
    """Enter opens the original, arrows leaf, plus zooms, P decides, Escape gives the focus back."""
    firefox.open(sheet)
    firefox.wait_for(READY)
    firefox.evaluate("localStorage.clear()")  # all files are of one origin
    reload(firefox)
    firefox.press("Home", "Enter")
    firefox.wait_for("document.querySelector('#side-now img')?.naturalWidth === 1024")
    assert firefox.evaluate("document.getElementById('box-position').textContent") == "1 of 12"
    firefox.press("ArrowRight", "+")
    assert firefox.evaluate("document.getElementById('box-position').textContent") == "2 of 12"
    assert firefox.evaluate("document.getElementById('stage').classList.contains('zoomed')")
    firefox.press("x")
    assert firefox.evaluate("document.querySelector('#box-decide [aria-pressed=true]').dataset.decide") == "rejected"
    firefox.press("Control+z", "Escape")
    firefox.wait_for("!document.getElementById('lightbox').open")
    assert firefox.evaluate("document.activeElement.closest('.tile').dataset.index !== undefined")
    assert firefox.errors == []


def test_decisions_are_handed_on_and_taken_in(firefox: Any, six: Path) -> None:
    """What is exported comes in again where nothing was decided; what is none is refused with words."""
    firefox.evaluate(
        "(() => { window.made = []; const make = URL.createObjectURL; URL.createObjectURL = (blob) => "
        "{ window.made.push(blob.text()); return make.call(URL, blob); }; })()"
    )
    firefox.press("Home", "Shift+P", "x", "e")
    firefox.wait_for("document.activeElement.id === 'reviewer'")
    typed(firefox, "Ana")
    firefox.click("#export")
    firefox.wait_for("window.made.length === 1")
    text = firefox.evaluate("window.made[0]")
    document = json.loads(text)
    assert [(each["decision"], each["who"]) for each in document["decisions"]] in (
        [("approved", "Ana"), ("rejected", "Ana")],
        [("rejected", "Ana"), ("approved", "Ana")],
    )
    firefox.evaluate("localStorage.clear()")
    reload(firefox)
    assert set(firefox.evaluate(VERDICTS)) == {""}
    firefox.press("e")
    firefox.wait_for("document.getElementById('review').open")
    said = "document.getElementById('review-said').textContent"
    take_in(firefox, json.dumps(document | {"campaign": "Winter"}))
    firefox.wait_for(f"{said}.startsWith('These are decisions on the campaign Winter')")
    assert set(firefox.evaluate(VERDICTS)) == {""}
    take_in(firefox, text)
    firefox.wait_for(f"{said} === '2 decisions taken in.'")
    firefox.press("Escape")
    assert firefox.evaluate(VERDICTS) == ["approved", "rejected", "", "", "", ""]
    assert firefox.errors == []
    assert [url for url in firefox.requests if not url.startswith("blob:")] == []


def take_in(firefox: Any, text: str) -> None:
    """Choose a file of this text for the import."""
    firefox.evaluate(
        f"(() => {{ const chosen = new DataTransfer(); chosen.items.add(new File([{json.dumps(text)}], 'd.json')); "
        "const field = document.getElementById('import'); field.files = chosen.files; "
        "field.dispatchEvent(new Event('change', { bubbles: true })); })()"
    )
