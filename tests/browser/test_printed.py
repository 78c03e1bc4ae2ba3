"""The contact sheet on paper: every picture of the view once, no row torn apart, in the light colours."""

from __future__ import annotations

import os
import re
import zlib
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, data

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

_TILES = """all => all.map(e => {
  const picture = e.querySelector("img, .blank").getBoundingClientRect();
  return [picture.width, picture.height, picture.left, picture.right, e.querySelector("figcaption").textContent];
})"""

KEEP_ROWS = """addEventListener('beforeprint', () => {
  window.rows = [...document.querySelectorAll('.print-row')].map(row => row.querySelectorAll('img').length);
})"""
ROWS = "window.rows.filter(Boolean)"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of six products, with trouble and decisions."""
    shown = fake_sheet.decided(fake_sheet.campaign(6))
    return fake_sheet.write(tmp_path_factory.mktemp("printed"), shown, files=False)


def pages(pdf: bytes) -> list[int]:
    """How many pictures each page of a Chromium PDF draws: one that is torn in two counts on both."""
    objects = {int(number): body for number, body in re.findall(rb"(?s)(?<!\d)(\d+) 0 obj\b(.*?)\bendobj", pdf)}
    images = {number for number, body in objects.items() if re.search(rb"/Subtype\s*/Image", body)}
    masks = {int(number) for body in objects.values() for number in re.findall(rb"/SMask (\d+) 0 R", body)}

    def content(number: int) -> bytes:
        raw = re.search(rb"(?s)\bstream\r?\n(.*)\r?\nendstream", objects[number])
        assert raw
        return zlib.decompress(raw[1]) if b"/FlateDecode" in objects[number] else raw[1]

    counts = []
    for body in objects.values():
        if not re.search(rb"/Type\s*/Page\b", body):
            continue
        names = {name for name, number in re.findall(rb"/(X\d+) (\d+) 0 R", body) if int(number) in images - masks}
        (drawn,) = re.findall(rb"/Contents (\d+) 0 R", body)
        counts.append(sum(name in names for name in re.findall(rb"/(X\d+) Do", content(int(drawn)))))
    return counts


def on_paper(page: Any) -> list[list[Any]]:
    """Lay the pages out as printing does, and return each picture's width, height, left, right and caption."""
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    return list(page.locator("#print .print-tile").evaluate_all(_TILES))


def torn(page: Any, height: int) -> bool:
    """Print on paper of this height, in millimetres; whether a page ends within a row of pictures."""
    counts = pages(page.pdf(width="210mm", height=f"{height}mm", print_background=True))
    rows = page.evaluate(ROWS)
    assert sum(counts) == sum(rows)
    return not set(accumulate(counts)) <= set(accumulate(rows))


def test_every_picture_is_printed_once(look: Look, campaign: Path) -> None:
    """All thumbnails are in the PDF, each on one page only; afterwards the page is as it was."""
    page = look(campaign)
    tiles = data(page)["tiles"]
    counts = pages(page.pdf(prefer_css_page_size=True, print_background=True))
    assert sum(counts) == sum(thumb >= 0 for thumb in tiles["thumb"])
    assert 2 <= len(counts) <= 5
    assert min(counts[:-1]) > 3
    expect(page.locator("#print > *")).to_have_count(0)
    expect(page.locator(".tile").first).to_be_visible()


@pytest.mark.parametrize("height", [150, 210, 297])
def test_no_row_is_torn_apart(look: Look, campaign: Path, height: int) -> None:
    """However high the paper is, a page ends where a row ends, and captions and headings stay with their pictures."""
    page = look(campaign)
    page.evaluate(KEEP_ROWS)
    assert not torn(page, height)
    on_paper(page)
    kept = "all => all.map(e => getComputedStyle(e)).map(s => [s.breakInside, s.breakAfter])"
    assert {inside for inside, _ in page.locator(".print-row").evaluate_all(kept)} == {"avoid"}
    assert {after for _, after in page.locator(".print :is(h2, h3)").evaluate_all(kept)} == {"avoid"}


def test_a_page_is_full(look: Look, tmp_path: Path) -> None:
    """The head and all 24 pictures of a product fit one page of A4."""
    path = fake_sheet.write(tmp_path, fake_sheet.matrix(), files=False)
    assert pages(look(path, color_scheme="dark").pdf(format="A4")) == [24]


@pytest.mark.parametrize(
    "view", ["", "#bands=product&down=vary.scene&across=ratio", "#across=provider", "#across=product&bands=&down="]
)
def test_paper_shows_the_view_in_true_shapes(look: Look, campaign: Path, view: str) -> None:
    """Pivoted or not, each picture has its shape, stands within the paper, can be seen, and says what it is."""
    page = look(campaign, view, viewport={"width": 703, "height": 1000})  # A4 without margins, in CSS pixels
    tiles = data(page)["tiles"]
    found = on_paper(page)
    assert len(found) == len(tiles["label"])
    shapes = sorted(width / height for width, height in zip(tiles["width"], tiles["height"], strict=True))
    assert sorted(width / height for width, height, *_ in found) == pytest.approx(shapes, rel=0.03)
    assert min(left for _, _, left, *_ in found) >= -0.5
    assert max(right for _, _, _, right, _ in found) <= 704
    assert min(height for _, height, *_ in found) > 24
    assert all(caption.strip() for *_, caption in found)
    words = page.locator("#print").inner_text()
    assert "undefined" not in words
    if view:
        expect(page.locator(".print-row.names span").first).to_be_visible()


def test_paper_shows_only_what_the_filter_shows(look: Look, campaign: Path) -> None:
    """Printed is what is on the sheet: the filter holds for paper too."""
    page = look(campaign, "#show.ratio=21%3A9")
    assert {round(width / height, 2) for width, height, *_ in on_paper(page)} == {round(1560 / 664, 2)}


def test_paper_tells_trouble_decisions_and_notes(look: Look, campaign: Path) -> None:
    """States, reasons, stars and notes are words on paper."""
    page = look(campaign)
    captions = " ".join(caption for *_, caption in on_paper(page))
    for words in ("★★★★", "too dark, and the mark is cut off", "stale"):
        assert words in captions
    for state in ("failed", "missing", "uncertain", "stopped"):
        blank = page.locator(f'.print-tile[data-state="{state}"] .blank').first
        expect(blank).to_contain_text(state)
        expect(blank).to_contain_text(fake_sheet.REASONS[state])  # type: ignore[index]
        expect(blank.locator("use")).to_have_attribute("href", f"#mark-{state}")
    clipped = "all => all.filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1).length"
    assert page.locator(".print-tile .blank").evaluate_all(clipped) == 0


def test_paper_has_no_tools_and_is_white(look: Look, campaign: Path) -> None:
    """Also of a dark page there are on paper the head and the pictures, dark on white."""
    page = look(campaign, color_scheme="dark")
    on_paper(page)
    for gone in ("#bar", "main", ".foot", "#toast"):
        expect(page.locator(gone)).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#totals")).to_be_visible()
    assert page.locator("html").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("h1").evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"
