"""What may happen in one run of :mod:`soak.world`, as values: faults, the user's wishes, and the state of it all."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from fakes.accounts import End

TAG = "x-model-request"
"""A header by which the wire knows whose paid call it is; no gateway reads it."""


class Violation(AssertionError):
    """What must never happen. ``kind``: lost, paid twice, recorded twice, or another word."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Killed(BaseException):
    """The run is killed: nothing that it still does has an effect."""


@dataclass(frozen=True)
class Paid:
    """What happens to one paid call (``kind``: see :meth:`soak.wire.MemoryWire.paid`), and to the job that comes of it.

    ``after``: of a ``Retry-After``; ``seconds``: that the job takes; ``lag``: until the logs have it.
    """

    kind: str = "ok"
    fate: End = "done"
    after: float = 7.0
    seconds: float = 5.0
    lag: float = 0.0


@dataclass(frozen=True)
class Free:
    """What happens to one call that costs nothing (``kind``: see :meth:`soak.wire.MemoryWire.free`)."""

    kind: str = "ok"
    after: float = 7.0


@dataclass(frozen=True)
class Script:
    """The faults of one run, in the order of the calls; when they are used up, all is well.

    ``kill``, ``interrupt``: the N-th time that the run comes to a point; ``disk``: from the N-th commit on the disk is
    full, or it finds no thread (``threads``); ``refused``: every paid call, for so many seconds.
    """

    paid: tuple[Paid, ...] = ()
    free: tuple[Free, ...] = ()
    pictures: tuple[str, ...] = ()
    kill: tuple[str, int] | None = None
    interrupt: tuple[str, int] | None = None
    disk: tuple[str, int] | None = None
    refused: tuple[Paid, float] | None = None


POINTS = ("commit", "committed", "send", "accepted", "answer", "picture", "written")
"""Where a run may be killed or interrupted: before and after a commit, a call (and in it, when a paid one was
accepted), and the writing of a picture."""


@dataclass(frozen=True)
class Wish:
    """What the user asks of one run."""

    budget: int | None = None
    limit: int | None = None
    only: tuple[str, ...] = ()
    retake: tuple[str, ...] = ()
    retry_failed: bool = False
    retry_uncertain: bool = False


NOTHING = Wish()
"""A plain run."""

MISREAD = ("404", "401", "402", "empty")
"""Answers to a poll that the fake dialects would take for a refusal."""


@dataclass(slots=True)
class Run:
    """What is known of the run under way."""

    script: Script
    paid: deque[Paid]
    free: deque[Free]
    pictures: deque[str]
    points: Counter[str] = field(default_factory=Counter)
    not_before: dict[str, float] = field(default_factory=dict)
    left: dict[str, deque[float]] = field(default_factory=dict)  # when paid calls left, by provider
    interrupted: float | None = None
    doubtful: set[str] = field(default_factory=set)  # requests whose paid call may have arrived already
    created_before: set[str] = field(default_factory=set)  # requests of earlier runs
    cap: int | None = None  # of this run
    billed: int = 0  # by this run's calls
    full: bool = False  # whether a disk was full, or a worker died
    since: float = 0.0

    @classmethod
    def of(cls, script: Script) -> Run:
        """A run that begins."""
        return cls(script, deque(script.paid), deque(script.free), deque(script.pictures))
