"""Downloads on slow and broken lines: what keeps coming comes, what came is continued, and what never ends is ended."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
import httpx
import pytest
from fakes.virtual import Clock, virtual

from pipeline import fetching
from pipeline.addresses import Reach
from pipeline.errors import DownloadError

URL = "https://pictures.example/1.png"
PICTURE = random.Random(7).randbytes(200_000)
TAG = '"v1"'
MOST = 64 * 2**20

Respond: TypeAlias = Callable[..., httpx.Response]


@dataclass
class Server:
    """What serves a picture piece by piece on a virtual clock. ``answers`` says how each request is answered, the last
    of them for ever; ``asked`` are the ranges that were asked for, ``clock`` is when a download ends.
    """

    answers: list[Callable[[Server, httpx.Request], httpx.Response]]
    data: bytes = PICTURE
    most: int = MOST
    asked: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.headers.get("range", ""))
        self.named.append(request.headers.get("if-range", ""))
        return self.answers[min(len(self.asked), len(self.answers)) - 1](self, request)

    def fetched(self, monkeypatch: pytest.MonkeyPatch) -> bytes:
        """What a download of this picture gives."""
        made = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        monkeypatch.setattr(fetching, "client", lambda reach, headers: made)
        with virtual(self.clock):
            return anyio.run(fetching.fetch, URL, Reach(), self.most, lambda data: data == self.data)


class Coming(httpx.AsyncByteStream):
    """Bytes that come at a speed (in bytes a second), so many at a time; after them silence, a cut or the end."""

    def __init__(self, data: bytes, speed: float = 1e9, then: str = "end", step: int = 8000) -> None:
        self.data, self.speed, self.then, self.step = data, speed, then, step

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), self.step):
            piece = self.data[start : start + self.step]
            await anyio.sleep(len(piece) / self.speed)
            yield piece
        if self.then == "silence":
            await anyio.sleep_forever()
        if self.then == "cut":
            raise httpx.ReadError("cut")


def whole(speed: float = 1e9, then: str = "end", keep: int = MOST, **headers: str) -> Respond:
    """All of the picture, or its first ``keep`` bytes."""

    def answer(server: Server, request: httpx.Request) -> httpx.Response:
        told = {"content-length": str(len(server.data)), "accept-ranges": "bytes", "etag": TAG}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(200, headers=told, stream=Coming(server.data[:keep], speed, then))

    return answer


def rest(speed: float = 1e9, then: str = "end", keep: int = MOST, shift: int = 0, **headers: str) -> Respond:
    """What was asked for, or ``shift`` bytes off it."""

    def answer(server: Server, request: httpx.Request) -> httpx.Response:
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-")) + shift
        size = len(server.data)
        told = {"content-range": f"bytes {start}-{size - 1}/{size}", "etag": TAG, "content-length": str(size - start)}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Response(206, headers=told, stream=Coming(server.data[start:][:keep], speed, then))

    return answer


def status(code: int) -> Respond:
    """An answer without a picture."""
    return lambda server, request: httpx.Response(code)


def fails(server: Server, request: httpx.Request) -> httpx.Response:
    """Nobody is there."""
    raise httpx.ConnectError("refused")


def test_a_slow_line_gets_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two megabytes at 8 kB a second take four minutes, and one request."""
    server = Server([whole(speed=8000)], data=PICTURE * 10)
    assert server.fetched(monkeypatch) == PICTURE * 10
    assert server.asked == [""]
    assert 249 < server.clock.now < 252


def test_silence_ends_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute after the last byte, where the server continues nothing."""
    server = Server([whole(then="silence", keep=100_000, accept_ranges="none")])
    with pytest.raises(DownloadError, match="nothing came for 60 s, and 100,000 of 200,000 bytes were there"):
        server.fetched(monkeypatch)
    assert 59 < server.clock.now < 62
    assert server.asked == [""]


@pytest.mark.parametrize("speed", [0.1, 10.0, 900.0])
def test_a_drip_ends(monkeypatch: pytest.MonkeyPatch, speed: float) -> None:
    """Too slow for any line: two minutes are given, and a second more for each thousand bytes."""

    def drip(server: Server, request: httpx.Request) -> httpx.Response:
        stream = Coming(PICTURE * 10, speed, step=max(1, int(speed / 10)))
        return httpx.Response(200, headers={"accept-ranges": "bytes", "etag": TAG}, stream=stream)

    server = Server([drip], data=b"another")
    with pytest.raises(DownloadError, match="did not come whole: it took longer than"):
        server.fetched(monkeypatch)
    assert server.clock.now < 120 / (1 - speed / 1000) + 1


def test_an_hour_is_enough_at_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that has no end and keeps to the least speed."""
    server = Server([whole(speed=1100)], data=PICTURE * 100)
    with pytest.raises(DownloadError, match="it took longer than 3,600 s"):
        server.fetched(monkeypatch)
    assert 3590 < server.clock.now < 3620


