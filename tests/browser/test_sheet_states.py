"""What a sheet shows of pictures that are not simply there: states, proofs, decisions; sheets of next to nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, boxes, focused, index, press, until

from pipeline.report.header import PROOFS, REHEARSAL
from pipeline.report.render import render

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

TROUBLES = ("failed", "missing", "uncertain", "stopped")
ALL_KEYS = [*"pxauncyevmz/?+-012345", "Shift+P", "Control+z", "Enter", "Space", "Home", "End", "Escape"]
ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sheet of two products with all states and some decisions."""
    shown = fake_sheet.decided(fake_sheet.campaign(2))
    return fake_sheet.write(tmp_path_factory.mktemp("states"), shown, files=False)


def tile(page: Any, state: str) -> Any:
    """The first tile of a state."""
    return page.locator(f'.tile[data-state="{state}"]').first


@pytest.mark.parametrize("state", TROUBLES)
def test_trouble_is_readable_on_the_tile(look: Look, campaign: Path, state: str) -> None:
    """A tile without a picture has its state's own mark, its name and its reason, in the picture's shape."""
    page = look(campaign, viewport={"width": 1600, "height": 3000})
    expect(tile(page, state).locator(".state")).to_have_text(state.capitalize())
    expect(tile(page, state).locator(".state use")).to_have_attribute("href", f"#mark-{state}")
    expect(page.locator(f"#mark-{state}")).to_have_count(1)
    expect(tile(page, state).locator(".reason")).to_have_text(fake_sheet.REASONS[state])
    expect(tile(page, state).locator(".reason")).to_be_visible()
    expect(tile(page, state).locator("img")).to_have_count(0)


def test_each_state_is_told_apart(look: Look, campaign: Path) -> None:
    """Every state has a mark of its own shape, so that no colour is needed."""
    page = look(campaign)
    shapes = page.locator("symbol").evaluate_all("all => all.map(e => e.innerHTML)")
    assert len(set(shapes)) == len(shapes) >= 10


def test_a_stale_picture_is_shown_and_flagged(look: Look, campaign: Path) -> None:
    """What stood there before is shown, faded, with a flag that says it is not what is asked for now."""
    page = look(campaign, viewport={"width": 1280, "height": 3000})
    stale = tile(page, "stale")
    expect(stale.locator(".flag")).to_have_text("Stale")
    expect(stale.locator(".flag")).to_have_attribute("title", fake_sheet.REASONS["stale"])
    assert stale.locator("img").evaluate("e => e.decode().then(() => e.naturalWidth > 100)")
    assert float(stale.locator("img").evaluate("e => getComputedStyle(e).opacity")) < 1


def test_decisions_stand_at_the_picture(look: Look, campaign: Path) -> None:
    """Approved and rejected have marks of their own; stars, a note and an approval of something older too."""
    page = look(campaign, viewport={"width": 1280, "height": 3000})
    sheet = fake_sheet.decided(fake_sheet.campaign(2))
    first, second, third, fourth = [each for each in sheet.tiles if each.state == "done"][:4]

    def verdict(label: str) -> Any:
        return page.locator(f'[data-index="{index(page, label)}"] .verdict')

    expect(verdict(first.label)).to_contain_text("★★★★")
    expect(verdict(first.label).locator("use")).to_have_attribute("href", "#mark-approved")
    expect(verdict(second.label).locator("use").nth(0)).to_have_attribute("href", "#mark-note")
    expect(verdict(second.label).locator("use").nth(1)).to_have_attribute("href", "#mark-rejected")
    assert "too dark" in verdict(second.label).get_attribute("title")
    expect(verdict(third.label)).to_contain_text("★★★")
    expect(verdict(third.label).locator("use")).to_have_count(0)
    expect(verdict(fourth.label).locator("use")).to_have_attribute("href", "#mark-stale")
    assert "prompt changed" in verdict(fourth.label).get_attribute("title")


