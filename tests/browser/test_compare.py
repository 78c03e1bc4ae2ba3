"""Two pictures at once: which ones are offered, the four ways of looking, and what is said to have changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, press, until

from pipeline.report.view import DecisionView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

TAKEN_TWICE = fake_sheet.tile(2, 0, "table", "16:9").label
STALE = fake_sheet.tile(1, 1, "banner", "21:9", "stale").label
WAYS = ["side", "slider", "blend", "difference"]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of two products, all states, with its originals and earlier takes beside it."""
    return fake_sheet.write(tmp_path_factory.mktemp("compare"), fake_sheet.campaign(2))


def comparing(look: Look, path: Path, label: str, **options: Any) -> Any:
    """The sheet with a picture open and compared with the first that is offered."""
    page = look(path, "#open=" + label, **options)
    page.keyboard.press("c")
    expect(page.locator("#stage")).to_contain_class("comparing")
    expect(page.locator("#box-compare")).to_have_attribute("aria-pressed", "true")
    return page


def partners(page: Any) -> list[str]:
    """What is offered to compare with."""
    return list(page.locator("#partner option").all_text_contents())


def test_an_earlier_take_is_offered_first(look: Look, sheet: Path) -> None:
    """The take before stands on the left, as its own file in full size, this one on the right."""
    page = comparing(look, sheet, TAKEN_TWICE)
    assert partners(page)[0] == "take 1"
    expect(page.locator("#side-then figcaption")).to_have_text("take 1")
    expect(page.locator("#side-now figcaption")).to_have_text("now")
    for side in ("then", "now"):
        until(page, f"document.querySelector('#side-{side} img').naturalWidth === 1360")
    assert page.locator("#side-then img").get_attribute("src") == f"out/.takes/{TAKEN_TWICE}.png"
    assert page.locator("#side-now img").get_attribute("src") == f"out/{TAKEN_TWICE}.png"
    left, right = (page.locator(f"#side-{side}").bounding_box() for side in ("then", "now"))
    assert left["x"] + left["width"] <= right["x"]
    assert left["width"] == pytest.approx(right["width"], abs=1)
    expect(page.locator("#box-changes")).to_be_hidden()  # nothing but chance has changed
    page.keyboard.press("c")
    expect(page.locator("#side-then")).to_be_hidden()


def test_what_stood_there_before_its_spec_changed(look: Look, sheet: Path) -> None:
    """Of a stale picture, the prompt's change is reported word by word; it is not its own partner."""
    page = look(sheet, "#open=" + STALE)
    expect(page.locator("#box-compare")).to_be_disabled()
    expect(page.locator("#box-changes p").first).to_have_text("prompt changed")
    text = next(tile for tile in fake_sheet.campaign(2).tiles if tile.label == STALE).text
    gone, new = (page.locator(f"#box-changes {tag}").all_text_contents() for tag in ("del", "ins"))
    assert (set(gone), set(new)) == ({"summer"}, {"autumn"})
    words = page.locator("#box-changes .words")
    shown = words.evaluate("e => [...e.childNodes].filter(n => n.nodeName !== 'DEL').map(n => n.textContent).join('')")
    assert shown.split() == text.split()


def test_what_was_approved_last_is_offered_before_all(look: Look, tmp_path: Path) -> None:
    """Of several earlier pictures the approved one stands first, and is called that."""
    shown = fake_sheet.campaign(1)
    number = next(at for at, tile in enumerate(shown.tiles) if tile.history)
    before = shown.tiles[number].history[0]
    takes = (before, replace(before, take=2, sha=fake_sheet.digest("take 2")))
    tiles = list(shown.tiles)
    tiles[number] = replace(tiles[number], history=takes, take=3)
    said = DecisionView(before.sha, "approved", 0, "", "Ana", "2026-11-21T08:00:00Z")
    shown = replace(shown, tiles=tuple(tiles), decisions={before.key: (said,)})
    page = comparing(look, fake_sheet.write(tmp_path, shown, files=False), tiles[number].label, alone=True)
    assert partners(page)[:2] == ["last approved, take 1", "take 2"]


def test_another_provider_scene_or_variant_is_offered(look: Look, tmp_path: Path) -> None:
    """What differs in one thing only is a partner, named by that thing; what differs in two is none."""
    one = fake_sheet.tile(1, 0, "table", "1:1")
    tiles = (
        one,
        replace(one, label="two", provider="fal", key=fake_sheet.digest("2")[:32], sha=fake_sheet.digest("two")),
        replace(one, label="three", provider="fal", variant=2, key=fake_sheet.digest("3")[:32]),
        replace(one, label="four", variant=2, key=fake_sheet.digest("4")[:32]),
    )
    page = comparing(look, fake_sheet.write(tmp_path, fake_sheet.sheet(tiles), files=False), one.label, alone=True)
    assert partners(page) == ["fal", "v2"]
    expect(page.locator("#box-changes")).to_have_text("Provider: fal → runware")
    page.locator("#partner").select_option(label="v2")
    expect(page.locator("#box-changes")).to_have_text("Variant: v2 → v1")


