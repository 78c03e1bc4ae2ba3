"""Where our clients connect, whatever a manifest or an answer names."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import httpx
import pytest
from fakes.at_work import at_work
from fakes.internet import OTHER, SITE, Internet, connected, reply, site, trap
from PIL import Image

from pipeline import media
from pipeline.addresses import PUBLIC, Reach
from pipeline.engine.wire import Wire
from pipeline.errors import DownloadError, LaneStopped, LostAnswer, Refused, TryLater
from pipeline.network import HOSTS, Forbidden, Guarded, client, resolve
from pipeline.types import Answer, Call
from pipeline.webhooks.jwks import Keys, NoKeys

SHOP = "https://pictures.example/x.png?key=canary"
PRIVATE = "is in a private network"


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """The internet of this test."""
    return connected(monkeypatch)


def get(*urls: str, reach: Reach = PUBLIC) -> list[int]:
    """The statuses of these, asked for one after the other by one client."""

    async def main() -> list[int]:
        async with client(reach) as http:
            return [(await http.get(url)).status_code for url in urls]

    return anyio.run(main)


def send(url: str, *, origins: tuple[str, ...] = (), paid: bool = False, data: bytes | None = None) -> Answer:
    """One call of a lane whose own addresses are these."""
    call = Call("POST" if paid else "GET", url, json={} if paid else None, paid=paid, data=data)

    async def main() -> Answer:
        wire = Wire({"X-Key": "canary"}, origins)
        try:
            return await wire.send(call)
        finally:
            await wire.close()

    return anyio.run(main)


def png() -> bytes:
    """A picture."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, "PNG")
    return out.getvalue()


def shows(handler: BaseHTTPRequestHandler) -> None:
    """A site that shows a picture."""
    reply(handler, 200, {"Content-Type": "image/png"}, png())


# ── where a connection goes ─────────────────────────────────────────────────────────────────────


def test_a_name_is_verified_at_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """TLS and the Host header name the host; the connection goes to its address, and is used again."""
    internet.names = {"pictures.example": [[SITE]]}
    with site(tmp_path, monkeypatch, shows, "pictures.example") as server:
        internet.ports = {SITE: server.server_port}
        assert get(SHOP, SHOP) == [200, 200]
    assert (server.named, server.hosts) == (["pictures.example"], ["pictures.example"] * 2)
    assert (internet.asked, internet.called) == (["pictures.example"], [SITE, SITE])


def test_a_server_without_the_names_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """It is at a checked address, and is somebody else: as if nobody were there."""
    internet.names = {"pictures.example": [[SITE]]}
    with site(tmp_path, monkeypatch, shows, "other.example", SITE) as server:
        internet.ports = {SITE: server.server_port}
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            get(SHOP)
    assert not server.hosts


def test_two_hosts_of_one_address_share_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """As on a content network: each connection is verified for its own name, and used again for that."""
    internet.names = {"a.example": [[SITE]], "b.example": [[SITE]]}
    with site(tmp_path, monkeypatch, shows, "a.example", "b.example") as server:
        internet.ports = {SITE: server.server_port}
        assert get(*("https://a.example/", "https://b.example/") * 2) == [200] * 4
    assert server.named == ["a.example", "b.example"]
    assert server.hosts == ["a.example", "b.example"] * 2


def test_the_next_address_is_tried_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """Nobody is at the first one; the second time, the one that worked comes first."""
    internet.names = {"pictures.example": [[OTHER, SITE]]}
    with site(tmp_path, monkeypatch, shows, "pictures.example") as server:
        internet.ports = {SITE: server.server_port}
        assert get(SHOP, SHOP) == [200, 200]
    assert internet.called == [OTHER, SITE, SITE]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [SITE, "127.0.0.1"],
        ["127.0.0.1", SITE],
        [SITE, OTHER, "fd00::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%2"],
        [SITE, "0.0.0.0"],  # noqa: S104
        ["2606:4700::1111", "169.254.169.254"],
    ],
)
def test_one_private_address_refuses_the_host(internet: Internet, addresses: list[str]) -> None:
    """Whichever of them would have been tried; nothing is connected to."""
    internet.names = {"pictures.example": [addresses]}
    with pytest.raises(Forbidden, match=rf"^pictures\.example {PRIVATE}, at "):
        get(SHOP)
    assert internet.called == []


