"""Texts from right to left, and mixed with others: each is laid out by itself, and lines around it stay in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.sheet_page import Look, looking, press

from pipeline.report.view import DecisionView, PastView, SheetView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")

MUG = "ספל אמייל כחול 2"
TABLE = "שולחן עץ!"
PICNIC = "شرفة 3"
PROMPT = "@Image1, a mug, on a wooden table.\n"
PROMPT += "הניחו את @Image1 על שולחן עץ, ליד חלון. אור רך!\nضع @Image1 على الطاولة، 50% ضوء."
LED = "@Image1 הניחו על שולחן עץ!"
NOTE = "הידית חתוכה, 3 ס״מ!"
DANI = "דני (Studio 4)"
CHANGES = (f"סצנה: {TABLE} → {PICNIC}",)
LABEL = "ספל/שולחן/1x1/1K/v1"

_AT = """([element, text]) => {
  const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const at = node.data.indexOf(text);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + text.length);
    const box = range.getBoundingClientRect();
    return [box.left, box.right, box.top];
  }
  throw new Error("not there: " + text + " in " + element.textContent);
}"""


def where(locator: Any, text: str) -> tuple[float, float, float]:
    """The left and right end of a text in an element, and its top."""
    left, right, top = locator.evaluate(f"(element, text) => ({_AT})([element, text])", text)
    return left, right, top


def ordered(locator: Any, *texts: str) -> None:
    """These stand on one line, one after the other from left to right."""
    found = [where(locator, text) for text in texts]
    for (_, end, top), (start, _, other), text in zip(found, found[1:], texts[1:], strict=False):
        assert end <= start + 0.6, f"{text} stands before what it follows"
        assert abs(top - other) < 8, f"{text} stands on another line"


@pytest.fixture
def look(watch: Callable[..., Any]) -> Iterator[Look]:
    """Open sheets; in the end none may have complained."""
    with looking(watch) as opens:
        yield opens


def view() -> SheetView:
    """Four pictures of a mug with a Hebrew name, in Hebrew and Arabic scenes; and one from left to right."""
    tiles = []
    for number, scene in enumerate((TABLE, PICNIC, TABLE, PICNIC)):
        base = fake_sheet.tile(2, number, "table", "1:1", "done" if number != 3 else "failed")
        tiles.append(
            replace(
                base,
                label=LABEL.replace("v1", f"v{number + 1}"),
                product_name=MUG,
                tags=("גיבור!", "קיץ"),
                vary=(("סצנה", scene),),
                aspect_ratio="16:9" if number > 1 else "1:1",
                variant=number + 1,
                text=PROMPT if number != 1 else LED,
                reason="תוכן נחסם (policy 7)!" if number == 3 else "",
                history=(PastView(1, "old", fake_sheet.digest("old"), None, None, 1, CHANGES, f"{LED} ישן", None),),
            )
        )
    said = (
        DecisionView(tiles[0].sha, "rejected", 3, NOTE, DANI, "2026-11-21T08:00:00Z"),
        DecisionView(tiles[0].sha, "approved", 0, "", "Ana", "2026-11-21T09:00:00Z"),
    )
    return replace(fake_sheet.sheet(tuple(tiles)), campaign=f"קמפיין 7: {MUG}", decisions={tiles[0].key: said})


def opened(look: Look, folder: Path, tile: int = 0, **options: Any) -> Any:
    """The sheet with one of its pictures in the large view."""
    path = fake_sheet.write(folder, view())
    page = look(path, **options)
    page.locator(f".tile[data-index='{tile}'] .picture").click()
    page.locator("#lightbox[open]").wait_for()
    return page


def test_each_line_of_a_prompt_has_its_own_direction(look: Look, tmp_path: Path) -> None:
    """Hebrew and Arabic begin at the right, with the end of the sentence at the left; English as ever."""
    page = opened(look, tmp_path)
    text = page.locator("#box-text")
    box = text.bounding_box()
    middle = box["x"] + box["width"] / 2
    assert where(text, "a mug")[0] < middle
    assert where(text, "הניחו")[1] > box["x"] + box["width"] - 4
    assert where(text, "ضع")[1] > box["x"] + box["width"] - 4
    assert where(text, "רך")[0] > where(text, "!")[0], "the exclamation mark ends the sentence"


def test_a_slot_does_not_decide_the_direction(look: Look, tmp_path: Path) -> None:
    """Its name is ours: the first word of the person's own text does."""
    page = opened(look, tmp_path, 1)
    text = page.locator("#box-text")
    assert where(text, "Image1")[0] > where(text, "הניחו")[1] - 1 > where(text, "עץ")[1]
    assert where(text, "!")[1] <= where(text, "עץ")[0] + 1