def test_a_decision_is_of_one_file(look: Look, campaign: Path) -> None:
    """What was said of an earlier take is not said of this one."""
    page = look(campaign)
    sheet = fake_sheet.decided(fake_sheet.campaign(2))
    fourth = [each for each in sheet.tiles if each.state == "done"][3]
    assert [each.decision for each in sheet.decisions[fourth.key]] == ["rejected"]
    expect(page.locator(f'[data-index="{index(page, fourth.label)}"]')).to_have_attribute("data-decision", "")
    expect(page.locator("#progress")).to_have_text("2 of 7 decided")


def test_proofs_say_so_and_show_no_money(look: Look, tmp_path: Path) -> None:
    """A sheet of proofs says plainly that no model made them, and neither what was spent nor what was saved."""
    page = look(fake_sheet.write(tmp_path, fake_sheet.campaign(1, proof=True), files=False), alone=True)
    expect(page.get_by_text(PROOFS)).to_be_visible()
    expect(page.locator("#totals dt")).to_have_text(["pictures", "cells", "done", "failed", "missing"])
    page.keyboard.press("Enter")
    expect(page.locator("#box-facts")).to_contain_text("local (proof)")
    expect(page.locator("#box-facts")).not_to_contain_text("$")
    assert PROOFS not in render(fake_sheet.campaign(1))


def test_a_proof_among_pictures_is_marked(look: Look, tmp_path: Path) -> None:
    """Where only some are proofs, those say so themselves."""
    bought, proof = fake_sheet.tile(1, 0, "table", "1:1"), fake_sheet.tile(2, 0, "table", "1:1", proof=True)
    page = look(fake_sheet.write(tmp_path, fake_sheet.sheet((bought, proof)), files=False))
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator(".tile .proof")).to_have_count(1)
    expect(page.locator('[data-index="1"] .proof')).to_have_text("proof")


def test_a_rehearsal_says_so(look: Look, tmp_path: Path) -> None:
    """Pictures of the emulator are never taken for bought ones, nor their price for money that was spent."""
    page = look(fake_sheet.write(tmp_path, replace(fake_sheet.campaign(1), rehearsal=True), files=False))
    expect(page.get_by_text(REHEARSAL)).to_be_visible()
    expect(page.locator("#totals")).to_contain_text("would cost")
    expect(page.locator("#totals")).not_to_contain_text("spent")


def test_an_empty_sheet_takes_every_key(look: Look, tmp_path: Path) -> None:
    """Without a picture the sheet says so, and no key or button breaks it."""
    page = look(fake_sheet.write(tmp_path, fake_sheet.sheet(())))
    expect(page.locator("#empty")).to_have_text("This sheet has no pictures yet.")
    for key in (*ALL_KEYS, *ARROWS):
        page.keyboard.press(key)
        page.evaluate("document.querySelectorAll('dialog[open]').forEach(each => each.close())")
    expect(page.locator("#count")).to_have_text("0 pictures")
    expect(page.locator(".tile")).to_have_count(0)


def test_a_filter_that_leaves_nothing_takes_every_key(look: Look, campaign: Path) -> None:
    """With every picture filtered away no key breaks the sheet, and nothing is decided on."""
    page = look(campaign, "#q=nowhere")
    expect(page.locator("#empty")).to_have_text("No picture matches.")
    before = page.locator("#progress").text_content()
    for key in (*ALL_KEYS, *ARROWS):
        page.keyboard.press(key)
        page.evaluate("document.querySelectorAll('dialog[open]').forEach(each => each.close())")
        page.evaluate("document.activeElement.blur()")
    expect(page.locator("#progress")).to_have_text(before)


