"""A run that is told to leave: no more paid calls, out in time, and nothing that it paid for is lost."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.leaving import MOMENTS, Left, leave
from soak.signals import judged

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def check(folder: Path, moment: str, sign: signal.Signals, *, twice: bool = False) -> Left:
    """A run that gets this signal at this moment keeps every promise; how it left."""
    left = leave(folder, MOMENTS[moment], sign, twice=twice)
    trial = judged((MOMENTS[moment], sign, twice), left)
    assert trial.fine, str(trial)
    return left


@pytest.mark.parametrize(
    ("moment", "sign"),
    [
        ("planning", INT),
        ("planning", TERM),
        ("an answer that comes late", TERM),
        ("polling", HUP),
        ("writing pictures", INT),
        ("publishing", INT),
        ("publishing", HUP),
    ],
)
def test_a_signal_at_any_stage_loses_nothing(tmp_path: Path, moment: str, sign: signal.Signals) -> None:
    """Out at once, no paid call a tenth of a second later, and the next run completes it without paying again."""
    assert check(tmp_path, moment, sign).seconds < 5


def test_what_never_ends_is_left_within_ten_seconds(tmp_path: Path) -> None:
    """A paid call without an answer, a download that drips and a disk that hangs: left in time, all three."""
    stuck = {"an answer that never comes": INT, "a download that drips": TERM, "a disk that hangs": HUP}

    def one(moment: str) -> Left:
        return check(tmp_path / moment, moment, stuck[moment])

    with ThreadPoolExecutor(len(stuck)) as pool:
        assert [left.code for left in pool.map(one, stuck)] == [130, 130, 130]


@pytest.mark.parametrize(
    ("moment", "sign"),
    [("an answer that never comes", TERM), ("a download that drips", HUP), ("a disk that hangs", INT)],
)
def test_a_second_signal_leaves_at_once(tmp_path: Path, moment: str, sign: signal.Signals) -> None:
    """Whatever is under way, the second signal is obeyed within a second, and what was paid is found again."""
    assert check(tmp_path, moment, sign, twice=True).seconds < 1
