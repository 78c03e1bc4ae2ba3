"""The contact sheet in a real browser, opened from ``file://`` as its readers open it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet

from pipeline.report.render import PROOFS, render

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

Watch = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sheet of two products, all states, and the originals beside it."""
    folder = tmp_path_factory.mktemp("sheet")
    fake_sheet.write(folder, fake_sheet.campaign(2))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sheet of one product in two scenes, two resolutions, three ratios, two variants."""
    folder = tmp_path_factory.mktemp("whole")
    fake_sheet.write(folder, fake_sheet.matrix(), files=False)
    return folder


def test_opens_without_errors_or_requests(watch: Watch, folder: Path) -> None:
    """Opened from a folder, the sheet logs no error and asks for nothing but itself and inline pictures."""
    watched = watch()
    page = watched.open(folder / "report.html")
    expect(page.locator("#count")).to_have_text("12 pictures")
    page.evaluate(
        "Promise.all([...document.images].filter(image => image.src)"
        ".map(image => { image.loading = 'eager'; return image.decode(); }))"
    )
    assert watched.errors == []
    assert {url.split(":")[0] for url in watched.requests} <= {"file", "data"}
    assert [url for url in watched.requests if url.startswith("file:")] == [(folder / "report.html").as_uri()]


def test_shows_every_picture_uncropped_in_rows_of_one_height(watch: Watch, folder: Path) -> None:
    """Each tile has its picture's own ratio, and tiles of one row share a height."""
    page = watch().open(folder / "report.html")
    boxes = (
        page.locator(".group")
        .first.locator(".picture")
        .evaluate_all("all => all.map(e => e.getBoundingClientRect()).map(b => [b.top, b.height, b.width / b.height])")
    )
    wanted = [width / height for width, height in (fake_sheet.RATIOS[r] for r in ("1:1", "4:5", "16:9", "9:16"))]
    assert [ratio for *_, ratio in boxes] == pytest.approx(wanted, rel=0.02)
    rows: dict[int, list[float]] = {}
    for top, height, _ in boxes:
        rows.setdefault(round(top), []).append(height)
    assert all(max(heights) - min(heights) < 1.5 for heights in rows.values())
    fits = page.locator(".tile img").evaluate_all("all => all.map(e => getComputedStyle(e).objectFit)")
    assert set(fits) == {"contain"}


def test_is_laid_out_without_javascript(watch: Watch, folder: Path) -> None:
    """Without scripts every tile, file link and reason is there, and no dead filter is."""
    page = watch(java_script_enabled=False).open(folder / "report.html")
    expect(page.locator(".tile")).to_have_count(12)
    expect(page.locator("#tools")).to_be_hidden()
    expect(page.locator('[data-state="stopped"] .reason')).to_be_visible()
    assert page.locator(".picture").first.get_attribute("href").startswith("out/")
    first, second = (page.locator(".picture").nth(at).bounding_box() for at in (0, 1))
    assert first["height"] == pytest.approx(second["height"], abs=1.5)
    assert first["height"] > 100


@pytest.mark.parametrize("state", ["failed", "missing", "uncertain", "stopped"])
def test_trouble_is_readable_on_the_tile(watch: Watch, folder: Path, state: str) -> None:
    """A tile without a picture names its state and reason inside a box of the picture's shape."""
    page = watch().open(folder / "report.html")
    tile = page.locator(f'.tile[data-state="{state}"]')
    expect(tile.locator(".state")).to_have_text(state.capitalize())
    expect(tile.locator(".blank .reason")).to_have_text(fake_sheet.REASONS[state])
    expect(tile.locator(".blank .reason")).to_be_visible()


def test_filters_by_text_and_chips(watch: Watch, folder: Path) -> None:
    """Words and chips narrow the sheet, empty groups go, the count tells, and Escape brings all back."""
    page = watch().open(folder / "report.html")
    tiles = page.locator(".tile:visible")
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("BLUE mug banner")
    expect(tiles).to_have_count(2)
    expect(page.locator("#count")).to_have_text("2 of 12 pictures")
    expect(page.locator(".group:visible")).to_have_count(1)
    expect(page.locator(".product:visible")).to_have_count(1)
    page.locator('.chip[data-value="21:9"]').click()
    expect(tiles).to_have_count(1)
    page.locator("#query").fill("nowhere")
    expect(page.locator("#empty")).to_be_visible()
    page.keyboard.press("Escape")
    expect(tiles).to_have_count(12)
    expect(page.locator('.chip[aria-pressed="true"]')).to_have_count(0)


