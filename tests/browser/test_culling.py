"""Deciding on pictures: by key, undone, filtered by, and still there when the sheet is opened again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import NO_STORAGE, covered, go, noted, open_review, tally, verdict, verdicts
from browser.sheet_page import Look, focused, fragment, press, values

from pipeline.report.view import DecisionView, SheetView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

SIX = ["", "", "", "", "", ""]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    return fake_sheet.write(tmp_path_factory.mktemp("culling"), six(), files=False)


def six() -> SheetView:
    return fake_sheet.campaign(1, troubled=False)


def but(at: int, word: str) -> list[str]:
    return [word if each == at else "" for each in range(6)]


@pytest.mark.parametrize(("key", "word"), [("p", "approved"), ("a", "approved"), ("x", "rejected")])
def test_a_key_decides_and_u_takes_back(look: Look, sheet: Path, key: str, word: str) -> None:
    """On the picture that has the focus and no other; pressed again nothing changes, and the focus stays."""
    page = look(sheet)
    go(page, 2)
    here = focused(page)
    press(page, key)
    assert verdicts(page) == but(2, word)
    press(page, key)
    assert verdicts(page) == but(2, word)
    press(page, "u")
    assert verdicts(page) == SIX
    assert focused(page) == here


def test_shift_goes_on_to_the_next(look: Look, sheet: Path) -> None:
    """With any of the keys, and a picture that is so already stays so; on the last one there is nowhere to go."""
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "Shift+X", "Shift+Digit3", "Shift+A")
    assert verdicts(page) == ["approved", "rejected", "", "approved", "", ""]
    go(page, 0)
    press(page, "Shift+P", "Shift+X", "Shift+Digit3", "Shift+U", "Shift+P", "Shift+P", "Shift+P")
    assert verdicts(page) == ["approved", "rejected", "", "", "approved", "approved"]
    assert page.locator("#tiles .tile").nth(5).locator(".picture:focus").count() == 1
    expect(verdict(page, 2)).to_have_attribute("title", "3 of 5 stars")


@pytest.mark.parametrize("pad", ["Digit", "Numpad"])
def test_stars(look: Look, sheet: Path, pad: str) -> None:
    """One to five, and none; the same twice stays; they leave the decision as it is."""
    page = look(sheet)
    go(page, 1)
    press(page, "x")
    for stars in (1, 5, 2):
        press(page, f"{pad}{stars}")
        expect(verdict(page, 1).locator(".stars")).to_have_text("★" * stars)
    press(page, f"{pad}2")
    expect(verdict(page, 1).locator(".stars")).to_have_text("★★")
    press(page, f"{pad}4", f"{pad}0")
    expect(verdict(page, 1).locator(".stars")).to_have_count(0)
    assert verdicts(page) == but(1, "rejected")


def test_a_note_is_text_and_nothing_else(look: Look, sheet: Path) -> None:
    """While it is written no key decides; Enter keeps it, Escape doesn't, and the focus comes back to the picture."""
    page = look(sheet)
    go(page, 3)
    here = focused(page)
    press(page, "n")
    expect(page.locator("#note-text")).to_be_focused()
    page.keyboard.type("pxy 3 too dark")
    press(page, "Shift+Enter")
    page.keyboard.type("at the rim  ")
    press(page, "Enter")
    expect(page.locator("#note")).to_be_hidden()
    expect(verdict(page, 3)).to_have_attribute("title", "note: pxy 3 too dark\nat the rim")
    assert focused(page) == here
    press(page, "n")
    expect(page.locator("#note-text")).to_have_value("pxy 3 too dark\nat the rim")
    page.locator("#note-text").fill("something else")
    press(page, "Escape")
    expect(verdict(page, 3)).to_have_attribute("title", "note: pxy 3 too dark\nat the rim")
    noted(page, "")
    expect(verdict(page, 3)).to_have_attribute("title", "")
    assert verdicts(page) == SIX


