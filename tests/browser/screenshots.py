"""Pictures of the contact sheet to look at: its main views in three sizes, dark and light, and as printed.

``make screenshots`` or ``PYTHONPATH=.:tests python tests/browser/screenshots.py [VIEW…] [--sheet FILE] [--to FOLDER]``
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from browser import fake_sheet
from browser.conftest import ARGUMENTS, CHROMIUM
from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"phone": (390, 844, 2), "laptop": (1440, 900, 1), "5k": (2560, 1440, 2)}  # CSS pixels, and pixels in each
THEMES = ("light", "dark")
SETTLED = """async () => {
  await document.fonts.ready;
  const seen = ({ top, bottom, width }) => width > 0 && bottom > 0 && top < innerHeight;
  const images = [...document.images].filter((image) => image.src && seen(image.getBoundingClientRect()));
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


@dataclass(frozen=True)
class View:
    """A view of the sheet: the address it has, the keys that lead to it, and what is there then."""

    name: str
    address: str = ""
    keys: tuple[str, ...] = ()
    shows: str = "[data-index]"
    sheet: str = "campaign"


def views(with_history: str) -> tuple[View, ...]:
    """All views; ``with_history`` is the label of a picture that has an earlier take."""
    box = f"#open={with_history}"
    return (
        View("default"),
        View("pivoted", "#bands=prompt&down=product&across=ratio"),
        View("filtered", "#q=table&show.decision=rejected"),
        View("lightbox", box, shows="#lightbox[open]"),
        View("compare", box, ("c",), "#stage.comparing"),
        View("difference", box, ("c", "v", "v", "v"), "#stage.comparing"),
        View("review", keys=("e",), shows="#review[open]"),
        View("help", keys=("?",), shows="#help[open]"),
        View("few", sheet="few"),
        View("many", sheet="many"),
        View("many-pivoted", "#bands=prompt&down=product&across=ratio", sheet="many"),
    )


def sheets(folder: Path) -> tuple[dict[str, Path], str]:
    """Write the sheets that the views are of; return them, and the label of a picture with an earlier take."""
    campaign = fake_sheet.decided(fake_sheet.campaign(6))
    few = fake_sheet.campaign(1, troubled=False)
    paths = {
        "campaign": fake_sheet.write(folder / "campaign", campaign),
        "few": fake_sheet.write(folder / "few", replace(few, tiles=few.tiles[:4], pictures=4)),
        "many": fake_sheet.write(folder / "many", fake_sheet.large(4000), files=False),
    }
    return paths, next(tile.label for tile in campaign.tiles if tile.history and tile.state == "done")


@contextmanager
def opened(browser: Browser, sheet: Path, view: View, size: str, theme: str) -> Iterator[tuple[Page, list[str]]]:
    """A page at this view, with what went wrong in it."""
    width, height, pixels = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=pixels,
        color_scheme=theme,  # type: ignore[arg-type]  # one of THEMES
        reduced_motion="reduce",
        has_touch=size == "phone",
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(sheet.as_uri() + view.address)
    page.locator("html[data-ready=true]").wait_for(state="attached")
    for key in view.keys:
        page.keyboard.press(key)
    page.locator(view.shows).first.wait_for()
    page.evaluate(SETTLED)
    yield page, wrong
    context.close()


def printed(page: Page, into: Path) -> None:
    """The page as paper: a PDF, and its first pages as pictures where ``pdftoppm`` is there."""
    pdf = into / "print.pdf"
    page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
    if shutil.which("pdftoppm"):
        subprocess.run(["pdftoppm", "-r", "80", "-png", "-l", "3", pdf, into / "print"], check=True)


def main() -> int:
    """Take them; 1 when a page logged an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="*", metavar="VIEW", help="only these; print is one too")
    parser.add_argument("--sheet", type=Path, help="a sheet of your own, in the views that need no certain picture")
    parser.add_argument("--to", type=Path, default=Path("build/screenshots"))
    wanted = parser.parse_args()
    wanted.to.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        paths, label = sheets(Path(name))
        shown = [view for view in views(label) if not wanted.views or view.name in wanted.views]
        if wanted.sheet:
            paths["campaign"] = wanted.sheet.absolute()
            shown = [view for view in shown if view.sheet == "campaign" and "open=" not in view.address]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for view in shown:
            for size in SIZES:
                for theme in THEMES:
                    with opened(browser, paths[view.sheet], view, size, theme) as (page, wrong):
                        page.screenshot(path=wanted.to / f"{view.name}-{size}-{theme}.png")
                    for each in wrong:
                        print(f"{view.name}, {size}, {theme}: {each}", file=sys.stderr)  # noqa: T201
                    failed += len(wrong)
        if not wanted.views or "print" in wanted.views:
            with opened(browser, paths["campaign"], View("print"), "laptop", "light") as (page, wrong):
                printed(page, wanted.to)
            failed += len(wrong)
        browser.close()
    print(f"{len(list(wanted.to.iterdir()))} files in {wanted.to}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
