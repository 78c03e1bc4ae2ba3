"""The contact sheet for everybody: axe finds nothing serious, every control has a name, the focus is seen and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, data, focused, index, press, values

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
    pytest.importorskip("axe_playwright_python")
from browser.axe import violations
from playwright.sync_api import expect

LABEL = fake_sheet.tile(2, 0, "table", "16:9").label
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
VIEWS = {
    "sheet": ("", ()),
    "pivoted": ("#bands=prompt&down=product&across=ratio", ()),
    "filtered": ("#q=table&show.state=done", ()),
    "nothing": ("#q=nowhere", ()),
    "lightbox": (f"#open={LABEL}", ()),
    "trouble": ("#show.state=failed", ("Home", "Enter")),
    "compare": (f"#open={LABEL}", ("c",)),
    "slider": (f"#open={LABEL}", ("c", "v")),
    "note": ("", ("Home", "n")),
    "review": ("", ("e",)),
    "help": ("", ("?",)),
}
DIALOGS = {"Enter": "#lightbox", "e": "#review", "?": "#help", "n": "#note"}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of four products with all states and decisions, and originals beside it."""
    return fake_sheet.write(
        tmp_path_factory.mktemp("accessible"), fake_sheet.decided(fake_sheet.campaign(4)), files=False
    )


def at(look: Look, sheet: Path, view: str, **options: Any) -> Any:
    """The sheet at one of the views."""
    address, keys = VIEWS[view]
    page = look(sheet, address, alone=True, **options)
    press(page, *keys)
    return page


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(look: Look, sheet: Path, view: str, scheme: str) -> None:
    """Names, roles, contrast and focus order of every main view are right, in light and dark."""
    assert violations(at(look, sheet, view, color_scheme=scheme)) == []


@pytest.mark.parametrize("view", ["sheet", "pivoted", "lightbox", "compare", "review"])
def test_axe_finds_nothing_serious_on_a_phone(look: Look, sheet: Path, view: str) -> None:
    """The same on a phone."""
    assert violations(at(look, sheet, view, **PHONE)) == []


def test_axe_finds_nothing_serious_in_a_list_of_values(look: Look, sheet: Path) -> None:
    """The list of a dimension's values, open."""
    page = look(sheet)
    values(page, "State")
    assert violations(page, within="#values") == []


def test_axe_notices(look: Look, sheet: Path) -> None:
    """What the tests above take as proof: a picture without a text and pale words are found."""
    page = look(sheet)
    page.evaluate(
        "document.querySelector('.tile img').removeAttribute('alt');"
        "document.querySelector('.caption .facts').style.color = '#ddd'"
    )
    assert {each.partition(" ")[0] for each in violations(page)} >= {"color-contrast", "image-alt"}


