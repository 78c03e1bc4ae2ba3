"""The only module that talks HTTP to a gateway: one call in, one answer or one verdict out.

Clients carry keys, so they never follow redirects, and a key goes to its gateway's own addresses only; should an answer
repeat it, it is blotted out before anyone reads it. httpx's pool slows down with its number of connections (it scans
all of them at every request), so a lane has a few clients of one connection each instead of one large pool.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import cache
from urllib.parse import quote, urlsplit

import anyio
import httpx

from pipeline.errors import LaneStopped, LostAnswer, Refused, TryLater
from pipeline.types import Answer, Call, Json

MAX_ANSWER = 96 * 1024 * 1024
"""Bytes of one answer, at most: nine inline pictures fit."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


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
        self._secrets = [spelling for secret in secrets if secret for spelling in _spellings(secret)]
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
            raise Refused("the gateway named an address that can't be called") from None
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
            async for chunk in response.aiter_raw():  # undecoded: a few kB of gzip can be gigabytes
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise LostAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
                chunks.append(chunk)
            data = b"".join(chunks)
            heads = {name.lower(): value for name, value in response.headers.items()}
        for secret in self._secrets:
            data = data.replace(secret, b"***")
            heads = {name: value.replace(secret.decode(), "***") for name, value in heads.items()}
        return Answer(response.status_code, heads, _json(data))


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _spellings(secret: str) -> list[bytes]:
    """A secret as it may stand in a text: plain, percent-encoded, in base64 (at each of the three offsets)."""
    raw = secret.encode()
    found = [raw, quote(secret, safe="").encode()]
    for lead in range(3):
        # Whole groups only: those that no neighbouring byte changes.
        start = -lead % 3
        middle = raw[start : start + (len(raw) - start) // 3 * 3]
        if len(middle) >= 9:
            found += [base64.b64encode(middle), base64.urlsafe_b64encode(middle)]
    return sorted(set(found), key=len, reverse=True)


def _json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value
