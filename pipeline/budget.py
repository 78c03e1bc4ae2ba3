"""Caps on money: reserved before a paid call leaves, settled by what it came to. All amounts are micro-dollars."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(slots=True)
class Cap:
    """One cap: its name as the user wrote it, its amount, and what is ``left`` of it.

    ``product_set``: the only one that it is for; None is all. ``run``: it counts what this run adds to the bill;
    others count every request of the campaign, or those asked for from ``since`` on, until it begins anew at ``until``
    (Unix seconds).
    """

    name: str
    usd: int
    left: int
    product_set: str | None = None
    run: bool = False
    since: float = 0.0
    until: float = math.inf

    def covers(self, product_set: str) -> bool:
        """Whether it is for this product set."""
        return self.product_set in (None, product_set)


@dataclass(frozen=True, slots=True)
class Hold:
    """What one request has reserved, of which caps, and when it was asked for (Unix seconds)."""

    usd: int
    at: float
    caps: tuple[Cap, ...] = ()


class Budget:
    """The caps of a run. What is open since earlier runs is taken off already."""

    def __init__(self, caps: Iterable[Cap] = ()) -> None:
        self.caps = tuple(caps)

    def exceeded(self, usd: int, product_set: str, *, known: bool = False) -> str:
        """The name of a cap that has no room for so much more, or nothing.

        ``known``: open since an earlier run. All caps but those of this run hold it already: it may still be paid
        where they hold all they should, and not where one was lowered since, or something cost more than was thought.
        """
        if not usd:
            return ""
        for cap in self._for(product_set):
            if (cap.left < 0) if known and not cap.run else (usd > cap.left):
                return cap.name
        return ""

    def reserve(self, usd: int, product_set: str) -> Hold:
        """Take so much off every cap that covers it."""
        hold = Hold(usd, time.time(), tuple(self._for(product_set)))
        for cap in hold.caps:
            cap.left -= usd
        return hold

    def known(self, usd: int, product_set: str, at: float) -> Hold:
        """What a request of an earlier run has reserved: taken off all caps but those of the run."""
        return Hold(usd, at, tuple(cap for cap in self._for(product_set) if not cap.run))

    def take_over(self, hold: Hold, product_set: str) -> Hold:
        """What an earlier run had reserved is now asked for by this one."""
        mine = tuple(cap for cap in self._for(product_set) if cap.run)
        for cap in mine:
            cap.left -= hold.usd
        return Hold(hold.usd, hold.at, hold.caps + mine)

    def correct(self, hold: Hold, usd: int) -> Hold:
        """The gateway has told that it comes to more, before it is settled."""
        if usd <= hold.usd:
            return hold
        self.settle(hold, usd)
        return replace(hold, usd=usd)

    def settle(self, hold: Hold, usd: int) -> None:
        """Replace what was reserved by what it came to."""
        for cap in hold.caps:
            if hold.at >= cap.since:  # else it belongs to a day that is over
                cap.left += hold.usd - usd

    def _for(self, product_set: str) -> Iterator[Cap]:
        now = time.time()
        for cap in self.caps:
            if now >= cap.until:
                cap.left, cap.since, cap.until = cap.usd, midnight(), midnight(1)
            if cap.covers(product_set):
                yield cap


def midnight(days: int = 0) -> float:
    """When today (or so many days later) begins, local time, in Unix seconds."""
    day = datetime.now() + timedelta(days)  # noqa: DTZ005  # the machine's own day is meant
    return day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