def test_every_step_can_be_undone(look: Look, sheet: Path) -> None:
    """Backwards, each as a whole, with the cursor where it was; then there is nothing left to undo."""
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "x", "4")
    noted(page, "crooked")
    go(page, 5)
    press(page, "y")
    assert verdicts(page) == ["approved", "rejected", *["approved"] * 4]
    press(page, "Control+z")
    assert verdicts(page) == ["approved", "rejected", "", "", "", ""]
    expect(page.locator("#toast")).to_have_text("Undone: 4 pictures.")
    for title in ("4 of 5 stars · rejected", "rejected", ""):
        press(page, "Control+z")
        expect(verdict(page, 1)).to_have_attribute("title", title)
        expect(page.locator("#tiles .tile").nth(1).locator(".picture")).to_be_focused()
    press(page, "Control+z")
    assert verdicts(page) == SIX
    press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Nothing to undo.")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == SIX


def test_the_rest_is_what_is_shown_and_undecided(look: Look, sheet: Path) -> None:
    """Y approves neither what is rejected, nor what is filtered out, nor what has only just been approved."""
    page = look(sheet)
    go(page, 0)
    press(page, "x", "/")
    page.keyboard.type("table")
    press(page, "Enter", "y")
    expect(page.locator("#toast")).to_have_text("Approved: 3 pictures. Undo")
    page.locator("#toast button").click()
    assert verdicts(page) == ["rejected", "", "", ""]
    press(page, "y")
    page.locator("#clear").click()
    assert verdicts(page) == ["rejected", "approved", "approved", "approved", "", ""]
    open_review(page)
    expect(page.locator("#approve-rest")).to_have_text("Approve the 2 pictures shown and undecided")
    page.locator("#approve-rest").click()
    expect(page.locator("#approve-rest")).to_be_disabled()
    press(page, "Escape", "y")
    expect(page.locator("#toast")).to_have_text("Everything shown is decided on.")
    assert tally(page) == {"approved": 5, "rejected": 1, "undecided": 0, "pictures": 6}
    expect(page.locator("#progress")).to_have_text("6 of 6 decided")


def test_the_same_in_large(look: Look, sheet: Path) -> None:
    """With a picture open keys and buttons decide on it, Shift leafs on, and what is said is on top of it."""
    page = look(sheet, alone=True)
    go(page, 0)
    press(page, "Enter", "Shift+X")
    expect(page.locator("#box-position")).to_have_text("2 of 6")
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_count(0)
    page.locator("#box-decide").get_by_role("button", name="Approve").click()
    page.locator("#box-decide").get_by_role("button", name="3 of 5 stars").click()
    noted(page, "keep the crumbs")
    expect(page.locator("#box-said")).to_have_text("keep the crumbs")
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_text(["Approve", "★"])
    for _ in range(3):
        press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Undone: 1 picture.")
    assert not covered(page, "#toast")
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_count(0)
    press(page, "Control+z")
    expect(page.locator("#box-position")).to_have_text("1 of 6")
    press(page, "p", "Escape")
    expect(page.locator("#tiles .tile").first.locator(".picture")).to_be_focused()
    assert verdicts(page) == but(0, "approved")
    press(page, "Control+z")
    assert not covered(page, "#toast")


def test_where_there_is_no_picture_nothing_is_decided(look: Look, tmp_path: Path) -> None:
    """A failed one says so, by every key, and counts as no picture to decide on."""
    first, *others = six().tiles
    failed = replace(first, state="failed", reason="refused", sha="", thumb=None, cells=())
    page = look(fake_sheet.write(tmp_path, replace(six(), tiles=(failed, *others)), files=False))
    go(page, 0)
    for key in ("p", "x", "3", "u"):
        page.locator("#toast").evaluate("one => { one.textContent = ''; }")
        press(page, key)
        expect(page.locator("#toast")).to_have_text("There is no picture here to decide on yet.")
    press(page, "n")
    expect(page.locator("#toast")).to_have_text("There is no picture here to write on yet.")
    press(page, "y")
    assert verdicts(page) == ["", *["approved"] * 5]
    assert tally(page)["pictures"] == 5


