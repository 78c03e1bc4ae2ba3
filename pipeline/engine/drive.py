"""One order's way from intent over receipt to recorded pictures.

Two rules keep the promise of never paying twice. The intent is committed before the paid call leaves, and its answer
is committed as a receipt before anything follows; so after any crash an order is in one of three states: not sent,
accepted (its flow is replayed from the receipt and goes straight to polling), or sent with the answer lost (settled
by the dialect's class). And whatever is done after the receipt is free to repeat.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path

import anyio

from pipeline.engine.lane import Lane, backoff
from pipeline.engine.orders import Event, Order
from pipeline.engine.session import Session
from pipeline.errors import (
    DownloadError,
    LaneStopped,
    LostAnswer,
    MediaError,
    Refused,
    RequestError,
    StorageError,
    TryLater,
)
from pipeline.gateways import DIALECTS, Dialect
from pipeline.ledger import FileRow, Ledger, PictureRow, RequestRow
from pipeline.media import FinishedPicture, finish
from pipeline.types import Answer, Call, Flow, Job, RemoteImage, dollars

FETCHES = 3
"""How often a picture's link is asked for and fetched before it is left for the next run."""
RESENDS = 4
"""How often a paid call with our own id is sent again after a lost answer, before it is left for the next run."""


class BudgetReached(RequestError):
    """The next submit would exceed the cap."""


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
        raise LostAnswer(f"the answer makes no sense ({type(error).__name__}: {error})") from None


