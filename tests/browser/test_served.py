"""``pipeline review`` in a real process and a real browser: decisions go into the file, pictures appear live."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser.reviewing import go, hand_in, noted, open_review, verdict, verdicts
from browser.sheet_page import data, focused, press
from fakes.campaign import command, edit, environment, run, write_campaign
from fakes.work import HANGS

from pipeline.approvals import read_approvals
from pipeline.manifest import load

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

OUTPUTS = {"aspect_ratio": ["1:1", "16:9"], "format": ["png"]}
IMAGES = "() => [...document.querySelectorAll('.tile')].every(one => one.querySelector('img')?.naturalWidth > 50)"
GONE = "net::ERR_CONNECTION_REFUSED"
TOP = "document.activeElement.getBoundingClientRect().top"  # where it stands in the window
LIVE = 1000 * HANGS  # milliseconds until what a run makes must be on the page: no measure


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of eight products, of which two were made."""
    manifest = write_campaign(tmp_path_factory.mktemp("made"), count=8, outputs=OUTPUTS)
    run(manifest, "--only", "p0/*", "--only", "p1/*")
    return manifest.parent


@pytest.fixture
def manifest(made: Path, tmp_path: Path) -> Path:
    """A copy of it, of a test's own."""
    return Path(shutil.copytree(made, tmp_path / "c"), "campaign.yaml")


