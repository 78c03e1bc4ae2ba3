"""Deliveries as hints: what a gateway tells by webhook ends the wait before a poll, and does nothing else.

So a forged delivery could at most cause one early poll; it is verified all the same, before it is told here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import anyio

from pipeline.types import Provider


class Hints:
    """Who waits for a poll. ``at`` gives the address and the secret that a provider's requests tell the gateway."""

    def __init__(self, at: Callable[[Provider, str], dict[str, str]] = lambda _provider, _request: {}) -> None:
        self.address = at
        self._waiting: dict[str, anyio.Event] = {}
        self._early: set[str] = set()  # told of while nobody waited: the gateway was faster than our next wait
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self) -> None:
        """Wake in the event loop that runs this, whichever thread is told."""
        self._loop = asyncio.get_running_loop()

    async def wait(self, request: str, seconds: float) -> None:
        """Wait before a poll: so many seconds, or until a delivery says that it is worth asking."""
        event = self._waiting[request] = anyio.Event()
        if request in self._early:
            self._early.remove(request)
            event.set()
        try:
            with anyio.move_on_after(seconds):
                await event.wait()
        finally:
            if self._waiting.get(request) is event:
                del self._waiting[request]

    def tell(self, request: str) -> None:
        """A delivery for a request has come; any thread may say so, once a run is attached."""
        if self._loop is None:
            self._wake(request)
            return
        with contextlib.suppress(RuntimeError):  # the run is over, and its loop closed
            self._loop.call_soon_threadsafe(self._wake, request)

    def _wake(self, request: str) -> None:
        waiting = self._waiting.pop(request, None)
        if waiting is None:
            self._early.add(request)
        else:
            waiting.set()
