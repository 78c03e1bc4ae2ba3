"""From a run to a review and back, as its users go that way: by keyboard alone, and with the sheet mailed alone."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import verdicts
from browser.sheet_page import Look, press
from fakes.campaign import REPOSITORY, pipeline, plan
from PIL import Image

from pipeline.report.data import pictured
from pipeline.report.render import render
from pipeline.report.thumbs import INLINE, SMALL, choose

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

MOUSE = ("mousedown", "mousemove", "pointermove", "click", "touchstart", "wheel")
# Enter on a button is a click, too: one without a pointer's place on the screen.
NO_MOUSE = f"""for (const kind of {list(MOUSE)}) addEventListener(kind, (event) => {{
  if (kind !== "click" || event.detail) console.error("not by keyboard: " + kind);
}}, true);"""
SCROLL = """async () => {
  const seen = new Set();
  for (let top = 0; ; top += innerHeight / 2) {
    scrollTo({ top, behavior: "instant" });
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    for (const tile of document.querySelectorAll("#tiles .tile")) {
      const image = tile.querySelector("img");
      if (!image || seen.has(tile.dataset.index)) continue;
      await image.decode();
      if (image.naturalWidth >= 20) seen.add(tile.dataset.index);
    }
    if (top > document.documentElement.scrollHeight) return [...seen].map(Number);
  }
}"""


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of ``manifests/demo.yaml`` with what belongs to it, which was run."""
    manifests = REPOSITORY / "manifests"
    shutil.copytree(manifests / "assets", tmp_path / "assets")
    manifest = Path(shutil.copy(manifests / "demo.yaml", tmp_path))
    pipeline("run", manifest)
    return manifest


def by_keyboard(look: Look, sheet: Path) -> Any:
    """The sheet, where every use of a mouse is a failure."""
    page = look(sheet)
    page.evaluate(NO_MOUSE)
    return page


def tab_to(page: Any, selector: str) -> None:
    """Go to a control by Tab; it must be reached."""
    for _ in range(40):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {selector}")


def decide_by_keyboard(page: Any, folder: Path) -> Path:
    """Reject two, one of them with a note, approve the rest, and export; the file that the browser saved."""
    press(page, "Home", "x", "n")
    page.keyboard.type("the linen is too bright")
    press(page, "Enter", "ArrowRight", "ArrowRight", "x", "y", "e")
    page.keyboard.type("Ana")
    tab_to(page, "#export")
    with page.expect_download() as download:
        press(page, "Enter")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    press(page, "Escape")
    return file


def test_from_the_demo_by_keyboard_alone(look: Look, demo: Path) -> None:
    """Two are rejected, the rest approved, exported and imported: they are made anew, and all others are frozen."""
    sheet = demo.parent / "out/demo/report.html"
    page = by_keyboard(look, sheet)
    file = decide_by_keyboard(page, demo.parent)
    assert sorted(verdicts(page)) == ["approved"] * 10 + ["rejected"] * 2
    assert file.name == "decisions-demo-ana.json"
    rejected = [
        page.locator(f"#tiles .tile:nth-child({at}) img").get_attribute("alt").partition(": ")[0] for at in (1, 3)
    ]

    said = pipeline("review", demo, "--import", file)
    assert "12 decisions adopted (10 approved, 2 rejected)" in said.stdout
    assert "--retake rejected" in said.stderr
    assert "10 pictures approved and frozen\n2 pictures rejected" in pipeline("plan", demo).stdout
    steps = plan(demo, "--retake", "rejected")["steps"]
    assert sorted(step["label"].rpartition(".")[0] for step in steps if step["action"] == "make") == sorted(rejected)
    files = {path: path.read_bytes() for path in sorted((demo.parent / "out/demo").glob("[!.]*/**/*.png"))}
    assert len(files) == 12

    assert "2 pictures made" in pipeline("run", demo, "--retake", "rejected").stderr
    changed = [path for path, before in files.items() if path.read_bytes() != before]
    names = {path.relative_to(sheet.parent).with_suffix("").as_posix().replace("/", "_") for path in changed}
    assert names == {label.replace("/", "_") for label in rejected}
    said = pipeline("run", demo, "--retake", "rejected")
    assert "no picture is rejected as it is now" in said.stderr
    shows_what_came_of_it(by_keyboard(look, sheet))


def shows_what_came_of_it(page: Any) -> None:
    """The new sheet, in a browser that knows nothing: take 2, the note on take 1, and both compared."""
    assert sorted(verdicts(page)) == ["", "", *["approved"] * 10]
    press(page, "Home")
    expect(page.locator("#tiles .tile .picture:focus + .caption .facts")).to_contain_text("take 2")
    press(page, "Enter")
    expect(page.locator("#box-said")).to_have_text("Take 1 rejected by Ana: the linen is too bright")
    expect(page.locator("#box-earlier")).to_contain_text("Take 1")
    press(page, "c")
    expect(page.locator("#side-then figcaption")).to_have_text("take 1")
    page.wait_for_function(
        "() => ['then', 'now'].every(side => document.querySelector(`#side-${side} img`)?.naturalWidth > 500)"
    )
    sources = [page.locator(f"#side-{side} img").get_attribute("src") for side in ("then", "now")]
    assert sources[0] != sources[1]
    for way in ("slider", "blend", "difference", "side"):
        press(page, "v")
        expect(page.locator("#stage")).to_have_attribute("data-way", way)
    press(page, "p", "Escape")
    assert sorted(verdicts(page)) == ["", *["approved"] * 11]


def test_a_thousand_pictures_mailed_alone(look: Look, tmp_path: Path) -> None:
    """More thumbnails than the budget holds, as they come from runs: all are inside, and all are shown."""
    shown = fake_sheet.large(SMALL)
    tiles = tuple(
        replace(each, thumb=f"{at}.webp" if each.thumb else None, history=()) for at, each in enumerate(shown.tiles)
    )
    shown = replace(shown, tiles=tiles, references=())
    assert len(tiles) == 1000
    thumbs = tmp_path / "thumbs"
    thumbs.mkdir()
    distinct = [thumb(at, grain=32 if at == 9 else 9) for at in range(10)]
    for at, name in enumerate(pictured(shown)):
        (thumbs / name).write_bytes(distinct[at % len(distinct)])
    chosen = choose(shown, thumbs, "thumbs")
    assert (chosen.how, chosen.bytes * 4 / 3 > INLINE) == ("smaller", True)
    alone = tmp_path / "mailed" / "report.html"
    alone.parent.mkdir()
    alone.write_text(render(shown, chosen.sources), encoding="utf-8")
    assert alone.stat().st_size < INLINE * 1.1
    seen = look(alone, "#bands=&down=&height=80").evaluate(SCROLL)
    assert sorted(seen) == [at for at, each in enumerate(tiles) if each.thumb]
    assert len(seen) > 900
    assert [path.name for path in alone.parent.iterdir()] == ["report.html"]


def thumb(seed: int, grain: int) -> bytes:
    """A thumbnail of some 20 kB, or of 40 where the grain is coarse."""
    noise = Image.effect_noise((320, 320), grain).convert("RGB")
    into = io.BytesIO()
    Image.blend(noise, Image.new("RGB", noise.size, f"hsl({36 * seed}, 70%, 50%)"), 0.1).save(into, "WEBP", quality=78)
    return into.getvalue()
