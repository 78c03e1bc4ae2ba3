"""Runware's media: what clients store to refer to it by its UUID, and pictures made here under theirs."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass

from pipeline.emulator import links, runware_tasks
from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import Reply, Request
from pipeline.emulator.pictures import TYPE


@dataclass(frozen=True)
class Stored:
    """One piece of media; ``url`` is the vendor's link to it."""

    uuid: str
    url: str


class Media:
    """Stored media and made pictures by UUID. A URL that is stored is kept as it is: nothing is fetched."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._stored: dict[str, Stored] = {}
        self._made: dict[str, tuple[Job, int]] = {}

    def knows(self, name: str) -> bool:
        """Whether a UUID is that of stored media or of a finished picture."""
        made = self._made.get(name.lower())
        return name.lower() in self._stored or (made is not None and self._is_done(made[0]))

    def _is_done(self, job: Job) -> bool:
        return job.state(self._account.now()) == "done"

    def remember(self, name: str, job: Job, number: int) -> None:
        """Keep the UUID of a picture that will be made."""
        self._made[name] = (job, number)

    def store(self, given: str, base: str) -> Stored | None:
        """Keep a URL, or a picture given as data URI or base64; None when it is neither."""
        name = str(uuid.uuid4())
        if links.is_web(given):
            self._stored[name] = Stored(name, given)
            return self._stored[name]
        found = runware_tasks.decoded(given)
        if found is None:
            return None
        data, kind = found
        self._account.upload(name, data, kind)
        self._stored[name] = Stored(name, f"{base}/media/{name}.{kind.removeprefix('image/')}")
        return self._stored[name]

    def delete(self, name: str) -> Stored | None:
        """Forget stored media; None when there is none of this UUID."""
        return self._stored.pop(name.lower(), None)

    def file(self, request: Request) -> Reply | None:
        """The bytes behind the link of stored media."""
        name = request.path.removeprefix("/media/").partition(".")[0]
        found = self._account.uploaded(name) if name in self._stored else None
        return Reply(data=found[0], kind=found[1]) if found else None

    def plain(self, text: str) -> str:
        """A reference as a link or a data URI, whichever of its forms it came in."""
        if not runware_tasks.is_uuid(text):
            return text if links.is_web(text) or text.startswith("data:") else _as_uri(text)
        stored = self._stored.get(text.lower())
        if stored is None:
            job, number = self._made[text.lower()]
            return _uri(job.picture(number), TYPE[job.format])
        return stored.url


def _as_uri(text: str) -> str:
    found = runware_tasks.decoded(text)
    return _uri(*found) if found else text


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
