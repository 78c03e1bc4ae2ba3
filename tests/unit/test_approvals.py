"""approvals.yaml and decisions.json: read strictly, merged by the newest, written so that Git can merge them."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from kit import cells, failure, manifest, told

from pipeline import decisions
from pipeline.approvals import Approvals, Decision, adopt, approvals_file, read_approvals
from pipeline.approvals import file as approvals_room
from pipeline.cli import main
from pipeline.decisions import parse_decisions, read_decisions
from pipeline.errors import ManifestError, PipelineError, StorageError
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.schema import schema_text

SHA = "a" * 64
OUTPUTS = {"aspect_ratio": ["1:1", "16:9"], "variants": 2, "format": ["png", "webp"]}


@pytest.fixture
def expansion(tmp_path):
    """Four pictures in eight cells, never run."""
    return cells(tmp_path, outputs=OUTPUTS)


def at_labels(approvals):
    """Return label → key of the pictures whose entries are there."""
    return {one.label: one.picture for one in approvals.by_key.values()}


def keys(expansion):
    """Return label without format → key."""
    return {cell.label.rpartition(".")[0]: cell.picture.key for cell in expansion.cells}


def decision(expansion, number=0, said="approved", *, who="Ana", second=0, **values):
    """Return a decision on the picture of this number."""
    label, key = list(keys(expansion).items())[number]
    when = f"2026-11-21T14:03:{second:02}Z"
    return replace(Decision(key, SHA, label, said, 0, "", who, when), **values)


def document(*made, campaign="c", **values):
    """Return such decisions as a contact sheet exports them."""
    entries = [
        {name: getattr(one, name) for name in ("picture", "file", "label", "decision", "stars", "note", "who", "when")}
        | {"take": 1}
        for one in made
    ]
    return {"version": 1, "campaign": campaign, "reviewer": "Ana", "decisions": entries} | values


def _link_to_nothing(path):
    path.symlink_to("nowhere.yaml")


def text(expansion):
    """Return what stands in the file."""
    return approvals_file(expansion.manifest).read_text("utf-8")


def test_without_a_file_nothing_is_decided(expansion):
    """No approvals.yaml is no mistake."""
    assert read_approvals(expansion.manifest) == Approvals()


def test_decisions_come_back_as_they_went_in(expansion):
    """What is adopted is read again, whatever is in it, and the file fits its schema."""
    came = [
        decision(expansion, 0),
        decision(
            expansion, 1, "rejected", note="too dark:\n# \"x\" 'y' \u2028 \x7f é 🎨\ttab", who="Ben & Co: x", stars=2
        ),
        decision(expansion, 2, "", stars=5, who="null"),
        decision(expansion, 3, "", who=""),
    ]
    merge = adopt(expansion, None, came)
    assert (len(merge.adopted), len(merge.withdrawn)) == (3, 1)
    found = read_approvals(expansion.manifest)
    assert found == merge.approvals
    assert dict(found.by_key) == {one.picture: one for one in came}
    assert dict(found.said) == {one.picture: (one,) for one in came}


def test_the_file_is_small_sorted_and_for_people(expansion):
    """It reads as the README shows it."""
    adopt(expansion, None, [decision(expansion, 1, "rejected", note="too dark", stars=3), decision(expansion)])
    first, second = list(keys(expansion).items())[:2]
    assert text(expansion) == (
        "# Decisions on pictures, written by `pipeline review`. Keep it in Git beside the manifest.\n"
        "version: 2\ncampaigns:\n  c:\n"
        f'    {first[0]}:\n      - decision: approved\n        picture: "{first[1]}"\n        file: "{SHA}"\n'
        '        who: Ana\n        when: "2026-11-21T14:03:00Z"\n'
        f'    {second[0]}:\n      - decision: rejected\n        picture: "{second[1]}"\n        file: "{SHA}"\n'
        '        stars: 3\n        who: Ana\n        when: "2026-11-21T14:03:00Z"\n        note: "too dark"\n'
    )


def test_what_is_there_already_writes_nothing(expansion):
    """Importing the same file twice touches nothing."""
    one = decision(expansion)
    adopt(expansion, None, [one])
    before = approvals_file(expansion.manifest).stat()
    merge = adopt(expansion, None, [one, decision(expansion, who="Zoe", second=0)])
    assert (merge.same, [each.who for each in merge.adopted]) == (1, ["Zoe"])
    before = approvals_file(expansion.manifest).stat()
    merge = adopt(expansion, None, [decision(expansion, who="Zoe")])
    assert (merge.same, merge.adopted, merge.older) == (1, (), ())
    assert approvals_file(expansion.manifest).stat().st_mtime_ns == before.st_mtime_ns
    assert approvals_file(expansion.manifest).stat().st_ino == before.st_ino


def test_the_newest_counts_and_who_differs_is_told(expansion):
    """Of two files, and of a file and what is there."""
    ana, ben = decision(expansion, second=1), decision(expansion, 0, "rejected", who="Ben", note="dull", second=2)
    merge = adopt(expansion, None, [ben, ana])
    assert (merge.adopted, merge.older) == ((ben, ana), ())
    assert merge.approvals.by_key[ben.picture] == ben
    assert [[said.words() for said in one.sayings] for one in merge.disagreements] == [
        ["approved by Ana", "rejected by Ben: dull"]
    ]
    merge = adopt(expansion, None, [decision(expansion, who="Cy", second=0)])
    assert ([each.who for each in merge.adopted], merge.older) == (["Cy"], ())
    assert [said.who for said in merge.disagreements[0].sayings] == ["Cy", "Ana", "Ben"]
    assert merge.approvals.by_key[ben.picture] == ben
    merge = adopt(expansion, None, [decision(expansion, who="Cy", second=9, file="b" * 64)])
    assert (len(merge.adopted), merge.disagreements) == (1, ()), "another take is another matter"
    changed = [decision(expansion, 1, who="Ana"), decision(expansion, 1, "rejected", who="Ana", second=5)]
    assert adopt(expansion, None, changed).disagreements == (), "somebody may change their mind"


def test_moments_are_compared_not_texts(expansion):
    """A fraction of a second is later than none."""
    early, late = decision(expansion), decision(expansion, 0, "rejected", when="2026-11-21T14:03:00.5Z")
    assert adopt(expansion, None, [late, early]).adopted == (late,)


def test_what_is_withdrawn_stays_withdrawn(expansion):
    """An older approval that comes in later doesn't bring it back."""
    approval, withdrawn = decision(expansion), decision(expansion, 0, "", second=3)
    adopt(expansion, None, [approval])
    merge = adopt(expansion, None, [withdrawn])
    assert (merge.adopted, merge.withdrawn) == ((), (withdrawn,))
    assert adopt(expansion, None, [approval]).older == (approval,)
    assert not read_approvals(expansion.manifest).by_key[approval.picture].approved


