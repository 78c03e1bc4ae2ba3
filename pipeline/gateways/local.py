"""``local``: offline proofs. Its flow makes no call at all; the pictures are drawn by the data plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pipeline.errors import LostAnswer
from pipeline.types import (
    Answer,
    Cancel,
    Carried,
    Fate,
    Flow,
    Job,
    Json,
    LocalFile,
    Polling,
    RemoteImage,
    Settles,
    Trace,
    Upload,
)


class Local:
    """The embedded default: free, deterministic, and honest about being a proof."""

    name: ClassVar[str] = "local"
    settles: ClassVar[Settles] = "id"
    references: ClassVar[tuple[Carried, ...]] = ()
    key: ClassVar[str] = ""
    origins: ClassVar[tuple[str, ...]] = ()
    polling: ClassVar[Polling] = Polling(0.0, 0.0)
    patience: ClassVar[float] = 0.0

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """Nobody is called."""
        return {}

    def make(self, job: Job) -> Flow:
        """As many proofs as the request asks for."""
        yield from ()
        return [RemoteImage(proof=True, usd=0)] * job.count

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Nothing is ever lost on the way."""
        yield from ()
        return Fate("unknown")

    def remote_id(self, receipt: Answer) -> str:
        """There are no receipts."""
        return ""

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """There is never anything to wait for."""
        yield from ()
        return "impossible"

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """References are read where they lie."""
        yield from ()
        raise LostAnswer("local takes no uploads")
