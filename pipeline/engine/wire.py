"""The only module that talks HTTP to a gateway: one call in, one answer or one verdict out.

Clients carry keys, so they never follow redirects, and a key goes to its gateway's own addresses only; should an answer
repeat it, it is blotted out before anyone reads it. httpx's pool slows down with its number of connections (it scans
all of them at every request), so a lane has a few clients of one connection each instead of one large pool.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import cache
from urllib.parse import urlsplit

import anyio
import httpx

from pipeline.errors import LaneStopped, LostAnswer, Refused, TryLater
from pipeline.types import Answer, Call, Json

MAX_ANSWER = 96 * 1024 * 1024
"""Bytes of one answer, at most: nine inline pictures fit."""

MAX_WORDS = 1_000_000
"""Characters of a string that may be words; a longer one is a picture, and would take long to search."""
LEAST_SECRET = 8
"""Characters of a secret that is blotted out: a shorter one stands in many words by chance."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@cache
def _ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class Wire:
    """The connections of one lane. ``headers`` authorise calls to ``origins``; no answer shows ``secrets``."""

    def __init__(
        self, headers: Mapping[str, str] | None = None, origins: Iterable[str] = (), secrets: Iterable[str] = ()
    ) -> None:
        self._headers = dict(headers or {})
        self._origins = {_origin(url) for url in origins}
        self._secrets = [_spellings(secret) for secret in secrets if len(secret) >= LEAST_SECRET]
        self._idle: list[httpx.AsyncClient] = []
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    async def send(self, call: Call) -> Answer:
        """One exchange, start to end, within its deadline.

        Raises:
            TryLater: when it was certainly not sent.
            LostAnswer: when it may have arrived and no whole answer came.
            LaneStopped: when the address itself is wrong.
        """
        client = self._idle.pop() if self._idle else await self._client()
        whole = False
        try:
            with anyio.fail_after(call.seconds):
                answer = await self._exchange(client, call)
            whole = True
        except _NOT_SENT as error:
            raise TryLater(f"can't reach the gateway ({type(error).__name__})") from None
        except httpx.UnsupportedProtocol:
            raise LaneStopped("the gateway's address is wrong: check base_url") from None
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError, ValueError):
            raise (Refused if call.paid else LostAnswer)("the gateway named an address that can't be called") from None
        except TimeoutError:
            raise LostAnswer(f"no whole answer within {call.seconds:g} s") from None
        except httpx.HTTPError as error:
            raise LostAnswer(f"the connection broke ({type(error).__name__})") from None
        finally:
            if whole:
                self._idle.append(client)
        return answer

    async def _client(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=10.0),  # each call has a deadline of its own
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=_ssl_context(),
        )
        return await self._stack.enter_async_context(client)

    async def _exchange(self, client: httpx.AsyncClient, call: Call) -> Answer:
        headers = {**call.headers, **(self._headers if _origin(call.url) in self._origins else {})}
        body = call.data
        if call.json is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(call.json, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        async with client.stream(call.method, call.url, content=body, headers=headers) as response:
            chunks, size = [], 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise LostAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
                chunks.append(chunk)
            data = b"".join(chunks)
            heads = {name.lower(): value for name, value in response.headers.items()}
        try:
            told = self._blotted(_json(data))
        except RecursionError:
            told = None
        return Answer(response.status_code, {name: self._blot(value) for name, value in heads.items()}, told)

    def _blot(self, text: str) -> str:
        for secret in self._secrets:
            text = secret.sub("***", text)
        return text

    def _blotted(self, value: Json) -> Json:
        """A decoded answer without the secrets, however they were written in it."""
        if isinstance(value, str):
            return value if len(value) > MAX_WORDS else self._blot(value)
        if isinstance(value, list):
            return [self._blotted(entry) for entry in value]
        if isinstance(value, dict):
            return {self._blot(name): self._blotted(entry) for name, entry in value.items()}
        return value


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _spellings(secret: str) -> re.Pattern[str]:
    """A secret as it may stand in a text: each character plain, percent-encoded or as an HTML entity; or in base64."""
    signs = (rf"(?:{re.escape(sign)}|%{ord(sign):02x}|&\#0*{ord(sign)};|&\#x0*{ord(sign):x};)" for sign in secret)
    found = ["".join(signs)]
    raw = secret.encode()
    for lead in range(3):
        # Whole groups only: those that no neighbouring byte changes.
        start = -lead % 3
        middle = raw[start : start + (len(raw) - start) // 3 * 3]
        if len(middle) >= 6:
            found += [
                re.escape(base64.b64encode(middle).decode()),
                re.escape(base64.urlsafe_b64encode(middle).decode()),
            ]
    return re.compile("|".join(found), re.IGNORECASE)


def _json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value