def test_pictures_of_another_campaign_are_kept_out(expansion):
    """They are named, and change nothing."""
    stranger = decision(expansion, picture="0" * 32, label="x/y")
    merge = adopt(expansion, None, [stranger])
    assert merge.unknown == (stranger,)
    assert not approvals_file(expansion.manifest).exists()


def test_other_campaigns_and_labels_that_are_gone_stay(expansion, tmp_path):
    """Only what is decided changes."""
    entry = f'{{decision: approved, picture: "{"1" * 32}", file: "{SHA}", when: "2026-01-01T00:00:00Z"}}'
    file = approvals_file(expansion.manifest)
    file.write_text(f"version: 1\ncampaigns: {{zz: {{a/b: {entry}}}, c: {{gone/label: {entry}}}, aa: {{}}}}\n")
    adopt(expansion, None, [decision(expansion)])
    lines = [line for line in text(expansion).splitlines() if line.endswith((":", "{}"))]
    assert lines[1:] == [
        "  aa: {}",
        "  c:",
        "    gone/label:",
        f"    {next(iter(keys(expansion)))}:",
        "  zz:",
        "    a/b:",
    ]
    assert "gone/label" in at_labels(read_approvals(expansion.manifest))


def test_a_renamed_picture_keeps_its_decision(tmp_path):
    """It is found by its key; at the next decision its entry moves to its new label, and none gets lost."""
    two = [{"id": name, "images": {"front": "mug.png"}, "vars": {"x": name}} for name in ("a", "b")]
    prompt = {"t": {"text": "Put @Image1 at {{ product.vars.x }}."}}
    before = cells(tmp_path, products={"s": two}, prompts=prompt)
    adopt(before, None, [decision(before, 0), decision(before, 1, "rejected")])
    swapped = [one | {"id": {"a": "b", "b": "a"}[one["id"]]} for one in two]
    after = cells(tmp_path, products={"s": swapped}, prompts=prompt)
    assert set(keys(after).values()) == set(keys(before).values())
    found = read_approvals(after.manifest)
    assert {key: one.decision for key, one in found.by_key.items()} == {
        keys(before)["a/t/1x1/1K/v1"]: "approved",
        keys(before)["b/t/1x1/1K/v1"]: "rejected",
    }
    merge = adopt(after, None, [decision(after, 0, "rejected", second=8)])
    assert at_labels(merge.approvals) == keys(after)


