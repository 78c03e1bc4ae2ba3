"""One accepted submission at an emulated gateway."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipeline.emulator import pictures
from pipeline.emulator.core import Settings
from pipeline.emulator.studio import Studio
from pipeline.types import EXTENSION, Json

if TYPE_CHECKING:
    from pipeline.emulator.account import Account

State = Literal["queued", "running", "done", "failed", "cancelled"]

_IDS = frozenset({"taskUUID", "webhookURL", "webhook_url", "webhook_secret"})


@dataclass(eq=False)
class Job:
    """One accepted submission. Times are the clock's; ``wall`` is when it was accepted in real (Unix) time."""

    id: str
    asked: Json
    prompt: str
    references: list[str]
    count: int
    size: tuple[int, int] | None
    ratio: str
    format: str
    created: float
    started: float
    finished: float
    billed: int  # micro-dollars
    client: str
    wall: float
    account: Account = field(repr=False)
    settings: Settings = field(repr=False)  # a gateway may give a job its own, as for the life of its links
    studio: Studio = field(repr=False)
    failed: str = ""
    cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, now: float) -> State:
        """What has become of it by a time of the clock."""
        if self.cancelled:
            return "cancelled"
        if now < self.finished:
            return "queued" if now < self.started else "running"
        return "failed" if self.failed else "done"

    @property
    def wall_finished(self) -> float:
        """When it is finished in real (Unix) time."""
        return self.wall + (self.finished - self.created) / self.settings.speed

    @property
    def expires(self) -> float:
        """When its links die, in real (Unix) time."""
        return self.wall_finished + self.settings.url_seconds

    @property
    def digest(self) -> str:
        """What was asked, in one hash: ids and addresses for notices aside."""
        told = self.asked
        if isinstance(told, dict):
            told = {key: value for key, value in told.items() if key not in _IDS}
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def signature(self, number: int) -> str:
        """What makes the link of a picture unguessable."""
        secret = f"emulator/{self.settings.seed}".encode()
        return hmac.new(secret, f"{self.id}/{number}".encode(), "sha256").hexdigest()[:16]

    def urls(self, base: str) -> list[str]:
        """The links of its pictures."""
        extension, expires = EXTENSION[self.format], round(self.expires)
        return [
            f"{base}/files/{self.id}/{number}.{extension}?expires={expires}&signature={self.signature(number)}"
            for number in range(1, self.count + 1)
        ]

    def picture(self, n: int) -> bytes:
        """The bytes of its ``n``-th picture (from 1), made when they are first asked for."""
        size = self.size or self.studio.size(self.references, self.ratio, _resolution(self.asked))
        name = f"{self.id}/{n}"
        if self.settings.pictures == "plain":
            return pictures.plain(size, self.format, name)
        if self.settings.pictures == "tiny":
            ratio = pictures.nearest_ratio(*size) if self.ratio == "auto" else self.ratio
            return pictures.tiny(ratio, self.format, name)
        with self._lock:
            return self.studio.drawn(name, n, self.prompt, self.references, size, self.format)


def _resolution(asked: Json) -> str:
    """What a request says of its resolution, wherever its gateway puts it."""
    if not isinstance(asked, dict):
        return "1K"
    told = asked.get("resolution") or (_resolution(asked["input"]) if "input" in asked else "")
    return told if isinstance(told, str) and told else "1K"
