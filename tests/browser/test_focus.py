"""Whatever closes gives the keys back to the picture; what a key did is seen at the picture and heard."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import go, noted, verdicts
from browser.sheet_page import Look, boxes, focused, press, values

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    shown = fake_sheet.campaign(1, troubled=False)
    return fake_sheet.write(tmp_path_factory.mktemp("focus"), shown, files=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures of four products, all of them made."""
    shown = fake_sheet.campaign(4, troubled=False)
    return fake_sheet.write(tmp_path_factory.mktemp("many"), shown, files=False)


def chip(page: Any) -> None:
    values(page, "Ratio")


def at_control(selector: str) -> Callable[[Any], None]:
    return lambda page: page.locator(selector).click()


def chosen(page: Any) -> None:
    """A menu that was opened by mouse, and something chosen in it."""
    page.locator("#size").click()  # the mouse was used last
    page.locator("#axis-across").select_option("ratio")


WAYS_IN = {
    "filter": chip,
    "decisions": at_control("#open-review"),
    "help": at_control("#show-help"),
    "large": at_control(".picture >> nth=2"),
    "note": lambda page: press(page, "n"),
    "find": lambda page: press(page, "/"),
    "menu": lambda page: page.locator("#axis-across").focus(),
    "compare": lambda page: press(page, "c"),
}


@pytest.mark.parametrize("what", WAYS_IN)
def test_escape_gives_the_keys_back_to_the_picture(look: Look, sheet: Path, what: str) -> None:
    """The very next arrow leads on from the cursor, and the next letter decides on the picture that it led to."""
    page = look(sheet, alone=True)
    go(page, 2)
    WAYS_IN[what](page)
    press(page, "Escape")
    assert focused(page) >= 0
    order = [box.tile for box in sorted(boxes(page), key=lambda box: (box.y, box.x))]
    here = order.index(focused(page))
    press(page, "ArrowRight", "p")
    assert focused(page) == order[here + 1]
    assert [at for at, word in enumerate(verdicts(page)) if word] == [here + 1]
    expect(page.locator("dialog[open], :popover-open")).to_have_count(0)


CROSSES = {
    "decisions": ("e", "#review .close-dialog"),
    "help": ("?", "#help .close-dialog"),
    "large": ("Enter", "#box-close"),
    "note": ("n", "#note-cancel"),
}


@pytest.mark.parametrize("what", CROSSES)
def test_a_cross_gives_the_keys_back_too(look: Look, sheet: Path, what: str) -> None:
    """Dialogs that were opened by key or button and are closed by mouse."""
    page = look(sheet, alone=True)
    go(page, 1)
    here = focused(page)
    key, cross = CROSSES[what]
    press(page, key)
    page.locator(cross).click()
    assert focused(page) == here
    press(page, "ArrowRight", "x")
    assert verdicts(page) == ["", "", "rejected", "", "", ""]


def test_a_click_beside_a_list_gives_the_keys_back(look: Look, sheet: Path) -> None:
    """The list closes, the picture has the focus; into a field it goes where the click went."""
    page = look(sheet)
    go(page, 1)
    values(page, "Ratio")
    page.locator(".head").click()
    expect(page.locator("#values")).to_be_hidden()
    expect(page.locator(".tile .picture:focus")).to_have_count(1)
    values(page, "Ratio")
    page.locator("#query").click()
    expect(page.locator("#values")).to_be_hidden()
    expect(page.locator("#query")).to_be_focused()


def test_a_click_on_its_button_closes_the_list_again(look: Look, sheet: Path) -> None:
    """And one on another button opens that one's, at once."""
    page = look(sheet)
    values(page, "Ratio")
    page.locator("#facets").get_by_role("button", name="Ratio").click()
    expect(page.locator("#values")).to_be_hidden()
    values(page, "Ratio")
    page.locator("#facets").get_by_role("button", name="Variant").click()
    expect(page.locator("#values:popover-open")).to_have_attribute("aria-label", "Show Variant")


def test_a_menu_opened_by_mouse_gives_the_keys_back(look: Look, sheet: Path) -> None:
    """Chosen by mouse, the next arrow is the sheet's; who chooses by key goes on choosing."""
    page = look(sheet)
    go(page, 1)
    chosen(page)
    expect(page.locator(".tile .picture:focus")).to_have_count(1)
    page.locator("#axis-down").focus()
    press(page, "ArrowDown")
    expect(page.locator("#axis-down")).to_be_focused()


def test_arrows_lead_on_from_any_button(look: Look, sheet: Path) -> None:
    """A button in the tools has no use for them; Enter and Space stay its own."""
    page = look(sheet)
    go(page, 1)
    page.locator("#open-review").focus()
    press(page, "ArrowRight", "p")
    assert verdicts(page) == ["", "", "approved", "", "", ""]
    page.locator("#open-review").focus()
    press(page, "Enter")
    expect(page.locator("#review")).to_be_visible()


