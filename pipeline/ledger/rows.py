"""What the ledger holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class PictureRow(NamedTuple):
    """The current take of a picture. ``original`` is relative to the private folder; money in micro-dollars."""

    key: str
    take: int
    spec: str
    variant: int
    request: str
    original: str
    sha256: str
    bytes: int
    width: int
    height: int
    seed: int | None
    usd: int
    seconds: float
    at: float
    nsfw: int | None = None  # flagged by the gateway's own check: 1 or 0


class FileRow(NamedTuple):
    """One output file as it was written. ``path`` is relative to the output folder."""

    path: str
    key: str
    take: int
    encoding: str
    sha256: str
    bytes: int
    mtime_ns: int


class ShownRow(NamedTuple):
    """One of the pictures that a label showed: its key, its spec's key, and since when (Unix seconds)."""

    key: str
    spec: str
    at: float


class FailureRow(NamedTuple):
    """Why a picture was not made, and whether asking again by itself is useless."""

    reason: str
    permanent: bool
    at: float


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as the ledger knows it. ``pictures``: (key, variant) of each; ``reserved`` in micro-dollars.

    ``images``: the references as they were sent (``sha256:…`` for inline bytes); ``remote``: the gateway's own id.
    """

    id: str
    spec: str
    pictures: tuple[tuple[str, int], ...]
    take: int
    provider: str
    gateway: str
    model: str
    address: str  # the provider's base_url; empty for the vendor's own
    label: str
    state: str
    reserved: int
    usd: int
    created: float
    error: str | None
    images: tuple[str, ...] = ()
    remote: str = ""
    product: str = ""  # whose picture it is, and of which product set: for the money
    product_set: str = ""
    unread: bool = False  # whether an answer to its paid call is kept that could not be read


@dataclass(frozen=True, slots=True)
class Money:
    """Micro-dollars: settled by gateways; and reserved by requests in flight, or of unknown fate.

    ``refusals``: of requests that were accepted and then refused, where the gateway does not say whether it bills them.
    Budgets count them as spent.
    """

    spent: int = 0
    reserved: int = 0
    uncertain: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """The money of one provider's requests for one product on one day (``YYYY-MM-DD``, local time), in micro-dollars.

    ``saved``: what further formats of the same pictures would have cost, had each been paid; ``refusals``: what was
    perhaps billed for refusals.
    """

    day: str
    provider: str
    product_set: str
    product: str
    requests: int
    pictures: int
    spent: int
    reserved: int
    uncertain: int
    saved: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a plan compares with: the state of the ledger at one moment.

    ``committed``: (product set, whether it was asked for today) → micro-dollars spent, or held by what is open.
    """

    pictures: dict[str, PictureRow]
    files: dict[str, FileRow]
    failures: dict[str, FailureRow]
    wishes: dict[str, int]
    open_requests: tuple[RequestRow, ...]
    money: Money
    committed: dict[tuple[str, bool], int]


EMPTY = Snapshot({}, {}, {}, {}, (), Money(), {})
"""The state of a campaign that was never run."""
