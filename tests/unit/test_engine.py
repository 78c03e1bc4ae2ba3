"""The engine's parts by themselves: the journal, the lane's pace, the budget."""

from __future__ import annotations

import email.utils
import itertools
from pathlib import Path

import anyio
import pytest
from fakes.virtual import Clock, virtual

from pipeline.engine.journal import Journal
from pipeline.engine.lane import MAX_WAIT, MINUTE, Lane, backoff, retry_after
from pipeline.engine.wire import Wire
from pipeline.errors import LedgerError
from pipeline.ledger import Ledger, open_ledger
from pipeline.models import load_model
from pipeline.network import Departure
from pipeline.types import Answer, Call, Polling, Provider, dollars, micro_usd


def test_writes_that_wait_together_are_committed_together(tmp_path: Path) -> None:
    """Fifty writers need far fewer than fifty transactions, and each is durable when it goes on."""
    with open_ledger(tmp_path, "test") as ledger:

        async def writer(journal: Journal, number: int) -> None:
            await journal.write(lambda to: to.set_meta(f"n{number}", "x"))
            assert ledger.meta(f"n{number}") == "x"

        async def main() -> None:
            journal = Journal(ledger)
            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(writer, journal, number)

        anyio.run(main)
        assert 1 <= int(ledger.meta("serial") or 0) <= 5


def test_a_journal_that_failed_once_fails_for_ever(tmp_path: Path) -> None:
    """After a write that the disk refused, nothing more is written: nothing more may be submitted."""
    with open_ledger(tmp_path, "test") as ledger:

        def break_it(to: Ledger) -> None:
            to._db.execute("INSERT INTO nowhere VALUES (1)")

        async def main() -> None:
            journal = Journal(ledger)
            with pytest.raises(LedgerError, match="can't be written"):
                await journal.write(lambda to: to.set_meta("a", "x"), break_it)
            with pytest.raises(LedgerError):
                await journal.write(lambda to: to.set_meta("b", "x"))

        anyio.run(main)
        assert (ledger.meta("a"), ledger.meta("b")) == (None, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("0", 0), ("-5", 0), ("1e9", MAX_WAIT), ("inf", MAX_WAIT), ("nan", None), ("soon", None), ("", None)],
)
def test_retry_after_is_honoured_within_reason(header: str, seconds: float | None) -> None:
    """Numbers are capped, nonsense is as if it weren't there."""
    assert retry_after({"retry-after": header}) == seconds


def test_retry_after_may_be_a_date() -> None:
    """An HTTP date is the time until then."""
    clock = Clock()
    header = email.utils.formatdate(clock.unix() + 30, usegmt=True)
    with virtual(clock):
        assert retry_after({"retry-after": header}) == pytest.approx(30, abs=1), "a date has whole seconds"
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({}) is None


def test_waits_double_up_to_half_a_minute() -> None:
    """Spread by a quarter either way."""
    waits = list(backoff(9))
    assert waits[0] < 0.7
    assert all(later < 3.4 * sooner for sooner, later in itertools.pairwise(waits))
    assert 22 < waits[-1] < 38


@pytest.mark.parametrize(
    ("usd", "text"),
    [(28_000, "$0.028"), (1_400_000, "$1.40"), (0, "$0.00"), (29_400, "$0.0294"), (1234_500_000, "$1,234.50")],
)
def test_money_is_shown_exactly(usd: int, text: str) -> None:
    """Two decimals at least, more only where they say something."""
    assert dollars(usd) == text
    assert micro_usd(0.0294) == 29_400


class _Recorder(Wire):
    """A wire that answers at once, and remembers when it was asked, by a virtual clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.times: list[float] = []

    async def send(self, call: Call, departure: Departure | None = None) -> Answer:
        self.times.append(self.clock.now)
        return Answer(200, {}, {})


@pytest.mark.parametrize("before", [0, 3])
def test_no_more_paid_calls_leave_than_a_minute_takes(before: int) -> None:
    """Five in a minute, those of an earlier run counted, and no later than they may."""
    offer = load_model("kling-image-o1").offers["eachlabs"]
    provider = Provider("eachlabs", offer, 28_000, 20, None, per_minute=5)
    clock = Clock()
    wire = _Recorder(clock)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(lane.exchange, Call("POST", "http://127.0.0.1/", {}, paid=True))

    with virtual(clock):
        lane = Lane[None](provider, wire, [clock.unix()] * before)
        anyio.run(run)
    minutes = [number // 5 for number in range(before, before + 12)]
    assert wire.times == pytest.approx([MINUTE * minute for minute in minutes], abs=0.1)


def test_a_lane_learns_how_long_requests_take() -> None:
    """Before it knows, the usual times; then it asks first when the fastest may be done, and often."""
    offer = load_model("kling-image-o1").offers["eachlabs"]
    lane = Lane[None](Provider("eachlabs", offer, 28_000, 10, None), _Recorder(Clock()))
    usual = Polling(3.0, 3.0)
    assert lane.polling(usual) == usual
    lane.seconds.extend([10.0, 12.0, 9.0, 11.0, 10.0])
    learned = lane.polling(usual)
    assert 7.0 < learned.first < 9.0
    assert 0.29 < learned.every < 0.5
    fixed = Lane[None](Provider("eachlabs", offer, 28_000, 10, None, polling=Polling(5.0, 4.0)), _Recorder(Clock()))
    fixed.seconds.extend([1.0] * 9)
    assert fixed.polling(usual) == Polling(5.0, 4.0)
