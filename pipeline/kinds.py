"""The kinds of pictures: known by their first bytes, and whether this machine can read and write them."""

from __future__ import annotations

import functools
import io

from PIL import Image

_FIRST_BYTES = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}


def kind_of(data: bytes) -> str:
    """The format that the first bytes promise, whatever a file's name says; empty when it is none of ours."""
    return next((kind for kind, first in _FIRST_BYTES.items() if data.startswith(first)), "")


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
