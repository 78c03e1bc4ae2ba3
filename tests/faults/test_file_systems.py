"""Shares and other limited file systems: all that can be done there is done, and what can't be is said."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from fakes import limited
from fakes.campaign import command, environment, results, write_campaign

from pipeline import files
from pipeline.approvals.file import locked
from pipeline.cli import main
from pipeline.errors import LedgerError, LedgerLocked
from pipeline.ledger import held, open_ledger
from pipeline.ledger.lock import HOLDER, lock
from pipeline.ledger.opening import create_ledger
from pipeline.ledger.seal import Seal


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that has a file open has it open for no time."""
    monkeypatch.setattr(files, "BUSY_WAITS", (0.0,) * 5)


def everything(folder: Path) -> None:
    """A run, one more with a changed prompt, and every way in which its sheet leaves."""
    manifest = write_campaign(folder, count=2)
    assert main(["run", str(manifest), "-q"]) == 0
    manifest.write_text(manifest.read_text().replace("a table", "an old table"))
    assert main(["run", str(manifest), "-q"]) == 0
    for place in ("sheet.html", "sheet.zip", "sheet"):
        assert main(["report", str(manifest), "-q", "-o", str(folder / place)]) == 0
        assert main(["report", str(manifest), "-q", "-o", str(folder / place)]) == 0
    assert main(["verify", str(manifest), "-q"]) == 0
    assert main(["restore", str(manifest), "-q"]) == 0
    assert main(["init", str(folder / "new"), "-q"]) == 0
    assert [line["state"] for line in results(manifest)] == ["done"] * 8
    assert not list(folder.rglob("*.part"))


FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR, errno.ENOSYS)


def once(folder: Path, code: int) -> None:
    """All that is done to a file system for one code; for its like, a file."""
    if code == errno.EINVAL:
        everything(folder)
    else:
        folder.mkdir(exist_ok=True)
        files.write_whole(folder / "x", b"1")


@pytest.mark.parametrize("code", FOLDERS, ids=errno.errorcode.get)
def test_folders_that_can_not_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Their names are as durable as the share makes them."""
    limited.no_sync(monkeypatch, code)
    once(tmp_path, code)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_files_that_can_not_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Some in FUSE; SQLite asks by itself."""
    limited.no_sync(monkeypatch, code, files=True)
    once(tmp_path, code)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_real_failure_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """No space and a broken disk are not passed over."""
    limited.no_sync(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)):
        files.write_whole(tmp_path / "x", b"1")


def test_a_folder_that_may_be_written_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drop box: what can't be opened can't be synced."""
    real = os.open

    def refuse(path: object, flags: int, *more: object) -> int:
        if path == tmp_path and flags & os.O_ACCMODE == os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", refuse)
    files.write_whole(tmp_path / "x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_what_knows_neither_permissions_nor_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes, times and links are not needed."""
    limited.no_permissions(monkeypatch)
    limited.no_links(monkeypatch)
    everything(tmp_path)


@pytest.mark.parametrize("answer", [None, OSError(errno.ENOSYS, "?")], ids=["nothing of nothing", "not said"])
def test_free_space_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: OSError | None) -> None:
    """It is not taken for none."""
    limited.unknown_space(monkeypatch, answer)
    everything(tmp_path)


def test_a_file_that_another_program_has_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer, a virus scanner, a program that syncs: on a share, it holds what is to be replaced."""
    refused = limited.open_elsewhere(monkeypatch, times=3)
    everything(tmp_path)
    assert refused


def test_a_file_that_stays_open_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is whole, and nothing is left behind."""
    files.write_whole(tmp_path / "x", b"old")
    limited.open_elsewhere(monkeypatch, times=10**6)
    with pytest.raises(PermissionError, match=f"{tmp_path / 'x'}"):
        files.write_whole(tmp_path / "x", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


@pytest.mark.parametrize("code", [errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP], ids=errno.errorcode.get)
def test_folders_that_can_not_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The file in it is: it holds others off as well."""
    limited.no_locks(monkeypatch, code, files=False)
    once(tmp_path / "one", code)
    with lock(tmp_path):
        assert held(tmp_path)
        with pytest.raises(LedgerLocked, match="another run holds this campaign"), lock(tmp_path):
            pass
    assert not held(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP], ids=errno.errorcode.get)
def test_nothing_that_can_be_locked_is_no_place_for_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    """Nobody could say that a second run is under way; reading and deciding need no lock."""
    manifest = write_campaign(tmp_path, count=1)
    assert main(["run", str(manifest), "-q"]) == 0
    limited.no_locks(monkeypatch, code)
    assert main(["run", str(manifest), "--retake", "*", "-q"]) == 1
    said = capsys.readouterr().err
    assert f"can't be locked ({os.strerror(code)}), and two runs at once could pay for one picture" in said
    assert "`outputs: {folder: …}`" in said
    for name in ("plan", "status", "verify"):
        assert main([name, str(manifest), "-q"]) == 0
    with locked(tmp_path):
        pass


def _hold(folder: str, told: Connection) -> None:
    """Hold the file of a folder's holder as another machine does, until told."""
    with open(f"{folder}/{HOLDER}", "r+") as file:  # noqa: PTH123  # as any program
        fcntl.flock(file, fcntl.LOCK_EX)
        told.send("held")
        told.recv()


def test_the_lock_of_another_machine_is_on_the_file(tmp_path: Path) -> None:
    """A network share locks files for all of its machines, folders often for one."""
    with lock(tmp_path):
        pass
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(str(tmp_path), there))
    process.start()
    assert here.recv() == "held"
    assert held(tmp_path)
    with pytest.raises(LedgerLocked), lock(tmp_path):
        pass
    here.send("go")
    process.join()
    assert not held(tmp_path)


class _NoLog(sqlite3.Connection):
    """A database where no shared memory is to be had, as SQLite tells of it."""

    def execute(self, sql: str, *more: object) -> sqlite3.Cursor:  # type: ignore[override]
        return super().execute("SELECT 'delete'" if sql == "PRAGMA journal_mode = WAL" else sql, *more)  # type: ignore[arg-type]


def test_a_share_without_shared_memory_is_no_place_for_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, with a place that is one, and nothing is left that looks like a ledger."""
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: real(*given, factory=_NoLog, **more))
    with pytest.raises(LedgerError, match=r"no write-ahead log .* a ledger needs a local disk.*`outputs: \{folder"):
        create_ledger(Seal(tmp_path), "test", "id")
    monkeypatch.undo()
    with open_ledger(tmp_path, "test"):
        pass


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the shim needs a compiler")
def test_a_real_process_on_such_a_share(tmp_path: Path) -> None:
    """The same calls, refused below Python."""
    source = tmp_path / "share.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <errno.h>\n#include <sys/stat.h>\n#include <sys/file.h>\n"
        "static int folder(int fd) { struct stat s; return !fstat(fd, &s) && S_ISDIR(s.st_mode); }\n"
        'int fsync(int fd) { int (*real)(int) = dlsym(RTLD_NEXT, "fsync");\n'
        "  if (folder(fd)) { errno = EINVAL; return -1; } return real(fd); }\n"
        'int flock(int fd, int how) { int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");\n'
        "  if (folder(fd)) { errno = EBADF; return -1; } return real(fd, how); }\n"
    )
    shim = tmp_path / "share.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    manifest = write_campaign(tmp_path / "campaign", count=1)
    for words in (["run"], ["report", "-o", str(tmp_path / "sheet.html")]):
        line, env = command(words[0], manifest, *words[1:]), environment() | {"LD_PRELOAD": str(shim)}
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
