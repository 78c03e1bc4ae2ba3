"""Percentages of the zoom are of pixels: 100 % is one pixel of the picture on one of the screen's."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, press, until

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

LABEL = fake_sheet.tile(2, 0, "table", "16:9").label  # 1360 × 768 pixels
LOADED = "document.querySelector('#side-now img').naturalWidth === 1360"
_ACROSS = """e => { const box = e.getBoundingClientRect();
  return Math.min(box.width, box.height * e.naturalWidth / e.naturalHeight) * devicePixelRatio; }"""


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, with their originals beside them."""
    return fake_sheet.write(tmp_path_factory.mktemp("zoom"), fake_sheet.campaign(1, troubled=False))


def opened(look: Look, path: Path, **options: Any) -> Any:
    """The sheet with a picture open."""
    page = look(path, "#open=" + LABEL, **options)
    expect(page.locator("#lightbox")).to_be_visible()
    return page


def across(page: Any) -> float:
    """How many of the screen's pixels the picture takes from left to right."""
    return float(page.locator("#side-now img").evaluate(_ACROSS))


def share(page: Any) -> int:
    """What the zoom says, in percent."""
    found = re.search(r"(\d+) %", page.locator("#zoom-share").text_content())
    assert found
    return int(found[1])


@pytest.mark.parametrize("density", [1, 1.5, 2, 3])
def test_a_hundred_percent_is_pixel_for_pixel(look: Look, sheet: Path, density: float) -> None:
    """On every screen; Fit says how much that is, and every step says what it shows."""
    page = opened(look, sheet, device_scale_factor=density)
    until(page, LOADED)
    expect(page.locator("#zoom-preview")).to_be_hidden()
    assert share(page) == round(100 * across(page) / 1360)
    expect(page.locator("#zoom-share")).to_have_text(re.compile("^Fit "))
    press(page, "z")
    expect(page.locator("#zoom-share")).to_have_text("100 %")
    assert across(page) == pytest.approx(1360, abs=0.05)
    press(page, "z")
    expect(page.locator("#zoom-share")).to_have_text(re.compile("^Fit "))
    page.locator("#zoom-full").click()
    assert across(page) == pytest.approx(1360, abs=0.05)
    for key in ("+", "+", "-", "+"):
        press(page, key)
        assert share(page) == round(100 * across(page) / 1360)


def test_a_preview_is_measured_in_the_pixels_of_its_picture(look: Look, tmp_path: Path) -> None:
    """A mailed sheet says that it shows fewer, and at 100 % the picture is as large as from its own file."""
    path = fake_sheet.write(tmp_path, fake_sheet.campaign(1, troubled=False), files=False)
    page = opened(look, path, alone=True)
    expect(page.locator("#zoom-preview")).to_have_text("Preview: 320 of 1,360 pixels across")
    assert share(page) == round(100 * across(page) / 1360)
    press(page, "z")
    expect(page.locator("#zoom-share")).to_have_text("100 %")
    assert across(page) == pytest.approx(1360, abs=1)  # a preview's shape is its picture's to half a pixel


def test_a_picture_smaller_than_the_window_can_be_seen_pixel_for_pixel(look: Look, tmp_path: Path) -> None:
    """All of it is more than 100 % there, and 100 % is smaller; larger steps come back to all of it."""
    tile = replace(fake_sheet.tile(2, 0, "table", "16:9"), width=400, height=226, thumb="400x226-3", history=())
    page = look(fake_sheet.write(tmp_path, fake_sheet.sheet((tile,))), "#open=" + tile.label)
    until(page, "document.querySelector('#side-now img').naturalWidth === 400")
    assert share(page) > 150
    press(page, "z")
    expect(page.locator("#zoom-share")).to_have_text("100 %")
    assert across(page) == pytest.approx(400, abs=0.05)
    for _ in range(6):
        press(page, "+")
    assert share(page) == round(100 * across(page) / 400)
    for _ in range(12):
        press(page, "-")
    expect(page.locator("#zoom-share")).to_have_text("100 %")


def test_a_larger_window_is_counted(look: Look, sheet: Path) -> None:
    """All of the picture takes more of the screen's pixels then, and the percentage says so."""
    page = opened(look, sheet, viewport={"width": 900, "height": 700})
    until(page, LOADED)
    before = share(page)
    page.set_viewport_size({"width": 1500, "height": 1000})
    expect(page.locator("#zoom-share")).not_to_have_text(f"Fit {before} %")
    assert share(page) == round(100 * across(page) / 1360) > before
