"""Reference images: their digests, and what the model doesn't take."""

from __future__ import annotations

import hashlib
import io
import zlib

import pytest
from kit import png, write
from PIL import Image

from pipeline.errors import MediaError
from pipeline.references import read_reference, url_digest
from pipeline.types import ReferenceLimits

LIMITS = ReferenceLimits(("jpeg", "png"), 10_000, 300, 2.5)


def facts(folder, data):
    """Read a reference of these bytes."""
    return read_reference(str(write(folder / "x.png", data)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_the_bytes_say(tmp_path, kind):
    """Digest, size and format come from the bytes, not from the name."""
    data = png(size=(320, 400), kind=kind)
    found = facts(tmp_path, data)
    assert (found.digest, found.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (found.width, found.height, found.format) == (320, 400, kind.lower())


@pytest.mark.parametrize(
    ("size", "kind", "fact"),
    [
        ((320, 320), "PNG", []),
        ((300, 300), "JPEG", []),
        ((300, 750), "PNG", []),
        ((320, 320), "WEBP", ["is webp, and the model takes jpeg or png"]),
        ((299, 400), "PNG", ["is 299×400, and the model takes no side under 300 pixels"]),
        ((400, 299), "PNG", ["is 400×299, and the model takes no side under 300 pixels"]),
        ((300, 751), "PNG", ["is 300×751, and the model takes 1:2.5 at most"]),
        ((751, 300), "PNG", ["is 751×300, and the model takes 1:2.5 at most"]),
    ],
)
def test_what_the_model_does_not_take(tmp_path, size, kind, fact):
    """Each limit of the model is a fact, exactly at its edge."""
    assert facts(tmp_path, png(size=size, kind=kind)).lacks(LIMITS) == fact


def test_the_largest_file(tmp_path):
    """The limit on bytes is said in megabytes."""
    head, tail = png()[:-12], png()[-12:]
    chunk = b"\0" * (2_000_000 - len(png()) - 12)
    data = (
        head + len(chunk).to_bytes(4, "big") + b"teSt" + chunk + zlib.crc32(b"teSt" + chunk).to_bytes(4, "big") + tail
    )
    more = data + b"\0"
    assert facts(tmp_path, data).lacks(ReferenceLimits(("png",), 2_000_000, 1, 9)) == []
    assert facts(tmp_path, more).lacks(ReferenceLimits(("png",), 2_000_000, 1, 9)) == [
        "has 2.0 MB, and the model takes 2 MB at most"
    ]


@pytest.mark.parametrize("data", [b"", b"x", b"GIF89a", b"<svg/>", png()[:20], b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture(tmp_path, data):
    """Bytes of no known format are refused in words."""
    with pytest.raises(MediaError, match=r"is no PNG, JPEG or WebP picture|can't be read"):
        facts(tmp_path, data)


def test_other_formats_are_no_pictures(tmp_path):
    """A GIF is refused whatever it is called."""
    with pytest.raises(MediaError, match="is no PNG"):
        facts(tmp_path, png(kind="GIF"))


def test_a_missing_file(tmp_path):
    """A file that went away says so."""
    with pytest.raises(MediaError, match="can't be read: No such file"):
        read_reference(str(tmp_path / "x.png"))


def test_too_many_pixels(tmp_path, monkeypatch):
    """A picture beyond Pillow's limit is refused without being decoded."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(MediaError, match="too many pixels"):
        facts(tmp_path, png())


def test_the_digest_of_a_url():
    """A URL stands for bytes that can't be known; it is never the digest of a file of that text."""
    assert url_digest("https://x/a.png") == hashlib.sha256(b"url\0https://x/a.png").hexdigest()
    assert url_digest("https://x/a.png") != url_digest("https://x/b.png")


def test_a_phone_photo_is_a_jpeg(tmp_path):
    """A JPEG that carries a second picture is a JPEG."""
    data, first, second = io.BytesIO(), Image.new("RGB", (320, 320)), Image.new("RGB", (320, 320), "red")
    first.save(data, "MPO", save_all=True, append_images=[second])
    assert facts(tmp_path, data.getvalue()).format == "jpeg"
