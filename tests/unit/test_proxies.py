"""Which addresses go through a proxy, which proxies can be used, and that what never left was not sent."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import anyio
import httpx
import pytest
from fakes.internet import Trap, connected, trap

from pipeline import media
from pipeline.addresses import Reach, is_loopback
from pipeline.engine import wire as wire_module
from pipeline.engine.lane import Lane
from pipeline.engine.wire import Wire
from pipeline.errors import DownloadError, LaneStopped, LostAnswer, PipelineError, TryLater
from pipeline.models import load_model
from pipeline.proxies import Proxy, check_proxies, flaw, proxy_of
from pipeline.types import Call, Provider

VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
ANYWHERE = Reach(private=True)
FAR = "https://queue.example/x"
left_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""httpcore leaves a connection open whose handshake failed; it is closed when it is collected."""


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those of the test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def answering(*replies: bytes, stays: bool = False) -> Iterator[str]:
    """``host:port`` of a server that says the next of these to whatever it is told, then closes, or stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while not done.is_set():
                    connection, _ = listener.accept()
                    with connection:
                        for reply in replies:
                            connection.recv(65536)
                            connection.sendall(reply)
                        if stays:
                            connection.recv(65536)
                            done.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def sent(url: str = FAR, seconds: float = 10.0) -> None:
    """One paid call."""

    async def main() -> None:
        wire = Wire(reach=ANYWHERE)
        try:
            await wire.send(Call("POST", url, json={}, paid=True, seconds=seconds))
        finally:
            await wire.close()

    anyio.run(main)


# ── this machine ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("127.1", True),
        ("0x7f.1", True),
        ("2130706433", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("app.localhost", True),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1", False),
        ("", False),
    ],
)
def test_what_is_this_machine(host: str, expected: bool) -> None:
    """By its address in any spelling, and by its name."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("kind", ["http", "socks", "socks5"])
def test_this_machine_is_called_without_a_proxy(monkeypatch: pytest.MonkeyPatch, variable: str, kind: str) -> None:
    """By calls and by downloads, whatever the environment names: neither used, nor looked at."""
    with trap() as wolf, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as place:
        monkeypatch.setenv(variable, f"{kind}://127.0.0.1:{wolf.port}")
        for url in (f"http://{place}/x", f"http://localhost:{place.rpartition(':')[2]}/x"):
            sent(url)
            assert media.download(url, ANYWHERE) == b"{}"
            check_proxies([url])
        assert not wolf.sprung


