"""The kinds of files: known by their first bytes, and whether this machine can read and write those of pictures."""

from __future__ import annotations

import functools
import io
from typing import NamedTuple

from PIL import Image

from pipeline.errors import ForeignFile


def kind_of(data: bytes) -> str:
    """The format that the first bytes promise, whatever a file's name says; empty when it is none of ours."""
    if data.startswith(b"\x89PNG"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data.startswith(b"RIFF") and b"WEBP".startswith(data[8:12]) else ""


class _Foreign(NamedTuple):
    """A kind of file that is none of ours. ``target``: the format that ImageMagick makes of it."""

    name: str
    extension: str = ""
    target: str = ""
    hint: str = ""


_SAVED = "save the picture itself: this is what a server or a program wrote in its place"
_HEIC = _Foreign("a HEIC photo", "heic", "jpg")
_AVIF = _Foreign("an AVIF picture", "avif", "jpg")
_MP4 = _Foreign("an MP4 video", "mp4", hint="take one of its pictures: ffmpeg -i {name} -frames:v 1 {stem}-1.png")
_MOV = _Foreign("a QuickTime video", "mov", hint=_MP4.hint)
_RAW = _Foreign("a camera's raw photo", "cr3", hint="develop it in a photo program, and export a JPEG")
_PAGE = _Foreign(
    "a web page", hint="download the picture itself; a server sent a page (a login, a warning) in its place"
)
_JSON = _Foreign("JSON text", hint=_SAVED)
_XML = _Foreign("XML text", hint=_SAVED)
_TEXT = _Foreign("text", hint=_SAVED)
_SVG = _Foreign("an SVG drawing", "svg", "png")
_LFS = _Foreign("a Git LFS pointer", hint="run `git lfs pull`")
_EMPTY = _Foreign("an empty file", hint="save it again")

_FIRST_BYTES = {
    b"GIF8": _Foreign("a GIF picture", "gif", "png"),
    b"II*\0": _Foreign("a TIFF picture", "tif", "png"),
    b"MM\0*": _Foreign("a TIFF picture", "tif", "png"),
    b"II+\0": _Foreign("a TIFF picture", "tif", "png"),
    b"MM\0+": _Foreign("a TIFF picture", "tif", "png"),
    b"BM": _Foreign("a BMP picture", "bmp", "png"),
    b"8BPS": _Foreign("a Photoshop file (PSD)", "psd", "png"),
    b"%PDF": _Foreign("a PDF document", "pdf", "png"),
    b"%!PS": _Foreign("a PostScript file", "eps", "png"),
    b"\xc5\xd0\xd3\xc6": _Foreign("a PostScript file", "eps", "png"),
    b"\0\0\0\x0cjP  \r\n\x87\n": _Foreign("a JPEG 2000 picture", "jp2", "png"),
    b"\xff\x4f\xff\x51": _Foreign("a JPEG 2000 picture", "j2k", "png"),
    b"\0\0\0\x0cJXL \r\n\x87\n": _Foreign("a JPEG XL picture", "jxl", "png"),
    b"\xff\x0a": _Foreign("a JPEG XL picture", "jxl", "png"),
    b"\0\0\1\0": _Foreign("an icon (ICO)", "ico", "png"),
    b"\x1aE\xdf\xa3": _Foreign("a WebM video", "webm", hint=_MP4.hint),
    b"PK\3\4": _Foreign("a ZIP archive", hint="unpack it"),
    b"\x1f\x8b": _Foreign("a gzip archive", hint="unpack it"),
    b"version https://git-lfs": _LFS,
}
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), _HEIC),
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    b"crx ": _RAW,
    b"qt  ": _MOV,
}
"""ISO base media files (ISO/IEC 14496-12): the brands that they name."""


def described(data: bytes, name: str = "") -> ForeignFile:
    """What bytes are that are no PNG, JPEG or WebP, as an error; ``name``: the file's, for the way to convert it."""
    found = _foreign(data)
    fact = "is no PNG, JPEG or WebP picture"
    if found is None:
        return ForeignFile(fact, "give a PNG, JPEG or WebP picture")
    name = name or f"picture.{found.extension}"
    stem = name.rpartition(".")[0] or name
    hint = found.hint.format(name=name, stem=stem)
    if found.target:
        target = f"{stem}.{found.target}"
        target = target if target != name else f"{stem}-1.{found.target}"
        hint = f"convert it: magick {_quoted(name)} {_quoted(target)}"
    return ForeignFile(f"{fact}, but {found.name}", hint, found.extension)


def _quoted(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{name}"'


def _foreign(data: bytes) -> _Foreign | None:
    if not data:
        return _EMPTY
    if data[4:8] == b"ftyp":
        brands = [data[at : at + 4] for at in (8, *range(16, min(int.from_bytes(data[:4], "big"), 256), 4))]
        named = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
        return named or (_HEIC if brands[0] in (b"mif1", b"msf1") else _MP4)
    found = next((kind for first, kind in _FIRST_BYTES.items() if data.startswith(first)), None)
    return found or _text(data[:4096])


def _text(start: bytes) -> _Foreign | None:
    """What a text is; None for what is none."""
    encoding = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = start.decode(encoding, "replace").strip()
    strange = sum(not (letter.isprintable() or letter.isspace()) or letter == "\ufffd" for letter in text)
    if not text or strange > len(text) // 20:
        return None
    lower = text.lower()
    if "<svg" in lower and not lower.startswith(("<!doctype html", "<html")):
        return _SVG
    if lower.startswith(("<!doctype html", "<html", "<head", "<body", "<title", "<script")) or "<html" in lower[:500]:
        return _PAGE
    if lower.startswith(("{", "[")):
        return _JSON
    return _XML if lower.startswith("<") else _TEXT


@functools.cache
def codec_fault(kind: str) -> str:
    """Why this machine's Pillow can't read and write a format; empty when it can. Found out by doing it."""
    try:
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, kind.upper())
        with Image.open(io.BytesIO(out.getvalue()), formats=[kind.upper()]) as image:
            image.load()
    except Exception as error:  # whatever a broken build stumbles over
        return f"this machine's Pillow can't read and write {kind.upper()} ({type(error).__name__}: {error})"
    return ""
