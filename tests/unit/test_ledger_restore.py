"""Putting a ledger back: the right one, all of it, or none; and what stood there is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from fakes.dying import load
from fakes.holding import killed
from fakes.ledgers import filled, flip, made, make, taken

from pipeline.errors import LedgerError
from pipeline.ledger import Restored, newest, open_ledger, put_back, read_ledger
from pipeline.ledger.backup import backups
from pipeline.ledger.schema import VERSION
from pipeline.ledger.seal import Seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of three runs, that knows pictures 0 to 2, and is damaged."""
    filled(tmp_path / ".pipeline", runs=3, each=1)
    flip(tmp_path / ".pipeline/ledger.sqlite", 8 * 5000)
    return tmp_path / ".pipeline"


def restore(folder: Path, chosen: Path | None = None) -> Restored:
    """Put a ledger back, with nothing more to add."""
    with put_back(folder, "test", chosen) as (_, done):
        return done


def test_the_newest_whole_backup_comes_back(folder: Path) -> None:
    """With all that the last run left, and nothing lost; what stood there lies aside, byte for byte."""
    stood, found = taken(folder), newest(folder)
    assert found is not None
    done = restore(folder)
    assert (done.backup, done.lost) == (found.path, 0)
    assert done.aside is not None
    assert {name: data for name, data in taken(done.aside).items() if data} == {n: d for n, d in stood.items() if d}
    assert made(folder) == {0, 1, 2}
    assert Seal(folder).check_file()


def test_a_marker_that_names_another_ledger_keeps_no_backup_back(folder: Path) -> None:
    """One flipped bit in it may do that: a campaign's own backups know better."""
    marker = folder / "campaign.json"
    place = marker.read_bytes().index(b'"ledger": "') + 13
    flip(marker, 8 * place)
    restore(folder)
    assert made(folder) == {0, 1, 2}
    flip(marker, 8 * place)
    restore(folder, backups(folder)[-1].path)
    assert made(folder) <= {0, 1, 2}


@pytest.mark.parametrize("serial", ["10000000000000000003", "00000100000000000003", "x"])
def test_a_serial_of_absurd_size_keeps_nothing_from_being_restored(folder: Path, serial: str) -> None:
    """A flipped bit may make a large number of a small one."""
    (folder / "serial").write_text(f"{serial}\n")
    restore(folder)
    assert made(folder) == {0, 1, 2}
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(10)])
    assert made(folder) == {0, 1, 2, 10}


def test_a_damaged_backup_is_passed_over(folder: Path) -> None:
    """The one before it comes back, and how many commits are gone is told."""
    flip(backups(folder)[0].path, 12_345)
    done = restore(folder)
    assert (made(folder), done.lost) == ({0, 1}, 1)


@pytest.mark.parametrize("left", ["damaged", "none", "nothing at all"])
def test_without_a_whole_backup_an_empty_one_takes_its_place(folder: Path, left: str) -> None:
    """It is numbered on, so that the damaged backups of before never pass for newer ones than those to come."""
    for backup in backups(folder):
        flip(backup.path, 99) if left == "damaged" else backup.path.unlink()
    if left == "nothing at all":
        shutil.rmtree(folder)
        folder.mkdir()
    done = restore(folder)
    assert (done.backup, done.lost) == (None, None if left == "nothing at all" else 3)
    assert (done.aside is None) == (left == "nothing at all")
    assert made(folder) == set()
    for number in range(4):
        with open_ledger(folder, "test") as ledger:
            ledger.commit([make(number)])
    assert made(folder) == {0, 1, 2, 3}
    assert all(backup.whole() for backup in backups(folder))


def test_what_is_committed_after_a_restore_survives_a_kill(folder: Path) -> None:
    """A backup keeps no write-ahead log, and a ledger without one would break its seal with every commit."""
    restore(folder)
    killed(folder)
    assert made(folder) == {0, 1, 2, 100}
    with contextlib.closing(sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_twice_in_a_second(folder: Path) -> None:
    """Nothing that was set aside is lost to what comes after it."""
    found = [restore(folder).aside for _ in range(3)]
    assert None not in found
    assert len(set(found)) == 3
    assert made(folder) == {0, 1, 2}


def test_an_older_backup_that_was_chosen_stays_the_choice(folder: Path) -> None:
    """A later restore doesn't go back to what was rejected; and a run's backups don't collide with earlier ones."""
    done = restore(folder, backups(folder)[1].path)
    assert (made(folder), done.lost) == ({0, 1}, 1)
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(10)])
    flip(folder / "ledger.sqlite", 77_777)
    restore(folder)
    assert made(folder) == {0, 1, 10}


