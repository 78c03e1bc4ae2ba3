"""The internet of a test: names that lead where the test says, and servers on loopback that stand for public ones.

Only the two seams of :mod:`pipeline.network` are replaced: what resolves a name, and what connects to an address that
was checked. A :class:`Trap` listens where nothing may ever connect.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fakes.at_work import at_work
from pipeline import network

SITE = "93.184.215.14"
"""A public address."""
OTHER = "93.184.215.15"


class Trap:
    """A listening socket on loopback; ``sprung`` tells whether anybody connected."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.port: int = listener.getsockname()[1]

    @property
    def sprung(self) -> bool:
        """Whether there is a connection."""
        return bool(select.select([self.listener], [], [], 0)[0])


@contextlib.contextmanager
def trap() -> Iterator[Trap]:
    """A trap for the length of a test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Trap(listener)


class Internet:
    """Names → the answers of the resolver, one after the other (the last one for ever); addresses → ports on loopback.

    ``asked`` are the names that were resolved, ``called`` the addresses that were connected to.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.ports: dict[str, int] = {}
        self.asked: list[str] = []
        self.called: list[str] = []

    async def resolve(self, host: str) -> list[str]:
        """What :func:`pipeline.network.resolve` would answer."""
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return list(answers.pop(0) if len(answers) > 1 else answers[0])


class _Cable(httpx.AsyncBaseTransport):
    """Connects to what stands for an address; what stands for none can't be reached."""

    def __init__(self, internet: Internet, inner: httpx.AsyncBaseTransport) -> None:
        self.internet = internet
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        internet, host = self.internet, request.url.host
        internet.called.append(host)
        if host not in internet.ports:
            raise httpx.ConnectError("nobody is there")
        url = request.url.copy_with(host="127.0.0.1", port=internet.ports[host])
        return await self.inner.handle_async_request(
            httpx.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
            )
        )

    async def aclose(self) -> None:
        await self.inner.aclose()


def connected(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """The internet of one test, without a proxy before it."""
    made, real = Internet(), network.connector
    monkeypatch.setattr(network, "resolve", made.resolve)
    monkeypatch.setattr(network, "connector", lambda proxy=None: real(proxy) if proxy else _Cable(made, real()))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return made


# ── a public site ───────────────────────────────────────────────────────────────────────────────


class Site(ThreadingHTTPServer):
    """A server with a certificate. ``answer`` writes what it answers, ``named`` is the name in each TLS handshake,
    ``hosts`` the Host header of each request.
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None], context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _SiteHandler)
        self.answer = answer
        self.named: list[str | None] = []
        self.hosts: list[str | None] = []
        context.sni_callback = lambda _socket, name, _context: self.named.append(name)
        # The handshake is the handler's: a client that hangs up in it must not hold the others.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that doesn't like the certificate is no news."""


class _SiteHandler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers["host"])
        self.server.answer(self)


def reply(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None, data: bytes = b""
) -> None:
    """Answer with this, whole, unless the headers announce more."""
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


@contextlib.contextmanager
def site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[BaseHTTPRequestHandler], None], *names: str
) -> Iterator[Site]:
    """A site whose certificate is for these names, and which clients of this test trust."""
    file = _certificate(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    monkeypatch.setattr(network, "_ssl_context", lambda: trusting)
    with at_work(Site(answer, context)) as server:
        yield server


def _certificate(folder: Path, names: tuple[str, ...]) -> Path:
    """A certificate that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    kinds = [x509.IPAddress(ipaddress.ip_address(text)) if text[0].isdigit() else x509.DNSName(text) for text in names]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    file = folder / "site.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file
