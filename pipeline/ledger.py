"""The ledger: a campaign's SQLite checkpoint of intents, receipts, pictures, files and money.

It lies at ``<output folder>/.pipeline/ledger.sqlite``. One writer at a time, held by a lock that the kernel frees
when the holder dies. Every write is durable when :meth:`Ledger.commit` returns (WAL, ``synchronous=FULL``), so
that an intent is on disk before a paid call leaves. An empty file opens as a valid empty SQLite database:
``campaign.json`` beside it remembers that a ledger existed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import LedgerError, LedgerLocked
from pipeline.types import Answer, Json, Spec

APPLICATION_ID = 0x43504C31  # "CPL1"
VERSION = 2

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE specs (key TEXT PRIMARY KEY, described TEXT NOT NULL) STRICT;
CREATE TABLE requests (
  id TEXT PRIMARY KEY, spec TEXT NOT NULL, pictures TEXT NOT NULL, take INTEGER NOT NULL,
  provider TEXT NOT NULL, gateway TEXT NOT NULL, model TEXT NOT NULL, address TEXT NOT NULL, label TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('intent', 'accepted', 'made', 'failed', 'refused', 'uncertain')),
  reserved INTEGER NOT NULL, usd INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL, settled REAL, error TEXT
) STRICT;
CREATE INDEX requests_open ON requests (state) WHERE state IN ('intent', 'accepted', 'uncertain');
CREATE TABLE receipts (
  request TEXT NOT NULL REFERENCES requests (id), step INTEGER NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (request, step)
) STRICT;
CREATE TABLE pictures (
  key TEXT NOT NULL, take INTEGER NOT NULL, spec TEXT NOT NULL, variant INTEGER NOT NULL,
  request TEXT NOT NULL REFERENCES requests (id), original TEXT NOT NULL, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  seed INTEGER, usd INTEGER NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (key, take)
) STRICT;
CREATE TABLE wishes (key TEXT PRIMARY KEY, take INTEGER NOT NULL) STRICT;
CREATE TABLE failures (
  key TEXT PRIMARY KEY, reason TEXT NOT NULL, permanent INTEGER NOT NULL, at REAL NOT NULL
) STRICT;
CREATE TABLE files (
  path TEXT PRIMARY KEY, key TEXT NOT NULL, take INTEGER NOT NULL, encoding TEXT NOT NULL,
  sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE cells (label TEXT PRIMARY KEY, key TEXT NOT NULL, spec TEXT NOT NULL) STRICT;
"""
_MIGRATIONS = {
    2: """
ALTER TABLE requests ADD COLUMN images TEXT NOT NULL DEFAULT '[]';
ALTER TABLE requests ADD COLUMN remote TEXT NOT NULL DEFAULT '';
ALTER TABLE pictures ADD COLUMN nsfw INTEGER;
CREATE TABLE uploads (
  provider TEXT NOT NULL, address TEXT NOT NULL, digest TEXT NOT NULL, reference TEXT NOT NULL, until REAL NOT NULL,
  PRIMARY KEY (provider, address, digest)
) STRICT;
"""
}
"""Version → what leads there from the one before. A new ledger takes the same way as an old one."""


class PictureRow(NamedTuple):
    """The current take of a picture. ``original`` is relative to the private folder; money in micro-dollars."""

    key: str
    take: int
    spec: str
    variant: int
    request: str
    original: str
    sha256: str
    bytes: int
    width: int
    height: int
    seed: int | None
    usd: int
    seconds: float
    at: float
    nsfw: int | None = None  # flagged by the gateway's own check: 1 or 0


class FileRow(NamedTuple):
    """One output file as it was written. ``path`` is relative to the output folder."""

    path: str
    key: str
    take: int
    encoding: str
    sha256: str
    bytes: int
    mtime_ns: int


