"""One order's way from intent over receipt to its images at the gateway.

Two rules keep the promise of never paying twice. The intent is committed before the paid call leaves, and its answer
is committed as a receipt before anything follows; so after any crash an order is in one of three states: not sent,
accepted (its flow is replayed from the receipt and goes straight to polling), or sent with the answer lost (settled
by the dialect's class). And whatever is done after the receipt is free to repeat.
"""

from __future__ import annotations

import time
from dataclasses import replace

import anyio

from pipeline.engine.carry import as_sent
from pipeline.engine.journal import Write
from pipeline.engine.lane import Lane, Unread, backoff, spread
from pipeline.engine.orders import Order
from pipeline.engine.session import Session, failure
from pipeline.errors import Forgotten, LaneStopped, LostAnswer, Refused, RequestError, TryLater
from pipeline.gateways import DIALECTS, Dialect
from pipeline.ledger import RequestRow
from pipeline.types import Answer, Call, Fate, Flow, Job, RemoteImage, Trace

RESENDS = 6
"""How often a paid call with our own id is sent again after a lost answer, before it is left for the next run."""
MOST_USD = 10**12
"""Micro-dollars that one request may be said to have cost."""
ARRIVES = 30.0
"""Seconds in which a call whose answer was lost may still arrive."""


class BudgetReached(RequestError):
    """The next submit would exceed the cap of this name."""


class StillOpen(RequestError):
    """Accepted, or perhaps accepted: the order keeps its state, and a later run continues it."""


def _advance(flow: Flow, answer: Answer | None) -> Call | list[RemoteImage]:
    """The flow's next call, or its images."""
    try:
        return next(flow) if answer is None else flow.send(answer)
    except StopIteration as done:
        images: list[RemoteImage] = done.value
        return images
    except RequestError:
        raise
    except Exception as error:  # whatever a dialect stumbles over, the request may be alive
        words = f"({type(error).__name__}: {error})"
        if answer is None:  # nothing was sent by this run
            raise StillOpen(f"the request can't be written {words}") from None
        raise LostAnswer(f"the answer makes no sense {words}") from None


