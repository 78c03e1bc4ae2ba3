"""HTTP clients that connect to allowed addresses only, and answers that never grow beyond what was allowed.

A name is resolved once, all of its addresses are checked, and the connection goes to a checked one: to resolve again
would let a name server answer differently the second time (DNS rebinding). TLS still verifies the name.
"""

from __future__ import annotations

import math
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

import anyio
import certifi
import httpx

from pipeline.addresses import Reach, is_public, refusal
from pipeline.proxies import Proxy, UnusableProxy, flaw, proxy_of

HOSTS = 8
"""Hosts that one client keeps connections to."""
CONNECT = 10.0
"""Seconds that a connection may take to be there."""
NEXT = 3.0
"""The same while there are other addresses to try."""

_PACKED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
"""Content codings that can't be undone here. All words but these and gzip's and deflate's own compress nothing."""


_RESOLVING = "network.resolve"


class Forbidden(Exception):
    """An address that must not be called; the message says why, without the secrets that its query may hold."""


class Oversized(Exception):
    """An answer that is larger than it may be."""


def client(reach: Reach, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """A client of one connection for one exchange at a time, each of which has a deadline of its own.

    It follows no redirect, and its exchanges raise :class:`Forbidden` for what is out of reach.
    """
    return httpx.AsyncClient(
        headers={"Accept-Encoding": "identity", **(headers or {})},
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT),
        transport=Guarded(reach),
    )


async def resolve(host: str) -> list[str]:
    """The addresses of a host, in the order in which they are to be tried."""
    found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def connector(proxy: str | None = None) -> httpx.AsyncBaseTransport:
    """What connects, for one host or for one proxy."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    context = _ssl_context()
    before = httpx.Proxy(proxy, ssl_context=context if proxy.lower().startswith("https:") else None) if proxy else None
    return httpx.AsyncHTTPTransport(verify=context, limits=limits, proxy=before)


@cache
def _ssl_context() -> ssl.SSLContext:
    """What trusts the authorities of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, which OpenSSL reads itself, or those of
    this machine; where it has none (a slim container), those that come with httpx.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(certifi.where())
    return context


@dataclass(slots=True)
class _Door:
    """The connections to one host, and its addresses: all of them checked, the one that worked last first."""

    connector: httpx.AsyncBaseTransport
    addresses: list[str]


class Guarded(httpx.AsyncBaseTransport):
    """Connects to public addresses, and to what ``reach`` adds to them. It serves one exchange at a time.

    Where the environment names a proxy, that one resolves names and connects: only what an address shows is refused
    then, and a name without a dot, which the proxy would look for in its own network.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._doors: dict[str, _Door] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to where it may go.

        Raises:
            Forbidden: when it may not go there; nothing was sent.
            UnusableProxy: when the proxy before it can't be used; nothing was sent.
        """
        url, host = str(request.url), request.url.raw_host.decode("ascii")
        allowed = self._reach.allows(url)
        proxy = proxy_of(request.url.scheme, host, request.url.netloc.decode("ascii"))
        if not allowed and (why := refusal(url)):
            raise Forbidden(_clipped(why))
        if not allowed and proxy is None:
            return await self._checked(request, host)
        if not allowed and "." not in host and ":" not in host:
            raise Forbidden(f"{_clipped(host)} is in a private network")
        door = await self._door(host) if proxy is None else await self._door(f"through {proxy.url}", proxy)
        return await door.connector.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        while self._doors:
            await self._doors.popitem()[1].connector.aclose()

    async def _door(self, name: str, proxy: Proxy | None = None) -> _Door:
        if proxy is not None and (why := flaw(proxy)):
            raise UnusableProxy(why)
        door = self._doors.pop(name, None) or _Door(connector(proxy.url if proxy else None), [])
        while len(self._doors) >= HOSTS:
            await self._doors.pop(next(iter(self._doors))).connector.aclose()
        self._doors[name] = door
        return door

    async def _checked(self, request: httpx.Request, host: str) -> httpx.Response:
        """Send a request to a checked address of its host."""
        door = await self._door(host)  # one for each host: a pool knows addresses only, and many hosts share one
        if not door.addresses:
            trace = request.extensions.get("trace", Departure())
            await trace(f"{_RESOLVING}.started", {})
            door.addresses = await _checked_addresses(host)
            await trace(f"{_RESOLVING}.complete", {})
        for left in range(len(door.addresses) - 1, -1, -1):
            try:
                return await door.connector.handle_async_request(_to(request, door.addresses[0], host, last=not left))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if not left:
                    door.addresses = []  # to be resolved again the next time
                    raise
                door.addresses.append(door.addresses.pop(0))
        raise AssertionError  # pragma: no cover  # there is one address at least


