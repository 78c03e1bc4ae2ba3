"""Whether what the ledger says is so: every file hashed again, and the ledger itself looked through.

A run trusts a file that has the size and time it was left with; here its bytes are read. What is found damaged is told
to the ledger, so that the next run makes the file anew: free, from the kept original or an intact copy of it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.expand import PRIVATE
from pipeline.files import write_whole
from pipeline.ledger import FileRow, Ledger, PictureRow


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
    """A file that is not as the ledger knows it. ``copy``: a file with the right bytes, where there is one."""

    path: str  # relative to the output folder
    fact: str
    row: FileRow | PictureRow
    copy: str = ""

    @property
    def file(self) -> bool:
        """Whether it is an output file, not a kept original."""
        return isinstance(self.row, FileRow)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found."""

    files: int
    bytes: int
    damaged: tuple[Damage, ...]
    ledger: str  # what is wrong with the ledger; empty when nothing is


def verify(ledger: Ledger, folder: Path, part: Part, workers: int) -> Verified:
    """Hash the files of a campaign, or a part of them, and hold them against its ledger."""
    rows: dict[str, FileRow | PictureRow] = dict(ledger.snapshot().files)
    rows |= {f"{PRIVATE}/{row.original}": row for row in ledger.pictures()}
    chosen = [(path, row) for path, row in sorted(rows.items()) if path in part]

    def look(item: tuple[str, FileRow | PictureRow]) -> Damage | None:
        path, row = item
        fact = _wrong(folder / path, row.sha256, row.bytes)
        return Damage(path, fact, row, _copy(folder, path, row, rows)) if fact else None

    with ThreadPoolExecutor(workers) as pool:
        damaged = tuple(found for found in pool.map(look, chosen) if found)
    return Verified(len(chosen), sum(row.bytes for _, row in chosen), damaged, ledger.damage())


def repair(ledger: Ledger, folder: Path, damaged: tuple[Damage, ...]) -> int:
    """Put originals back that have an intact copy, and let the next plan mistrust the files; returns how many."""
    put_back = 0
    for found in damaged:
        if found.copy and not found.file:
            write_whole(folder / found.path, Path(folder, found.copy).read_bytes())
            put_back += 1
    files = [found.path for found in damaged if found.file]
    ledger.commit([_mistrust(path) for path in files])
    return put_back


def _mistrust(path: str) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.mistrust_file(path)


def _wrong(path: Path, sha256: str, size: int) -> str:
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return ""
            return "is damaged" if file.tell() == size else f"has {file.tell():,} bytes, not {size:,}"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"can't be read: {error.strerror}"


def _copy(folder: Path, path: str, row: FileRow | PictureRow, rows: dict[str, FileRow | PictureRow]) -> str:
    """Another file that should have the same bytes, and has."""
    same = (other for other, known in rows.items() if known.sha256 == row.sha256 and other != path)
    return next((other for other in same if not _wrong(folder / other, row.sha256, row.bytes)), "")
