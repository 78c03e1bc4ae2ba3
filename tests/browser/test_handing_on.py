"""Decisions leave the sheet as a file, come in from others, and are merged: none is lost, and nothing else comes in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import (
    NO_STORAGE,
    exported,
    go,
    hand_in,
    noted,
    open_review,
    stored,
    tally,
    verdict,
    verdicts,
)
from browser.sheet_page import Look, press
from fakes.campaign import REPOSITORY
from jsonschema import Draft202012Validator

from pipeline.decisions import parse_decisions

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

CAMPAIGN = "Autumn tableware"
SIX = ["", "", "", "", "", ""]
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    return fake_sheet.write(tmp_path_factory.mktemp("handing"), fake_sheet.campaign(1, troubled=False), files=False)


def valid(document: Any) -> Any:
    """The same document, which the published schema and ``pipeline review --import`` both take."""
    schema = json.loads((REPOSITORY / "schemas/decisions.schema.json").read_text(encoding="utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
    assert len(parse_decisions(json.dumps(document).encode(), "decisions.json", CAMPAIGN)) == len(document["decisions"])
    return document


def a_reviewer(look: Look, sheet: Path, name: str, *keys: str) -> str:
    """What somebody hands on who presses these keys from the first picture on."""
    page = look(sheet)
    go(page, 0)
    press(page, *keys)
    return json.dumps(valid(exported(page, name)))


def test_exports_what_was_decided(look: Look, sheet: Path) -> None:
    """Only that, with name, note, stars, take and time, in a file that the schema knows; it is named after both."""
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "x", "4")
    noted(page, 'too "dark"\n☕')
    go(page, 2)
    press(page, "p", "Control+z")
    open_review(page)
    page.locator("#reviewer").fill("  Ana María ")
    with page.expect_download() as download:
        page.locator("#export").click()
    assert download.value.suggested_filename == "decisions-Autumn tableware-ana-maría.json"
    expect(page.locator("#review-said")).to_contain_text("pipeline review campaigns/autumn.yaml --import ")
    document = valid(json.loads(Path(download.value.path()).read_text(encoding="utf-8")))
    assert document["reviewer"] == "Ana María"
    found = {each["label"]: each for each in document["decisions"]}
    tiles = {each.label: each for each in fake_sheet.campaign(1, troubled=False).tiles}
    assert len(found) == 2
    assert {(label, each["picture"], each["file"], each["take"]) for label, each in found.items()} == {
        (label, tiles[label].key, tiles[label].sha, tiles[label].take) for label in found
    }
    assert sorted((each["decision"], each["stars"], each["note"]) for each in found.values()) == [
        ("approved", 0, ""),
        ("rejected", 4, 'too "dark"\n☕'),
    ]
    assert {each["who"] for each in found.values()} == {"Ana María"}


def test_copies_instead(look: Look, sheet: Path) -> None:
    """The same text goes to the clipboard, where no file may be saved."""
    page = look(sheet, **CLIPBOARD)
    go(page, 3)
    press(page, "p")
    document = exported(page, "Ana")
    open_review(page)
    page.locator("#export-copy").click()
    expect(page.locator("#export-copy")).to_have_text("Copied")
    copied = valid(json.loads(page.evaluate("navigator.clipboard.readText()")))
    assert copied["decisions"] == document["decisions"]
    assert len(copied["decisions"]) == 1


def test_a_name_comes_first_and_is_remembered(look: Look, sheet: Path) -> None:
    """Without one nothing is exported and the field is asked for; it is there again after a reload."""
    page = look(sheet)
    open_review(page)
    saved: list[Any] = []
    page.on("download", lambda download: saved.append(download.url))
    for way in ("#export", "#export-copy"):
        page.locator("#reviewer").fill("  ")
        page.locator(way).click()
        expect(page.locator("#review-said")).to_contain_text("Your name first")
        expect(page.locator("#reviewer")).to_be_focused()
    page.locator("#reviewer").fill("Ana")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    open_review(page)
    expect(page.locator("#reviewer")).to_have_value("Ana")
    assert saved == []


@pytest.mark.parametrize("way", ["file", "paste", "drop"])
def test_takes_in_what_another_exported(look: Look, sheet: Path, way: str) -> None:
    """From a fresh browser's view it is the same sheet afterwards, also after a reload, and exports the same."""
    sent = a_reviewer(look, sheet, "Ana", "Shift+P", "Shift+X", "Shift+Digit3")
    page = look(sheet, **CLIPBOARD)
    assert hand_in(page, sent, way) == "3 decisions taken in."
    expect(page.locator("#import-paste")).to_have_value("")
    press(page, "Escape")
    for _ in range(2):
        assert verdicts(page) == ["approved", "rejected", "", "", "", ""]
        expect(verdict(page, 0)).to_have_attribute("title", "approved by Ana")
        expect(verdict(page, 2)).to_have_attribute("title", "3 of 5 stars")
        page.reload()
        expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert valid(exported(page, "Ben"))["decisions"] == json.loads(sent)["decisions"]
    assert hand_in(page, sent, way) == "0 decisions taken in, 3 not newer than what was here."


