"""Deliveries as hints: what a gateway tells by webhook ends the wait before a poll, and does nothing else.

So a forged delivery could at most cause one early poll; it is verified all the same, and each request has one hint.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from pipeline.types import Provider


class Hints:
    """Who waits for a poll. ``at`` gives the address and the secret that a provider's requests tell the gateway."""

    def __init__(self, at: Callable[[Provider, str], dict[str, str]] = lambda _provider, _request: {}) -> None:
        self.address = at
        self._waiting: dict[str, anyio.Event] = {}

    async def wait(self, request: str, seconds: float) -> None:
        """Wait before a poll: so many seconds, or until a delivery says that it is worth asking."""
        event = self._waiting[request] = anyio.Event()
        try:
            with anyio.move_on_after(seconds):
                await event.wait()
        finally:
            if self._waiting.get(request) is event:
                del self._waiting[request]

    def tell(self, request: str) -> None:
        """A delivery for a request has come."""
        waiting = self._waiting.pop(request, None)
        if waiting is not None:
            waiting.set()
