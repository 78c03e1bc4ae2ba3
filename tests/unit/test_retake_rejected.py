"""What reviewers decided, and what runs do about it: approved pictures are frozen, rejected ones retaken when asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fakes import campaign as real
from fakes.campaign import edit, results, write_campaign
from fakes.gateway import serving

from pipeline.cli import main
from pipeline.ledger import RequestRow, open_ledger

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png", "webp"]}
LABELS = [f"p{number}/table/1x1/1K/v1" for number in range(4)]


class Desk:
    """A campaign and the command line, as a producer and reviewers use them."""

    def __init__(self, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.manifest = manifest
        self.capsys = capsys
        self.folder = manifest.parent / "out/test"
        self.moment = 0

    def say(self, *words: str, expect: int = 0) -> str:
        """Return what a command says, on both streams."""
        assert main([words[0], str(self.manifest), *words[1:]]) == expect
        return "".join(self.capsys.readouterr())

    def ask(self, *words: str, expect: int = 0) -> dict[str, Any]:
        """Return the document of a command."""
        assert main([words[0], str(self.manifest), *words[1:], "--json"]) == expect
        document: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return document

    def pictures(self) -> dict[str, tuple[str, str, int]]:
        """Return label without format → key, hash of the original, and take of what is shown."""
        found = {}
        for line in results(self.manifest):
            sidecar = self.folder / line["path"].replace(".png", ".json").replace(".webp", ".json")
            if sidecar.is_file():
                told = json.loads(sidecar.read_text())
                found[line["label"].rpartition(".")[0]] = (told["key"], told["original"]["sha256"], told["take"])
        return found

    def decide(self, said: dict[str, str], who: str = "Ana", note: str = "") -> str:
        """Bring in decisions on what is shown now."""
        self.moment += 1
        shown = self.pictures()
        entries = [
            {
                "picture": shown[label][0],
                "file": shown[label][1],
                "take": shown[label][2],
                "label": label,
                "decision": decision,
                "stars": 0,
                "note": note,
                "who": who,
                "when": f"2026-01-01T00:00:{self.moment:02}Z",
            }
            for label, decision in said.items()
        ]
        file = self.manifest.parent / "decisions.json"
        file.write_text(json.dumps({"version": 1, "campaign": "test", "reviewer": who, "decisions": entries}))
        return self.say("review", "--import", str(file))

    def bytes_of(self, label: str) -> bytes:
        return (
            self.folder / next(line["path"] for line in results(self.manifest) if line["label"] == label)
        ).read_bytes()

    def actions(self, *words: str) -> dict[str, str]:
        """Return label → what is to be done with its PNG, and why."""
        steps = self.ask("plan", *words)["steps"]
        return {
            step["label"].removesuffix(".png"): " ".join(filter(None, (step["action"], step["reason"], step["review"])))
            for step in steps
            if step["label"].endswith(".png")
        }


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Four pictures in eight cells, made."""
    manifest = write_campaign(tmp_path, count=4, outputs=OUTPUTS)
    desk = Desk(manifest, capsys)
    desk.say("run")
    return desk


def approve(*numbers: int) -> dict[str, str]:
    return {LABELS[number]: "approved" for number in numbers}


def reject(*numbers: int) -> dict[str, str]:
    return {LABELS[number]: "rejected" for number in numbers}


def test_without_decisions_nothing_is_said(desk: Desk) -> None:
    """No word of frozen, stale or rejected where there is no approvals.yaml."""
    for words in (["plan", "-v"], ["status"], ["run"]):
        said = desk.say(*words)
        assert not [word for word in ("frozen", "stale", "rejected", "approv") if word in said]


def test_two_are_rejected_and_made_anew_the_others_are_frozen(desk: Desk) -> None:
    """The whole way of acceptance: review, plan, run; and the second time there is nothing to retake."""
    said = desk.decide(approve(0, 1) | reject(2, 3), note="too dark")
    assert "4 decisions adopted (2 approved, 2 rejected)" in said
    assert f"next: pipeline plan {desk.manifest} --retake rejected" in said
    before = {label: desk.bytes_of(f"{label}.png") for label in LABELS}
    assert desk.actions() == {
        **dict.fromkeys(LABELS[:2], "done frozen: approved by Ana: too dark"),
        **dict.fromkeys(LABELS[2:], "done rejected by Ana: too dark"),
    }
    said = desk.say("plan")
    assert "2 pictures approved and frozen" in said
    assert "2 pictures rejected: --retake rejected makes them anew (free)" in said
    assert "nothing to do" in said
    assert "2 pictures rejected: --retake rejected makes them anew" in desk.say("run")
    assert desk.actions("--retake", "rejected") == dict.fromkeys(LABELS[2:], "make retake: rejected by Ana: too dark")
    document = desk.ask("run", "--retake", "rejected")
    assert (document["made"], document["selected"], document["done"]) == (2, 4, 4)
    after = {label: desk.bytes_of(f"{label}.png") for label in LABELS}
    assert [before[label] == after[label] for label in LABELS] == [True, True, False, False]
    assert "no picture is rejected as it is now (2 before)" in desk.say("run", "--retake", "rejected")
    document = desk.ask("plan")
    assert (document["frozen"], document["stale"], document["rejected"], document["to_make"]) == (2, 0, 0, 0)