def test_any_two_pictures_can_be_marked_and_compared(look: Look, sheet: Path) -> None:
    """M marks one on the sheet, C on another compares them, and what differs between them is listed."""
    page = look(sheet, "#bands=&down=")
    press(page, "Home", "m")
    expect(page.locator("#toast")).to_contain_text("Marked")
    marked = page.locator(":focus img").get_attribute("alt").partition(":")[0]
    page.keyboard.press("End")
    page.keyboard.press("c")
    assert f"marked: {marked}" in partners(page)
    page.locator("#partner").select_option(label=f"marked: {marked}")
    expect(page.locator("#side-then figcaption")).to_have_text(f"marked: {marked}")
    expect(page.locator("#box-changes")).to_contain_text("Product: Blue enamel mug → Stoneware bowl")


def test_nothing_to_compare_with_is_said(look: Look, tmp_path: Path) -> None:
    """Where there is no partner the button is closed, and the key says what to do."""
    sheet = fake_sheet.sheet((fake_sheet.tile(1, 0, "table", "1:1"),))
    page = look(fake_sheet.write(tmp_path, sheet, files=False), alone=True)
    page.keyboard.press("c")
    expect(page.locator("#box-compare")).to_be_disabled()
    expect(page.locator("#toast")).to_contain_text("nothing to compare")
    expect(page.locator("#compare-tools")).to_be_hidden()


def test_four_ways(look: Look, sheet: Path) -> None:
    """V and the buttons go through side by side, slider, blend and difference, each told by its button."""
    page = comparing(look, sheet, TAKEN_TWICE)
    for way in (*WAYS[1:], WAYS[0]):
        page.keyboard.press("v")
        expect(page.locator("#stage")).to_have_attribute("data-way", way)
        expect(page.locator(f"#compare-tools [data-way={way}]")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#compare-tools [aria-pressed=true]")).to_have_count(1)
        expect(page.locator("#share")).to_be_visible(visible=way in ("slider", "blend"))
    page.get_by_role("button", name="Difference").click()
    expect(page.locator("#stage")).to_have_attribute("data-way", "difference")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#stage")).to_have_attribute("data-way", "difference")


def middle(page: Any) -> list[tuple[int, int, int]]:
    """Colours across the middle of the stage, as they are on the screen: left and right of it."""
    import io

    from PIL import Image

    # A picture that is exchanged while it is decoded rejects: then the new one is waited for.
    pictures = "Promise.all([...document.querySelectorAll('#stage img')].map((image) => image.decode()))"
    page.wait_for_function(f"() => {pictures}.then(() => true, () => false)")
    stage = page.locator("#stage").bounding_box()
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    y = int(stage["y"] + stage["height"] * 0.42)
    found = [image.getpixel((int(stage["x"] + stage["width"] * share), y)) for share in (0.3, 0.7)]
    return [colour for colour in found if isinstance(colour, tuple)]


def flat(tmp_path: Path) -> tuple[Path, str]:
    """A sheet whose picture is now plain red, and was plain blue in its first take."""
    from PIL import Image

    tile = fake_sheet.campaign(1).tiles[1]
    path = fake_sheet.write(tmp_path, fake_sheet.sheet((tile,)))
    Image.new("RGB", (tile.width, tile.height), (200, 0, 0)).save(tmp_path / (tile.cells[0].path or ""))
    Image.new("RGB", (tile.width, tile.height), (0, 0, 200)).save(tmp_path / (tile.history[0].path or ""))
    return path, tile.label


def test_the_ways_show_what_they_say(look: Look, tmp_path: Path) -> None:
    """Seen on the screen: before is left and now right of the slider, blend mixes, difference is their difference."""
    path, label = flat(tmp_path)
    page = comparing(look, path, label)
    for side in ("then", "now"):
        until(page, f"document.querySelector('#side-{side} img').naturalWidth === 1360")
    red, blue = (200, 0, 0), (0, 0, 200)
    assert middle(page) == [blue, red]
    page.keyboard.press("v")
    assert middle(page) == [blue, red]
    page.locator("#share").fill("90")
    assert middle(page) == [blue, blue]
    page.keyboard.press("v")
    page.locator("#share").fill("25")
    assert middle(page)[0] == pytest.approx((50, 0, 150), abs=4)
    page.keyboard.press("v")
    assert middle(page) == [(200, 0, 200), (200, 0, 200)]


def test_zoom_moves_both(look: Look, sheet: Path) -> None:
    """Both pictures are zoomed and moved alike, so that the same detail stands side by side."""
    page = comparing(look, sheet, TAKEN_TWICE)
    press(page, "+", "+", "Shift+ArrowLeft")
    transforms = page.locator("#stage .side img").evaluate_all("all => all.map(e => getComputedStyle(e).transform)")
    assert len(transforms) == 2
    assert transforms[0] == transforms[1] != "none"
    assert "matrix(1," not in transforms[0]


def test_an_earlier_take_whose_file_is_gone_is_shown_small(look: Look, tmp_path: Path) -> None:
    """Comparing works in a mailed sheet too, with words that only the small pictures are there."""
    path = fake_sheet.write(tmp_path, fake_sheet.campaign(1), files=False)
    page = comparing(look, path, TAKEN_TWICE, alone=True)
    expect(page.locator("#side-then img")).to_be_visible()
    expect(page.locator("#box-absent")).to_be_visible()
    assert page.locator("#side-then img").evaluate("e => e.decode().then(() => e.naturalWidth)") == 320
