"""Caps: what they have room for, what is reserved and settled, and when a day's cap begins anew."""

from __future__ import annotations

import time

import pytest
from fakes.virtual import Clock, virtual

from pipeline import budget as budget_module
from pipeline.budget import Budget, Cap, midnight


@pytest.mark.parametrize("run", [True, False])
def test_what_is_reserved_counts_at_once_and_what_it_came_to_replaces_it(run: bool) -> None:
    """60 of 100 leave no room for 41; settled at 30 they leave room for 70."""
    budget = Budget([Cap("cap", 100, 100, run=run)])
    hold = budget.reserve(60, "mugs")
    assert budget.exceeded(41, "mugs") == "cap"
    budget.settle(hold, 30)
    assert budget.exceeded(70, "mugs") == ""
    assert budget.exceeded(71, "mugs") == "cap"
    assert budget.exceeded(0, "mugs") == ""


def test_without_caps_there_is_room_for_everything() -> None:
    """No cap, no end."""
    assert Budget().exceeded(10**15, "mugs") == ""


def test_what_an_earlier_run_reserved_gives_no_room_to_this_run() -> None:
    """Continued and refused, it frees the campaign's cap and not the run's; asked for again, the run's must hold it."""
    budget = Budget([Cap("total", 50, 0), Cap("run", 50, 50, run=True)])
    hold = budget.known(40, "mugs", time.time())
    budget.settle(hold, 0)
    assert budget.exceeded(40, "mugs") == ""
    assert budget.exceeded(41, "mugs") == "total"
    known = Budget([Cap("total", 50, 0), Cap("run", 50, 50, run=True)])
    assert known.exceeded(50, "mugs", known=True) == ""
    hold = known.take_over(known.known(50, "mugs", time.time()), "mugs")
    assert known.exceeded(1, "mugs", known=True) == "run"
    known.settle(hold, 20)
    assert [cap.left for cap in known.caps] == [30, 30]


def test_a_set_s_cap_is_for_its_own_pictures() -> None:
    """Mugs at their cap leave bowls as they are."""
    budget = Budget([Cap("budget.set_usd.mugs", 50, 50, product_set="mugs"), Cap("total", 100, 100)])
    budget.reserve(50, "mugs")
    assert budget.exceeded(1, "mugs") == "budget.set_usd.mugs"
    assert budget.exceeded(50, "bowls") == ""
    assert budget.exceeded(51, "bowls") == "total"


def test_a_day_s_cap_begins_anew_at_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reserved yesterday and is settled today takes nothing from today, and gives nothing back to it."""
    today, tomorrow = 86400.0 * 20_000, 86400.0 * 20_001
    now = [today + 3600]
    monkeypatch.setattr(budget_module.time, "time", lambda: now[0])
    budget = Budget([Cap("day", 100, 100, since=today, until=tomorrow)])
    hold = budget.reserve(100, "mugs")
    assert budget.exceeded(1, "mugs") == "day"
    now[0] = tomorrow
    monkeypatch.setattr(budget_module, "midnight", lambda days=0: now[0] + 86400 * days)
    assert budget.exceeded(100, "mugs") == ""
    budget.reserve(60, "mugs")
    budget.settle(hold, 0)
    assert budget.exceeded(40, "mugs") == ""
    assert budget.exceeded(41, "mugs") == "day"


def test_midnight_is_the_machine_s_own() -> None:
    """Today began at 0:00 local time, at most 25 hours ago, and tomorrow is 23 to 25 hours later."""
    with virtual(Clock()):
        begun, next_day = midnight(), midnight(1)
    today = time.localtime(begun)
    assert (today.tm_hour, today.tm_min, today.tm_sec) == (0, 0, 0)
    assert 0 <= Clock().unix() - begun <= 25 * 3600
    assert 23 * 3600 <= next_day - begun <= 25 * 3600
