"""The bytes of the emulator's pictures: drawn as the offline proofs are, or plain ones of the right ratio."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from PIL import Image

from pipeline.proof import Proof, render

TYPE = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""Format → media type."""

SIZES = {
    "1:1": (1024, 1024),
    "3:2": (1248, 832),
    "2:3": (832, 1248),
    "4:3": (1168, 880),
    "3:4": (880, 1168),
    "16:9": (1360, 768),
    "9:16": (768, 1360),
    "21:9": (1552, 656),
}
"""Aspect ratio → pixels at 1K; 2K has twice of both (Runware's model page, the only one that states sizes)."""


def size_of(resolution: str, ratio: str) -> tuple[int, int] | None:
    """Pixels of a ratio at ``1K`` or ``2K``; None when they follow from the references (``auto``)."""
    if ratio == "auto":
        return None
    width, height = SIZES.get(ratio) or _area_of(ratio)
    times = 2 if resolution.upper() == "2K" else 1
    return width * times, height * times


def nearest_ratio(width: int, height: int) -> str:
    """The published ratio nearest to that of a picture."""
    return min(SIZES, key=lambda ratio: abs(math.log(_parts(ratio)[0] / _parts(ratio)[1] * height / width)))


def look(data: bytes) -> tuple[str, int, int] | None:
    """Format (``png``, ``jpeg``, …), width and height of a picture's bytes; None when they are none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return (image.format or "").lower(), image.width, image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def data_uri(text: str) -> tuple[bytes, str] | None:
    """Bytes and media type of a base64 data URI; None when it is none."""
    head, comma, body = text.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        return base64.b64decode(body, validate=True), head.removeprefix("data:").removesuffix(";base64")
    except binascii.Error:
        return None


def plain(size: tuple[int, int], form: str, seed: str) -> bytes:
    """A picture of one colour."""
    shade = hashlib.sha256(seed.encode()).digest()
    return _encode(Image.new("RGB", size, (shade[0], shade[1], shade[2])), form)


def tiny(ratio: str, form: str, seed: str) -> bytes:
    """The same, and much too small: some twenty pixels per unit of its ratio. For tests of everything but pictures."""
    width, height = _parts(ratio)
    return plain((20 * width, 20 * height), form, seed)


def drawn(prompt: str, references: list[str], size: tuple[int, int], form: str, number: int) -> bytes:
    """A drawn picture: the proof of a request, marked as emulated."""
    proof = Proof(prompt, tuple(references), *size, variant=number, take=1, label="EMULATED")
    return _encode(render(proof), form)


def kept(data: bytes, folder: Path) -> str | None:
    """The path of a reference's bytes, saved below a name of their own; None when they are no picture."""
    if look(data) is None:
        return None
    path = folder / hashlib.sha256(data).hexdigest()
    if not path.exists():
        path.write_bytes(data)
    return str(path)


class Shelf:
    """Pictures made so far, the longest unused forgotten: they can be made again, with the same bytes."""

    def __init__(self, most: int = 400_000_000) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> bytes | None:
        """The picture of this name, if it is here."""
        with self._lock:
            data = self._kept.get(name)
            if data is not None:
                self._kept.move_to_end(name)
            return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a picture."""
        with self._lock:
            self._size += len(data) - len(self._kept.pop(name, b""))
            self._kept[name] = data
            while self._size > self._most and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])


def _parts(ratio: str) -> tuple[int, int]:
    width, _, height = ratio.partition(":")
    return int(width), int(height)


def _area_of(ratio: str) -> tuple[int, int]:
    """A ratio that the table lacks: a megapixel, in multiples of 16."""
    width, height = _parts(ratio)
    unit = 1024 / math.sqrt(width * height)
    return round(unit * width / 16) * 16, round(unit * height / 16) * 16


def _encode(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    fast = {"png": {"compress_level": 1}, "jpeg": {"quality": 90}, "webp": {"quality": 85, "method": 0}}
    image.save(file, form, **fast[form])
    return file.getvalue()