def entry(desk: Desk, number: int, **said: Any) -> dict[str, Any]:
    """What somebody says about the take that is shown of a picture."""
    key, sha, _ = desk.pictures()[LABELS[number]]
    return {"picture": key, "file": sha, "label": LABELS[number], "decision": "", **said}


def bring_in(desk: Desk, *several: list[dict[str, Any]]) -> str:
    """Import a file for each of these, in one go."""
    words = []
    for number, entries in enumerate(several):
        file = desk.manifest.parent / f"{number}.json"
        whole = {"version": 1, "campaign": "test", "reviewer": entries[0]["who"], "decisions": entries}
        file.write_text(json.dumps(whole))
        words += ["--import", str(file)]
    return desk.say("review", *words)


@pytest.mark.parametrize("backwards", [False, True])
def test_stars_of_another_keep_approval_note_and_freeze(desk: Desk, backwards: bool) -> None:
    """Ana approves with a note, Ben later gives stars: nothing of hers is gone, in whatever order the files come."""
    ana = [entry(desk, 0, decision="approved", note="lovely", who="Ana", when="2026-01-01T00:00:01Z")]
    ben = [entry(desk, 0, stars=5, who="Ben", when="2026-01-01T00:00:02Z")]
    said = bring_in(desk, *((ben, ana) if backwards else (ana, ben)))
    assert "2 decisions adopted (1 approved, 1 with stars or a note only)" in said
    assert "differ" not in desk.say("plan")
    assert desk.ask("plan")["frozen"] == 1
    assert desk.actions()[LABELS[0]] == "done frozen: approved by Ana: lovely"
    text = (desk.manifest.parent / "approvals.yaml").read_text()
    assert text.count("decision: ") == 2
    assert all(word in text for word in ("who: Ana", 'note: "lovely"', "who: Ben", "stars: 5"))


def test_an_objection_is_never_hidden_by_a_younger_approval(desk: Desk) -> None:
    """The newest counts; import, plan and status say that reviewers differ, and -v who said what."""
    desk.decide(reject(0), who="Ben", note="dull")
    said = desk.decide(approve(0, 1), who="Ana", note="lovely")
    assert f"{LABELS[0]}: rejected by Ben: dull, approved by Ana: lovely; the newest counts" in said
    assert desk.actions()[LABELS[0]] == "done frozen: approved by Ana: lovely; but rejected by Ben: dull"
    assert desk.actions()[LABELS[1]] == "done frozen: approved by Ana: lovely"
    for words in ("plan", "status"):
        assert "reviewers differ on 1 picture: the newest decision counts (`pipeline plan -v` names" in desk.say(words)
    found = desk.ask("plan")
    assert (found["frozen"], found["rejected"], found["differing"]) == (2, 0, 1)
    desk.decide({LABELS[0]: ""}, who="Ana")
    found = desk.ask("plan")
    assert (found["frozen"], found["rejected"], found["differing"]) == (1, 1, 0), "her withdrawal takes back only hers"
    assert desk.actions()[LABELS[0]] == "done rejected by Ben: dull"


def test_words_on_another_take_take_no_approval_away(desk: Desk) -> None:
    """Take 2 is approved; a younger rejection of take 1, or stars for it, come in from a sheet of before."""
    before = entry(desk, 0, decision="rejected", who="Ben", when="2026-03-01T00:00:00Z", note="dull")
    desk.decide(reject(0))
    desk.say("run", "--retake", "rejected")
    desk.decide(approve(0))
    assert desk.ask("plan")["frozen"] == 1
    bring_in(desk, [before])
    assert desk.ask("plan")["frozen"] == 1
    assert desk.actions()[LABELS[0]] == "done frozen: approved by Ana"
    assert desk.ask("plan", "--retake", "rejected")["to_make"] == 0