def test_searches_prompt_text_and_tags(watch: Watch, folder: Path) -> None:
    """The filter finds words of the rendered prompt and tags, which no tile shows."""
    page = watch().open(folder / "report.html")
    for words, count in (("hero", 6), ("crumb @image2", 12), ("hero stoneware", 0)):
        page.locator("#query").fill(words)
        expect(page.locator(".tile:visible")).to_have_count(count)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("9:16", 8),
        ("2k", 12),
        ("2K 9:16", 4),
        ("v2", 12),
        ("Picnic v1", 6),
        ("hero 1k picnic 16:9 v1", 1),
        ("PNG", 24),
        ("webp", 0),
        ("21:9", 0),
    ],
)
def test_searches_what_a_tile_shows(watch: Watch, whole: Path, words: str, count: int) -> None:
    """The filter finds ratio, resolution, vary values, tags, variant and format as they are written on the sheet."""
    page = watch().open(whole / "report.html")
    page.locator("#query").fill(words)
    expect(page.locator(".tile:visible")).to_have_count(count)
    expect(page.locator("#count")).to_have_text(f"{count} of 24 pictures")


def test_chips_add_up_inside_a_dimension_and_narrow_across(watch: Watch, tmp_path: Path) -> None:
    """Two scenes show both; a scene, a resolution and a tag show what has all three, and the address keeps it."""
    sheet = fake_sheet.matrix(scenes=fake_sheet.SCENES, variants=1)
    tiles = tuple(replace(tile, tags=("hero", "new")[: 1 + number % 2]) for number, tile in enumerate(sheet.tiles))
    path = fake_sheet.write(tmp_path, fake_sheet.sheet(tiles), files=False)
    page = watch().open(path)
    names = page.locator(".facet").evaluate_all("all => all.map(e => e.querySelector('.of').textContent)")
    assert names == ["scene", "ratio", "resolution", "tag"]
    scenes = page.get_by_role("group", name="scene")
    scenes.get_by_role("button", name="breakfast table").click()
    expect(page.locator(".tile:visible")).to_have_count(6)
    scenes.get_by_role("button", name="picnic blanket").click()
    expect(page.locator(".tile:visible")).to_have_count(12)
    expect(page.locator(".run:visible h4")).to_have_text(["breakfast table", "picnic blanket"])
    page.get_by_role("group", name="resolution").get_by_role("button", name="2K").click()
    expect(page.locator(".tile:visible")).to_have_count(6)
    page.get_by_role("group", name="tag").get_by_role("button", name="new").click()
    expect(page.locator(".tile:visible")).to_have_count(4)
    fragment = page.evaluate("location.hash")
    again = watch().open(path, fragment)
    expect(again.locator(".tile:visible")).to_have_count(4)
    expect(again.locator('.chip[aria-pressed="true"]')).to_have_count(4)


_ROWS = """
all => [...all.reduce((rows, e) => {
  const b = e.getBoundingClientRect();
  const run = e.closest(".run"), at = Math.round(b.top);
  const key = [...document.querySelectorAll(".run")].indexOf(run) + "/" + at;
  return rows.set(key, [...(rows.get(key) ?? []), [b.width, b.height]]);
}, new Map()).values()]
"""


@pytest.mark.parametrize("width", [1024, 1280, 1440, 1920, 2560])
@pytest.mark.parametrize("variants", [1, 2, 3])
def test_no_picture_stands_alone_on_a_last_row(watch: Watch, tmp_path: Path, width: int, variants: int) -> None:
    """Rows are a little lower where that spares a lone last picture, and alike in height, also after a resize."""
    path = fake_sheet.write(tmp_path, fake_sheet.matrix(variants=variants), files=False)
    watched = watch(viewport={"width": 800, "height": 900})
    page = watched.open(path)
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    rows = page.locator(".picture").evaluate_all(_ROWS)
    assert [len(row) for row in rows if len(row) < 2] == []
    heights = [height for row in rows for _, height in row]
    assert max(heights) / min(heights) < 1.35
    assert watched.errors == []


