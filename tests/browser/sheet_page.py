"""Steps that the tests of the contact sheet share: opening one, and reading off what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.work import HANGS

Look = Callable[..., Any]
NOT_BESIDE = "Failed to load resource: net::ERR_FILE_NOT_FOUND"  # what Chromium logs of a file that is not there

_BOXES = """all => all.map(tile => {
  const box = tile.querySelector(".picture").getBoundingClientRect();
  const foot = tile.getBoundingClientRect().bottom;
  return [Number(tile.dataset.index), box.x + scrollX, box.y + scrollY, box.width, box.height, foot + scrollY];
}).sort((a, b) => a[0] - b[0])"""


@dataclass(frozen=True)
class Box:
    """Where a picture stands in the page, in CSS pixels; ``foot``: where its caption ends."""

    tile: int
    x: float
    y: float
    width: float
    height: float
    foot: float

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.x + self.width

    def over(self, other: Box) -> bool:
        """Whether the two with their captions cover each other by more than a hair."""
        return (
            min(self.right, other.right) - max(self.x, other.x) > 0.6
            and min(self.foot, other.foot) - max(self.y, other.y) > 0.6
        )

    def beside(self, other: Box) -> float:
        """How far the two are apart from left to right; nothing when one stands above the other."""
        return max(0.0, other.x - self.right, self.x - other.right)


@contextmanager
def looking(watch: Callable[..., Any]) -> Iterator[Look]:
    """Give a function that opens a sheet and waits for it; in the end none may have complained or asked the network.

    Its options are those of a browser context; ``alone``: the originals are not beside it, which Chromium logs.
    """
    seen: list[tuple[Any, Path, bool]] = []

    def look(path: Path, fragment: str = "", *, alone: bool = False, **options: Any) -> Any:
        watched = watch(**options)
        seen.append((watched, path, alone))
        watched.open(path, fragment)
        watched.page.locator("html[data-ready=true]").wait_for(state="attached")
        return watched.page

    yield look
    for watched, path, alone in seen:
        quiet(watched, path, alone)


def quiet(watched: Any, path: Path, alone: bool = False) -> None:
    """A page logged no error, and asked for nothing but itself, what lies beside it and what is inside it."""
    assert [error for error in watched.errors if not (alone and error == NOT_BESIDE)] == []
    assert [url for url in watched.requests if not url.startswith((path.parent.as_uri() + "/", "data:"))] == []


def boxes(page: Any) -> list[Box]:
    """The pictures that are in the page, in the order of their numbers."""
    return [Box(*each) for each in page.locator(".tile").evaluate_all(_BOXES)]


def data(page: Any) -> Any:
    """What the sheet brought with it for its script."""
    return json.loads(page.locator("#data").text_content())


def index(page: Any, label: str) -> int:
    """The number of a tile."""
    return int(data(page)["tiles"]["label"].index(label))


def focused(page: Any) -> int:
    """The number of the tile that has the focus, or -1."""
    return int(page.evaluate("Number(document.activeElement.closest('.tile')?.dataset.index ?? -1)"))


def shown(page: Any) -> int:
    """How many pictures pass the filter, as the sheet says."""
    return int(page.locator("#count").text_content().split()[0].replace(",", ""))


def fragment(page: Any) -> str:
    """The view, as the page's address has it."""
    return str(page.evaluate("location.hash"))


def values(page: Any, facet: str) -> Any:
    """Open the list of a dimension's values."""
    page.locator("#facets").get_by_role("button", name=facet).click()
    page.locator("#values:popover-open").wait_for()
    return page.locator("#values")


def press(page: Any, *keys: str) -> None:
    """Press keys, one after another."""
    for key in keys:
        page.keyboard.press(key)


def until(page: Any, condition: str, seconds: float = HANGS) -> None:
    """Return when a JavaScript condition holds; fail when it doesn't in time.

    Playwright's own ``wait_for_function`` evaluates a string again and again, which the sheet's policy forbids.
    """
    late = json.dumps(f"not in {seconds:g} s: {condition}")
    page.evaluate(
        f"new Promise((done, fail) => {{ const end = performance.now() + {seconds * 1000}; const look = () => "
        f"({condition}) ? done(true) : performance.now() > end ? fail(new Error({late})) : setTimeout(look, 20); "
        "look(); })"
    )
