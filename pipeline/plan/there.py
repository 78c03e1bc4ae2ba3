"""What is there of a plan's pictures: output files, untouched or not, and copies of lost originals."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from pipeline.expand import PRIVATE
from pipeline.ledger import FileRow, PictureRow, Snapshot
from pipeline.types import Manifest

EDITED = "edited by hand"
"""Of a file: it is a whole picture, and not the one that we wrote."""


def encoding_of(manifest: Manifest, kind: str) -> str:
    """How a format is encoded, as the ledger remembers it: ``png``, ``jpeg:90``."""
    quality = manifest.outputs.quality.get(kind)
    return f"{kind}:{quality}" if quality else kind


def file_damage(path: str, known: FileRow) -> str:
    """``file missing``, ``file damaged``, :data:`EDITED` or nothing.

    A file that looks untouched (size, time) isn't read again. One that differs and is a whole picture was edited.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116  # once per cell: a Path costs more than the call
    except OSError:
        return "file missing"
    if stat.st_size == known.bytes:
        if stat.st_mtime_ns == known.mtime_ns:
            return ""
        try:
            if hashlib.sha256(Path(path).read_bytes()).hexdigest() == known.sha256:
                return ""
        except OSError:
            return "file damaged"
    return EDITED if holds_picture(path) else "file damaged"


def holds_picture(path: str) -> bool:
    """Whether a whole picture lies there."""
    from pipeline.media import is_picture  # slow to import, and rarely needed

    return is_picture(Path(path))


def gone_words(row: PictureRow) -> str:
    """Why a picture that was made, and of which nothing whole is left, is not made again by itself."""
    made = time.strftime("%Y-%m-%d", time.localtime(row.at))
    return (
        f"was made on {made}, and is gone: put {PRIVATE}/{row.original} back and run `pipeline restore`, or make it "
        "again, and pay, with --retry-failed"
    )


def copies_of(snapshot: Snapshot) -> dict[str, list[str]]:
    """Hash → output files that hold these bytes: a lost original can be had back from one."""
    originals = {row.sha256 for row in snapshot.pictures.values()}
    result: dict[str, list[str]] = {}
    for row in snapshot.files.values():
        if row.sha256 in originals:
            result.setdefault(row.sha256, []).append(row.path)
    return result
