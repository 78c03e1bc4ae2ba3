"""Backups of a ledger: whole databases beside it, each named after its last commit and its own content.

They are made by SQLite (``VACUUM INTO``) when a run ends, and during a long one. The last few are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pipeline.files import sync_file, sync_folder
from pipeline.ledger.seal import BACKUPS, PRIVATE_FILE

KEPT = 3
_NAME = re.compile(r"ledger-(\d+)-([0-9a-f]{16})\.sqlite")


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup: its file, and the number of the last commit in it."""

    path: Path
    serial: int
    digest: str

    def whole(self) -> bool:
        """Whether it is as it was made."""
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest().startswith(self.digest)
        except OSError:
            return False


def backups(folder: Path) -> list[Backup]:
    """The backups in a private folder, newest first."""
    found = [backup for path in (folder / BACKUPS).glob("ledger-*.sqlite") if (backup := named(path))]
    return sorted(found, key=lambda backup: backup.serial, reverse=True)


def named(path: Path) -> Backup | None:
    """The backup that a file is by its name."""
    match = _NAME.fullmatch(path.name)
    return Backup(path, int(match[1]), match[2]) if match else None


def back_up(db: sqlite3.Connection, folder: Path, serial: int) -> None:
    """Make a backup of an open ledger unless its newest one is as new, and remove the oldest.

    Raises:
        OSError, sqlite3.Error: when it can't be written.
    """
    known = backups(folder)
    if known and known[0].serial == serial and known[0].whole():
        return
    place = folder / BACKUPS
    place.mkdir(mode=0o700, exist_ok=True)
    new = place / "new.sqlite"
    try:
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))  # SQLite fills an empty file
        db.execute("VACUUM INTO ?", (str(new),))
        with new.open("rb") as file:
            sync_file(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        new.replace(place / f"ledger-{serial:010d}-{digest[:16]}.sqlite")
        sync_folder(place)
    finally:
        new.unlink(missing_ok=True)
    for old in known[KEPT - 1 :]:
        with contextlib.suppress(OSError):
            old.path.unlink()
