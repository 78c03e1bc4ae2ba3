"""Small pictures and pivots: the size slider, names above every block, marks and labels that cover nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import covered
from browser.sheet_page import Look, boxes, data, press

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

BY_VARIANT = "#bands=product&down=&across=variant"
_SPILLS = """all => all.flatMap(tile => {
  const own = tile.getBoundingClientRect();
  return [...tile.querySelectorAll(".verdict, .verdict > :not(.sr), .quick button, .flag")]
    .map(e => e.getBoundingClientRect()).filter(b => b.width)
    .filter(b => b.right > own.right + 0.6 || b.left < Math.min(own.left, own.right - own.width) - 0.6
      || b.right - b.left > own.width + 0.6).map(b => [tile.dataset.index, own.left, own.width, b.left, b.width]); })"""
_WRONG = """all => { const heads = [...document.querySelectorAll("#columns span")].map(e => e.getBoundingClientRect());
  return all.map(tile => tile.getBoundingClientRect())
    .filter(b => !heads.some(h => h.left - 1 <= b.left && b.right <= h.right + 1)).length; }"""


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four products, all shapes and states."""
    return fake_sheet.write(tmp_path_factory.mktemp("pivot"), fake_sheet.campaign(4), files=False)


@pytest.mark.parametrize("view", ["#across=ratio", "#bands=prompt&down=product&across=variant", "#across=product"])
def test_the_slider_works_in_a_pivot(look: Look, sheet: Path, view: str) -> None:
    """It stands where the pictures are, every step makes them larger, also beyond the window, and none too wide."""
    page = look(sheet, view, viewport={"width": 1100, "height": 3000})
    first = max(box.height for box in boxes(page))
    assert float(page.locator("#size").input_value()) == pytest.approx(first, abs=10)
    seen = []
    for size in (90, 160, 260, 400):
        page.locator("#size").fill(str(size))
        found = boxes(page)
        seen.append(max(box.height for box in found))
        assert max(box.width for box in found) <= 1100
    assert seen == sorted(set(seen))
    assert seen[-1] > first * 1.2


def test_the_slider_of_compare_works_in_a_pivot(look: Look, sheet: Path) -> None:
    """The share of the two pictures follows it there as elsewhere."""
    label = fake_sheet.tile(2, 0, "table", "16:9").label
    page = look(sheet, f"#across=ratio&open={label}", alone=True)
    press(page, "c", "v")
    page.locator("#share").fill("80")
    assert "80%" in page.locator("#side-now").evaluate("e => getComputedStyle(e).clipPath")


@pytest.mark.parametrize("view", [BY_VARIANT, "#bands=&down=product&across=prompt", "#down=prompt&across=take"])
@pytest.mark.parametrize("width", [1280, 2600])
def test_every_block_has_the_names_of_its_columns(look: Look, sheet: Path, view: str, width: int) -> None:
    """Blocks that stand side by side have them too, each above its own pictures."""
    page = look(sheet, view + "&height=90", viewport={"width": width, "height": 6000})
    assert len(boxes(page)) == 24
    assert page.locator(".tile .picture").evaluate_all(_WRONG) == 0
    key = view.rpartition("=")[2]
    of = next(each for each in data(page)["dimensions"] if each["key"] == key)
    names = page.locator("#columns span").all_text_contents()
    assert len(names) % len(set(names)) == 0
    assert set(names) <= {*of["values"], "–"}
    if width == 2600 and view != "#down=prompt&across=take":
        assert len(names) > len(set(names)), "nothing stands side by side here"


@pytest.mark.parametrize("height", [80, 90, 100])
def test_marks_stay_at_their_own_picture(look: Look, sheet: Path, height: int) -> None:
    """Stars, note, stale approval and verdict of the smallest tiles reach into no neighbour's caption."""
    page = look(sheet, f"#bands=&down=&height={height}")
    for at in range(page.locator(".tile").count()):
        page.locator(".tile .picture").nth(at).focus()
        press(page, "5")
        press(page, "p")
        if page.locator(".tile").nth(at).get_attribute("data-decision"):
            press(page, "n")
            page.locator("#note-text").fill("odd")
            press(page, "Enter")
    page.locator(".tile").first.hover()
    assert min(box.width for box in boxes(page)) < 70
    assert page.locator(".tile").evaluate_all(_SPILLS) == []
    for tile in page.locator(".tile[data-decision=approved]").all()[:6]:
        mark = tile.locator(".verdict use[href='#mark-approved']")
        inside = mark.evaluate(
            "e => { const m = e.closest('svg').getBoundingClientRect(), v = e.closest('.verdict')"
            ".getBoundingClientRect(); return m.left >= v.left - 0.6 && m.right <= v.right + 0.6; }"
        )
        assert inside, "the verdict itself is cut off"


@pytest.mark.parametrize("share", [30, 50, 60])
def test_the_labels_of_the_slider_are_free_on_a_phone(look: Look, sheet: Path, share: int) -> None:
    """What each side shows can be read: no button is over it."""
    label = fake_sheet.tile(2, 0, "table", "16:9").label
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    page = look(sheet, f"#open={label}", alone=True, **phone)
    press(page, "c", "v")
    page.locator("#share").fill(str(share))
    for side in ("then", "now"):
        expect(page.locator(f"#side-{side} figcaption")).to_be_in_viewport(ratio=1)
        assert not covered(page, f"#side-{side} figcaption")
