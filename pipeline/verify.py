"""Whether what the ledger says is so: every file hashed again, and the ledger itself looked through.

A run trusts a file that has the size and time it was left with; here its bytes are read. What is found damaged is told
to the ledger, so that the next run makes the file again: free, from the kept original or an intact copy of it. A file
that differs and is a whole picture was edited by hand: the next run sets it aside. A picture of which nothing whole is
left, neither its original nor a file, has failed: it is made again, and paid, with ``--retry-failed`` only.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.aside import set_aside
from pipeline.errors import StorageError
from pipeline.expand import PRIVATE
from pipeline.files import write_whole
from pipeline.ledger import FileRow, Ledger, PictureRow
from pipeline.plan import EDITED, gone_words
from pipeline.plan.there import holds_picture


@dataclass(frozen=True, slots=True)
class Part:
    """One of several parts of all files, by a hash of their names: ``Part(2, 7)`` is the second of seven."""

    number: int = 1
    of: int = 1

    def __contains__(self, path: object) -> bool:
        """Whether a path, relative to the output folder, is in this part."""
        return zlib.crc32(str(path).encode()) % self.of == self.number - 1


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not as the ledger knows it. ``copy``: a file with the right bytes, where there is one; ``lost``:
    it is a kept original, and nothing whole is left of its picture.
    """

    path: str  # relative to the output folder
    fact: str
    row: FileRow | PictureRow
    copy: str = ""
    lost: bool = False

    @property
    def file(self) -> bool:
        """Whether it is an output file, not a kept original."""
        return isinstance(self.row, FileRow)

    @property
    def edited(self) -> bool:
        """Whether it is a whole picture that somebody made of it."""
        return self.fact.endswith(EDITED)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found."""

    files: int
    bytes: int
    damaged: tuple[Damage, ...]
    ledger: str  # what is wrong with the ledger; empty when nothing is


class _Known:
    """Every file that the ledger knows of, also by its hash and by its picture."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, FileRow | PictureRow] = dict(ledger.snapshot().files)
        self.rows |= {f"{PRIVATE}/{row.original}": row for row in ledger.pictures()}
        self.same: dict[str, list[str]] = {}
        self.of: dict[tuple[str, int], list[str]] = {}
        for path, row in self.rows.items():
            self.same.setdefault(row.sha256, []).append(path)
            self.of.setdefault((row.key, row.take), []).append(path)

    def look(self, path: str) -> Damage | None:
        """What is wrong with a file, and what is left of it: another one with the same bytes, or any of its picture."""
        row = self.rows[path]
        if not (fact := _wrong(self.folder / path, row)):
            return None
        if copy := self.whole(self.same[row.sha256]):
            return Damage(path, fact, row, copy)
        return Damage(path, fact, row, lost=isinstance(row, PictureRow) and not self.whole(self.of[row.key, row.take]))

    def whole(self, paths: list[str]) -> str:
        """The first of these that is whole."""
        return next((path for path in paths if not _wrong(self.folder / path, self.rows[path])), "")


def verify(ledger: Ledger, folder: Path, part: Part, workers: int) -> Verified:
    """Hash the files of a campaign, or a part of them, and hold them against its ledger."""
    known = _Known(ledger, folder)
    chosen = [path for path in sorted(known.rows) if path in part]
    with ThreadPoolExecutor(workers) as pool:
        damaged = tuple(found for found in pool.map(known.look, chosen) if found)
    return Verified(len(chosen), sum(known.rows[path].bytes for path in chosen), damaged, ledger.damage())


def repair(ledger: Ledger, folder: Path, damaged: tuple[Damage, ...]) -> int:
    """Put originals back that have an intact copy, and let the next plan know of the rest; returns how many.

    Raises:
        StorageError: when one can't be written.
    """
    put_back = 0
    for found in damaged:
        if found.copy and not found.file:
            try:
                Path(folder, found.path).parent.mkdir(parents=True, exist_ok=True)
                if holds_picture(str(folder / found.path)):
                    set_aside(folder / found.path, "edited")
                write_whole(folder / found.path, Path(folder, found.copy).read_bytes())
            except OSError as error:
                raise StorageError(f"{error.filename}: can't be put back: {error.strerror}") from None
            put_back += 1
    steps = []
    for found in damaged:
        if isinstance(found.row, FileRow):
            steps.append(_mistrust(found.path, gone=not (folder / found.path).exists()))
        elif found.lost and _wrong(folder / found.path, found.row):  # still so: a run may have come in between
            steps.append(_lose(found.row))
    ledger.commit(steps)
    return put_back


def _mistrust(path: str, *, gone: bool) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.forget_file(path) if gone else ledger.mistrust_file(path)


def _lose(row: PictureRow) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.lose_picture(row, gone_words(row))


def _wrong(path: Path, row: FileRow | PictureRow) -> str:
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == row.sha256:
                return ""
            size, stat = file.tell(), os.fstat(file.fileno())
        touched = isinstance(row, FileRow) and (stat.st_size, stat.st_mtime_ns) != (row.bytes, row.mtime_ns)
        if touched and holds_picture(str(path)):  # what decays keeps its size and time
            return f"was {EDITED}"
        return "is damaged" if size == row.bytes else f"has {size:,} bytes, not {row.bytes:,}"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"can't be read: {error.strerror}"