def test_a_picture_shown_twice_is_decided_once(look: Look, tmp_path: Path) -> None:
    """Two labels of one picture (same key, same file) are approved together and counted once."""
    first, second, *others = six().tiles
    twin = replace(second, key=first.key, sha=first.sha)
    page = look(fake_sheet.write(tmp_path, replace(six(), tiles=(first, twin, *others)), files=False))
    go(page, 0)
    press(page, "p")
    assert sorted(verdicts(page)) == ["", "", "", "", "approved", "approved"]
    assert tally(page) == {"approved": 1, "rejected": 0, "undecided": 4, "pictures": 5}
    press(page, "Control+z")
    assert verdicts(page) == SIX


def test_shows_by_decision_and_by_marks(look: Look, sheet: Path) -> None:
    """Only the rejected, all but the approved, the starred, the noted; a link opens the same, and new ones fit in."""
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "Shift+P", "Shift+X", "Shift+Digit3")
    noted(page, "odd")
    values(page, "Decision").get_by_role("button", name="only rejected").click()
    expect(page.locator("#count")).to_have_text("1 of 6 pictures")
    assert verdicts(page) == ["rejected"]
    assert fragment(page) == "#show.decision=rejected"
    page.reload()
    expect(page.locator("#count")).to_have_text("1 of 6 pictures")
    values(page, "Decision").get_by_role("button", name="All").click()
    page.locator("#values").get_by_label(re.compile("^approved")).uncheck()
    expect(page.locator("#count")).to_have_text("4 of 6 pictures")
    assert verdicts(page) == ["rejected", "", "", ""]
    press(page, "Escape")
    page.locator("#clear").click()
    for word, stars, notes in (("starred", 1, 0), ("noted", 0, 1)):
        values(page, "Marks").get_by_role("button", name=f"only {word}").click()
        expect(page.locator("#count")).to_have_text("1 of 6 pictures")
        expect(page.locator("#tiles .stars")).to_have_count(stars)
        expect(page.locator("#tiles .verdict[title*=note]")).to_have_count(notes)
        press(page, "Escape")
        page.locator("#clear").click()


def test_what_the_sheet_came_with_is_shown_by_name(look: Look, tmp_path: Path) -> None:
    """Decisions of approvals.yaml stand on it; mine go before them, until somebody decides otherwise later."""
    shown = fake_sheet.decided(six())
    path = fake_sheet.write(tmp_path, shown, files=False)
    page = look(path)
    titles = {label_of(page, at): verdict(page, at).get_attribute("title") for at in range(6)}
    assert [titles[each.label] for each in shown.tiles[:4]] == [
        "4 of 5 stars · approved by Ana",
        "note: too dark, and the mark is cut off · rejected by Ana",
        "3 of 5 stars",
        "approved before, but prompt changed",
    ]
    values(page, "Marks").get_by_role("button", name="only stale approval").click()
    expect(page.locator("#count")).to_have_text("1 of 6 pictures")
    press(page, "Escape")
    page.locator("#clear").click()
    go(page, 0)
    press(page, "x")
    assert verdicts(page)[0] == "rejected"
    first = shown.tiles[0]
    later = DecisionView(first.sha, "approved", 0, "", "Ana", "2999-01-01T00:00:00Z")
    fake_sheet.write(tmp_path, replace(shown, decisions={**shown.decisions, first.key: (later,)}), files=False)
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page)[0] == "differs"
    go(page, 0)
    press(page, "x")
    assert verdicts(page)[0] == "rejected"


def test_decisions_outlive_the_page_and_the_sheet(look: Look, tmp_path: Path) -> None:
    """After a reload, and on a sheet made anew: on the same pictures, but not on another take of one."""
    path = fake_sheet.write(tmp_path, six(), files=False)
    page = look(path)
    go(page, 0)
    press(page, "Shift+P", "Shift+X", "2")
    noted(page, "warmer")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == ["approved", "rejected", "", "", "", ""]
    expect(verdict(page, 2)).to_have_attribute("title", "note: warmer · 2 of 5 stars")
    labels = {label_of(page, at): at for at in range(6)}
    again = [replace(each, sha="f" * 64) if labels[each.label] == 1 else each for each in reversed(six().tiles)]
    fake_sheet.write(tmp_path, replace(six(), tiles=tuple(again), serial=43), files=False)
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    found = {label_of(page, at): word for at, word in enumerate(verdicts(page))}
    assert {labels[label]: word for label, word in found.items() if word} == {0: "approved"}


