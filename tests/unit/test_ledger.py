"""A ledger that can't lie quietly: it opens with all that was committed, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fakes.campaign import environment
from fakes.dying import SCENARIOS, load
from fakes.holding import holding, killed
from fakes.ledgers import PARTS, filled, flip, made, make, picture, put, taken
from fakes.virtual import Clock, Time
from fakes.work import HANGS

from pipeline.errors import LedgerError
from pipeline.ledger import Ledger, newest, open_ledger, read_ledger
from pipeline.ledger.backup import backups
from pipeline.ledger.schema import APPLICATION_ID, VERSION
from pipeline.ledger.seal import Seal

RESTORE = "`pipeline restore MANIFEST`"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A private folder whose ledger knows pictures 0 to 3."""
    return filled(tmp_path / ".pipeline", runs=2)


@pytest.fixture
def torn(folder: Path) -> Path:
    """The same after a run that was killed when it had made picture 100."""
    killed(folder)
    return folder


def refusal(folder: Path) -> str:
    """Why a ledger is refused: for reading and for writing, in the same words, and without touching it."""
    before = {name: data for name, data in taken(folder).items() if data}  # SQLite may make an empty log
    with pytest.raises(LedgerError) as read, read_ledger(folder):
        pass
    with pytest.raises(LedgerError) as written, open_ledger(folder, "test"):
        pass
    assert str(read.value) == str(written.value)
    assert "\n" not in str(read.value)
    assert {name: data for name, data in taken(folder).items() if data} == before
    return str(read.value)


