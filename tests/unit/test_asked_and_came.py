"""What was asked for against what came: every kind of file, looked at by a second program, ImageMagick."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.photos import ADOBE_RGB, DISPLAY_P3, chunk, grey_profile, png, saved, scene, turned, with_chunks
from PIL import Image, ImageCms

from pipeline.media import FinishedPicture, PictureJob, Rendition, finish
from pipeline.types import EXTENSION, RemoteImage

Pixel = tuple[int, ...]
SIZE = (480, 320)
POINTS = [(x, y) for y in (80, 240) for x in (80, 240, 400)]
LOSSY, LOSSLESS = 7, 3
ORIENTED = ("TopLeft", "TopRight", "BottomRight", "BottomLeft", "LeftTop", "RightTop", "RightBottom", "LeftBottom")
"""ImageMagick's words for Exif's orientations, from 1."""


@pytest.fixture(scope="module")
def magick(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """ImageMagick, with its own colour engine; skip without it, but fail in CI."""
    program = shutil.which("magick") or shutil.which("convert") or ""
    said = subprocess.run([program, "-version"], capture_output=True, check=False).stdout if program else b""
    if not said.startswith(b"Version: ImageMagick"):
        if os.environ.get("CI"):
            pytest.fail("ImageMagick is missing, and in CI these tests must run")
        pytest.skip("no ImageMagick: install Debian's package imagemagick")
    srgb = tmp_path_factory.mktemp("profiles") / "srgb.icc"
    srgb.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

    def look(path: Path, *first: str) -> bytes:
        words = [program, str(path), *first, "-intent", "perceptual", "+black-point-compensation", "-profile"]
        words += [str(srgb), "-background", "white", "-alpha", "remove", "-alpha", "off", "-depth", "8", "rgb:-"]
        return subprocess.run(words, capture_output=True, check=True).stdout

    return look


def pixels(raw: bytes, width: int) -> list[Pixel]:
    """The colours at the points."""
    return [tuple(raw[3 * (y * width + x) : 3 * (y * width + x) + 3]) for x, y in POINTS]


def difference(ours: list[Pixel], theirs: list[Pixel]) -> int:
    """The greatest, of any channel."""
    return max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))


def made(folder: Path, data: bytes, ratio: float = 1.5, **keys: Any) -> FinishedPicture:
    """What becomes of a gateway's picture, in all formats."""
    files = tuple(
        Rendition(str(folder / f"out.{EXTENSION[kind]}"), kind, quality)
        for kind, quality in (("png", 0), ("jpeg", 95), ("webp", 95))
    )
    stem, thumb = str(folder / "kept"), str(folder / "thumb.webp")
    return finish(PictureJob(stem, RemoteImage(data=data), None, ratio, files, thumb, **keys))