def test_proofs_of_a_paid_campaign_are_decided_apart(tmp_path):
    """They lie in a folder of their own, and so do the decisions on them."""
    file = manifest(tmp_path, providers=["fal"])
    paid, proofs = expand(load(file)), expand(load(file, providers=["local"]))
    adopt(paid, None, [decision(paid)])
    adopt(proofs, None, [decision(proofs, 0, "rejected")])
    assert [one.decision for one in read_approvals(paid.manifest).by_key.values()] == ["approved"]
    assert [one.decision for one in read_approvals(proofs.manifest).by_key.values()] == ["rejected"]
    assert read_approvals(expand(load(file, rehearsal=True)).manifest) == Approvals()


ENTRY = f'decision: approved, picture: "{"1" * 32}", file: "{SHA}", when: "2026-01-01T00:00:00Z"'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "approvals.yaml:1:1: the file is empty; start with `version: 1`"),
        ("[]", "approvals.yaml:1:1: is no mapping; start with `version: 1`"),
        (
            "version: 3\ncampaigns: {}",
            (
                "approvals.yaml:1:10: version: the file is of version 3, and this program reads 2 at most; "
                "install a newer campaign-pipeline"
            ),
        ),
        ("version: 0\ncampaigns: {}", "approvals.yaml:1:10: version: 0 is not allowed; there is 2"),
        (
            f"version: 2\ncampaigns:\n  c:\n    a:\n    - {{{ENTRY}, nte: x}}",
            "approvals.yaml:5:177: campaigns.c.a[0].nte: unknown key 'nte'; did you mean 'note'?",
        ),
        (
            f"version: 2\ncampaigns:\n  c:\n    a:\n    - {{{ENTRY}, times: {{note: 2026-02-30T00:00:00Z}}}}",
            (
                "approvals.yaml:5:191: campaigns.c.a[0].times.note: there is no such moment; "
                'for example "2026-11-21T14:03:00Z"'
            ),
        ),
        (
            f"version: 1\ncampaigns:\n  c:\n    a: {{{ENTRY}, nte: x}}",
            "approvals.yaml:4:178: campaigns.c.a.nte: unknown key 'nte'; did you mean 'note'?",
        ),
        (
            f"version: 1\ncampaigns:\n  c:\n    a: {{{ENTRY}}}\n    a: {{{ENTRY}}}",
            "approvals.yaml:5:5: campaigns.c.a: duplicate key 'a'; it is on line 4 already: remove one",
        ),
        (
            "version: 1\ncampaigns:\n  c:\n<<<<<<< ours\n    a:\n=======\n    b:\n>>>>>>> theirs\n",
            (
                "approvals.yaml:4:1: Git left a conflict here; take one side, and bring in the other: `git show "
                "MERGE_HEAD:./approvals.yaml > theirs.yaml`, then `pipeline review MANIFEST --import theirs.yaml`"
            ),
        ),
        (
            f"version: 1\ncampaigns:\n  c:\n    a: {{{ENTRY.replace('-01-01', '-13-01')}}}",
            'approvals.yaml:4:154: campaigns.c.a.when: there is no such moment; for example "2026-11-21T14:03:00Z"',
        ),
    ],
)
def test_a_broken_file_is_told_with_its_place_and_nothing_is_done(tmp_path, capsys, written, said):
    """No command goes on with a half-read file: not validate, plan, run, status or review."""
    file = manifest(tmp_path)
    (tmp_path / "approvals.yaml").write_text(written)
    expansion = expand(load(file))
    assert told(tmp_path, lambda: read_approvals(expansion.manifest)) == [said]
    export = tmp_path / "d.json"
    export.write_text(json.dumps(document(decision(expansion))))
    for command in (["validate", file], ["plan", file], ["run", file], ["status", file]):
        assert main(command) == 1
        assert said in capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert main(["review", file, "--import", str(export)]) == 1
    assert (tmp_path / "approvals.yaml").read_text() == written
    assert not (tmp_path / "out/c/results.jsonl").exists()