class Drive:
    """One attempt at one order: its flow, its receipt, its pictures."""

    def __init__(self, session: Session, lane: Lane[Order], order: Order) -> None:
        self.session = session
        self.lane = lane
        self.order = order
        self.provider = lane.provider
        self.dialect: Dialect = DIALECTS[self.provider.offer.gateway]
        self.job = Job(
            id=order.id,
            offer=self.provider.offer,
            base_url=(self.provider.base_url or self.dialect.url).rstrip("/"),
            spec=order.spec,
            count=order.count,
        )
        self.receipts = list(order.receipts)
        self.state = order.state
        self.reserved = order.reserved
        self.here = False  # whether this run reserved it
        self.on_wire = False  # whether a paid call is under way whose fate is unknown
        self.recorded: set[int] = set()
        self.doubt = order.state == "intent"  # whether an earlier paid call of this id may have arrived
        self.started = time.time()

    @property
    def open(self) -> bool:
        """Whether the request was accepted, or may have been: it must never be asked for anew."""
        return self.state == "accepted" or (self.state == "intent" and self.doubt)

    async def run(self) -> None:
        """Make and record all pictures of the order."""
        gone = False
        for wait in backoff(FETCHES):
            images = await self.images()
            try:
                return await self.finish(images)
            except DownloadError as error:
                reason, gone = str(error), error.gone
            # The flow is replayed from its receipt: polling again gives a fresh link.
            await anyio.sleep(wait)
        if not gone:
            raise StillOpen(reason)
        await self.end("failed", reason, self.price)
        raise Refused(f"the picture was made and its link has expired: {reason}")

    @property
    def price(self) -> int:
        """What the request costs as far as we know, in micro-dollars."""
        return self.provider.usd * self.order.count

    async def images(self) -> list[RemoteImage]:
        """Drive the flow to its images, paying at most once."""
        flow = self.dialect.make(self.job)
        replayed = list(self.receipts)
        step: Call | list[RemoteImage]
        try:
            step = _advance(flow, None)
            while not isinstance(step, list):
                if replayed and step.paid:
                    step = _advance(flow, replayed.pop(0))
                    continue
                if step.after:
                    await anyio.sleep(step.after)
                step = await self.pay(step, flow) if step.paid else _advance(flow, await self.ask(step))
        except LostAnswer as error:
            if self.state == "accepted" or self.dialect.settles == "id":
                raise StillOpen(str(error)) from None
            raise
        except LaneStopped as error:
            if not self.open:
                await self.end("refused", str(error))
            raise
        except TryLater as error:
            if self.doubt and self.state == "intent":
                raise StillOpen(str(error)) from None
            await self.end("failed" if self.state == "accepted" else "refused", str(error))
            raise
        except Refused as error:
            if self.doubt and self.state == "intent":  # it may be alive all the same
                kind = StillOpen if self.dialect.settles == "id" else LostAnswer
                raise kind(f"an earlier answer was lost, and now: {error}") from None
            unknown = self.price if self.state == "accepted" else 0
            await self.end("failed", str(error), unknown if error.usd is None else error.usd)
            raise
        finally:
            flow.close()
        return step

    async def ask(self, call: Call) -> Answer:
        """A call that costs nothing: when it can't be answered, the order stays as it is."""
        try:
            return await self.lane.exchange(call)
        except (TryLater, LostAnswer) as error:
            if self.state == "new":
                raise TryLater(str(error)) from None
            raise StillOpen(str(error)) from None

    async def pay(self, call: Call, flow: Flow) -> Call | list[RemoteImage]:
        """The one call that costs money, and its receipt; returns the flow's next step."""
        session, order = self.session, self.order
        if self.doubt and self.dialect.settles != "id":
            raise LostAnswer("the run ended while the paid call was under way")
        known = self.state == "intent"  # asked for by an earlier run, which may not have reached the gateway
        if not known:
            self.reserved = self.price
        if not session.budget.reserve(self.reserved, known=known):
            raise BudgetReached(f"{dollars(self.reserved)} more would exceed the budget")
        self.here = True
        if not known:
            await session.journal.write(
                lambda ledger: ledger.add_spec(order.spec),
                lambda ledger: ledger.add_request(self.row("intent")),
            )
            self.state = "intent"
        step: Call | list[RemoteImage] = []
        with session.shield() as scope:
            answer = await self.answered(call)
            # The dialect reads the answer first: what it refuses is no receipt.
            following = _advance(flow, answer)
            await session.journal.write(lambda ledger: ledger.add_receipt(order.id, 0, answer))
            self.state = "accepted"
            self.receipts = [answer]
            step = following
        if scope.cancelled_caught:
            if not self.on_wire and not self.doubt:  # it waited for its turn: nothing was sent
                await self.end("refused", "left before it was sent")
            raise StillOpen("left while the paid call was under way")
        return step

    def wired(self, on_wire: bool) -> None:
        """Take note of whether the paid call is out."""
        self.on_wire = on_wire

    async def answered(self, call: Call) -> Answer:
        """An answer to the paid call; sent again after a lost one only where our id makes that safe."""
        if self.dialect.settles != "id":
            return await self.lane.exchange(call, self.wired)
        reason = ""
        for wait in backoff(RESENDS):
            try:
                return await self.lane.exchange(call, self.wired)
            except LostAnswer as error:
                self.doubt = True
                reason = str(error)
            await anyio.sleep(wait)
        raise StillOpen(f"{reason}; a later run asks again by its id")

    async def finish(self, images: list[RemoteImage]) -> None:
        """Hand each image to the data plane, record what comes back, and settle the request."""
        order = self.order
        gone: list[DownloadError] = []
        with self.session.shield() as scope:
            async with anyio.create_task_group() as group:
                for index, image in enumerate(images[: order.count]):
                    if index not in self.recorded:
                        group.start_soon(self.finish_one, index, image, gone)
            if not gone:
                await self.end("made", None, sum(map(self.cost, images)))
                for index in range(len(images), order.count):
                    reason = f"the gateway made {len(images)} of {order.count} pictures"
                    await self.session.failed(order.only(index), reason, permanent=False)
        if gone:
            raise gone[0]
        if scope.cancelled_caught:
            raise StillOpen("left while its pictures were fetched")

    async def finish_one(self, index: int, image: RemoteImage, gone: list[DownloadError]) -> None:
        """One image through the data plane and into the ledger; what can't be fetched goes to ``gone``."""
        job = self.order.jobs[index]
        job = replace(job, image=image, proof=job.proof if image.proof else None)
        try:
            finished = await asyncio.wrap_future(self.session.executor.submit(finish, job))
        except DownloadError as error:
            gone.append(error)
        except MediaError as error:
            # What costs nothing is simply tried again by the next run.
            costs = self.provider.usd > 0
            await self.session.failed(self.order.only(index), str(error), permanent=costs)
            self.recorded.add(index)
        except OSError as error:
            raise StorageError(f"{error.filename or job.stem}: can't be written: {error.strerror}") from None
        except BrokenExecutor:
            raise StorageError("a worker process died: run again, with fewer --workers") from None
        else:
            await self.record(index, image, finished)
            self.recorded.add(index)

    def cost(self, image: RemoteImage) -> int:
        """Micro-dollars: what the gateway tells, or else the provider's price."""
        sane = isinstance(image.usd, int) and 0 <= image.usd < 2**53
        return image.usd if sane and image.usd is not None else self.provider.usd

    async def record(self, index: int, image: RemoteImage, finished: FinishedPicture) -> None:
        """Make a verified picture known to the ledger."""
        order, picture, now = self.order, self.order.pictures[index], time.time()
        usd = self.cost(image)
        row = PictureRow(
            key=picture.key,
            take=order.take,
            spec=order.spec.key,
            variant=picture.variant,
            request=order.id,
            original=Path(*Path(finished.original.path).parts[-2:]).as_posix(),
            sha256=finished.original.sha256,
            bytes=finished.original.bytes,
            width=finished.width,
            height=finished.height,
            seed=image.seed if isinstance(image.seed, int) and abs(image.seed) < 2**63 else None,
            usd=usd,
            seconds=round(now - self.started, 3),
            at=now,
        )
        files = [
            (label, FileRow(path, picture.key, order.take, encoding, file.sha256, file.bytes, file.mtime_ns))
            for (label, path, encoding), file in zip(order.cells[index], finished.renditions, strict=True)
        ]
        new, self.state = self.state == "new", "accepted" if self.state == "new" else self.state

        def write(ledger: Ledger) -> None:
            if new:  # a flow without a paid call: its request is known as it is made
                ledger.add_spec(order.spec)
                ledger.add_request(self.row("made"))
            ledger.add_picture(row)
            for label, file in files:
                ledger.add_file(file)
                ledger.add_cell(label, picture.key, order.spec.key)

        await self.session.journal.write(write)
        self.session.outcome.made += 1
        self.session.outcome.usd += usd
        self.session.events(Event("made", self.order.label_of(index), "", usd))

    async def end(self, state: str, error: str | None, usd: int = 0) -> None:
        """Settle the request, if there is one to settle."""
        if self.state != "new":
            await self.session.journal.write(lambda ledger: ledger.settle(self.order.id, state, usd, error))
            self.session.budget.settle(self.reserved, usd, here=self.here)

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
            reserved=self.reserved,
            usd=0,
            created=self.started,
            error=None,
        )