@pytest.mark.parametrize("then", ["silence", "cut", "end"])
def test_what_came_is_continued(monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """From the byte where it stopped, again and again, of the same version."""
    server = Server([whole(keep=50_000, then=then), rest(keep=50_000, then=then), rest(keep=60_000, then=then), rest()])
    assert server.fetched(monkeypatch) == PICTURE
    assert server.asked == ["", "bytes=50000-", "bytes=100000-", "bytes=160000-"]
    assert server.named == ["", TAG, TAG, TAG]


def test_a_date_names_a_version_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no tag, and the file is older than its answer."""
    old, new = "Mon, 02 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 10:00:01 GMT"
    first = whole(keep=50_000, then="cut", etag="", last_modified=old, date=new)
    server = Server([first, rest(etag="", last_modified=old)])
    assert server.fetched(monkeypatch) == PICTURE
    assert server.named == ["", old]


@pytest.mark.parametrize(
    "headers",
    [
        {"accept_ranges": "none"},
        {"accept_ranges": ""},
        {"etag": ""},
        {"etag": 'W/"v1"'},
        {"etag": 'W/"v1"', "last_modified": "Mon, 02 Nov 2026 10:00:00 GMT"},
        {"etag": "", "last_modified": "Mon, 02 Nov 2026 10:00:00 GMT", "date": "Mon, 02 Nov 2026 10:00:00 GMT"},
    ],
    ids=str,
)
def test_what_the_server_can_not_vouch_for_is_not_continued(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    """No ranges, or no word that tells one version from another: two halves could be of two pictures."""
    server = Server([whole(keep=50_000, then="cut", **headers), rest()])
    with pytest.raises(DownloadError, match="50000 of 200000 bytes came"):
        server.fetched(monkeypatch)
    assert server.asked == [""]


@pytest.mark.parametrize(
    "second",
    [
        rest(shift=1),
        rest(shift=-1),
        rest(etag='"v2"'),
        rest(content_range="bytes 50000-199999/300000"),
        rest(content_range="bytes */200000"),
        rest(content_range="pages 50000-199999/200000"),
        rest(content_range=""),
        status(416),
    ],
    ids=["later", "earlier", "another version", "another size", "no range", "no bytes", "nothing said", "416"],
)
def test_what_does_not_go_on_begins_again(monkeypatch: pytest.MonkeyPatch, second: Respond) -> None:
    """A part that is not the next one is not taken: the whole is asked for."""
    server = Server([whole(keep=50_000, then="cut"), second, whole()])
    assert server.fetched(monkeypatch) == PICTURE
    assert server.asked == ["", "bytes=50000-", ""]


def test_a_server_that_sends_the_whole_again_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version, or a server that knows no ranges after all."""
    other = bytes(reversed(PICTURE))
    server = Server([whole(keep=50_000, then="cut"), whole()])
    server.data = other
    assert server.fetched(monkeypatch) == other
    assert server.asked == ["", "bytes=50000-"]


@pytest.mark.parametrize("fault", [fails, status(503), status(429)], ids=["refused", "503", "429"])
def test_a_fault_in_between_is_waited_for(monkeypatch: pytest.MonkeyPatch, fault: Respond) -> None:
    """What came is kept; four in a row are too many."""
    server = Server([whole(keep=50_000, then="cut"), fault, fault, rest()])
    assert server.fetched(monkeypatch) == PICTURE
    assert server.asked == ["", "bytes=50000-", "bytes=50000-", "bytes=50000-"]
    server = Server([whole(keep=50_000, then="cut"), fault])
    with pytest.raises(DownloadError, match="did not come whole"):
        server.fetched(monkeypatch)
    assert len(server.asked) == 1 + fetching.CONTINUED


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_link_that_expires_in_between_is_gone(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A fresh link is to be asked for, at once."""
    server = Server([whole(keep=50_000, then="cut"), status(code)])
    with pytest.raises(DownloadError, match=f"answered {code}") as caught:
        server.fetched(monkeypatch)
    assert caught.value.gone


def test_a_server_that_cuts_after_every_byte_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes a connection would be thousands of connections."""
    server = Server([whole(keep=1, then="cut"), rest(keep=1, then="cut")])
    with pytest.raises(DownloadError, match="did not come whole"):
        server.fetched(monkeypatch)
    assert len(server.asked) == fetching.CONTINUED


def test_more_than_was_allowed_is_refused_also_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A continued picture is no way around the cap."""
    server = Server([whole(keep=50_000, then="cut"), rest()], most=120_000)
    with pytest.raises(DownloadError, match="larger than"):
        server.fetched(monkeypatch)
