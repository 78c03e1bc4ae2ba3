"""Deliveries of webhooks, taken as hints: a genuine one says that a request is worth asking about, and nothing else.

What a delivery holds is never used; the pictures come by polling, as without webhooks. Each request has an address of
its own, ``{webhook_url}/{gateway}/{request}/{token}``, and the token is an HMAC under a secret that lives as long as
the run. Beside the token, a gateway's own scheme is checked:

- fal signs with Ed25519 (its webhooks page): over request id, user id, Unix time and the body's SHA-256, a line each;
  the keys are at ``/.well-known/jwks.json``, to be kept for a day at most; more than 300 s off is too old;
- Each Labs repeats the request's ``webhook_secret`` in ``X-Webhook-Secret`` (its webhook payload reference);
- Runware signs nothing (its webhooks page): the token alone speaks for it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self
from urllib.parse import urlsplit

from pipeline.errors import PipelineError, UsageError
from pipeline.gateways.fal import REST
from pipeline.types import Provider

GATEWAYS = ("fal", "eachlabs", "runware")
"""Those that deliver; AIML API documents no webhook for images."""
MOST = 1024 * 1024
"""Bytes of a delivery."""
CLOCKS = 300.0
"""Seconds that the time in a signature may be off ours (fal's webhooks page)."""
KEPT = 24 * 3600.0
"""Seconds for which fal's keys may be kept (likewise)."""
AGAIN = 60.0
"""Seconds between two requests for the keys, whatever arrives."""
EACH = 64
"""Deliveries of one request that are told: Runware makes one for each of up to 20 results."""
_ROOM = 64  # connections at once
_PATIENCE = 10.0  # seconds for which a connection, or the server of the keys, may say nothing
_POLL = 0.05  # seconds until the server notices that it is to stop


# ── the command line's two options ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and the public address that leads there; empty for the listener's own."""

    host: str
    port: int
    url: str = ""


def place(url: str | None, listen: str | None, *, rehearsal: bool) -> Place | None:
    """What ``--webhook-url`` and ``--webhook-listen`` say; None without both. A rehearsal needs no public address.

    Raises:
        UsageError: when they can't be obeyed.
    """
    if url is None and listen is None:
        return None
    if listen is None:
        raise UsageError("--webhook-url: nothing listens there; add --webhook-listen HOST:PORT, where it leads to")
    if url is None and not rehearsal:
        raise UsageError("--webhook-listen: no gateway would know of it; add --webhook-url https://…, which leads here")
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    whole = colon and bare and port.isascii() and port.isdigit() and int(port) < 2**16
    if not whole or (":" in bare and bare == host):
        raise UsageError(f"--webhook-listen {listen!r}: is not HOST:PORT; write 127.0.0.1:8765, or [::1]:8765")
    return Place(bare, int(port), "" if url is None else _public(url))


def _public(url: str) -> str:
    """A webhook's public address, checked."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("--webhook-url: is no address; write https://host/path") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("--webhook-url: takes no user name, query or fragment; write https://host/path")
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"--webhook-url {url!r}: is no address; write https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise UsageError(f"--webhook-url {url!r}: gateways deliver to https:// only (http:// on this machine)")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ── fal's keys ──────────────────────────────────────────────────────────────────────────────────


class _NoKeys(Exception):
    """Nobody can say whether a signature is good: the keys can't be fetched."""


class _Keys:
    """The public keys at one address."""

    def __init__(self, url: str, now: Callable[[], float]) -> None:
        self._url = url
        self._now = now
        self._keys: list[bytes] = []
        self._fetched = self._asked = float("-inf")
        self._lock = threading.Lock()

    def check(self, signature: bytes, message: bytes) -> bool:
        """Whether one of the keys made this signature; they are fetched when they are old, or none of them did."""
        with self._lock:
            if self._now() - self._fetched >= KEPT:
                self._keys = []
                self._fetch()
            if _made_by(self._keys, signature, message):
                return True
            self._fetch()
            if not self._keys:
                raise _NoKeys
            return _made_by(self._keys, signature, message)

    def _fetch(self) -> None:
        if self._now() - self._asked < AGAIN:
            return
        self._asked = self._now()
        with contextlib.suppress(_NoKeys):
            self._keys = _fetched(self._url)
            self._fetched = self._now()


def _fetched(url: str) -> list[bytes]:
    """The Ed25519 keys of a JSON Web Key Set, asked for without any key of ours."""
    import httpx  # slow to import, and most runs have no webhooks

    data = b""
    try:
        with httpx.stream("GET", url, timeout=_PATIENCE) as response:
            response.raise_for_status()
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MOST:
                    raise _NoKeys
        entries = json.loads(data)["keys"]
        return [key for entry in entries if (key := _public_key(entry))]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, RecursionError):
        raise _NoKeys from None


