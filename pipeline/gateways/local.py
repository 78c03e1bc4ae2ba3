"""``local``: offline proofs. Its flow makes no call at all; the pictures are drawn by the data plane."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.types import Flow, Job, RemoteImage


class Local:
    """The embedded default: free, deterministic, and honest about being a proof."""

    name: ClassVar[str] = "local"
    settles: ClassVar[Literal["id", "none"]] = "id"
    url: ClassVar[str] = ""

    def make(self, job: Job) -> Flow:
        """As many proofs as the request asks for."""
        yield from ()
        return [RemoteImage(proof=True, usd=0)] * job.count
