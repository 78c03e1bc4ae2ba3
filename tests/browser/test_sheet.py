"""The contact sheet in a real browser, opened from ``file://`` as its readers open it: shapes, pivot, filter, keys."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Box, Look, boxes, data, focused, fragment, press, shown, until, values

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

TALL = {"width": 1280, "height": 6000}  # a window that needs no scrolling
PIVOT = "#bands=product&down=vary.scene&across=ratio"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of four products, two prompts, all ratios, all states, two providers."""
    return fake_sheet.write(tmp_path_factory.mktemp("campaign"), fake_sheet.campaign(4), files=False)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of one product in two scenes, two resolutions, three ratios, two variants."""
    return fake_sheet.write(tmp_path_factory.mktemp("matrix"), fake_sheet.matrix(), files=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of 10,000 pictures."""
    return fake_sheet.write(tmp_path_factory.mktemp("many"), fake_sheet.large(10_000, 120), files=False)


def true_shapes(page: Any, room: float) -> list[Box]:
    """Every picture in the page has its own shape, covers no other, and stands within the room; return them."""
    tiles = data(page)["tiles"]
    found = boxes(page)
    assert found
    for box in found:
        assert box.width / box.height == pytest.approx(tiles["width"][box.tile] / tiles["height"][box.tile], rel=0.01)
        assert box.x >= 0
        assert box.right <= room + 0.5
    assert [(a.tile, b.tile) for a, b in combinations(found, 2) if a.over(b)] == []
    fits = page.locator(".tile img").evaluate_all("all => all.map(e => getComputedStyle(e).objectFit)")
    assert set(fits) == {"contain"}
    return found


# ── shapes ──────────────────────────────────────────────────────────────────────────────────────


def test_the_head_says_what_the_sheet_is(look: Look, campaign: Path) -> None:
    """Campaign, manifest, time, commit, figures and money stand on top, each trouble in its own colour."""
    page = look(campaign)
    expect(page).to_have_title("Autumn tableware · contact sheet")
    expect(page.locator("h1")).to_have_text("Autumn tableware")
    expect(page.locator(".head .facts span").first).to_have_text("campaigns/autumn.yaml")
    expect(page.locator(".head time")).to_have_text("2026-11-21 04:34 UTC")
    expect(page.locator(".head code")).to_have_text("4be1f02+")
    figures = dict(
        zip(
            page.locator("#totals dt").all_text_contents(),
            page.locator("#totals dd").all_text_contents(),
            strict=True,
        )
    )
    assert list(figures)[:3] == ["pictures", "cells", "done"]
    wanted = {"pictures": "24", "failed": "2", "uncertain": "3", "stopped": "2", "stale": "2", "missing": "2"}
    assert {name: figures[name] for name in wanted} == wanted
    assert figures["spent"].startswith("$0.5")
    colours = page.locator("#totals div[data-state] dd").evaluate_all("all => all.map(e => getComputedStyle(e).color)")
    plain = page.locator("#totals div:not([data-state]) dd").first.evaluate("e => getComputedStyle(e).color")
    assert len(colours) == 5
    assert plain not in colours
    expect(page.locator("#count")).to_have_text("24 pictures")


@pytest.mark.parametrize("width", [360, 800, 1280, 1920, 3000])
def test_pictures_have_their_own_shapes(look: Look, campaign: Path, width: int) -> None:
    """No picture is cropped, covers another or stands beyond the window, and each thumbnail is drawn."""
    page = look(campaign, viewport={"width": width, "height": 7000})
    assert len(true_shapes(page, width)) == 24
    assert page.evaluate("document.documentElement.scrollWidth") == width
    pictures = "Promise.all([...document.querySelectorAll('.tile img')].map((image) => image.decode()))"
    page.wait_for_function(f"() => {pictures}.then(() => true, () => false)")
    expect(page.locator(".tile img")).to_have_count(20)


@pytest.mark.parametrize("width", [1280, 2560])
@pytest.mark.parametrize("variants", [1, 2, 3])
def test_rows_are_even_and_full(look: Look, tmp_path: Path, width: int, variants: int) -> None:
    """Pictures of one row share a height, rows differ little in height, also after the window was made larger."""
    path = fake_sheet.write(tmp_path, fake_sheet.matrix(variants=variants), files=False)
    page = look(path, viewport={"width": 700, "height": 3000})
    page.set_viewport_size({"width": width, "height": 3000})
    until(page, f"document.querySelector('#sheet').clientWidth > {width * 0.9}")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = true_shapes(page, width)
    assert len(found) == 12 * variants
    rows: dict[int, set[float]] = {}
    for box in found:
        rows.setdefault(round(box.y), set()).add(round(box.height, 1))
    assert [heights for heights in rows.values() if len(heights) > 1] == []
    heights = [height for row in rows.values() for height in row]
    assert max(heights) / min(heights) < 1.9
    assert max(box.right for box in found) > width * 0.6


