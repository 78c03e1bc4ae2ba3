# ruff: noqa: T201  # it prints its figures
"""Run the soak: `PYTHONPATH=.:tests python -m soak [--scale 1.0] [--only NAME] [--seed N]`; 1 when anything is bad."""

from __future__ import annotations

import argparse
import importlib
import random
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from soak.table import Row, one_line, print_table

CAMPAIGNS = (
    "kills",
    "processes",
    "systematic",
    "disk",
    "signals",
    "storm",
    "lost",
    "downloads",
    "drip",
    "verify",
    "budget",
    "hostile",
    "model",
)
"""The modules of this package that are campaigns, in the order of running; each adds itself here."""


class Campaign(Protocol):
    """A module with a campaign in it."""

    def campaign(self, scale: float) -> Iterable[Row]:
        """Its rows, each as it is finished. 1.0 is the full soak. Its seed is drawn from `random`, and printed."""


def load(name: str) -> Campaign:
    """A campaign by its name."""
    return cast("Campaign", importlib.import_module(f"soak.{name}"))


def run(name: str, scale: float, seed: int) -> list[Row]:
    """Run one campaign, telling its rows as they come.

    `random` is seeded first with the seed and the name, so that a campaign run alone does what it did among others.
    """
    random.seed(f"{seed} {name}")
    rows: list[Row] = []
    for row in load(name).campaign(scale):
        print(one_line(row), flush=True)
        rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns that were asked for, and print their table."""
    parser = argparse.ArgumentParser(prog="soak", description="Campaigns of faults, and one table of what they did.")
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full soak; 0.05 some seconds of each")
    parser.add_argument("--only", action="append", choices=CAMPAIGNS, help="this campaign; may be given several times")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="replay a soak")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup runs would inherit deaf ears, and are to hear it
    print(f"soak: scale {given.scale:g}, --seed {given.seed}", flush=True)
    rows: list[Row] = []
    raised: list[str] = []
    for name in given.only or CAMPAIGNS:
        try:
            rows += run(name, given.scale, given.seed)
        except Exception:
            traceback.print_exc()
            raised.append(name)
    print_table(rows)
    if raised:
        print(f"raised: {', '.join(raised)} (--seed {given.seed})")
    return 1 if raised or any(row.bad for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
