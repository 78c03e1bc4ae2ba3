"""Hostile strings on the contact sheet, in a real browser: nothing runs, with the policy and without it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browser import fake_sheet
from browser.hostile_texts import AWAY, PAYLOADS, PWN
from browser.sheet_page import press, until
from fakes.work import HANGS

from pipeline.report.view import CellView, DecisionView, PastView, ReferenceView, SheetView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

Watch = Callable[..., Any]
ROOT = Path(__file__).parents[2]
WITH_AND_WITHOUT = pytest.mark.parametrize("policy", [True, False], ids=["with policy", "policy stripped"])
WHEN = "2026-11-21T08:00:00Z"
NO_FILE = "Failed to load resource: net::ERR_"  # an original that is not beside the sheet, or can't be


@dataclass
class Seen:
    """What a page did that a sheet never does."""

    dialogs: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


def hostile(payloads: dict[str, str]) -> SheetView:
    """A sheet with one tile per payload, which stands in every text field; every second has failed for that reason."""
    tiles, references, decisions = [], [], {}
    for number, text in enumerate(payloads.values()):
        base = fake_sheet.tile(2, number, "table", "1:1", "failed" if number % 2 else "done")
        key, sha = (text, text) if number % 4 == 0 else (base.key, fake_sheet.digest(text))
        tile = replace(
            base,
            label=f"{number} {text}",
            product=text,
            product_name=text,
            product_set=text,
            tags=(text,),
            prompt=text,
            vary=((text, text),),
            resolution=text,
            aspect_ratio=text,
            reason=text,
            thumb=text if number % 4 > 1 else base.thumb,
            text=f"@Image1 {text} @Image{number + 1}",
            references=(number,),
            key=key,
            sha=sha,
            model=text,
            provider=text,
            cells=tuple(CellView(f"{number}{part}{text}", text, 1, "done") for part in "ab"),
            history=(PastView(1, key, text, text, text, 1, (text,), f"before {text}", text),),
            stale=text,
        )
        tiles.append(tile)
        decisions[key] = (DecisionView(sha, text if number % 3 else "rejected", 3, text, text, WHEN),)
        references.append(ReferenceView(text, text, text, text, text))
    every = "".join(text for name, text in payloads.items() if name != "long")
    view = replace(fake_sheet.sheet(tuple(tiles)), references=tuple(references), decisions=decisions, retake=every)
    return replace(view, campaign=every, manifest=every, made_at=every, commit=every, version=every)


def written(folder: Path, text: str, policy: bool) -> Path:
    """The sheet as a file, with its Content Security Policy or without."""
    stripped = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert stripped != text
    path = folder / "report.html"
    path.write_text(text if policy else stripped, encoding="utf-8")
    return path


def opened(watch: Watch, path: Path, fragment: str = "") -> tuple[Any, Any, Seen]:
    """The sheet in a browser that tells of dialogs and of pages that open."""
    watched, seen = watch(viewport={"width": 1280, "height": 3000}), Seen()
    page = watched.page

    def dialog(one: Any) -> None:
        seen.dialogs.append(one.message)
        one.dismiss()

    page.on("dialog", dialog)
    page.on("popup", lambda one: seen.pages.append(one.url))
    page.on("framenavigated", lambda frame: seen.pages.append(frame.url))
    page.add_init_script(
        "window.broken = [];"
        "addEventListener('securitypolicyviolation', e => window.broken.push(e.violatedDirective + ' ' + e.blockedURI))"
    )
    watched.open(path, fragment)
    page.locator("html[data-ready=true]").wait_for(state="attached")
    return watched, page, seen


def nothing_ran(watched: Any, page: Any, seen: Seen, path: Path) -> None:
    """No code of theirs ran, nothing was asked for, and what they wrote is text."""
    assert page.evaluate("[window.pwned, ({}).pwned, document.title.length > 0]") == [None, None, True]
    assert page.evaluate("window.broken") == [], "the policy had to stop something"
    assert [error for error in watched.errors if not error.startswith(NO_FILE)] == []
    assert seen.dialogs == []
    assert {url.split("#")[0] for url in seen.pages} == {path.as_uri()}
    inline = ("data:image/webp;base64,", "data:image/jpeg;base64,")
    beside = path.parent.as_uri() + "/"
    assert [url for url in watched.requests if not url.startswith((*inline, beside)) and url != "data:,"] == []
    foreign = (
        "script:not(#data):not(body > script:last-of-type), iframe, object, embed, base, link:not([rel=icon]), "
        "form:not(#tools, #note-form), style:not(head > style), [style*=url]"
    )
    assert page.evaluate(f"document.querySelectorAll({json.dumps(foreign)}).length") == 0
    attributes = (
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    )
    assert page.evaluate(attributes) == []
    links = page.locator("a").evaluate_all("all => all.map(e => new URL(e.href).href)")
    assert [link for link in links if not link.startswith(beside)] == []


def through_everything(page: Any) -> list[str]:
    """Go through all that shows a string of theirs; return the prompts that were shown."""
    page.evaluate(
        "for (const e of document.querySelectorAll('a, button, .tile'))"
        " e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))"
    )
    press(page, "Home", "Enter")
    total = int(page.locator("#box-position").text_content().rpartition(" ")[2])
    shown = []
    for number in range(total):
        assert page.locator("#box-position").text_content() == f"{number + 1} of {total}"
        shown.append(page.locator("#box-text").text_content())
        press(page, "c", "v", "ArrowRight")
    press(page, "Escape", "e", "Escape")
    page.evaluate("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    for facet in range(page.locator("#facets button").count()):
        page.locator("#facets button").nth(facet).click()
        press(page, "Space", "Escape")
    page.get_by_role("button", name="Show all").click()
    for axis in ("bands", "down", "across"):
        for option in range(min(6, page.locator(f"#axis-{axis} option").count())):
            page.locator(f"#axis-{axis}").select_option(index=option)
    return shown


@WITH_AND_WITHOUT
def test_no_payload_runs_anywhere(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """Each payload in every field: on the sheet, large, compared, printed, as filter and axis; nothing happens."""
    path = written(tmp_path, fake_sheet.page(hostile(PAYLOADS)), policy)
    watched, page, seen = opened(watch, path)
    assert page.locator("#count").text_content() == f"{len(PAYLOADS)} pictures"
    shown = through_everything(page)
    for text in ("end of script", "image", "template literal"):
        assert any(PAYLOADS[text] in each for each in shown), "it is there, as text"
    for text in PAYLOADS.values():
        page.locator("#query").fill(text[:200])
    nothing_ran(watched, page, seen, path)


@WITH_AND_WITHOUT
def test_no_payload_runs_from_the_address(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """A link to the sheet with a payload in its fragment, wherever there, finds nothing or the usual view."""
    path = written(tmp_path, fake_sheet.page(fake_sheet.campaign(1)), policy)
    for text in ("end of script", "image", "drawing", "address", "prototype", "regular expression", "line separators"):
        word = quote(PAYLOADS[text])
        everywhere = "&".join(
            f"{key}={word}" for key in ("bands", "down", "across", "height", "open", word, "__proto__")
        )
        watched, page, seen = opened(watch, path, f"#q={word}&hide.state={word}&show.{word}={word}&{everywhere}")
        assert page.locator("#query").input_value().strip() == PAYLOADS[text].strip()
        page.locator("#clear").click()
        assert page.locator("#count").text_content() == "6 pictures"
        nothing_ran(watched, page, seen, path)


def decisions(texts: list[str]) -> str:
    """A whole decisions.json of two hostile reviewers who differ on every picture, each about one tile."""
    tiles = fake_sheet.campaign(11, troubled=False).tiles
    assert len(tiles) >= len(texts)
    each = [
        {"picture": tile.key, "file": tile.sha, "label": text[:300], "take": 1, "decision": decision, "stars": 5}
        | {"note": text[:4000], "who": (who + text)[:200], "when": WHEN, text: text}
        for tile, text in zip(tiles, texts, strict=False)
        for who, decision in (("a", "approved"), ("b", "rejected"))
    ]
    return json.dumps({"version": 1, "campaign": "Autumn tableware", "reviewer": texts[0], "decisions": each})


@WITH_AND_WITHOUT
def test_no_payload_of_an_imported_file_runs(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """Someone else's decisions with payloads as names, notes and labels are text at the pictures and in the lists."""
    usable = [text for name, text in PAYLOADS.items() if name != "half a character"]
    path = written(tmp_path, fake_sheet.page(fake_sheet.campaign(11, troubled=False)), policy)
    watched, page, seen = opened(watch, path)
    page.keyboard.press("e")
    page.locator("#import-paste").fill(decisions(usable))
    expect(page.locator("#review-said")).to_contain_text(f"Reviewers differ on {len(usable)} pictures")
    assert PAYLOADS["image"] in page.locator("#differ-list").text_content()
    page.locator("#reviewer").fill(PAYLOADS["image, quoted out"])
    with page.expect_download() as download:
        page.locator("#export").click()
    assert re.fullmatch(r"decisions-[\w .-]+\.json", download.value.suggested_filename)
    page.keyboard.press("Escape")
    assert PAYLOADS["end of script"] in page.locator(".verdict").first.get_attribute("title")
    through_everything(page)
    page.reload()
    page.locator("html[data-ready=true]").wait_for(state="attached")
    assert PAYLOADS["end of script"] in page.locator(".verdict").first.get_attribute("title")
    nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{", "[1, null, {}]", '{"__proto__": {"pwned": 1}}', json.dumps(PAYLOADS["image"])]
)
def test_what_else_the_browser_keeps_is_no_decision(watch: Watch, tmp_path: Path, text: str) -> None:
    """Whatever stands in the browser's storage under the sheet's name, the sheet opens and decides."""
    path = written(tmp_path, fake_sheet.page(fake_sheet.campaign(1)), policy=True)
    watched, page, seen = opened(watch, path)
    page.evaluate("text => localStorage.setItem('campaign-pipeline decisions Autumn tableware', text)", text)
    page.reload()
    page.locator("html[data-ready=true]").wait_for(state="attached")
    expect(page.locator("#progress")).to_have_text("Decisions")
    press(page, "Home", "p")
    expect(page.locator("#progress")).to_have_text("1 of 6 decided")
    nothing_ran(watched, page, seen, path)