def test_verbose_lines_tell_who_decided(desk: Desk) -> None:
    """Each cell with its decision; status in numbers."""
    desk.decide(approve(0))
    desk.decide(reject(1), who="Ben", note="dull")
    said = desk.say("plan", "-v")
    assert f"done      {LABELS[0]}.png  frozen: approved by Ana\n" in said
    assert f"done      {LABELS[1]}.webp  rejected by Ben: dull\n" in said
    said = desk.say("status")
    assert "frozen    1 picture\n" in said
    assert "rejected  1 picture\n" in said
    assert "stale" not in said
    assert "1 picture rejected: --retake rejected makes it anew (free)" in said
    assert "1 frozen" in desk.say("run")


def test_a_note_does_nothing_to_a_terminal(desk: Desk) -> None:
    """It comes by mail from anybody, and is shown by several commands."""
    desk.decide(reject(0) | approve(1), who="Ben\x1b[31m", note="\x1b[2Jgone\u202e")
    for words in (["plan", "-v"], ["plan", "-v", "--retake", "rejected"], ["status"], ["run"]):
        assert desk.say(*words).replace("\n", "").isprintable()
    assert r"rejected by Ben\x1b[31m: \x1b[2Jgone\u202e" in desk.say("plan", "-v")


def test_a_glob_never_retakes_what_is_approved(desk: Desk) -> None:
    """A nightly that retakes everything leaves it out and says so; when nothing is left, it is refused."""
    desk.decide(approve(0, 1))
    kept = [desk.bytes_of(f"{label}.webp") for label in LABELS[:2]]
    assert "2 approved pictures left out of the retake" in desk.say("plan", "--retake", "*")
    document = desk.ask("run", "--retake", "*")
    assert document["made"] == 2
    assert [desk.bytes_of(f"{label}.webp") for label in LABELS[:2]] == kept
    assert "withdrawing the approvals (`pipeline review`) frees them" in desk.say("run", "--retake", "p[01]", expect=2)
    assert "the picture is approved, and so frozen" in desk.say("plan", "--retake", "p0", expect=2)
    desk.decide({LABELS[0]: ""})
    assert desk.ask("run", "--retake", "p0")["made"] == 1


def test_nothing_to_retake_has_a_next_step(desk: Desk) -> None:
    """Where none was ever rejected, the way there is told; but a job that does so every night has not failed."""
    said = desk.say("run", "--retake", "rejected")
    assert "no picture is rejected: decide on the contact sheet" in said
    assert "--import decisions.json" in said


def test_rejected_and_globs_together(desk: Desk) -> None:
    """Both are retaken, and `--only` narrows them."""
    desk.decide(reject(2, 3) | approve(0))
    assert set(desk.actions("--retake", "rejected", "--retake", "p[01]")) == set(LABELS)
    assert desk.ask("plan", "--retake", "rejected", "--retake", "p[01]")["to_make"] == 3
    assert desk.ask("plan", "--retake", "rejected", "--only", "p3")["to_make"] == 1
    assert desk.ask("run", "--retake", "rejected", "--limit", "1")["made"] == 1
    assert desk.ask("run", "--retake", "rejected")["made"] == 1


def test_a_saved_plan_retakes_the_rejected_and_respects_later_approvals(desk: Desk) -> None:
    """It makes what was planned, but not what was approved in the meantime."""
    desk.decide(reject(1, 2))
    plan = desk.manifest.parent / "plan.json"
    desk.say("plan", "--retake", "rejected", "-o", str(plan))
    desk.decide(approve(1))
    assert main(["run", str(plan), "--json"]) == 0
    out, err = desk.capsys.readouterr()
    assert json.loads(out)["made"] == 1
    assert "1 approved picture left out of the retake" in err
    assert [take for _, _, take in desk.pictures().values()] == [1, 1, 2, 1]


def test_a_changed_spec_makes_its_approval_stale(desk: Desk) -> None:
    """The plan says what changed; the new picture waits for a decision of its own, and going back freezes again."""
    desk.decide(approve(0, 1))
    edit(desk.manifest, prompts={"table": {"text": "Place @Image1 on a marble table."}})
    found = desk.actions()
    assert found[LABELS[0]] == "make approved as it was before: prompt changed"
    assert found[LABELS[2]] == "make prompt changed"
    said = desk.say("plan", "-v")
    assert "2 approvals stale" in said
    assert "+ … @Image1 on a marble table." in said
    assert "4 approved as it was before" in desk.say("plan")
    desk.say("run")
    found = desk.actions()
    assert found[LABELS[0]] == "done approved as it was before: prompt changed"
    assert found[LABELS[2]] == "done"
    assert "2 approvals stale" in desk.say("run")
    desk.decide(approve(0))
    document = desk.ask("plan")
    assert (document["frozen"], document["stale"]) == (1, 1)
    edit(desk.manifest, prompts={"table": {"text": "Place @Image1 on a table."}})
    assert desk.actions()[LABELS[1]] == "rebuild kept picture comes back frozen: approved by Ana"


