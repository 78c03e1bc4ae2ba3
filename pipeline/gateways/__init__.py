"""The gateways: one dialect per file, all of them in one visible dict.

A dialect is sans-I/O: :meth:`Dialect.make` is a generator that yields calls and receives answers, and returns the
images. It does no I/O, reads no clock and keeps no key; it raises the dispositions of :mod:`pipeline.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs
from pipeline.gateways.fal import Fal
from pipeline.gateways.local import Local
from pipeline.gateways.runware import Runware
from pipeline.types import Answer, Cancel, Carried, Flow, Job, Json, LocalFile, Polling, Settles, Trace, Upload


class Dialect(Protocol):
    """One gateway's wire protocol.

    ``settles`` says how a lost answer to the paid call is settled: ``id``: the same call is sent again with our
    own id and the gateway recognises it (and :meth:`trace` tells, should it then be refused); ``trace``: :meth:`trace`
    searches the account's log, and what it doesn't have after ``patience`` seconds was not accepted; ``none``: it can't
    be, so the request is held as uncertain.
    ``references``: the ways in which it takes a local file, the better one first. ``key`` is the environment variable
    of its key, ``origins`` where that key may be sent to, ``polling`` the documented or usual times.
    """

    name: ClassVar[str]
    settles: ClassVar[Settles]
    references: ClassVar[tuple[Carried, ...]]
    key: ClassVar[str]
    origins: ClassVar[tuple[str, ...]]
    polling: ClassVar[Polling]
    patience: ClassVar[float]

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """What authorises a call."""
        ...

    def make(self, job: Job) -> Flow:
        """Make the pictures of one request. Exactly one call is paid; it comes first among those that matter."""
        ...

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """What became of a request sent at ``sent`` and not answered; ``claimed``: ids that other requests have."""
        ...

    def remote_id(self, receipt: Answer) -> str:
        """The gateway's own id of a request, from the answer to the paid call."""
        ...

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """Ask to stop a request; what came of it, the next poll tells."""
        ...

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """Upload a reference; free, and done again whenever in doubt."""
        ...


DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Local(), Fal(), Aimlapi(), Eachlabs(), Runware())}
"""Gateway name → dialect."""