HOSTILE = [
    (b"", "not valid JSON"),
    (b"{", "d.json:1:2: not valid JSON"),
    (b"\xff\xfe", "is not UTF-8 text"),
    (b"[" * 100_000, "not valid JSON"),
    (b"NaN", "NaN is no number"),
    (b"9" * 10_000, "not valid JSON"),
    (b"null", "is empty, not a mapping"),
    (b'{"version": 1}', "the key 'campaign' is missing"),
    (json.dumps(document(campaign="other")).encode(), "decisions on the campaign 'other', not 'c'"),
    (json.dumps(document(reviewer=7)).encode(), "7 is a number, not text"),
    (json.dumps(document(decisions={})).encode(), "is a mapping, not a list"),
    (json.dumps(document() | {"x": 1}).encode(), "unknown key 'x'"),
]


@pytest.mark.parametrize(("data", "fact"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_is_no_decisions_is_told_as_such(data, fact):
    """With its place and the next step."""
    error = failure(PipelineError, lambda: parse_decisions(data, "d.json", "c"))
    assert fact in str(error)
    assert str(error).startswith("d.json")
    assert "; " in str(error) or ": name the manifest" in str(error)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"picture": "../../x"}, "decisions[0].picture: '../../x' is not allowed here"),
        ({"file": "A" * 64}, "decisions[0].file"),
        ({"decision": "maybe"}, "decisions[0].decision: 'maybe' is not allowed"),
        ({"stars": 6}, "decisions[0].stars: 6 is out of range; the most is 5"),
        ({"stars": True}, "decisions[0].stars"),
        ({"note": "x" * 4001}, "decisions[0].note: has 4,001 characters; the most is 4,000"),
        ({"who": "x" * 201}, "decisions[0].who: has 201 characters; the most is 200"),
        ({"when": "yesterday"}, "decisions[0].when: 'yesterday' is not allowed here"),
        ({"when": "2026-02-30T00:00:00Z"}, "decisions[0].when: '2026-02-30T00:00:00Z' is no moment"),
        ({"when": "2026-02-03T00:00:00Z\n"}, "decisions[0].when"),
    ],
)
def test_each_value_is_checked_with_its_place(expansion, change, fact):
    """A value that fits nothing is named: file, line, column, key path, fact and next step."""
    data = json.dumps(document(replace(decision(expansion), **change)), indent=1).encode()
    error = failure(ManifestError, lambda: parse_decisions(data, "d.json", "c"))
    assert fact in str(error)
    assert error.problems[0].mark.line > 1 or "moment" in fact