@pytest.mark.parametrize("width", [390, 1280])
def test_headings_are_never_cut_without_an_ellipsis(watch: Watch, tmp_path: Path, width: int) -> None:
    """In the section of a single narrow picture the set and id stand whole under the name."""
    tiles = [fake_sheet.tile(1, number, "table", "9:16") for number in range(4)]
    tiles.append(replace(tiles[0], label="long", product="x" * 60, product_name="An amber bottle of body oil " * 9))
    path = fake_sheet.write(tmp_path, fake_sheet.sheet(tuple(tiles)), files=False)
    page = watch(viewport={"width": width, "height": 900}).open(path)
    facts = page.locator(".product > h2 .facts")
    assert facts.evaluate_all("all => all.map(e => e.scrollWidth <= e.clientWidth)") == [True] * 4 + [False]
    parts = page.locator(".product > h2 :is(.name, .facts), .group > h3 span")
    assert parts.evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight + 3)"
        ".map(e => getComputedStyle(e)).filter(s => s.textOverflow !== 'ellipsis' || s.whiteSpace !== 'nowrap').length"
    ) == 0  # fmt: skip


def test_proofs_show_no_money(watch: Watch, tmp_path: Path) -> None:
    """A sheet of proofs says neither what was spent nor what was saved; one of bought pictures says both."""
    page = watch().open(fake_sheet.write(tmp_path, fake_sheet.campaign(1, proof=True), files=False))
    expect(page.locator(".totals dt")).to_have_text(["pictures", "cells", "done", "failed", "missing"])
    page.locator(".picture").first.click()
    expect(page.locator("#box-facts")).to_contain_text("local (proof)")
    expect(page.locator("#box-facts")).not_to_contain_text("$")


def test_header_counts_uncertain_and_stopped(watch: Watch, folder: Path) -> None:
    """What may have been paid and what the budget stopped is counted in the header, in its own colour."""
    page = watch().open(folder / "report.html")
    names = ["pictures", "cells", "done", "failed", "uncertain", "stopped", "missing", "spent", "saved"]
    expect(page.locator(".totals dt")).to_have_text(names)
    expect(page.locator('.totals [data-state="uncertain"] dd')).to_have_text("3")


def test_chips_of_one_facet_add_up(watch: Watch, folder: Path) -> None:
    """Two states show both; a state and a ratio show what has both."""
    page = watch().open(folder / "report.html")
    page.locator('.chip[data-value="failed"]').click()
    page.locator('.chip[data-value="stopped"]').click()
    expect(page.locator(".tile:visible")).to_have_count(2)
    page.locator('.chip[data-value="1:1"]').click()
    expect(page.locator(".tile:visible")).to_have_count(1)


def test_address_keeps_the_filter(watch: Watch, folder: Path) -> None:
    """A filter survives in the address, so that a reload or a sent link shows the same."""
    page = watch().open(folder / "report.html")
    page.locator("#query").fill("mug & more")
    page.locator('.chip[data-value="9:16"]').click()
    fragment = page.evaluate("location.hash")
    again = watch().open(folder / "report.html", fragment)
    expect(again.locator("#query")).to_have_value("mug & more")
    expect(again.locator('.chip[aria-pressed="true"]')).to_have_attribute("data-value", "9:16")


def test_lightbox_by_keyboard(watch: Watch, folder: Path) -> None:
    """Enter opens, arrows, Home and End leaf through the visible tiles, Escape returns to the tile."""
    watched = watch()
    page = watched.open(folder / "report.html", "#prompt=banner")
    label, position = page.locator("#box-label"), page.locator("#box-position")
    page.locator(".picture:visible").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lightbox")).to_be_visible()
    expect(position).to_have_text("1 / 4")
    page.keyboard.press("ArrowLeft")
    expect(position).to_have_text("1 / 4")
    page.keyboard.press("ArrowRight")
    expect(label).to_have_text(fake_sheet.tile(2, 0, "banner", "9:16").label)
    page.keyboard.press("End")
    expect(position).to_have_text("4 / 4")
    page.keyboard.press("Home")
    expect(position).to_have_text("1 / 4")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.locator("#lightbox")).to_be_hidden()
    expect(page.locator("#t5 .picture")).to_be_focused()
    assert page.evaluate("location.hash") == "#prompt=banner"
    assert watched.errors == []


