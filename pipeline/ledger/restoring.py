"""Putting a ledger back that can't be trusted any more: its newest whole backup, or an empty one."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LedgerError
from pipeline.files import write_whole
from pipeline.ledger.backup import Backup, backups
from pipeline.ledger.lock import lock
from pipeline.ledger.opening import open_ledger
from pipeline.ledger.seal import LEDGER, MARKER, PRIVATE_FILE, SERIAL, Seal


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. ``lost``: how many later commits are gone, as far as that is known; ``aside``: where what
    stood there lies now.
    """

    backup: Path | None
    lost: int | None
    aside: Path


def put_back(folder: Path, campaign: str, chosen: Path | None = None) -> Restored:
    """Set the ledger aside, and put a backup in its place: the ``chosen`` one, or the newest that is whole, or none.

    Raises:
        LedgerLocked: while a run holds the campaign.
        LedgerError: when the chosen file is no ledger, or nothing can be written.
    """
    with lock(folder):
        best = newest(folder)
        found = chosen or (best.path if best else None)
        data = None if found is None else _bytes(found)
        identity, serial = _contents(found) if found else ("", 0)
        last = None
        with contextlib.suppress(LedgerError):
            last = Seal(folder).last_serial()
        aside = folder / time.strftime("set-aside-%Y%m%d-%H%M%S")
        try:
            aside.mkdir(mode=0o700)
            for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", MARKER, SERIAL):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).replace(aside / name)
            if data is not None:
                write_whole(folder / LEDGER, data, mode=PRIVATE_FILE)
        except OSError as error:
            raise LedgerError(f"{error.filename or folder}: can't be written: {error.strerror}") from None
        if data is not None:
            seal = Seal(folder)
            seal.begin(campaign, identity)
            seal.set()
            seal.note(serial)
            seal.close()
    with open_ledger(folder, campaign):  # it opens, or says why not
        pass
    return Restored(found, None if last is None else max(0, last - serial), aside)


def newest(folder: Path) -> Backup | None:
    """The newest backup that is whole."""
    return next((backup for backup in backups(folder) if backup.whole()), None)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LedgerError(f"{path}: can't be read: {error.strerror}") from None


def _contents(path: Path) -> tuple[str, int]:
    """A backup's identity and serial."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            if (wrong := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(wrong)
            meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
        return str(meta["identity"]), int(meta["serial"])
    except (sqlite3.Error, KeyError, ValueError) as error:
        raise LedgerError(f"{path}: is no whole backup of a ledger ({error}); choose another one") from None
