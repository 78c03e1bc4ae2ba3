"""Pictures in answers: web addresses, and bytes in base64 however a gateway spells them.

Sources: RFC 2397 (``data:`` addresses), RFC 4648 §4 and §5 (base64 and its URL-safe alphabet, both with and without
padding), RFC 2045 §6.8 (lines of 76 characters), and the answers that the four gateways document. An inline picture is
the only copy of what was paid for, so every spelling is read; what does not begin as a picture is none.
"""

from __future__ import annotations

import binascii
import json
import re

from pipeline.types import Json, RemoteImage

MOST_CHARACTERS = 96 * 1024 * 1024
"""Characters of an inline picture, at most: 72 MiB of bytes."""

_FIELDS = ("url", "imageURL", "image_url", "b64_json", "imageBase64Data", "imageDataURI", "base64", "file_data")
"""Where a gateway may put a picture, links first: an inline copy takes memory until it is written."""
_DATA = re.compile(rb"(?:data:)?.{0,2000}?;\s*base64\s*,|data:[^,]{0,2000},", re.IGNORECASE | re.DOTALL)
_ALPHABET = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\r\n\v\f"
_AROUND = " \t\r\n\v\f\"'"


def image(value: Json) -> RemoteImage | None:
    """The picture that a value is, or that one of its fields is; None when there is none."""
    if isinstance(value, dict):
        texts = (value.get(name) for name in _FIELDS)
        return next((found for text in texts if isinstance(text, str) and (found := image(text))), None)
    if not isinstance(value, str):
        return None
    if value.startswith(("https://", "http://")):
        return RemoteImage(url=value)
    data = inline(value)
    return None if data is None else RemoteImage(data=data)


def inline(text: str) -> bytes | None:
    """The bytes of a picture in base64, bare or in a ``data:`` address; None when it is no picture."""
    if len(text) > MOST_CHARACTERS:
        return None
    text = text.strip(_AROUND)
    try:
        if "\\" in text:  # JSON in JSON
            text = json.loads(f'"{text}"', strict=False)
        data = text.encode("ascii")
    except ValueError:
        return None
    if b"%" in data:
        # Quoted-printable is percent-encoding with another mark, and there is a decoder for it in C.
        data = binascii.a2b_qp(data.replace(b"=", b"=3D").replace(b"%", b"="))
    address = _DATA.match(data)
    if address:
        data = data[address.end() :]
    if address and _is_picture(data):
        return data  # percent-encoded, without base64
    data = data.translate(_ALPHABET, _WHITESPACE).rstrip(b"=")
    try:
        data = binascii.a2b_base64(data + b"=" * (-len(data) % 4), strict_mode=True)
    except binascii.Error:
        return None
    return data if _is_picture(data) else None


def _is_picture(data: bytes) -> bool:
    """Whether bytes begin as a PNG, a JPEG or a WebP does."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
