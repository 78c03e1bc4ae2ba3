"""Several reviewers on one sheet: a key changes my own entry only, nobody's words are lost, and undo is mine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import fake_sheet
from browser.reviewing import exported, go, hand_in, noted, stored, verdict, verdicts
from browser.sheet_page import Look, press

from pipeline.report.view import DecisionView

if not os.environ.get("CI"):  # in CI a missing browser is a failure
    pytest.importorskip("playwright")
from playwright.sync_api import expect

CAMPAIGN = "Autumn tableware"
EARLY, LATE = "2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z"


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of one product, without their originals."""
    return fake_sheet.write(tmp_path_factory.mktemp("votes"), fake_sheet.campaign(1, troubled=False), files=False)


def first_label(page: Any) -> str:
    """The label of the first picture on the sheet."""
    alt: str = page.locator("#tiles .tile").first.locator("img").get_attribute("alt")
    return alt.partition(": ")[0]


def of_first(page: Any, **changes: Any) -> dict[str, Any]:
    """Ben's rejection of the first picture on the sheet, or what else is said about it."""
    label = first_label(page)
    tile = next(each for each in fake_sheet.campaign(1, troubled=False).tiles if each.label == label)
    said = {"decision": "rejected", "stars": 0, "note": "too dark", "who": "Ben", "when": EARLY}
    return {"picture": tile.key, "file": tile.sha, "label": label, **said, **changes}


def document(*decisions: dict[str, Any], version: int = 1, reviewer: str = "Ben") -> str:
    return json.dumps({"version": version, "campaign": CAMPAIGN, "reviewer": reviewer, "decisions": list(decisions)})


def entries(page: Any, name: str = "Ana") -> dict[str, tuple[str, int, str]]:
    """Who said what, as it is exported."""
    found = exported(page, name)["decisions"]
    return {each["who"]: (each["decision"], each["stars"], each["note"]) for each in found}


def again(page: Any) -> None:
    """Reload the sheet."""
    page.reload()
    expect(page.locator("html[data-ready=true]")).to_be_attached()


@pytest.mark.parametrize(
    ("key", "mine"), [("4", ("", 4, "")), ("p", ("approved", 0, "")), ("x", ("rejected", 0, "")), ("u", None)]
)
def test_a_key_changes_only_my_own_entry(look: Look, sheet: Path, key: str, mine: Any) -> None:
    """Ben has rejected it with a note: his words stay his, and none of them becomes mine."""
    page = look(sheet)
    hand_in(page, document(of_first(page)))
    press(page, "Escape")
    go(page, 0)
    press(page, key)
    found = entries(page)
    assert found.pop("Ben") == ("rejected", 0, "too dark")
    assert found == ({"Ana": mine} if mine else {})
    press(page, "n")
    expect(page.locator("#note-text")).to_have_value("")


def test_buttons_and_the_note_speak_of_mine(look: Look, sheet: Path) -> None:
    """In large: what Ben said is listed under his name, and what is pressed, lit or written is what I said."""
    page = look(sheet, alone=True)
    hand_in(page, document(of_first(page, decision="approved", stars=5)))
    press(page, "Escape")
    go(page, 0)
    press(page, "Enter")
    expect(page.locator("#box-said")).to_have_text("Ben approved ★★★★★: too dark")
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_count(0)
    page.locator("#box-decide").get_by_role("button", name="Approve").click()
    expect(page.locator("#box-decide [aria-pressed=true]")).to_have_text("Approve")
    noted(page, "warm")
    expect(page.locator("#box-said li")).to_have_text(["You approved: warm", "Ben approved ★★★★★: too dark"])
    page.locator("#box-decide").get_by_role("button", name="Approve").click()
    press(page, "Escape")
    assert verdicts(page)[0] == "approved", "Ben's approval counts again"
    assert entries(page) == {"Ana": ("", 0, "warm"), "Ben": ("approved", 5, "too dark")}


