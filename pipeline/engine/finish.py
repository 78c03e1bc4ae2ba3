"""The end of an order: its images through the data plane, into the ledger, and the request settled."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path

import anyio

from pipeline.addresses import Reach
from pipeline.engine.drive import Drive, StillOpen
from pipeline.engine.lane import backoff
from pipeline.engine.orders import Event, Order
from pipeline.engine.session import failure
from pipeline.errors import DownloadError, KeepError, MediaError, StorageError
from pipeline.ledger import FileRow, Ledger, PictureRow
from pipeline.media import FinishedPicture, fetch, finish
from pipeline.types import RemoteImage

FETCHES = 5
"""How often a picture's link is asked for and fetched before it is left for the next run."""
EXPIRES = 3600.0
"""Seconds after which a link that answers "gone" has expired; before, it may only not be there yet."""


class Finish:
    """Records the pictures of one drive."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self.session = drive.session
        self.order = drive.order
        self.recorded: set[int] = set()

    @property
    def left(self) -> Order:
        """The order as far as no picture of it is recorded yet: neither as made nor as failed."""
        return self.order.only(*(index for index in range(self.order.count) if index not in self.recorded))

    async def run(self, images: list[RemoteImage]) -> None:
        """Record all pictures of the order; a link that doesn't work is asked for again."""
        for number, wait in enumerate(backoff(FETCHES)):
            if number:
                # The flow is replayed from its receipt: polling again gives a fresh link.
                images = await self.drive.images()
            errors = await self.all(images)
            if not errors:
                return
            self.drive.rest = self.left
            if any(error.final for error in errors.values()):
                break
            await anyio.sleep(wait)
        reason = str(errors[min(errors)])
        if final := next((error for error in errors.values() if error.final), None):
            self.session.stumble(final)  # each other picture would be paid, and not had either
            raise StillOpen(f"{final}; its request stays open, and the next run fetches it again, free")
        old = time.time() - (self.order.sent or self.drive.started) > EXPIRES
        if not old or not all(error.gone for error in errors.values()):
            raise StillOpen(reason)
        gone = f"the picture was made and its link has expired: {reason}"
        left = self.left
        await self.drive.end("failed", reason, self.drive.price, failure(left, gone, permanent=True))
        await self.session.failed(left, gone, permanent=True, usd=self.drive.provider.usd * left.count)

    async def all(self, images: list[RemoteImage]) -> dict[int, DownloadError]:
        """Hand each image to the data plane, record what comes back, and settle the request; else what can't be had.

        Raises:
            StillOpen: when this machine failed, or the user wants to leave.
        """
        order = self.order
        gone: dict[int, DownloadError] = {}
        ours: list[KeepError] = []
        with self.session.shield() as scope:
            async with anyio.create_task_group() as group:
                for index, image in enumerate(images[: order.count]):
                    if index not in self.recorded:
                        group.start_soon(self.one, index, image, gone, ours)
            if not gone and not ours:
                await self.drive.end("made", None, sum(map(self.drive.cost, images)))
                for index in range(len(images), order.count):
                    reason = f"the gateway made {len(images)} of {order.count} pictures"
                    await self.session.failed(order.only(index), reason, permanent=False)
                    self.recorded.add(index)
        if scope.cancelled_caught:
            self.drive.rest = self.left
            raise StillOpen("left while its pictures were fetched")
        if ours:
            self.drive.rest = self.left
            self.session.stumble(ours[0])
            raise StillOpen(f"{ours[0]}; its request stays open, and the next run fetches it again, free")
        return gone

    async def one(self, index: int, image: RemoteImage, gone: dict[int, DownloadError], ours: list[KeepError]) -> None:
        """One image through the data plane and into the ledger; what can't be fetched goes to ``gone``, what this
        machine can't keep to ``ours``.
        """
        job = self.order.jobs[index]
        job = replace(job, proof=job.proof if image.proof else None)
        try:
            async with self.session.fetching:
                job = replace(job, image=await fetched(image, job.reach))
                finished = await asyncio.wrap_future(self.session.executor.submit(finish, job))
        except DownloadError as error:
            gone[index] = error
        except MediaError as error:
            # What costs nothing is simply tried again by the next run.
            costs = self.drive.provider.usd > 0
            usd = self.drive.cost(image)
            await self.session.failed(self.order.only(index), str(error), permanent=costs, usd=usd)
            self.recorded.add(index)
        except OSError as error:
            words = f"{error.filename or job.stem}: can't be written: {error.strerror}"
            raise self.session.halt(StorageError(words)) from None
        except BrokenExecutor:
            words = "a worker process died: run again, with fewer --workers"
            raise self.session.halt(StorageError(words)) from None
        except KeepError as error:
            ours.append(error)
        except (RuntimeError, MemoryError) as error:  # no thread, no memory: this machine's fault too
            ours.append(KeepError(f"the picture can't be handled here ({type(error).__name__}: {error})"))
        else:
            await self.record(index, image, finished)
            self.recorded.add(index)

    async def record(self, index: int, image: RemoteImage, finished: FinishedPicture) -> None:
        """Make a verified picture known to the ledger."""
        order, picture, now = self.order, self.order.pictures[index], time.time()
        usd = self.drive.cost(image)
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
            nsfw=None if image.nsfw is None else int(image.nsfw),
            seconds=round(now - self.drive.started, 3),
            at=now,
        )
        files = [
            (label, FileRow(path, picture.key, order.take, encoding, file.sha256, file.bytes, file.mtime_ns))
            for (label, path, encoding), file in zip(order.cells[index], finished.renditions, strict=True)
        ]
        drive = self.drive
        new, drive.state = drive.state == "new", "accepted" if drive.state == "new" else drive.state

        def write(ledger: Ledger) -> None:
            if new:  # a flow without a paid call: its request is known as it is made
                ledger.add_spec(order.spec)
                ledger.add_request(self.drive.row("made"))
            ledger.add_picture(row)
            if finished.blank:
                ledger.mark_blank(row.key, row.take, finished.blank)
            for label, file in files:
                ledger.add_file(file)
                ledger.add_cell(label, picture.key, order.spec.key)

        await self.session.journal.write(write)
        self.session.stumbles = 0
        self.session.outcome.made += 1
        self.session.outcome.aside += [file.aside for file in finished.renditions if file.aside]
        if finished.blank:
            self.session.outcome.blank[order.label_of(index)] = finished.blank
        self.session.outcome.usd += usd
        self.session.events(Event("made", self.order.label_of(index), "", usd))


async def fetched(image: RemoteImage, reach: Reach) -> RemoteImage:
    """An image with its bytes. They are fetched here, not by a worker: one that drips would hold it for minutes."""
    return image if image.url is None else replace(image, data=await fetch(image.url, reach))
