"""A disk that is full for real: a small tmpfs, which the run fills, made larger after; and one that is read-only."""

from __future__ import annotations

import contextlib
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from soak.bench import Bench
from soak.table import Row
from soak.trial import Trial, row

SIZES = range(4, 404, 4)
"""KiB, a page apart: the largest is about what a run of the small campaign takes."""
FILES = range(2, 34)
"""How many files and folders there may be; likewise."""
LEAST = 3
"""Trials of each, at any scale."""
ROOM = "size=16m,nr_inodes=1000"
WHY = ("No space left", "disk is full", "disk I/O error", "unable to open database file")
"""What the system and SQLite say of a full disk; SQLite does not always know why it can't open a file."""


def campaign(scale: float) -> Iterator[Row]:
    """Rows for space, for the number of files, and for a disk that can't be written at all."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, contextlib.ExitStack() as stack:
        out = Path(folder, "disk")
        out.mkdir()
        try:
            _mount(out, ROOM)
        except (OSError, subprocess.CalledProcessError) as error:
            yield Row("a full disk", 0, 1, 0, 0, 0, 0.0, f"no small disk can be mounted ({error}): nothing was tried")
            return
        stack.callback(subprocess.run, ["umount", "--lazy", str(out)], check=False)
        bench = stack.enter_context(Bench(Path(folder), out / "out"))
        for name, sizes, option in (
            ("a full disk", SIZES, "size={}k"),
            ("a disk without room for more files", FILES, "nr_inodes={}"),
        ):
            yield _sweep(name, sizes, option, scale, bench)
        yield _read_only(bench)


def _mount(out: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(out)], check=True, capture_output=True)


def _remount(out: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(out)], check=True, capture_output=True)


def _sweep(name: str, sizes: range, option: str, scale: float, bench: Bench) -> Row:
    """Runs with this much room, and then with plenty."""
    start = time.monotonic()
    chosen = sorted(random.sample(sizes, min(len(sizes), max(LEAST, round(scale * len(sizes))))))
    trials = [_trial(bench, bench.out.parent, option.format(size)) for size in chosen]
    return row(name, trials, time.monotonic() - start)


def _trial(bench: Bench, disk: Path, limit: str) -> Trial:
    """A run in this much room, then one in plenty."""
    bench.renew()
    _remount(disk, ROOM)
    _remount(disk, limit)
    done = Trial(limit)
    done.code, said = bench.run()
    if done.code not in (0, 1) or "Traceback" in said:
        done.broken.append(f"ended badly: {said[-1500:]}")
    elif done.code == 1 and str(bench.out) not in said:
        done.broken.append(f"does not say where: {said}")
    elif done.code == 1 and not any(word in said for word in WHY):
        done.broken.append(f"does not say why: {said}")
    _remount(disk, ROOM)
    bench.settle(done)
    return done


def _read_only(bench: Bench) -> Row:
    """Nothing can be written: nothing is paid."""
    start, disk = time.monotonic(), bench.out.parent
    bench.renew()
    _remount(disk, ROOM)
    _remount(disk, "ro")
    done = Trial("a read-only disk")
    try:
        done.code, said = bench.run()
    finally:
        _remount(disk, "rw")
    if done.code != 1 or "Read-only file system" not in said or str(bench.out) not in said:
        done.broken.append(f"ended badly: {said}")
    if bench.gateway.state.submits:
        done.broken.append(f"{bench.gateway.state.submits} submits")
    bench.settle(done)
    return row("a read-only disk", [done], time.monotonic() - start)
