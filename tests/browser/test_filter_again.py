"""A filter by decision or mark falls behind while somebody decides: it says so, and is applied again on request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import go, noted, verdicts
from browser.sheet_page import Look, boxes, data, focused, press, values

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

UNDECIDED = "#show.decision=undecided"
PLACES = """() => Object.fromEntries([...document.querySelectorAll(".facet, #open-review, #size, .tile")].map(e => {
  const { x, y } = e.getBoundingClientRect();
  return [e.id || e.dataset.index || e.firstChild.textContent, `${x},${y}`]; }))"""


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    shown = fake_sheet.campaign(1, troubled=False)
    return fake_sheet.write(tmp_path_factory.mktemp("again"), shown, files=False)


def test_what_was_decided_since_stays_and_is_counted(look: Look, sheet: Path) -> None:
    """Nothing vanishes under the mouse; refreshed, only the undecided are left and the cursor is on the next."""
    page = look(sheet, UNDECIDED)
    said = page.locator("#outdated-text")
    expect(said).to_have_text("")
    expect(page.locator("#refresh")).to_be_hidden()
    go(page, 1)
    press(page, "Shift+P")
    expect(said).to_have_text("1 shown here has been decided since")
    press(page, "Shift+X", "Shift+Digit3")
    expect(said).to_have_text("2 shown here have been decided since")
    assert said.evaluate("e => e.role") == "status"
    assert verdicts(page) == ["", "approved", "rejected", "", "", ""]
    go(page, 1)
    following = page.locator(".tile").nth(3).get_attribute("data-index")
    page.locator("#refresh").click()
    expect(page.locator("#count")).to_have_text("4 of 6 pictures")
    assert verdicts(page) == [""] * 4
    expect(said).to_have_text("")
    assert focused(page) == int(following)


def test_r_refreshes_and_undo_brings_up_more(look: Look, sheet: Path) -> None:
    """What matches again, and is not shown, is counted as well."""
    page = look(sheet, UNDECIDED)
    go(page, 0)
    press(page, "p", "r")
    expect(page.locator("#count")).to_have_text("5 of 6 pictures")
    press(page, "Control+z")
    expect(page.locator("#outdated-text")).to_have_text("1 more matches now")
    press(page, "p", "r")
    expect(page.locator("#count")).to_have_text("5 of 6 pictures")


def test_other_filters_say_it_in_their_own_words(look: Look, sheet: Path) -> None:
    """Only the approved, only the starred."""
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "Shift+Digit4")
    values(page, "Decision").get_by_role("button", name="only approved").click()
    press(page, "Escape", "x")
    expect(page.locator("#outdated-text")).to_have_text("1 shown here no longer matches")
    press(page, "Escape")
    expect(page.locator("#outdated-text")).to_have_text("")
    values(page, "Marks").get_by_role("button", name="only starred").click()
    press(page, "Escape", "0")
    expect(page.locator("#outdated-text")).to_have_text("1 shown here no longer matches")


def test_only_a_request_filters_again(look: Look, sheet: Path) -> None:
    """Not a larger window, nor another size of the pictures, nor another axis."""
    page = look(sheet, UNDECIDED)
    go(page, 0)
    press(page, "p")
    page.locator("#size").fill("120")
    page.locator("#axis-across").select_option("ratio")
    page.set_viewport_size({"width": 900, "height": 700})
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator("#outdated-text")).to_have_text("1 shown here has been decided since")


@pytest.mark.parametrize("width", [390, 700, 1000, 1280, 1900])
def test_deciding_moves_nothing_under_the_mouse(look: Look, sheet: Path, width: int) -> None:
    """The first star, note and decision change no button's place, and no picture's in the window."""
    page = look(sheet, viewport={"width": width, "height": 800})
    page.evaluate("scrollTo(0, 40)")
    before = page.evaluate(PLACES)
    assert "Marks" in before
    expect(values(page, "Marks")).to_contain_text("Nothing here has stars or a note yet.")
    press(page, "Escape")
    press(page, "4", "p")
    noted(page, "odd")
    assert page.evaluate(PLACES) == before


def test_the_buttons_stay_while_values_are_chosen(look: Look, sheet: Path) -> None:
    """A click from one list to another button hits it: the buttons are not made again in between."""
    page = look(sheet)
    marked = "document.querySelectorAll('.facet').forEach(e => { e.seen = true; })"
    page.evaluate(marked)
    values(page, "Ratio").get_by_role("button", name="only 9:16").click()
    expect(page.locator("#facets").get_by_role("button", name="Ratio")).to_have_text("Ratio9:16")
    press(page, "Escape", "3")
    assert page.locator(".facet").evaluate_all("all => all.every(e => e.seen)")
    assert len(boxes(page)) == len([at for at in range(6) if ratio(page, at) == "9:16"])


def ratio(page: Any, tile: int) -> str:
    """A picture's shape by its name."""
    of = next(each for each in data(page)["dimensions"] if each["key"] == "ratio")
    return str(of["values"][of["of"][tile]])