def label_of(page: Any, at: int) -> str:
    """The label of a picture by its place on the sheet."""
    alt: str = page.locator("#tiles .tile").nth(at).locator("img").get_attribute("alt")
    return alt.partition(": ")[0]


def test_another_campaign_knows_nothing_of_them(watch: Callable[..., Any], sheet: Path, tmp_path: Path) -> None:
    """In the same browser, of the very same pictures."""
    watched = watch()
    page = watched.open(sheet)
    go(page, 0)
    press(page, "p")
    other = fake_sheet.write(tmp_path, replace(six(), campaign="Winter"), files=False)
    watched.open(other)
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == SIX
    go(page, 1)
    press(page, "x")
    watched.open(sheet)
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == but(0, "approved")
    assert watched.errors == []


@pytest.mark.parametrize("why", NO_STORAGE)
def test_without_storage_it_says_so_and_warns(watch: Callable[..., Any], sheet: Path, why: str) -> None:
    """Where the browser keeps nothing, deciding works, the review says what to do, and leaving asks first."""
    watched = watch()
    page = watched.page
    page.add_init_script(NO_STORAGE[why])
    watched.open(sheet)
    open_review(page)
    expect(page.locator("#review-lost")).to_be_hidden()
    press(page, "Escape")
    go(page, 0)
    press(page, "p")
    assert verdicts(page) == but(0, "approved")
    open_review(page)
    expect(page.locator("#review-lost")).to_be_visible()
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    assert verdicts(page) == but(0, "approved")
    assert watched.errors == []


def test_with_storage_leaving_asks_nothing(watch: Callable[..., Any], sheet: Path) -> None:
    """The same steps where decisions are kept: the page simply goes."""
    page = watch().open(sheet)
    asked: list[Any] = []
    page.on("dialog", lambda dialog: (asked.append(dialog), dialog.accept()))
    go(page, 0)
    press(page, "p")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == []


@pytest.mark.parametrize("rubbish", ["", "{", "5", "{}", "[null, 1, {}]", '[{"picture": ["a"], "when": "now"}]'])
def test_rubbish_in_the_storage_does_no_harm(look: Look, sheet: Path, rubbish: str) -> None:
    """The sheet opens, nothing is decided, and new decisions are kept in its place."""
    page = look(sheet)
    page.evaluate("text => localStorage.setItem('campaign-pipeline decisions Autumn tableware', text)", rubbish)
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == SIX
    go(page, 4)
    press(page, "p")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == but(4, "approved")


def test_two_tabs_decide_together(watch: Callable[..., Any], sheet: Path) -> None:
    """What is decided in one shows in the other, and neither overwrites what the other has kept."""
    one = watch()
    page = one.open(sheet)
    two = page.context.new_page()
    two.goto(sheet.as_uri())
    expect(two.locator("html[data-ready=true]")).to_be_attached()
    go(page, 0)
    press(page, "p")
    expect(two.locator("#tiles .tile[data-decision=approved]")).to_have_count(1)
    two.bring_to_front()
    go(two, 1)
    press(two, "x")
    expect(page.locator("#tiles .tile[data-decision=rejected]")).to_have_count(1)
    two.close()
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == ["approved", "rejected", "", "", "", ""]
    assert one.errors == []


def test_the_focus_outlives_a_change_of_the_window(look: Look, sheet: Path) -> None:
    """Laid out anew, the sheet gives the focus back to the picture that had it."""
    page = look(sheet)
    go(page, 3)
    here = focused(page)
    width = page.evaluate("document.getElementById('canvas').clientWidth")
    page.set_viewport_size({"width": 900, "height": 800})
    page.wait_for_function(f"() => document.getElementById('canvas').clientWidth < {width}")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.tile')].every(each => each.getBoundingClientRect().right <= innerWidth)"
    )
    assert focused(page) == here