def test_another_take_than_the_approved_one_is_stale(desk: Desk) -> None:
    """An approval of the first take says nothing about the second."""
    first = desk.pictures()
    desk.ask("run", "--retake", "p0")
    file = desk.manifest.parent / "decisions.json"
    key, sha, _ = first[LABELS[0]]
    entry = {"picture": key, "file": sha, "label": LABELS[0], "decision": "approved", "who": "Ana"}
    entry["when"] = "2026-01-01T00:00:00Z"
    file.write_text(json.dumps({"version": 1, "campaign": "test", "reviewer": "Ana", "decisions": [entry]}))
    desk.say("review", "--import", str(file))
    assert desk.actions()[LABELS[0]] == "done approved as it was before: another take was approved"
    assert desk.ask("plan")["stale"] == 1
    assert desk.ask("run", "--retake", "p0")["made"] == 1


def test_files_of_an_approved_picture_are_rebuilt_for_free(desk: Desk) -> None:
    """Removed, damaged, or wanted in another encoding: the kept original gives them back."""
    desk.decide(approve(0))
    before = desk.bytes_of(f"{LABELS[0]}.png")
    for name in ("png", "webp"):
        (desk.folder / f"p0/table/1x1_1K_v1.{name}").unlink()
    document = desk.ask("run")
    assert (document["made"], document["rebuilt"]) == (0, 2)
    assert desk.bytes_of(f"{LABELS[0]}.png") == before
    edit(desk.manifest, outputs=OUTPUTS | {"format": ["png", "webp", "jpeg"]})
    document = desk.ask("run", "--only", "p0")
    assert (document["made"], document["rebuilt"]) == (0, 1)


@pytest.mark.parametrize("how", ["removed", "damaged in secret"])
def test_an_approved_picture_that_is_lost_is_not_made_anew(desk: Desk, how: str) -> None:
    """It fails with its hash and what to do; put back, it is whole again; without its approval it is made anew."""
    desk.decide(approve(0))
    _, sha, _ = desk.pictures()[LABELS[0]]
    original = next((desk.folder / ".pipeline/originals").glob(f"{desk.pictures()[LABELS[0]][0]}.t1.*"))
    whole = original.read_bytes()
    for name in ("png", "webp"):
        (desk.folder / f"p0/table/1x1_1K_v1.{name}").unlink()
    if how == "removed":
        original.unlink()
    else:
        original.write_bytes(b"x" * len(whole))
    document = desk.ask("run", expect=3)
    assert (document["made"], document["missing"]) == (0, 2)
    assert desk.ask("run", expect=3)["made"] == 0
    said = desk.actions()[LABELS[0]]
    assert said.startswith("failed the approved picture is ")
    assert sha in said
    assert f"{original.name}" in said
    assert "2 cells of approved pictures that are lost: not made anew" in desk.say("plan")
    assert "2 cells approved and lost" in desk.say("run", expect=3)
    assert "--retry-failed" not in desk.say("run", "--retry-failed", expect=3)
    assert "frozen" in desk.say("run", "--retake", "p0", expect=2)
    original.write_bytes(whole)
    if how != "removed":  # the ledger has forgotten it
        desk.say("restore")
    assert desk.ask("run")["made"] == 0
    assert desk.actions()[LABELS[0]] == "done frozen: approved by Ana"


def test_without_its_approval_a_lost_picture_is_made_anew(desk: Desk) -> None:
    """Withdrawing it is the way on."""
    desk.decide(approve(0))
    shutil.rmtree(desk.folder / "p0")
    key = json.loads((desk.manifest.parent / "decisions.json").read_text())["decisions"][0]["picture"]
    for original in (desk.folder / ".pipeline/originals").glob(f"{key}.*"):
        original.unlink()
    assert desk.ask("run", expect=3)["made"] == 0
    (desk.manifest.parent / "approvals.yaml").unlink()
    assert desk.ask("run")["made"] == 1


def test_a_retake_that_is_owed_waits_while_its_picture_is_approved(desk: Desk) -> None:
    """A retake was cut short, then the take before it was approved: it isn't made any more, until that is withdrawn."""
    key = desk.pictures()[LABELS[0]][0]
    with open_ledger(desk.folder / ".pipeline", "test") as ledger:
        ledger.commit([lambda ledger: ledger.add_wish(key, 2)])
    assert desk.ask("plan")["to_make"] == 1
    desk.decide(approve(0))
    assert desk.ask("run")["made"] == 0
    desk.decide({LABELS[0]: ""})
    assert desk.ask("run")["made"] == 1


