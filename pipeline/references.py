"""Reference images as inputs: their digests, and whether the model takes them.

Limits are the model's own data (``reference`` in its YAML); the formats' names are Pillow's in lower case.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from pipeline.errors import MediaError
from pipeline.paths import read_bytes
from pipeline.types import ReferenceLimits

_READABLE = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 64 * 2**20
"""Larger files are no references: the models take 10 MB."""


@dataclass(frozen=True, slots=True)
class ReferenceFacts:
    """What a reference's bytes say: SHA-256, size in bytes and pixels, format (``png``, ``jpeg``, ``webp``)."""

    digest: str
    bytes: int
    width: int
    height: int
    format: str

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


def _ends_early(data: bytes, kind: str) -> bool:
    """Whether a picture lacks its end marker: a copy that was cut short. (Cheap: nothing is decoded.)"""
    if kind == "png":
        return b"IEND" not in data[-64:]
    if kind == "jpeg":
        return b"\xff\xd9" not in data[-65536:]
    return len(data) < int.from_bytes(data[4:8], "little") + 8


def read_reference(path: str) -> ReferenceFacts:
    """Read a reference image's bytes and header.

    Raises:
        MediaError: when it can't be read or is no picture of a known format.
    """
    try:
        data = read_bytes(Path(path), MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise MediaError(f"is larger than {MAX_BYTES // 2**20} MiB")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_READABLE) as image:
                width, height, kind = *image.size, str(image.format).lower()
                # A phone's JPEG with a second picture behind the first is still a JPEG.
                kind = "jpeg" if kind == "mpo" else kind
        if _ends_early(data, kind):
            raise MediaError("is damaged: it ends early")
    except UnidentifiedImageError:
        raise MediaError("is no PNG, JPEG or WebP picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaError("has too many pixels") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise MediaError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None
    return ReferenceFacts(hashlib.sha256(data).hexdigest(), len(data), width, height, kind)
