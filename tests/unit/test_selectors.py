"""Selections by name, state and decision, and what is said of words that select nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fakes.campaign import edit, inside, pipeline, plan, results, run, write_campaign
from PIL import Image

from pipeline.plan.selectors import selector

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1", "16:9"], "format": ["png", "jpeg"]}


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two sets, two prompts, one of them with scenes; nothing is made yet."""
    manifest = write_campaign(tmp_path, count=3, outputs=OUTPUTS)
    things = json.loads(manifest.read_text())["products"]["things"]
    things[0]["tags"], things[1]["tags"] = ["hero", "new"], ["heritage"]
    table = {"text": "Place @Image1 on a table.", "vary": {"scene": ["day", "late night"]}}
    prompts = {"table": {**table, "text": table["text"] + " {{ scene }}"}, "shelf": {"text": "Put @Image1 on a shelf."}}
    edit(manifest, products={"mugs": things[:2], "bowls": things[2:]}, prompts=prompts)
    return manifest


def chosen(manifest: Path, *arguments: str) -> set[str]:
    """The labels that a selection leaves."""
    return {step["label"] for step in json.loads(inside("plan", manifest, "--json", *arguments).stdout)["steps"]}


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["--only", "set:mugs"], "p[01]/.*"),
        (["--only", "set:m*"], "p[01]/.*"),
        (["--only", "prompt:table"], "p./table/.*"),
        (["--only", "tag:her*"], "p[01]/.*"),
        (["--only", "tag:hero", "--only", "set:bowls"], "p[02]/.*"),
        (["--only", "product:p1"], "p1/.*"),
        (["--only", "scene:late*"], "p./table/late-night/.*"),
        (["--only", "aspect_ratio:16:9"], ".*/16x9/.*"),
        (["--only", "aspect_ratio:16x9"], ".*/16x9/.*"),
        (["--only", "format:jpg"], r".*\.jpg"),
        (["--only", "*.jpeg"], r".*\.jpg"),
        (["--exclude", "format:jpeg"], r".*\.png"),
        (["--only", "set:mugs", "--exclude", "tag:hero"], "p1/.*"),
        (["--only", "state:make"], ".*"),
        (["--only", "state:miss*"], ".*"),
        (["--only", "decision:undecided"], ".*"),
        (["--only", "state:done"], "none"),
    ],
)
def test_a_word_selects_by_name(campaign: Path, words: list[str], pattern: str) -> None:
    """Any dimension of the manifest's rules, and globs in its value."""
    every = chosen(campaign)
    assert chosen(campaign, *words) == {label for label in every if re.fullmatch(pattern, label)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "tag:hreo"], "no product has the tag 'hreo'; did you mean 'hero'?"),
        (["--only", "set:mgus"], "--only set:mgus: no set is 'mgus'; did you mean 'mugs'?"),
        (["--only", "seet:mugs"], "--only seet:mugs: there is no 'seet' to select by; did you mean 'set'?"),
        (["--exclude", "state:faild"], "--exclude state:faild: no state is 'faild'; did you mean 'failed'?"),
        (["--only", "decision:aproved"], "no decision is 'aproved'; did you mean 'approved'?"),
        (["--only", "state:stopped"], "what a budget stopped is missing"),
        (["--only", "aspect_ratio:4:3"], "no aspect_ratio is '4:3'; did you mean"),
        (["--only", "P0"], "--only 'P0' matches no cell; did you mean 'p0'? Labels are PRODUCT/PROMPT/SCENE/RATIO"),
        (["--only", "table"], "did you mean '*/table'?"),
        (["--only", "p0/tabel/*"], "did you mean 'p0/table/*'?"),
        (["--only", "p0/shelf/16:9"], "did you mean 'p0/shelf/16x9'?"),
        (["--only", "zzz"], "such as p0/table/day/1x1/1K/v1.png; a glob names a whole label or its beginning"),
        (["--exclude", "p9", "--only", "p0"], "--exclude 'p9' matches no cell"),
        (["--only", "p0", "--only", "p9"], "--only 'p9' matches no cell"),
        (["--only", "p0", "--tag", "heritage"], "the selection matches no cell (p0 heritage): its parts exist"),
        (["--retake", "state:failed"], "`--only state:failed --retry-failed` asks again for what failed"),
    ],
)
def test_a_word_that_selects_nothing_is_explained(campaign: Path, words: list[str], said: str) -> None:
    """Exit 2: what would be paid by a misspelt --exclude can't be given back."""
    assert said in inside("plan", campaign, *words, expect=2).stderr


def test_what_is_failed_missing_or_done_is_selected_by_its_state(tmp_path: Path) -> None:
    """In the words of results.jsonl, as things stand."""
    manifest = write_campaign(tmp_path, count=3, outputs=OUTPUTS | {"aspect_ratio": "1:1", "format": "png"})
    Image.effect_noise((400, 400), 90).save(tmp_path / "p0.png")
    data = bytearray((tmp_path / "p0.png").read_bytes())
    data[60_000:60_100] = bytes(100)
    (tmp_path / "p0.png").write_bytes(data)
    run(manifest, "--only", "p0", "--only", "p1", expect=3)
    states = {line["label"]: line["state"] for line in results(manifest)}
    assert sorted(states.values()) == ["done", "failed", "missing"]
    for label, state in states.items():
        assert chosen(manifest, "--only", f"state:{state}") == {label}
    assert run(manifest, "--only", "state:missing")["made"] == 1
    assert chosen(manifest, "--only", "state:missing") == set()
    assert run(manifest, "--retake", "state:done", "--only", "state:done")["made"] == 2


def test_pictures_are_selected_by_what_was_decided(tmp_path: Path) -> None:
    """Approved, rejected, stale or undecided; a retake by decision is the retake of the rejected ones."""
    manifest = write_campaign(tmp_path, count=3, outputs={"format": ["png"]})
    run(manifest)
    entries = []
    for product, decision in (("p0", "approved"), ("p1", "rejected")):
        sidecar = json.loads((tmp_path / f"out/test/{product}/table/1x1_1K_v1.json").read_text())
        shown = {"picture": sidecar["key"], "file": sidecar["original"]["sha256"], "take": 1}
        what = {"label": f"{product}/table/1x1/1K/v1", "decision": decision, "stars": 0, "note": ""}
        entries.append(shown | what | {"who": "Ana", "when": "2026-01-01T00:00:01Z"})
    exported = {"version": 1, "campaign": "test", "reviewer": "Ana", "decisions": entries}
    (tmp_path / "decisions.json").write_text(json.dumps(exported))
    pipeline("review", manifest, "--import", tmp_path / "decisions.json")
    for word, product in (("approved", "p0"), ("rejected", "p1"), ("undecided", "p2")):
        assert {label[:2] for label in chosen(manifest, "--only", f"decision:{word}")} == {product}
    assert plan(manifest, "--retake", "decision:rejected")["to_make"] == 1
    assert plan(manifest, "--retake", "decision:undecided")["to_make"] == 1
    text = {"text": "Place @Image1 on a marble table."}
    edit(manifest, prompts={"table": text})
    assert {label[:2] for label in chosen(manifest, "--only", "decision:stale")} == {"p0"}


def test_a_label_is_no_selector() -> None:
    """Labels have no colon, and a colon after a slash is a mistake in a label."""
    assert selector("mug/table/1:1") is None
    assert selector("9:16") is None
    assert selector("format:jpg") == ("format", "jpeg")
