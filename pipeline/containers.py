"""Picture files as their parts: PNG chunks, JPEG segments, WebP chunks; nothing is decoded here.

A file is walked from its first byte to the end of its picture, so a cut one is found by the part that is not all there,
and never by a mark that may lie in an embedded thumbnail or in a video behind the picture. What follows the end (the
video of a motion photo, padding, the second picture of an MPO file) is no part of it.

Sources: PNG Specification (Third Edition) §5 and §11; ITU-T T.81 (JPEG) §B.1; RFC 9649 (WebP).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.errors import MediaError

MAX_PROFILE = 16 * 2**20
"""Bytes of an unpacked colour profile, at most; those of printers have up to 4 MB. A larger one is ignored."""
_EARLY = "is damaged: it ends early"

# What decides how the pixels look, and nothing that tells where, when and by whom the picture was made.
_PNG_COLOURS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"mDCV", b"cLLI", b"bKGD", b"pHYs"}
_WEBP_PIXELS = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"}
_APP = {
    0xE0: b"JFIF\0",  # not JFXX: a thumbnail
    0xE2: b"ICC_PROFILE\0",  # not MPF: where the other pictures of an MPO file lie
    0xEE: b"Adobe",  # how the colours are coded
}
_EXIF = b"Exif\0\0"
# Within a scan FF is followed by 00, by a restart marker or by another FF.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _TEM, _COM = 0xD8, 0xD9, 0xDA, 0x01, 0xFE


class Part(NamedTuple):
    """A chunk or segment: its name (a JPEG marker is one byte), and where it, its content and its end are."""

    name: bytes
    start: int
    body: int
    stop: int
    end: int


@dataclass(frozen=True, slots=True)
class Container:
    """A whole picture file. ``end`` is where its picture ends; what follows is not looked at."""

    data: bytes
    kind: str
    parts: tuple[Part, ...]

    def bodies(self, name: bytes, first: bytes = b"") -> list[bytes]:
        """What is in the parts of a name, without the bytes that they have to start with."""
        found = (self.data[part.body : part.stop] for part in self.parts if part.name == name)
        return [body[len(first) :] for body in found if body.startswith(first)]

    def body(self, name: bytes) -> bytes:
        """What is in the only part of a name; empty where there is none or several."""
        bodies = self.bodies(name)
        return bodies[0] if len(bodies) == 1 else b""


def split(data: bytes, kind: str) -> Container:
    """The parts of a picture file of this kind (``png``, ``jpeg``, ``webp``).

    Raises:
        MediaError: when it ends before its picture does.
    """
    return Container(data, kind, tuple(_WALKS[kind](data)))


def _png(data: bytes) -> Iterator[Part]:
    at, name = 8, b""
    while name != b"IEND":
        body, stop = at + 8, at + 8 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : body]
        if stop + 4 > len(data):
            raise MediaError(_EARLY)
        yield Part(name, at, body, stop, stop + 4)
        at = stop + 4


def _jpeg(data: bytes) -> Iterator[Part]:
    at, pixels = 2, False
    while found := _MARKER.search(data, at):
        start, body = found.start(), found.end()
        marker, end = data[body - 1], body
        if marker == _EOI and pixels:
            yield Part(bytes([marker]), start, body, body, body)
            return
        if marker not in (_SOI, _EOI, _TEM):
            end = body + max(2, int.from_bytes(data[body : body + 2], "big"))
            if marker == _SOS:
                pixels, scan = True, _MARKER.search(data, end)
                end = scan.start() if scan else len(data) + 1
            if end > len(data):
                break
            yield Part(bytes([marker]), start, body + 2, end, end)
        at = end
    raise MediaError(_EARLY)


def _webp(data: bytes) -> Iterator[Part]:
    riff, at, pixels = 8 + int.from_bytes(data[4:8], "little"), 12, False
    if riff > len(data) + 1:  # some writers count a last padding byte that they don't write
        raise MediaError(_EARLY)
    while at + 8 <= min(riff, len(data)):
        name, stop = data[at : at + 4], at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if stop > len(data):
            raise MediaError(_EARLY)
        pixels = pixels or name in (b"VP8 ", b"VP8L", b"ANMF")
        yield Part(name, at, at + 8, stop, min(stop + stop % 2, len(data)))
        at = stop + stop % 2
    if not pixels:
        raise MediaError(_EARLY)


_WALKS: dict[str, Callable[[bytes], Iterator[Part]]] = {"png": _png, "jpeg": _jpeg, "webp": _webp}


# ── what the parts say ──────────────────────────────────────────────────────────────────────────


def damage(file: Container) -> str:
    """What its checksums say is wrong with a PNG's pixels; of a text's nobody asks, and the others have none."""
    if file.kind == "png":
        view = memoryview(file.data)
        for part in file.parts:
            told = int.from_bytes(view[part.stop : part.end], "big")
            if _is_pixels(file, part) and zlib.crc32(view[part.start + 4 : part.stop]) != told:
                return "is damaged: a checksum is wrong"
    return ""


def frames(file: Container) -> int:
    """How many frames an animated PNG or WebP has; else 1: the second picture of an MPO file is no frame."""
    if file.kind == "png":
        return max(1, int.from_bytes(file.body(b"acTL")[:4], "big"))
    return max(1, len(file.bodies(b"ANMF"))) if file.kind == "webp" else 1


def exif(file: Container) -> bytes:
    """Its Exif data, from the TIFF header on; empty where it has none."""
    if file.kind == "jpeg":
        return next(iter(file.bodies(b"\xe1", _EXIF)), b"")
    return file.body(b"eXIf" if file.kind == "png" else b"EXIF").removeprefix(_EXIF)


def icc(file: Container) -> bytes:
    """Its ICC profile; empty where it has none, or none that can be unpacked."""
    if file.kind == "webp":
        return file.body(b"ICCP")
    if file.kind == "jpeg":
        pieces = {body[0]: body for body in file.bodies(b"\xe2", _APP[0xE2]) if len(body) > 2}
        whole = pieces and sorted(pieces) == list(range(1, next(iter(pieces.values()))[1] + 1))
        return b"".join(pieces[number][2:] for number in sorted(pieces)) if whole else b""
    packed = file.body(b"iCCP").partition(b"\0")[2][1:]
    try:
        unpacker = zlib.decompressobj()
        profile = unpacker.decompress(packed, MAX_PROFILE)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""


# ── the same picture with less around it ────────────────────────────────────────────────────────


def pixels(file: Container) -> bytes:
    """The file with nothing but what decodes to its pixels: no texts, no profile, no metadata, no trailer."""
    return _kept(file, lambda part: _is_pixels(file, part))


def bare(file: Container) -> bytes:
    """The file without what tells where, when and by whom it was made: Exif, XMP, IPTC, texts, thumbnails, trailers.

    Pixels and colours stay as they are. A file without any of that comes back byte for byte; of an animated PNG the
    picture stays that programs without animation show.
    """
    colours = _PNG_COLOURS if file.kind == "png" else {b"ICCP"}
    return _kept(file, lambda part: _is_pixels(file, part) or part.name in colours)


def _is_pixels(file: Container, part: Part) -> bool:
    if file.kind == "png":
        return not part.name[0] & 0x20 or (part.name == b"tRNS" and _fits(file, part.stop - part.body))
    if file.kind == "webp":
        return part.name in _WEBP_PIXELS
    marker = part.name[0]
    if 0xE0 <= marker <= 0xEF:
        return marker in _APP and file.data.startswith(_APP[marker], part.body)
    return marker != _COM


def _fits(file: Container, size: int) -> bool:
    """Whether a PNG's tRNS chunk has a length that its colour type allows; libpng ignores any other."""
    return {0: size == 2, 2: size == 6, 3: size <= 256}.get(file.data[25], False)


def _kept(file: Container, wanted: Callable[[Part], bool]) -> bytes:
    data = file.data
    kept = [part for part in file.parts if wanted(part)]
    if file.kind != "webp":
        whole = len(kept) == len(file.parts) and file.parts[-1].end == len(data)
        head = data[: 8 if file.kind == "png" else 2]
        return data if whole else head + b"".join(data[part.start : part.end] for part in kept)
    chunks = b"".join(_webp_chunk(data, part) for part in kept)
    whole_file = b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks
    return data if whole_file == data else whole_file


def _webp_chunk(data: bytes, part: Part) -> bytes:
    chunk = data[part.start : part.stop]
    if part.name == b"VP8X":  # says in its first byte that there are XMP (4) and Exif (8) data
        chunk = chunk[:8] + bytes([chunk[8] & ~0x0C]) + chunk[9:]
    return chunk + b"\0" * (len(chunk) % 2)
