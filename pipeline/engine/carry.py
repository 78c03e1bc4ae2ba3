"""How references travel: web addresses as they are, local files inline or uploaded once per provider and content.

Files are sent upright and without what tells where, when and by whom they were made (``references.prepared``).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path

import anyio
import anyio.to_thread

from pipeline.engine.journal import Journal
from pipeline.engine.lane import TRIES, Lane, LaneDown
from pipeline.engine.orders import Order
from pipeline.errors import KeepError, LaneStopped, LostAnswer, MediaError, TryLater
from pipeline.gateways import Dialect
from pipeline.kinds import kind_of
from pipeline.references import prepared
from pipeline.types import EXTENSION, LocalFile, Provider, Reference

SPARE = 3600.0
"""Seconds before its end from which an upload isn't used any more."""
DOWNS = 5
"""Uploads in a row that bring a lane down, after which it is stopped."""


class Carrier:
    """The uploads of one run, known to the ledger so that later runs use them again."""

    def __init__(self, journal: Journal, uploads: dict[tuple[str, str, str], str]) -> None:
        self._journal = journal
        self._uploads = uploads
        self._downs: Counter[str] = Counter()  # provider → uploads in a row that brought its lane down
        self._sent: dict[str, str] = {}  # digest of a file → digest of what is sent of it
        self._locks: dict[tuple[str, str, str], anyio.Lock] = defaultdict(anyio.Lock)

    async def images(self, lane: Lane[Order], dialect: Dialect, references: tuple[Reference, ...]) -> tuple[str, ...]:
        """The references as this provider takes them, in slot order.

        Raises:
            RequestError: when one can't be read or uploaded; nothing was paid.
        """
        return tuple([await self.image(lane, dialect, reference) for reference in references])

    async def image(self, lane: Lane[Order], dialect: Dialect, reference: Reference) -> str:
        """One reference as this provider takes it."""
        if "://" in reference.source or not dialect.references:
            return reference.source
        if lane.provider.options.get("references", dialect.references[0]) == "inline":
            data = await anyio.to_thread.run_sync(_read, reference)
            return f"data:image/{_kind(data)};base64,{base64.b64encode(data).decode()}"
        where = _place(lane.provider, await self.digest(reference))
        async with self._locks[where]:
            if where not in self._uploads:
                self._uploads[where] = await self.upload(lane, dialect, reference)
            return self._uploads[where]

    async def digest(self, reference: Reference) -> str:
        """The digest of what is sent of a reference: by that an upload is known."""
        if reference.digest not in self._sent:
            data = await anyio.to_thread.run_sync(_read, reference)
            self._sent[reference.digest] = hashlib.sha256(data).hexdigest()
        return self._sent[reference.digest]

    async def forget(self, provider: Provider, references: tuple[Reference, ...]) -> None:
        """A request with these was refused: should an upload be the reason, it is done anew the next time."""
        digests = []
        for reference in references:
            try:
                digests.append(reference.digest if "://" in reference.source else await self.digest(reference))
            except TryLater:  # it can't be read any more, so nothing of it is sent again
                continue
            self._uploads.pop(_place(provider, digests[-1]), None)
        await self._journal.write(lambda ledger: ledger.forget_uploads(provider.name, digests))

    async def upload(self, lane: Lane[Order], dialect: Dialect, reference: Reference) -> str:
        """Upload a file, and remember it."""
        data = await anyio.to_thread.run_sync(_read, reference)
        kind = _kind(data)
        digest = hashlib.sha256(data).hexdigest()
        file = LocalFile(str(uuid.uuid4()), f"{digest[:16]}.{EXTENSION[kind]}", f"image/{kind}", data)
        if lane.stopped is not None:
            raise LaneStopped(lane.stopped)
        down = lane.down
        try:
            steps = dialect.upload(file, lane.provider.base_url or "")
            done = await lane.carry_out(steps, most=TRIES, leave=True)
        except LaneDown as error:
            # Where the gateway answers and only the place for uploads doesn't, the lane is never down for long.
            self._downs[lane.provider.name] += not down
            if self._downs[lane.provider.name] > DOWNS:
                raise LaneStopped(f"references can't be uploaded: {error}") from None
            raise
        except (TryLater, LostAnswer) as error:
            down = lane.down and not lane.hopeless()
            raise (LaneDown if down else LaneStopped)(f"references can't be uploaded: {error}") from None
        self._downs[lane.provider.name] = 0
        until = time.time() + done.seconds - SPARE
        where = _place(lane.provider, digest)
        await self._journal.write(lambda ledger: ledger.add_upload(*where, done.reference, until))
        return done.reference


def _place(provider: Provider, digest: str) -> tuple[str, str, str]:
    """What an upload is known by: the account, the address, and the content."""
    return provider.name, provider.base_url or "", digest


def _read(reference: Reference) -> bytes:
    """The bytes to send of a reference, if its file is the one that the plan was made from."""
    try:
        data = Path(reference.source).read_bytes()
    except OSError as error:
        raise TryLater(f"{reference.name}: can't be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != reference.digest:
        raise TryLater(f"{reference.name}: was changed while the run went on: run again")
    try:
        return _prepared(data, reference.max_bytes)
    except (MediaError, KeepError) as error:
        raise TryLater(f"{reference.name}: {error}") from None


_prepared = functools.lru_cache(maxsize=8)(prepared)
"""Many requests in a row share their references, and turning a large one takes half a second."""


def _kind(data: bytes) -> str:
    """The format of a reference, which was checked when the plan was made."""
    return kind_of(data) or "jpeg"


def as_sent(images: tuple[str, ...], references: tuple[Reference, ...]) -> tuple[str, ...]:
    """The references as the ledger keeps them: inline bytes by the digest of their file."""
    return tuple(
        f"sha256:{reference.digest}" if image.startswith("data:") else image
        for image, reference in zip(images, references, strict=True)
    )
