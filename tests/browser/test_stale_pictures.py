"""Pictures that are still shown while others are wanted: what can be done with them, what they are compared with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, press

from pipeline.report.view import DecisionView, TileView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

STALE = fake_sheet.tile(1, 1, "banner", "21:9", "stale")
BUTTONS = "#box-decide button"
FROM_BEFORE = "This is the picture from before; the new one is not made yet, so there is nothing to decide on."


def opened(look: Look, folder: Path, *tiles: TileView, **changes: Any) -> Any:
    """A sheet of these pictures with the first one open."""
    shown = replace(fake_sheet.sheet(tiles), **changes)
    page = look(fake_sheet.write(folder, shown, files=False), "#open=" + tiles[0].label, alone=True)
    expect(page.locator("#lightbox")).to_be_visible()
    return page


def partners(page: Any) -> list[str]:
    """What is offered to compare with."""
    return list(page.locator("#partner option").all_text_contents())


def test_no_button_looks_alive_that_is_not(look: Look, tmp_path: Path) -> None:
    """Deciding is closed, with the reason beside it; keys give the same reason, and nothing is decided."""
    page = opened(look, tmp_path, STALE)
    for button in page.locator(BUTTONS).all():
        expect(button).to_be_disabled()
    expect(page.locator("#box-why")).to_have_text(FROM_BEFORE)
    for key in ("p", "x", "3", "u", "n"):
        page.locator("#toast").evaluate("one => { one.textContent = ''; }")
        press(page, key)
        expect(page.locator("#toast")).to_have_text(FROM_BEFORE)
    expect(page.locator("#note")).to_be_hidden()
    press(page, "Escape")
    expect(page.locator(".tile[data-decision='']")).to_have_count(1)


@pytest.mark.parametrize("state", ["failed", "missing", "uncertain", "stopped"])
def test_where_nothing_is_made_nothing_can_be_pressed(look: Look, tmp_path: Path, state: Any) -> None:
    """Neither deciding nor zooming; the next picture can be decided on again."""
    page = opened(look, tmp_path, fake_sheet.tile(1, 0, "table", "1:1", state), fake_sheet.tile(2, 0, "table", "1:1"))
    for button in page.locator(BUTTONS + ", .zoom button").all():
        expect(button).to_be_disabled()
    expect(page.locator("#box-why")).to_have_text("There is no picture here to decide on yet.")
    press(page, "z", "+", "-")
    page.mouse.move(300, 300)
    page.mouse.wheel(0, -100)
    press(page, "ArrowRight")
    expect(page.locator("#box-why")).to_be_hidden()
    for button in page.locator(BUTTONS + ", .zoom button").all():
        expect(button).to_be_enabled()


def test_it_is_not_compared_with_itself(look: Look, tmp_path: Path) -> None:
    """Approved last, it is what is shown: an older one is offered, and no side claims to be the new one."""
    standing = STALE.history[-1]
    older = replace(standing, key="1" * 32, sha="a" * 64, thumb="1560x664-3", made=standing.made - 9000)
    stale = replace(STALE, history=(older, standing))
    said = DecisionView(standing.sha, "approved", 0, "", "Ana", "2026-11-21T08:00:00Z")
    page = opened(look, tmp_path, stale, decisions={standing.key: (said,)})
    expect(page.locator("#box-changes")).to_contain_text("prompt changed")
    press(page, "c")
    assert partners(page) == ["before: prompt changed"]
    expect(page.locator("#side-now figcaption")).to_have_text("before: prompt changed")
    now, then = (page.locator(f"#side-{side} img").get_attribute("src") for side in ("now", "then"))
    assert now != then


def test_no_two_partners_have_one_name(look: Look, tmp_path: Path) -> None:
    """Earlier pictures and siblings that go by the same name are told apart by take, time or label, or by a number."""
    one = fake_sheet.tile(2, 0, "table", "16:9")
    before = replace(one.history[0], key="1" * 32, changes=("prompt changed",), text="before", thumb="1360x768-80")
    past = tuple(
        replace(before, sha=f"{at:064x}", key=f"{at:032x}", take=take, made=made, thumb=f"1360x768-{80 + at}")
        for at, (take, made) in enumerate(((1, 1_795_000_000), (2, 1_795_100_000), (2, 1_795_100_000)))
    )
    twin = replace(one, label="twin", product="product-900", key="9" * 32, sha="9" * 64, history=())
    third = replace(twin, label="third", product="product-901", key="8" * 32, sha="8" * 64)
    said = DecisionView(past[0].sha, "approved", 0, "", "Ana", "2026-11-21T08:00:00Z")
    also = DecisionView(past[1].sha, "approved", 0, "", "Ana", "2026-11-21T08:00:00Z")
    page = opened(
        look,
        tmp_path,
        replace(one, history=past, take=1),
        replace(twin, take=1),
        replace(third, take=1),
        decisions={past[0].key: (said,), past[1].key: (also,)},
    )
    press(page, "c")
    names = partners(page)
    assert len(names) == len(set(names)) == 5
    assert [name for name in names if name.startswith("last approved")] == names[:1]
    assert names[-2:] == ["Blue enamel mug (twin)", "Blue enamel mug (third)"]


def test_what_is_not_there_is_no_partner(look: Look, tmp_path: Path) -> None:
    """A sibling that failed, and an earlier take that is gone, are not offered."""
    one = fake_sheet.tile(2, 0, "table", "16:9")
    gone = replace(one.history[0], path=None, thumb=None)
    failed = replace(one, label="failed", variant=3, state="failed", sha="", thumb=None, cells=(), history=(), take=1)
    page = opened(look, tmp_path, replace(one, history=(gone,), take=1), failed)
    expect(page.locator("#box-compare")).to_be_disabled()