def test_a_name_that_leads_elsewhere_the_second_time(internet: Internet) -> None:
    """DNS rebinding: what was checked is what is called, and when it is resolved again, it is checked again."""
    internet.names = {"pictures.example": [[SITE], ["127.0.0.1"]]}

    async def main() -> None:
        async with client(PUBLIC) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(SHOP)
            with pytest.raises(Forbidden):
                await http.get(SHOP)
            with pytest.raises(Forbidden):
                await http.get(SHOP)

    anyio.run(main)
    assert internet.called == [SITE]
    assert len(internet.asked) == 3


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f.1", "2130706433", "127.1", "017700000001", "127。0。0。1", "localhost", "LOCALHOST.", "[::1]"],
)
def test_a_private_address_is_not_connected_to(host: str) -> None:
    """Not even resolved, in whatever spelling, and over http no more than over https."""
    with trap() as wolf:
        with pytest.raises(Forbidden, match=PRIVATE):
            get(f"https://{host}:{wolf.port}/x")
        with pytest.raises(Forbidden, match="no https:// address"):
            get(f"http://{host}:{wolf.port}/x")
        assert not wolf.sprung
        with socket.create_connection(("127.0.0.1", wolf.port)):
            assert wolf.sprung, "the trap works"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://pictures.example/x.png", "it is no https:// address"),
        ("https://user:canary@pictures.example/", "it holds a user name or a password"),
        ("https://pictures.example:0/", "it is no web address"),
        ("https://pic%74ures.example/", "it is no web address"),
    ],
)
def test_what_else_is_no_address_to_call(internet: Internet, url: str, why: str) -> None:
    """A downgrade, a password, an odd spelling: the name is not even resolved."""
    internet.names = {"pictures.example": [[SITE]]}
    with pytest.raises(Forbidden) as caught:
        get(url)
    assert str(caught.value) == why
    assert internet.asked == []


def test_what_the_resolver_makes_of_numbers() -> None:
    """The real one takes them for addresses, so its answers are what is checked."""
    assert anyio.run(resolve, "0x7f.1") == anyio.run(resolve, "2130706433") == ["127.0.0.1"]
    assert set(anyio.run(resolve, "localhost")) <= {"127.0.0.1", "::1"}


def test_a_client_keeps_connections_to_some_hosts_only(internet: Internet) -> None:
    """An answer may name thousands."""
    internet.names = {f"h{number}.example": [[SITE]] for number in range(3 * HOSTS)}

    async def main() -> None:
        async with Guarded(PUBLIC) as guarded:
            for name in internet.names:
                with pytest.raises(httpx.ConnectError):
                    await guarded.handle_async_request(httpx.Request("GET", f"https://{name}/"))
            assert len(guarded._doors) == HOSTS

    anyio.run(main)


# ── a lane's calls ──────────────────────────────────────────────────────────────────────────────


def test_an_answers_link_into_a_private_network() -> None:
    """As any address that can't be called: a paid call has cost nothing, a file has no place, else no answer came."""
    with trap() as wolf:
        link = f"https://127.0.0.1:{wolf.port}/status?token=canary"
        with pytest.raises(LostAnswer, match=r"named an address that can't be called: 127\.0\.0\.1 is in") as told:
            send(link, origins=("https://queue.fal.run",))
        with pytest.raises(Refused, match=PRIVATE):
            send(link, origins=("https://queue.fal.run",), paid=True)
        with pytest.raises(LaneStopped, match=PRIVATE):
            send(link, origins=("https://queue.fal.run",), data=b"a picture")
        assert not wolf.sprung
    assert "canary" not in str(told.value)


def test_a_base_url_in_a_private_network_stops_the_lane(internet: Internet) -> None:
    """Wherever it shows, in the address or only in its resolution; nothing is sent, and the way out is named."""
    internet.names = {"proxy.example": [["10.0.0.1"]]}
    with trap() as wolf:
        for base in (f"http://127.0.0.1:{wolf.port}", f"https://localhost:{wolf.port}", "https://proxy.example"):
            with pytest.raises(LaneStopped, match=r"\(base_url\) is refused: .+; --allow-private permits it"):
                send(f"{base}/make", origins=(base,), paid=True)
        assert not wolf.sprung
    assert internet.called == []


def test_a_name_that_does_not_resolve_was_not_called(internet: Internet) -> None:
    """Nothing can have been paid."""
    with pytest.raises(TryLater, match="ConnectError"):
        send("https://queue.fal.run/x", origins=("https://queue.fal.run",), paid=True)
    assert internet.asked == ["queue.fal.run"]


