"""Sharper pictures for a sheet that travels alone: as large as its budget allows, made from the kept originals.

How many bytes a preview takes depends on what is in the picture, so it is not guessed: previews are made, weighed, and
made again a little larger or smaller, until the largest that fit are found.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.decoding import decode
from pipeline.errors import MediaError
from pipeline.expand import PRIVATE
from pipeline.media import MAX_BYTES, thumbnail, write
from pipeline.paths import read_bytes
from pipeline.report.data import pictured
from pipeline.report.render import render
from pipeline.report.thumbs import Thumbs, inline_uri
from pipeline.report.view import SheetView

LARGEST = 1600
"""Pixels of the longer side, at most: more than most windows show at once."""
SMALLEST = 240
"""Pixels below which the thumbnails are as good."""
_STEP = 20  # pixels: a few percent of the bytes
_SAMPLE = 16  # pictures that are made and weighed at several sizes before all of them are
_ROUNDS = 4  # in which all of them are made, at most
_FULL = 0.83  # of the room: near enough
_AIM = 0.95  # of the room: what the sample may take

_KEPT = re.compile(r"(\d{3,4})-(.+)")


def sharper(sheet: SheetView, folder: Path, thumbs: Thumbs, budget: int) -> Thumbs:
    """The thumbnails of a sheet, larger where there is room.

    ``folder``: the campaign's output folder; ``budget``: bytes that the whole sheet may take as a file. It is never
    exceeded, unless the thumbnails alone exceed it. No preview is larger than its original, or than ``LARGEST``.
    """
    sources = thumbs.sources
    originals = _originals(folder)
    names = [name for name in dict.fromkeys(pictured(sheet)) if name in sources and _stem(name) in originals]
    if thumbs.how != "inside" or not names:
        return thumbs
    around = len(render(sheet, sources).encode()) - sum(map(len, sources.values()))
    others = sum(map(len, sources.values())) - sum(len(sources[name]) for name in names)
    studio = _Studio(folder, {name: originals[_stem(name)] for name in names}, {n: sources[n] for n in names})
    return replace(thumbs, sources={**sources, **_fitting(studio, budget - around - others)})


def _fitting(studio: _Studio, room: int) -> Mapping[str, str]:
    """The largest previews that fit into so many bytes; none where the thumbnails fill them already."""
    if sum(map(len, studio.small.values())) >= room:
        return {}
    sample = _Sample(studio)
    good, bad = SMALLEST - _STEP, LARGEST + _STEP  # sides between which the answer is
    best: Mapping[str, str] = {}
    side = studio.kept_side() or sample.largest(_AIM * room, good, bad)
    for _ in range(_ROUNDS):
        if not good < side < bad:
            break
        made = studio.made(side, studio.small)
        total = sum(map(len, made.values()))
        if total <= room:
            good, best = side, made
            if side == LARGEST or total >= _FULL * room:
                break
        else:
            bad = side
        # What all of them weigh corrects what the sample says of other sides.
        side = sample.largest(_AIM * room * sample.weight(side) / total, good, bad)
    if best:
        studio.tidy(good)
    return best


@dataclass(frozen=True, slots=True)
class _Studio:
    """Where previews are made and kept. ``originals``: name → file; ``small``: name → the thumbnail."""

    folder: Path
    originals: Mapping[str, Path]
    small: Mapping[str, str]

    @property
    def place(self) -> Path:
        return self.folder / PRIVATE / "thumbs" / "large"

    def made(self, side: int, names: Iterable[str]) -> dict[str, str]:
        """These pictures at one size; the thumbnail where that is larger, or where the original is damaged."""
        with ThreadPoolExecutor() as pool:  # Pillow works outside of the interpreter's lock
            previews = pool.map(lambda name: (name, self.preview(name, side)), names)
            return {name: max(uri or "", self.small[name], key=len) for name, uri in previews}

    def preview(self, name: str, side: int) -> str | None:
        """One picture as a data URI; None where its original is damaged."""
        kept, original = self.place / f"{side}-{name}", self.originals[name]
        try:
            if original.is_symlink():
                return None
            if kept.is_file():
                return inline_uri(read_bytes(kept, MAX_BYTES))
            small = thumbnail(decode(read_bytes(original, MAX_BYTES), still=False), (side, side))
        except (OSError, MediaError):
            return None
        with contextlib.suppress(OSError):
            write(str(kept), small, str(self.folder))
        return inline_uri(small)

    def kept_side(self) -> int | None:
        """The size at which most are kept: what a sheet was sent with before."""
        kept = [int(side) for side, name in self.kept() if name in self.small]
        side = max(set(kept), key=kept.count) if len(kept) > len(self.small) / 2 else 0
        return side if SMALLEST <= side <= LARGEST and side % _STEP == 0 else None

    def kept(self) -> list[tuple[str, str]]:
        """Side and name of all previews that were kept."""
        try:
            found = [_KEPT.fullmatch(path.name) for path in self.place.iterdir()]
        except OSError:
            return []
        return [(each[1], each[2]) for each in found if each]

    def tidy(self, side: int) -> None:
        """Keep one size of each picture: what was tried on the way is not asked for again."""
        for other, name in self.kept():
            if name in self.small and other != str(side):
                with contextlib.suppress(OSError):
                    (self.place / f"{other}-{name}").unlink()


class _Sample:
    """Some of the pictures, which say what all of them would weigh."""

    def __init__(self, studio: _Studio) -> None:
        self.studio = studio
        self.names = sorted(studio.small)[:: -(-len(studio.small) // _SAMPLE)]
        self.part = sum(len(studio.small[name]) for name in self.names) / sum(map(len, studio.small.values()))
        self.weights: dict[int, float] = {}

    def weight(self, side: int) -> float:
        """Bytes of all pictures at one size, about: in proportion to their thumbnails, which show the same."""
        if side not in self.weights:
            self.weights[side] = sum(map(len, self.studio.made(side, self.names).values())) / self.part
        return self.weights[side]

    def largest(self, room: float, low: int, high: int) -> int:
        """The largest side above ``low`` and below ``high`` that fits, by halves; the smallest where none does."""
        first, last = low + _STEP, high - _STEP
        while first < last:
            side = first + ((last - first) // _STEP + 1) // 2 * _STEP
            if self.weight(side) <= room:
                first = side
            else:
                last = side - _STEP
        return first


def _stem(name: str) -> str:
    """A picture's key and take, by which its original goes."""
    return name.rpartition(".")[0]


def _originals(folder: Path) -> dict[str, Path]:
    """Key and take → the kept original."""
    try:
        return {path.stem: path for path in (folder / PRIVATE / "originals").iterdir()}
    except OSError:
        return {}