class Drive:
    """One attempt at one order: its flow, its receipt, its money."""

    def __init__(self, session: Session, lane: Lane[Order], order: Order) -> None:
        self.session = session
        self.lane = lane
        self.order = order
        self.rest = order  # what of it is still to be told of
        self.provider = lane.provider
        self.dialect: Dialect = DIALECTS[self.provider.offer.gateway]
        self.job = Job(
            id=order.id,
            offer=self.provider.offer,
            base_url=self.provider.base_url or "",
            spec=order.spec,
            count=order.count,
            images=order.images,
            size=order.size,
            polling=lane.polling(self.dialect.polling),
            deadline=self.provider.deadline,
            options=self.provider.options,
            **session.hints.address(self.provider, order.id),
        )
        self.receipts = list(order.receipts)
        self.state = order.state
        self.hold = session.budget.known(order.reserved, order.product_set, order.sent)
        self.left_at = order.sent  # when the paid call last left, Unix seconds
        self.lost_at = order.sent  # when its answer was last lost
        self.on_wire = False  # whether a paid call is under way whose fate is unknown
        self.doubt = order.state == "intent"  # whether an earlier paid call of this id may have arrived
        self.unread: Answer | None = None  # the answer to the paid call, when it can't be read
        self.seen = False  # whether it gave its images once: then it is made, and paid
        self.calling = False  # whether its paid call is under way
        self.counted = False  # among the lane's jobs
        self.accepted = 0.0
        self.started = time.time()

    @property
    def open(self) -> bool:
        """Whether the request was accepted, or may have been: it must never be asked for anew."""
        return self.state == "accepted" or (self.state == "intent" and self.doubt)

    @property
    def price(self) -> int:
        """What the request costs as far as we know, in micro-dollars."""
        return self.provider.usd * self.order.count

    async def images(self) -> list[RemoteImage]:
        """Drive the flow to its images, paying at most once."""
        try:
            return await self.result()
        except StillOpen:
            if steps := self.keeping():
                await self.session.journal.write(*steps)
            raise

    async def result(self) -> list[RemoteImage]:
        """The images; an order that has none ends here, as its error says."""
        try:
            if self.state != "accepted" and self.order.wanted:
                await self.carry()
            images = await self.drive()
            self.seen = True
            self.hold = self.session.budget.correct(self.hold, sum(map(self.cost, images)))
            return images
        except LostAnswer as error:
            if isinstance(error, Forgotten) and not self.seen:
                raise
            if self.state == "accepted" or self.dialect.settles == "id":
                raise StillOpen(str(error)) from None
            raise
        except LaneStopped as error:
            if not self.open:
                await self.end("refused", str(error))
            raise
        except TryLater as error:
            if self.seen or (self.doubt and self.state == "intent"):
                raise StillOpen(str(error)) from None
            await self.end("failed" if self.state == "accepted" else "refused", str(error))
            raise
        except Refused as error:
            if self.seen:
                raise StillOpen(str(error)) from None
            if self.doubt and self.state == "intent":  # it may be alive all the same
                kind = StillOpen if self.dialect.settles == "id" else LostAnswer
                raise kind(f"an earlier answer was lost, and now: {error}") from None
            await self.session.carrier.forget(self.provider, self.order.spec.references)
            usd = error.usd if error.usd is not None and 0 <= error.usd < MOST_USD else None
            refusals = self.price if usd is None and self.state == "accepted" else 0
            told = failure(self.order, str(error), permanent=True)
            await self.end("failed", str(error), usd or refusals, told, refusals=refusals)
            self.session.outcome.usd += usd or 0
            self.session.outcome.refusals += refusals
            raise

    def cost(self, image: RemoteImage) -> int:
        """Micro-dollars: what the gateway tells, or else the provider's price."""
        return image.usd if isinstance(image.usd, int) and 0 <= image.usd < MOST_USD else self.provider.usd

    async def carry(self) -> None:
        """Bring the references to the gateway; those of an earlier run's call are sent as they were then."""
        if self.state == "new":
            self.afford(self.price)  # before anything is uploaded for nothing
        references = self.order.spec.references
        sent = self.job.images
        if len(sent) == len(references) and not any(image.startswith("sha256:") for image in sent):
            return
        carried = await self.session.carrier.images(self.lane, self.dialect, references)
        self.job = replace(self.job, images=carried)

    async def drive(self) -> list[RemoteImage]:
        """The flow from its first call to its images; what was paid is answered from the receipt."""
        flow = self.dialect.make(self.job)
        replayed = list(self.receipts)
        try:
            if self.state == "accepted":
                self.work(begins=True)
            step = _advance(flow, None)
            while not isinstance(step, list):
                if replayed and step.paid:
                    step = _advance(flow, replayed.pop(0))
                    continue
                if step.after:
                    await self.session.hints.wait(self.order.id, step.after)
                step = await self.pay(step, flow) if step.paid else _advance(flow, await self.ask(step))
            if self.counted and self.order.state == "new":
                self.lane.seconds.append(time.monotonic() - self.accepted)
            return step
        finally:
            flow.close()
            self.work(begins=False)

    def work(self, *, begins: bool) -> None:
        """Count it among the requests that the gateway is working on, or not any more."""
        self.lane.jobs += begins - self.counted
        self.counted = begins
        self.accepted = time.monotonic()

    async def ask(self, call: Call) -> Answer:
        """A call that costs nothing: when it can't be answered, the order stays as it is."""
        try:
            return await self.lane.exchange(call)
        except (TryLater, LostAnswer) as error:
            if self.state == "new":
                raise TryLater(str(error)) from None
            raise StillOpen(str(error)) from None

    # ── the paid call ───────────────────────────────────────────────────────────────────────────

    async def pay(self, call: Call, flow: Flow) -> Call | list[RemoteImage]:
        """The one call that costs money, and its receipt; returns the flow's next step."""
        session = self.session
        if self.doubt and self.dialect.settles == "none":
            raise LostAnswer("the run ended while the paid call was under way")
        if not self.order.wanted and self.order.state == "intent":
            return await self.settled(flow)
        await self.reserve()
        step: Call | list[RemoteImage] = []
        with session.shield() as scope:
            self.call_out(True)
            try:
                answer = await self.answered(call)
                # The dialect reads the answer first: what it refuses is no receipt.
                try:
                    following = _advance(flow, answer)
                except LostAnswer as error:
                    self.unread = answer
                    raise Unread(str(error), answer) from None
                except (LaneStopped, Refused, TryLater):
                    if self.doubt and self.dialect.settles == "id":
                        await self.settle_doubt()
                    raise
                await self.receive(answer)
                step = following
            finally:
                self.call_out(False)
        if scope.cancelled_caught:
            if not self.on_wire and not self.doubt:  # it waited for its turn: nothing was sent
                await self.end("refused", "left before it was sent")
            raise StillOpen("left while the paid call was under way")
        self.work(begins=True)
        return step

    async def settled(self, flow: Flow) -> Call | list[RemoteImage]:
        """An earlier run's call for what nobody wants any more: found and continued, or ended; never sent again."""
        if self.dialect.settles == "trace":
            answer = await self.traced("")
        else:
            fate = await self.doubtful_fate()
            if fate.kind != "accepted" or fate.answer is None:
                if self.doubt:
                    raise StillOpen("the gateway does not say what became of it")
                raise TryLater("it was not accepted")
            answer = fate.answer
        following = _advance(flow, answer)
        await self.receive(answer)
        return following

    def call_out(self, out: bool) -> None:
        """Count it among the paid calls of this spec that are under way."""
        self.session.calling[self.order.spec.key] += out - self.calling
        self.calling = out

    async def receive(self, answer: Answer) -> None:
        """Commit the receipt."""
        remote = self.dialect.remote_id(answer)
        await self.session.journal.write(lambda ledger: ledger.add_receipt(self.order.id, 0, answer, remote))
        self.state = "accepted"
        self.receipts = [answer]
        self.unread = None

    async def settle_doubt(self) -> None:
        """Sent again by its id, it was refused: whether it had been accepted the first time, the gateway may know."""
        fate = await self.doubtful_fate()
        if fate.kind == "accepted" and fate.answer is not None:
            await self.receive(fate.answer)
            raise StillOpen("it was accepted, though its answer was lost: a later run continues it")

    async def doubtful_fate(self) -> Fate:
        """What the gateway knows of our id; that it was not accepted ends the doubt."""
        fate = await self.fate(self.dialect.trace(self.job, self.order.sent or self.started, time.time(), frozenset()))
        # A call whose answer was lost may still be on its way: for a while "unknown" proves nothing.
        self.doubt = fate.kind != "not-accepted" or time.time() - self.lost_at < ARRIVES
        return fate

    async def reserve(self) -> None:
        """Take the money from the budget, and commit the intent."""
        order, session = self.order, self.session
        known = self.state == "intent"  # asked for by an earlier run, which may not have reached the gateway
        self.afford(self.hold.usd if known else self.price, known=known)
        if known:
            self.hold = session.budget.take_over(self.hold, order.product_set)
        else:
            self.hold = session.budget.reserve(self.price, order.product_set)
            await session.journal.write(
                lambda ledger: ledger.add_spec(order.spec),
                lambda ledger: ledger.add_request(self.row("intent")),
            )
            self.state = "intent"

    def afford(self, usd: int, *, known: bool = False) -> None:
        """Raise BudgetReached, with the cap's name, when so much more would exceed one."""
        if cap := self.session.budget.exceeded(usd, self.order.product_set, known=known):
            raise BudgetReached(cap)

    def wired(self, on_wire: bool) -> None:
        """Take note of whether the paid call is out; none leaves once the ledger or a picture could not be written,
        or the user wants to leave.
        """
        if on_wire:
            self.session.journal.check()
            if self.session.halted is not None:
                raise self.session.halted
            if self.session.outcome.stopped == "interrupted":
                raise TryLater("left before it was sent")
        self.on_wire = on_wire
        self.left_at = time.time() if on_wire else self.left_at

    async def answered(self, call: Call) -> Answer:
        """An answer to the paid call: sent again, or searched for, only as its dialect makes that safe."""
        if self.dialect.settles == "none":
            return await self.sent(call, leave=True)
        reason = ""
        if self.dialect.settles == "trace":
            if not self.doubt:
                try:
                    return await self.sent(call, leave=True)
                except LostAnswer as error:
                    reason = str(error)
            return await self.traced(reason)
        for wait in backoff(RESENDS):
            try:
                return await self.sent(call, leave=not self.doubt)
            except LostAnswer as error:
                self.doubt = True
                self.lost_at = time.time()
                reason = str(error)
            await anyio.sleep(wait)
        raise StillOpen(f"{reason}; a later run asks again by its id")

    async def sent(self, call: Call, *, leave: bool) -> Answer:
        """The paid call leaves, once; an answer that can't be read is remembered."""
        try:
            return await self.lane.exchange(call, self.wired, leave=leave)
        except Unread as error:
            self.unread = error.answer
            raise

    async def traced(self, reason: str) -> Answer:
        """The lost answer as the account's log gives it.

        Raises:
            TryLater: when it was not accepted, or not billed.
            LostAnswer: when it was billed, and the picture can't be had.
            StillOpen: when the log can't say yet.
        """
        self.doubt = True
        self.call_out(False)
        sent = self.left_at or self.started
        # The call of a run that was killed may have left long after its intent, when its turn had come.
        last = min(self.started, sent + self.provider.deadline) if self.order.state == "intent" else sent
        for number in range(100):
            if self.session.calling[self.order.spec.key]:  # what is found now may be that call's
                await anyio.sleep(spread(number))
                continue
            async with self.session.claims:  # one at a time: two of the same input must not find the same one
                asked = time.time()
                claimed = self.session.claimed | await self.session.journal.remotes(self.provider.name)
                fate = await self.fate(self.dialect.trace(self.job, sent, time.time(), frozenset(claimed)))
                if fate.kind == "accepted" and fate.answer is not None:
                    found = self.dialect.remote_id(fate.answer)
                    known = await self.session.journal.remotes(self.provider.name)
                    if found in known or self.session.calling[self.order.spec.key]:
                        continue  # while it was searched for, an equal call left: it may be that one's
                    self.session.claimed.add(found)
                    return fate.answer
            if fate.kind in ("billed", "lost"):
                raise LostAnswer(f"{reason}; {fate.text}" if reason else fate.text)
            if fate.kind == "not-accepted" or asked - last > self.dialect.patience:
                self.doubt = False
                raise TryLater(f"not accepted: {fate.text}")
            await anyio.sleep(spread(number))
        raise StillOpen(f"{reason}; the log does not say yet what became of it")

    async def fate(self, trace: Trace) -> Fate:
        """Carry out a search."""
        try:
            return await self.lane.carry_out(trace)
        except (TryLater, LostAnswer, Refused) as error:
            raise StillOpen(f"the gateway's log can't be read: {error}") from None

    # ── the ledger ──────────────────────────────────────────────────────────────────────────────

    async def end(
        self, state: str, error: str | None, usd: int = 0, also: Write = lambda _: None, *, refusals: int = 0
    ) -> None:
        """Settle the request, if there is one to settle, and whatever is to be known with it. ``refusals``: the part of
        ``usd`` that was perhaps not billed.
        """
        if self.state != "new":
            request = self.order.id
            await self.session.journal.write(
                lambda ledger: ledger.settle(request, state, usd, error, refusals=refusals), also
            )
            self.session.budget.settle(self.hold, usd)

    def keeping(self) -> list[Write]:
        """What keeps the answer to the paid call, when it can't be read."""
        unread = self.unread
        return [] if unread is None else [lambda ledger: ledger.add_unread(self.order.id, unread)]

    def row(self, state: str) -> RequestRow:
        """The order as the ledger keeps it."""
        order = self.order
        return RequestRow(
            id=order.id,
            spec=order.spec.key,
            pictures=tuple((picture.key, picture.variant) for picture in order.pictures),
            take=order.take,
            provider=self.provider.name,
            gateway=self.provider.offer.gateway,
            model=self.provider.offer.id,
            address=self.provider.base_url or "",
            label=order.label,
            state=state,
            reserved=self.hold.usd,
            usd=0,
            created=self.hold.at or time.time(),
            error=None,
            images=as_sent(self.job.images, order.spec.references),
            product=order.product,
            product_set=order.product_set,
        )