def ramp(channels: int) -> bytes:
    """Rows of 16-bit samples: each of three columns has its own value in every channel."""
    values = [(60_000, 9_000, 30_000, 65_535), (20_000, 50_000, 5_000, 65_535), (3_000, 33_000, 64_000, 65_535)]
    row = b"".join(struct.pack(f">{channels}H", *values[min(2, x // 160)][4 - channels :]) for x in range(SIZE[0]))
    if channels in (1, 3):
        row = b"".join(struct.pack(f">{channels}H", *values[min(2, x // 160)][:channels]) for x in range(SIZE[0]))
    return row * SIZE[1]


def deep(colour: int, *chunks: bytes) -> bytes:
    """A PNG of 16 bits a sample."""
    return png(SIZE, 16, colour, ramp({0: 1, 2: 3, 4: 2, 6: 4}[colour]), *chunks)


def see_through(kind: str, **options: Any) -> bytes:
    """A picture whose upper half is half transparent."""
    image = scene().convert("RGBA")
    image.putalpha(Image.new("L", SIZE, 255))
    image.paste((0, 0, 255, 128), (0, 0, 480, 160))
    return saved(image, kind, **options)


GREY = grey_profile(1.8)
CASES: dict[str, bytes] = {
    **{f"{kind} plain": saved(scene(), kind) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"{kind} turned {o}": turned(scene(), kind, o) for kind in ("PNG", "JPEG", "WEBP") for o in range(1, 9)},
    **{f"{kind} Display P3": saved(scene(), kind, icc_profile=DISPLAY_P3) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"{kind} Adobe RGB": saved(scene(), kind, icc_profile=ADOBE_RGB) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"{kind} turned 6, P3": turned(scene(), kind, 6, icc_profile=DISPLAY_P3) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"{kind} grey profile": saved(scene().convert("L"), kind, icc_profile=GREY) for kind in ("PNG", "JPEG")},
    "JPEG progressive": saved(scene(), "JPEG", progressive=True),
    "JPEG grey": saved(scene().convert("L"), "JPEG"),
    "JPEG CMYK": saved(scene().convert("CMYK"), "JPEG"),
    "PNG grey and alpha, grey profile": saved(scene().convert("LA"), "PNG", icc_profile=GREY),
    "PNG one bit": saved(scene().convert("L").point([255 * (v > 90) for v in range(256)]).convert("1"), "PNG"),
    "PNG palette": saved(scene().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "PNG palette, P3": saved(scene().convert("P", palette=Image.Palette.ADAPTIVE), "PNG", icc_profile=DISPLAY_P3),
    "PNG palette, transparent": saved(scene().quantize(8), "PNG", transparency=b"\x00\x80\xff"),
    "PNG transparent colour": saved(scene(), "PNG", transparency=(30, 200, 60)),
    "PNG transparent grey": saved(scene().convert("L"), "PNG", transparency=scene().convert("L").getpixel((80, 80))),
    "PNG grey 16": deep(0),
    "PNG grey 16, transparent": deep(0, chunk(b"tRNS", struct.pack(">H", 20_000))),
    "PNG RGB 16": deep(2),
    "PNG RGB 16, transparent": deep(2, chunk(b"tRNS", struct.pack(">3H", 20_000, 50_000, 5_000))),
    "PNG grey 16 and alpha": deep(4),
    "PNG RGBA 16": deep(6),
    "PNG RGB 16, P3": deep(2, chunk(b"iCCP", b"p\0\0" + zlib.compress(DISPLAY_P3))),
    **{f"{kind} half transparent": see_through(kind) for kind in ("PNG", "WEBP")},
    "PNG half transparent, P3": see_through("PNG", icc_profile=DISPLAY_P3),
    "PNG broken profile": with_chunks(saved(scene(), "PNG"), chunk(b"iCCP", b"p\0\0" + b"no profile")),
    "PNG sRGB": with_chunks(saved(scene(), "PNG"), chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 45455))),
}


@pytest.mark.parametrize("name", CASES)
def test_every_file_looks_like_the_original(tmp_path: Path, magick: Callable[..., bytes], name: str) -> None:
    """Size, orientation and colours of every rendition and of the thumbnail, by a program that shares no code with us.

    It reads renditions as programs do that know nothing of Exif.
    """
    original = tmp_path / "original"
    original.write_bytes(CASES[name])
    turn = re.search(r"turned (\d)", name)  # said, as some versions read no Exif data of PNG and WebP
    words = ("-orient", ORIENTED[int(turn[1]) - 1], "-auto-orient") if turn else ()
    expected = pixels(magick(original, *words), SIZE[0])
    done = made(tmp_path, CASES[name])
    assert (done.width, done.height) == SIZE
    for file in done.renditions:
        raw = magick(Path(file.path))
        assert len(raw) == 3 * SIZE[0] * SIZE[1]
        allowed = LOSSLESS if file.path.endswith(".png") else LOSSY
        assert difference(pixels(raw, SIZE[0]), expected) <= allowed, file.path
    thumb = magick(tmp_path / "thumb.webp", "-resize", "480x320!")
    assert difference(pixels(thumb, SIZE[0]), expected) <= LOSSY + 4
