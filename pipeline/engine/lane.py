"""A lane: the requests that share one account's limits, and how they share them.

exchange = retry( pace( slot( send ) ) ): a slot is free during a back-off, a 429 slows the whole lane, the number of
slots goes up slowly and down fast within the provider's limit, and no more paid calls leave than a minute takes.
"""

from __future__ import annotations

import email.utils
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from pipeline.engine.merge import Merge
from pipeline.engine.wire import Wire
from pipeline.errors import LaneStopped, LostAnswer, TryLater
from pipeline.types import Answer, Call, Polling, Provider

MAX_WAIT = 120.0
"""Seconds that a Retry-After may hold a lane; a longer one is taken as this."""
TRIES = 6
TELLING = 3
"""Tries after which the user hears of it."""
POLL_TRIES = 10
"""For a call that costs nothing: what it asks about may be paid already."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
SAMPLES = 5
"""Requests until their durations say something."""
MINUTE = 60.6
"""Seconds in which no more paid calls leave than the limit allows in 60: the gateway's clock is not ours."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _NotNow:
    """Why a try had no answer; ``after``: seconds that the gateway asks to wait; ``busy``: with our own requests."""

    reason: str
    after: float | None = None
    busy: bool = False


class Lane(Generic[T]):
    """One provider's queue of orders, connections and pace. ``stopped`` says why it can't be used any more.

    ``jobs`` counts the requests that the gateway is working on.
    """

    def __init__(
        self,
        provider: Provider,
        wire: Wire,
        sent: Iterable[float] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.provider = provider
        self.wire = wire
        self.queue: deque[T] = deque()
        self.stopped: str | None = None
        self._tell = tell
        self._told = False
        self.jobs = 0
        self.seconds: deque[float] = deque(maxlen=20)  # that the last ones took
        self._limit = float(provider.concurrency)
        self._slots = anyio.CapacityLimiter(provider.concurrency)
        self._not_before = 0.0
        # ``sent``: Unix times of earlier runs' paid calls; the gateway's minute knows nothing of runs.
        since = time.monotonic() - time.time()
        self._paid = deque((since + min(moment, time.time()) for moment in sorted(sent)), maxlen=provider.per_minute)
        self._merge = Merge(self._settled)

    def polling(self, usual: Polling) -> Polling:
        """When to poll a new request: as its provider says, or by how long the lane's requests take.

        Waiting until the fastest of them might be done, and then asking often, finds the end of a request early with
        no more polls than the usual times need; and a slot that is seen to be free is used.
        """
        if self.provider.polling is not None:
            return self.provider.polling
        speed = self.provider.speed
        if len(self.seconds) < SAMPLES:
            return Polling(usual.first / speed, usual.every / speed)
        taken = sorted(self.seconds)
        every = max(usual.every / speed / 10, taken[len(taken) // 2] * 0.03)
        return Polling(max(0.9 * taken[0] - every, every), min(every, usual.every / speed))

    async def exchange(
        self, call: Call, on_wire: Callable[[bool], None] = lambda _: None, most: int = POLL_TRIES
    ) -> Answer:
        """Send a call until it is answered by something other than "not now".

        ``on_wire`` is told when it leaves, and when it has certainly not been accepted.

        Raises:
            TryLater: when it still isn't accepted after several tries; nothing was paid.
            LostAnswer: for a paid call whose fate is unknown.
            LaneStopped: when the address is wrong, or nobody answers there.
        """
        return await (self._merge.send(call) if call.merged else self._settled(call, on_wire, most))

    async def carry_out(self, steps: Generator[Call, Answer, R], most: int = POLL_TRIES) -> R:
        """Answer each call of a dialect's generator, none of them paid, and return what it returns."""
        try:
            call = next(steps)
            while True:
                call = steps.send(await self.exchange(call, most=most))
        except StopIteration as done:
            result: R = done.value
            return result

    async def _settled(
        self, call: Call, on_wire: Callable[[bool], None] = lambda _: None, most: int = POLL_TRIES
    ) -> Answer:
        tries, reason = 0, ""
        for number in itertools.count():
            if tries == (TRIES if call.paid else most):
                break
            await self._pace(paid=call.paid)
            wait = spread(number)
            result = await self._tried(call, on_wire, wait)
            if isinstance(result, Answer):
                return result
            reason = result.reason
            tries += not result.busy
            if tries == TELLING and not self._told:
                self._told = True
                self._tell(f"{reason}; trying again")
            if self.stopped is not None and call.paid:
                raise LaneStopped(self.stopped)
            await anyio.sleep(wait if result.after is None else result.after)
        if call.paid:
            raise LaneStopped(f"{reason}, {TRIES} times")
        raise TryLater(reason)

    async def _tried(self, call: Call, on_wire: Callable[[bool], None], wait: float) -> Answer | _NotNow:
        """One try in a slot: an answer that can be read, or why there is none yet."""
        async with self._slots:
            on_wire(True)
            try:
                answer = await self.wire.send(call)
            except TryLater as error:
                on_wire(False)
                return _NotNow(str(error))
            except LostAnswer as error:
                if call.paid:
                    raise
                return _NotNow(str(error))
            after = retry_after(answer.headers)
            reason = f"the gateway answered {answer.status}"
            if _not_now(answer, after):
                on_wire(False)
                self._slow(wait if after is None else after)
                # With jobs of our own in flight it is no failure: one of them has to end first.
                return _NotNow(reason, after, busy=self.jobs > 0)
            if _whole(answer, call):
                self._quicken()
                return answer
            if call.paid:
                raise LostAnswer(f"{reason} without saying what became of the request")
            return _NotNow(reason, after)

    async def _pace(self, *, paid: bool) -> None:
        if paid and self._paid.maxlen:
            now = turn = time.monotonic()
            if len(self._paid) == self._paid.maxlen:
                turn = max(now, self._paid[0] + MINUTE / self.provider.speed)
            self._paid.append(turn)
            await anyio.sleep(turn - now)
        while (wait := self._not_before - time.monotonic()) > 0:  # noqa: ASYNC110  # the time itself may move
            await anyio.sleep(wait)

    def _slow(self, seconds: float) -> None:
        self._not_before = max(self._not_before, time.monotonic() + seconds)
        self._limit = max(1.0, self._limit / 2)
        self._slots.total_tokens = int(self._limit)

    def _quicken(self) -> None:
        self._limit = min(float(self.provider.concurrency), self._limit + 1 / self._limit)
        self._slots.total_tokens = int(self._limit)


def _not_now(answer: Answer, after: float | None) -> bool:
    """Not accepted, to be tried again: 429, or 503 that says when."""
    return answer.status == 429 or (answer.status == 503 and after is not None)


def _whole(answer: Answer, call: Call) -> bool:
    """Something that a dialect can read: no 5xx unless it wants it, no success without JSON (a proxy's page)."""
    if answer.status >= 500 or (call.paid and answer.status in (408, 425, 499)):
        return answer.status in call.reads and isinstance(answer.json, dict)
    return not (answer.status < 300 and answer.json is None and call.data is None)


def spread(number: int) -> float:
    """Seconds to wait after the N-th try: doubling from the first to the longest, with a spread of a half."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(number, 20)) * random.uniform(0.75, 1.25)  # noqa: S311  # no secret


def backoff(tries: int) -> Iterator[float]:
    """Seconds to wait after each of so many tries."""
    return map(spread, range(tries))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header (a number or a date, RFC 9110 §10.2.3), capped; None without a sane one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_WAIT) if seconds == seconds else None  # NaN
