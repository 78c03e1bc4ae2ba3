"""A wall clock that a test moves, for itself and for the processes that it starts."""

from __future__ import annotations

import mmap
import os
import struct
import time
from datetime import datetime, tzinfo
from pathlib import Path

CLOCK = "TEST_CLOCK"
"""Environment variable: the file of the clock that a process is to follow."""

_real = time.time


class Clock:
    """The real time, and so many seconds more or less; they stand in a file that several processes share."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            file.write_bytes(struct.pack("d", 0.0))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that is to follow this clock."""
        return {CLOCK: str(self.file)}

    def now(self) -> float:
        """Its time, in Unix seconds."""
        return _real() + float(struct.unpack("d", self._shared[:])[0])

    def set(self, moment: str) -> None:
        """Let it be this local time now: ``2026-03-01 23:59:59``."""
        self._shared[:] = struct.pack("d", datetime.fromisoformat(moment).timestamp() - _real())


def day(moment: float) -> str:
    """The local day of a moment in Unix seconds."""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def follow() -> None:
    """Let this process go by the clock that its environment names, if any. It can't be undone."""
    file = os.environ.get(CLOCK)
    if file is None:
        return
    from pipeline import budget

    clock = Clock(Path(file))

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Shifted:
            return cls.fromtimestamp(clock.now(), tz)

    time.time = clock.now
    budget.datetime = Shifted  # type: ignore[attr-defined]  # it is no part of what that module offers