# ── kills ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_step_leaves_nothing_that_lies(tmp_path: Path, name: str) -> None:
    """Killed at every n-th step of a run, a migration or a restore: nothing is lost, nothing half done is used."""
    every, first = {"first run": 53, "next run": 31, "migration": 17}.get(name, 67), 7
    script = Path(__file__).parent.parent / "fakes/dying.py"
    command = [sys.executable, str(script), name, str(tmp_path), str(every), str(first)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == {}
    assert found["trials"] >= 8


def test_a_killed_run_has_lost_nothing(torn: Path) -> None:
    """What was committed is there, for a reader and for the next run; and the seal holds in between."""
    assert Seal(torn).check_file(), "the database file changes at checkpoints only"
    assert made(torn) == {0, 1, 2, 3, 100}
    with open_ledger(torn, "test"):
        pass
    assert made(torn) == {0, 1, 2, 3, 100}
    assert (torn / "ledger.sqlite-wal").stat().st_size == 0


# ── the log ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["removed", "emptied", "garbage", "of before"])
def test_a_lost_log_is_noticed(folder: Path, how: str) -> None:
    """SQLite forgets the commits in a log that is gone without a word; the serial doesn't."""
    log = folder / "ledger.sqlite-wal"
    killed(folder)
    early = log.read_bytes()
    killed(folder, 101)
    if how == "removed":
        log.unlink()
    else:
        log.write_bytes({"emptied": b"", "garbage": b"x" * len(early), "of before": early}[how])
    lost = 1 if how == "of before" else 2
    assert f"the last {lost} of its 6 commits are gone" in refusal(folder)
    assert RESTORE in refusal(folder)


def test_a_log_cut_at_any_length_is_whole_or_refused(torn: Path) -> None:
    """Whatever is left of a log: everything is there, or the ledger is refused."""
    parts = taken(torn)
    log = parts["ledger.sqlite-wal"]
    for length in [*range(0, len(log), 997), len(log) - 1]:
        put(torn, parts | {"ledger.sqlite-wal": log[:length]})
        with pytest.raises(LedgerError, match="commits are gone"):
            made(torn)
    put(torn, parts)
    assert made(torn) == {0, 1, 2, 3, 100}


def test_what_sqlite_keeps_for_itself_may_go(torn: Path) -> None:
    """Its index of the log is made anew, whatever becomes of it."""
    index = torn / "ledger.sqlite-shm"
    for data in (None, b"", b"x" * 100, b"x" * 32768):
        index.unlink(missing_ok=True)
        if data is not None:
            index.write_bytes(data)
        assert made(torn) == {0, 1, 2, 3, 100}


def test_a_log_that_another_program_has_brought_in_is_all_there(torn: Path) -> None:
    """Whoever looks into the ledger of a killed run with SQLite's own tool changes the file, and loses nothing."""
    with contextlib.closing(sqlite3.connect(torn / "ledger.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM pictures").fetchone() == (5,)
    assert not (torn / "ledger.sqlite-wal").exists()
    assert made(torn) == {0, 1, 2, 3, 100}
    os.truncate(torn / "ledger.sqlite", (torn / "ledger.sqlite").stat().st_size - 4096)
    assert RESTORE in refusal(torn), "it is looked through instead"


# ── the serial and the marker ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["00000000000000000001\n", None])
def test_an_older_or_missing_serial_does_no_harm(torn: Path, text: str | None) -> None:
    """It is not synced, so a power cut may leave an older one; the next commit mends it."""
    serial = torn / "serial"
    serial.unlink()
    if text:
        serial.write_text(text)
    assert made(torn) == {0, 1, 2, 3, 100}
    with open_ledger(torn, "test") as ledger:
        ledger.commit([make(5)])
        assert int(serial.read_text()) == ledger.serial() == 6


@pytest.mark.parametrize("text", ["", "\0" * 21, "soon\n", "-", "9" * 5000, f"{2**63}\n", "-3\n", "1.5\n"])
def test_a_garbled_serial_is_refused(folder: Path, text: str) -> None:
    """It is written whole the first time, so that what is no number is damage."""
    (folder / "serial").write_text(text)
    assert "serial: is damaged" in refusal(folder)


def test_a_serial_ahead_of_the_ledger_is_refused(folder: Path) -> None:
    """A ledger that was put back by hand lacks commits."""
    (folder / "serial").write_text(f"{7:020}\n")
    assert "the last 3 of its 7 commits are gone" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ledger": 1', "\0" * 100, '"x"'])
def test_a_garbled_marker_is_refused(folder: Path, text: str) -> None:
    """The marker is written whole."""
    (folder / "campaign.json").write_text(text)
    assert "campaign.json: is damaged" in refusal(folder)


def test_without_its_marker_a_whole_ledger_opens_and_is_sealed_anew(torn: Path) -> None:
    """A crash between a ledger's first two files leaves it without one."""
    (torn / "campaign.json").unlink()
    assert made(torn) == {0, 1, 2, 3, 100}
    with open_ledger(torn, "test"):
        pass
    assert Seal(torn).check_file()


@pytest.mark.parametrize("kept", ["originals", "backup", "serial", "campaign.json"])
def test_a_ledger_that_is_gone_is_missed(folder: Path, kept: str) -> None:
    """As long as anything of it lies here, no new one is begun in its place, which would pay for all again."""
    (folder / "originals").mkdir()
    (folder / "originals/00.t1.png").write_bytes(b"x")
    for path in folder.iterdir():
        if path.name != kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "the ledger is gone, though this campaign had one" in refusal(folder)


def test_no_ledger_is_no_damage(tmp_path: Path) -> None:
    """A campaign that was never run has none: nothing is made for a reader, and a whole one for a run."""
    with read_ledger(tmp_path / "never") as ledger:
        assert ledger is None
    assert not (tmp_path / "never").exists()
    (tmp_path / "ledger.sqlite").touch()  # an empty file is a valid empty database, for SQLite
    with open_ledger(tmp_path, "test") as ledger:
        ledger.commit([make(1)])
    assert made(tmp_path) == {1}


# ── the file ────────────────────────────────────────────────────────────────────────────────────


def test_a_file_cut_at_any_length_is_refused(folder: Path) -> None:
    """However much of it is left, and without harm to what is left."""
    parts = taken(folder)
    data = parts["ledger.sqlite"]
    for length in [0, 1, 15, 16, 99, 100, 4095, 4096, *range(5000, len(data), 9973), len(data) - 1]:
        put(folder, parts | {"ledger.sqlite": data[:length]})
        assert RESTORE in refusal(folder)


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling", "foreign", "zeros", "longer"])
def test_anything_else_in_its_place_is_refused(folder: Path, what: str) -> None:
    """None of these is opened as a ledger, waited for, or written to."""
    file = folder / "ledger.sqlite"
    data = file.read_bytes()
    file.unlink()
    match what:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "dangling":
            file.symlink_to("nowhere")
        case "foreign":
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute("CREATE TABLE meta (name, value)")
        case _:
            file.write_bytes(bytes(len(data)) if what == "zeros" else data + b"\0")
    assert str(file) in refusal(folder)


def test_a_ledger_of_another_campaign_is_refused(folder: Path, tmp_path: Path) -> None:
    """A ledger that was copied here from elsewhere, without its marker."""
    other = filled(tmp_path / "other")
    shutil.copy(other / "ledger.sqlite", folder)
    assert RESTORE in refusal(folder)
    marker = json.loads((folder / "campaign.json").read_text())
    del marker["seal"]
    (folder / "campaign.json").write_text(json.dumps(marker))
    assert "this ledger belongs to another campaign folder" in refusal(folder)


@pytest.mark.parametrize("where", ["in its head", "in its log"])
def test_a_newer_version_is_refused(folder: Path, where: str) -> None:
    """A ledger that a later campaign-pipeline has written is whole, and not for this one to touch."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
        if where == "in its log":  # as a kill leaves it
            parts = taken(folder)
    if where == "in its log":
        put(folder, parts)
    else:
        Seal(folder).set(4)
    assert f"made by a newer campaign-pipeline (ledger version {VERSION + 1}): update this one" in refusal(folder)


def test_a_folder_that_cannot_be_written_is_read_or_refused(tmp_path: Path) -> None:
    """Another user may read a campaign that was handed to them, and is told what a run lacks; nothing hangs."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    folder = filled(tmp_path / "there/.pipeline")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    script = (
        "import sys; from pathlib import Path; from pipeline.errors import LedgerError; from pipeline.ledger import *\n"
        "with read_ledger(Path(sys.argv[1])): pass\n"  # all that it needs is imported now
        "import os; os.setgid(65534); os.setuid(65534)\n"
        "with read_ledger(Path(sys.argv[1])) as ledger: print(len(list(ledger.pictures())))\n"
        "try:\n    with open_ledger(Path(sys.argv[1]), 'test'): print('written')\n"
        "except LedgerError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    read, written = done.stdout.splitlines()
    assert read == "2"
    assert "can't be written: Permission denied" in written


# ── readers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_changes_nothing(folder: Path) -> None:
    """At rest, during a run and after one that was killed, reading leaves every byte as it was."""

    def check() -> None:
        before = taken(folder)
        with read_ledger(folder) as ledger:
            assert ledger is not None
            ledger.snapshot()
            with pytest.raises(LedgerError):
                ledger.commit([make(7)])
        assert taken(folder) == before

    check()
    with holding(folder):
        check()
        assert made(folder) == {0, 1, 2, 3, 100}
    check()


@pytest.mark.parametrize("how", ["commit", "cycle"])
def test_a_reader_and_a_writer_never_disturb_each_other(folder: Path, how: str) -> None:
    """Whatever a run does at that moment, a reader sees a whole ledger; and it never keeps a run from beginning."""
    reads, number = 0, {"commit": 2000, "cycle": 20}[how]
    with holding(folder, how, number) as process:
        while process.poll() is None:
            assert made(folder) == {0, 1, 2, 3}
            reads += 1
        assert process.returncode == 0
    assert reads > 20
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert ledger.serial() == 4 + number


def test_a_run_that_comes_and_goes_while_the_seal_is_looked_at_is_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader has read the seal of before, and finds the file of after."""
    check, runs = Seal.check_file, iter([10])

    def late(seal: Seal) -> bool:
        for number in runs:
            monkeypatch.setattr(Seal, "check_file", check)
            with open_ledger(folder, "test") as ledger:
                ledger.commit([make(number)])
            monkeypatch.setattr(Seal, "check_file", late)
            break
        return check(seal)

    monkeypatch.setattr(Seal, "check_file", late)
    assert made(folder) == {0, 1, 2, 3, 10}


def test_a_glance_at_the_lock_keeps_no_run_from_beginning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see whether a run is on, a reader holds the lock for a moment: a run that begins just then waits for it."""
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)

    class Glance(Time):
        def sleep(self, seconds: float) -> None:
            if clock.now == 0:
                os.close(handle)
            super().sleep(seconds)

    clock = Clock()
    monkeypatch.setattr(sys.modules["pipeline.ledger.lock"], "time", Glance(clock))
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(10)])
    assert clock.now > 0


