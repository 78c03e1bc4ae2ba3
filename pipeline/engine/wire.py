"""The only module that talks HTTP to a gateway: one call in, one answer or one verdict out.

Clients carry keys, so they never follow redirects. httpx's pool slows down with its number of connections (it
scans all of them at every request), so a lane has a few clients of one connection each instead of one large pool.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cache

import anyio
import httpx

from pipeline.errors import LaneStopped, LostAnswer, Refused, TryLater
from pipeline.types import Answer, Call, Json

MAX_ANSWER = 96 * 1024 * 1024
"""Bytes of one answer, at most: nine inline pictures fit."""
EXCHANGE_SECONDS = 60.0

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@cache
def _ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class Wire:
    """The connections of one lane."""

    def __init__(self, headers: Mapping[str, str], seconds: float = EXCHANGE_SECONDS) -> None:
        self._headers = dict(headers)
        self._seconds = seconds
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
            with anyio.fail_after(self._seconds):
                answer = await _exchange(client, call)
            whole = True
        except _NOT_SENT as error:
            raise TryLater(f"can't reach the gateway ({type(error).__name__})") from None
        except httpx.UnsupportedProtocol:
            raise LaneStopped("the gateway's address is wrong: check base_url") from None
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError):
            raise Refused("the gateway named an address that can't be called") from None
        except TimeoutError:
            raise LostAnswer(f"no whole answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            raise LostAnswer(f"the connection broke ({type(error).__name__})") from None
        finally:
            if whole:
                self._idle.append(client)
        return answer

    async def _client(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **self._headers},
            follow_redirects=False,
            timeout=httpx.Timeout(self._seconds, connect=10.0),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            verify=_ssl_context(),
        )
        return await self._stack.enter_async_context(client)


async def _exchange(client: httpx.AsyncClient, call: Call) -> Answer:
    async with client.stream(call.method, call.url, json=call.json if call.json is not None else None) as response:
        chunks, size = [], 0
        async for chunk in response.aiter_raw():  # undecoded: a few kB of gzip can be gigabytes
            size += len(chunk)
            if size > MAX_ANSWER:
                raise LostAnswer(f"the answer is larger than {MAX_ANSWER // 2**20} MiB")
            chunks.append(chunk)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, _json(b"".join(chunks)))


def _json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value
