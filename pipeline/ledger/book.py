"""The open ledger: what it tells, and the steps of which its commits are made."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.budget import midnight
from pipeline.errors import LedgerError
from pipeline.ledger.backup import back_up
from pipeline.ledger.rows import Account, FailureRow, FileRow, Money, PictureRow, RequestRow, ShownRow, Snapshot
from pipeline.ledger.seal import LEDGER, Seal
from pipeline.types import Answer, Json, Spec

LARGE_LOG = 16 * 1024 * 1024
"""Bytes of the write-ahead log after which it is brought into the database file, if that isn't larger still."""
BACKUP_EVERY = 600.0
"""Seconds between the backups of one run."""

_UNREAD = -1
"""The step of a receipt that could not be read: before all others."""
HAND = "hand"
"""What stands for the gateway of a take that a person made of a picture, or accepted: no request was ever sent."""

_BLANK = "blank "
"""What the names of the marks of pictures that show nothing begin with."""
_OPEN = "state IN ('intent', 'accepted', 'uncertain')"

_ACCOUNTS = """
WITH f AS (SELECT key, take, count(*) - 1 more FROM files GROUP BY key, take),
s AS (SELECT p.request, sum(p.usd * f.more) usd FROM pictures p JOIN f USING (key, take) GROUP BY p.request)
SELECT date(r.created, 'unixepoch', 'localtime') day, r.provider, r.product_set, r.product,
  count(*), sum(json_array_length(r.pictures)), sum(r.usd - r.refusals),
  coalesce(sum(r.reserved) FILTER (WHERE r.state IN ('intent', 'accepted')), 0),
  coalesce(sum(r.reserved) FILTER (WHERE r.state = 'uncertain'), 0),
  coalesce(sum(s.usd), 0), sum(r.refusals)
FROM requests r LEFT JOIN s ON s.request = r.id WHERE r.gateway <> 'hand'
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""


class Ledger:
    """An open ledger. Make one with :func:`open_ledger` (to write) or :func:`read_ledger`."""

    def __init__(self, connection: sqlite3.Connection, seal: Seal, opened: contextlib.ExitStack) -> None:
        self._db = connection
        self._opened = opened
        self.seal = seal
        self.folder: Path = seal.folder
        self.not_backed_up = ""  # why the last backup could not be made
        self._began = self.serial()
        self._backed_up = time.monotonic()

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
            committed=self.committed(),
        )

    def requests(self, where: str = "1") -> Iterator[RequestRow]:
        """Requests, oldest first. ``where`` is a condition of this module's callers, never of a user's."""
        columns = (
            "id, spec, pictures, take, provider, gateway, model, address, label, state, reserved, usd, created, error, "
            "images, remote, product, product_set, "
            "EXISTS (SELECT 1 FROM receipts WHERE request = requests.id AND step < 0)"
        )
        for row in self._db.execute(f"SELECT {columns} FROM requests WHERE {where} ORDER BY created, id"):  # noqa: S608
            values = [*row]
            values[2] = tuple((str(key), int(variant)) for key, variant in json.loads(row[2]))
            values[14] = tuple(json.loads(row[14]))
            values[18] = bool(row[18])
            yield RequestRow(*values)

    def open_requests(self) -> tuple[RequestRow, ...]:
        """Requests in flight, or of unknown fate."""
        return tuple(self.requests(_OPEN))

    def receipts(self, request: str) -> tuple[Answer, ...]:
        """The receipts of a request, in order."""
        rows = self._db.execute("SELECT answer FROM receipts WHERE request = ? AND step >= 0 ORDER BY step", (request,))
        return tuple(Answer(**json.loads(row[0])) for row in rows)

    def unread(self) -> Iterator[tuple[RequestRow, Answer]]:
        """The open requests whose answer could not be read when it came, and that answer."""
        query = "SELECT answer FROM receipts WHERE request = ? AND step = ?"
        for row in self.open_requests():
            for (text,) in self._db.execute(query, (row.id, _UNREAD)):
                yield row, Answer(**json.loads(text))

    def money(self) -> Money:
        """What was spent, what is reserved or uncertain, and what was perhaps billed for refusals."""
        spent = "coalesce(sum(usd - refusals), 0)"
        reserved = "coalesce(sum(reserved) FILTER (WHERE state IN ('intent', 'accepted')), 0)"
        uncertain = "coalesce(sum(reserved) FILTER (WHERE state = 'uncertain'), 0)"
        columns = f"{spent}, {reserved}, {uncertain}, coalesce(sum(refusals), 0)"
        return Money(*self._db.execute(f"SELECT {columns} FROM requests").fetchone())  # noqa: S608

    def committed(self) -> dict[tuple[str, bool], int]:
        """(product set, whether it was asked for today) → micro-dollars spent, or held by what is open."""
        rows = self._db.execute(
            f"SELECT product_set, created >= ?, sum(CASE WHEN {_OPEN} THEN reserved ELSE usd END) "  # noqa: S608
            "FROM requests GROUP BY 1, 2",
            (midnight(),),
        )
        return {(row[0], bool(row[1])): row[2] for row in rows}

    def accounts(self) -> Iterator[Account]:
        """The money by day, provider and product, oldest first."""
        return (Account(*row) for row in self._db.execute(_ACCOUNTS))

    def kept(self) -> int:
        """Micro-dollars: what all runs together found made already, and did not pay again."""
        return int(self._db.execute("SELECT coalesce(sum(kept), 0) FROM runs").fetchone()[0])

    def cut_short(self) -> bool:
        """Whether a run was killed before its end."""
        return self._db.execute("SELECT 1 FROM runs WHERE ended IS NULL").fetchone() is not None

    def damage(self) -> str:
        """What is wrong in the whole database, by SQLite's rules and by ours; empty when nothing is."""
        made = "SELECT sum(p.usd) FROM pictures p WHERE p.request = r.id"
        less = self._db.execute(f"SELECT id FROM requests r WHERE NOT {_OPEN} AND usd < ({made})")  # noqa: S608
        wrong = [f"request {row[0]} cost less than its pictures" for row in less]
        found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check(3)")]
        found += [f"{row[0]} row {row[1]} names no {row[2]}" for row in self._db.execute("PRAGMA foreign_key_check")]
        return "; ".join(wrong + [line for line in found if line != "ok"])

    def serial(self) -> int:
        """The number of the last commit."""
        return int(self._db.execute("SELECT value FROM meta WHERE name = 'serial'").fetchone()[0])

    def described(self, spec: str) -> dict[str, Json] | None:
        """A spec's parts, as they were when it was requested."""
        row = self._db.execute("SELECT described FROM specs WHERE key = ?", (spec,)).fetchone()
        return json.loads(row[0]) if row else None

    def cell_spec(self, label: str) -> str | None:
        """The spec that this label showed when it was last made."""
        row = self._db.execute("SELECT spec FROM cells WHERE label = ?", (label,)).fetchone()
        return str(row[0]) if row else None

    def shown(self) -> dict[str, list[ShownRow]]:
        """Label → every picture that it ever showed, oldest first."""
        result: dict[str, list[ShownRow]] = {}
        for label, *row in self._db.execute("SELECT label, key, spec, at FROM shown ORDER BY label, at, key"):
            result.setdefault(label, []).append(ShownRow(*row))
        return result

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

    def pictures(self) -> Iterator[PictureRow]:
        """Every take of every picture."""
        return map(PictureRow._make, self._db.execute("SELECT * FROM pictures ORDER BY key, take"))

    def providers(self) -> dict[str, tuple[str, str, str]]:
        """Request id → (provider, model, the gateway's own id) of all requests that made pictures."""
        rows = self._db.execute("SELECT id, provider, model, remote FROM requests")
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def asked(self) -> frozenset[str]:
        """The keys of all pictures that any request was ever for."""
        rows = self._db.execute(
            "SELECT DISTINCT json_extract(each.value, '$[0]') FROM requests, json_each(pictures) each"
        )
        return frozenset(str(row[0]) for row in rows)

    def by_hand(self) -> dict[str, str]:
        """Request id → what a person did, of the takes that ``pipeline adopt`` has made."""
        return dict(self._db.execute("SELECT id, error FROM requests WHERE gateway = ?", (HAND,)))

    def blank(self) -> dict[tuple[str, int], str]:
        """(key, take) → ``one colour`` or ``transparent``, of the pictures that show nothing."""
        rows = self._db.execute("SELECT name, value FROM meta WHERE name GLOB ?", (f"{_BLANK}*",))
        marks = ((name.removeprefix(_BLANK).split(".t"), value) for name, value in rows)
        return {(key, int(take)): value for (key, take), value in marks}

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
            serial = self.serial()
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error | OverflowError | UnicodeError):
                raise LedgerError(f"{self.seal.path}: can't be written: {error}") from None
            raise

        self.seal.note(serial)
        if self._size("-wal") > max(LARGE_LOG, self._size("")):  # else a large ledger is hashed again and again
            self.rest(back_up=time.monotonic() - self._backed_up > BACKUP_EVERY)

    def add_spec(self, spec: Spec) -> None:
        """Remember what a spec's key stands for."""
        described = json.dumps(spec.described(), ensure_ascii=False)
        self._db.execute("INSERT OR IGNORE INTO specs VALUES (?, ?)", (spec.key, described))

    def add_request(self, row: RequestRow) -> None:
        """An intent: the paid call is about to leave (or, for proofs, a request that is made already)."""
        pictures = json.dumps(row.pictures)
        self._db.execute(
            "INSERT INTO requests (id, spec, pictures, take, provider, gateway, model, address, label, state, "
            "reserved, usd, created, error, images, product, product_set) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(row.id, row.spec, pictures, row.take, row.provider, row.gateway, row.model),
                *(row.address, row.label, row.state, row.reserved, row.usd, row.created, row.error),
                *(json.dumps(row.images), row.product, row.product_set),
            ),
        )

    def add_receipt(self, request: str, step: int, answer: Answer, remote: str = "") -> None:
        """The answer to a paid call: from here on the request is only continued."""
        self._put_answer(request, step, answer)
        self._db.execute("DELETE FROM receipts WHERE request = ? AND step = ?", (request, _UNREAD))
        self._db.execute("UPDATE requests SET state = 'accepted', remote = ? WHERE id = ?", (_text(remote), request))

    def add_unread(self, request: str, answer: Answer) -> None:
        """An answer to the paid call that can't be read: kept for a version that can."""
        self._put_answer(request, _UNREAD, answer)

    def _put_answer(self, request: str, step: int, answer: Answer) -> None:
        parts = {"status": answer.status, "headers": dict(answer.headers), "json": answer.json}
        text = json.dumps(parts | ({"body": answer.body} if answer.body else {}))
        self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?)", (request, step, text, time.time()))

    def settle(self, request: str, state: str, usd: int = 0, error: str | None = None, *, refusals: int = 0) -> None:
        """The end of a request, or its fate being unknown (``uncertain``); what it made was paid, however it ends.

        ``refusals``: the part of ``usd`` that the gateway has perhaps not billed, as it refused the request.
        """
        made = "(SELECT coalesce(sum(usd), 0) FROM pictures WHERE request = ?)"
        self._db.execute(
            f"UPDATE requests SET state = ?, usd = max(?, {made}), refusals = ?, error = ?, settled = ? WHERE id = ?",  # noqa: S608
            (state, usd, request, refusals, _text(error), time.time(), request),
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

    def lose_picture(self, row: PictureRow, reason: str) -> None:
        """A picture of which nothing whole is left.

        If it is the newest take, it is wished for, so that the take before doesn't take its place; and it has failed
        for this reason, so that it is paid again only when the user says so. A proof costs nothing: it is owed.
        """
        takes = "SELECT take FROM pictures WHERE key = ?1 UNION ALL SELECT take FROM wishes WHERE key = ?1"
        newest = self._db.execute(f"SELECT max(take) FROM ({takes})", (row.key,)).fetchone()[0]  # noqa: S608
        self._db.execute("DELETE FROM pictures WHERE key = ? AND take = ?", (row.key, row.take))
        if newest != row.take:
            return
        self.add_wish(row.key, row.take)
        if not (self.described(row.spec) or {}).get("proof"):
            self.add_failure(row.key, reason, permanent=True)

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
        """What a label shows now; what it showed before stays known."""
        self._db.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (label, key, spec))
        self._db.execute("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?)", (label, key, spec, time.time()))

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

    def mark_blank(self, key: str, take: int, word: str) -> None:
        """Remember that a picture shows nothing: there are few, so they have no column of their own."""
        self.set_meta(f"{_BLANK}{key}.t{take}", word)

    def settle_finished(self, states: str = "state = 'accepted'") -> None:
        """Settle the requests whose pictures are all there, but which a run had no time to settle."""
        rows = self._db.execute(
            f"SELECT r.id, sum(p.usd) FROM requests r JOIN pictures p ON p.request = r.id WHERE {states} "  # noqa: S608
            "GROUP BY r.id HAVING count(*) = json_array_length(r.pictures)"
        ).fetchall()
        if rows:

            def settle(ledger: Ledger) -> None:
                for request, usd in rows:
                    ledger.settle(request, "made", usd)

            self.commit([settle])

    def settle_adopted(self) -> None:
        """Settle the requests whose pictures were found to be all there, whatever was known of their fate."""
        self.settle_finished(_OPEN)

    def begin_run(self, kept: int) -> None:
        """A run begins that finds pictures worth ``kept`` made already."""
        self._db.execute("INSERT INTO runs (started, kept) VALUES (?, ?)", (time.time(), kept))

    def end_run(self) -> None:
        """The run has come to its end."""
        self._db.execute("UPDATE runs SET ended = ? WHERE ended IS NULL", (time.time(),))

    def mistrust_file(self, path: str) -> None:
        """An output file that was found damaged: the next plan reads it, whatever its size and time say."""
        self._db.execute("UPDATE files SET mtime_ns = 0 WHERE path = ?", (path,))

    # ── resting ─────────────────────────────────────────────────────────────────────────────────

    def rest(self, *, back_up: bool = True) -> None:
        """Bring the log into the database file, seal that, and back it up.

        Raises:
            LedgerError: when the file can't be written. A backup that can't be made is only told of.
        """
        try:
            self.seal.break_()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self.seal.set(self.serial())
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{self.seal.path}: can't be written: {error}") from None
        if back_up:
            self.back_up()

    def back_up(self) -> None:
        """Keep what was committed since the last backup."""
        self._backed_up = time.monotonic()
        try:
            back_up(self._db, self.folder, self.serial())
            self.not_backed_up = ""
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.not_backed_up = f"{self.folder}: the ledger could not be backed up: {error}"

    def leave(self) -> None:
        """At the end of a run: as :meth:`rest`, when anything was written, here or by a run that was killed."""
        if self.serial() == self._began and not self._size("-wal") and self.seal.marker.get("seal"):
            return
        self.rest()

    def _size(self, part: str) -> int:
        """Bytes of the database file, or of a file beside it."""
        try:
            return self.seal.path.with_name(f"{LEDGER}{part}").stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Close the database."""
        self._opened.close()
        self.seal.close()


def _text(text: str | None) -> str | None:
    """A vendor's words as text that can be stored: no half characters, no novels."""
    return None if text is None else text.encode("utf-8", "replace").decode()[:2000]
