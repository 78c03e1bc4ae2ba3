"""One picture, large: leafing, zoom, what made it, copying; and comparing two."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, boxes, data, focused, fragment, index, press, until

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

TAKEN_TWICE = fake_sheet.tile(2, 0, "table", "16:9").label
STALE = fake_sheet.tile(1, 1, "banner", "21:9", "stale").label
ZOOM = "getComputedStyle(document.querySelector('#stage')).getPropertyValue('--zoom')"


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of two products, all states, with its originals and earlier takes beside it."""
    return fake_sheet.write(tmp_path_factory.mktemp("lightbox"), fake_sheet.campaign(2))


def opened(look: Look, path: Path, label: str, **options: Any) -> Any:
    """The sheet with a picture open."""
    page = look(path, "#open=" + label, **options)
    expect(page.locator("#lightbox")).to_be_visible()
    expect(page.locator("#box-label")).to_have_text(label)
    return page


def zoom(page: Any) -> float:
    """How many times larger than all of it the picture is."""
    return float(page.evaluate(ZOOM))


def across(page: Any) -> float:
    """How many of the screen's pixels the picture takes from left to right."""
    return float(
        page.locator("#side-now img").evaluate(
            "e => { const box = e.getBoundingClientRect();"
            "return Math.min(box.width, box.height * e.naturalWidth / e.naturalHeight) * devicePixelRatio; }"
        )
    )


def pan(page: Any) -> tuple[float, float]:
    """By how much it was moved from the middle."""
    style = "getComputedStyle(document.querySelector('#stage'))"
    x, y = page.evaluate(f"['--x', '--y'].map(name => {style}.getPropertyValue(name))")
    return float(x.removesuffix("px")), float(y.removesuffix("px"))


# ── leafing ─────────────────────────────────────────────────────────────────────────────────────


def test_leafs_along_both_axes_of_the_sheet(look: Look, sheet: Path) -> None:
    """Arrows lead where they lead on the sheet, in all four ways; Escape goes back to the picture shown last."""
    view = "#bands=product&down=prompt&height=100"
    page = look(sheet, view)
    ways = ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowDown", "ArrowRight", "End", "Home")
    page.keyboard.press("Home")
    trail = []
    for way in ways:
        page.keyboard.press(way)
        trail.append(focused(page))
    assert len(set(trail)) >= 5
    labels = data(page)["tiles"]["label"]
    page.keyboard.press("Enter")
    expect(page.locator("#box-label")).to_have_text(labels[trail[-1]])
    for way, there in zip(ways, trail, strict=True):
        page.keyboard.press(way)
        expect(page.locator("#box-label")).to_have_text(labels[there])
        assert fragment(page).endswith("open=" + labels[there].replace("/", "%2F"))
    press(page, *ways[:4], "Escape")
    expect(page.locator("#lightbox")).to_be_hidden()
    expect(page.locator(f'[data-index="{trail[3]}"] .picture')).to_be_focused()
    until(page, "!location.hash.includes('open=')")  # the event that says so is queued


def test_a_link_opens_the_picture(look: Look, sheet: Path) -> None:
    """The address names the picture; closed, the sheet stands where it is and it has the focus."""
    page = opened(look, sheet, STALE, viewport={"width": 1280, "height": 500})
    expect(page.locator("#box-position")).to_have_text("11 of 12")
    page.keyboard.press("Escape")
    expect(page.locator(f'[data-index="{index(page, STALE)}"] .picture')).to_be_focused()
    expect(page.locator(":focus")).to_be_in_viewport(ratio=0.9)
    page.evaluate("label => { location.hash = 'open=' + encodeURIComponent(label); }", data(page)["tiles"]["label"][0])
    expect(page.locator("#box-position")).to_have_text("1 of 12")
    page.evaluate("location.hash = 'q=banner'")
    expect(page.locator("#lightbox")).to_be_hidden()
    expect(page.locator("#count")).to_have_text("4 of 12 pictures")