def test_the_size_can_be_set(look: Look, campaign: Path) -> None:
    """The slider makes pictures higher or lower in their shapes, and the address keeps it."""
    page = look(campaign, viewport=TALL)
    page.locator("#size").fill("90")
    small = true_shapes(page, 1280)
    page.locator("#size").fill("400")
    large = true_shapes(page, 1280)
    assert max(box.height for box in small) < 180
    assert min(box.height for box in large) > max(box.height for box in small)
    assert fragment(page) == "#height=400"
    assert boxes(look(campaign, "#height=400", viewport=TALL)) == large


# ── pivot ───────────────────────────────────────────────────────────────────────────────────────


def test_pivots_by_its_menus_and_a_link_opens_the_same(look: Look, campaign: Path) -> None:
    """Bands, lines and columns are what the menus say; the address keeps it, and opened again it is the same view."""
    page = look(campaign, viewport=TALL)
    names = page.locator("#axis-across option").all_text_contents()
    assert names == ["–", "Product", "Prompt", "scene", "Ratio", "Variant", "Take", "Provider"]
    page.locator("#axis-bands").select_option("product")
    page.locator("#axis-down").select_option("vary.scene")
    page.locator("#axis-across").select_option("ratio")
    found = true_shapes(page, 1280)
    assert len(found) == 24
    of = {each["key"]: each for each in data(page)["dimensions"]}
    columns = page.locator("#columns span")
    assert columns.all_text_contents() == of["ratio"]["values"]
    sides = columns.evaluate_all("all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])")
    for box in found:
        left, right = sides[of["ratio"]["of"][box.tile]]
        assert left - 1 <= box.x < box.right <= right + 1
    for heading, key in (("h2.band", "product"), ("h3.line", "vary.scene")):
        tops = page.locator(f"#headings {heading}").evaluate_all(
            "all => all.map(e => [e.querySelector('.name').textContent, e.getBoundingClientRect().bottom + scrollY])"
        )
        said = of[key].get("titles", of[key]["values"])
        for box in found:
            above = max((bottom, name) for name, bottom in tops if bottom <= box.y + 1)
            assert above[1] == said[of[key]["of"][box.tile]]
    assert fragment(page) == "#down=vary.scene&across=ratio"  # bands are as they usually are here
    again = look(campaign, PIVOT, viewport=TALL)
    assert boxes(again) == found
    expect(again.locator("#axis-down")).to_have_value("vary.scene")


def test_a_dimension_stands_on_one_axis_only(look: Look, campaign: Path) -> None:
    """Chosen a second time it moves there, and with every axis empty all pictures stand together."""
    page = look(campaign, "#bands=product&down=prompt")
    page.locator("#axis-across").select_option("product")
    expect(page.locator("#axis-bands")).to_have_value("")
    expect(page.locator("#columns span")).to_have_count(4)
    page.locator("#axis-across").select_option("")
    page.locator("#axis-down").select_option("")
    expect(page.locator("#headings > *")).to_have_count(0)
    assert shown(page) == 24


def test_what_has_no_value_on_an_axis_has_its_own_place(look: Look, campaign: Path) -> None:
    """Pictures that no provider made stand in a column of their own, named by a dash."""
    page = look(campaign, "#across=provider", viewport=TALL)
    assert page.locator("#columns span").all_text_contents() == ["–", "runware", "fal"]
    assert len(boxes(page)) == 24


def test_columns_may_be_wider_than_the_window(look: Look, matrix: Path) -> None:
    """On a phone columns keep a size that can be seen, and the page scrolls sideways instead."""
    page = look(matrix, "#across=variant&down=vary.scene", viewport={"width": 360, "height": 3000})
    true_shapes(page, page.evaluate("document.documentElement.scrollWidth"))
    assert min(box.height for box in boxes(page)) >= 60


@pytest.mark.parametrize("width", [390, 700, 900])
def test_columns_beyond_the_window_come_into_view(look: Look, campaign: Path, width: int) -> None:
    """The picture that keys lead to is in view, also sideways, and the names of the columns stay above it."""
    page = look(campaign, "#across=product&down=ratio&bands=&height=200", viewport={"width": width, "height": 600})
    page.keyboard.press("Home")
    for key in ("ArrowRight",) * 6 + ("ArrowDown",) * 4 + ("End", "ArrowUp", "Home"):
        page.keyboard.press(key)
        expect(page.locator(":focus")).to_be_in_viewport(ratio=0.9)
    page.evaluate("scrollTo(0, 400)")
    expect(page.locator("#columns span").first).to_be_in_viewport(ratio=1)
    names, canvas = page.locator("#columns").bounding_box(), page.locator("#canvas").bounding_box()
    assert names["width"] >= canvas["width"] - 1
    top = "document.elementFromPoint(60, document.querySelector('#columns').getBoundingClientRect().bottom - 3)"
    assert page.evaluate(f"Boolean({top}.closest('#columns'))")


