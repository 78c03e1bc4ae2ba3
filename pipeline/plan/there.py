"""What is there of a plan's pictures: output files, untouched or not, and copies of lost originals."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipeline.ledger import FileRow, Snapshot
from pipeline.types import Manifest


def encoding_of(manifest: Manifest, kind: str) -> str:
    """How a format is encoded, as the ledger remembers it: ``png``, ``jpeg:90``."""
    quality = manifest.outputs.quality.get(kind)
    return f"{kind}:{quality}" if quality else kind


def file_damage(path: str, known: FileRow) -> str:
    """``file missing``, ``file damaged`` or nothing. A file that looks untouched (size, time) isn't read again."""
    try:
        stat = os.stat(path)  # noqa: PTH116  # once per cell: a Path costs more than the call
    except OSError:
        return "file missing"
    if stat.st_size != known.bytes:
        return "file damaged"
    if stat.st_mtime_ns == known.mtime_ns:
        return ""
    try:
        return "" if hashlib.sha256(Path(path).read_bytes()).hexdigest() == known.sha256 else "file damaged"
    except OSError:
        return "file damaged"


def copies_of(snapshot: Snapshot) -> dict[str, list[str]]:
    """Hash → output files that hold these bytes: a lost original can be had back from one."""
    originals = {row.sha256 for row in snapshot.pictures.values()}
    result: dict[str, list[str]] = {}
    for row in snapshot.files.values():
        if row.sha256 in originals:
            result.setdefault(row.sha256, []).append(row.path)
    return result
