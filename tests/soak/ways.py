"""The ways in which a picture arrives from the shop of :mod:`soak.shop`, or doesn't."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image

if TYPE_CHECKING:
    from soak.shop import Shopkeeper

WHOLE = "whole"
KINDS = ("png", "jpeg", "webp")
PAGE = b"<!doctype html><html><body><h1>We'll be back soon</h1></body></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96"><script>alert(1)</script></svg>'
PLACES = ("0", "1", "7", "40", "middle", "last 12", "last 4", "last 2", "last")
"""Where a picture is cut."""
PIECE = 0.15
"""Seconds between two bytes of a picture that drips."""


@cache
def drawn(number: int) -> tuple[bytes, str]:
    """A square picture of noise, so that every part of its bytes matters, and its format."""
    side, kind = 80 + number % 40, KINDS[number % len(KINDS)]
    noise = random.Random(number).randbytes(side * side * 3)
    return encoded(Image.frombytes("RGB", (side, side), noise), kind), kind


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def strange(kind: str) -> bytes:
    """What is no single picture of the three formats, though Pillow would open it."""
    frames = [Image.new("RGB", (96, 96), colour) for colour in ("red", "blue")]
    if kind.startswith("animated "):
        return encoded(frames[0], kind.removeprefix("animated "), save_all=True, append_images=frames[1:], duration=90)
    return encoded(frames[0], kind)


@cache
def bomb(side: int) -> bytes:
    """A black PNG of so many pixels a side; its rows take next to nothing."""
    rows = zlib.compressobj(9)
    row = bytes(1 + side // 8 + (side % 8 > 0))
    body = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# ── the ways ────────────────────────────────────────────────────────────────────────────────────

Way: TypeAlias = "Callable[[Shopkeeper, bytes, str, int], None]"


def _type(kind: str) -> dict[str, object]:
    return {"Content-Type": f"image/{kind}"}


def _whole(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
    to.send(_type(kind) | {"Content-Length": len(data)}, data)


def _short(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind) | {"Content-Length": len(data)}, data[:size])


def _reset(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    _short(to, data, kind, size)
    to.reset()


def _unannounced(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind), data[:size])


def _truncated(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind) | {"Content-Length": size}, data[:size])


def _announces_less(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind) | {"Content-Length": size}, data)


def _announces_more(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
    to.send(_type(kind) | {"Content-Length": len(data) + 100}, data)


def _chunks(data: bytes, step: int = 1000) -> bytes:
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def _chunked(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    end = b"0\r\n\r\n" if size == len(data) else b""
    to.send(_type(kind) | {"Transfer-Encoding": "chunked"}, _chunks(data[:size]) + end)


def _chunk_cut(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind) | {"Transfer-Encoding": "chunked"}, b"%x\r\n%b" % (len(data), data[:size]))


def _chunked_truncated(to: Shopkeeper, data: bytes, kind: str, size: int) -> None:
    to.send(_type(kind) | {"Transfer-Encoding": "chunked"}, _chunks(data[:size]) + b"0\r\n\r\n")


def _instead(data: bytes, kind: str) -> Way:
    """These bytes, whole, in place of the picture."""
    return lambda to, _data, _kind, _: to.send({"Content-Type": kind, "Content-Length": len(data)}, data)


def _strange(kind: str) -> Way:
    return lambda to, _data, _kind, _: _whole(to, strange(kind), "png", 0)


def _bomb(side: int) -> Way:
    return lambda to, _data, _kind, _: _whole(to, bomb(side), "png", 0)


def _coded(name: str, code: Callable[[bytes], bytes]) -> Way:
    def way(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
        body = code(data)
        to.send(_type(kind) | {"Content-Encoding": name, "Content-Length": len(body)}, body)

    return way


def _status(status: int) -> Way:
    return lambda to, data, kind, _: to.send(_type(kind) | {"Content-Length": len(data)}, data, status)


def _expired(status: int) -> Way:
    def way(to: Shopkeeper, _data: bytes, _kind: str, _: int) -> None:
        to.server.dead[to.path] = status
        to.send({"Content-Length": 7}, b"expired", status)

    return way


def _leads(where: Callable[[Shopkeeper], str]) -> Way:
    return lambda to, _data, _kind, _: to.send({"Location": where(to), "Content-Length": 0}, b"", 302)


def _raw(data: bytes) -> Way:
    return lambda to, _data, _kind, _: to.wfile.write(data) and None


def _drip(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
    to.send(_type(kind) | {"Content-Length": len(data)}, b"")
    for byte in data:
        if to.server.closing.wait(PIECE):
            return
        to.wfile.write(bytes([byte]))


def _drip_header(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in data:
        if to.server.closing.wait(PIECE):
            return
        to.wfile.write(b"z")


def _stall(to: Shopkeeper, data: bytes, kind: str, _: int) -> None:
    _short(to, data, kind, len(data) // 2)
    to.rfile.read(1)  # until the client leaves


def _endless(to: Shopkeeper, _data: bytes, kind: str, _: int) -> None:
    to.send(_type(kind), b"")
    while not to.server.closing.is_set():
        to.wfile.write(bytes(1 << 20))


WAYS: dict[str, Way] = {
    WHOLE: _whole,
    "chunked": _chunked,
    "short": _short,
    "reset": _reset,
    "unannounced": _unannounced,
    "truncated": _truncated,
    "announces less": _announces_less,
    "announces more": _announces_more,
    "chunks end": _chunked,
    "a chunk ends": _chunk_cut,
    "chunks of less": _chunked_truncated,
    "page": _instead(PAGE, "text/html"),
    "page as picture": _instead(PAGE, "image/png"),
    "svg": _instead(SVG, "image/svg+xml"),
    "svg as picture": _instead(SVG, "image/png"),
    "json": _instead(b'{"detail": "not ready"}', "application/json"),
    "zeros": _instead(bytes(5000), "image/png"),
    "gif": _strange("gif"),
    "bmp": _strange("bmp"),
    "tiff": _strange("tiff"),
    "ico": _strange("ico"),
    "animated webp": _strange("animated webp"),
    "animated png": _strange("animated png"),
    "bomb of 64 million": _bomb(8_000),
    "bomb of 3.6 billion": _bomb(60_000),
    "gzip": _coded("gzip", gzip.compress),
    "gzip, it says": _coded("gzip", bytes),
    "deflate": _coded("deflate", zlib.compress),
    "br": _coded("br", bytes),
    "gzip bomb": _coded("gzip", lambda _: _zeros()),
    "201": _status(201),
    "203": _status(203),
    "206": _status(206),
    "204": _status(204),
    "304": _status(304),
    "429": _status(429),
    "500": _status(500),
    "503": _status(503),
    "expired 403": _expired(403),
    "expired 404": _expired(404),
    "expired 410": _expired(410),
    "leads to itself": _leads(lambda to: to.path),
    "leads nowhere": _leads(lambda to: "http://127.0.0.1:9/x.png"),
    "leads to a file": _leads(lambda to: "file:///etc/hostname"),
    "leads to data": _leads(lambda to: "data:image/png;base64,AAAA"),
    "leads to nonsense": _leads(lambda to: "http://[::/%zz"),
    "hop": _leads(lambda to: f"{to.path}&hop=1"),
    "nothing": _raw(b""),
    "no http": _raw(b"220 mail.example ESMTP\r\n"),
    "half a header": _raw(b"HTTP/1.1 200 OK\r\nContent-Type: ima"),
    "stall": _stall,
    "drip": _drip,
    "header drips": _drip_header,
    "endless": _endless,
}
"""How a picture is sent; some take a place where they cut, as in "short at middle"."""

CUTTING = (
    "short",
    "reset",
    "unannounced",
    "truncated",
    "announces less",
    "chunks end",
    "a chunk ends",
    "chunks of less",
)
GOOD = (WHOLE, "chunked", "hop")
"""Ways in which it arrives."""


@cache
def _zeros() -> bytes:
    return gzip.compress(bytes(200_000_000), 9)


def bad_ways() -> list[str]:
    """Every way in which a picture does not arrive, and may the next time, cut at every place.

    A whole picture of another format, or of a billion pixels, ends its request: it is kept aside for people.
    """
    final = ("svg", "svg as picture", "gif", "bmp", "tiff", "ico", "animated webp", "animated png")
    others = (*GOOD, *CUTTING, *final, "bomb of 64 million", "bomb of 3.6 billion", "drip", "header drips", "endless")
    plain = [name for name in WAYS if name not in others]
    return plain + [f"{name} at {place}" for name in CUTTING for place in PLACES]


def cut(data: bytes, place: str) -> int:
    """How many bytes are left of a picture that is cut there."""
    if place == "middle":
        return len(data) // 2
    return len(data) - int(place.removeprefix("last") or 1) if place.startswith("last") else int(place)
