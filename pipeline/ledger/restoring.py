"""Putting a ledger back that can't be trusted any more: its newest whole backup, or an empty one.

From the first change to the last the marker says that a restore is under way, so that one which is cut short at any
moment leaves nothing that a run would take for a ledger.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import LedgerError
from pipeline.ledger.backup import Backup, backups, named
from pipeline.ledger.book import Ledger
from pipeline.ledger.lock import lock
from pipeline.ledger.opening import create_ledger, writing
from pipeline.ledger.schema import APPLICATION_ID, VERSION
from pipeline.ledger.seal import LEDGER, MARKER, SERIAL, Seal, newer

SCRATCH = "restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. ``lost``: how many later commits are gone, as far as that is known; ``aside``: where what
    stood there lies now, if anything did.
    """

    backup: Path | None
    lost: int | None
    aside: Path | None


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of a whole ledger, and what it says of itself."""

    path: Path
    identity: str
    serial: int


@contextlib.contextmanager
def put_back(folder: Path, campaign: str, chosen: Path | None = None) -> Iterator[tuple[Ledger, Restored]]:
    """Set the ledger aside, and open a backup in its place: the ``chosen`` one, or the newest that is whole, or none.

    Nobody else can use it before the block has ended well: whatever belongs into it is to be added there.

    Raises:
        LedgerLocked: while a run holds the campaign.
        LedgerError: when the chosen file is no ledger, or nothing can be written.
    """
    with lock(folder):
        best = newest(folder)
        source = chosen or (best.path if best else None)
        old = _remembered(folder)
        with _writing(folder):
            copy = _copied(source, folder) if source else None
            if copy and chosen and best and chosen.resolve() != best.path.resolve():
                _check_kin(copy, chosen, best)
            seal = Seal(folder, old)
            last = None
            with contextlib.suppress(LedgerError):
                last = seal.last_serial()
            aside = _set_aside(seal)
            if copy is None:
                create_ledger(seal, campaign, old.get("ledger") or str(uuid.uuid4()))
            else:
                copy.path.replace(folder / LEDGER)
                seal.begin(campaign, copy.identity)
                seal.set(copy.serial)
        serial = copy.serial if copy else 0
        highest = max([serial, last or 0, *(backup.serial for backup in backups(folder))])
        with writing(seal) as ledger:
            # Its commits are numbered on from the highest known, so that no backup of before passes for a newer one.
            ledger.commit([lambda ledger: ledger.set_meta("serial", str(highest))])
            yield ledger, Restored(source, None if last is None else max(0, last - serial), aside)
        seal.restored()


def newest(folder: Path) -> Backup | None:
    """The newest backup that is whole."""
    return next((backup for backup in backups(folder) if backup.whole()), None)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    scratch = folder / SCRATCH
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        yield
    except OSError as error:
        raise LedgerError(f"{error.filename or folder}: can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remembered(folder: Path) -> dict[str, str]:
    """What the marker says, where it can be read."""
    try:
        return Seal(folder).marker
    except LedgerError:
        return {}


def _set_aside(seal: Seal) -> Path | None:
    """Mark that a restore is under way, and move what stands there into a folder of its own."""
    folder, name = seal.folder, time.strftime("set-aside-%Y%m%d-%H%M%S")
    taken = len([*folder.glob(f"{name}*")])
    aside = folder / (f"{name}-{taken + 1}" if taken else name)
    aside.mkdir(mode=0o700)
    marker = folder / MARKER
    if marker.is_file():
        shutil.copyfile(marker, aside / MARKER)
    elif marker.exists():
        marker.replace(aside / MARKER)
    seal.restoring()
    for part in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", SERIAL):
        with contextlib.suppress(FileNotFoundError):
            (folder / part).replace(aside / part)
    if any(aside.iterdir()):
        return aside
    aside.rmdir()
    return None


def _check_kin(copy: _Copy, chosen: Path, best: Backup) -> None:
    """Whether a chosen ledger is this campaign's, as its own backups know it: the marker may be what is damaged.

    Raises:
        LedgerError: when it isn't.
    """
    with contextlib.closing(sqlite3.connect(f"{best.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        identity = db.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0]
    if identity != copy.identity:
        text = f"belongs to another campaign folder; if it is meant, move {best.path.parent} away first"
        raise LedgerError(f"{chosen}: {text}")


def _copied(source: Path, folder: Path) -> _Copy:
    """A copy of a ledger with all of its commits, its log included, which may be moved into its place.

    Raises:
        LedgerError: when it is no whole ledger.
    """
    backup = named(source)
    if backup is not None and not backup.whole():
        raise LedgerError(f"{source}: is damaged: choose another backup")
    copy = folder / SCRATCH / LEDGER
    copy.parent.mkdir(mode=0o700)
    try:
        shutil.copyfile(source, copy)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{source}-wal", f"{copy}-wal")
    except (OSError, shutil.SpecialFileError) as error:
        raise LedgerError(f"{source}: can't be copied: {getattr(error, 'strerror', None) or error}") from None
    with contextlib.suppress(OSError):  # a share has its own permissions
        copy.chmod(0o600)
    try:
        found = _contents(copy)
    except (sqlite3.Error, KeyError, ValueError) as error:
        raise LedgerError(f"{source}: is no whole ledger ({error}): choose another file") from None
    except LedgerError as error:
        raise LedgerError(str(error).replace(str(copy), str(source))) from None
    return found


def _contents(path: Path) -> _Copy:
    """What a copied ledger says; its log is brought into it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        if (wrong := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(wrong)
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise sqlite3.DatabaseError("it was made by another program")
        if (version := db.execute("PRAGMA user_version").fetchone()[0]) > VERSION:
            raise newer(path, version)
        meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")  # a backup has none, and a ledger must
        return _Copy(path, str(meta["identity"]), int(meta["serial"]))
