"""A whole picture is a picture, whatever its headers say; what is cut or can't be unpacked is fetched again."""

from __future__ import annotations

import contextlib
import gzip
import io
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from fakes.campaign import run
from fakes.hostile import Asked, Hostile, Reply, campaign, hostile, picture, states
from PIL import Image

from pipeline import fetching, media
from pipeline.addresses import Reach
from pipeline.engine.wire import Wire
from pipeline.errors import DownloadError, LostAnswer
from pipeline.types import Answer, Call


def drawn(kind: str) -> bytes:
    """A small picture of this format."""
    out = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(out, kind)
    return out.getvalue()


PICTURES = {kind: drawn(kind) for kind in ("PNG", "JPEG", "WEBP")}
PNG = PICTURES["PNG"]


@contextlib.contextmanager
def saying(*parts: bytes, stays: bool = False) -> Iterator[str]:
    """The address of a server that answers a request with these bytes, and closes the connection, or stays silent."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"".join(parts))
                    if stays:
                        ended.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/picture.png"
        finally:
            ended.set()
    thread.join(5)


def head(*lines: str) -> bytes:
    """The head of a good answer."""
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode()


def fetched(*parts: bytes, stays: bool = False) -> bytes:
    """What a download of this answer gives."""
    with saying(*parts, stays=stays) as url:
        return media.download(url, Reach(private=True))


def asked(*parts: bytes) -> Answer:
    """What a paid call makes of this answer."""

    async def main(url: str) -> Answer:
        wire = Wire(reach=Reach(private=True))
        try:
            return await wire.send(Call("POST", url, json={}, paid=True, seconds=30.0))
        finally:
            await wire.close()

    with saying(*parts) as url:
        return anyio.run(main, url)


CODINGS = ["aws-chunked", "", " ", "Identity", "IDENTITY", "identity, aws-chunked", "none", "utf-8", "binary", ",", "*"]
WRONG = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, br", "aws-chunked, gzip"]


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("coding", CODINGS + WRONG)
def test_a_content_encoding_that_compresses_nothing(coding: str, data: bytes) -> None:
    """The bytes are the picture."""
    assert fetched(head(f"Content-Encoding: {coding}", f"Content-Length: {len(data)}"), data) == data


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "aws-chunked, gzip", "", "identity", "br", "utf-8"])
def test_a_picture_in_gzip_is_unpacked(coding: str, data: bytes) -> None:
    """It was not asked for, and some servers send it all the same."""
    packed = gzip.compress(data)
    assert fetched(head(f"Content-Encoding: {coding}", f"Content-Length: {len(packed)}"), packed) == data


@pytest.mark.parametrize("wbits", [15, -15])
@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_deflated_picture_is_unpacked(data: bytes, wbits: int) -> None:
    """With zlib's header, and without."""
    packer = zlib.compressobj(wbits=wbits)
    assert fetched(head("Content-Encoding: Deflate"), packer.compress(data) + packer.flush()) == data


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "ZSTD, gzip"])
def test_a_picture_that_can_not_be_unpacked(coding: str) -> None:
    """It is told what it came as."""
    name = coding.lower().partition(",")[0]
    with pytest.raises(DownloadError, match=f"packed as {name}, which can't be unpacked here"):
        fetched(head(f"Content-Encoding: {coding}"), b"\x28\xb5\x2f\xfd" + PNG[4:])


def test_a_bomb_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kB that unpack to more than a picture may have."""
    monkeypatch.setattr(media, "MAX_BYTES", 2**20)
    with pytest.raises(DownloadError, match="larger than 1 MiB"):
        fetched(head("Content-Encoding: gzip"), gzip.compress(bytes(2**21)))


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/gif", "", "?"])
def test_a_content_type_says_nothing(kind: str) -> None:
    """The bytes do."""
    assert fetched(head(f"Content-Type: {kind}"), PNG) == PNG


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize(
    "announced", ["Content-Length: 99999999", "Transfer-Encoding: chunked"], ids=["more", "no last chunk"]
)
@pytest.mark.parametrize("stays", [False, True], ids=["closed", "kept open"])
def test_a_whole_picture_of_another_length(
    monkeypatch: pytest.MonkeyPatch, data: bytes, announced: str, stays: bool
) -> None:
    """More was announced, and the connection is cut or nothing more comes: the picture is all there."""
    monkeypatch.setattr(fetching, "STALL", 0.5)
    chunked = b"%x\r\n%b\r\n" % (len(data), data)
    assert fetched(head(announced), chunked if "chunked" in announced else data, stays=stays) == data


def test_two_lengths_that_differ() -> None:
    """Chunks and a Content-Length: the chunks count, and the picture is whole."""
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)
    assert fetched(head("Content-Length: 7", "Transfer-Encoding: chunked"), chunks) == PNG


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("missing", [1, 2, 7, 100])
@pytest.mark.parametrize("coding", ["aws-chunked", "gzip"])
def test_a_picture_that_is_cut_is_no_picture(data: bytes, missing: int, coding: str) -> None:
    """Found by its length, and by its bytes where no length was announced."""
    with pytest.raises(DownloadError, match=rf"did not come whole: {len(data) - missing} of {len(data)} bytes came"):
        fetched(head(f"Content-Length: {len(data)}", f"Content-Encoding: {coding}"), data[:-missing])
    came = fetched(head(f"Content-Encoding: {coding}"), data[:-missing])
    assert not media.is_whole(came)


def test_a_cut_picture_that_is_held_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing more comes, what came is no picture."""
    monkeypatch.setattr(fetching, "STALL", 0.5)
    with pytest.raises(DownloadError, match=r"not come whole: nothing came for 0\.5 s, and [\d,]+ of [\d,]+ bytes"):
        fetched(head(f"Content-Length: {len(PNG)}"), PNG[:-1], stays=True)


@pytest.mark.parametrize("length", [0, 1, 20, 21, 10**18])
def test_an_answer_of_another_length_is_read_where_it_is_whole(length: int) -> None:
    """An inline picture may be in it; half an answer is none."""
    told = b'{"request_id": "x"}'
    if length <= len(told):
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(told), told)
        answer = asked(head(f"Content-Length: {length}", "Transfer-Encoding: chunked"), chunks)
    else:
        answer = asked(head(f"Content-Length: {length}"), told)
    assert answer.json == {"request_id": "x"}
    with pytest.raises(LostAnswer, match="no whole answer: 18 of 99 bytes came"):
        asked(head("Content-Length: 99"), told[:-1])


@pytest.mark.parametrize("gateway", ["fal", "aimlapi", "eachlabs", "runware"])
@pytest.mark.parametrize("coding", ["aws-chunked", "", "Identity"])
def test_a_picture_of_every_gateway_is_made(tmp_path: Path, gateway: str, coding: str) -> None:
    """By the first run, whatever the coding of picture and answers is called."""

    def strange(server: Hostile, told: Asked) -> Reply | None:
        honest = server.honest(told)
        return Reply(honest.status, honest.body, {**honest.headers, "Content-Encoding": coding})

    with hostile(strange) as server:
        manifest = campaign(tmp_path, gateway)
        assert run(manifest, env=server.env)["made"] == server.billed == 1
        assert (states(manifest), server.kinds.count("picture")) == (["made"], 1)
    (kept,) = (tmp_path / "out/test/.pipeline/originals").iterdir()
    assert kept.read_bytes() == picture(1)
