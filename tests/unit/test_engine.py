"""The engine's parts by themselves: the journal, the lane's pace, the budget."""

from __future__ import annotations

import email.utils
import itertools
import time
from pathlib import Path

import anyio
import pytest

from pipeline.engine.journal import Journal
from pipeline.engine.lane import MAX_WAIT, backoff, retry_after
from pipeline.engine.session import Budget
from pipeline.errors import LedgerError
from pipeline.ledger import Ledger, open_ledger
from pipeline.types import dollars, micro_usd


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
    header = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after({"retry-after": header}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({}) is None


def test_waits_double_up_to_half_a_minute() -> None:
    """Spread by a quarter either way."""
    waits = list(backoff(9))
    assert waits[0] < 0.7
    assert all(later < 3.4 * sooner for sooner, later in itertools.pairwise(waits))
    assert 22 < waits[-1] < 38


def test_the_budget_reserves_and_settles() -> None:
    """What is reserved counts at once; what it came to replaces it."""
    for budget in (Budget(100, None), Budget(None, 100)):
        assert budget.reserve(60)
        assert not budget.reserve(41)
        budget.settle(60, 30, here=True)
        assert budget.reserve(70)
        assert not budget.reserve(1)
        assert budget.reserve(0)
    assert Budget(None, None).reserve(10**12)


def test_what_an_earlier_run_reserved_gives_no_room_to_this_run() -> None:
    """What is continued and refused frees the campaign's cap, not the run's; what may be unsent counts for the run."""
    budget = Budget(50, 0)
    budget.settle(40, 0, here=False)
    assert not budget.reserve(60)
    assert budget.reserve(40)
    known = Budget(50, 0)
    assert known.reserve(50, known=True)
    assert not known.reserve(1, known=True)


@pytest.mark.parametrize(
    ("usd", "text"),
    [(28_000, "$0.028"), (1_400_000, "$1.40"), (0, "$0.00"), (29_400, "$0.0294"), (1234_500_000, "$1,234.50")],
)
def test_money_is_shown_exactly(usd: int, text: str) -> None:
    """Two decimals at least, more only where they say something."""
    assert dollars(usd) == text
    assert micro_usd(0.0294) == 29_400