def test_show_all_gives_the_keys_back(look: Look, sheet: Path) -> None:
    """The button is gone once it was pressed, and the focus is not gone with it."""
    page = look(sheet, "#q=table")
    page.locator("#clear").click()
    expect(page.locator(".tile .picture:focus")).to_have_count(1)


def test_what_is_decided_on_out_of_sight_comes_into_view(look: Look, many: Path) -> None:
    """A key decides on the picture with the cursor, and shows which one that is."""
    page = look(many, viewport={"width": 900, "height": 500})
    press(page, "Home")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    press(page, "p")
    expect(page.locator(".tile[data-decision=approved] .picture")).to_be_in_viewport()


# ── seen and heard ──────────────────────────────────────────────────────────────────────────────

KEYS = {
    "p": ("Approved", "Approved"),
    "x": ("Rejected", "Rejected"),
    "u": ("Undecided", "Undecided"),
    "4": ("4 stars", "4 stars"),
    "0": ("No stars", "No stars"),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("large", [False, True], ids=["sheet", "large"])
def test_a_key_is_confirmed_at_the_picture_and_read_out(look: Look, sheet: Path, key: str, large: bool) -> None:
    """Every time, also where nothing changes; the words name the picture."""
    page = look(sheet, alone=True, reduced_motion="reduce")
    go(page, 1)
    label = page.evaluate("document.activeElement.querySelector('img').alt").partition(": ")[0]
    if large:
        press(page, "Enter")
    for _ in range(2):
        press(page, key)
        place = page.locator("#stage" if large else ".tile:focus-within .picture")
        expect(place.locator(".flash")).to_have_text(KEYS[key][0])
        heard = page.locator("#lightbox .heard" if large else "body > .heard")
        expect(heard).to_have_text(f"{KEYS[key][1]}: {label}")
        assert heard.evaluate("e => e.role === 'status' && !e.closest('[hidden], [inert]')")
    expect(page.locator(".flash")).to_have_count(0)  # it is there for a moment only


def test_notes_and_undo_are_confirmed_too(look: Look, sheet: Path) -> None:
    """What was taken back is read out with what holds now."""
    page = look(sheet)
    go(page, 0)
    label = page.evaluate("document.activeElement.querySelector('img').alt").partition(": ")[0]
    heard = page.locator("body > .heard")
    noted(page, "crooked")
    expect(heard).to_have_text(f"Note kept: {label}")
    expect(page.locator(".tile:focus-within .flash")).to_have_text("Note kept")
    press(page, "x", "Control+z")
    expect(heard).to_have_text(f"Undone: {label}: Undecided, No stars, Note kept")
    expect(page.locator(".tile:focus-within .flash")).to_have_text("Undone")


def test_going_on_is_confirmed_as_the_one_before(look: Look, sheet: Path) -> None:
    """On the sheet at the picture that was decided on; in large the words say that another one is shown now."""
    page = look(sheet, alone=True)
    go(page, 0)
    press(page, "Shift+P")
    expect(page.locator(".tile").first.locator(".flash")).to_have_text("Approved")
    press(page, "Enter", "Shift+X")
    expect(page.locator("#stage .flash")).to_have_text("Rejected, now the next")


def test_the_confirmation_moves_only_for_who_wants_motion(look: Look, sheet: Path) -> None:
    """With reduced motion it is simply there, and then gone."""
    for motion, name in (("reduce", "none"), ("no-preference", "flash")):
        page = look(sheet, reduced_motion=motion)
        press(page, "Home", "p")
        assert page.locator(".flash").evaluate("e => getComputedStyle(e).animationName") == name


def test_approving_many_asks_first(look: Look, many: Path) -> None:
    """Above twenty Y asks, with the number; Escape and Cancel approve nothing, and one step takes it all back."""
    page = look(many)
    press(page, "Home", "y")
    expect(page.locator("#sure")).to_contain_text("Approve 24 pictures")
    press(page, "Escape")
    expect(page.locator("#sure")).to_be_hidden()
    press(page, "y")
    page.locator("#sure-no").click()
    expect(page.locator("#progress")).to_have_text("Decisions")
    press(page, "y", "Enter")
    expect(page.locator("#progress")).to_have_text("24 of 24 decided")
    assert focused(page) >= 0
    press(page, "Control+z")
    expect(page.locator("#progress")).to_have_text("Decisions")


def test_approving_twenty_asks_nothing(look: Look, many: Path) -> None:
    """Four decided before: twenty are left, and approved at once."""
    page = look(many)
    press(page, "Home", *["Shift+X"] * 4, "y")
    expect(page.locator("#progress")).to_have_text("24 of 24 decided")
    expect(page.locator("#toast")).to_contain_text("Approved: 20 pictures.")


def test_the_button_in_the_review_asks_too(look: Look, many: Path) -> None:
    """Over the review; yes closes the question alone."""
    page = look(many)
    press(page, "Home", "e")
    page.locator("#approve-rest").click()
    page.locator("#sure-yes").click()
    expect(page.locator("#approve-rest")).to_be_disabled()
    expect(page.locator("#review")).to_be_visible()
