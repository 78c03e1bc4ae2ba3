"""A lane: the requests that share one account's limits, and how they share them.

exchange = retry( pace( slot( send ) ) ): a slot is free during a back-off, a 429 slows the whole lane, the number of
slots goes up slowly and down fast within the provider's limit, and no more paid calls leave than a minute takes.

An outage opens the lane's circuit: failures in a row, with no answer between them, and it pauses. Then one call at a
time tries whether the gateway is back, after ever longer pauses, until an answer closes the circuit or the outage has
lasted too long for this run.
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from pipeline.engine.merge import Merge
from pipeline.engine.wire import Wire
from pipeline.errors import LaneStopped, LostAnswer, TryLater
from pipeline.network import Departure
from pipeline.types import Answer, Call, Polling, Provider

MAX_WAIT = 120.0
"""Seconds that a Retry-After may hold a lane; a longer one is taken as this."""
TELLING = 3
"""Refusals in a row after which the user hears of it."""
TRIES = 6
"""For an upload."""
POLL_TRIES = 10
"""For a call that costs nothing otherwise: what it asks about may be paid already."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
OPENS = 5
"""Failures in a row that open the circuit."""
OUTAGE = 600.0
"""Seconds of nothing but failures and refusals after which a run gives a provider up."""
NEVER = 60.0
"""The same for a provider that has not answered in this run at all: its address or our network may be wrong."""
SAMPLES = 5
"""Requests until their durations say something."""
MINUTE = 60.6
"""Seconds in which no more paid calls leave than the limit allows in 60: the gateway's clock is not ours."""

T = TypeVar("T")
R = TypeVar("R")


class Unread(LostAnswer):
    """The paid call was answered with something that can't be read: ``answer``, to be kept for a version that can."""

    def __init__(self, reason: str, answer: Answer) -> None:
        super().__init__(f"{reason}; its answer is kept for a later version")
        self.answer = answer


class LaneDown(LaneStopped):
    """The circuit is open: the request was not sent, and waits, or goes to another provider."""


@dataclass(frozen=True, slots=True)
class _NotNow:
    """Why a try had no answer; ``held``: the lane waits by itself before anything else is sent; ``refused``: the
    gateway is there, and says to come later.
    """

    reason: str
    held: bool = False
    refused: bool = False


