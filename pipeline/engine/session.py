"""What all orders of one run share: the journal, the executor, the budget, and how the run is going."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import anyio

from pipeline.budget import Budget
from pipeline.engine.carry import Carrier
from pipeline.engine.hints import Hints
from pipeline.engine.journal import Journal, Write
from pipeline.engine.orders import Event, Order, Outcome
from pipeline.errors import DownloadError, KeepError, StorageError
from pipeline.ledger import Ledger

STUMBLES = 3
"""Orders in a row whose pictures this machine can't keep, after which nothing more is asked for."""
FETCHING = 32
"""Pictures on their way from the first byte to the last file; the bytes of each wait in memory."""


class Session:
    """The shared state of a run, and how an order's end is told and recorded."""

    def __init__(
        self, journal: Journal, executor: Executor, budget: Budget, events: Callable[[Event], None], hints: Hints
    ) -> None:
        self.journal = journal
        self.carrier = Carrier(journal, journal.ledger.uploads(time.time()))
        self.hints = hints
        self.claims = anyio.Lock()
        self.calling: Counter[str] = Counter()  # spec → paid calls under way
        self.claimed: set[str] = set()  # ids at the gateway that this run found for lost answers
        self.executor = executor
        self.fetching = anyio.Semaphore(FETCHING)
        self.budget = budget
        self.events = events
        self.outcome = Outcome()
        self.halted: StorageError | None = None  # why nothing more may be submitted
        self.stumbles = 0  # orders in a row whose pictures this machine could not keep
        self._shields: list[anyio.CancelScope] = []

    @contextlib.contextmanager
    def shield(self) -> Iterator[anyio.CancelScope]:
        """What should end even when the user wants to leave: a paid call with its receipt, a picture's files."""
        with anyio.CancelScope(shield=True) as scope:
            self._shields.append(scope)
            try:
                yield scope
            finally:
                self._shields.remove(scope)

    def drop_shields(self) -> None:
        """Time is up: leave even what is shielded."""
        for scope in self._shields:
            scope.cancel()

    def halt(self, error: StorageError) -> StorageError:
        """Nothing more may be submitted: what comes of it could not be kept."""
        self.halted = self.halted or error
        return error

    def stumble(self, error: KeepError | DownloadError) -> None:
        """This machine could not fetch or keep a paid picture. One may be special; several in a row are not.

        Raises:
            StorageError: when nothing more should be asked for.
        """
        self.stumbles += 1
        if self.stumbles >= STUMBLES:
            raise self.halt(StorageError(f"{error}; what is paid stays open, and the next run fetches it again, free"))

    async def failed(self, order: Order, reason: str, *, permanent: bool, usd: int = 0) -> None:
        """The order's pictures are not made; ``permanent``: and asking again by itself is useless; ``usd``: what they
        cost all the same, in micro-dollars.

        A retake that is refused leaves the take before it as it is: the wish is dropped.
        """
        await self.journal.write(failure(order, reason, permanent=permanent))
        self.outcome.failed += len(order.pictures)
        self.outcome.usd += usd
        self.events(Event("failed", order.label, reason, usd, len(order.pictures)))

    async def uncertain(self, order: Order, reason: str, *also: Write) -> None:
        """The paid call's answer is lost, or can't be read: shown and priced, never silently paid again."""
        await self.journal.write(lambda ledger: ledger.settle(order.id, "uncertain", error=reason), *also)
        self.outcome.uncertain += len(order.pictures)
        self.events(Event("uncertain", order.label, reason, pictures=len(order.pictures)))

    def pending(self, order: Order, reason: str) -> None:
        """The order's pictures wait for another run."""
        self.outcome.pending += len(order.pictures)
        if reason and order.pictures:
            self.events(Event("pending", order.label, reason, pictures=len(order.pictures)))


def failure(order: Order, reason: str, *, permanent: bool) -> Callable[[Ledger], None]:
    """What the ledger is told of pictures that are not made; in one commit with the end of their request, as what was
    refused must not be asked for again after a crash in between.
    """

    def write(ledger: Ledger) -> None:
        for picture in order.pictures:
            if permanent and order.take > 1:
                ledger.drop_wish(picture.key)
            else:
                ledger.add_failure(picture.key, reason, permanent=permanent)

    return write