# ── what is kept beside it ──────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """For the length of a block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it(tmp_path: Path, mask: int) -> None:
    """Every file is 0600 and every folder 0700, whatever the umask; so they are while a run holds them."""
    with umask(mask), open_ledger(tmp_path / "out/.pipeline", "test") as ledger:
        ledger.commit([make(1)])
        ledger.rest()
        ledger.commit([make(2)])
        found = [tmp_path / "out/.pipeline", *(tmp_path / "out/.pipeline").rglob("*")]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in found}
    assert {name for name, mode in modes.items() if mode not in (0o600, 0o700)} == set()
    assert {*PARTS, "lock", "backup", "ledger.sqlite-shm"} <= modes.keys()


def test_a_backup_is_made_for_every_run_that_changed_something(folder: Path) -> None:
    """Once per change; the newest three are kept, each whole and named after its content."""
    assert [backup.serial for backup in backups(folder)] == [4, 2]
    with open_ledger(folder, "test"):
        pass
    assert [backup.serial for backup in backups(folder)] == [4, 2]
    for number in (10, 11):
        with open_ledger(folder, "test") as ledger:
            ledger.commit([make(number)])
    found = backups(folder)
    assert [backup.serial for backup in found] == [6, 5, 4]
    assert all(backup.whole() for backup in found)
    with contextlib.closing(sqlite3.connect(f"file:{found[0].path}?mode=ro", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM pictures").fetchone() == (6,)


def test_a_damaged_backup_is_no_backup(folder: Path) -> None:
    """A flipped bit, a cut end or a removed file: the one before it is the newest."""
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(10)])
    flip(backups(folder)[0].path, 8 * 5000 + 3)
    found = newest(folder)
    assert found == backups(folder)[1]
    os.truncate(found.path, 100)
    found = newest(folder)
    assert found == backups(folder)[2]
    found.path.unlink()
    assert newest(folder) is None


