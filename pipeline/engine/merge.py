"""Calls that travel together: those of several requests, asked at about the same time, as one exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from pipeline.errors import RequestError, TryLater
from pipeline.types import Answer, Call, Json

MOMENT = 0.05
"""Seconds that the first call waits for others."""
MOST = 50
"""Calls in one exchange."""


class _Group:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.parts: list[Json] = []
        self.done = anyio.Event()
        self.answer: Answer | None = None
        self.error: RequestError | None = None
        self.left = False  # by its leader, before it was answered


class Merge:
    """Joins calls to one address whose JSON is a list; each caller gets the whole answer."""

    def __init__(self, send: Callable[[Call], Awaitable[Answer]]) -> None:
        self._send = send
        self._open: dict[str, _Group] = {}

    async def send(self, call: Call) -> Answer:
        """Send a call, alone or with others."""
        group = self._open.get(call.url)
        first = group is None
        if group is None:
            group = self._open[call.url] = _Group(call)
        group.parts += call.json if isinstance(call.json, list) else [call.json]
        if len(group.parts) >= MOST:
            self._close(group)
        if first:
            await self._lead(group)
        await group.done.wait()
        if group.left and not first:
            return await self.send(call)
        if group.answer is None:
            raise type(group.error or TryLater())(str(group.error))
        return group.answer

    async def _lead(self, group: _Group) -> None:
        """Wait a moment for others, then send; if the leader has to leave, the others ask again without it."""
        group.left = True
        try:
            await anyio.sleep(MOMENT)
            self._close(group)
            group.answer = await self._send(replace(group.call, json=group.parts, merged=False))
            group.left = False
        except RequestError as error:
            group.error, group.left = error, False
        finally:
            self._close(group)
            group.done.set()

    def _close(self, group: _Group) -> None:
        if self._open.get(group.call.url) is group:
            del self._open[group.call.url]