def test_lightbox_keys_work_after_clicks(watch: Watch, folder: Path) -> None:
    """Clicking to the last tile, or on the empty stage, does not take the arrow keys away."""
    page = watch().open(folder / "report.html", "#prompt=banner&ratio=21%3A9")
    page.locator(".picture:visible").first.click()
    page.get_by_role("button", name="Next picture").click()
    expect(page.get_by_role("button", name="Next picture")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#box-position")).to_have_text("1 / 2")
    page.locator("#box-picture").click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#box-position")).to_have_text("2 / 2")


def test_lightbox_loads_the_original(watch: Watch, folder: Path) -> None:
    """The large picture is the file beside the sheet, in its full size, and nothing else is fetched."""
    watched = watch()
    page = watched.open(folder / "report.html")
    page.locator("#t1 .picture").click()
    expect(page.locator("#box-picture")).to_have_attribute("data-shows", "original")
    assert page.locator("#box-picture").evaluate("e => e.decode().then(() => e.naturalWidth)") == 1360
    expect(page.locator("#box-note")).to_be_hidden()
    assert {url.split(":")[0] for url in watched.requests} <= {"file", "data"}
    assert watched.errors == []


def test_lightbox_shows_what_made_the_picture(watch: Watch, folder: Path) -> None:
    """The panel has the prompt with its slots marked, references, parameters, files and earlier takes."""
    page = watch().open(folder / "report.html")
    tile = fake_sheet.campaign(2).tiles[1]
    page.locator("#t1 .picture").click()
    assert page.locator("#box-text").text_content() == tile.text
    slots = page.locator("#box-text mark")
    assert slots.all_text_contents()[:3] == ["@Image1", "@Image2", "@Image3"]
    expect(slots.nth(1)).to_have_attribute("title", "references.linen")
    expect(slots.nth(1).locator("img")).to_have_count(1)
    expect(page.locator("#box-references li")).to_have_count(3)
    expect(page.locator("#box-references li").nth(1)).to_contain_text("style")
    facts = page.locator("#box-facts")
    for fact in (
        "1360 × 768",
        "v2",
        "kling-image-o1",
        "runware",
        "$0.028",
        "12.3 s",
        "2026-11-20 22:10 UTC",
        tile.key,
    ):
        expect(facts).to_contain_text(fact)
    expect(page.locator("#box-files li")).to_have_text(["PNG812 kB", "WEBP812 kB"])
    expect(page.locator("#box-earlier a")).to_have_attribute("href", re.compile(r"^out/\.takes/"))


def test_slots_are_whole_names(watch: Watch, tmp_path: Path) -> None:
    """Slot ten is not slot one followed by a nought, and a longer word is no slot."""
    tile = replace(fake_sheet.tile(1, 0, "table", "1:1"), text="@Image10 and @Image1, not @Images or @Image1x")
    page = watch().open(fake_sheet.write(tmp_path, fake_sheet.sheet((tile,)), files=False))
    page.locator(".picture").click()
    assert page.locator("#box-text mark").all_text_contents() == ["@Image10", "@Image1"]


def test_missing_original_falls_back_to_the_small_picture(watch: Watch, tmp_path: Path) -> None:
    """A mailed sheet, without its files, still shows its tiles and says what it shows large."""
    page = watch().open(fake_sheet.write(tmp_path, fake_sheet.campaign(1), files=False))
    page.locator(".picture").first.click()
    expect(page.locator("#box-note")).to_contain_text("small preview")
    expect(page.locator("#box-picture")).to_have_attribute("data-shows", "thumb")
    assert page.locator("#box-picture").evaluate("e => e.naturalWidth") == 320
    page.keyboard.press("ArrowRight")
    expect(page.locator("#box-position")).to_have_text("2 / 6")
    expect(page.locator("#box-note")).to_contain_text("small preview")


def test_lightbox_of_a_failure_says_why(watch: Watch, folder: Path) -> None:
    """Where there is no picture the stage shows the state and the reason."""
    page = watch().open(folder / "report.html")
    page.locator('.tile[data-state="failed"] .picture').click()
    expect(page.locator("#box-blank")).to_contain_text(fake_sheet.REASONS["failed"])
    expect(page.locator("#box-picture")).to_be_hidden()


def test_copies_the_prompt(watch: Watch, folder: Path) -> None:
    """The copy button puts the rendered prompt on the clipboard and says so."""
    page = watch(permissions=["clipboard-read", "clipboard-write"]).open(folder / "report.html")
    page.locator(".picture").first.click()
    page.get_by_role("button", name="Copy prompt").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == fake_sheet.campaign(2).tiles[0].text


def test_copy_selects_where_the_clipboard_is_closed(watch: Watch, folder: Path) -> None:
    """Without a clipboard the text is left selected, ready for the reader's own copy."""
    page = watch().open(folder / "report.html")
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined});document.execCommand = () => false"
    )
    page.locator(".picture").first.click()
    page.get_by_role("button", name="Copy label").click()
    expect(page.get_by_role("button", name="Selected")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == fake_sheet.campaign(2).tiles[0].label


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "policy stripped"])
def test_hostile_text_runs_nothing(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """An attack in every text field is shown as text, on the sheet and in the panel, with or without CSP."""
    path = fake_sheet.write(tmp_path, fake_sheet.hostile(), files=False)
    if not policy:
        whole = path.read_text(encoding="utf-8")
        stripped = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole)
        assert stripped != whole
        path.write_text(stripped, encoding="utf-8")
    watched = watch()
    page = watched.open(path)
    page.locator("#query").fill("onerror")
    expect(page.locator(".tile:visible")).to_have_count(2)
    page.locator(".picture").first.click()
    assert fake_sheet.HOSTILE in page.locator("#box-text").text_content()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#box-trouble")).to_contain_text("onerror")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('[onerror], script').length") == 2
    assert {url.split(":")[0] for url in watched.requests} <= {"file", "data"}
    links = page.locator("a").evaluate_all("all => all.map(e => new URL(e.href).href)")
    assert all(link.startswith(tmp_path.as_uri() + "/") for link in links)


