"""The command line with one of its safeguards removed, and a record of the order in which it does things.

``broken.py VARIANT RECORD …``: VARIANT is ``-`` for the real code; RECORD is a file for the events of
:mod:`fakes.order`, or ``-``. A check that the real code passes must fail on its variant: then it is worth something.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.order import Event
from pipeline.cli import main
from pipeline.engine.drive import Drive
from pipeline.engine.journal import Journal, Write
from pipeline.engine.wire import Wire
from pipeline.network import Departure
from pipeline.types import Answer, Call


def _late_intent() -> None:
    """The paid call leaves before its intent is in the ledger: that comes with the receipt."""
    reserve, write = Drive.reserve, Journal.write
    waiting: list[Write] = []
    reserving = ContextVar("reserving", default=False)

    async def without_writing(self: Drive) -> None:
        before = reserving.set(True)
        try:
            await reserve(self)
        finally:
            reserving.reset(before)

    async def later(self: Journal, *steps: Write) -> None:
        if reserving.get():
            waiting.extend(steps)
            return
        steps = (*waiting, *steps)
        waiting.clear()
        await write(self, *steps)

    Drive.reserve, Journal.write = without_writing, later  # type: ignore[method-assign]


def _write_behind() -> None:
    """A write returns before it is durable: the next one carries it out."""
    write = Journal.write
    waiting: list[Write] = []

    async def behind(self: Journal, *steps: Write) -> None:
        now, waiting[:] = tuple(waiting), steps
        await write(self, *now)

    Journal.write = behind  # type: ignore[method-assign]


def _late_receipt() -> None:
    """The answer to the paid call is written after the first poll."""
    receive, ask = Drive.receive, Drive.ask
    waiting: dict[Drive, Answer] = {}

    async def remember(self: Drive, answer: Answer) -> None:
        waiting[self], self.state, self.receipts = answer, "accepted", [answer]

    async def then_write(self: Drive, call: Call) -> Answer:
        answer = await ask(self, call)
        if self in waiting:
            await receive(self, waiting.pop(self))
        return answer

    Drive.receive, Drive.ask = remember, then_write  # type: ignore[method-assign]


def _without_sync(kind: Callable[[int], bool]) -> None:
    sync = os.fsync

    def but(handle: Any) -> None:
        if not kind(os.fstat(handle if isinstance(handle, int) else handle.fileno()).st_mode):
            sync(handle)

    os.fsync = but


def _synchronous(level: str) -> None:
    """SQLite syncs less than it should."""

    class Careless(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            setting = sql.replace(" ", "").upper().startswith("PRAGMASYNCHRONOUS=")
            return super().execute(f"PRAGMA synchronous = {level}" if setting else sql, *parameters)

    _connect_as(Careless)


VARIANTS: dict[str, Callable[[], None]] = {
    "late-intent": _late_intent,
    "write-behind": _write_behind,
    "late-receipt": _late_receipt,
    "files-not-synced": lambda: _without_sync(stat.S_ISREG),
    "folders-not-synced": lambda: _without_sync(stat.S_ISDIR),
    "ledger-never-synced": lambda: _synchronous("OFF"),
    "ledger-seldom-synced": lambda: _synchronous("NORMAL"),
}
"""Each safeguard that was removed → how."""


# ── the record ──────────────────────────────────────────────────────────────────────────────────


def _connect_as(kind: type[sqlite3.Connection]) -> None:
    connect = sqlite3.connect

    def as_kind(*arguments: Any, **keys: Any) -> sqlite3.Connection:
        inner = keys.pop("factory", None)
        factory = type("Connection", (inner, kind), {}) if inner else kind
        found: sqlite3.Connection = connect(*arguments, factory=factory, **keys)
        return found

    sqlite3.connect = as_kind


class Recorder:
    """Notes what is written, synced, renamed and sent."""

    def __init__(self, file: Path) -> None:
        self._out = file.open("a", buffering=1)
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}
        self._synced: dict[tuple[int, int], tuple[int, int]] = {}  # file → its size and time when it was synced
        self._sync = os.fsync
        os.fsync = self.fsync
        sys.addaudithook(self.audit)
        self.hook_ledger()
        self.hook_wire()

    def note(self, event: Event) -> None:
        """Write an event down."""
        with self._lock:
            self._out.write(json.dumps(asdict(event) | {"ids": sorted(event.ids)}) + "\n")

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Files opened for writing, and renamed; a file that changed since it was synced was written since."""
        if name == "open" and isinstance(arguments[0], str | os.PathLike) and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR):
                self.note(Event("write", os.fspath(arguments[0])))
        elif name == "os.rename":
            source, target = map(os.fspath, arguments[:2])
            with contextlib.suppress(OSError):
                now = Path(source).stat()
                if self._synced.get((now.st_dev, now.st_ino)) not in (None, (now.st_size, now.st_mtime_ns)):
                    self.note(Event("write", source))
            self.note(Event("rename", source, target))

    def fsync(self, handle: Any) -> None:
        """``os.fsync``, noted."""
        number = handle if isinstance(handle, int) else handle.fileno()
        self._sync(number)
        now = os.fstat(number)
        self._synced[now.st_dev, now.st_ino] = (now.st_size, now.st_mtime_ns)
        self.note(Event("sync", str(Path(f"/proc/self/fd/{number}").readlink())))

    def hook_ledger(self) -> None:
        """SQLite syncs by itself: its setting tells whether it did."""
        recorder = self

        class Recorded(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                done = super().execute(sql, *parameters)
                if sql == "COMMIT":
                    recorder.committed(super().execute)
                return done

        _connect_as(Recorded)

    def committed(self, ask: Callable[[str], sqlite3.Cursor]) -> None:
        """The ledger was written: of which requests it tells something new, and whether that was synced."""
        try:
            states = dict(ask("SELECT id, state FROM requests").fetchall())
        except sqlite3.OperationalError:
            return  # it is being made
        log = f"{ask('PRAGMA database_list').fetchone()[2]}-wal"
        new = frozenset(request for request, state in states.items() if self._states.get(request) != state)
        self._states = states
        self.note(Event("write", log, ids=new))
        if ask("PRAGMA synchronous").fetchone()[0] >= 2:  # FULL
            self.note(Event("sync", log))

    def hook_wire(self) -> None:
        """The paid calls and the polls of the fake dialect."""
        send, recorder = Wire.send, self

        async def noted(wire: Wire, call: Call, departure: Departure | None = None) -> Answer:
            if call.paid and isinstance(call.json, dict):
                recorder.note(Event("post", str(call.json["id"])))
            elif "/jobs/" in call.url:
                recorder.note(Event("poll", call.url.rpartition("/")[2]))
            return await send(wire, call, departure)

        Wire.send = noted  # type: ignore[method-assign]


def read(record: Path) -> list[Event]:
    """The events of a record."""
    lines = map(json.loads, record.read_text("utf-8").splitlines())
    return [Event(**line | {"ids": frozenset(line["ids"])}) for line in lines]


if __name__ == "__main__":
    import fakes.runner  # noqa: F401  # the fake dialects, and short waits: of this process only

    variant, record, *rest = sys.argv[1:]
    if record != "-":
        Recorder(Path(record))
    if variant != "-":
        VARIANTS[variant]()
    sys.exit(main(rest))
