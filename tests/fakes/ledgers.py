"""Ledgers to be damaged: rows to fill them with, single bits to flip, and what was in them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.ledger import FileRow, Ledger, PictureRow, RequestRow, open_ledger, read_ledger

PARTS = ("ledger.sqlite", "ledger.sqlite-wal", "campaign.json", "serial")
"""All that a ledger consists of; its ``-shm`` is SQLite's own, and made anew."""


def request(number: int, state: str = "made") -> RequestRow:
    """One paid request for one picture."""
    return RequestRow(
        id=f"request-{number}",
        spec=f"spec-{number}",
        pictures=((f"{number:032x}", 1),),
        take=1,
        provider="fal",
        gateway="fal",
        model="some/model",
        address="",
        label=f"p{number}/table/1x1/1K/v1.png",
        state=state,
        reserved=28_000,
        usd=28_000 if state == "made" else 0,
        created=time.time(),
        error=None,
        product=f"p{number}",
        product_set="things",
    )


def picture(number: int) -> PictureRow:
    """The picture of :func:`request`."""
    key, digest = f"{number:032x}", hashlib.sha256(b"%d" % number).hexdigest()
    original = f"originals/{key}.t1.png"
    return PictureRow(
        key, 1, f"spec-{number}", 1, f"request-{number}", original, digest, 1000, 20, 20, 7, 28_000, 1.5, 2.5
    )


def make(number: int) -> Callable[[Ledger], None]:
    """A step that records a request, its picture and a file."""

    def step(ledger: Ledger) -> None:
        row = picture(number)
        ledger.add_request(request(number))
        ledger.add_picture(row)
        ledger.add_file(FileRow(f"p{number}.png", row.key, 1, "png", row.sha256, row.bytes, 1_000_000_007))
        ledger.add_cell(f"p{number}/table/1x1/1K/v1.png", row.key, row.spec)

    return step


def filled(folder: Path, runs: int = 1, each: int = 2) -> Path:
    """A private folder after so many runs, each of which made so many pictures."""
    for run in range(runs):
        with open_ledger(folder, "test") as ledger:
            for number in range(run * each, (run + 1) * each):
                ledger.commit([make(number)])
    return folder


def made(folder: Path) -> set[int]:
    """The numbers of the pictures that a ledger knows, as a reader sees it."""
    with read_ledger(folder) as ledger:
        assert ledger is not None
        return {int(row.key, 16) for row in ledger.pictures()}


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file around, and leave its time as it was."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def taken(folder: Path) -> dict[str, bytes]:
    """The bytes of a ledger's parts."""
    return {name: (folder / name).read_bytes() for name in PARTS if (folder / name).is_file()}


def put(folder: Path, parts: dict[str, bytes]) -> None:
    """A ledger of exactly these parts."""
    for name in (*PARTS, "ledger.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    for name, data in parts.items():
        (folder / name).write_bytes(data)