# ── what is found before a run ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "socks://127.0.0.1:7891/",
            "HTTPS_PROXY=socks://127.0.0.1:7891/: httpx knows no such kind of proxy: write socks5",
        ),
        (
            "socks4://u:secret@h:1",
            "HTTPS_PROXY=socks4://***@h:1: httpx knows no such kind of proxy: write http://, https:",
        ),
        ("ftp://h:1", "HTTPS_PROXY=ftp://h:1: httpx knows no such kind of proxy"),
        (
            "http://u:secret@proxy:abc",
            "HTTPS_PROXY=http://***@proxy:abc: this is no address of a proxy: write http://host",
        ),
        ("http://u:se/cr@et@proxy:abc", "HTTPS_PROXY=http://***@proxy:abc: this is no address"),
        ("http://u:secret://x@proxy:abc", "HTTPS_PROXY=http://***@proxy:abc: this is no address"),
        ("http:/u:secret@proxy:80", "HTTPS_PROXY=http://***@proxy:80: this is no address"),
        ("http://proxy:99999", "this is no address of a proxy"),
        ("http://proxy:0", "this is no address of a proxy"),
        ("http://", "this is no address of a proxy"),
        ("http://:80", "this is no address of a proxy"),
        ("http://a b:80", "this is no address of a proxy"),
        ("http://[::1", "this is no address of a proxy"),
        ("https://h\\x:80", "this is no address of a proxy"),
        ("h:80:90", "this is no address of a proxy"),
        ("http://h:80\x1b[31m", "this is no address of a proxy"),
    ],
)
def test_a_proxy_that_can_not_be_used(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    """The variable, the value without its password, and the next step; nothing is called, and nothing is lost."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(PipelineError) as told:
        check_proxies(["http://127.0.0.1:1/", FAR])
    with pytest.raises(LaneStopped) as stopped:
        sent()
    with pytest.raises(DownloadError, match="the picture can't be fetched: HTTPS_PROXY=") as lost:
        media.download(FAR)
    for error in (told, stopped, lost):
        assert words in str(error.value)
        assert "secret" not in str(error.value)
        assert "\x1b" not in str(error.value)
    assert str(told.value).endswith("\nnothing was started, nothing was paid")


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "SOCKS5H://u:secret@h"])
def test_a_socks_proxy_without_its_package(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """It is named with the command that installs it."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(PipelineError, match=r"^all_proxy=.*pip install 'campaign-pipeline\[socks\]'") as told:
        check_proxies([FAR])
    assert "secret" not in str(told.value)
    with pytest.raises(LaneStopped, match=r"campaign-pipeline\[socks\]"):
        sent()


@pytest.mark.parametrize(
    "url",
    ["http://proxy", "HTTP://proxy:3128", "https://u:p%40ss@proxy:3128", "proxy:3128", "http://[::1]:80", "socks5://p"],
)
def test_a_proxy_that_can_be_used(url: str) -> None:
    """With or without a port, a password, or its kind."""
    proxy = Proxy(url if "://" in url else f"http://{url}", "HTTPS_PROXY")
    assert flaw(proxy) is None
    httpx.AsyncHTTPTransport(proxy=proxy.url)


def test_only_what_is_called_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of the scheme, then the one for all, lower case first; none for what goes past it."""
    monkeypatch.setenv("HTTP_PROXY", "socks://wrong:1")
    check_proxies([FAR, "http://127.0.0.1:80/"])
    monkeypatch.setenv("ALL_PROXY", "socks://all:1")
    with pytest.raises(PipelineError, match=r"^ALL_PROXY=socks://all:1"):
        check_proxies([FAR])
    monkeypatch.setenv("https_proxy", "http://right:1")
    monkeypatch.setenv("HTTPS_PROXY", "socks://wrong:2")
    check_proxies([FAR])
    assert proxy_of("https", "queue.example", "queue.example") == Proxy("http://right:1", "https_proxy")
    with pytest.raises(PipelineError, match=r"^HTTP_PROXY=socks://wrong:1"):
        check_proxies(["http://10.0.0.1/"])
    monkeypatch.setenv("NO_PROXY", "10.0.0.1")
    check_proxies(["http://10.0.0.1/"])


def test_a_socks_proxy_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its package installed: it resolves the name and connects."""
    ready = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with answering(b"\x05\x00", ready, answer) as place:
        monkeypatch.setenv("ALL_PROXY", f"socks5://{place}")
        check_proxies(["http://far.example/"])
        sent("http://far.example/x")


# ── what never left ─────────────────────────────────────────────────────────────────────────────


@left_open
@pytest.mark.parametrize(
    ("kind", "replies"),
    [
        ("http", []),
        ("http", [b""]),
        ("http", [b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 99\r\n\r\nhalf"]),
        ("http", [b"nonsense\r\n\r\n"]),
        ("http", [b"HTTP/1.1 200 OK\r\n\r\n"]),
        ("http", [b"HTTP/1.1 200 OK\r\n\r\n", b"no TLS at all"]),
        ("socks5", []),
        ("socks5", [b""]),
        ("socks5", [b"\x05\x00", b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"]),
        ("socks5", [b"nonsense", b"nonsense"]),
        ("socks5", [b"\x05\x00", b""]),
    ],
)
def test_what_a_proxy_does_before_the_tunnel_is_there(
    monkeypatch: pytest.MonkeyPatch, kind: str, replies: list[bytes]
) -> None:
    """However it fails, the call never left: it may be made again, and costs nothing."""
    with answering(*replies) as place:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://{place}")
        with pytest.raises(TryLater, match="can't reach the gateway"):
            sent()
        gc.collect()


@left_open
@pytest.mark.parametrize("replies", [[], [b"HTTP/1.1 200 OK\r\n\r\n"]], ids=["no tunnel", "no TLS"])
def test_a_proxy_that_says_nothing_until_the_deadline(monkeypatch: pytest.MonkeyPatch, replies: list[bytes]) -> None:
    """The time was up before anything left."""
    with answering(*replies, stays=True) as place:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
        with pytest.raises(TryLater, match="can't reach the gateway"):
            sent(seconds=0.5)
        gc.collect()


@pytest.mark.parametrize(
    "error", [MemoryError(), ImportError("no such module"), OSError(24, "Too many open files"), RuntimeError("?")]
)
def test_whatever_goes_wrong_before_is_not_sent(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A client that can't even be made."""

    def broken(reach: Reach) -> httpx.AsyncClient:
        raise error

    monkeypatch.setattr(wire_module, "client", broken)
    with pytest.raises(TryLater, match=f"can't reach the gateway \\({type(error).__name__}"):
        sent()


@pytest.mark.parametrize(
    "url", ["https://queue.example:99999/x", "https://[::1/x", "https://queue.example/\nx", "ftp://h/"]
)
def test_a_paid_call_that_can_not_be_made_stops_its_lane(url: str) -> None:
    """The address is the manifest's, so no picture is to blame: all of them wait."""
    with pytest.raises(LaneStopped, match="base_url"):
        sent(url)


@pytest.mark.parametrize("reply", [b"", b"nonsense", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
@pytest.mark.parametrize("proxied", [False, True])
def test_what_left_may_have_been_accepted(monkeypatch: pytest.MonkeyPatch, proxied: bool, reply: bytes) -> None:
    """The same faults after the first byte, and where the proxy itself is told the request."""
    with answering(reply) as place:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        with pytest.raises(LostAnswer):
            sent("http://far.example/x" if proxied else f"http://{place}/x")


def test_an_unexpected_error_after_the_first_byte_is_a_lost_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is."""

    def broken(data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(wire_module, "_json", broken)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as place, pytest.raises(LostAnswer):
        sent(f"http://{place}/x")


@pytest.mark.parametrize("left", [False, True])
def test_a_call_that_is_left_before_it_left(monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    """A run that ends while a connection is made holds no money for it; once a byte has left, it does."""
    offer = load_model("kling-image-o1").offers["fal"]
    told: list[bool] = []

    async def main(port: int, listener: socket.socket) -> None:
        url = f"http://127.0.0.1:{port}/x" if left else FAR
        lane = Lane[None](Provider("fal", offer, 28_000, 1, None), Wire(reach=ANYWHERE))
        async with anyio.create_task_group() as group:
            group.start_soon(lane.exchange, Call("POST", url, {}, paid=True), told.append)
            connection, _ = await anyio.to_thread.run_sync(listener.accept)
            with connection:
                await anyio.wait_readable(connection)  # the request itself, or the question for a tunnel
                group.cancel_scope.cancel()
        await lane.wire.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        anyio.run(main, port, listener)
    assert told == ([True] if left else [True, False])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda names: names.pop("queue.example"), "no such host"),
        (lambda names: None, "nobody is there"),
    ],
)
def test_the_cause_of_a_failed_connection_is_told(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[dict[str, list[list[str]]]], object], words: str
) -> None:
    """For people, who can mend it."""
    internet = connected(monkeypatch)
    internet.names = {"queue.example": [["93.184.215.14"]]}
    spoil(internet.names)

    async def main() -> None:
        wire = Wire()
        try:
            await wire.send(Call("POST", FAR, json={}, paid=True))
        finally:
            await wire.close()

    with pytest.raises(TryLater, match=words):
        anyio.run(main)


def test_a_refused_connection_is_told() -> None:
    """As the event loop calls it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TryLater, match=r"\(ConnectError: .*Connect call failed"):
        sent(f"http://127.0.0.1:{port}/")


def test_the_trap_works() -> None:
    """Else the tests above would prove nothing."""
    with trap() as wolf:
        assert isinstance(wolf, Trap)
        with socket.create_connection(("127.0.0.1", wolf.port)):
            assert select.select([wolf.listener], [], [], 5)[0]