def test_values_of_two_directions_keep_their_places(look: Look, tmp_path: Path) -> None:
    """Label, facts, tags, changes and decisions: what comes first stands at the left, whatever its script."""
    page = opened(look, tmp_path)
    ordered(page.locator("#box-label"), "ספל", "שולחן", "1x1", "1K", "v1")
    ordered(page.locator("#box-facts dd", has_text="גיבור"), "גיבור", "קיץ")
    ordered(page.locator("#box-earlier li").first, "שולחן", "→", "شرفة")
    ordered(page.locator("#box-said li", has_text="Studio"), "דני", "rejected", "★★★", "הידית")
    ordered(page.locator("#box-facts dd", has_text="שולחן"), "!", "שולחן")
    said = page.locator("#box-said li", has_text="Studio")
    assert where(said, "!")[0] < where(said, "הידית")[0], "the note reads from right to left"


def test_names_on_the_sheet_keep_their_places(look: Look, tmp_path: Path) -> None:
    """Headings, captions and the head: a number behind a Hebrew name stays its own."""
    page = look(fake_sheet.write(tmp_path, view()), "#bands=product&down=&across=")
    heading = page.locator(".band").first
    ordered(heading, "2", "ספל")
    assert where(heading.locator("small"), "1")[0] > where(heading.locator(".name"), "ספל")[1]
    ordered(page.locator("h1"), "2", "ספל", "7", "קמפיין")
    caption = page.locator(".tile[data-index='1'] .facts")
    ordered(caption, "3", "شرفة", "1:1", "v2")


def test_a_refusal_in_hebrew_is_read_from_its_beginning(look: Look, tmp_path: Path) -> None:
    """The state is ours and comes first; the vendor's words follow as they are."""
    page = opened(look, tmp_path, 3)
    trouble = page.locator("#box-trouble")
    ordered(trouble, "Failed", "!", "policy", "7", "נחסם", "תוכן")


def test_what_is_typed_begins_where_its_script_does(look: Look, tmp_path: Path) -> None:
    """The search, the note and the reviewer's name."""
    page = opened(look, tmp_path)
    press(page, "n")
    page.locator("#note-text").fill(NOTE)
    assert page.locator("#note-text").evaluate("each => getComputedStyle(each).direction") == "rtl"
    page.locator("#note-text").fill("a handle")
    assert page.locator("#note-text").evaluate("each => getComputedStyle(each).direction") == "ltr"
    for name in ("query", "reviewer"):
        assert page.locator(f"#{name}").get_attribute("dir") == "auto"


def test_words_that_changed_are_in_their_order(look: Look, tmp_path: Path) -> None:
    """A Hebrew prompt's difference is a Hebrew paragraph."""
    tiles = view().tiles
    old = replace(tiles[1].history[0], text=LED.replace("עץ", "זכוכית"), path=None, thumb=tiles[0].thumb, key="other")
    shown = replace(view(), tiles=(replace(tiles[1], history=(old,)),))
    page = look(fake_sheet.write(tmp_path, shown))
    page.locator(".picture").first.click()
    press(page, "c")
    words = page.locator("#box-changes .words")
    words.wait_for()
    ordered(words, "עץ", "זכוכית", "שולחן", "הניחו")


def test_from_left_to_right_nothing_has_moved(look: Look, tmp_path: Path) -> None:
    """The same sheet in English stands as it always did."""
    tiles = tuple(replace(tile, text="@Image1, a mug!") for tile in view().tiles)
    english = replace(view(), campaign="Autumn", tiles=tiles)
    page = look(fake_sheet.write(tmp_path, english))
    page.locator(".tile[data-index='0'] .picture").click()
    text = page.locator("#box-text")
    ordered(text, "Image1", "a mug", "!")
    assert where(text, "a mug")[0] < text.bounding_box()["x"] + 120