class Departure:
    """Whether a request may have left this machine. ``left`` is None while nothing tells; then its error decides.

    It is the ``trace`` extension of a request: httpcore tells it of each step (its documentation of "extensions").
    Only steps that are known to come before a request's first byte count as such.
    """

    def __init__(self) -> None:
        self.left: bool | None = None

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        """A step begins or ends."""
        if event == f"{_RESOLVING}.complete":
            self.left = None
        step, _, state = event.rpartition(".")
        if self.left or state != "started" or step.endswith((".close", ".response_closed")):
            return
        tunnel = getattr(info.get("request"), "method", b"") == b"CONNECT"
        self.left = not (tunnel or step.startswith(("connection.", "proxy.", "socks.", _RESOLVING)))


async def _checked_addresses(host: str) -> list[str]:
    """The addresses of a host, unless one of them is not public."""
    words = "there is no such host"
    try:
        addresses = await resolve(host)
    except (OSError, UnicodeError) as error:
        addresses, words = [], getattr(error, "strerror", None) or words
    for address in addresses:
        if not is_public(ip_address(address)):
            raise Forbidden(f"{_clipped(host)} is in a private network, at {address}")
    if not addresses:
        raise httpx.ConnectError(f"{_clipped(host)}: {words}")
    return addresses


def _to(request: httpx.Request, address: str, host: str, *, last: bool) -> httpx.Request:
    """The request as it goes to an address; its header names the host, and TLS verifies that."""
    extensions = {**request.extensions, "sni_hostname": host.rstrip(".")}
    if not last:
        extensions["timeout"] = {**extensions.get("timeout", {}), "connect": NEXT}
    url = request.url.copy_with(host=address)
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


def _clipped(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}…"


@dataclass(frozen=True, slots=True)
class Body:
    """What a response brought, unpacked. ``cut``: why that may not be all of it; ``packed``: the coding that its header
    names, where that can't be undone.
    """

    data: bytes
    cut: str = ""
    packed: str = ""


async def body(response: httpx.Response, most: int) -> Body:
    """A response's body, as far as it came, unpacked (:func:`unpacked`). Neither what arrives nor what it unpacks to
    ever takes more than ``most`` bytes: a few kB of gzip can be gigabytes.

    Raises:
        Oversized: when it is larger.
    """
    came = bytearray()
    cut = await read(response, came, most)
    return unpacked(came, response.headers, most, cut)


async def read(
    response: httpx.Response, into: bytearray, most: int, until: Callable[[], float] = lambda: math.inf
) -> str:
    """Add to ``into`` what a response brings, as it comes, and return why that may not be all of it.

    ``until``: until when (in the event loop's time) the next byte may take; asked whenever some came.

    Raises:
        Oversized: when there would be more than ``most`` bytes.
        TimeoutError: when the next byte takes too long; those before it are there.
    """
    before, cut = len(into), ""
    try:
        with anyio.CancelScope(deadline=until()) as scope:
            async for chunk in response.aiter_raw():
                into += chunk
                if len(into) > most:
                    raise Oversized
                scope.deadline = until()
        if scope.cancelled_caught:
            raise TimeoutError
    except httpx.HTTPError as error:
        cut = f"the connection broke ({type(error).__name__})"
    came, announced = len(into) - before, response.headers.get("content-length", "")
    if (came or cut) and announced.isdecimal() and announced.lstrip("0") != str(came):
        cut = f"{came} of {announced[:20]} bytes came"
    return cut


def unpacked(came: bytes | bytearray, headers: httpx.Headers, most: int, cut: str = "") -> Body:
    """What a body holds. The bytes say what they are, as headers are often wrong: what begins as gzip is unpacked once,
    and so is what is called ``deflate`` and is that; all else stays as it came.

    Raises:
        Oversized: when it unpacks to more than ``most`` bytes.
    """
    named = {name.lower() for name in headers.get_list("content-encoding", split_commas=True)}
    data, flaw = _unpacked(bytes(came), most, deflate="deflate" in named)
    return Body(data, cut or flaw, ", ".join(sorted(named & _PACKED)))


def _unpacked(data: bytes, most: int, *, deflate: bool) -> tuple[bytes, str]:
    """What bytes unpack to, and why that is not all; what isn't packed stays as it is."""
    gzip = data.startswith(b"\x1f\x8b\x08")  # as nothing else that is asked for begins
    # Some servers send "deflate" without zlib's header (RFC 9110 §8.4.1.2); that has no checksum, so it must end
    # exactly where the bytes do.
    for wbits in (31,) if gzip else (15, -15) if deflate else ():
        unpacker = zlib.decompressobj(wbits)
        try:
            plain = unpacker.decompress(data, most + 1)
        except zlib.error as error:
            if gzip:
                return data, f"it is packed, and damaged ({error})"
            continue
        if len(plain) > most:
            raise Oversized
        if wbits > 0:
            return plain, "" if unpacker.eof else "it is packed, and ends early"
        if unpacker.eof and not unpacker.unused_data:
            return plain, ""
    return data, ""
