"""Where a run is killed: named points of its protocol, as passages through a few stable seams.

A seam tells each passage by its name: ``committing intent`` is the moment before SQLite's COMMIT of a transaction with
an intent in it, ``committed intent`` the one after. Some are seen from inside the run, the others by the gateway, whose
requests come from it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pipeline.engine.finish
from pipeline.addresses import Reach
from pipeline.engine.wire import Wire
from pipeline.expand import PRIVATE
from pipeline.ledger import Ledger
from pipeline.publish import Publisher

Passing: TypeAlias = Callable[[str], None]

EVERYWHERE = ("fal", "aimlapi", "eachlabs", "runware")
POLLED = ("fal", "eachlabs", "runware")
"""AIML API holds its one call until the pictures exist, and takes references inline."""


@dataclass(frozen=True)
class Point:
    """A place in the protocol: the passages that it is made of.

    ``most``: about how many of them a run has. ``fresh``: they are passed in a new output folder only.
    """

    passages: tuple[str, ...]
    most: int
    gateways: tuple[str, ...] = EVERYWHERE
    fresh: bool = False


POINTS: dict[str, Point] = {
    "the ledger is made": Point(
        ("connecting", "connected", "renaming ledger", "renamed ledger", "writing campaign.json"), 6, fresh=True
    ),
    "the ledger is opened": Point(("connecting", "connected", "reading the ledger"), 3),
    "an upload is under way": Point(("upload arrives", "upload answered"), 4, POLLED, fresh=True),
    "an upload is not recorded": Point(("committing upload",), 2, POLLED, fresh=True),
    "an upload is recorded": Point(("committed upload",), 2, POLLED, fresh=True),
    "the intent is not committed": Point(("committing intent",), 3),
    "the intent is committed, nothing sent": Point(("committed intent", "calling to pay"), 6),
    "the paid call arrives": Point(("submit arrives",), 4),
    "the paid call is billed, not answered": Point(("submit accepted",), 4),
    "its answer is read, not recorded": Point(("paid",), 4),
    "the receipt is not committed": Point(("committing receipt",), 3),
    "the receipt is committed": Point(("committed receipt",), 3),
    "a poll is not answered": Point(("poll arrives", "poll answered"), 8, POLLED),
    "a poll is answered": Point(("polled",), 6, POLLED),
    "a picture is fetched, not written": Point(("fetching", "fetched"), 12),
    "a picture is half written": Point(("half original", "half file"), 12),
    "a picture is not renamed": Point(("renaming original", "renaming file"), 12),
    "a picture is renamed, not recorded": Point(("renamed original", "renamed file", "committing picture"), 12),
    "a picture is recorded, the request open": Point(("committed picture",), 5),
    "the request is not settled": Point(("committing made",), 3),
    "the request is settled": Point(("committed made",), 3),
    "publishing": Point(("publishing", "half page", "renaming page", "renamed page", "renamed sidecar"), 12),
    "closing": Point(("closing", "closed"), 2),
}
"""What `kills` kills at, each point at least fifty times in a full soak."""


class Trip:
    """Counts the passages of a point, and kills at the n-th."""

    def __init__(self, passages: Iterable[str], nth: int, kill: Callable[[], None]) -> None:
        self.passages = frozenset(passages)
        self._left = nth
        self._kill = kill
        self._lock = threading.Lock()

    def passing(self, name: str) -> None:
        """A passage; "any" counts all of them."""
        if name in self.passages or "any" in self.passages:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    self._kill()


def lay_seams(passing: Passing) -> None:
    """Let this process tell its passages. It can't be undone: it is for a process that is about to be killed."""
    _ledger(passing)
    _wire(passing)
    _files(passing)


def _around(owner: Any, name: str, before: Callable[..., None], after: Callable[..., None]) -> None:
    """Let a function tell what it is about to do, and that it is done."""
    function = getattr(owner, name)

    def told(*given: Any, **named: Any) -> Any:
        before(*given)
        result = function(*given, **named)
        after(*given)
        return result

    setattr(owner, name, told)


def _nothing(*_: object) -> None:
    """No passage here."""


def _ledger(passing: Passing) -> None:
    marks: list[str] = []  # of the transaction under way; there is one at a time

    def mark(name: str) -> Callable[..., None]:
        return lambda *_: marks.append(name)

    _around(Ledger, "add_request", lambda _, row: marks.append(row.state), _nothing)
    _around(Ledger, "add_receipt", mark("receipt"), _nothing)
    _around(Ledger, "add_picture", mark("picture"), _nothing)
    _around(Ledger, "add_upload", mark("upload"), _nothing)
    _around(Ledger, "settle", lambda _ledger, _request, state, *_: marks.append(state), _nothing)
    commit = Ledger.commit

    def told(ledger: Ledger, steps: Iterable[Callable[[Ledger], None]]) -> None:
        def last(_: Ledger) -> None:
            for name in dict.fromkeys(marks):
                passing(f"committing {name}")

        marks.clear()
        commit(ledger, [*steps, last])
        for name in dict.fromkeys(marks):
            passing(f"committed {name}")

    Ledger.commit = told  # type: ignore[method-assign]
    _around(Ledger, "snapshot", lambda *_: passing("reading the ledger"), _nothing)
    _around(Ledger, "close", lambda *_: passing("closing"), lambda *_: passing("closed"))
    _around(sqlite3, "connect", lambda *_: passing("connecting"), lambda *_: passing("connected"))


def _wire(passing: Passing) -> None:
    send = Wire.send

    async def told(wire: Wire, call: Any, departure: Any = None) -> Any:
        if call.paid:
            passing("calling to pay")
        answer = await send(wire, call, departure)
        if call.paid:
            passing("paid")
        elif call.after:
            passing("polled")
        return answer

    Wire.send = told  # type: ignore[method-assign]
    fetch = pipeline.engine.finish.fetch

    async def fetched(url: str, reach: Reach) -> bytes:
        passing("fetching")
        data = await fetch(url, reach)
        passing("fetched")
        return data

    pipeline.engine.finish.fetch = fetched


def _files(passing: Passing) -> None:
    _around(os, "fsync", lambda handle: _half(handle, passing), _nothing)
    _around(
        os,
        "replace",
        lambda _source, target: passing(f"renaming {_kind(Path(target))}"),
        lambda _source, target: passing(f"renamed {_kind(Path(target))}"),
    )
    _around(Publisher, "publish", lambda *_: passing("publishing"), _nothing)
    _around(Path, "write_text", lambda path, *_: passing(f"writing {path.name}"), _nothing)


def _half(handle: int, passing: Passing) -> None:
    """A file about to be synced is half there for a moment, as a process that dies while it writes leaves it."""
    path = Path(f"/proc/self/fd/{handle}").readlink()
    if path.suffix != ".part":
        return
    data = path.read_bytes()
    os.ftruncate(handle, len(data) // 2)
    passing(f"half {_kind(path)}")
    os.pwrite(handle, data[len(data) // 2 :], len(data) // 2)


def _kind(path: Path) -> str:
    """What a file in the output folder is, by its place; a temporary file has no other name yet."""
    if path.name.startswith("ledger"):
        return "ledger"
    if path.parent.name in ("originals", "thumbs"):
        return path.parent.name.removesuffix("s")
    if path.parent.name == PRIVATE:
        return "guard"
    if (path.parent / PRIVATE).is_dir():
        return "page"
    return "sidecar" if path.suffix == ".json" else "file"