def test_stars_that_come_in_take_no_approval_away(look: Look, sheet: Path) -> None:
    """Of the same reviewer's other machine, or of another reviewer: approval and note stay, on every way of merging."""
    page = look(sheet)
    ana = of_first(page, decision="approved", note="lovely", who="Ana")
    hand_in(page, document(ana))
    hand_in(page, document(of_first(page, decision="", stars=5, note="", who=" ana", when=LATE)))
    hand_in(page, document(of_first(page, decision="", stars=2, note="", who="Cy", when=LATE)))
    press(page, "Escape")
    for _ in range(2):
        assert verdicts(page)[0] == "approved"
        assert "note: lovely" in str(verdict(page, 0).get_attribute("title"))
        again(page)
    assert entries(page, "Dora") == {"ana": ("approved", 5, "lovely"), "Cy": ("", 2, "")}


def test_my_own_votes_elsewhere_are_mine(look: Look, sheet: Path) -> None:
    """What I said on another machine is joined with what I said here, whatever came first."""
    page = look(sheet)
    go(page, 0)
    press(page, "3")
    assert entries(page)["Ana"] == ("", 3, "")
    hand_in(page, document(of_first(page, decision="approved", note="lovely", who="ANA")))
    press(page, "Escape")
    assert entries(page) == {"Ana": ("approved", 3, "lovely")}
    go(page, 0)
    press(page, "u")
    assert entries(page) == {"Ana": ("", 3, "lovely")}
    hand_in(page, document(of_first(page, decision="approved", note="lovely", who="ANA")))
    press(page, "Escape")
    assert verdicts(page)[0] == "", "an older file does not bring back what was taken back"


def test_a_decision_without_a_name_is_not_mine(look: Look, sheet: Path) -> None:
    """It has the name of whoever exported it, else it is somebody's; two of them are two."""
    page = look(sheet, alone=True)
    nameless = [of_first(page, who="", note=note, when=when) for note, when in (("dull", EARLY), ("flat", LATE))]
    hand_in(page, document(*nameless, reviewer=""))
    hand_in(page, document(of_first(page, who="", decision="approved", when="2025-01-01T00:00:00Z"), reviewer="Cy"))
    press(page, "Escape")
    go(page, 0)
    press(page, "Enter")
    expect(page.locator("#box-said li")).to_have_text(
        ["somebody rejected: flat", "somebody rejected: dull", "Cy approved: too dark"]
    )
    press(page, "Escape", "2")
    found = exported(page, "Ana")["decisions"]
    assert sorted((each["who"], each["note"], each["stars"]) for each in found) == [
        ("", "dull", 0),
        ("", "flat", 0),
        ("Ana", "", 2),
        ("Cy", "too dark", 0),
    ]


def test_undo_outlives_a_reload_and_what_came_in(look: Look, sheet: Path) -> None:
    """Each of my steps backwards, and nothing of Ben's, who has said something in between."""
    page = look(sheet)
    go(page, 0)
    press(page, "p", "3")
    noted(page, "warm")
    go(page, 1)
    press(page, "x")
    again(page)
    hand_in(page, document(of_first(page, when="2026-06-01T00:00:00Z")))
    press(page, "Escape")
    again(page)
    press(page, "Control+z")
    assert verdicts(page)[1] == ""
    for mine in (("approved", 3, ""), ("approved", 0, ""), None):
        press(page, "Control+z")
        again(page)
        assert entries(page) == ({"Ana": mine} if mine else {"Ana": ("", 0, "")}) | {"Ben": ("rejected", 0, "too dark")}
    press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Nothing to undo.")


def test_undo_passes_over_what_i_said_since_elsewhere(look: Look, sheet: Path) -> None:
    """A newer vote of mine came in from another machine: it stays."""
    page = look(sheet)
    go(page, 0)
    press(page, "p")
    entries(page)
    hand_in(page, document(of_first(page, who="Ana", when="2999-01-01T00:00:00Z")))
    press(page, "Escape", "Control+z")
    expect(page.locator("#toast")).to_have_text("Nothing to undo.")
    assert entries(page) == {"Ana": ("rejected", 0, "too dark")}


