"""Opening a ledger: refusing whatever it is not, migrating what is older, and leaving it sealed and backed up."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import LedgerError
from pipeline.ledger.book import Ledger
from pipeline.ledger.lock import held, lock
from pipeline.ledger.schema import VERSION, create, migrate
from pipeline.ledger.seal import PRIVATE_FILE, Seal, newer

_DISK = "a ledger needs a local disk, as few shares do what SQLite asks of them: `outputs: {folder: …}`"


@contextlib.contextmanager
def open_ledger(folder: Path, campaign: str) -> Iterator[Ledger]:
    """The campaign's ledger for writing, made when there is none; ``folder`` is the private folder.

    Raises:
        LedgerLocked: while another runner holds it.
        LedgerError: when it can't be trusted or written.
    """
    make_private(folder)
    with lock(folder):
        seal = Seal(folder)
        seal.check_restored()
        if not seal.existed:
            create_ledger(seal, campaign, str(uuid.uuid4()))
        with writing(seal) as ledger:
            yield ledger


def make_private(folder: Path) -> None:
    """Make the private folder where there is none.

    Raises:
        LedgerError: when it can't be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{folder}: can't be made: {error.strerror}") from None


@contextlib.contextmanager
def writing(seal: Seal) -> Iterator[Ledger]:
    """The existing ledger of a folder that is locked, for writing.

    Raises:
        LedgerError: when it can't be trusted or written.
    """
    ledger = _open(seal, sealed=seal.check_file(), write=True)
    try:
        with _reading(seal):
            yield ledger
            ledger.leave()
    finally:
        ledger.close()


@contextlib.contextmanager
def read_ledger(folder: Path) -> Iterator[Ledger | None]:
    """The campaign's ledger for reading, or None when it was never run.

    Raises:
        LedgerError: when it can't be trusted.
    """
    seal, sealed = _looked_at(folder)
    if not seal.existed:
        yield None
        return
    ledger = _open(seal, sealed=sealed, write=False)
    try:
        with _reading(seal):
            yield ledger
    finally:
        ledger.close()


def _looked_at(folder: Path) -> tuple[Seal, bool]:
    """The seal as a reader finds it, and whether it holds: while another process writes, only that one can tell.

    One that begins or ends in between changes the file under our eyes, so what is wrong is looked at once more.
    """
    while True:
        busy, seal = held(folder), Seal(folder)
        if busy or not seal.existed:
            return seal, True
        seal.check_restored()
        try:
            return seal, seal.check_file()
        except LedgerError:
            if not held(folder) and Seal(folder).marker == seal.marker:
                raise


def create_ledger(seal: Seal, campaign: str, identity: str) -> None:
    """A new ledger, made under another name and renamed when it is whole: a kill leaves all of it or nothing."""
    new = seal.path.with_suffix(".new")
    try:
        seal.path.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            create(db)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [("identity", identity), ("serial", "0")])
            db.execute("COMMIT")
            # Not earlier: the checkpoint of a closing WAL fails without a word, and its pages would stay behind.
            if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise sqlite3.OperationalError("no write-ahead log can be kept there")
        new.replace(seal.path)
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"{seal.path}: can't be made: {error}; {_DISK}") from None
    seal.begin(campaign, identity)
    seal.set(0)


def _open(seal: Seal, *, sealed: bool, write: bool) -> Ledger:
    """Open an existing ledger, refusing whatever it is not.

    A reader changes nothing, not even by closing.
    A writer keeps a reader open to the end: SQLite would bring the log into the database file when the last
    connection closes, behind the seal's back, and a reader can't.
    """
    with contextlib.ExitStack() as opened, _opening(seal):
        reader = opened.enter_context(contextlib.closing(_connection(seal, "ro")))
        version = reader.execute("PRAGMA user_version").fetchone()[0]
        if not sealed and (wrong := reader.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(wrong)
        if version > VERSION:  # in the log only: the head of the file has told already
            raise newer(seal.path, version)
        last = seal.last_serial()  # before ours, which a writer may raise in between
        query = "SELECT value FROM meta WHERE name = ?"
        identity, serial = (reader.execute(query, (name,)).fetchone()[0] for name in ("identity", "serial"))
        seal.check_contents(str(identity), int(serial), last)
        if not write and version == VERSION:
            return Ledger(reader, seal, opened.pop_all())
        if not write:  # of an earlier version: led to today's first, by a writer
            opened.close()
            with open_ledger(seal.folder, ""):
                pass
            seal, sealed = _looked_at(seal.folder)
            return _open(seal, sealed=sealed, write=False)
        db = opened.enter_context(contextlib.closing(_connection(seal, "rw")))
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # the database file changes when the seal says so
        if not seal.marker:
            seal.begin("", str(identity))
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raise sqlite3.DatabaseError("it keeps no write-ahead log")
        if version < VERSION:
            db.execute("BEGIN IMMEDIATE")
            migrate(db, version)
            db.execute("COMMIT")
        return Ledger(db, seal, opened.pop_all())


def _connection(seal: Seal, mode: str) -> sqlite3.Connection:
    address = f"{seal.path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


@contextlib.contextmanager
def _opening(seal: Seal) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        text = f"{seal.path}: the ledger can't be opened: {error}; check the folder's permissions; {_DISK}"
        raise LedgerError(text) from None
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise LedgerError(f"{seal.path}: the ledger is damaged ({error}): {seal.help()}") from None


@contextlib.contextmanager
def _reading(seal: Seal) -> Iterator[None]:
    """What SQLite says of a damaged page becomes a clear error, wherever it is met."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{seal.path}: the ledger is damaged ({error}): {seal.help()}") from None