def _public_key(entry: Any) -> bytes | None:  # noqa: ANN401  # whatever JSON holds
    """The key in one entry of a set, where it is an Ed25519 key."""
    if not isinstance(entry, dict) or entry.get("crv", "Ed25519") != "Ed25519" or not isinstance(entry.get("x"), str):
        return None
    try:
        key = base64.urlsafe_b64decode(entry["x"] + "=" * (-len(entry["x"]) % 4))
    except ValueError:
        return None
    return key if len(key) == 32 else None


def _made_by(keys: list[bytes], signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for key in keys:
        # ValueError: 32 bytes that are no key
        with contextlib.suppress(InvalidSignature, ValueError):
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
    return False


# ── the listener ────────────────────────────────────────────────────────────────────────────────


class Listener:
    """Takes deliveries while its ``with`` block lasts, and tells of each request that a genuine, new one is about.

    ``tell`` is called in threads of the listener's own. ``refused`` counts what came to a request's address, or near
    it, and was not its gateway's.

    Raises:
        PipelineError: when fal is among the providers, and what checks its signatures isn't installed; on entering,
            when the place can't be listened at.
    """

    def __init__(
        self,
        where: Place,
        providers: Sequence[Provider],
        tell: Callable[[str], None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        fal = [provider for provider in providers if provider.offer.gateway == "fal"]
        if fal and importlib.util.find_spec("cryptography") is None:
            raise PipelineError(
                "--webhook-url: fal signs its deliveries, and the package that checks signatures is not installed; "
                "pip install 'campaign-pipeline[webhooks]'"
            )
        self.where = where
        self.refused = 0
        self._tell = tell
        self._now = now
        self._secret = secrets.token_bytes(32)
        self._keys = {_jwks(provider): _Keys(_jwks(provider), now) for provider in fal}
        self._signed_at: dict[str, str] = {}  # request at fal → the address of the keys that sign for it
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        host, port = self.where.host, self.where.port
        try:
            self._server = _Server(host, port, self.judge)
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "no such host"
            raise PipelineError(
                f"--webhook-listen {host}:{port}: can't listen there: {why}; name an address of this machine "
                "and a free port"
            ) from None
        self.port = int(self._server.server_address[1])
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared
        self._url = self.where.url or f"http://{f'[{here}]' if ':' in here else here}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="webhooks", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def address(self, provider: Provider, request: str) -> dict[str, str]:
        """Where a request's gateway may deliver, and the secret that it proves itself with, as a job names them."""
        gateway = provider.offer.gateway
        if gateway not in GATEWAYS:
            return {}
        if gateway == "fal":
            self._signed_at[request] = _jwks(provider)
        told = {"webhook": f"{self._url}/{gateway}/{request}/{self._hmac('token', gateway, request)}"}
        return told | ({"secret": self._hmac("secret", gateway, request)} if gateway == "eachlabs" else {})

    def judge(self, path: str, headers: Message, body: bytes) -> int:
        """The HTTP status that answers a delivery; one that is genuine and new is told.

        ``path``: whatever stands before its last three parts is the proxy's business.
        """
        gateway, request, token = ["", "", *path.partition("?")[0].rstrip("/").split("/")][-3:]
        if gateway not in GATEWAYS:
            return 404
        genuine = _same(token, self._hmac("token", gateway, request))
        mark = hashlib.sha256(body).hexdigest()
        if genuine and gateway == "eachlabs":
            genuine = _same(headers.get("X-Webhook-Secret") or "", self._hmac("secret", gateway, request))
        elif genuine and gateway == "fal":
            # Delivered at least once, to be told apart by the request's id (its webhooks page).
            mark = headers.get("X-Fal-Webhook-Request-Id") or ""
            try:
                genuine = self._is_signed(request, headers, body)
            except _NoKeys:
                return 503  # fal delivers again
        if not genuine:
            with self._lock:
                self.refused += 1
            return 401
        if not _is_document(body):
            return 400
        if self._is_new(f"{gateway}/{request}", mark):
            self._tell(request)
        return 200

    def _hmac(self, what: str, gateway: str, request: str) -> str:
        return hmac.new(self._secret, f"{what}/{gateway}/{request}".encode("utf-8", "replace"), "sha256").hexdigest()

    def _is_signed(self, request: str, headers: Message, body: bytes) -> bool:
        """Whether fal signed a delivery, a moment ago."""
        given = [headers.get(f"X-Fal-Webhook-{name}") or "" for name in ("Request-Id", "User-Id", "Timestamp")]
        stamp = given[2]
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 20 and abs(self._now() - int(stamp)) <= CLOCKS):
            return False
        message = "\n".join([*given, hashlib.sha256(body).hexdigest()]).encode("utf-8", "replace")
        try:
            signature = bytes.fromhex(headers.get("X-Fal-Webhook-Signature") or "")
        except ValueError:
            return False
        keys = self._keys.get(self._signed_at.get(request, ""))
        return keys is not None and keys.check(signature, message)

    def _is_new(self, request: str, mark: str) -> bool:
        with self._lock:
            seen = self._seen.setdefault(request, set())
            if mark in seen or len(seen) >= EACH:
                return False
            seen.add(mark)
            return True


def _jwks(provider: Provider) -> str:
    return f"{provider.base_url or REST}/.well-known/jwks.json"


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


def _is_document(body: bytes) -> bool:
    """Whether a body is JSON: an object, or Runware's array."""
    try:
        return isinstance(json.loads(body), dict | list)
    except (ValueError, RecursionError):
        return False


# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────


class _TooLong(Exception):
    """A body that is no delivery."""


class _Handler(BaseHTTPRequestHandler):
    """One connection: one request in, one answer out."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def version_string(self) -> str:
        """Nothing that strangers need to know."""
        return "pipeline"

    def log_message(self, *_: object) -> None:
        """Say nothing: a path holds a token."""

    def do_POST(self) -> None:
        """Take a delivery."""
        try:
            body = self._body()
        except _TooLong:
            self._answer(413)
            left = 4 * MOST  # else closing the connection would take the answer from who is still sending
            while left > 0 and (piece := self.rfile.read1(65536)):
                left -= len(piece)
        except ValueError:
            self._answer(400)
        else:
            self._answer(self.server.judge(self.path, self.headers, body))

    def _refuse(self) -> None:
        self._answer(405)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815  # as the parent calls them

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST:
            raise _TooLong
        body = self.rfile.read(length) if length > 0 else b""
        if len(body) != length:
            raise ValueError("not whole")
        return body

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            if not 0 < size <= MOST - len(body):
                raise _TooLong
            body += self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(1024).strip():
            pass
        return body

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        if status == 405:
            self.send_header("Allow", "POST")
        self.end_headers()


class _Server(ThreadingHTTPServer):
    """The listening port. Over its number of connections it hangs up: a gateway delivers again."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False  # two runs at one port would each get half of the deliveries
    request_queue_size = 128

    def __init__(self, host: str, port: int, judge: Callable[[str, Message, bytes], int]) -> None:
        self.judge = judge
        self._room = threading.BoundedSemaphore(_ROOM)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name, as the parent does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the parent has it
        """Serve a connection in a thread of its own, if there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Serve it, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Say nothing: a connection that broke is delivered again."""
