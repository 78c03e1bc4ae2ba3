"""Virtual time: an event loop whose clock jumps to the next timer, and everything else that would wait or differ.

Inside :func:`virtual` the pipeline's modules read one clock, which moves only when the loop has nothing to do; threads
are calls, ids come from a seed, and the signals of a run are told by the test. So a run of an hour takes
milliseconds, and the same inputs give the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from unittest.mock import patch

import anyio
import anyio.to_thread

EPOCH = 1_700_000_000.0
LONGEST = 3 * 86400.0
"""Seconds that one run of the loop may take of virtual time."""
TURNS = 100_000
"""Turns of the loop that one run may take."""


class Stuck(BaseException):
    """The loop can't go on: everything waits for ever, or nothing ever ends."""


@dataclass(slots=True)
class Clock:
    """The one clock: seconds since the test began."""

    now: float = 0.0

    def unix(self) -> float:
        """The same moment as Unix time."""
        return EPOCH + self.now


class Time:
    """What the pipeline's modules see instead of ``time``; who sleeps moves the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.unix()

    def monotonic(self) -> float:
        return self._clock.now

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        self._clock.now += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _calendar(clock: Clock) -> type[datetime]:
    """What the pipeline's modules see instead of ``datetime.datetime``."""

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(clock.unix(), tz)

    return Virtual


class _Ids:
    """What the pipeline's modules see instead of ``uuid``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self._random.getrandbits(128), version=4)

    def __getattr__(self, name: str) -> Any:
        return getattr(uuid, name)


class _Jumping(selectors.SelectSelector):
    """Never waits: where the loop would, the clock jumps."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._until = clock.now + LONGEST
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self._turns > TURNS:
            raise Stuck(f"{TURNS:,} turns, and no end after {self._clock.now + LONGEST - self._until:,.1f} s")
        # The loop's own pipe, by which threads wake it: there are none, but a future's callback writes to it.
        told = super().select(0)
        if told:
            return told
        if timeout is None:
            raise Stuck("everything waits for ever")
        self._clock.now += max(0.0, timeout)
        if self._clock.now > self._until:
            raise Stuck(f"not finished after {LONGEST:,.0f} s")
        return told


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        super().__init__(_Jumping(clock))

    def time(self) -> float:
        return self._virtual.now


@dataclass(slots=True)
class Signals:
    """The signals of the run under way: ``tell`` sends one."""

    _waiting: list[anyio.Event] = field(default_factory=list)

    def tell(self) -> bool:
        """A signal to leave; False when the run doesn't listen (yet): then it simply ends."""
        for event in self._waiting:
            event.set()
        return bool(self._waiting)

    @contextlib.contextmanager
    def receiver(self, *_: object) -> Iterator[AsyncIterator[int]]:
        """What ``anyio.open_signal_receiver`` is while time is virtual: one signal, and no second."""
        event = anyio.Event()
        self._waiting = [event]

        async def told() -> AsyncIterator[int]:
            await event.wait()
            yield 2
            await anyio.sleep_forever()

        try:
            yield told()
        finally:
            self._waiting = []


async def _inline(call: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    """``anyio.to_thread.run_sync`` without a thread: others have their turn before and after it, as with one."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep(0.001)
        result = call(*arguments)
        await anyio.sleep(0.001)
    return result


@contextlib.contextmanager
def virtual(clock: Clock, seed: int = 0) -> Iterator[Signals]:
    """Time is virtual for the pipeline, and what it runs in an event loop, until the end of this."""
    signals, real_run = Signals(), anyio.run

    def run(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        return real_run(function, *arguments, backend_options={"loop_factory": lambda: VirtualLoop(clock)})

    fakes: dict[Any, tuple[str, Any]] = {
        time: ("time", Time(clock)),
        uuid: ("uuid", _Ids(seed)),
        datetime: ("datetime", _calendar(clock)),
    }
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("pipeline."):
                for real, (attribute, fake) in fakes.items():
                    if getattr(module, attribute, None) is real:
                        stack.enter_context(patch.object(module, attribute, fake))
        stack.enter_context(patch.object(anyio, "run", run))
        stack.enter_context(patch.object(anyio, "open_signal_receiver", signals.receiver))
        stack.enter_context(patch.object(anyio.to_thread, "run_sync", _inline))
        yield signals
