"""SIGINT, SIGTERM and SIGHUP at named moments, and at any moment: a run leaves, and nothing is lost."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from fakes.leaving import MOMENTS, PICTURES, Left, Moment, leave

from soak.table import Row
from soak.trial import Trial, row

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BESIDE = 4
INTERRUPTED = 130
ANY = 40
"""Trials at any moment."""
SMALL = 0.05
LATEST = 1.2
"""Seconds after its start until which a run is hit at any moment."""


Hit: TypeAlias = tuple[Moment, signal.Signals, bool]  # when, which, and whether twice


def campaign(scale: float) -> Iterator[Row]:
    """A row for each moment, one for the second signal, and one for any moment.

    At a small scale the named moments are left out: tests/faults/test_signals.py has each of them.
    """
    for name, moment in MOMENTS.items() if scale > SMALL else ():
        if scale > 0.5 or not moment.endless:
            yield _row(f"signal: {name}", [(moment, sign, False) for sign in SIGNALS], scale)
    engaged = [moment for moment in MOMENTS.values() if moment.engaged and moment.holds not in ("turn", "end")]
    yield _row("a second signal", [(moment, sign, True) for moment in engaged for sign in SIGNALS], scale)
    whenever = [(Moment(after=random.uniform(0, LATEST)), random.choice(SIGNALS), False) for _ in range(ANY)]
    yield _row("signals at any moment", whenever, scale)


def _row(name: str, hits: Sequence[Hit], scale: float) -> Row:
    start = time.monotonic()
    chosen = random.sample(hits, max(1, round(min(1.0, scale) * len(hits))))
    with ThreadPoolExecutor(BESIDE) as pool:
        lefts = list(pool.map(_leave, chosen))
    trials = [judged(hit, left) for hit, left in zip(chosen, lefts, strict=True)]
    return row(name, trials, time.monotonic() - start)


def _leave(hit: Hit) -> Left:
    moment, sign, twice = hit
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return leave(Path(folder), moment, sign, twice=twice)


def judged(hit: Hit, left: Left) -> Trial:
    """What a signal left."""
    moment, sign, twice = hit
    done = Trial(f"{sign.name}{' twice' if twice else ''} at {moment}", left.code)
    done.lost = PICTURES - left.done
    done.paid_twice = sum(pictures - 1 for pictures in left.billed.values())
    if left.late:
        done.broken.append(f"{left.late} paid calls after it")
    if left.next_code:
        done.broken.append(f"the next run ended with {left.next_code}: {left.next_said[-1000:]}")
    # Outside of the engine a signal's own action may end the run: what is on disk is whole at any moment.
    if left.code not in ({INTERRUPTED} if moment.engaged else {0, INTERRUPTED, -sign}):
        done.broken.append(f"ended badly: {left.said[-1000:]}")
    elif "Traceback" in left.said and left.code != -signal.SIGINT:  # Python itself, before there is a command
        done.broken.append(f"ended with a traceback: {left.said[-1000:]}")
    return done
