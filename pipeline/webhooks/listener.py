"""Which delivery is genuine, and new."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from email.message import Message
from typing import Self

from pipeline.addresses import PUBLIC, Reach
from pipeline.errors import PipelineError
from pipeline.gateways.fal import REST
from pipeline.types import Provider
from pipeline.webhooks.jwks import Keys, NoKeys
from pipeline.webhooks.place import Place
from pipeline.webhooks.server import Server

GATEWAYS = ("fal", "eachlabs", "runware")
"""Those that deliver; AIML API documents no webhook for images."""
CLOCKS = 300.0
"""Seconds that the time in a signature may be off ours (fal's webhooks page)."""
EACH = 64
"""Deliveries of one request that are told: Runware makes one for each of up to 20 results."""
_POLL = 0.05  # seconds until the server notices that it is to stop


class Listener:
    """Takes deliveries while its ``with`` block lasts, and tells of each request that a genuine, new one is about.

    ``tell`` is called in threads of the listener's own. ``refused`` counts what came to a request's address, or near
    it, and was not its gateway's. ``reach``: where fal's keys may be fetched from.

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
        reach: Reach = PUBLIC,
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
        self._keys = {_jwks(provider): Keys(_jwks(provider), now, reach) for provider in fal}
        self._signed_at: dict[str, str] = {}  # request at fal → the address of the keys that sign for it
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        host, port = self.where.host, self.where.port
        try:
            self._server = Server(host, port, self.judge)
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
            except NoKeys:
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
