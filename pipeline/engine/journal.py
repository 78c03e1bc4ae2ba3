"""Group commit: many tasks write to the ledger, one transaction at a time, and each knows when it is durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import anyio
import anyio.to_thread

from pipeline.errors import LedgerError
from pipeline.ledger import Ledger

Write: TypeAlias = Callable[[Ledger], None]


class Journal:
    """The one writer of a run. When the ledger can't be written, every waiting and later write fails:
    nothing is submitted that could not be recorded.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._waiting: list[tuple[tuple[Write, ...], anyio.Event]] = []
        self._broken: LedgerError | None = None
        self._lock = anyio.Lock()

    async def write(self, *steps: Write) -> None:
        """Carry out the steps together; returns when they are durable.

        Raises:
            LedgerError: when they could not be written.
        """
        durable = anyio.Event()
        self._waiting.append((steps, durable))
        with anyio.CancelScope(shield=True):
            async with self._lock:
                if not durable.is_set():
                    await self._commit()
        self.check()

    def check(self) -> None:
        """Whether all could be written so far; asked once more before each paid call leaves.

        Raises:
            LedgerError: when it could not.
        """
        if self._broken is not None:
            raise self._broken

    async def remotes(self, provider: str) -> frozenset[str]:
        """The gateway's ids of all requests of a provider that the ledger knows."""
        async with self._lock:
            return self.ledger.remotes(provider)

    def _written(self, steps: list[Write]) -> None:
        """In a thread: that it can't be written is known at once, not when the event loop comes to it."""
        try:
            self.ledger.commit(steps)
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: Exception) -> None:
        """What isn't written isn't durable, whatever the reason."""
        if not isinstance(error, LedgerError):
            error = LedgerError(f"{self.ledger.folder}: the ledger can't be written: {error}")
        self._broken = self._broken or error

    async def _commit(self) -> None:
        """Everything that waits, in one transaction."""
        group, self._waiting = self._waiting, []
        if self._broken is None:
            try:
                await anyio.to_thread.run_sync(self._written, [step for part, _ in group for step in part])
            except Exception as error:  # also that no thread was to be had
                self._fail(error)
        for _, durable in group:
            durable.set()