def one(**changes: Any) -> dict[str, Any]:
    tile = fake_sheet.campaign(1, troubled=False).tiles[0]
    return {
        "picture": tile.key,
        "file": tile.sha,
        "label": tile.label,
        "decision": "approved",
        "who": "Ben",
        "when": "2026-11-21T08:00:00Z",
    } | changes


def document(*decisions: Any, **changes: Any) -> str:
    whole = {"version": 1, "campaign": CAMPAIGN, "reviewer": "Ben", "decisions": list(decisions)}
    return json.dumps(whole | changes)


BROKEN = [
    {"picture": "x"},
    {"picture": ["0" * 32]},
    {"picture": "0" * 40},
    {"file": ""},
    {"label": None},
    {"decision": "maybe"},
    {"stars": 6},
    {"stars": 1.5},
    {"stars": "5"},
    {"take": "1"},
    {"take": -1},
    {"note": "n" * 4001},
    {"note": {}},
    {"who": "w" * 201},
    {"when": "yesterday"},
    {"when": "2026-11-21"},
    {"when": "2026-13-41T08:00:00Z"},
    {"when": 1},
]
REFUSED = {
    "other campaign": (document(one(), campaign="Winter"), "decisions on the campaign Winter; this sheet shows Autumn"),
    "no campaign": (document(one(), campaign=None), "this sheet shows Autumn"),
    "no version": (document(one(), version=0), "That is no decisions.json of a contact sheet."),
    "a newer version": (document(one(), version=3), "These decisions were exported from a newer contact sheet"),
    "no list": (document(decisions={"0": one()}), "That is no decisions.json of a contact sheet."),
    "words": ("approve them all", "That is no decisions.json: it isn't JSON."),
    "cut off": (document(one())[:-9], "That is no decisions.json: it isn't JSON."),
    "null": ("null", "That is no decisions.json of a contact sheet."),
    "a list": (json.dumps([one()]), "That is no decisions.json of a contact sheet."),
    "a number": ("5", "That is no decisions.json of a contact sheet."),
    "second is null": (document(one(), None), "Its decision number 2 is not whole; nothing was imported."),
    **{
        f"half broken: {json.dumps(change)[:40]}": (document(one(), one(**change)), "number 2 is not whole")
        for change in BROKEN
    },
}


def test_what_is_none_is_refused_with_words(look: Look, sheet: Path) -> None:
    """Whatever it is, nothing of it is taken in, and what was decided here stays."""
    page = look(sheet)
    go(page, 2)
    press(page, "x")
    said = {name: hand_in(page, text) for name, (text, _) in REFUSED.items()}
    assert {name: words for name, words in said.items() if REFUSED[name][1] not in words} == {}
    press(page, "Escape")
    assert verdicts(page) == ["", "", "rejected", "", "", ""]
    assert stored(page) == 1


def test_what_is_more_than_a_decision_is_left_out(look: Look, sheet: Path) -> None:
    """A minimal decision is one; what else stands in it is not handed on, or nobody could take it in."""
    page = look(sheet)
    assert hand_in(page, document(one(colour="red", disputed=True))) == "1 decision taken in."
    press(page, "Escape")
    assert tally(page)["approved"] == 1
    assert [sorted(each) for each in valid(exported(page, "Ana"))["decisions"]] == [
        ["decision", "file", "label", "note", "picture", "stars", "take", "when", "who"]
    ]


def test_of_several_files_each_has_its_say(look: Look, sheet: Path) -> None:
    """A refused one is told of though another is taken in after it."""
    page = look(sheet)
    open_review(page)
    texts = {"winter.json": document(one(), campaign="Winter"), "ben.json": document(one())}
    page.locator("#import").set_input_files(
        [{"name": name, "mimeType": "application/json", "buffer": text.encode()} for name, text in texts.items()]
    )
    expect(page.locator("#review-said")).to_contain_text("ben.json: 1 decision taken in.")
    expect(page.locator("#review-said")).to_contain_text("winter.json: These are decisions on the campaign Winter")