def test_policy_stops_foreign_script(watch: Watch, folder: Path, tmp_path: Path) -> None:
    """The policy is in force on file://: a script or style that is not the sheet's own does not run."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    path = tmp_path / "report.html"
    path.write_text(text.replace("</body>", "<script>window.pwned=1</script></body>"), encoding="utf-8")
    watched = watch()
    page = watched.open(path)
    assert page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in error for error in watched.errors)


@pytest.mark.parametrize("sheet", [fake_sheet.campaign(2), fake_sheet.hostile()], ids=["usual", "hostile"])
def test_phone_has_no_sideways_scroll(watch: Watch, tmp_path: Path, sheet: Any) -> None:
    """On a phone neither the sheet nor the lightbox is wider than the screen."""
    path = fake_sheet.write(tmp_path, sheet, files=False)
    page = watch(viewport={"width": 360, "height": 740}).open(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator(".picture").first.click()
    assert page.locator("#lightbox").evaluate("e => e.scrollWidth") == 360
    expect(page.locator(".stage")).to_be_in_viewport(ratio=1)
    page.locator("#box-close").click()
    expect(page.locator("#lightbox")).to_be_hidden()


_CONTRAST = """
selectors => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (e) => {
    const colour = getComputedStyle(e).backgroundColor;
    return /, 0\\)$/.test(colour) ? ground(e.parentElement ?? document.documentElement) : colour;
  };
  return selectors.flatMap((selector) => [...document.querySelectorAll(selector)].map((e) => {
    const [a, b] = [getComputedStyle(e).color, ground(e)].map(numbers).map(light);
    return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  }));
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(watch: Watch, folder: Path, scheme: str) -> None:
    """Both colour schemes follow the reader's system and reach AA contrast for all text."""
    page = watch(color_scheme=scheme).open(folder / "report.html")
    assert (page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(22, 22, 22)") == (
        scheme == "dark"
    )
    selectors = [
        "h1", ".facts", ".totals dt", ".totals dd", "#count", ".chip", ".chip small", "h3", ".vary", ".cell",
        ".state", ".blank .reason", ".foot",
    ]  # fmt: skip
    contrasts = page.evaluate(_CONTRAST, selectors)
    assert {selector for selector, _ in contrasts} == set(selectors)
    assert [found for found in contrasts if found[1] < 4.5] == []