@pytest.mark.parametrize(("state", "asked"), [("intent", False), ("uncertain", False), ("accepted", True)])
def test_only_what_was_accepted_is_fetched_for_an_approved_picture(desk: Desk, state: str, asked: bool) -> None:
    """An open retake: nothing more is paid for it, but what was accepted is paid already and is continued."""
    key = desk.pictures()[LABELS[0]][0]
    with open_ledger(desk.folder / ".pipeline", "test") as ledger:
        spec = ledger.snapshot().pictures[key].spec
        row = RequestRow(
            *("r", spec, ((key, 1),), 2, "local", "local", "local", "", LABELS[0], state, 0, 0, 1.0, None), product="p0"
        )
        ledger.commit([lambda ledger: ledger.add_request(row)])
    desk.decide(approve(0))
    found = desk.actions("--uncertain", "retry")[LABELS[0]]
    assert found == ("make in flight frozen: approved by Ana" if asked else "done frozen: approved by Ana")


def test_a_rejection_of_an_older_take_asks_for_nothing(desk: Desk) -> None:
    """It was said of another file."""
    desk.decide(reject(0))
    desk.ask("run", "--retake", "rejected")
    assert desk.ask("plan")["rejected"] == 0
    desk.decide(reject(0), note="still too dark")
    assert desk.actions("--retake", "rejected") == {LABELS[0]: "make retake: rejected by Ana: still too dark"}
    assert desk.ask("run", "--retake", "rejected")["made"] == 1
    assert desk.pictures()[LABELS[0]][2] == 3


def test_a_picture_in_several_places_is_decided_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two prompts that say the same show one picture: one entry, frozen at both labels."""
    text = {"text": "Place @Image1 on a table."}
    desk = Desk(write_campaign(tmp_path, count=1, outputs=OUTPUTS, prompts={"a": text, "b": text}), capsys)
    desk.say("run")
    desk.decide({"p0/a/1x1/1K/v1": "approved"})
    assert set(desk.actions().values()) == {"done frozen: approved by Ana"}
    assert desk.ask("plan")["frozen"] == 1


def test_a_renamed_product_keeps_its_approval(desk: Desk) -> None:
    """The key is what counts."""
    desk.decide(approve(0))
    things = json.loads(desk.manifest.read_text())["products"]["things"]
    edit(desk.manifest, products={"things": [things[0] | {"id": "renamed"}, *things[1:]]})
    assert desk.actions()["renamed/table/1x1/1K/v1"] == "rebuild file not written yet frozen: approved by Ana"
    assert desk.ask("plan")["stale"] == 0


def test_paid_retakes_have_a_price_and_pay_for_the_rejected_only(tmp_path: Path) -> None:
    """With a gateway that counts: two rejected, two paid; approved pictures that are nowhere here aren't paid again."""
    with serving() as gateway:
        manifest = write_campaign(
            tmp_path, count=4, outputs=OUTPUTS, provider={"name": "fake", "base_url": gateway.url}
        )
        assert real.run(manifest)["made"] == 4
        shown = {line["label"].rpartition(".")[0]: line["key"] for line in results(manifest)}
        hashes = {}
        for sidecar in (tmp_path / "out/test").glob("p*/**/*.json"):
            told = json.loads(sidecar.read_text())
            hashes[told["key"]] = told["original"]["sha256"]
        entries = [
            {"picture": key, "file": hashes[key], "label": label, "decision": said, "who": "Ana", "note": ""}
            | {"when": "2026-01-01T00:00:00Z"}
            for (label, key), said in zip(shown.items(), ["approved", "approved", "rejected", "rejected"], strict=True)
        ]
        file = tmp_path / "d.json"
        file.write_text(json.dumps({"version": 1, "campaign": "test", "reviewer": "A", "decisions": entries}))
        real.pipeline("review", manifest, "--import", file)
        said = real.pipeline("plan", manifest).stdout
        usd = real.plan(manifest, "--retake", "rejected")["usd"]
        assert usd > 0
        assert f"2 pictures rejected: --retake rejected makes them anew (${usd:g})" in said
        document = real.run(manifest, "--retake", "rejected")
        assert (document["made"], document["usd"]) == (2, pytest.approx(usd))
        shutil.rmtree(tmp_path / "out")
        document = real.run(manifest, expect=3)
        assert document["made"] == 2, "those that nobody approved"
        assert document["lost_cells"] == 4
