"""The soak's campaigns at a small scale: every one of them runs, and finds nothing that must never be."""

from __future__ import annotations

import pytest
from soak.__main__ import CAMPAIGNS, run
from soak.table import Row, table

SCALE = 0.02
"""What part of the full soak a campaign does here: some seconds of each."""
SEED = 1
"""The same trials every time; `make soak` draws fresh ones."""
ELSEWHERE = {"systematic", "disk", "processes"}
"""The first two need strace and a file system of their own: `make soak` runs them; test_durability.py stands for them
here, and test_kill_gateways.py for the last one.
"""


@pytest.mark.parametrize("name", [name for name in CAMPAIGNS if name not in ELSEWHERE])
def test_a_small_soak(name: str) -> None:
    """A campaign at a small scale loses nothing, pays nothing twice and records nothing twice."""
    print(f"PYTHONPATH=.:tests python -m soak --only {name} --scale {SCALE} --seed {SEED}")  # noqa: T201  # to replay
    rows = run(name, SCALE, SEED)
    assert rows, "a campaign without a figure"
    assert all(row.trials > 0 for row in rows), "a row without a trial"
    assert not [row for row in rows if row.bad], table(rows)


def test_the_table_names_what_is_bad() -> None:
    """A bad row is marked, and counted in the last line."""
    rows = [Row("kills", 1000, 0, 0, 0, 7, 61.25), Row("storm", 60, 0, 1, 0, 0, 5.0, "seed 4")]
    lines = table(rows).splitlines()
    assert lines[0].split()[:3] == ["campaign", "trials", "lost"]
    assert lines[2].split() == ["kills", "1000", "0", "0", "0", "7", "61.2"]
    assert lines[3].split() == ["storm", "60", "0", "1", "0", "0", "5.0", "BAD", "seed", "4"]
    assert lines[-1].split() == ["total", "1060", "0", "1", "0", "7", "66.2", "BAD", "1", "bad"]
    assert lines[2].index("61.2") == lines[-1].index("66.2"), "the columns are not aligned"