def test_a_wrong_address_is_the_usual_view(look: Look, campaign: Path) -> None:
    """Unknown axes, heights, labels and broken percents in the address change nothing."""
    usual = boxes(look(campaign, viewport=TALL))
    strange = "#bands=nothing&down=state&height=9999&open=nobody&hide.nothing=x&hide.ratio=5:5&%E0%A4=%&=&&"
    assert boxes(look(campaign, strange, viewport=TALL)) == usual


# ── filter ──────────────────────────────────────────────────────────────────────────────────────


def test_values_are_hidden_and_shown(look: Look, campaign: Path) -> None:
    """A box hides a value, ``only`` all others, ``None`` every one, ``All`` none; the count and the address tell."""
    page = look(campaign, viewport=TALL)
    ratios = values(page, "Ratio")
    ratios.get_by_role("checkbox", name="21:9").uncheck()
    expect(page.locator("#count")).to_have_text("20 of 24 pictures")
    assert fragment(page) == "#hide.ratio=21%3A9"
    assert len(true_shapes(page, 1280)) == 20
    ratios.get_by_role("button", name="only 9:16").press("Enter")
    assert shown(page) == 8
    assert fragment(page) == "#show.ratio=9%3A16"
    ratios.get_by_role("button", name="None", exact=True).click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator(".tile")).to_have_count(0)
    ratios.get_by_role("button", name="All", exact=True).click()
    assert fragment(page) == ""
    ratios.get_by_role("checkbox", name="1:1").uncheck()
    ratios.get_by_role("checkbox", name="4:5").uncheck()
    page.keyboard.press("Escape")
    expect(page.locator("#facets").get_by_role("button", name="Ratio")).to_have_text("Ratio3 of 5")
    again = look(campaign, fragment(page), viewport=TALL)
    assert boxes(again) == boxes(page)
    again.get_by_role("button", name="Show all").click()
    assert shown(again) == 24
    assert fragment(again) == ""


def test_only_one_value_shows_nothing_without_it(look: Look, campaign: Path) -> None:
    """Only one provider's pictures: those that nobody has made are no provider's, and can be shown alone too."""
    page = look(campaign, viewport=TALL)
    providers = values(page, "Provider")
    providers.get_by_role("button", name="only fal").press("Enter")
    of = next(each for each in data(page)["dimensions"] if each["key"] == "provider")
    assert {of["of"][box.tile] for box in boxes(page)} == {of["values"].index("fal")}
    providers.get_by_role("button", name="only none").press("Enter")
    assert {of["of"][box.tile] for box in boxes(page)} == {-1}
    assert {of["of"][box.tile] for box in boxes(look(campaign, fragment(page), viewport=TALL))} == {-1}


def test_filters_of_several_dimensions_narrow(look: Look, campaign: Path) -> None:
    """Two ratios add up; a ratio, a state and a tag show what has all three."""
    page = look(campaign, "#show.ratio=1%3A1&show.ratio=4%3A5")
    assert shown(page) == 8
    assert shown(look(campaign, "#show.ratio=1%3A1&show.ratio=4%3A5&show.state=done")) == 6
    assert shown(look(campaign, "#show.ratio=1%3A1&show.state=done&show.tag=hero")) == 2


@pytest.mark.parametrize(
    ("words", "count"),
    [("9:16", 8), ("2k", 12), ("2K 9:16", 4), ("v2", 12), ("Picnic v1", 6), ("hero 1k picnic 16:9 v1", 1), ("PNG", 24),
     ("webp", 0), ("21:9", 0), ("ENAMEL  mug", 24), ("mug on a picnic", 12), ("(((", 0)],
)  # fmt: skip
def test_finds_what_a_picture_is_and_says(look: Look, matrix: Path, words: str, count: int) -> None:
    """Every word has to stand in the label, a value, the product's name, a tag, a format or the prompt."""
    page = look(matrix)
    page.locator("#query").fill(words)
    expect(page.locator("#count")).to_have_text(f"{count} of 24 pictures")
    expect(page.locator("#empty")).to_be_visible(visible=count == 0)