def test_fals_keys_are_fetched_from_within_reach_only() -> None:
    """A key set in a private network is none."""
    with trap() as wolf:
        keys = Keys(f"http://127.0.0.1:{wolf.port}/.well-known/jwks.json", time.time)
        with pytest.raises(NoKeys):
            keys.check(b"x" * 64, b"message")
        assert not wolf.sprung


# ── pictures ────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_comes_from_a_public_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet
) -> None:
    """Also when its link leads on, three times; the body of a redirect, which may be endless, is not read."""

    def leads(handler: BaseHTTPRequestHandler) -> None:
        number = int(handler.path[1:])
        if not number:
            return shows(handler)
        where = f"https://pictures.example/{number - 1}" if number % 2 else f"/{number - 1}"
        return reply(handler, 302, {"Location": where, "Content-Length": "999999999999", "Content-Encoding": "gzip"})

    internet.names = {"pictures.example": [[SITE]]}
    with site(tmp_path, monkeypatch, leads, "pictures.example") as server:
        internet.ports = {SITE: server.server_port}
        assert media.download("https://pictures.example/3") == png()
        with pytest.raises(DownloadError, match="leads on and on"):
            media.download("https://pictures.example/4")
    assert len(server.hosts) == 8


@pytest.mark.parametrize("place", ["https://127.0.0.1:{}/x", "http://127.0.0.1:{}/x", "https://inside.example:{}/x"])
def test_a_picture_that_leads_into_a_private_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, internet: Internet, place: str
) -> None:
    """By its own link or by a redirect: nothing is connected there, and no secret of the link is told."""
    internet.names = {"pictures.example": [[SITE]], "inside.example": [["127.0.0.1"]]}
    with trap() as wolf:
        where = place.format(wolf.port) + "?token=canary"

        def leads(handler: BaseHTTPRequestHandler) -> None:
            reply(handler, 307, {"Location": where})

        with site(tmp_path, monkeypatch, leads, "pictures.example") as server:
            internet.ports = {SITE: server.server_port, "127.0.0.1": wolf.port}
            for link in (where, SHOP):
                with pytest.raises(DownloadError, match="the picture's address is refused: ") as told:
                    media.download(link)
                assert "canary" not in str(told.value)
        assert server.hosts == ["pictures.example"]
        assert not wolf.sprung


# ── through a proxy ─────────────────────────────────────────────────────────────────────────────


class Proxy(ThreadingHTTPServer):
    """A proxy that lets nobody through; ``asked`` is what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.asked: list[str] = []


class _ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def refuse(self) -> None:
        self.server.asked.append(self.path)
        reply(self, 403)

    do_CONNECT = do_GET = refuse  # noqa: N815


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, internet: Internet) -> Iterator[Proxy]:
    """The proxy that the environment names."""
    with at_work(Proxy()) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "direct.example,.inside.example,port.example:8443")
        yield server


def test_a_proxy_of_the_environment_is_used(proxy: Proxy, internet: Internet) -> None:
    """It resolves names and connects; what the user allows goes through it, too."""
    with pytest.raises(httpx.ProxyError):
        get(SHOP)
    with pytest.raises(DownloadError, match="ProxyError"):
        media.download(SHOP)
    assert get("http://10.0.0.1/x", reach=Reach(("http://10.0.0.1:80",))) == [403]
    assert proxy.asked == ["pictures.example:443"] * 2 + ["http://10.0.0.1/x"]
    assert (internet.asked, internet.called) == ([], [])


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://intranet/",
        "https://169.254.169.254/latest",
        "http://pictures.example/",
    ],
)
def test_a_proxy_is_not_asked_for_what_shows_to_be_private(proxy: Proxy, url: str) -> None:
    """It might sit in a network that we can't even see."""
    with pytest.raises(Forbidden):
        get(url)
    assert proxy.asked == []


@pytest.mark.parametrize("place", ["direct.example", "direct.example:8443", "a.inside.example", "port.example:8443"])
def test_what_goes_past_the_proxy_is_checked(proxy: Proxy, internet: Internet, place: str) -> None:
    """As if there were none."""
    host = place.partition(":")[0]
    internet.names = {host: [["192.168.0.1"]]}
    with pytest.raises(Forbidden, match=PRIVATE):
        get(f"https://{place}/")
    assert (proxy.asked, internet.called, internet.asked) == ([], [], [host])
