"""Hostile manifests, through the real command: refused with little work, in words that say where, nothing written."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.hostile_manifests import CASES, GOOD, HEAVY, SAMPLE, Case, from_file
from fakes.judge import Judge, judging
from fakes.mutations import BOWLS, spoilt_bytes, spoilt_trees
from hypothesis import given, settings
from hypothesis import strategies as st

COMMANDS = st.sampled_from([["validate", "m.yaml"], ["validate", "--json", "m.yaml"], ["plan", "--json", "m.yaml"]])
LOCATED = re.compile(r"^\S+:\d+:\d+: \S", re.MULTILINE)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """A judge for all trials of this file."""
    with judging() as one:
        yield one


def files(folder: Path) -> set[str]:
    """What is in a folder, at any depth."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name not in HEAVY - SAMPLE], ids=lambda case: case.name
)
def test_a_hostile_manifest_is_refused(judge: Judge, tmp_path: Path, case: Case) -> None:
    """`run` ends with 1, after bounded work and in 300 MB, says where and what, and leaves no file behind."""
    case.write(tmp_path)
    before = files(tmp_path)
    verdict = judge.judge(tmp_path, "run", "m.yaml")
    assert verdict.faults(1) == []
    assert case.words in verdict.said
    assert LOCATED.search(verdict.said), verdict.said[:1000]
    assert len(verdict.said.splitlines()) <= 102
    assert files(tmp_path) == before


def test_the_corpus_has_no_two_of_a_name() -> None:
    """Every case is its own, and the heavy ones are cases."""
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert SAMPLE < HEAVY < set(names)


def spoilt(judge: Judge, data: bytes, command: list[str]) -> list[str]:
    """What is wrong with what a command does about a spoilt manifest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Case("spoilt", data, "", lambda folder: (folder / "bowls.csv").write_text(BOWLS)).write(folder)
        before = files(folder)
        verdict = judge.judge(folder, *command)
        found = verdict.faults(0, 1)
        if verdict.code == 1 and not LOCATED.search(verdict.said):
            found.append(f"no place: {verdict.said[:500]}")
        if files(folder) != before:
            found.append("wrote something")
        return found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=spoilt_trees(), command=COMMANDS)
def test_a_spoilt_tree_is_refused_or_fine(judge: Judge, text: str, command: list[str]) -> None:
    """Whatever stands where in a manifest: never a crash, a hang, or a file written."""
    assert spoilt(judge, text.encode("utf-8", "surrogatepass"), command) == []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=spoilt_bytes(), command=COMMANDS)
def test_spoilt_bytes_are_refused_or_fine(judge: Judge, data: bytes, command: list[str]) -> None:
    """Whatever became of a manifest's bytes: never a crash, a hang, or a file written."""
    assert spoilt(judge, data, command) == []


def test_a_big_catalogue_is_fine(judge: Judge, tmp_path: Path) -> None:
    """Twelve thousand products in a file of their own are no bomb: read, checked and planned, in under 300 MB."""
    Case("big", from_file("big.json"), "").write(tmp_path)
    rows = [
        {"id": f"p{n}", "name": f"Mug {n}", "images": {"front": "mug.png"}, "vars": {"n": n}, "tags": ["a", "b"]}
        for n in range(12_000)
    ]
    (tmp_path / "big.json").write_text(json.dumps(rows, indent=1))
    verdict = judge.judge(tmp_path, "validate", "m.yaml")
    assert (verdict.code, verdict.crash) == (0, "")
    assert "12,000 cells" in verdict.said
    assert verdict.megabytes < 300


@pytest.mark.parametrize("to", ["inside", "folder itself"])
def test_links_that_stay_inside_are_fine(judge: Judge, tmp_path: Path, to: str) -> None:
    """A link from one folder of the output folder to another is nobody's harm, nor is the output folder as a link."""
    Case("good", GOOD, "").write(tmp_path)
    if to == "inside":
        (tmp_path / "out/c/other").mkdir(parents=True)
        (tmp_path / "out/c/mug").symlink_to("other")
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "out/c").symlink_to(tmp_path / "elsewhere")
    verdict = judge.judge(tmp_path, "run", "m.yaml")
    assert verdict.faults(0) == []
    assert (tmp_path / "out/c/mug/table/1x1_1K_v1.png").is_file()
