"""The order in which a run must do things so that a power cut loses nothing, and what a record of a run breaks of it.

``kill -9`` can't tell whether anything was synced: the kernel keeps what was written. So the order itself is checked,
whoever recorded it: strace, or the hooks of :mod:`fakes.broken`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a run did: a file written, a file or folder synced, a file renamed, a call sent.

    ``path``: the file; of a call its request's id. ``ids``: the requests that a write to the ledger tells of.
    """

    what: Literal["write", "sync", "rename", "post", "poll"]
    path: str
    to: str = ""
    ids: frozenset[str] = frozenset()


def violations(events: Sequence[Event], ledger: Path) -> list[str]:
    """What is out of order. ``ledger``: the database file; its log lies beside it."""
    return [*_renames(events), *_calls(events, frozenset({str(ledger), f"{ledger}-wal"}))]


def _renames(events: Sequence[Event]) -> Iterator[str]:
    """A file is synced after its last write and before it gets its name; the folder is synced after that."""
    for number, event in enumerate(events):
        if event.what != "rename":
            continue
        earlier = [past.what for past in events[:number] if past.path == event.path and past.what != "rename"]
        if earlier[-1:] != ["sync"]:
            yield f"{event.to}: renamed before it was synced"
        folder = str(Path(event.to).parent)
        if not any(later.what == "sync" and later.path == folder for later in events[number:]):
            yield f"{event.to}: its folder was not synced"


def _calls(events: Sequence[Event], ledger: frozenset[str]) -> Iterator[str]:
    """A request is synced in the ledger before its paid call leaves; and its answer, before the first poll."""
    posted: dict[str, int] = {}
    polled: set[str] = set()
    for number, event in enumerate(events):
        if event.what == "post" and event.path not in posted:
            posted[event.path] = number
            if not _durable(events[:number], event.path, ledger):
                yield f"{event.path}: its paid call left before its intent was synced"
        elif event.what == "poll" and event.path not in polled:
            polled.add(event.path)
            if not _durable(events[posted.get(event.path, 0) : number], event.path, ledger):
                yield f"{event.path}: polled before its receipt was synced"


def _durable(events: Sequence[Event], request: str, ledger: frozenset[str]) -> bool:
    """Whether a write that tells of the request was followed by a sync."""
    told = ""
    for event in events:
        if event.what == "write" and request in event.ids and event.path in ledger:
            told = event.path
        elif event.what == "sync" and event.path == told:
            return True
    return False
