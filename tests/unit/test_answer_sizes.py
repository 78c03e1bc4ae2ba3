"""How much memory an answer may take: what arrives is counted, and so is what it decodes to."""

from __future__ import annotations

import gzip
import zlib

import anyio
import pytest
from fakes import work
from fakes.hostile import Reply, hostile

from pipeline.addresses import Reach
from pipeline.engine import wire as wire_module
from pipeline.engine.wire import Wire
from pipeline.errors import LostAnswer
from pipeline.types import Answer, Call

MOST = 2**20
TOLD = b'{"request_id": "x"}'
PACKED = gzip.compress(TOLD, mtime=0)  # each worker of the tests collects the same parameters


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cap that a test can exceed."""
    monkeypatch.setattr(wire_module, "MAX_ANSWER", MOST)


def asked(body: bytes, encoding: str | None, status: int = 200) -> Answer:
    """What a wire makes of this answer to a paid call."""
    headers = {} if encoding is None else {"Content-Encoding": encoding}

    async def main(url: str) -> Answer:
        wire = Wire(reach=Reach(private=True))
        try:
            return await wire.send(Call("POST", f"{url}/x", json={}, paid=True, seconds=30.0))
        finally:
            await wire.close()

    with hostile(lambda server, request: Reply(status, body, headers)) as server:
        return anyio.run(main, server.url)


def bare(data: bytes) -> bytes:
    """Deflated without zlib's header, as some servers send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, TOLD),
        ("identity", TOLD),
        ("", TOLD),
        ("gzip", PACKED),
        ("GZip", PACKED),
        ("x-gzip", PACKED),
        ("identity, gzip", PACKED),
        ("gzip", PACKED + b"more" * 100_000),
        ("deflate", zlib.compress(TOLD)),
        ("deflate", bare(TOLD)),
    ],
)
def test_what_can_be_read(encoding: str | None, body: bytes) -> None:
    """Plain, or packed once in a way that every server knows."""
    assert asked(body, encoding).json == {"request_id": "x"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "bare"])
def test_a_bomb_takes_no_more_than_is_allowed(encoding: str) -> None:
    """128 MiB in 128 kB: a lost answer, as any that is too large, and the memory was never taken."""
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "bare": bare}[encoding]
    body = pack(b"0" * 128 * MOST)
    assert len(body) < MOST
    with work.memory() as done, pytest.raises(LostAnswer, match="larger than 1 MiB"):
        asked(body, "deflate" if encoding == "bare" else encoding)
    assert done.peak < 8 * MOST


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("encoding", [None, "gzip", "br"])
def test_the_cap_is_exact(encoding: str | None, over: int) -> None:
    """Its last byte is allowed, and one more is not, decoded or as it arrives."""
    text = b'"' + b"x" * (MOST - 2 + over) + b'"'
    body = gzip.compress(text) if encoding == "gzip" else text
    if over:
        with pytest.raises(LostAnswer, match="larger"):
            asked(body, encoding)
    else:
        assert asked(body, encoding).json == "x" * (MOST - 2)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,deflate", "br", "zstd", "gzip, br", "compress", "none"])
def test_what_is_packed_twice_is_not_unpacked(encoding: str) -> None:
    """It says nothing, and its status stands: a 429 that can't be read is still one."""
    bomb = gzip.compress(gzip.compress(b"0" * 64 * MOST))
    with work.memory() as done:
        answer = asked(bomb, encoding, 429)
    assert (answer.status, answer.json) == (429, None)
    assert done.peak < 4 * MOST
    assert asked(b"\x28\xb5\x2f\xfd packed in another way", encoding, 429).json is None


@pytest.mark.parametrize("encoding", ["aws-chunked", "none", "br", "gzip, gzip", "utf-8", "", None])
def test_what_is_gzip_is_unpacked_whatever_it_is_called(encoding: str | None) -> None:
    """Its first bytes say so, and no JSON begins like that; a bomb stays one."""
    assert asked(PACKED, encoding).json == {"request_id": "x"}
    with pytest.raises(LostAnswer, match="larger than 1 MiB"):
        asked(gzip.compress(b"0" * 4 * MOST), encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "aws-chunked", "utf-8", "IDENTITY", " ", "a, b"])
def test_what_is_plain_is_read_whatever_it_is_called(encoding: str) -> None:
    """A header that is wrong must not lose the answer to a paid call."""
    assert asked(TOLD, encoding).json == {"request_id": "x"}
    assert asked(b"[]", encoding).json == []
    assert asked(b"plain words", encoding).json is None


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TOLD * 1000, mtime=0)[:-12]),
        ("", gzip.compress(TOLD * 1000, mtime=0)[:-12]),
        ("gzip", PACKED[:-12]),
        ("gzip", PACKED[:20] + b"damaged" + PACKED[20:]),
        ("deflate", zlib.compress(TOLD * 1000)[:-8]),
    ],
)
def test_what_is_packed_and_cut_is_a_lost_answer(encoding: str, body: bytes) -> None:
    """The paid call may have been accepted."""
    with pytest.raises(LostAnswer, match="no whole answer: it is packed, and "):
        asked(body, encoding)


@pytest.mark.parametrize("body", [PACKED[:-1], zlib.compress(TOLD)[:-3]])
def test_whole_json_is_whole(body: bytes) -> None:
    """Only the checksum behind it is cut."""
    assert asked(body, "deflate").json == {"request_id": "x"}


def test_nothing_packed_is_nothing() -> None:
    """Some servers say so of an empty body."""
    answer = asked(b"", "gzip", 204)
    assert (answer.status, answer.json) == (204, None)