def test_finding_by_keyboard(look: Look, campaign: Path) -> None:
    """``/`` goes to the words, Enter to the first picture found; Escape goes back, and then brings all back."""
    page = look(campaign)
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("mug & p/x?")
    assert shown(page) == 0
    page.locator("#query").fill("stoneware banner")
    assert shown(page) == 2
    assert shown(look(campaign, fragment(page))) == 2
    page.keyboard.press("Enter")
    assert focused(page) == 10
    press(page, "/", "Escape")
    assert shown(page) == 2
    press(page, "Escape")
    assert shown(page) == 24
    assert focused(page) == 10


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("view", ["", "#bands=product&down=prompt&height=120", PIVOT])
def test_the_arrows_reach_every_picture(look: Look, campaign: Path, view: str) -> None:
    """Right goes through all pictures in reading order and Left back; nothing lies beyond Home and End."""
    page = look(campaign, view, viewport=TALL)
    page.keyboard.press("Home")
    there = [focused(page)]
    while len(there) < 24:
        page.keyboard.press("ArrowRight")
        there.append(focused(page))
    assert sorted(there) == list(range(24))
    press(page, "ArrowRight", "End")
    assert focused(page) == there[-1]
    back = [focused(page)]
    while len(back) < 24:
        page.keyboard.press("ArrowLeft")
        back.append(focused(page))
    assert back == there[::-1]
    page.keyboard.press("ArrowLeft")
    assert focused(page) == there[0]
    at = {box.tile: box for box in boxes(page)}
    order = [(round(at[tile].y), at[tile].x) for tile in there]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "view", ["", "#bands=vary.scene&down=&height=120", "#bands=provider&down=ratio&height=80", "#bands=&down=", PIVOT]
)
def test_up_and_down_go_straight_on(look: Look, campaign: Path, view: str) -> None:
    """From every picture Down leads to one wholly below, no further than what is straight ahead; Up likewise."""
    page = look(campaign, view, viewport=TALL)
    page.keyboard.press("Home")
    at = {box.tile: box for box in boxes(page)}
    for _ in at:
        start = at[focused(page)]
        for key, distance in (
            ("ArrowDown", lambda box, start=start: box.y - start.foot),
            ("ArrowUp", lambda box, start=start: start.y - box.foot),
        ):
            page.keyboard.press(key)
            end = at[focused(page)]
            beyond = [box for box in at.values() if distance(box) > -8]
            assert (end in beyond) if beyond else (end == start)
            ahead = [distance(box) for box in beyond if not start.beside(box)]
            if ahead:
                assert distance(end) + 0.3 * start.beside(end) <= min(ahead) + 1
            page.locator(f"[data-index='{start.tile}'] .picture").focus()
        page.keyboard.press("ArrowRight")


def test_ten_thousand_pictures_cost_as_little_as_a_hundred(look: Look, many: Path) -> None:
    """Only what is near the window is in the page, wherever one is, and its thumbnails are drawn."""
    page = look(many)
    expect(page.locator("#count")).to_have_text("10,000 pictures")
    for share in (0, 0.31, 0.77, 1):
        page.evaluate("share => scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight))", share)
        until(
            page,
            "[...document.querySelectorAll('.tile')].some(e => { const b = e.getBoundingClientRect();"
            " return b.top > 0 && b.bottom < innerHeight && (e.querySelector('img')?.naturalWidth || 0) > 50; })",
        )
        assert 0 < page.locator(".tile").count() < 400
        assert page.evaluate("document.querySelectorAll('*').length") < 6000
        true_shapes(page, 1280)
    page.locator("#axis-across").select_option("ratio")
    page.locator("#axis-bands").select_option("vary.scene")
    assert 0 < page.locator(".tile").count() < 400
    page.locator("#query").fill("product-0133/banner/picnic-blanket")
    expect(page.locator("#count")).to_have_text("10 of 10,000 pictures")


def test_the_focus_survives_scrolling_away(look: Look, many: Path) -> None:
    """The picture that keys speak of stays in the page, and the next key goes on from it, in view."""
    page = look(many)
    press(page, "Home", "ArrowRight", "ArrowRight")
    before = focused(page)
    page.evaluate("scrollTo(0, 60000)")
    until(page, "[...document.querySelectorAll('.tile')].some(e => e.getBoundingClientRect().top > 100)")
    until(page, "document.querySelectorAll('.tile').length < 300 && scrollY > 59000")
    assert focused(page) == before
    page.keyboard.press("ArrowRight")
    assert focused(page) == before + 1
    expect(page.locator(":focus")).to_be_in_viewport(ratio=1)
    page.keyboard.press("End")
    expect(page.locator(":focus")).to_be_in_viewport(ratio=0.9)
    assert page.evaluate("document.querySelectorAll('[tabindex=\"0\"].picture').length") == 1