def test_what_can_be_undone_is_capped(look: Look, sheet: Path) -> None:
    """The newest steps of this campaign are kept, and no more than there is room for."""
    page = look(sheet)
    go(page, 0)
    press(page, *["p", "x"] * 120)
    again(page)
    steps = page.evaluate(f"JSON.parse(localStorage['campaign-pipeline undo 2 {CAMPAIGN}'])")
    assert len(steps) == 200
    assert [list(each["before"].values()) for (each,) in steps[-2:]] == [["rejected"], ["approved"]]
    page.evaluate(f"localStorage['campaign-pipeline undo 2 {CAMPAIGN}'] = '[[{{}}], 5, [null], {{}}]'")
    again(page)
    press(page, "Control+z")
    expect(page.locator("#toast")).to_have_text("Nothing to undo.")


def test_what_a_sheet_of_before_has_kept_is_there(look: Look, sheet: Path) -> None:
    """Mine without a name, and others'; the new sheet keeps them at a place that the old one doesn't overwrite."""
    page = look(sheet)
    old = [of_first(page, take=1, who="", decision="approved", note=""), of_first(page, take=1)]
    page.evaluate(
        "([name, text]) => localStorage.setItem('campaign-pipeline decisions ' + name, text)",
        [CAMPAIGN, json.dumps(old)],
    )
    again(page)
    go(page, 0)
    press(page, "5")
    again(page)
    assert stored(page) == 4, "two at the old place, two at the new"
    assert entries(page) == {"Ana": ("approved", 5, ""), "Ben": ("rejected", 0, "too dark")}


def test_the_sheet_comes_with_everybodys_words(look: Look, tmp_path: Path) -> None:
    """approvals.yaml holds three reviewers of one take, and one of the take before: each is shown under their name."""
    view = fake_sheet.campaign(1, troubled=False)
    first = view.tiles[0]
    said = (
        DecisionView(first.sha, "rejected", 0, "too dark", "Ben", EARLY),
        DecisionView(first.sha, "approved", 0, "lovely", "Ana", LATE),
        DecisionView(first.sha, "", 5, "", "Cy", LATE, (("decision", LATE),)),
        DecisionView("f" * 64, "rejected", 0, "blurred", "Ana", EARLY),
    )
    page = look(fake_sheet.write(tmp_path, replace(view, decisions={first.key: said}), files=False))
    place = page.locator("#tiles .tile").filter(has=page.locator(f'img[alt^="{first.label}:"]'))
    expect(place).to_have_attribute("data-decision", "differs")
    expect(place.locator(".verdict")).to_have_attribute(
        "title", "note: lovely · Ben: too dark · 5 of 5 stars · differs by Ana"
    )
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.locator("#print .print-tile").filter(has=page.locator(f'img[alt^="{first.label}:"]'))
    assert sorted(" ".join(each.split()) for each in printed.locator(".verdict").all_text_contents()) == [
        "approved by Ana lovely",
        "by Cy ★★★★★",
        "rejected by Ben too dark",
    ]


def test_a_tab_undoes_what_another_has_decided(watch: Callable[..., Any], sheet: Path) -> None:
    """Both show the same steps: undone in one, it is taken back in the other, and stays so."""
    one = watch()
    page = one.open(sheet)
    two = page.context.new_page()
    two.goto(sheet.as_uri())
    expect(two.locator("html[data-ready=true]")).to_be_attached()
    go(page, 0)
    press(page, "p")
    expect(two.locator("#tiles .tile[data-decision=approved]")).to_have_count(1)
    two.bring_to_front()
    press(two, "Control+z")
    expect(page.locator("#tiles .tile[data-decision=approved]")).to_have_count(0)
    two.close()
    again(page)
    assert verdicts(page) == [""] * 6
    assert one.errors == []