def test_everything_has_a_name(watch: Watch, folder: Path) -> None:
    """Pictures have texts, and every control has a role and a name, in the sheet and the lightbox."""
    page = watch().open(folder / "report.html")
    tile = fake_sheet.campaign(2).tiles[0]
    alt = page.locator("#t0 img").get_attribute("alt")
    assert alt.startswith(tile.label)
    assert tile.text[:80] in alt
    expect(page.get_by_role("searchbox", name="Filter by label")).to_be_visible()
    expect(page.get_by_role("slider", name="Size of the pictures")).to_be_visible()
    page.locator("#t0 .picture").click()
    expect(page.get_by_role("dialog", name="Blue enamel mug")).to_be_visible()
    for name in ("Previous picture", "Next picture", "Close", "Copy prompt", "Copy label"):
        expect(page.get_by_role("button", name=name)).to_be_visible()
    named = "e.ariaLabel || e.textContent.trim() || e.querySelector('img')?.alt"
    assert page.locator("a, button").evaluate_all(f"all => all.filter(e => !({named})).length") == 0


def test_size_of_the_pictures_can_be_set(watch: Watch, folder: Path) -> None:
    """The slider makes every row higher, keeping the ratios."""
    page = watch().open(folder / "report.html")
    before = page.locator("#t0 .picture").bounding_box()
    page.locator("#zoom").fill("140")
    after = page.locator("#t0 .picture").bounding_box()
    assert after["height"] < before["height"]
    assert after["width"] / after["height"] == pytest.approx(1, abs=0.02)


def test_proofs_say_so(watch: Watch, tmp_path: Path) -> None:
    """A sheet of proofs says plainly that no model made them, and marks each."""
    sheet = fake_sheet.campaign(1, proof=True)
    page = watch().open(fake_sheet.write(tmp_path, sheet, files=False))
    expect(page.get_by_text(PROOFS)).to_be_visible()
    expect(page.locator(".proof")).to_have_count(6)
    assert PROOFS not in render(fake_sheet.campaign(1))


def test_prints_without_its_tools(watch: Watch, folder: Path) -> None:
    """On paper there are pictures and words, no filter, on white."""
    page = watch(color_scheme="dark").open(folder / "report.html")
    page.emulate_media(media="print")
    expect(page.locator("#tools")).to_be_hidden()
    expect(page.locator(".tile").last).to_be_visible()
    clipped = "all => all.filter(e => e.scrollHeight > e.clientHeight || e.scrollWidth > e.clientWidth).length"
    assert page.locator(".row .blank").evaluate_all(clipped) == 0
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"


def test_a_printed_page_is_full(watch: Watch, whole: Path) -> None:
    """The header and all 24 pictures of a product fit one page of A4: nothing is torn, nothing starts a page anew."""
    page = watch(color_scheme="dark").open(whole / "report.html")
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1


def test_a_thousand_cells_are_usable_at_once(watch: Watch, tmp_path: Path) -> None:
    """Sections out of sight are skipped: a large sheet filters, and opens its last tile."""
    page = watch().open(fake_sheet.write(tmp_path, fake_sheet.campaign(80), files=False))
    skipped = "e => !e.checkVisibility({contentVisibilityAuto: true})"
    assert page.locator(".product").last.locator("h2").evaluate(skipped)
    page.locator("#query").fill("product-079/banner")
    expect(page.locator(".tile:visible")).to_have_count(2)
    page.locator(".picture:visible").last.click()
    expect(page.locator("#box-position")).to_have_text("2 / 2")
