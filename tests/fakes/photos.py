"""Pictures as phones, cameras, print shops and other programs write them, made by code."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

from pipeline.colour import of_cicp, of_gamma

DISPLAY_P3 = of_cicp(b"\x0c\x0d\x00\x01")
ADOBE_RGB = of_gamma(
    struct.pack(">I", 45470), struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
)
ORIENTATION = 0x0112
GPS = 0x8825
SERIAL = 0xA431


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey with this gamma."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    index = b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 16)
    head = struct.pack(">I4sI4s4s4s", 192, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ").ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 2) + index + white + curve


def scene(size: tuple[int, int] = (480, 320)) -> Image.Image:
    """Six fields of colour, two rows of three, none like another: whatever is turned or shifted is seen."""
    colours = ["#dc281e", "#1ec83c", "#1e3cdc", "#f0f0f0", "#8c6428", "#3c1450"]
    image = Image.new("RGB", size)
    width, height = size[0] // 3, size[1] // 2
    for number, colour in enumerate(colours):
        left, top = number % 3 * width, number // 3 * height
        image.paste(colour, (left, top, left + width + 2, top + height + 1))
    return image


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file, of the best quality."""
    out = io.BytesIO()
    best = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    image.save(out, kind, **best, **options)
    return out.getvalue()


def turned(image: Image.Image, kind: str, orientation: int, **options: Any) -> bytes:
    """A picture stored so that this Exif orientation makes it upright, with a place and a serial number."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[GPS] = {1: "N", 2: (48.0, 8.0, 14.0)}
    exif.get_ifd(0x8769)[SERIAL] = "SERIAL-4711"
    undone = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = image.transpose(undone[orientation]) if orientation in undone else image
    return saved(stored, kind, exif=exif, **options)


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG of any depth and colour type; ``rows`` without filter bytes, ``chunks`` before the pixels."""
    length = len(rows) // size[1]
    lines = b"".join(b"\0" + rows[at : at + length] for at in range(0, len(rows), length))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return data[:33] + b"".join(chunks) + data[33:]
