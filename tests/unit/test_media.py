"""Whether bytes are a picture: everything that is nearly one is refused, and files are whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import socket
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, JpegImagePlugin

from pipeline import decoding, fetching, media
from pipeline.addresses import Reach
from pipeline.decoding import decode
from pipeline.errors import DownloadError, KeepError, MediaError, WrongPicture
from pipeline.media import PictureJob, Rendition, encode, finish, thumbnail, write
from pipeline.types import RemoteImage


def picture(kind: str = "PNG", size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    """A small noisy picture, so that every part of its bytes matters."""
    out = io.BytesIO()
    noise = b"".join(
        bytes([(x * 7 + y * 13) % 256, (x * y) % 256, (x + y * 5) % 256])
        for y in range(size[1])
        for x in range(size[0])
    )
    Image.frombytes("RGB", size, noise).save(out, kind, **options)
    return out.getvalue()


def animated(kind: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def bomb() -> bytes:
    """A PNG header that promises 60,000 × 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_whole_picture_is_accepted(kind: str) -> None:
    """The three formats decode to their size."""
    assert decode(picture(kind)).size == (96, 64)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99])
def test_a_cut_picture_is_refused(kind: str, keep: float) -> None:
    """However much of it is missing."""
    data = picture(kind)
    with pytest.raises(MediaError):
        decode(data[: int(len(data) * keep)])


def test_a_png_without_its_end_is_refused() -> None:
    """Pillow's load() accepts it; verify() doesn't."""
    with pytest.raises(MediaError):
        decode(picture("PNG")[:-12])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(33, 47), (64, 64)])
def test_a_picture_short_of_its_last_bytes_is_refused(kind: str, size: tuple[int, int]) -> None:
    """Neither of Pillow's checks misses the end of a PNG's checksum, or of some JPEGs."""
    data = picture(kind, size)
    assert decode(data).size == size
    for missing in range(1, 20):
        with pytest.raises(MediaError):
            decode(data[:-missing])


