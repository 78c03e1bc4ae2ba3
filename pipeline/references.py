"""Reference images as inputs: their digests, whether the model takes them, and the bytes that are sent.

Limits are the model's own data (``reference`` in its YAML); the formats' names are Pillow's in lower case.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from pipeline.containers import bare, damage
from pipeline.decoding import Opened, decode, opened
from pipeline.errors import ForeignFile, KeepError, MediaError
from pipeline.kinds import described
from pipeline.paths import read_bytes
from pipeline.types import ReferenceLimits

MAX_BYTES = 64 * 2**20
"""Larger files are no references: the models take 10 MB."""
_QUALITIES = (95, 90, 85, 75, 60)


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """What a reference's bytes say: SHA-256, size in bytes and (upright) in pixels, format (``png``, ``jpeg``,
    ``webp``), what it is if it has several frames, and what is wrong with its pixels.
    """

    digest: str
    bytes: int
    width: int
    height: int
    format: str
    animation: str = ""
    flaw: str = ""

    def lacks(self, limits: ReferenceLimits) -> list[str]:
        """Each way in which it is outside the model's limits, as a fact."""
        found = []
        if self.format not in limits.formats:
            found.append(f"is {self.format}, and the model takes {' or '.join(limits.formats)}")
        if self.bytes > limits.max_bytes:
            found.append(f"has {self.bytes / 1e6:.1f} MB, and the model takes {limits.max_bytes / 1e6:g} MB at most")
        short, long = sorted((self.width, self.height))
        if short < limits.min_side:
            found.append(f"is {self.width}×{self.height}, and the model takes no side under {limits.min_side} pixels")
        elif long > short * limits.max_ratio:
            found.append(f"is {self.width}×{self.height}, and the model takes 1:{limits.max_ratio:g} at most")
        return found


def url_digest(url: str) -> str:
    """What stands for the bytes of an image that can't be read offline."""
    return hashlib.sha256(b"url\0" + url.encode()).hexdigest()


def read_reference(path: str) -> ReferenceFacts:
    """Read a reference image, and make sure that it is all there.

    A PNG by its checksums, a JPEG by a walk to its end and by decoding at an eighth of its size, a WebP by its lengths
    and header. Per megapixel that takes some 1 ms; decoding a PNG or WebP whole takes 15 to 50 ms, and a catalogue has
    thousands.

    Raises:
        ForeignFile: when it is of another kind, with a hint for this file.
        MediaError: when it can't be read, or is no whole picture of a known format.
    """
    data = _bytes_of(path)
    try:
        found = opened(data)
    except ForeignFile:
        raise described(data, Path(path).name) from None
    except (MediaError, KeepError) as error:
        raise MediaError(str(error)) from None
    digest, (width, height) = hashlib.sha256(data).hexdigest(), found.size
    return ReferenceFacts(digest, len(data), width, height, found.kind, found.animation, _flaw(found))


def _flaw(found: Opened) -> str:
    """Why the pixels of a reference that is all there can't be decoded, as far as that is cheap to find."""
    if found.kind == "jpeg":
        try:
            found.image.draft("L", (1, 1))
            found.image.load()
        except Exception as error:  # Pillow's decoders raise whatever they stumble over
            return f"is damaged: {error}"
    return damage(found.file)


def _bytes_of(path: str) -> bytes:
    try:
        data = read_bytes(Path(path), MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise MediaError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise MediaError(f"is larger than {MAX_BYTES // 2**20} MiB")
    return data


def prepared(data: bytes, most: int = 0) -> bytes:
    """A reference's bytes as they are sent: upright, and without what tells where, when and by whom it was made.

    Where it is upright already, the pixels and the colour profile stay as they are, and a file without any metadata is
    sent byte for byte. Else it is encoded again, in sRGB: a PNG lossless, a JPEG or WebP in the best quality that has
    at most ``most`` bytes (0: any number). Of an animation the first frame is sent.

    Raises:
        MediaError: when it is no whole picture, or can't be made small enough.
    """
    found = opened(data)
    if found.orientation == 1 and (found.frames == 1 or found.kind == "png"):
        return bare(found.file)
    image, kind = decode(data, still=False), found.kind
    for quality in _QUALITIES:
        out = io.BytesIO()
        if kind == "png":
            image.save(out, "PNG")
        elif kind == "jpeg":
            image.save(out, "JPEG", quality=quality, subsampling=0)
        else:
            image.save(out, "WEBP", quality=quality, method=4)
        if not most or out.tell() <= most:
            return out.getvalue()
        if kind == "png":
            break
    fact = f"has {out.tell() / 1e6:.1f} MB when it is turned upright, and the model takes {most / 1e6:g} MB at most"
    raise MediaError(f"{fact}: save it upright, and smaller")
