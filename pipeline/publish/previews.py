"""Sharper pictures for a sheet that travels alone: as large as its budget allows, made from the kept originals."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.errors import MediaError
from pipeline.expand import PRIVATE
from pipeline.media import MAX_BYTES, decode, thumbnail, write
from pipeline.paths import read_bytes
from pipeline.report.data import pictured
from pipeline.report.thumbs import Thumbs, inline_uri
from pipeline.report.view import SheetView

SIDES = (1600, 1200, 900)
"""Pixels of the longer side, the largest that fits is taken; below, the thumbnails are good enough."""
_DENSE = 0.16  # bytes of base64 text for a pixel, as photographs have: 0.12 bytes of WebP


def sharper(sheet: SheetView, folder: Path, thumbs: Thumbs, inline: int) -> Thumbs:
    """The thumbnails of a sheet, larger where there is room. ``folder``: the campaign's output folder."""
    names = [name for name in dict.fromkeys(pictured(sheet)) if name in thumbs.sources]
    if thumbs.how != "inside" or not names:
        return thumbs
    room = (inline - sum(map(len, thumbs.sources.values()))) // len(names)
    side = next((side for side in SIDES if room >= side * side * _DENSE), None)
    if side is None:
        return thumbs
    originals = _originals(folder)
    with ThreadPoolExecutor() as pool:  # Pillow works outside of the interpreter's lock
        made = dict(zip(names, pool.map(lambda name: _preview(originals, folder, name, side), names), strict=True))
    larger = {name: uri for name, uri in made.items() if uri and len(uri) <= room + len(thumbs.sources[name])}
    return replace(thumbs, sources={**thumbs.sources, **larger})


def _originals(folder: Path) -> dict[str, Path]:
    """Name without suffix, a picture's key and take → the kept original."""
    try:
        return {path.stem: path for path in (folder / PRIVATE / "originals").iterdir()}
    except OSError:
        return {}


def _preview(originals: Mapping[str, Path], folder: Path, name: str, side: int) -> str | None:
    """A picture as a data URI; None where its original is not here, or damaged."""
    original = originals.get(name.rpartition(".")[0])
    kept = folder / PRIVATE / "thumbs" / "large" / f"{side}-{name}"
    try:
        if original is None or original.is_symlink():
            return None
        if not kept.is_file():
            small = thumbnail(decode(read_bytes(original, MAX_BYTES)), (side, side))
            with contextlib.suppress(OSError):
                write(str(kept), small, str(folder))
            return inline_uri(small)
        return inline_uri(read_bytes(kept, MAX_BYTES))
    except (OSError, MediaError):
        return None
