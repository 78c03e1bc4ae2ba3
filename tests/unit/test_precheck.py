"""What is checked on this machine before anything is paid."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from fakes.campaign import write_campaign

from pipeline.errors import StorageError
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.plan import Plan, make_plan
from pipeline.precheck import check_folder, check_room

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  # as shutil's own


def planned(folder: Path) -> Plan:
    """Six new pictures of a megapixel."""
    return make_plan(expand(load(str(write_campaign(folder)))), None)


@pytest.mark.parametrize(("free", "words"), [(50_000, "No space left"), (5_000_000, "may take"), (10**9, "")])
def test_space_that_is_certainly_too_little_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, words: str
) -> None:
    """What can't fit is an error, what may not fit a warning."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    plan = planned(tmp_path)
    if words == "No space left":
        with pytest.raises(StorageError, match=words):
            list(check_room(plan))
    else:
        assert [words in warning for warning in check_room(plan)] == ([True] if words else [])


def test_a_folder_in_the_place_of_a_picture_is_refused(tmp_path: Path) -> None:
    """It would fail at the last step, after the picture was paid."""
    plan = planned(tmp_path)
    (tmp_path / "out/test" / plan.steps[0].cell.file).mkdir(parents=True)
    with pytest.raises(StorageError, match="is a folder, and a picture belongs there"):
        list(check_room(plan))


def test_a_folder_that_does_not_exist_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    """A file on the way is in the way."""
    check_folder(tmp_path / "a/b/c")
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match="is a file, and a folder belongs there"):
        check_folder(tmp_path / "a/b/c")