def test_a_flipped_bit_in_a_png_is_refused() -> None:
    """Its checksums are checked."""
    data = bytearray(picture("PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(MediaError):
        decode(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"<html>sorry</html>",
        b"{}",
        b"\0" * 100,
        b"%PDF-1.4",
        animated("WEBP"),
        animated("PNG"),
        animated("GIF"),
        bomb(),
    ],
    ids=["html", "json", "zeros", "pdf", "animated webp", "apng", "gif", "bomb"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Other formats, several frames and bombs are no pictures."""
    with pytest.raises(MediaError):
        decode(data)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16"])
def test_every_mode_becomes_every_format(kind: str, mode: str) -> None:
    """Renditions exist for whatever a gateway sends; transparency stays where the format has it."""
    image = (
        Image.new("RGBA", (40, 30), (200, 40, 40, 0)).convert(mode)
        if mode != "I;16"
        else Image.new("I;16", (40, 30), 900)
    )
    again = decode(encode(image, kind, 80))
    assert again.size == (40, 30)
    if mode == "RGBA":
        assert again.has_transparency_data == (kind != "jpeg")
    if mode == "RGBA" and kind == "jpeg":
        assert again.getpixel((5, 5)) == (255, 255, 255)


def test_a_thumbnail_fits_its_box() -> None:
    """Wide and tall pictures alike."""
    for size in ((2000, 500), (500, 2000), (100, 100)):
        small = decode(thumbnail(Image.new("RGB", size, "navy")))
        assert small.width <= 600
        assert small.height <= 400
        assert abs(small.width / small.height - size[0] / size[1]) < 0.05


def job(folder: Path, data: bytes, **keys: object) -> PictureJob:
    """Keep inline bytes as an original and make a WebP of it."""
    values: dict[str, object] = {
        "stem": str(folder / "originals/k.t1"),
        "image": RemoteImage(data=data),
        "proof": None,
        "ratio": 1.5,
        "renditions": (Rendition(str(folder / "a/b.png"), "png", 0), Rendition(str(folder / "a/b.webp"), "webp", 80)),
        "thumb": str(folder / "thumbs/k.webp"),
    }
    return PictureJob(**(values | keys))  # type: ignore[arg-type]


def test_finish_keeps_the_original_and_never_encodes_what_fits(tmp_path: Path) -> None:
    """The PNG rendition is the gateway's bytes; called again it makes the same files."""
    data = picture()
    first = finish(job(tmp_path, data))
    assert Path(first.original.path).read_bytes() == data == (tmp_path / "a/b.png").read_bytes()
    assert decode((tmp_path / "a/b.webp").read_bytes()).size == (96, 64)
    again = finish(job(tmp_path, data))
    assert [file.sha256 for file in again.renditions] == [file.sha256 for file in first.renditions]


def test_a_job_and_its_result_travel_to_another_process(tmp_path: Path) -> None:
    """Both pickle, and so do the errors."""
    work = job(tmp_path, picture())
    assert pickle.loads(pickle.dumps(work)) == work  # noqa: S301  # our own bytes
    result = finish(work)
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301  # our own bytes
    error = pickle.loads(pickle.dumps(DownloadError("cut", gone=True)))  # noqa: S301  # our own bytes
    assert (str(error), error.gone) == ("cut", True)


@pytest.mark.parametrize(
    ("data", "keys", "words"),
    [
        (picture(), {"ratio": 16 / 9}, r"96×64 \(1\.50\), and 1\.78 was asked for"),
        (picture(), {"least": 10_000}, r"too small: it is 96×64 \(6,144 pixels\), and at least 10,000"),
        (picture(), {"pixels": 1000}, r"far more than asked for"),
        (animated("WEBP"), {"ratio": 1.0}, "several frames"),
    ],
)
def test_a_picture_that_was_not_asked_for_is_kept_aside_and_nothing_else_is_written(
    tmp_path: Path, data: bytes, keys: dict[str, Any], words: str
) -> None:
    """It is paid: its bytes are kept for people, beside where its first file would be."""
    with pytest.raises(WrongPicture, match=words):
        finish(job(tmp_path, data, **keys))
    (kept,) = (path for path in tmp_path.rglob("*.*"))
    assert kept.parent == tmp_path / "a"
    assert kept.name.startswith("b.wrong.")
    assert kept.read_bytes() == data


def test_what_fails_after_decoding_is_a_failure_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that raises anything says nothing of the picture."""

    def broken(*_: object) -> bytes:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(media, "encode", broken)
    with pytest.raises(KeepError, match=r"can't be encoded or written here \(ZeroDivisionError: oops\)"):
        finish(job(tmp_path, picture()))


def test_a_codec_that_is_missing_is_a_failure_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebP picture is no damaged picture where Pillow has no WebP."""
    monkeypatch.setattr(decoding, "codec_fault", lambda kind: "no WEBP here" if kind == "webp" else "")
    with pytest.raises(KeepError, match="no WEBP here"):
        decode(picture("WEBP"))
    assert decode(picture("PNG")).size == (96, 64)


def test_whatever_a_decoder_raises_is_damage_but_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's decoders raise what they stumble over; no memory is ours."""
    data, load = picture("JPEG"), Image.Image.load
    for error, kind in ((ZeroDivisionError(), MediaError), (KeyError("x"), MediaError), (MemoryError(), KeepError)):

        def stumble(image: Image.Image, error: Exception = error) -> object:
            if image.size == (8, 8):  # that of the check of the codec
                return load(image)
            raise error

        monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", stumble)
        with pytest.raises(kind):
            decode(data)


@pytest.mark.parametrize("ratio", [1360 / 768, 1168 / 880, 1552 / 656])
def test_the_vendors_own_sizes_fit_the_ratio_they_are_named_for(ratio: float) -> None:
    """Runware's table is up to 1.5 % off: that is no wrong shape."""
    named = min((16 / 9, 4 / 3, 21 / 9), key=lambda value: abs(value - ratio))
    media.check_shape((int(ratio * 1000), 1000), named)


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses in the middle, the old file stays and no part is left behind."""
    target = tmp_path / "x.png"
    write(str(target), b"old")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/x.png", "data:image/png;base64,AAAA", ""])
def test_only_web_addresses_are_fetched(url: str) -> None:
    """A gateway can't make this machine read its own files."""
    with pytest.raises(DownloadError, match="no web address"):
        media.download(url)


def test_a_server_that_drips_its_header_is_left_at_the_deadline(monkeypatch):
    """Lines of a header are no bytes of a picture."""
    monkeypatch.setattr(fetching, "STALL", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                for number in range(10_000):
                    connection.sendall(f"x-{number}: 1\r\n".encode())
                    if ended.wait(0.02):
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(DownloadError, match=r"did not come: nothing came for 0\.3 s"):
            media.download(f"http://127.0.0.1:{server.getsockname()[1]}/picture.png", Reach(private=True))
        ended.set()
        thread.join()
