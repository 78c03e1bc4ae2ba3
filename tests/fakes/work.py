"""Work that is counted, not timed: a bound on it holds on every machine, however busy that is.

What is counted is calls, of functions in Python and in C. The profiler of the standard library counts them, which costs
little; it sees only the thread that starts it.
"""

from __future__ import annotations

import contextlib
import cProfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

HANGS = 120.0
"""Seconds after which something hangs: a guard against waiting for ever, not a measure of speed."""


@dataclass(slots=True)
class Work:
    """What was done inside a ``with`` block; known at its end."""

    calls: int = 0
    peak: int = 0  # bytes that Python held at most, above those of before


@contextlib.contextmanager
def calls() -> Iterator[Work]:
    """Count the calls of the block."""
    work, profile = Work(), cProfile.Profile()
    profile.enable()
    try:
        yield work
    finally:
        profile.disable()
        work.calls = sum(entry.callcount for entry in profile.getstats())


@contextlib.contextmanager
def memory() -> Iterator[Work]:
    """Measure the peak of the block's memory."""
    work = Work()
    tracemalloc.start()
    try:
        yield work
    finally:
        work.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