def test_one_picture(look: Look, tmp_path: Path) -> None:
    """A sheet of one picture shows it large, asks for no axes, and leafs nowhere."""
    page = look(fake_sheet.write(tmp_path, fake_sheet.sheet((fake_sheet.tile(1, 0, "table", "16:9"),))))
    expect(page.locator("#count")).to_have_text("1 picture")
    expect(page.locator("#axis-bands")).to_be_disabled()
    (only,) = boxes(page)
    assert only.height > 300
    assert only.width / only.height == pytest.approx(1360 / 768, rel=0.01)
    press(page, "Enter", *ARROWS)
    expect(page.locator("#box-position")).to_have_text("1 of 1")
    expect(page.get_by_role("button", name="Next picture")).to_be_disabled()
    expect(page.get_by_role("button", name="Previous picture")).to_be_disabled()
    press(page, "Escape", *ARROWS)
    assert focused(page) == 0


def test_a_sheet_without_thumbnails_still_works(look: Look, tmp_path: Path) -> None:
    """Without small pictures each tile says what it is in its shape, and the original is shown large."""
    sheet = fake_sheet.campaign(1)
    path = fake_sheet.write(tmp_path, sheet)
    path.write_text(render(sheet, {}), encoding="utf-8")
    page = look(path)
    expect(page.locator(".tile .state").first).to_have_text("No preview")
    expect(page.locator(".tile img")).to_have_count(0)
    page.locator(".picture").first.click()
    until(page, "document.querySelector('#side-now img').naturalWidth === 1024")


def test_neither_thumbnails_nor_originals(look: Look, tmp_path: Path) -> None:
    """With no picture at all the large view says that, and claims no small one."""
    path = tmp_path / "report.html"
    path.write_text(render(fake_sheet.campaign(1), {}), encoding="utf-8")
    page = look(path, alone=True)
    page.locator(".picture").first.click()
    expect(page.locator("#stage .aside")).to_have_text(
        "There is no picture to show: the original is not beside this sheet."
    )


def test_a_picture_in_two_places_stands_in_the_file_once(look: Look, tmp_path: Path) -> None:
    """Two labels of one picture share its thumbnail, and both show it."""
    one = fake_sheet.tile(1, 0, "table", "1:1")
    sheet = fake_sheet.sheet((one, replace(one, label="again", prompt="banner")))
    path = fake_sheet.write(tmp_path, sheet, files=False)
    page = look(path)
    first, second = page.locator(".tile img").evaluate_all("all => all.map(e => e.src)")
    assert first == second
    assert path.read_text(encoding="utf-8").count(first) == 1


def test_long_names_are_cut_with_an_ellipsis(look: Look, tmp_path: Path) -> None:
    """Names that are longer than a narrow picture end in dots; none spills over, and the whole is a title."""
    tiles = [fake_sheet.tile(number, 1, "table", "9:16") for number in range(1, 4)]
    long = "An amber bottle of body oil " * 9
    tiles.append(replace(tiles[0], label="long", product="x" * 60, product_name=long, prompt="p" * 70))
    path = fake_sheet.write(tmp_path, fake_sheet.sheet(tuple(tiles)), files=False)
    for width in (360, 1280):
        page = look(path, "#bands=product&down=prompt", viewport={"width": width, "height": 2000})
        spilling = page.locator("#headings .name, #headings .id, .caption .facts").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1)"
            ".filter(e => getComputedStyle(e).textOverflow !== 'ellipsis').length"
        )
        assert spilling == 0
        assert page.evaluate("document.documentElement.scrollWidth") == width
        expect(page.locator("#headings .band").last).to_have_attribute("title", f"Product: {long}, 1 picture")
        expect(page.locator("#headings .band")).to_have_count(2)


@pytest.mark.parametrize("address", ["#q=table", "#show.ratio=1%3A1"])
def test_a_link_to_a_picture_that_its_filter_hides_shows_the_picture(look: Look, campaign: Path, address: str) -> None:
    """A link to a picture that its own filter leaves out: the picture that was asked for is shown."""
    label = fake_sheet.tile(2, 0, "banner", "9:16").label
    page = look(campaign, f"{address}&open={label}", alone=True)
    expect(page.locator("#box-label")).to_have_text(label)
    assert not page.locator("#box-position").text_content().startswith("0 ")
    page.keyboard.press("Escape")
    expect(page.locator(f'[data-index="{index(page, label)}"] .picture')).to_be_focused()