def test_leafing_stays_within_the_filter(look: Look, sheet: Path) -> None:
    """Only what is shown on the sheet is leafed through."""
    page = look(sheet, "#q=banner")
    press(page, "Home", "Enter")
    expect(page.locator("#box-position")).to_have_text("1 of 4")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        assert "/banner/" in page.locator("#box-label").text_content()
    expect(page.locator("#box-position")).to_have_text("4 of 4")


def test_keys_work_after_clicks(look: Look, sheet: Path) -> None:
    """Clicking to the last picture, on the empty stage or on a decision takes no key away."""
    page = look(sheet, "#q=banner&show.ratio=21%3A9")
    page.locator(".picture").first.click()
    position = page.locator("#box-position")
    expect(page.get_by_role("button", name="Previous picture")).to_be_disabled()
    page.get_by_role("button", name="Next picture").click()
    expect(page.get_by_role("button", name="Next picture")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    expect(position).to_have_text("1 of 2")
    page.locator("#stage").click(position={"x": 300, "y": 300})
    page.keyboard.press("ArrowRight")
    expect(position).to_have_text("2 of 2")
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Zoom in").click()
    page.keyboard.press("ArrowRight")
    expect(position).to_have_text("2 of 2")
    page.locator("#box-close").click()
    expect(page.locator("#lightbox")).to_be_hidden()


# ── the picture ─────────────────────────────────────────────────────────────────────────────────


def test_shows_the_original_whole(look: Look, sheet: Path) -> None:
    """The large picture is the file beside the sheet in its full size, nothing of it cropped."""
    page = opened(look, sheet, TAKEN_TWICE)
    until(page, "document.querySelector('#side-now img').naturalWidth === 1360")
    image = page.locator("#side-now img")
    assert image.get_attribute("src") == f"out/{TAKEN_TWICE}.png"
    assert image.evaluate("e => getComputedStyle(e).objectFit") == "contain"
    box, stage = image.bounding_box(), page.locator("#stage").bounding_box()
    assert box["width"] > 700
    assert stage["x"] <= box["x"]
    assert box["x"] + box["width"] <= stage["x"] + stage["width"]
    expect(page.locator(".aside:visible")).to_have_count(0)


def test_a_missing_original_falls_back_to_the_small_picture(look: Look, tmp_path: Path) -> None:
    """A mailed sheet, without its files, shows its pictures large and says what they are; no link leads nowhere."""
    page = look(fake_sheet.write(tmp_path, fake_sheet.campaign(1), files=False), alone=True)
    press(page, "Home", "Enter")
    for position in ("1 of 6", "2 of 6"):
        expect(page.locator("#box-position")).to_have_text(position)
        expect(page.locator("#box-absent")).to_be_visible()
        expect(page.locator("#box-files a")).to_have_count(0)
        assert page.locator("#side-now img").evaluate("e => Math.max(e.naturalWidth, e.naturalHeight)") == 320
        page.keyboard.press("ArrowRight")


def test_zooms_by_wheel_keys_buttons_and_double_click(look: Look, sheet: Path) -> None:
    """The wheel zooms where the pointer is, keys and buttons in the middle; Fit shows all of it again."""
    page = opened(look, sheet, TAKEN_TWICE)
    until(page, "document.querySelector('#side-now img').naturalWidth === 1360")
    stage = page.locator("#stage").bounding_box()
    x, y = stage["x"] + stage["width"] * 0.75, stage["y"] + stage["height"] * 0.25
    page.mouse.move(x, y)
    page.mouse.wheel(0, -60)
    until(page, f"{ZOOM} > 1.2")
    grown, (left, top) = zoom(page) - 1, pan(page)
    assert left == pytest.approx(-stage["width"] * 0.25 * grown, abs=1.5)
    assert top == pytest.approx(stage["height"] * 0.25 * grown, abs=1.5)
    page.mouse.wheel(0, 600)
    until(page, f"{ZOOM} == 1")
    assert pan(page) == (0, 0)
    page.keyboard.press("+")
    assert zoom(page) == pytest.approx(1.4)
    page.keyboard.press("-")
    assert zoom(page) == 1
    page.keyboard.press("z")
    expect(page.locator("#zoom-share")).to_have_text("100 %")
    assert across(page) == pytest.approx(1360, abs=0.1)
    page.locator("#zoom-out").click()
    assert zoom(page) == 1
    page.locator("#zoom-in").click()
    assert zoom(page) == pytest.approx(1.6)
    for _ in range(20):
        page.keyboard.press("+")
    assert zoom(page) == 16
    page.locator("#zoom-out").click()
    page.mouse.dblclick(x, y)
    expect(page.locator("#zoom-share")).to_have_text("100 %")


def test_pans_by_drag_and_keys_and_stays_from_picture_to_picture(look: Look, sheet: Path) -> None:
    """Dragging and Shift with arrows move it; the next picture is shown at the same place, to compare details."""
    page = opened(look, sheet, TAKEN_TWICE)
    press(page, "Shift+ArrowRight")
    assert pan(page) == (0, 0)  # there is nothing beyond
    press(page, "+", "+", "+")
    page.mouse.move(400, 400)
    page.mouse.down()
    page.mouse.move(460, 350, steps=3)
    page.mouse.up()
    assert pan(page) == (60, -50)
    page.mouse.move(600, 600)
    assert pan(page) == (60, -50)
    press(page, "Shift+ArrowRight", "Shift+ArrowUp")
    assert pan(page) == (-20, 30)
    before = page.locator("#box-label").text_content()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#box-label")).not_to_have_text(before)
    assert pan(page) == (-20, 30)
    for _ in range(200):
        page.keyboard.press("Shift+ArrowLeft")
    assert pan(page)[0] <= page.locator("#stage").bounding_box()["width"] * zoom(page) / 2 + 1
    press(page, "Escape", "Enter")
    assert zoom(page) == 1


# ── what made it ────────────────────────────────────────────────────────────────────────────────


def test_says_what_made_the_picture(look: Look, sheet: Path) -> None:
    """The panel has the prompt with its slots as thumbnails, references, facts, files and earlier takes."""
    page = opened(look, sheet, TAKEN_TWICE)
    tile = fake_sheet.campaign(2).tiles[1]
    assert tile.label == TAKEN_TWICE
    expect(page.locator("#box-title")).to_have_text(tile.product_name)
    assert page.locator("#box-text").text_content() == tile.text
    slots = page.locator("#box-text .slot")
    assert slots.all_text_contents()[:3] == ["@Image1", "@Image2", "@Image3"]
    titles = slots.evaluate_all("all => all.slice(0, 3).map(e => e.title)")
    assert titles == ["product.front", "references.linen", "references.logo"]
    assert slots.nth(1).locator("img").evaluate("e => e.decode().then(() => e.naturalWidth / e.naturalHeight)") > 1.5
    expect(slots.nth(2).locator("img")).to_have_count(0)
    expect(page.locator("#box-references li")).to_have_count(3)
    expect(page.locator("#box-references li").nth(1)).to_contain_text("references.linen (style)")
    expect(page.locator("#box-references li").nth(2)).to_contain_text("no preview")
    facts = dict(
        zip(
            page.locator("#box-facts dt").all_text_contents(),
            page.locator("#box-facts dd").all_text_contents(),
            strict=True,
        )
    )
    wanted = {"Pixels": "1360 × 768", "Variant": "v2", "Take": "take 2", "Model": "kling-image-o1", "Ratio": "16:9"}
    wanted |= {"Provider": "runware", "Cost": "$0.028", "Time": "12.3 s", "Made": "2026-11-20 22:10 UTC"}
    assert facts.items() >= (wanted | {"Key": tile.key, "Tags": "hero", "Resolution": "1K"}).items()
    expect(page.locator("#box-files li")).to_have_text(["PNG812 kB", "WEBP812 kB"])
    with page.expect_popup() as popup:
        page.locator("#box-files a").first.click()
    assert popup.value.url == (sheet.parent / f"out/{TAKEN_TWICE}.png").as_uri()
    expect(page.locator("#box-earlier li")).to_have_count(1)
    expect(page.locator("#box-earlier a")).to_have_text("Take 1")
    expect(page.locator("#box-earlier a")).to_have_attribute("href", f"out/.takes/{TAKEN_TWICE}.png")
    expect(page.locator("#box-earlier img")).to_have_count(1)


def test_slots_are_whole_names(look: Look, tmp_path: Path) -> None:
    """Slot two is not slot twenty's beginning, a longer word is no slot, and a slot beyond the references is text."""
    tile = replace(fake_sheet.tile(1, 0, "table", "1:1"), text="@Image20 and @Image2, not @Images or @Image1x")
    page = look(fake_sheet.write(tmp_path, fake_sheet.sheet((tile,)), files=False), alone=True)
    press(page, "Enter")
    expect(page.locator("#box-text .slot")).to_have_text(["@Image2"])
    expect(page.locator("#box-text")).to_have_text(tile.text)


@pytest.mark.parametrize("state", ["failed", "missing", "uncertain", "stopped"])
def test_trouble_says_why(look: Look, sheet: Path, state: str) -> None:
    """Where there is no picture the stage and the panel have the state and the reason, and no file has a link."""
    page = look(sheet, "#show.state=" + state)
    press(page, "Home", "Enter")
    expect(page.locator("#side-now")).to_contain_text(fake_sheet.REASONS[state])
    expect(page.locator("#side-now use")).to_have_attribute("href", f"#mark-{state}")
    expect(page.locator("#box-trouble")).to_contain_text(f"{state.capitalize()}: {fake_sheet.REASONS[state]}")
    expect(page.locator("#side-now img")).to_have_count(0)
    expect(page.locator("#box-files a")).to_have_count(0)
    expect(page.locator("#box-files li").first).to_contain_text(state)


@pytest.mark.parametrize(("what", "name"), [("label", "Copy label"), ("prompt", "Copy prompt")])
def test_copies_label_and_prompt(look: Look, sheet: Path, what: str, name: str) -> None:
    """The copy buttons put just that on the clipboard, and say so."""
    page = opened(look, sheet, TAKEN_TWICE, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(1)
    tile = fake_sheet.campaign(2).tiles[1]
    wanted = tile.label if what == "label" else tile.text
    assert page.evaluate("navigator.clipboard.readText()") == wanted
    page.get_by_role("button", name="Compare").click()  # it looks like one of them, and copies nothing
    expect(page.locator("#box-compare")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("navigator.clipboard.readText()") == wanted


def test_copies_a_retake_command_for_the_shell(look: Look, tmp_path: Path) -> None:
    """The command is one that a shell takes apart rightly, whatever the label's letters."""
    label = 'it\'s a $(mug) & "more"/v1'
    tile = replace(fake_sheet.tile(1, 0, "table", "1:1"), label=label)
    path = fake_sheet.write(tmp_path, fake_sheet.sheet((tile,)), files=False)
    page = look(path, alone=True, permissions=["clipboard-read", "clipboard-write"])
    press(page, "Enter")
    page.get_by_role("button", name="Copy retake command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert words == ["pipeline", "run", "campaigns/autumn.yaml", "--retake", label + ".*"]


def test_copies_where_the_clipboard_is_closed(look: Look, sheet: Path) -> None:
    """Without a clipboard of its own the page copies as browsers always could, and keeps the focus."""
    page = opened(look, sheet, TAKEN_TWICE)
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined}); window.copied = []; document.execCommand ="
        " () => { window.copied.push(getSelection().toString() || document.activeElement.value); return true; }; 0"
    )
    page.get_by_role("button", name="Copy label").click()
    expect(page.get_by_role("button", name="Copied")).to_be_focused()
    assert page.evaluate("window.copied") == [TAKEN_TWICE]
    assert len(boxes(page)) > 0
