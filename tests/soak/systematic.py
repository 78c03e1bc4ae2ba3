"""Kill, EIO and ENOSPC at the n-th call that changes the disk, for n = 1 … the end of a small run."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from soak import strace
from soak.bench import Bench
from soak.strace import Place
from soak.table import Row
from soak.trial import Trial, row

HOW = ("kill", "EIO", "ENOSPC+")
"""A disk that errs does so once; a full one stays full."""
BESIDE = 4
"""Runs side by side: they wait more than they work."""
LEAST = 4
"""Trials of each kind, at any scale."""


def campaign(scale: float) -> Iterator[Row]:
    """A row for each kind of fault."""
    if not strace.available():
        yield Row("systematic", 0, 1, 0, 0, 0, 0.0, "strace is not installed: nothing was tried")
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, contextlib.ExitStack() as stack:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(BESIDE if scale > 0.1 else 2):
            benches.put(stack.enter_context(Bench(Path(folder, str(number)))))
        first = benches.get()
        found = [replace(place, path=place.path.removeprefix(str(first.out))) for place in first.dry()]
        benches.put(first)
        for how in HOW:
            yield _faults(how, scale, list(dict.fromkeys(found)), benches)


def _faults(how: str, scale: float, known: list[Place], benches: SimpleQueue[Bench]) -> Row:
    """One kind of fault, at every place or at some of them."""
    start = time.monotonic()
    wanted = [place for place in known if _wanted(place, how)]
    chosen = sorted(random.sample(range(len(wanted)), min(len(wanted), max(LEAST, round(scale * len(wanted))))))

    def one(number: int) -> Trial:
        bench, place = benches.get(), wanted[number]
        try:
            return bench.trial(replace(place, path=f"{bench.out}{place.path}"), how)
        finally:
            benches.put(bench)

    with ThreadPoolExecutor(BESIDE) as pool:
        trials = list(pool.map(one, chosen))
    note = f"of {len(wanted)} places" + (f" (pages by turns, {len(known)} in all)" if how != "kill" else "")
    return row(f"{how.rstrip('+')} at the n-th write", trials, time.monotonic() - start, note)


def _wanted(place: Place, how: str) -> bool:
    """SQLite writes hundreds of pages, all in one way: there the two errors take turns."""
    return how == "kill" or place.call != "pwrite64" or (place.number % 2 == 1) == (how == "EIO")