@WITH_AND_WITHOUT
def test_no_payload_of_a_manifest_runs(watch: Watch, tmp_path: Path, policy: bool) -> None:
    """The same through the whole pipeline: hostile names, prompts, roles and vary values in a manifest that is run."""
    usable = {name: text for name, text in PAYLOADS.items() if name not in ("half a character", "long")}
    folder = tmp_path / "<img src=x onerror=window.pwned=1>"
    folder.mkdir()
    fake_sheet.picture(320, 320, 1).save(folder / "mug.png")
    text = "".join(usable.values()).replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
    manifest = {
        "version": 1,
        "campaign": "c",
        "references": {"linen": {"image": "mug.png", "role": f"</script><script>{PWN}</script>"}},
        "products": {
            "mugs": [
                {"id": f"p{number}", "name": name, "images": {"front": "mug.png"}, "vars": {"x": name}}
                for number, name in enumerate(usable.values())
            ]
        },
        "prompts": {
            "t": {
                "vary": {"scene": [f"<img src=x onerror={PWN}>"]},
                "images": ["product.front", "references.linen"],
                "text": f"@Image1 @Image2 {text} {{{{ product.name }}}} {{{{ scene }}}}",
            }
        },
    }
    (folder / "m.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "-q", "m.yaml", "--limit", "4"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    report = folder / "out/c/report.html"
    path = written(report.parent, report.read_text(encoding="utf-8"), policy)
    watched, page, seen = opened(watch, path)
    assert page.locator("#count").text_content() == f"{len(usable)} pictures"
    shown = through_everything(page)
    assert all(f"</script><script>{PWN}</script>" in each for each in shown)
    nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize(
    "injected",
    [
        f"<script>{PWN}</script>",
        f"<img src=x onerror={PWN}>",
        "<script>alert(1)</script>",
        f"<img src={AWAY}.png>",
        "<iframe srcdoc=x></iframe>",
        "<a href='javascript:1'>x</a>",
    ],
)
def test_what_runs_is_seen(watch: Watch, tmp_path: Path, injected: str) -> None:
    """These tests can fail: a sheet with one raw payload in its body is told from a good one."""
    text = fake_sheet.page(fake_sheet.campaign(1)).replace("</main>", f"{injected}</main>")
    path = written(tmp_path, text, policy=False)
    watched, page, seen = opened(watch, path)
    with pytest.raises(AssertionError):
        nothing_ran(watched, page, seen, path)


@pytest.mark.parametrize("injected", [f"<script>{PWN}</script>", f"<img src=x onerror={PWN}>", f"<img src={AWAY}.png>"])
def test_the_policy_stops_what_is_foreign(watch: Watch, tmp_path: Path, injected: str) -> None:
    """The policy is in force on ``file://``: foreign script doesn't run, and a web address is not asked."""
    text = fake_sheet.page(fake_sheet.campaign(1)).replace("</main>", f"{injected}</main>")
    _, page, _ = opened(watch, written(tmp_path, text, policy=True))
    until(page, "window.broken.length")
    assert page.evaluate("window.pwned") is None
    (stopped,) = page.evaluate("window.broken")
    assert stopped.startswith(("script-src", f"img-src {AWAY}"))


# ── without a script ────────────────────────────────────────────────────────────────────────────


def test_without_scripts_there_is_a_gallery(watch: Watch, tmp_path: Path) -> None:
    """Every picture with its caption, and words that say what is missing; no dead tool, and no hostile text is more."""
    shown = fake_sheet.campaign(2)
    path = fake_sheet.write(tmp_path, shown, files=False)
    watched = watch(java_script_enabled=False)
    page = watched.open(path)
    made = {tile.thumb: tile for tile in shown.tiles if tile.thumb}
    images = page.locator(".gallery img")
    assert images.count() >= len(made)
    for number, tile in enumerate(made.values()):
        images.nth(number).scroll_into_view_if_needed()
        expect(images.nth(number)).to_be_visible()
        assert images.nth(number).bounding_box()["height"] > 100
        expect(page.locator(".gallery figcaption").nth(number)).to_contain_text(tile.label)
        assert tile.text[:40] in images.nth(number).get_attribute("alt")
    expect(page.locator(".notice.alone")).to_be_visible()
    for dead in ("#bar", "#lightbox", "#review", "#toast"):
        expect(page.locator(dead)).to_be_hidden()
    assert watched.errors == []


def test_hostile_texts_in_the_gallery_are_text(watch: Watch, tmp_path: Path) -> None:
    """Also where no script runs: no payload has become an element, and nothing was asked for."""
    path = written(tmp_path, fake_sheet.page(hostile(PAYLOADS)), policy=False)
    watched = watch(java_script_enabled=False)
    page = watched.open(path)
    expect(page.locator(".gallery figure").first).to_be_visible()
    ours = "noscript, figure, img, figcaption, div, h1, bdi, p, span, time, code, dl, dt, dd, svg, rect"
    expect(page.locator(f":is(.gallery, header) :not({ours})")).to_have_count(0)
    sources = {each.get_attribute("src").partition(",")[0] for each in page.locator("img").all()}
    assert sources == {"data:image/webp;base64", "__proto__", "constructor"}  # these two may be files beside it
    beside = path.parent.as_uri() + "/"
    assert [url for url in watched.requests if not url.startswith(("data:image/webp", beside))] == []


def test_with_scripts_nothing_of_the_gallery_is_seen(watch: Watch, tmp_path: Path) -> None:
    """With scripting on its blocks are text that takes no room and loads no picture."""
    page = watch().open(fake_sheet.write(tmp_path, fake_sheet.campaign(2), files=False))
    page.locator("html[data-ready=true]").wait_for(state="attached")
    expect(page.locator(".gallery img, .gallery figure")).to_have_count(0)
    assert page.locator(".gallery").bounding_box()["height"] == 0
    expect(page.locator(".notice.alone")).to_be_hidden()