def test_half_characters_and_control_signs_reach_no_file_and_no_terminal(expansion):
    """Whatever stands in a name or a note: it is whole in the file, and escaped where it is told."""
    evil = "\x1b[2J\u202e\ud800"
    data = json.dumps(document(decision(expansion, note=evil, who=evil))).encode()
    (found,) = parse_decisions(data, "d.json", "c")
    adopt(expansion, None, [found])
    assert text(expansion).replace("\n", "").isprintable()
    assert read_approvals(expansion.manifest).by_key[found.picture].note == "\x1b[2J\u202e?"
    assert found.words() == r"approved by \x1b[2J\u202e?: \x1b[2J\u202e?"
    data = json.dumps(document(replace(decision(expansion), decision=evil))).encode()
    assert "is not allowed" in str(failure(ManifestError, lambda: parse_decisions(data, "d.json", "c")))


def test_too_much_is_refused_unread(tmp_path, monkeypatch):
    """A file has a largest size, and must be one."""
    monkeypatch.setattr(decisions, "MAX_BYTES", 10)
    (tmp_path / "d.json").write_bytes(b"x" * 11)
    assert "is larger than" in str(failure(PipelineError, lambda: read_decisions(str(tmp_path / "d.json"), "c")))
    assert "can't be read" in str(failure(PipelineError, lambda: read_decisions(str(tmp_path / "no.json"), "c")))
    assert "it is no file" in str(failure(PipelineError, lambda: read_decisions("/dev/zero", "c")))


def test_a_clock_that_is_years_ahead_does_not_win_for_ever(expansion):
    """A moment to come counts as now."""
    data = json.dumps(document(decision(expansion, when="9999-12-31T23:59:59Z"))).encode()
    (found,) = parse_decisions(data, "d.json", "c")
    assert found.when < "9000"


TEXT = st.text(max_size=60) | st.sampled_from(
    ["\ud800", "a\u0085b", "\ufeff", "# x", "- y", "<<", "null", "1e3", "a: b", "'"]
)
WHEN = st.sampled_from([f"2026-11-21T14:03:0{n}{f}Z" for n in range(3) for f in ("", ".5", ".25")])


