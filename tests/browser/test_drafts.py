"""Words of a note are never lost: Escape, a reload and a closed page leave them as a draft."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import NO_STORAGE, go, open_review, verdict
from browser.sheet_page import Look, press

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    shown = fake_sheet.campaign(1, troubled=False)
    return fake_sheet.write(tmp_path_factory.mktemp("drafts"), shown, files=False)


def typed(page: Any, at: int, text: str) -> None:
    """Type a note on a picture, and leave it open."""
    go(page, at)
    press(page, "n")
    expect(page.locator("#note-text")).to_be_focused()
    page.keyboard.type(text)


def test_escape_keeps_the_words_as_a_draft(look: Look, sheet: Path) -> None:
    """They are not sent yet, are there when the note is opened again, and Enter keeps them; the help says so."""
    page = look(sheet)
    typed(page, 1, "too dark at the rim")
    press(page, "Escape")
    expect(verdict(page, 1)).to_have_attribute("title", "")
    go(page, 2)
    press(page, "n")
    expect(page.locator("#note-text")).to_have_value("")
    press(page, "Escape")
    go(page, 1)
    press(page, "n")
    expect(page.locator("#note-text")).to_have_value("too dark at the rim")
    press(page, "Enter")
    expect(verdict(page, 1)).to_have_attribute("title", "note: too dark at the rim")
    press(page, "?")
    expect(page.locator("#help")).to_contain_text("Esc leaves it as a draft")


@pytest.mark.parametrize("way", ["escape", "open"])
def test_a_reload_loses_no_words(look: Look, sheet: Path, way: str) -> None:
    """Whether the note was closed or still open."""
    page = look(sheet)
    typed(page, 1, "warmer")
    if way == "escape":
        press(page, "Escape")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    go(page, 1)
    press(page, "n")
    expect(page.locator("#note-text")).to_have_value("warmer")


def test_drafts_are_shown_where_one_would_miss_them(look: Look, sheet: Path) -> None:
    """Beside the large picture, and in the review before anything is sent; from there the note opens."""
    page = look(sheet, alone=True)
    typed(page, 1, "warmer")
    press(page, "Escape", "Enter")
    expect(page.locator("#box-note")).to_have_text("Note: a draft")
    press(page, "Escape")
    open_review(page)
    expect(page.locator("#drafts")).to_contain_text("not sent")
    page.locator("#draft-list button").click()
    expect(page.locator("#note-text")).to_have_value("warmer")
    page.locator("#note-cancel").click()
    open_review(page)
    expect(page.locator("#drafts")).to_be_hidden()
    press(page, "Escape", "Enter")
    expect(page.locator("#box-draft")).to_be_hidden()


@pytest.mark.parametrize("why", NO_STORAGE)
def test_without_storage_leaving_asks(watch: Callable[..., Any], sheet: Path, why: str) -> None:
    """Drafts live as long as the page then, and the page says so before it goes."""
    watched = watch()
    page = watched.page
    page.add_init_script(NO_STORAGE[why])
    watched.open(sheet)
    typed(page, 0, "odd")
    press(page, "Escape", "n")
    expect(page.locator("#note-text")).to_have_value("odd")
    press(page, "Escape")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    assert watched.errors == []


@pytest.mark.parametrize("rubbish", ["", "{", "5", "null", "[1]", '{"a": {}}'])
def test_rubbish_in_the_storage_does_no_harm(look: Look, sheet: Path, rubbish: str) -> None:
    """The sheet opens, and new drafts take its place."""
    page = look(sheet)
    page.evaluate("text => localStorage.setItem('campaign-pipeline drafts Autumn tableware', text)", rubbish)
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    typed(page, 0, "odd")
    press(page, "Escape", "n")
    expect(page.locator("#note-text")).to_have_value("odd")
