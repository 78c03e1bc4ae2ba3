"""Which thumbnails travel inside a sheet, and which stand beside it.

A sheet is mailed alone, so the thumbnails are inside it as long as their budget allows: as they are; and else, up
to ``SMALL`` pictures, as much smaller as it takes. Beyond that they stay files beside it, or the sheet would be too
large to mail and too slow to open.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from pipeline.media import write
from pipeline.paths import read_bytes
from pipeline.report.data import lesser, link, pictured
from pipeline.report.view import SheetView

INLINE = 25_000_000
"""Bytes of a sheet that its thumbnails may take, as base64 text, unless ``report --inline`` says otherwise."""
SMALL = 1000
"""Pictures up to which a sheet shows every thumbnail without a file beside it."""
LARGEST = 4_000_000
"""Bytes of one thumbnail's file, at most: ours have some 20 kB."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_URI = "data:image/webp;base64,"
_AROUND = 200
"""Bytes of markup around a thumbnail, about: its caption and alternative text."""
_LEAST_SIDE = 0.2  # of a thumbnail's own; then its quality is lowered
_QUALITIES = (72, 55, 40, 25)
_PRINTED = 85  # quality
_TRIES = 4
_FULL = 0.75  # of its share: near enough
_LEAST = 1_500  # bytes of base64 text below which a picture says nothing any more


@dataclass(frozen=True, slots=True)
class Thumbs:
    """How a sheet finds its thumbnails.

    ``sources``: name → address, for ``render``. ``how``: ``inside`` (all of them, as they are), ``smaller`` (all of
    them, some made smaller) or ``beside`` (files). ``bytes``: of the files; ``files``: name → file, of those that
    there are.
    """

    sources: Mapping[str, str]
    how: Literal["inside", "smaller", "beside"]
    bytes: int = 0
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.sources)


def choose(sheet: SheetView, folder: Path, beside: str, *, inline: int = INLINE) -> Thumbs:
    """Decide where the thumbnails of a sheet stand.

    ``folder``: where they lie, by name; ``beside``: the path of that folder (or of the one that they are copied to)
    as the sheet is to name it; ``inline``: the budget in bytes.
    """
    shown, others = dict.fromkeys(pictured(sheet)), dict.fromkeys(lesser(sheet))
    sizes = _sizes(folder, (*shown, *others))
    files = {name: folder / name for name in sizes}
    total = sum(sizes.values())
    if sum(map(_encoded, sizes.values())) <= inline:
        return Thumbs(_inlined(files), "inside", total, files)
    if len(shown) <= SMALL:
        found = _fitted(files, sizes, inline)
        if found is None and inline:  # the past goes first
            now = {name: files[name] for name in shown if name in files}
            found = _fitted(now, {name: sizes[name] for name in now}, inline)
        if found is not None:
            return Thumbs(found, "smaller", total, files)
    return Thumbs(linked(sizes, beside), "beside", total, files)


def linked(names: Iterable[str], beside: str) -> dict[str, str]:
    """Name → relative URL of a thumbnail in a folder, as a page names that folder."""
    links = ((name, link(f"{beside}/{name}")) for name in names)
    return {name: url for name, url in links if url}


def inline_uri(webp: bytes) -> str:
    """A WebP picture as a ``data:`` URI."""
    return _URI + base64.b64encode(webp).decode("ascii")


def write_jpegs(sheet: SheetView, folder: Path, target: Path) -> None:
    """Write a sheet's thumbnails as JPEG, by the same names, for a PDF: it takes a JPEG as it is, but unpacks a WebP,
    and with thousands of those the browser gives up.

    Raises:
        OSError: when one can't be written.
    """
    target.mkdir()
    with ThreadPoolExecutor() as pool:  # Pillow works outside of the interpreter's lock
        for _ in pool.map(lambda name: _write_jpeg(folder / name, target / name), _sizes(folder, _all(sheet))):
            pass


def _write_jpeg(path: Path, target: Path) -> None:
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(_read(path)), formats=("WEBP",)) as image:
            whole = image.convert("RGBA")
        paper = Image.new("RGB", whole.size, "white")
        paper.paste(whole, mask=whole)
        paper.save(out, "JPEG", quality=_PRINTED)
    except Exception:  # whatever Pillow stumbles over: it is printed without this one
        return
    target.write_bytes(out.getvalue())


