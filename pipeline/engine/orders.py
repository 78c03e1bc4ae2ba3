"""What goes into the engine and what comes out: orders, events, the outcome."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pipeline.media import PictureJob
from pipeline.types import Answer, Picture, Spec


@dataclass(frozen=True, slots=True)
class Order:
    """A request to be carried out, with everything the engine needs and nothing it must look up.

    ``jobs`` and ``cells`` run parallel to ``pictures``: what to do with each image, and (label, path, encoding) of
    each file that comes of it, paths relative to ``folder``. ``state`` is new, or that of the open request continued;
    ``pool``: who may make it once it is certain that it was never accepted;
    ``images`` are its references as they were sent then, ``sent`` is when. ``size``: pixels asked for, if known.
    """

    id: str
    spec: Spec
    pictures: tuple[Picture, ...]
    take: int
    label: str
    providers: tuple[str, ...]
    jobs: tuple[PictureJob, ...]
    cells: tuple[tuple[tuple[str, str, str], ...], ...]
    state: Literal["new", "intent", "accepted"] = "new"
    reserved: int = 0
    receipts: tuple[Answer, ...] = ()
    size: tuple[int, int] | None = None
    images: tuple[str, ...] = ()
    sent: float = 0.0
    pool: tuple[str, ...] = ()
    product: str = ""
    product_set: str = ""

    @property
    def count(self) -> int:
        """How many pictures it asks for; the N-th image is the N-th picture's."""
        return len(self.pictures)

    def anew(self) -> Order:
        """Its pictures, as far as they are wanted, as a new request, after one that certainly cost nothing."""
        kept = [index for index, cells in enumerate(self.cells) if cells]
        return replace(
            self,
            id=str(uuid.uuid4()),
            pictures=tuple(self.pictures[index] for index in kept),
            jobs=tuple(self.jobs[index] for index in kept),
            cells=tuple(self.cells[index] for index in kept),
            state="new",
            receipts=(),
            reserved=0,
            images=(),
            sent=0.0,
            providers=self.pool or self.providers,
        )

    @property
    def wanted(self) -> bool:
        """Whether any of its pictures is still in the manifest; else it is only settled, never asked for anew."""
        return any(self.cells)

    def only(self, *indices: int) -> Order:
        """The order, as if for some of its pictures alone (or none): to report what becomes of them."""
        label = self.label_of(indices[0]) if indices else self.label
        return replace(self, pictures=tuple(self.pictures[index] for index in indices), label=label)

    def label_of(self, index: int) -> str:
        """The label of a picture's first cell."""
        cells = self.cells[index]
        return cells[0][0] if cells else self.label


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order, for whoever shows progress. ``usd`` in micro-dollars."""

    kind: Literal["made", "failed", "uncertain", "pending", "lane", "slow"]
    label: str
    text: str = ""
    usd: int = 0
    pictures: int = 1


Stop: TypeAlias = Literal["interrupted", "budget"]


@dataclass(slots=True)
class Outcome:
    """How a run ended: pictures by fate, money in micro-dollars, and why it stopped early, if it did."""

    made: int = 0
    failed: int = 0
    uncertain: int = 0
    pending: int = 0
    usd: int = 0
    refusals: int = 0  # micro-dollars beside usd that were perhaps billed for refusals
    stopped: Stop | None = None
    reached: set[str] = field(default_factory=set)  # names of the caps that had no room
    lanes: dict[str, str] = field(default_factory=dict)  # provider → why it stopped
    blank: dict[str, str] = field(default_factory=dict)  # label → "one colour" or "transparent"
    aside: list[str] = field(default_factory=list)  # where persons' files lie that were in the place of ours
