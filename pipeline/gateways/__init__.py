"""The gateways: one dialect per file, all of them in one visible dict.

A dialect is sans-I/O: :meth:`Dialect.make` is a generator that yields calls and receives answers, and returns the
images. It does no I/O, reads no clock and holds no key; it raises the dispositions of :mod:`pipeline.errors`.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

from pipeline.gateways.local import Local
from pipeline.types import Flow, Job


class Dialect(Protocol):
    """One gateway's wire protocol.

    ``settles`` says how a lost answer to the paid call is settled: ``id``: the same call is sent again with our
    own id and the gateway recognises it; ``none``: it can't be, so the request is held as uncertain.
    ``url``: the gateway's address unless a provider's ``base_url`` says otherwise.
    """

    name: ClassVar[str]
    settles: ClassVar[Literal["id", "none"]]
    url: ClassVar[str]

    def make(self, job: Job) -> Flow:
        """Make the pictures of one request. Exactly one call is paid; it comes first among those that matter."""
        ...


DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (Local(),)}
"""Gateway name → dialect."""
