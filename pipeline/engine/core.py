"""The durable process: lanes of workers that carry out orders, hand them on, and stop cleanly."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

import anyio
from anyio.abc import TaskGroup

from pipeline.addresses import PUBLIC, Reach
from pipeline.budget import Budget
from pipeline.engine.drive import BudgetReached, Drive, StillOpen
from pipeline.engine.finish import Finish
from pipeline.engine.hints import Hints
from pipeline.engine.journal import Journal
from pipeline.engine.lane import MINUTE, Lane, LaneDown, backoff
from pipeline.engine.orders import Event, Order, Outcome
from pipeline.engine.session import Session
from pipeline.engine.wire import Wire
from pipeline.errors import (
    LaneStopped,
    LostAnswer,
    Refused,
    RequestError,
    StorageError,
    TryLater,
    first_error,
)
from pipeline.gateways import DIALECTS
from pipeline.types import Provider, RemoteImage

ATTEMPTS = 6
"""Requests made for the same pictures in one run when they end without having cost anything."""
FINISHING = 24
"""Orders whose pictures are fetched and written while their lanes go on; inline pictures wait in memory."""
LEAVE_SECONDS = 8.0
"""After an interrupt: what is in the middle of a paid call, or of writing a picture, has this long to end."""


class Engine:
    """Carries out orders over the lanes of their providers.

    ``keys``: provider name → its key. ``budget``: what may be spent. ``hints``: what webhooks tell;
    ``reach``: what may be called.
    """

    def __init__(  # its collaborators
        self,
        providers: Sequence[Provider],
        journal: Journal,
        executor: Executor,
        *,
        budget: Budget | None = None,
        keys: dict[str, str] | None = None,
        events: Callable[[Event], None] = lambda _: None,
        hints: Hints | None = None,
        reach: Reach = PUBLIC,
    ) -> None:
        sent = journal.ledger.sent_since(time.time() - MINUTE)
        self.lanes = {
            p.name: Lane[Order](
                p, _wire(p, (keys or {}).get(p.name, ""), reach), sent.get(p.name, ()), _teller(p, events)
            )
            for p in providers
        }
        for lane in self.lanes.values():
            lane.opened = partial(self._hand_on, lane)
        self.session = Session(journal, executor, budget or Budget(), events, hints or Hints())
        self._room = anyio.Semaphore(FINISHING)
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
        self.session.hints.attach()
        for order in orders:
            if not self._enqueue(order):
                self.session.pending(order, "no provider of this run can continue it")
        try:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(self._leave)
                async with anyio.create_task_group() as workers:
                    for lane in self.lanes.values():
                        for _ in range(lane.provider.concurrency):
                            workers.start_soon(self._work, lane, workers)
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

    async def cancel(self, orders: Sequence[Order]) -> list[tuple[Order, str]]:
        """Ask the gateways to stop accepted orders: for each what was said, or why it could not be asked."""
        told: list[tuple[Order, str]] = []
        for order in orders:
            lane = next((self.lanes[name] for name in order.providers if name in self.lanes), None)
            if lane is None:
                told.append((order, "its provider is not in this manifest"))
                continue
            drive = Drive(self.session, lane, order)
            try:
                told.append((order, await lane.carry_out(drive.dialect.cancel(drive.job, order.receipts[0]))))
            except RequestError as error:
                told.append((order, str(error)))
        for lane in self.lanes.values():
            await lane.wire.close()
        return told

    def stop(self) -> None:
        """No new submits from now on. Polls and waits end too; paid calls and writes get a few seconds."""
        self.session.outcome.stopped = "interrupted"
        self._stop.set()
        self._wake()
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
        """Queue an order at the first of its providers that works; should all be down, at the first of those."""
        able = [self.lanes[name] for name in order.providers if name in self.lanes and not self.lanes[name].stopped]
        if not able:
            return False
        lane = next((lane for lane in able if not lane.down), able[0])
        able[0].lent += lane is not able[0]
        lane.queue.append(order)
        self._wake()
        return True

    def _hand_on(self, lane: Lane[Order]) -> None:
        """A lane is down: what it has not begun goes to others of the pool that work, until it is back."""
        waiting, lane.queue = lane.queue, deque()
        for order in waiting:
            if order.state != "new" or not self._enqueue(order):
                lane.queue.append(order)

    def _take(self, lane: Lane[Order]) -> Order | None:
        """The lane's next order; one that another took over while it was down comes back."""
        if not lane.queue and lane.lent and not lane.stopped:
            for other in self.lanes.values():
                order = next((o for o in other.queue if o.providers[0] == lane.provider.name), None)
                if order is not None and other is not lane:
                    other.queue.remove(order)
                    lane.queue.append(order)
                    break
            else:
                lane.lent = 0
        return lane.queue.popleft() if lane.queue else None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _next(self, lane: Lane[Order]) -> Order | None:
        """The lane's next order; None when nothing more can come."""
        while not self._stop.is_set():
            if (lane.queue or lane.lent) and not lane.stopped and (wait := lane.pause()) > 0:
                with anyio.move_on_after(wait):
                    await self._changed.wait()
                continue
            if (order := self._take(lane)) is not None:
                return order
            if lane.stopped is not None:
                return None
            if not self._busy and not any(other.queue for other in self.lanes.values()):
                return None
            await self._changed.wait()
        return None

    async def _work(self, lane: Lane[Order], group: TaskGroup) -> None:
        """One worker: it takes an order to its images, and leaves the rest to a task of its own."""
        while (order := await self._next(lane)) is not None:
            self._busy += 1
            lane.begin()
            try:
                ready: tuple[Drive, list[RemoteImage]] | None = None
                with self._leavable() as scope:
                    ready = await self._carry_out(order, lane)
                if scope.cancelled_caught:
                    self.session.pending(order, "")
                if ready is not None:
                    await self._room.acquire()
                    group.start_soon(self._finish, *ready)
            finally:
                self._busy -= 1
                lane.end()
                self._wake()
        self._wake()

    @contextlib.contextmanager
    def _leavable(self) -> Iterator[anyio.CancelScope]:
        """What an interrupt ends: what is left of its order then waits for another run."""
        with anyio.CancelScope() as scope:
            self._cancel.append(scope)
            try:
                yield scope
            finally:
                self._cancel.remove(scope)

    # ── one order ───────────────────────────────────────────────────────────────────────────────

    async def _carry_out(self, order: Order, lane: Lane[Order]) -> tuple[Drive, list[RemoteImage]] | None:
        """One order to its images; None when it has ended otherwise, and that is told and recorded."""
        reason = ""
        for wait in backoff(ATTEMPTS):
            drive = Drive(self.session, lane, order)
            try:
                with anyio.fail_after(lane.provider.deadline):
                    return drive, await drive.images()
            except (RequestError, TimeoutError) as error:
                if not isinstance(error, TryLater):
                    await self._ended(drive, error)
                    return None
                reason = str(error)
            if not order.wanted:
                return None
            if drive.order.state == "accepted":
                # It only continued what an earlier run had asked for: whether it is wanted still, and at which
                # price, is for the next plan to say.
                break
            order = order.anew()
            await anyio.sleep(wait)
        await self.session.failed(order, reason, permanent=False)
        return None

    async def _finish(self, drive: Drive, images: list[RemoteImage]) -> None:
        """An order's images to files and records; its lane is on to the next."""
        try:
            with self._leavable() as scope:
                try:
                    with anyio.fail_after(drive.provider.deadline):
                        await Finish(drive).run(images)
                except (RequestError, TimeoutError) as error:
                    await self._ended(drive, error)
            if scope.cancelled_caught:
                self.session.pending(drive.rest, "")
        finally:
            self._room.release()

    async def _ended(self, drive: Drive, error: RequestError | TimeoutError) -> None:
        """What an order that made no pictures means for it, for its lane, and for the run."""
        order, lane, reason = drive.rest, drive.lane, str(error)
        match error:
            case BudgetReached():
                self.session.pending(order, "")
                self.session.outcome.reached.add(reason)
                self.session.outcome.stopped = self.session.outcome.stopped or "budget"
            case LaneDown():
                if drive.open or not self._enqueue(order.anew()):
                    self.session.pending(order, reason)
            case LaneStopped():
                if drive.open:
                    self.session.pending(order, reason)
                self._stop_lane(lane, [] if drive.open else [order.anew()], reason)
            case LostAnswer():
                await self.session.uncertain(order, reason, *drive.keeping())
                if why := lane.hopeless():
                    self._stop_lane(lane, [], why)
            case Refused():
                await self.session.failed(order, reason, permanent=True)
            case TryLater():
                await self.session.failed(order, reason, permanent=False)
            case TimeoutError():
                self.session.pending(order, f"not finished within {drive.provider.deadline:g} s")
            case StillOpen():
                self.session.pending(order, reason)

    def _stop_lane(self, lane: Lane[Order], unsubmitted: list[Order], reason: str) -> None:
        """The account can't be used: hand what it has not submitted to other providers of the pool."""
        if lane.stopped is None:
            lane.stopped = reason
            self.session.outcome.lanes[lane.provider.name] = reason
            self.session.events(Event("lane", lane.provider.name, reason, pictures=0))
        waiting_here = list(lane.queue)
        lane.queue.clear()
        # What is paid already stays, and is asked for all the same.
        lane.queue.extend(order for order in waiting_here if order.state == "accepted")
        for waiting in (*unsubmitted, *(order for order in waiting_here if order.state != "accepted")):
            if waiting.state != "new" or not self._enqueue(waiting):
                self.session.pending(waiting, reason)


def _teller(provider: Provider, events: Callable[[Event], None]) -> Callable[[str], None]:
    return lambda text: events(Event("slow", provider.name, text, pictures=0))


def _wire(provider: Provider, key: str, reach: Reach) -> Wire:
    """A lane's connections: the key goes to the gateway, or to what stands for it, and nowhere else."""
    dialect = DIALECTS[provider.offer.gateway]
    headers = dialect.headers(key, provider.options) if key else {}
    return Wire(headers, (provider.base_url,) if provider.base_url else dialect.origins, (key,), reach)