def test_shows_where_reviewers_differ_until_somebody_decides(look: Look, sheet: Path) -> None:
    """Two are merged: listed with what each said, filtered, opened from there; deciding settles it, and all is kept."""
    ana = a_reviewer(look, sheet, "Ana", "Shift+P", "Shift+P", "Shift+X")
    ben = a_reviewer(look, sheet, "Ben", "Shift+P", "Shift+X", "Shift+P", "Shift+P")
    page = look(sheet, alone=True)
    hand_in(page, ana)
    expect(page.locator("#differ")).to_be_hidden()
    assert hand_in(page, ben) == "4 decisions taken in. Reviewers differ on 2 pictures."
    expect(page.locator("#differ-list li")).to_have_count(2)
    expect(page.locator("#differ-list")).to_contain_text("Ben: rejected · Ana: approved")
    press(page, "Escape")
    assert verdicts(page) == ["approved", "differs", "differs", "approved", "", ""]
    press(page, "y")
    assert verdicts(page) == ["approved", "differs", "differs", "approved", "approved", "approved"]
    press(page, "Control+z")
    open_review(page)
    page.locator("#differ-list button").first.click()
    expect(page.locator("#lightbox")).to_be_visible()
    expect(page.locator("#box-said li")).to_have_count(2)
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_count(0)
    press(page, "x")
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_text("Reject")
    press(page, "Escape")
    assert sorted(verdicts(page)) == ["", "", "approved", "approved", "differs", "rejected"]
    found = valid(exported(page, "Cleo"))["decisions"]
    assert sorted(each["who"] for each in found) == ["Ana"] * 3 + ["Ben"] * 4 + ["Cleo"]
    newest = max(found, key=lambda each: each["when"])
    assert (newest["who"], newest["decision"]) == ("Cleo", "rejected")
    press(page, "Control+z")
    assert sorted(verdicts(page)) == ["", "", "approved", "approved", "differs", "differs"]


def test_mine_and_anothers_differ_too(look: Look, sheet: Path) -> None:
    """Taken in after I decided, a different decision is shown, older or newer, also after a reload; mine is kept."""
    ben = a_reviewer(look, sheet, "Ben", "Shift+X", "Shift+P", "Shift+Digit3")
    page = look(sheet)
    go(page, 0)
    press(page, "Shift+P", "Shift+P", "Shift+P")
    assert hand_in(page, ben) == "3 decisions taken in. Reviewers differ on 1 picture."
    expect(page.locator("#differ-list")).to_contain_text("you: approved · Ben: rejected")
    press(page, "Escape")
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == ["differs", "approved", "approved", "", "", ""]
    go(page, 0)
    press(page, "p")
    assert verdicts(page) == ["approved", "approved", "approved", "", "", ""]
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()
    assert verdicts(page) == ["approved", "approved", "approved", "", "", ""]
    hand_in(page, document(one(decision="rejected", when="2999-01-01T00:00:00Z")))
    press(page, "Escape")
    assert "differs" in verdicts(page)
    go(page, verdicts(page).index("differs"))
    press(page, "p")
    assert "differs" not in verdicts(page)
    mine = [each for each in valid(exported(page, "Ana"))["decisions"] if each["who"] == "Ana"]
    assert max(each["when"] for each in mine) > "2999"


def test_of_one_reviewer_the_newest_counts(look: Look, sheet: Path) -> None:
    """Whatever the order in which they come; undoing takes back my own step, and nothing of what came in since."""
    early, late = (document(one(decision=word, when=f"2026-01-0{day}T00:00:00Z")) for word, day in NEWEST)
    page = look(sheet)
    go(page, 5)
    press(page, "p")
    hand_in(page, late)
    assert hand_in(page, early) == "0 decisions taken in, 1 not newer than what was here."
    press(page, "Escape")
    assert sorted(verdicts(page)) == ["", "", "", "", "approved", "rejected"]
    press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Undone: 1 picture.")
    assert sorted(verdicts(page)) == ["", "", "", "", "", "rejected"]
    press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Nothing to undo.")


NEWEST = (("approved", 1), ("rejected", 2))


def test_a_withdrawn_decision_withdraws(look: Look, sheet: Path) -> None:
    """Ana approves, hands on, takes it back and hands on again: it is undecided there, too."""
    page = look(sheet)
    go(page, 0)
    press(page, "p")
    first = json.dumps(valid(exported(page, "Ana")))
    press(page, "u")
    second = json.dumps(valid(exported(page)))
    other = look(sheet)
    hand_in(other, first)
    hand_in(other, second)
    press(other, "Escape")
    assert verdicts(other) == SIX
    hand_in(other, first)
    press(other, "Escape")
    assert verdicts(other) == SIX


def test_what_this_sheet_does_not_show_is_kept_and_handed_on(look: Look, sheet: Path) -> None:
    """Of an earlier take, or of a larger sheet: it is said, and goes on to whoever shows it."""
    page = look(sheet)
    said = hand_in(page, document(one(file="0" * 64), one(picture="1" * 32)))
    assert said == "2 decisions taken in, 2 on pictures that this sheet doesn't show."
    press(page, "Escape")
    assert verdicts(page) == SIX
    assert tally(page)["undecided"] == 6
    assert len(valid(exported(page, "Ana"))["decisions"]) == 2


@pytest.mark.parametrize("why", NO_STORAGE)
def test_without_storage_decisions_can_still_be_handed_on(watch: Callable[..., Any], sheet: Path, why: str) -> None:
    """Where the browser keeps nothing, both ways work all the same."""
    watched = watch()
    watched.page.add_init_script(NO_STORAGE[why])
    page = watched.open(sheet)
    hand_in(page, document(one()))
    press(page, "Escape")
    assert sorted(verdicts(page)) == ["", "", "", "", "", "approved"]
    go(page, 5)
    press(page, "x")
    assert [each["who"] for each in valid(exported(page, "Ana"))["decisions"]].count("Ana") == 1
    assert watched.errors == []
