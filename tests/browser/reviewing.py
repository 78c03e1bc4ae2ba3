"""Steps that the tests of reviewing share: deciding, and handing decisions on and in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from browser.sheet_page import press

_VERDICTS = "all => all.map(each => each.dataset.decision)"
_DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name, { type: "application/json" }));
  const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("sheet").dispatchEvent(event);
  return event.defaultPrevented;
}"""
_DENIED = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("denied", "SecurityError"); },
})"""
_FULL = """Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); }"""
NO_STORAGE = {"denied": _DENIED, "full": _FULL}
"""What makes a browser keep nothing: scripts to run before the page's own."""


def verdicts(page: Any) -> list[str]:
    """How the pictures on the sheet are decided on, in its order; ``differs`` where reviewers do."""
    found: list[str] = page.locator("#tiles .tile").evaluate_all(_VERDICTS)
    return found


def verdict(page: Any, at: int) -> Any:
    """What stands in the caption of a picture, by its place on the sheet."""
    return page.locator("#tiles .tile").nth(at).locator(".verdict")


def go(page: Any, at: int) -> None:
    """Bring the cursor to a picture by its place on the sheet, by keyboard."""
    press(page, "Home", *["ArrowRight"] * at)


def noted(page: Any, text: str) -> None:
    """Write a note on the current picture."""
    press(page, "n")
    page.locator("#note[open]").wait_for()
    page.locator("#note-text").fill(text)
    press(page, "Enter")
    page.locator("#note[open]").wait_for(state="detached")


def exported(page: Any, name: str = "") -> Any:
    """Export what was decided, under a name if one is given, and leave the review; what the file says."""
    open_review(page)
    if name:
        page.locator("#reviewer").fill(name)
    with page.expect_download() as download:
        page.locator("#export").click()
    document = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    press(page, "Escape")
    return document


def open_review(page: Any) -> None:
    """Open the review, if it isn't."""
    if not page.locator("#review[open]").count():
        press(page, "e")
        page.locator("#review[open]").wait_for()


def hand_in(page: Any, text: str, way: str = "file", name: str = "decisions.json") -> str:
    """Import a text as a file, pasted or dropped, and return what the sheet says to it."""
    if way == "drop":
        assert page.evaluate(_DROP, [name, text]), "the browser would open the file in place of the sheet"
    else:
        open_review(page)
    if way == "paste":
        page.evaluate("text => navigator.clipboard.writeText(text)", text)
        page.locator("#import-paste").focus()
        press(page, "ControlOrMeta+v")
    elif way == "file":
        page.locator("#import").set_input_files({"name": name, "mimeType": "application/json", "buffer": text.encode()})
    page.locator("#review-said:not(:empty)").wait_for()
    return str(page.locator("#review-said").text_content())


def stored(page: Any) -> int:
    """How many decisions the browser has kept for all campaigns."""
    return int(
        page.evaluate(
            "Object.keys(localStorage).filter(key => key.startsWith('campaign-pipeline decisions '))"
            ".reduce((sum, key) => sum + JSON.parse(localStorage[key]).length, 0)"
        )
    )


def tally(page: Any) -> Mapping[str, int]:
    """What the review counts: approved, rejected, undecided, pictures."""
    open_review(page)
    said = page.locator("#review-tally > div").all_inner_texts()
    press(page, "Escape")
    return {each.split("\n")[0].lower(): int(each.split("\n")[1]) for each in said}


def covered(page: Any, selector: str) -> bool:
    """Whether the middle of an element is hidden under something else."""
    return bool(
        page.locator(selector).evaluate(
            "one => { const box = one.getBoundingClientRect();"
            "const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);"
            "return !one.contains(top); }"
        )
    )