@contextmanager
def served(manifest: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a sheet that is served, and who serves it; it must end well."""
    words = command("review", manifest, "--json", *options)
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process
        ended(process)
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> None:
    """End who serves, as Ctrl-C does."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=HANGS)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.fixture
def visit(watch: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens served sheets; in the end none may have asked anybody else, nor complained but of who has gone."""
    seen: list[tuple[Any, str]] = []

    def open_(url: str, fragment: str = "", **options: Any) -> Any:
        watched = watch(**options)
        seen.append((watched, url))
        watched.page.goto(url + fragment)
        watched.page.locator("html[data-ready=true]").wait_for(state="attached")
        return watched.page

    yield open_
    for watched, url in seen:
        assert [error for error in watched.errors if GONE not in error] == []
        origin = f"http://{urlsplit(url).netloc}/"
        assert [asked for asked in watched.requests if not asked.startswith((url, "data:"))] == []
        assert any(asked.startswith(origin) for asked in watched.requests)


def decided(manifest: Path) -> dict[str, tuple[str, int, str, str]]:
    """Label → decision, stars, note and who, as they stand in approvals.yaml."""
    found = read_approvals(load(str(manifest))).by_key.values()
    return {each.label: (each.decision, each.stars, each.note, each.who) for each in found}


def is_saved(page: Any) -> None:
    """Wait until the page says that all is in the file."""
    expect(page.locator("#saved")).to_contain_text("Saved in approvals.yaml")


def label_of(page: Any, tile: int) -> str:
    """The label of a picture by its number, as the page knows it now."""
    alt: str = page.locator(f'.tile[data-index="{tile}"] img').get_attribute("alt")
    return alt.partition(": ")[0]


def test_decisions_land_in_the_file(manifest: Path, visit: Callable[..., Any]) -> None:
    """With the name that was given, notes and stars; what is undone is withdrawn, and the next page shows the same."""
    with served(manifest) as (url, _):
        page = visit(url)
        expect(page.locator("#tiles .tile img")).to_have_count(4)
        open_review(page)
        expect(page.locator("#review-served")).to_be_visible()
        page.locator("#reviewer").fill("Ana")
        press(page, "Escape")
        go(page, 0)
        first, second, third = (label_of(page, at) for at in data_order(page)[:3])
        press(page, "Shift+P", "Shift+X", "3")
        noted(page, "too: dark")
        is_saved(page)
        page.wait_for_function("() => document.getElementById('saved').textContent.endsWith('as Ana')")
        expected = {first: ("approved", 0, "", "Ana"), second: ("rejected", 0, "", "Ana")}
        other = visit(url)
        expect(other.locator("#tiles .verdict[title='note: too: dark · 3 of 5 stars']")).to_have_count(1)
        assert decided(manifest) == expected | {third: ("", 3, "too: dark", "Ana")}
        assert verdicts(other)[:3] == ["approved", "rejected", ""]
        press(page, "Control+z", "Control+z", "Control+z")
        expect(other.locator("#tiles .tile[data-decision=rejected]")).to_have_count(0)
        expect(other.locator("#tiles .verdict[title*='too: dark']")).to_have_count(0)
        assert {label: found[0] for label, found in decided(manifest).items()}[second] == ""


def data_order(page: Any) -> list[int]:
    """The numbers of the tiles in the order of the sheet."""
    found: list[int] = page.locator("#tiles .tile").evaluate_all("all => all.map(each => Number(each.dataset.index))")
    return found


def test_what_is_taken_in_lands_there_too(manifest: Path, visit: Callable[..., Any]) -> None:
    """A decisions.json that is imported into a served page is in the file, under its own reviewer's name."""
    with served(manifest) as (url, _):
        page = visit(url)
        tiles = data(page)["tiles"]
        at = tiles["label"].index("p1/table/1x1/1K/v1")
        one = {
            "picture": tiles["key"][at],
            "file": tiles["sha"][at],
            "label": tiles["label"][at],
            "decision": "rejected",
            "who": "Ben",
            "when": "2026-11-21T08:00:00Z",
        }
        document = {"version": 1, "campaign": "test", "reviewer": "Ben", "decisions": [one]}
        assert hand_in(page, json.dumps(document)) == "1 decision taken in."
        is_saved(page)
        assert decided(manifest) == {"p1/table/1x1/1K/v1": ("rejected", 0, "", "Ben")}
        long = {**one, "note": "☕" * 4000}  # more than browsers send of a page that is being left
        takes = [{**long, "file": digit * 64, "when": f"2026-11-22T08:00:0{digit}Z"} for digit in "12345678"]
        hand_in(page, json.dumps(document | {"decisions": takes}))
        is_saved(page)
        assert decided(manifest) == {"p1/table/1x1/1K/v1": ("rejected", 0, "☕" * 4000, "Ben")}


def test_a_decision_just_before_leaving_is_not_lost(manifest: Path, visit: Callable[..., Any]) -> None:
    """A page that is closed at once has sent it; another that is open shows it."""
    with served(manifest) as (url, _):
        other = visit(url)
        page = visit(url)
        go(page, 0)
        press(page, "p")
        page.close(run_before_unload=True)
        expect(other.locator("#tiles .tile[data-decision=approved]")).to_have_count(1, timeout=LIVE)
        assert [found[0] for found in decided(manifest).values()] == ["approved"]


def test_pictures_appear_while_another_process_makes_them(manifest: Path, visit: Callable[..., Any]) -> None:
    """Without a reload; cursor, focus, scroll and search stay, the head's figures follow, and the rest is decidable."""
    with served(manifest) as (url, _):
        page = visit(url, "#height=220", viewport={"width": 1100, "height": 600})
        page.evaluate("window.neverLeft = true")
        done = page.locator("#totals div").filter(has_text="done").locator("dd")
        expect(done).to_have_text("4")
        go(page, 3)
        page.mouse.wheel(0, 150)
        page.wait_for_function("() => scrollY > 100")
        here, top = focused(page), page.evaluate(TOP)
        press(page, "p")
        run(manifest)
        expect(page.locator("#tiles .tile[data-state=missing]")).to_have_count(0, timeout=LIVE)
        page.wait_for_function(IMAGES)
        assert focused(page) == here
        assert page.evaluate(TOP) == pytest.approx(top, abs=2)
        assert page.evaluate("window.neverLeft")
        assert verdicts(page).count("approved") == 1
        expect(done).to_have_text("16")
        press(page, "End", "x")
        is_saved(page)
        assert sorted(found[0] for found in decided(manifest).values()) == ["approved", "rejected"]


def test_an_open_picture_stays_while_others_come(manifest: Path, visit: Callable[..., Any]) -> None:
    """The large view of a picture that is being made shows it as soon as it is there; a note that is written stays."""
    with served(manifest) as (url, _):
        page = visit(url, "#open=p5/table/16x9/1K/v1")
        expect(page.locator("#lightbox #box-label")).to_have_text("p5/table/16x9/1K/v1")
        expect(page.locator("#box-trouble")).to_contain_text("Missing")
        run(manifest)
        page.wait_for_function("() => document.querySelector('#side-now img')?.naturalWidth > 600", timeout=LIVE)
        expect(page.locator("#box-label")).to_have_text("p5/table/16x9/1K/v1")
        expect(page.locator("#box-trouble")).to_be_hidden()
        noted(page, "good")
        is_saved(page)
        assert decided(manifest) == {"p5/table/16x9/1K/v1": ("", 0, "good", "reviewer")}


def test_new_pictures_before_it_do_not_move_the_cursor(manifest: Path, visit: Callable[..., Any]) -> None:
    """The manifest comes to name another product, first of all: focus, open picture and note stay with theirs."""
    with served(manifest) as (url, _):
        page = visit(url)
        go(page, 2)
        label = label_of(page, focused(page))
        press(page, "Enter", "n")
        page.locator("#note-text").fill("this one")
        document = json.loads(manifest.read_text())
        things = document["products"]["things"]
        edit(manifest, products={"things": [{**things[-1], "id": "a-new"}, *things]})
        expect(page.locator("#box-position")).to_have_text("5 of 18", timeout=LIVE)
        press(page, "Enter")
        expect(page.locator("#box-said")).to_have_text("this one")
        is_saved(page)
        assert decided(manifest) == {label: ("", 0, "this one", "reviewer")}
        press(page, "Escape")
        assert label_of(page, focused(page)) == label


def test_says_when_nobody_serves_any_more(manifest: Path, visit: Callable[..., Any]) -> None:
    """It says so, keeps what is decided, asks before it is left, and isn't taken in by who answers there later."""
    with served(manifest) as (url, process):
        page = visit(url)
        go(page, 0)
        press(page, "p")
        is_saved(page)
        ended(process)
        expect(page.locator("#saved")).to_have_text("pipeline review has ended", timeout=LIVE)
        before = decided(manifest)
        go(page, 1)
        press(page, "x")
        expect(page.locator("#toast")).to_contain_text("Not saved")
        expect(page.locator("#saved")).to_have_text("pipeline review has ended; not all is saved", timeout=LIVE)
        assert verdicts(page)[:2] == ["approved", "rejected"]
        assert decided(manifest) == before
        with page.expect_event("dialog") as asked:
            page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"
        asked.value.dismiss()
        expect(verdict(page, 1)).to_have_attribute("title", "rejected")


def test_another_page_at_its_address_is_not_its_own(manifest: Path, watch: Callable[..., Any]) -> None:
    """After a restart at the same port the old page says that its server has ended: the token is another one."""
    with served(manifest) as (url, _):
        watched = watch()
        page = watched.page
        page.goto(url)
        page.locator("html[data-ready=true]").wait_for(state="attached")
    with served(manifest, "--port", str(urlsplit(url).port)) as (another, _):
        assert another != url
        with page.expect_response(lambda answer: answer.status == 404, timeout=LIVE):
            pass
        expect(page.locator("#saved")).to_have_text("pipeline review has ended")
        go(page, 0)
        press(page, "p")
        expect(page.locator("#saved")).to_have_text("Not saved")
    assert decided(manifest) == {}


def test_a_key_on_a_served_page_leaves_anothers_entry_in_the_file(manifest: Path, visit: Callable[..., Any]) -> None:
    """Ben has rejected with a note: my stars, my approval and what I take back are mine, and his words stay."""
    with served(manifest) as (url, _):
        page = visit(url)
        tiles = data(page)["tiles"]
        at = tiles["label"].index(label_of(page, data_order(page)[0]))
        ben = {
            "picture": tiles["key"][at],
            "file": tiles["sha"][at],
            "label": tiles["label"][at],
            "decision": "rejected",
            "note": "too dark",
            "who": "Ben",
            "when": "2026-11-21T08:00:00Z",
        }
        hand_in(page, json.dumps({"version": 1, "campaign": "test", "reviewer": "Ben", "decisions": [ben]}))
        page.locator("#reviewer").fill("Ana")
        press(page, "Escape")
        is_saved(page)
        go(page, 0)
        for keys, mine in ((["4"], ("", 4, "")), (["p"], ("approved", 4, "")), (["u", "0"], ("", 0, ""))):
            press(page, *keys)
            page.wait_for_function("() => document.getElementById('saved').textContent === 'Saving …'")
            is_saved(page)
            said = read_approvals(load(str(manifest))).said[ben["picture"]]
            assert {each.who: (each.decision, each.stars, each.note) for each in said} == {
                "Ana": mine,
                "Ben": ("rejected", 0, "too dark"),
            }