def test_what_was_set_aside_can_be_had_back_with_its_log(tmp_path: Path) -> None:
    """A ledger of a killed run is more than its file: the commits in its log come with it."""
    folder = filled(tmp_path / ".pipeline", runs=2, each=1)
    killed(folder)
    aside = restore(folder).aside
    assert made(folder) == {0, 1}
    assert aside is not None
    restore(folder, aside / "ledger.sqlite")
    assert made(folder) == {0, 1, 100}


def test_a_ledger_that_another_program_changed_can_be_kept(tmp_path: Path) -> None:
    """`--from` itself: whoever changed it with a tool knows that it is right."""
    folder = filled(tmp_path / ".pipeline")
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE requests SET label = 'another'")
    with pytest.raises(LedgerError, match="changed by another program"):
        made(folder)
    restore(folder, folder / "ledger.sqlite")
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert {row.label for row in ledger.requests()} == {"another"}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("missing", "can't be copied: No such file"),
        ("folder", "can't be copied: Is a directory"),
        ("pipe", "can't be copied: "),
        ("empty", "is no whole ledger"),
        ("picture", "is no whole ledger (file is not a database)"),
        ("other program's", "it was made by another program"),
        ("cut", "is no whole ledger"),
        ("damaged backup", "is damaged: choose another backup"),
        ("newer", f"made by a newer campaign-pipeline (ledger version {VERSION + 1})"),
        ("another campaign's", "belongs to another campaign folder"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_touched(folder: Path, tmp_path: Path, what: str, says: str) -> None:
    """Whatever is chosen by mistake: one line that names it, and the folder is as it was."""
    chosen, backup = tmp_path / "chosen.sqlite", newest(folder)
    assert backup is not None
    match what:
        case "folder":
            chosen.mkdir()
        case "pipe":
            os.mkfifo(chosen)
        case "empty" | "picture":
            chosen.write_bytes(b"" if what == "empty" else b"\x89PNG\r\n\x1a\n" * 1000)
        case "other program's":
            with contextlib.closing(sqlite3.connect(chosen)) as db:
                db.execute("CREATE TABLE meta (name, value)")
        case "cut":
            chosen.write_bytes(backup.path.read_bytes()[:-4096])
        case "damaged backup":
            flip(chosen := backup.path, 8 * 30_000)
        case "newer":
            shutil.copy(backup.path, chosen)
            with contextlib.closing(sqlite3.connect(chosen)) as db:
                db.execute(f"PRAGMA user_version = {VERSION + 1}")
        case "another campaign's":
            chosen = filled(tmp_path / "other") / "ledger.sqlite"
    before = taken(folder), sorted(path.name for path in folder.iterdir())
    with pytest.raises(LedgerError) as refused:
        restore(folder, chosen)
    assert says in str(refused.value)
    assert str(refused.value).startswith(str(chosen))
    assert "\n" not in str(refused.value)
    assert (taken(folder), sorted(path.name for path in folder.iterdir())) == before


def test_a_backup_of_an_earlier_version_is_led_to_todays(folder: Path, tmp_path: Path) -> None:
    """From another place, into a folder that remembers nothing."""
    load(tmp_path / "old", 2)
    shutil.rmtree(folder)
    folder.mkdir()
    restore(folder, tmp_path / "old/ledger.sqlite")
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert len(ledger.open_requests()) == 5


@pytest.mark.parametrize("part", ["ledger.sqlite", "ledger.sqlite-wal", "campaign.json", "serial"])
def test_a_folder_where_a_file_should_be_is_set_aside(folder: Path, part: str) -> None:
    """Whatever stands there, a restore makes room."""
    (folder / part).unlink(missing_ok=True)
    (folder / part).mkdir()
    restore(folder)
    assert made(folder) == {0, 1, 2}


def test_a_restore_that_fails_leaves_nothing_to_run_with(folder: Path) -> None:
    """Half of what lies here adopted is half of it paid again: it is refused until a restore has ended well."""

    def fail() -> None:
        with put_back(folder, "test") as (ledger, _):
            ledger.commit([make(10)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    for ask in (read_ledger(folder), open_ledger(folder, "test")):
        with pytest.raises(LedgerError, match="a restore was cut short: run `pipeline restore MANIFEST` again"), ask:
            pass
    restore(folder)
    assert made(folder) == {0, 1, 2}