def _all(sheet: SheetView) -> dict[str, None]:
    """The names of all thumbnails, each once."""
    return dict.fromkeys((*pictured(sheet), *lesser(sheet)))


def _sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Name → bytes, of the thumbnails that are there."""
    sizes = {}
    for name in names:
        if not _NAME.fullmatch(name):
            continue
        try:
            found = (folder / name).lstat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= LARGEST:  # a link could bring any file into the sheet
            sizes[name] = found.st_size
    return sizes


def _encoded(size: int) -> int:
    """Bytes in the sheet of a thumbnail of so many bytes."""
    return _AROUND + len(_URI) + 4 * math.ceil(size / 3)


def _inlined(files: Mapping[str, Path]) -> dict[str, str]:
    found = {}
    for name, path in files.items():
        try:
            found[name] = inline_uri(_read(path))
        except OSError:  # damaged, or gone in between
            continue
    return found


def _read(path: Path) -> bytes:
    """A thumbnail's bytes.

    Raises:
        OSError: when it can't be read, or is no whole WebP file (RIFF: its length stands at its beginning).
    """
    data = read_bytes(path, LARGEST)
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise OSError(0, "is no whole WebP file", str(path))
    return data


# ── making them fit ─────────────────────────────────────────────────────────────────────────────


def _fitted(files: Mapping[str, Path], sizes: Mapping[str, int], inline: int) -> dict[str, str] | None:
    """All thumbnails as data URIs within a budget, the largest made smaller; None where that can't be."""
    share = _share([_encoded(size) for size in sizes.values()], inline)
    if share < _LEAST:
        return None
    with ThreadPoolExecutor() as pool:  # Pillow works outside of the interpreter's lock
        made = pool.map(lambda name: _small(files[name], sizes[name], share), files)
        found = {name: uri for name, uri in zip(files, made, strict=True) if uri}
    return found if sum(_AROUND + len(uri) for uri in found.values()) <= inline else None


def _share(sizes: list[int], budget: int) -> int:
    """The size to which all larger ones have to come down for the sum to keep to the budget.

    What the small ones leave of an equal part is shared among the large ones.
    """
    left = len(sizes)
    for size in sorted(sizes):
        if size * left > budget:
            return budget // left
        budget -= size
        left -= 1
    return max(sizes, default=0)


def _small(path: Path, size: int, share: int) -> str | None:
    """One thumbnail as a data URI that keeps to its share; None where that can't be.

    What was made smaller is kept for the next sheet: pictures become more by a few, and their shares hardly change.
    """
    kept = path.parent / "small" / path.name
    try:
        data = _read(path)
        if _encoded(len(data)) <= share:
            return inline_uri(data)
        if kept.is_file() and share * _FULL / 2 < _encoded(kept.stat().st_size) <= share:
            return inline_uri(_read(kept))
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            image.load()
            smaller = _shrunk(image, (share - _AROUND - len(_URI)) // 4 * 3, size)
    except Exception:  # whatever Pillow stumbles over: a sheet is drawn without it
        return None
    if smaller:
        with contextlib.suppress(OSError):
            write(str(kept), smaller, str(path.parent))
    return inline_uri(smaller) if smaller else None


def _shrunk(image: Image.Image, room: int, size: int) -> bytes | None:
    """A picture's bytes within ``room``: at a smaller side first, then at a lower quality."""
    best = None
    most, least = 1.0, _LEAST_SIDE
    side = math.sqrt(room / size)  # bytes go with the area, more or less
    for _ in range(_TRIES):
        side = min(max(side, least), most)
        data = _saved(image, side, _QUALITIES[0])
        if len(data) <= room:
            best, least = data, side
            if len(data) > _FULL * room or side == most:
                return best
        else:
            most = side
        side = (least + most) / 2
    if best is not None:
        return best
    tries = (_saved(image, _LEAST_SIDE, quality) for quality in _QUALITIES)
    return next((data for data in tries if len(data) <= room), None)


def _saved(image: Image.Image, side: float, quality: int) -> bytes:
    wanted = (max(1, round(image.width * side)), max(1, round(image.height * side)))
    smaller = image if wanted == image.size else image.resize(wanted, Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = io.BytesIO()
    smaller.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()