def test_a_backup_that_fails_does_not_fail_the_run(folder: Path) -> None:
    """It is told of, and the ledger is whole and sealed."""
    shutil.rmtree(folder / "backup")
    (folder / "backup").write_text("in the way")
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(10)])
        ledger.rest()
        assert "the ledger could not be backed up" in ledger.not_backed_up
        assert str(folder / "backup") in ledger.not_backed_up
    assert made(folder) == {0, 1, 2, 3, 10}
    assert Seal(folder).check_file()


def test_a_commit_that_fails_has_done_nothing(folder: Path) -> None:
    """One step of several is impossible: none is done, and the ledger goes on."""
    with open_ledger(folder, "test") as ledger:
        before = ledger.serial()
        with pytest.raises(LedgerError, match="can't be written"):
            ledger.commit([make(10), make(10)])
        assert ledger.serial() == before
        ledger.commit([make(11)])
    assert made(folder) == {0, 1, 2, 3, 11}


# ── earlier versions ────────────────────────────────────────────────────────────────────────────

ROWS = {
    "requests": "SELECT id, spec, pictures, take, provider, gateway, model, address, label, state, reserved, created, "
    "settled, error FROM requests",
    "pictures": "SELECT key, take, spec, variant, request, original, sha256, bytes, width, height, seed, usd, seconds, "
    "at FROM pictures",
} | {table: f"SELECT * FROM {table}" for table in ("specs", "receipts", "wishes", "failures", "files", "cells", "meta")}  # noqa: S608
"""Table → all that an earlier version has in it."""


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """What is in a ledger, but for its serial."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)) as db:
        found = {table: sorted(db.execute(query).fetchall(), key=repr) for table, query in ROWS.items()}
    found["meta"] = [row for row in found["meta"] if row[0] != "serial"]
    return found


@pytest.mark.parametrize("first", ["reader", "writer"])
@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_ledger_of_an_earlier_version_opens_with_all_that_is_in_it(tmp_path: Path, version: int, first: str) -> None:
    """Made by that version's own code: finished, failed, retaken, in flight, of unknown fate; nothing is lost."""
    load(folder := tmp_path / ".pipeline", version)
    before = rows(folder)
    opened = read_ledger(folder) if first == "reader" else open_ledger(folder, "test")
    with opened as ledger:
        assert ledger is not None
        assert sorted(row.state for row in ledger.open_requests()) == [*["accepted"] * 2, *["intent"] * 2, "uncertain"]
        assert ledger.damage() == ""
        accepted = next(row for row in ledger.open_requests() if row.state == "accepted")
        assert ledger.receipts(accepted.id)[0].json == {"job": accepted.id}
        assert {row.product for row in ledger.requests()} == {f"p{number}" for number in range(6)}
        assert ledger.money().uncertain == 56_000
        assert [account.provider for account in ledger.accounts()]
    assert {name: len(found) for name, found in before.items() if not found} in ({}, {"wishes": 0})
    assert rows(folder) == before
    assert Seal(folder).check_file()
    assert newest(folder) is not None
    with contextlib.closing(sqlite3.connect(f"file:{folder}/ledger.sqlite?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_request_that_cost_less_than_its_pictures_is_put_right_by_the_migration(tmp_path: Path) -> None:
    """The first version forgot what a request had made that failed in the end; today's check would call that damage."""
    load(folder := tmp_path / ".pipeline", 1)
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as db:
        request = db.execute("SELECT request FROM pictures").fetchone()[0]
        db.execute("UPDATE requests SET state = 'failed', usd = 0 WHERE id = ?", (request,))
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert ledger.damage() == ""


@pytest.mark.parametrize("version", range(1, 4))
def test_what_labels_showed_is_remembered_from_the_first_day(tmp_path: Path, version: int) -> None:
    """An earlier ledger knew only what they show now: that is the beginning, at the time when it was made."""
    load(folder := tmp_path / ".pipeline", version)
    cells, made = rows(folder)["cells"], rows(folder)["pictures"]
    times = {row[0]: max(float(str(each[-1])) for each in made if each[0] == row[0]) for row in made}
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert ledger.shown() == {label: [(key, spec, times[key])] for label, key, spec in cells}


def test_a_label_remembers_every_picture_that_it_showed(folder: Path) -> None:
    """Oldest first, each once: what it shows again is the newest."""
    label = "p0/table/1x1/1K/v1.png"
    with open_ledger(folder, "test") as ledger:
        first = ledger.shown()[label][0].key
        for key in ("a", "b", first, "a"):
            ledger.commit([partial(Ledger.add_cell, label=label, key=key, spec=f"spec of {key}")])
        assert [row.key for row in ledger.shown()[label]] == ["b", first, "a"]
        assert ledger.cell_spec(label) == "spec of a"
        assert [len(found) for found in ledger.shown().values()].count(1) == len(ledger.shown()) - 1


def test_what_sqlite_does_not_call_damage_is_found_by_our_rules(folder: Path) -> None:
    """A picture without its request, and a request that cost less than its picture."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE requests SET usd = 1 WHERE id = 'request-1'")
        db.execute("UPDATE pictures SET request = 'nobody' WHERE key = ?", (picture(2).key,))
    Seal(folder).set(4)
    with read_ledger(folder) as ledger:
        assert ledger is not None
        assert "request request-1 cost less than its pictures" in ledger.damage()
        assert "names no requests" in ledger.damage()
