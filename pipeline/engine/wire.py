"""The only module that talks HTTP to a gateway: one call in, one answer or one verdict out.

Clients carry keys, so they never follow redirects, and a key goes to its gateway's own addresses only; should an answer
repeat it, it is blotted out before anyone reads it. An address out of reach, whoever named it, is not called, and an
answer takes no more memory than is allowed, however it is packed. httpx's pool slows down with its number of
connections (it scans all of them at every request), so a lane has a few clients of one connection each instead of one
large pool.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import anyio
import httpx

from pipeline.addresses import PUBLIC, Reach
from pipeline.causes import cause_of, proxy_refusal
from pipeline.errors import LaneStopped, LostAnswer, Refused, RequestError, TryLater
from pipeline.network import Departure, Forbidden, Oversized, body, client
from pipeline.proxies import UnusableProxy
from pipeline.types import Answer, Call, Json

MAX_ANSWER = 96 * 1024 * 1024
"""Bytes of one answer, at most, as they arrive and as they decode: nine inline pictures fit."""

MAX_WORDS = 1_000_000
"""Characters of a string that may be words; a longer one is a picture, and would take long to search for secrets in
all of their spellings."""
LEAST_SECRET = 8
"""Characters of a secret that is blotted out: a shorter one stands in many words by chance."""

_UNCALLABLE = "the gateway named an address that can't be called"
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Wire:
    """The connections of one lane. ``headers`` authorise calls to ``origins``, its gateway's own addresses; no answer
    shows ``secrets``; ``reach`` is what may be called.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        origins: Iterable[str] = (),
        secrets: Iterable[str] = (),
        reach: Reach = PUBLIC,
    ) -> None:
        self._headers = dict(headers or {})
        self._origins = {_origin(url) for url in origins}
        self._plain = [secret for secret in secrets if len(secret) >= LEAST_SECRET]
        self._secrets = [_spellings(secret) for secret in self._plain]
        self._reach = reach
        self._idle: list[httpx.AsyncClient] = []
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    async def send(self, call: Call, departure: Departure | None = None) -> Answer:
        """One exchange, start to end, within its deadline. ``departure`` is told whether it may have left.

        Raises:
            TryLater: when it was certainly not sent.
            LostAnswer: when it may have arrived and no whole answer came.
            LaneStopped: when the address itself is wrong, or the way there.
        """
        departure = departure or Departure()
        idle: httpx.AsyncClient | None = None
        whole = False
        try:
            idle = self._idle.pop() if self._idle else await self._stack.enter_async_context(client(self._reach))
            with anyio.fail_after(call.seconds):
                answer = await self._exchange(idle, call, departure)
            whole = True
        except RequestError:
            raise
        except Exception as error:
            whole = isinstance(error, Forbidden)
            raise self._verdict(call, error, departure) from None
        finally:
            if whole and idle is not None:
                self._idle.append(idle)
        return answer

    def _verdict(self, call: Call, error: Exception, departure: Departure) -> RequestError:
        """What it means that an exchange ended in an error. Whatever happens before the first byte leaves is not sent;
        whatever happens later, and is not known, may have been accepted.
        """
        if isinstance(error, UnusableProxy):
            return LaneStopped(str(error))
        if isinstance(error, httpx.UnsupportedProtocol):
            return LaneStopped("the gateway's address is wrong: check base_url")
        if isinstance(error, Forbidden):
            if _origin(call.url) in self._origins:
                return LaneStopped(f"its address (base_url) is refused: {error}; --allow-private permits it")
            return _uncallable(call)(f"{_UNCALLABLE}: {error}")
        # The header is checked after the step of sending it has begun.
        if _may_have_left(error, departure) and not isinstance(error, httpx.LocalProtocolError):
            return LostAnswer(_lost(call, error))
        if isinstance(error, httpx.InvalidURL | httpx.LocalProtocolError | ValueError):
            if call.paid:  # which is called where the manifest says
                return LaneStopped("the call can't be made: check base_url and the provider's options")
            return _uncallable(call)(_UNCALLABLE)
        cause = cause_of(error)
        return (LaneStopped if cause.final else TryLater)(f"can't reach the gateway ({type(error).__name__}{cause})")

    async def _exchange(self, idle: httpx.AsyncClient, call: Call, departure: Departure) -> Answer:
        headers = {**call.headers, **(self._headers if _origin(call.url) in self._origins else {})}
        content = call.data
        if call.json is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.json, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        told_of: dict[str, object] = {"trace": departure}
        async with idle.stream(call.method, call.url, content=content, headers=headers, extensions=told_of) as response:
            if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
                departure.left = False  # a proxy before an http:// address: it passed nothing on
                raise LaneStopped(f"can't reach the gateway: {proxy_refusal(response.status_code).words}")
            came = await body(response, MAX_ANSWER)
            heads = {name.lower(): value for name, value in response.headers.items()}
        try:
            told = self._blotted(_json(came.data))
        except RecursionError:
            told = None
        if came.cut and not isinstance(told, dict | list):  # whole JSON is whole, whatever was announced
            raise LostAnswer(f"no whole answer: {came.cut}")
        heads = {name: self._blot(value) for name, value in heads.items()}
        return Answer(response.status_code, heads, told, self._kept(came.data) if call.paid and told is None else "")

    def _kept(self, data: bytes) -> str:
        """A body that is no JSON, without the secrets: as text, or else as a ``data:`` address."""
        with contextlib.suppress(UnicodeDecodeError):
            return self._blot(data.decode())
        raw = self._blot(data.decode("latin-1")).encode("latin-1")
        return f"data:;base64,{base64.b64encode(raw).decode()}"

    def _blot(self, text: str) -> str:
        if len(text) > MAX_WORDS:
            for plain in self._plain:
                text = text.replace(plain, "***")
            return text
        for secret in self._secrets:
            text = secret.sub("***", text)
        return text

    def _blotted(self, value: Json) -> Json:
        """A decoded answer without the secrets, however they were written in it."""
        if isinstance(value, str):
            return self._blot(value)
        if isinstance(value, list):
            return [self._blotted(entry) for entry in value]
        if isinstance(value, dict):
            return {self._blot(name): self._blotted(entry) for name, entry in value.items()}
        return value


def _may_have_left(error: Exception, departure: Departure) -> bool:
    if departure.left is not None:
        return departure.left
    # Nothing tells: what comes from the network may have been there.
    return isinstance(error, httpx.HTTPError | Oversized | TimeoutError) and not isinstance(error, _NOT_SENT)


def _lost(call: Call, error: Exception) -> str:
    """Why no answer came to what may have left."""
    if isinstance(error, Oversized):
        return f"the answer is larger than {MAX_ANSWER // 2**20} MiB"
    if isinstance(error, TimeoutError):
        return f"no whole answer within {call.seconds:g} s"
    return f"the connection broke ({type(error).__name__})"


def _uncallable(call: Call) -> type[RequestError]:
    """What it means that a call can't be made at all: a place to upload to won't be better the next time."""
    if call.paid:
        return Refused
    return LostAnswer if call.data is None else LaneStopped


def _origin(url: str) -> tuple[str, str, int | None]:
    """Of an address as it is spelt, not as a resolver would take it (:func:`pipeline.addresses.origin`): two libraries
    may take one host for different ones, and a key must go to no look-alike.
    """
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


def _json(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value