class Lane(Generic[T]):
    """One provider's queue of orders, connections and pace. ``stopped`` says why it can't be used any more.

    ``jobs`` counts the requests that the gateway is working on, ``lent`` the orders that others of a pool took over.
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
        self.opened: Callable[[], None] = lambda: None  # told when the circuit opens
        self.lent = 0  # orders that others of the pool hold while this one is down
        self.jobs = 0
        self.seconds: deque[float] = deque(maxlen=20)  # that the last ones took
        self._limit = float(provider.concurrency)
        self._slots = anyio.CapacityLimiter(provider.concurrency)
        self._not_before = 0.0
        self._slowed = 0.0  # when a refusal last halved the slots
        self._refusals = self._failures = self._pauses = 0  # in a row
        self._bad_since: float | None = None
        self._reason = ""
        self._answered = self._probing = False
        # ``sent``: Unix times of earlier runs' paid calls; the gateway's minute knows nothing of runs.
        since = time.monotonic() - time.time()
        self._paid = deque((since + min(moment, time.time()) for moment in sorted(sent)), maxlen=provider.per_minute)
        self._merge = Merge(self.exchange)

    @property
    def down(self) -> bool:
        """Whether the circuit is open: nothing but failures lately."""
        return self._pauses > 0

    def pause(self) -> float:
        """Seconds until an order may be started: none, unless the circuit is open and it is no time to try."""
        if not self.down:
            return 0.0
        return LONGEST_WAIT if self._probing else max(0.0, self._not_before - time.monotonic())

    def begin(self) -> None:
        """An order is started; while the circuit is open, it is the only one."""
        self._probing = self.down

    def end(self) -> None:
        """An order has ended."""
        self._probing = False

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
        self,
        call: Call,
        on_wire: Callable[[bool], None] = lambda _: None,
        most: int = POLL_TRIES,
        *,
        leave: bool = False,
    ) -> Answer:
        """Send a call until it is answered by something other than "not now".

        ``on_wire`` is told when it leaves, and when it has certainly not been accepted. ``leave``: it does not
        wait for the end of an outage, since another provider may serve as well.

        Raises:
            TryLater: when a free call still isn't answered after several tries.
            LostAnswer: for a paid call whose fate is unknown.
            LaneDown: when it was not sent, as the circuit is open, and may leave.
            LaneStopped: when the address is wrong, or nobody has answered there for too long.
        """
        if call.merged:
            return await self._merge.send(call)
        reason = "the gateway does not answer"
        tries = 0  # without an answer; who is told to come later does, for as long as the run bears it
        for number in itertools.count():
            if not call.paid and tries == most:
                raise TryLater(reason)
            async with self._turn(call, leave=leave):
                result = await self._tried(call, on_wire)
            if isinstance(result, Answer):
                return result
            reason = result.reason
            tries += not result.refused
            if why := self.hopeless():
                raise (LaneStopped if call.paid else TryLater)(why)
            if self.down and leave:
                raise LaneDown(reason)
            if not result.held:
                await anyio.sleep(spread(number))
        raise AssertionError  # pragma: no cover  # the count has no end

    async def carry_out(self, steps: Generator[Call, Answer, R], most: int = POLL_TRIES, *, leave: bool = False) -> R:
        """Answer each call of a dialect's generator, none of them paid, and return what it returns."""
        try:
            call = next(steps)
            while True:
                call = steps.send(await self.exchange(call, most=most, leave=leave))
        except StopIteration as done:
            result: R = done.value
            return result

    @contextlib.asynccontextmanager
    async def _turn(self, call: Call, *, leave: bool) -> AsyncIterator[None]:
        """A slot at a moment when the lane may send: not before a pause is over, nor more than a minute takes."""
        while True:
            if call.paid and self.stopped is not None:
                raise LaneStopped(self.stopped)
            if (wait := self._until(call)) > 0:
                if self.down and leave:
                    raise LaneDown(self._reason)
                await anyio.sleep(wait)
                continue
            async with self._slots:
                if self._until(call) <= 0:  # while it waited for the slot, the moment may have moved
                    if call.paid and self._paid.maxlen:
                        self._paid.append(time.monotonic())
                    yield
                    return

    def _until(self, call: Call) -> float:
        """Seconds until this call may leave."""
        moment = self._not_before
        if call.paid and self._paid.maxlen and len(self._paid) == self._paid.maxlen:
            moment = max(moment, self._paid[0] + MINUTE / self.provider.speed)
        return moment - time.monotonic()

    async def _tried(self, call: Call, on_wire: Callable[[bool], None]) -> Answer | _NotNow:
        """One try in a slot: an answer that can be read, or why there is none yet."""
        on_wire(True)
        sent, departure = time.monotonic(), Departure()
        try:
            answer = await self.wire.send(call, departure)
        except TryLater as error:
            on_wire(False)
            return self._failed(str(error), sent)
        except LostAnswer as error:
            failed = self._failed(str(error), sent)
            if call.paid:
                raise
            return failed
        except BaseException:  # also that the run ends
            if departure.left is False:
                on_wire(False)
            raise
        reason = f"the gateway answered {answer.status}"
        after = retry_after(answer.headers)
        if _not_now(answer, after):
            on_wire(False)
            return self._slow(reason, after, sent)
        if _whole(answer, call):
            if answer.status == 503:  # what became of this call, the dialect reads; all others come later
                self._slow(reason, after, sent)
            else:
                self._quicken()
            return answer
        failed = self._failed(reason, sent)
        if call.paid:
            raise Unread(f"{reason} without saying what became of the request", answer)
        return failed

    def _slow(self, reason: str, after: float | None, sent: float) -> _NotNow:
        """A refusal of what was sent then: the whole lane waits, and has half as many slots."""
        now = time.monotonic()
        self._answered, self._reason = True, reason
        if not self.jobs:  # else it is no failure: one of our own has to end first
            self._bad_since = self._bad_since or now
        wait = after or 0.0
        if sent >= self._slowed:  # what was under way when the lane slowed down says nothing new
            self._slowed = now
            self._refusals += 1
            wait = max(wait, spread(self._refusals - 1))  # "at once", again and again, would be thousands of calls
            self._limit = max(1.0, self._limit / 2)
            self._slots.total_tokens = int(self._limit)
        self._not_before = max(self._not_before, now + wait)
        if self._refusals == TELLING:
            self._tell(f"{reason}; trying again")
        return _NotNow(reason, held=True, refused=True)

    def _failed(self, reason: str, sent: float) -> _NotNow:
        """No answer to what was sent then: so many in a row are an outage, and open the circuit."""
        now = time.monotonic()
        self._probing, self._reason = False, reason
        if self.down and sent < self._not_before:
            return _NotNow(reason, held=True)  # sent before the circuit opened: it says nothing new
        self._failures += 1
        self._bad_since = self._bad_since or now
        if self._failures < OPENS:
            return _NotNow(reason)
        self._limit = self._slots.total_tokens = 1
        self._not_before = max(self._not_before, now + spread(self._pauses + 3, MAX_WAIT))
        self._pauses += 1
        if self._pauses == 1:
            self._tell(f"{reason}; pausing, and trying again one by one")
            self.opened()
        return _NotNow(reason, held=True)

    def _quicken(self) -> None:
        """An answer: the circuit is closed, and there may soon be one more slot."""
        if self.down:
            self._tell("answers again")
        self._answered, self._bad_since, self._probing = True, None, False
        self._refusals = self._failures = self._pauses = 0
        self._limit = min(float(self.provider.concurrency), self._limit + 1 / self._limit)
        self._slots.total_tokens = int(self._limit)

    def hopeless(self) -> str | None:
        """Why this run is better off without the provider, once it has been bad for that long."""
        most = OUTAGE if self._answered else NEVER
        if self._bad_since is None or time.monotonic() - self._bad_since <= most:
            return None
        return f"{self._reason}, for {most:g} s"


def _not_now(answer: Answer, after: float | None) -> bool:
    """Not accepted, to be tried again: 429, or 503 that says when."""
    return answer.status == 429 or (answer.status == 503 and after is not None)


def _whole(answer: Answer, call: Call) -> bool:
    """Something that a dialect can read: no 5xx unless it wants it, no success without JSON (a proxy's page)."""
    if answer.status >= 500 or (call.paid and answer.status in (408, 425, 499)):
        return answer.status in call.reads and isinstance(answer.json, dict)
    return not (answer.status < 300 and answer.json is None and call.data is None)


def spread(number: int, longest: float | None = None) -> float:
    """Seconds to wait after the N-th try: doubling from the first to the longest, with a spread of a half."""
    return min(longest or LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(number, 20)) * random.uniform(0.75, 1.25)  # noqa: S311  # no secret


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