class FailureRow(NamedTuple):
    """Why a picture was not made, and whether asking again by itself is useless."""

    reason: str
    permanent: bool
    at: float


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as the ledger knows it. ``pictures``: (key, variant) of each; ``reserved`` in micro-dollars.

    ``images``: the references as they were sent (``sha256:…`` for inline bytes); ``remote``: the gateway's own id.
    """

    id: str
    spec: str
    pictures: tuple[tuple[str, int], ...]
    take: int
    provider: str
    gateway: str
    model: str
    address: str  # the provider's base_url; empty for the vendor's own
    label: str
    state: str
    reserved: int
    usd: int
    created: float
    error: str | None
    images: tuple[str, ...] = ()
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Money:
    """Micro-dollars: settled by gateways; and reserved by requests in flight, or of unknown fate."""

    spent: int = 0
    reserved: int = 0
    uncertain: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a plan compares with: the state of the ledger at one moment."""

    pictures: dict[str, PictureRow]
    files: dict[str, FileRow]
    failures: dict[str, FailureRow]
    wishes: dict[str, int]
    open_requests: tuple[RequestRow, ...]
    money: Money


EMPTY = Snapshot({}, {}, {}, {}, (), Money())
"""The state of a campaign that was never run."""


class Ledger:
    """An open ledger. Make one with :func:`open_ledger` (to write) or :func:`read_ledger`."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._db = connection
        self.folder = folder

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> Snapshot:
        """Everything a plan needs, read once."""
        db = self._db
        current = "SELECT p.* FROM pictures p JOIN (SELECT key, max(take) t FROM pictures GROUP BY key) c"
        return Snapshot(
            pictures={row[0]: PictureRow(*row) for row in db.execute(f"{current} ON p.key = c.key AND p.take = c.t")},
            files={row[0]: FileRow(*row) for row in db.execute("SELECT * FROM files")},
            failures={
                row[0]: FailureRow(row[1], bool(row[2]), row[3])
                for row in db.execute("SELECT key, reason, permanent, at FROM failures")
            },
            wishes=dict(db.execute("SELECT key, take FROM wishes")),
            open_requests=self.open_requests(),
            money=self.money(),
        )

    def requests(self, where: str = "1") -> Iterator[RequestRow]:
        """Requests, oldest first. ``where`` is a condition of this module's callers, never of a user's."""
        columns = (
            "id, spec, pictures, take, provider, gateway, model, address, label, state, reserved, usd, created, error, "
            "images, remote"
        )
        for row in self._db.execute(f"SELECT {columns} FROM requests WHERE {where} ORDER BY created, id"):  # noqa: S608
            values = [*row]
            values[2] = tuple((str(key), int(variant)) for key, variant in json.loads(row[2]))
            values[14] = tuple(json.loads(row[14]))
            yield RequestRow(*values)

    def open_requests(self) -> tuple[RequestRow, ...]:
        """Requests in flight, or of unknown fate."""
        return tuple(self.requests("state IN ('intent', 'accepted', 'uncertain')"))

    def receipts(self, request: str) -> tuple[Answer, ...]:
        """The receipts of a request, in order."""
        rows = self._db.execute("SELECT answer FROM receipts WHERE request = ? ORDER BY step", (request,))
        return tuple(Answer(**json.loads(row[0])) for row in rows)

    def money(self) -> Money:
        """What was spent, and what is reserved or uncertain."""
        spent = "coalesce(sum(usd), 0)"
        reserved = "coalesce(sum(reserved) FILTER (WHERE state IN ('intent', 'accepted')), 0)"
        uncertain = "coalesce(sum(reserved) FILTER (WHERE state = 'uncertain'), 0)"
        return Money(*self._db.execute(f"SELECT {spent}, {reserved}, {uncertain} FROM requests").fetchone())  # noqa: S608

    def described(self, spec: str) -> dict[str, Json] | None:
        """A spec's parts, as they were when it was requested."""
        row = self._db.execute("SELECT described FROM specs WHERE key = ?", (spec,)).fetchone()
        return json.loads(row[0]) if row else None

    def cell_spec(self, label: str) -> str | None:
        """The spec that this label showed when it was last made."""
        row = self._db.execute("SELECT spec FROM cells WHERE label = ?", (label,)).fetchone()
        return str(row[0]) if row else None

    def takes(self) -> dict[str, list[PictureRow]]:
        """Earlier takes of the pictures that have several."""
        rows = self._db.execute(
            "SELECT * FROM pictures WHERE key IN (SELECT key FROM pictures GROUP BY key HAVING count(*) > 1) "
            "ORDER BY key, take"
        )
        result: dict[str, list[PictureRow]] = {}
        for row in map(PictureRow._make, rows):
            result.setdefault(row.key, []).append(row)
        return {key: takes[:-1] for key, takes in result.items()}

    def providers(self) -> dict[str, tuple[str, str, str]]:
        """Request id → (provider, model, the gateway's own id) of all requests that made pictures."""
        rows = self._db.execute("SELECT id, provider, model, remote FROM requests")
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def uploads(self, now: float) -> dict[tuple[str, str, str], str]:
        """(provider, address, digest) → the reference of an upload that may still be used."""
        rows = self._db.execute("SELECT provider, address, digest, reference FROM uploads WHERE until > ?", (now,))
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def remotes(self, provider: str) -> frozenset[str]:
        """The gateway's ids of all requests of a provider."""
        rows = self._db.execute("SELECT remote FROM requests WHERE provider = ? AND remote <> ''", (provider,))
        return frozenset(row[0] for row in rows)

    def sent_since(self, moment: float) -> dict[str, list[float]]:
        """Provider → Unix times of its requests since then."""
        result: dict[str, list[float]] = {}
        for provider, created in self._db.execute(
            "SELECT provider, created FROM requests WHERE created > ?", (moment,)
        ):
            result.setdefault(provider, []).append(created)
        return result

    def meta(self, name: str) -> str | None:
        """A remembered value."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    # ── writing: each of these is a step of a commit ────────────────────────────────────────────

    def commit(self, steps: Iterable[Callable[[Ledger], None]]) -> None:
        """Carry out the steps in one durable transaction.

        Raises:
            LedgerError: when it can't be written; then nothing of it was.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for step in steps:
                step(self)
            self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'serial'")
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | OverflowError | UnicodeError):
                raise LedgerError(f"{self.folder / 'ledger.sqlite'}: can't be written: {error}") from None
            raise

    def add_spec(self, spec: Spec) -> None:
        """Remember what a spec's key stands for."""
        described = json.dumps(spec.described(), ensure_ascii=False)
        self._db.execute("INSERT OR IGNORE INTO specs VALUES (?, ?)", (spec.key, described))

    def add_request(self, row: RequestRow) -> None:
        """An intent: the paid call is about to leave (or, for proofs, a request that is made already)."""
        pictures = json.dumps(row.pictures)
        self._db.execute(
            "INSERT INTO requests (id, spec, pictures, take, provider, gateway, model, address, label, state, "
            "reserved, usd, created, error, images) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(row.id, row.spec, pictures, row.take, row.provider, row.gateway, row.model),
                *(row.address, row.label, row.state, row.reserved, row.usd, row.created, row.error),
                json.dumps(row.images),
            ),
        )

    def add_receipt(self, request: str, step: int, answer: Answer, remote: str = "") -> None:
        """The answer to a paid call: from here on the request is only continued."""
        text = json.dumps({"status": answer.status, "headers": dict(answer.headers), "json": answer.json})
        self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?)", (request, step, text, time.time()))
        self._db.execute("UPDATE requests SET state = 'accepted', remote = ? WHERE id = ?", (_text(remote), request))

    def settle(self, request: str, state: str, usd: int = 0, error: str | None = None) -> None:
        """The end of a request, or its fate being unknown (``uncertain``); what it made was paid, however it ends."""
        made = "(SELECT coalesce(sum(usd), 0) FROM pictures WHERE request = ?)"
        self._db.execute(
            f"UPDATE requests SET state = ?, usd = max(?, {made}), error = ?, settled = ? WHERE id = ?",  # noqa: S608
            (state, usd, request, _text(error), time.time(), request),
        )

    def split(self, row: RequestRow, keys: set[str]) -> None:
        """An uncertain request, some pictures of which are asked for anew: they count as spent, the rest stays."""
        rest = tuple(picture for picture in row.pictures if picture[0] not in keys)
        share = row.reserved * len(rest) // len(row.pictures)
        self.settle(row.id, "failed", row.reserved - share, "its answer was lost; asked for anew")
        if rest:
            self.add_request(replace(row, id=str(uuid.uuid4()), pictures=rest, reserved=share, state="uncertain"))

    def add_picture(self, row: PictureRow) -> None:
        """A verified picture."""
        self._db.execute(f"INSERT OR REPLACE INTO pictures VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        self._db.execute("DELETE FROM failures WHERE key = ?", (row.key,))
        self._db.execute("DELETE FROM wishes WHERE key = ? AND take <= ?", (row.key, row.take))

    def forget_picture(self, key: str, take: int) -> None:
        """A picture whose kept original is lost: it is owed again."""
        self._db.execute("DELETE FROM pictures WHERE key = ? AND take = ?", (key, take))

    def add_upload(self, provider: str, address: str, digest: str, reference: str, until: float) -> None:
        """A reference that was uploaded, and until when (Unix seconds) it may be used."""
        row = (provider, address, digest, _text(reference), until)
        self._db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)", row)

    def forget_uploads(self, provider: str, digests: Iterable[str]) -> None:
        """References that a gateway may have lost: they are uploaded anew."""
        rows = [(provider, digest) for digest in digests]
        self._db.executemany("DELETE FROM uploads WHERE provider = ? AND digest = ?", rows)

    def add_file(self, row: FileRow) -> None:
        """A written output file."""
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def forget_file(self, path: str) -> None:
        """An output file that was removed on purpose."""
        self._db.execute("DELETE FROM files WHERE path = ?", (path,))

    def add_cell(self, label: str, key: str, spec: str) -> None:
        """What a label shows now."""
        self._db.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (label, key, spec))

    def add_failure(self, key: str, reason: str, *, permanent: bool) -> None:
        """Why a picture was not made."""
        self._db.execute(
            "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", (key, _text(reason), permanent, time.time())
        )

    def add_wish(self, key: str, take: int) -> None:
        """A retake asked for: it stays owed until it is made, whatever happens in between."""
        self._db.execute("INSERT OR REPLACE INTO wishes VALUES (?, ?)", (key, take))

    def drop_wish(self, key: str) -> None:
        """A retake that can't be had."""
        self._db.execute("DELETE FROM wishes WHERE key = ?", (key,))

    def set_meta(self, name: str, value: str) -> None:
        """Remember a value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def settle_finished(self) -> None:
        """Settle the requests whose pictures are all there, but which a run had no time to settle."""
        rows = self._db.execute(
            "SELECT r.id, sum(p.usd) FROM requests r JOIN pictures p ON p.request = r.id WHERE r.state = 'accepted' "
            "GROUP BY r.id HAVING count(*) = json_array_length(r.pictures)"
        ).fetchall()
        if rows:

            def settle(ledger: Ledger) -> None:
                for request, usd in rows:
                    ledger.settle(request, "made", usd)

            self.commit([settle])

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _text(text: str | None) -> str | None:
    """A vendor's words as text that can be stored: no half characters, no novels."""
    return None if text is None else text.encode("utf-8", "replace").decode()[:2000]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What SQLite says of a damaged page becomes a clear error, wherever it is met."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: the ledger is damaged ({error}): {_restore(path)}") from None