@st.composite
def many(draw, names=tuple(f"{n:032x}" for n in range(1, 5))):
    """Decisions on four pictures, two of which this campaign shows."""
    return Decision(
        draw(st.sampled_from(names)),
        draw(st.sampled_from([SHA, "b" * 64])),
        draw(TEXT),
        draw(st.sampled_from(["approved", "rejected", ""])),
        draw(st.integers(0, 5)),
        draw(TEXT),
        draw(TEXT),
        draw(WHEN),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An expansion that many examples share; each removes the file."""
    return cells(tmp_path_factory.mktemp("shared"), outputs=OUTPUTS)


@settings(max_examples=60, deadline=None)
@given(st.lists(many(), max_size=8), st.randoms(use_true_random=False))
def test_whatever_comes_in_is_written_read_and_independent_of_its_order(shared, came, random):
    """Any order, in one file or many, gives the same bytes; they are valid YAML, fit the schema and read back."""
    real = list(keys(shared).values())
    came = [replace(one, picture=real[int(one.picture, 16) - 1]) for one in came]
    data = json.dumps(document(*came)).encode()
    parsed = parse_decisions(data, "d.json", "c")
    file = approvals_file(shared.manifest)
    file.unlink(missing_ok=True)
    merge = adopt(shared, None, parsed)
    found = read_approvals(shared.manifest)
    assert found == merge.approvals
    once = file.read_bytes() if came else b""
    file.unlink(missing_ok=True)
    random.shuffle(parsed)
    for one in parsed:
        adopt(shared, None, [one])
    assert (file.read_bytes() if came else b"") == once


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["version", "campaign", "reviewer", "decisions", "picture"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_read_or_told(value):
    """Nothing that is JSON ends in a traceback."""
    error = failure(PipelineError, lambda: parse_decisions(json.dumps(value).encode(), "d.json", "c"))
    assert error is not None
    assert str(error).startswith("d.json:")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("abc:{}[]-\"'\n #&*!|>%@`,<=1.~\t"), max_size=60))
def test_any_yaml_is_read_or_told(shared, tail):
    """Nothing that stands in the file ends in a traceback, and no half of it is used."""
    approvals_file(shared.manifest).write_text(f"version: 1\ncampaigns:{tail}")
    error = failure(PipelineError, lambda: read_approvals(shared.manifest))
    if error is None:
        assert not read_approvals(shared.manifest).by_key


def git_merge(tmp_path, base, ours, theirs):
    """Return what `git merge-file` makes of three texts, and its exit code."""
    for name, content in (("base", base), ("ours", ours), ("theirs", theirs)):
        (tmp_path / name).write_text(content)
    command = ["git", "merge-file", "-p", str(tmp_path / "ours"), str(tmp_path / "base"), str(tmp_path / "theirs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout, done.returncode


def test_git_merges_two_branches_that_touch_different_pictures(tmp_path):
    """Neighbours changed, entries added at both ends: no conflict, and the result is what a review would write."""

    expansion = cells(tmp_path, outputs=OUTPUTS | {"variants": 3})

    def written(*came):
        approvals_file(expansion.manifest).unlink(missing_ok=True)
        adopt(expansion, None, came)
        return text(expansion)

    # As the file has them: 16x9 v1, v2, v3, then 1x1 v1, v2, v3.
    start = [decision(expansion, 4), decision(expansion, 0), decision(expansion, 1)]
    mine = [decision(expansion, 0, "rejected", second=5, note="too dark"), decision(expansion, 3, second=5)]
    yours = [decision(expansion, 1, "rejected", second=6, who="Ben", stars=1), decision(expansion, 2, second=6)]
    merged, code = git_merge(tmp_path, written(*start), written(*start, *mine), written(*start, *yours))
    assert code == 0, merged
    assert merged == written(*start, *mine, *yours)


def test_a_conflict_that_git_leaves_is_mended_by_a_review(expansion, tmp_path, capsys):
    """Entries that both branches add at one place are one: take a side and bring in the other."""
    sides = []
    for number in (0, 1):
        approvals_file(expansion.manifest).unlink(missing_ok=True)
        adopt(expansion, None, [decision(expansion, number)])
        sides.append(text(expansion))
    merged, code = git_merge(tmp_path, "", *sides)
    assert code != 0
    approvals_file(expansion.manifest).write_text(merged)
    assert main(["plan", expansion.manifest.file]) == 1
    assert "Git left a conflict here" in capsys.readouterr().err
    approvals_file(expansion.manifest).write_text(sides[0])
    (tmp_path / "theirs.yaml").write_text(sides[1])
    assert main(["review", expansion.manifest.file, "--import", str(tmp_path / "theirs.yaml")]) == 0
    assert len(read_approvals(expansion.manifest).by_key) == 2
    assert main(["review", expansion.manifest.file, "--import", str(tmp_path / "no.yaml")]) == 1


def test_a_file_that_cannot_be_written_is_told(expansion, monkeypatch):
    """And nothing has changed."""
    adopt(expansion, None, [decision(expansion)])
    before = text(expansion)

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(approvals_room, "write_whole", full)
    error = failure(StorageError, lambda: adopt(expansion, None, [decision(expansion, 1)]))
    assert "approvals.yaml: can't be written: No space left" in str(error)
    assert text(expansion) == before


def test_what_could_not_be_read_again_is_not_written(expansion, monkeypatch):
    """A file that grows over what is read at most would stop every command."""
    adopt(expansion, None, [decision(expansion)])
    before = text(expansion)
    monkeypatch.setattr(approvals_room, "MAX_BYTES", len(before))
    error = failure(StorageError, lambda: adopt(expansion, None, [decision(expansion, 1)]))
    assert "shorten the notes" in str(error)
    assert text(expansion) == before


@pytest.mark.parametrize(
    ("make", "said"), [(os.mkfifo, "is no file"), (_link_to_nothing, "is a link that leads to no")]
)
def test_what_is_no_file_is_told_as_such(tmp_path, make, said):
    """A link that leads nowhere, or a pipe: neither is read, written or waited for."""
    expansion = cells(tmp_path)
    make(tmp_path / "approvals.yaml")
    assert said in "".join(told(tmp_path, lambda: read_approvals(expansion.manifest)))
    assert said in "".join(told(tmp_path, lambda: adopt(expansion, None, [decision(expansion)])))


def test_a_link_stays_a_link(expansion, tmp_path):
    """Decisions that are kept elsewhere go there."""
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text("version: 1\ncampaigns: {}\n")
    approvals_file(expansion.manifest).symlink_to(elsewhere)
    adopt(expansion, None, [decision(expansion)])
    assert approvals_file(expansion.manifest).is_symlink()
    assert "approved" in elsewhere.read_text()


def _adopt_one(file, number):
    expansion = expand(load(file))
    adopt(expansion, None, [decision(expansion, number)])


@pytest.mark.parametrize("folders", [1, 2])
def test_processes_that_decide_at_once_lose_nothing(tmp_path, folders):
    """Reading, merging and writing is one step; also where the manifests of two folders share a file by links."""
    files = [manifest(tmp_path / str(number), outputs={"variants": 8}) for number in range(folders)]
    for number in range(folders if folders > 1 else 0):
        (tmp_path / "shared.yaml").write_text("version: 1\ncampaigns: {}\n")
        (tmp_path / str(number) / "approvals.yaml").symlink_to(tmp_path / "shared.yaml")
    file = files[0]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_adopt_one, args=(files[n % folders], n)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert len(read_approvals(load(file)).by_key) == 8


def test_a_long_label_gives_way_to_the_key(tmp_path):
    """YAML takes no key of more than a thousand signs."""
    vary = {f"axis{n}": [str(n) * 80] for n in range(9)}
    text_of = "Put @Image1 " + " ".join(f"{{{{ {axis} }}}}" for axis in vary)
    path = "{{ product.id }}.{{ ext }}"
    expansion = cells(tmp_path, prompts={"t": {"text": text_of, "vary": vary}}, outputs={"path": path})
    one = decision(expansion)
    assert len(one.label) > 700
    adopt(expansion, None, [one])
    found = read_approvals(expansion.manifest)
    assert found.by_key[one.picture].approved
    assert list(at_labels(found)) == [one.picture]


def test_the_written_file_fits_the_published_schema(expansion):
    """As any reader of YAML sees it."""
    import yaml

    adopt(
        expansion, None, [decision(expansion), decision(expansion, 1, "", stars=2), decision(expansion, 2, "rejected")]
    )
    Draft202012Validator(json.loads(schema_text("approvals"))).validate(yaml.safe_load(text(expansion)))


def test_the_command_says_what_it_did(tmp_path, capsys):
    """Counts, who differs, what is unknown, and the next step."""
    file = manifest(tmp_path, outputs=OUTPUTS)
    expansion = expand(load(file))
    ana, ben = tmp_path / "ana.json", tmp_path / "ben.json"
    ana.write_text(json.dumps(document(decision(expansion), decision(expansion, 1))))
    other = decision(expansion, 2, picture="0" * 32, label="not/here\x1b[2J")
    ben.write_text(
        json.dumps(document(decision(expansion, 1, "rejected", who="Ben", note="too\ndark", second=9), other))
    )
    assert main(["review", file, "--import", str(ana), "--import", str(ben)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/approvals.yaml: 3 decisions adopted (2 approved, 1 rejected)\n"
    assert err.splitlines() == [
        "1 decision on pictures that are not of this campaign: not/here[2J",
        "mug/table/1x1/1K/v2: approved by Ana, rejected by Ben: too dark; the newest counts",
        f"next: pipeline plan {file} --retake rejected",
    ]
    assert main(["review", file, "--import", str(ana), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["adopted"], told["same"], told["older"], len(told["disagreements"])) == (0, 2, 0, 1)
    assert main(["review", file, "--import", str(tmp_path / "no.json")]) == 1
