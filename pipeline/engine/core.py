"""The durable process: lanes of workers that carry out orders, hand them on, and stop cleanly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import anyio

from pipeline.engine.drive import BudgetReached, Drive, StillOpen
from pipeline.engine.journal import Journal
from pipeline.engine.lane import Lane, backoff
from pipeline.engine.orders import Event, Order, Outcome, Stop
from pipeline.engine.session import Budget, Session
from pipeline.engine.wire import Wire
from pipeline.errors import LaneStopped, LostAnswer, Refused, StorageError, TryLater, first_error
from pipeline.types import Provider

ATTEMPTS = 3
"""Requests made for the same pictures in one run when they end without having cost anything."""
ORDER_SECONDS = 1800.0
"""The deadline of one order, from its first call to its last file."""
LEAVE_SECONDS = 8.0
"""After an interrupt: what is in the middle of a paid call, or of writing a picture, has this long to end."""


class Engine:
    """Carries out orders over the lanes of their providers.

    ``headers``: provider name → the headers that authorise it. ``budget``: what may be spent.
    """

    def __init__(  # its collaborators
        self,
        providers: Sequence[Provider],
        journal: Journal,
        executor: Executor,
        *,
        budget: Budget | None = None,
        headers: dict[str, dict[str, str]] | None = None,
        events: Callable[[Event], None] = lambda _: None,
    ) -> None:
        keys = headers or {}
        self.lanes = {p.name: Lane[Order](p, Wire(keys.get(p.name, {}))) for p in providers}
        self.session = Session(journal, executor, budget or Budget(None, None), events)
        self._stop = anyio.Event()
        self._leaving = anyio.Event()
        self._changed = anyio.Event()
        self._busy = 0
        self._cancel: list[anyio.CancelScope] = []  # may be left at once: polls and waits

    async def run(self, orders: Sequence[Order]) -> Outcome:
        """Carry out the orders.

        Raises:
            StorageError: when the ledger or a picture can't be written; nothing is submitted after that.
        """
        for order in orders:
            if not self._enqueue(order):
                self.session.pending(order, "no provider of this run can continue it")
        try:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(self._leave)
                async with anyio.create_task_group() as workers:
                    for lane in self.lanes.values():
                        for _ in range(lane.provider.concurrency):
                            workers.start_soon(self._work, lane)
                leaving.cancel_scope.cancel()
        except* StorageError as errors:
            raise first_error(errors) from None
        finally:
            with anyio.CancelScope(shield=True):
                for lane in self.lanes.values():
                    await lane.wire.close()
        for lane in self.lanes.values():
            for order in lane.queue:
                self.session.pending(order, "")
        return self.session.outcome

    def stop(self, why: Stop) -> None:
        """No new submits from now on. Interrupted, polls and waits end too; paid calls and writes get a few seconds."""
        if self._stop.is_set() and why == "budget":
            return
        self.session.outcome.stopped = why
        self._stop.set()
        self._wake()
        if why == "interrupted":
            self._leaving.set()
            for scope in self._cancel:
                scope.cancel()

    async def _leave(self) -> None:
        """After an interrupt, end even what is shielded, when its time is up."""
        await self._leaving.wait()
        await anyio.sleep(LEAVE_SECONDS)
        self.session.drop_shields()

    # ── lanes and workers ───────────────────────────────────────────────────────────────────────

    def _enqueue(self, order: Order) -> bool:
        """Queue an order at the first of its providers that isn't stopped."""
        for name in order.providers:
            lane = self.lanes.get(name)
            if lane is not None and lane.stopped is None:
                lane.queue.append(order)
                self._wake()
                return True
        return False

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _next(self, lane: Lane[Order]) -> Order | None:
        """The lane's next order; None when nothing more can come."""
        while not self._stop.is_set() and lane.stopped is None:
            if lane.queue:
                return lane.queue.popleft()
            if not self._busy and not any(other.queue for other in self.lanes.values()):
                return None
            await self._changed.wait()
        return None

    async def _work(self, lane: Lane[Order]) -> None:
        while (order := await self._next(lane)) is not None:
            self._busy += 1
            try:
                with anyio.CancelScope() as scope:
                    self._cancel.append(scope)
                    await self._carry_out(order, lane)
                if scope.cancelled_caught:
                    self.session.pending(order, "")
            finally:
                self._cancel.remove(scope)
                self._busy -= 1
                self._wake()
        self._wake()

    # ── one order ───────────────────────────────────────────────────────────────────────────────

    async def _carry_out(self, order: Order, lane: Lane[Order]) -> None:
        """One order to its end, whatever that is."""
        reason = ""
        for wait in backoff(ATTEMPTS):
            drive = Drive(self.session, lane, order)
            try:
                with anyio.fail_after(ORDER_SECONDS):
                    return await drive.run()
            except BudgetReached:
                self.session.pending(order, "")
                return self.stop("budget")
            except LaneStopped as error:
                if drive.open:
                    self.session.pending(order, str(error))
                return self._stop_lane(lane, [] if drive.open else [order.anew()], str(error))
            except LostAnswer as error:
                return await self.session.uncertain(order, str(error))
            except Refused as error:
                return await self.session.failed(order, str(error), permanent=True)
            except TimeoutError:
                return self.session.pending(order, f"not finished within {ORDER_SECONDS:g} s")
            except StillOpen as error:
                return self.session.pending(order, str(error))
            except TryLater as error:
                reason = str(error)
            if order.state != "new":
                # It only continued what an earlier run had asked for: whether it is wanted still, and at which
                # price, is for the next plan to say.
                break
            order = order.anew()
            await anyio.sleep(wait)
        return await self.session.failed(order, reason, permanent=False)

    def _stop_lane(self, lane: Lane[Order], unsubmitted: list[Order], reason: str) -> None:
        """The account can't be used: hand what it has not submitted to other providers of the pool."""
        if lane.stopped is None:
            lane.stopped = reason
            self.session.outcome.lanes[lane.provider.name] = reason
            self.session.events(Event("lane", lane.provider.name, reason, pictures=0))
        moved = [*unsubmitted, *lane.queue]
        lane.queue.clear()
        for waiting in moved:
            if waiting.state != "new" or not self._enqueue(waiting):
                self.session.pending(waiting, reason)