def _restore(path: Path) -> str:
    return f"restore it from a backup; or delete {path.parent} to start anew, which pays for every picture again"


@contextlib.contextmanager
def open_ledger(folder: Path, campaign: str) -> Iterator[Ledger]:
    """The campaign's ledger for writing, made when there is none; ``folder`` is the private folder.

    Raises:
        LedgerLocked: while another runner holds it.
        LedgerError: when it can't be trusted or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{folder}: can't be made: {error.strerror}") from None
    with _lock(folder):
        path, marker = folder / "ledger.sqlite", folder / "campaign.json"
        if marker.exists() or (path.exists() and path.stat().st_size):
            ledger = Ledger(_connect(path, marker), folder)
        else:
            ledger = Ledger(_create(path, marker, campaign), folder)
        try:
            with _reading(path):
                yield ledger
        finally:
            ledger.close()


@contextlib.contextmanager
def read_ledger(folder: Path) -> Iterator[Ledger | None]:
    """The campaign's ledger for reading, or None when it was never run.

    Raises:
        LedgerError: when it can't be trusted.
    """
    path, marker = folder / "ledger.sqlite", folder / "campaign.json"
    if not marker.exists() and not (path.exists() and path.stat().st_size):
        yield None
        return
    ledger = Ledger(_connect(path, marker), folder)
    try:
        with _reading(path):
            yield ledger
    finally:
        ledger.close()


def _create(path: Path, marker: Path, campaign: str) -> sqlite3.Connection:
    """A new ledger, made under another name and renamed when it is whole: a kill leaves all of it or nothing."""
    identity = str(uuid.uuid4())
    new = path.with_suffix(".new")
    try:
        path.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
        db = sqlite3.connect(new, isolation_level=None)
        new.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        _migrate(db, 1)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("identity", identity), ("serial", "0")])
        db.execute("COMMIT")
        db.close()
        new.replace(path)
        marker.write_text(json.dumps({"campaign": campaign, "ledger": identity}) + "\n", "utf-8")
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"{path}: can't be made: {error}") from None
    return _connect(path, marker)


def _migrate(db: sqlite3.Connection, version: int) -> None:
    """Inside a transaction: lead a ledger of this version to the newest."""
    for step in range(version + 1, VERSION + 1):
        for statement in _MIGRATIONS[step].split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def _connect(path: Path, marker: Path) -> sqlite3.Connection:
    """Open an existing ledger, refusing whatever it is not."""
    restore = _restore(path)
    if not path.exists() or not path.stat().st_size:
        raise LedgerError(f"{path}: the ledger is gone, though this campaign had one: {restore}")
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise LedgerError(f"{path}: this is no ledger of campaign-pipeline: {restore}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise LedgerError(f"{path}: made by a newer campaign-pipeline (ledger version {version}): update this one")
        db.execute("PRAGMA synchronous = FULL")
        if version < VERSION:
            db.execute("BEGIN IMMEDIATE")
            _migrate(db, db.execute("PRAGMA user_version").fetchone()[0])  # again: another may have been faster
            db.execute("COMMIT")
        identity = db.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0]
        if marker.exists() and json.loads(marker.read_text("utf-8")).get("ledger") != identity:
            raise LedgerError(f"{path}: this ledger belongs to another campaign folder: {restore}")
        if not marker.exists():
            marker.write_text(json.dumps({"ledger": identity}) + "\n", "utf-8")
    except (sqlite3.OperationalError, OSError) as error:
        raise LedgerError(f"{path}: the ledger can't be opened: {error}; check the folder's permissions") from None
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise LedgerError(f"{path}: the ledger is damaged ({error}): {restore}") from None
    return db


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the campaign. The kernel frees the lock when this process ends, however it ends.

    The lock is on the folder itself, which nobody removes by mistake; the file in it only says who holds it.
    """
    holder = folder / "lock"
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise LedgerError(f"{folder}: can't be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            who = holder.read_text("utf-8", "replace").strip() if holder.is_file() else "someone"
            raise LedgerLocked(f"another run holds this campaign ({who}): wait for it, or stop it") from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            holder.write_text(f"pid {os.getpid()} on {socket.gethostname()} since {since}\n", "utf-8")
        except OSError as error:
            raise LedgerError(f"{holder}: can't be written: {error.strerror}") from None
        yield
    finally:
        os.close(handle)