_NAMED = """() => [...document.querySelectorAll('a, button, input, select, textarea, progress, dialog, [role=dialog]')]
  .filter(e => !(e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim() || e.querySelector('img')?.alt
    || document.getElementById(e.getAttribute('aria-labelledby'))))
  .map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("view", VIEWS)
def test_everything_has_a_name(look: Look, sheet: Path, view: str) -> None:
    """Every control and dialog has a name; pictures are named by their label and prompt."""
    page = at(look, sheet, view)
    assert page.evaluate(_NAMED) == []
    if view == "sheet":
        tile = fake_sheet.campaign(4).tiles[0]
        alt = page.locator("[data-index='0'] img").get_attribute("alt")
        assert alt.startswith(tile.label)
        assert tile.text[:80] in alt
        expect(page.get_by_role("link", name=tile.label)).to_have_count(1)
        expect(page.get_by_role("searchbox", name="Find by label")).to_be_visible()
        expect(page.get_by_role("slider", name="Height of the pictures")).to_be_visible()
        expect(page.get_by_role("combobox", name="Across")).to_be_visible()
        expect(page.get_by_role("list", name="Pictures")).to_have_count(1)


def test_tab_goes_through_all_tools_and_once_into_the_pictures(look: Look, sheet: Path) -> None:
    """Every tool can be reached by Tab, the pictures are one stop, and wherever the focus is it can be seen."""
    page = look(sheet)
    where = (
        "(() => { const e = document.activeElement, { outlineStyle, outlineWidth } = getComputedStyle(e);"
        " return [e.id || e.className || e.tagName, outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1,"
        " e.getBoundingClientRect().width > 0]; })()"
    )
    stops = []
    page.keyboard.press("Tab")
    while (stop := page.evaluate(where))[0] != "BODY" and len(stops) < 60:
        stops.append(stop)
        page.keyboard.press("Tab")
    names = [name for name, *_ in stops]
    for tool in ("query", "axis-bands", "axis-down", "axis-across", "size", "open-review", "show-help"):
        assert names.count(tool) == 1
    assert names.count("picture") == 1
    assert names.count("facet") == page.locator(".facet").count() > 5
    assert [stop for stop in stops if not (stop[1] and stop[2])] == []


@pytest.mark.parametrize(("key", "dialog"), DIALOGS.items())
def test_dialogs_keep_the_focus_and_give_it_back(look: Look, sheet: Path, key: str, dialog: str) -> None:
    """While a dialog is open Tab stays in it, forwards and backwards; closed, the picture has the focus again."""
    page = look(sheet, alone=True)
    press(page, "Home", "ArrowRight")
    tile = focused(page)
    page.keyboard.press(key)
    expect(page.locator(dialog)).to_be_visible()
    outside = "!document.activeElement.closest('dialog[open]') && document.activeElement !== document.body"
    visited = set()
    for tab in ("Tab",) * 25 + ("Shift+Tab",) * 30:
        page.keyboard.press(tab)
        assert not page.evaluate(outside)
        visited.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert len(visited) >= 2
    page.keyboard.press("Escape")
    expect(page.locator(dialog)).to_be_hidden()
    expect(page.locator(f"[data-index='{tile}'] .picture")).to_be_focused()


def test_a_note_over_a_large_picture_gives_the_focus_back_to_it(look: Look, sheet: Path) -> None:
    """A dialog over a dialog: closed, the keys speak of the large picture again, and Escape closes that."""
    page = look(sheet, f"#open={LABEL}", alone=True)
    page.keyboard.press("n")
    expect(page.locator("#note-text")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#note")).to_be_hidden()
    expect(page.locator("#lightbox")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#box-label")).not_to_have_text(LABEL)
    page.keyboard.press("Escape")
    expect(page.locator("#lightbox")).to_be_hidden()


def test_a_list_of_values_by_keyboard(look: Look, sheet: Path) -> None:
    """Enter opens it with the focus inside, Space hides a value, Escape closes it and the focus is at the picture."""
    page = look(sheet)
    opener = page.locator("#facets").get_by_role("button", name="Ratio")
    opener.press("Enter")
    first = page.locator("#values input").first
    expect(first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#count")).to_have_text("20 of 24 pictures")
    expect(first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#values")).to_be_hidden()
    expect(page.locator("#tiles .picture[tabindex='0']")).to_be_focused()


def test_the_count_and_what_was_done_are_said(look: Look, sheet: Path) -> None:
    """What changes without the focus moving stands in live regions."""
    page = look(sheet)
    for live in ("#count", "#toast", "#saved", "#review-said", "#box-said"):
        assert page.locator(live).evaluate(
            "e => e.ariaLive === 'polite' || e.role === 'status' || e.tagName === 'OUTPUT'"
        )
    press(page, "Home", "y")
    expect(page.locator("#toast")).to_contain_text("Approved: ")
    expect(page.locator("#toast")).to_be_visible()


def test_decisions_are_told_without_eyes(look: Look, sheet: Path) -> None:
    """What stands at a picture as a mark is there as words too."""
    page = look(sheet, viewport={"width": 1280, "height": 3000})
    shown = fake_sheet.decided(fake_sheet.campaign(4))
    second = [tile for tile in shown.tiles if tile.state == "done"][1]
    words = page.locator(f"[data-index='{index(page, second.label)}'] .verdict .sr")
    expect(words).to_have_text("note: too dark, and the mark is cut off, rejected by Ana")


def test_nothing_moves_for_who_wants_no_motion(look: Look, sheet: Path) -> None:
    """With reduced motion no element of any view has a transition or an animation; without it some have."""
    moving = (
        "[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).filter(s =>"
        " s.transitionDuration.split(', ').some(d => parseFloat(d) > 0) || s.animationName !== 'none').length"
    )
    for view in ("sheet", "lightbox", "review"):
        assert at(look, sheet, view, reduced_motion="reduce").evaluate(moving) == 0
    assert at(look, sheet, "sheet", reduced_motion="no-preference").evaluate(moving) > 0


@pytest.mark.parametrize("view", ["sheet", "filtered", "lightbox", "compare", "note", "review", "help"])
@pytest.mark.parametrize("hostile", [False, True], ids=["usual", "hostile"])
def test_a_phone_scrolls_one_way(look: Look, sheet: Path, tmp_path: Path, view: str, hostile: bool) -> None:
    """On a phone nothing is wider than the screen, whatever the names are."""
    path = fake_sheet.write(tmp_path, fake_sheet.hostile(), files=False) if hostile else sheet
    page = look(path, "" if hostile else VIEWS[view][0], alone=True, **PHONE)
    if hostile and "#open" in VIEWS[view][0]:
        press(page, "Home", "Enter")
    press(page, *VIEWS[view][1])
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for dialog in page.locator("dialog[open]").all():
        assert dialog.evaluate("e => e.scrollWidth <= e.clientWidth")
        assert dialog.bounding_box()["width"] <= 360
    if page.locator("#lightbox[open]").count():
        expect(page.locator("#stage")).to_be_in_viewport(ratio=1)
        page.locator("#box-close").click()
        expect(page.locator("#lightbox")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_reader(look: Look, sheet: Path, scheme: str) -> None:
    """The page is light or dark as the reader's system is, in greys that lend the pictures no colour."""
    page = look(sheet, color_scheme=scheme)
    ground = page.locator("html").evaluate("e => getComputedStyle(e).backgroundColor")
    red, green, blue = (int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(", "))
    assert max(red, green, blue) - min(red, green, blue) <= 2
    assert (red < 60) == (scheme == "dark")
    assert data(page)["campaign"] == page.locator("h1").text_content()
