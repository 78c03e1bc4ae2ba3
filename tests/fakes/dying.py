"""A process that is killed at the n-th step of what it does with a ledger, for n = 1, 2, … to the end.

A step is a call or a return of the ledger's own code, or of what that calls in C: of SQLite, of the system. Every death
is one of a real process, by SIGKILL, and what it leaves is looked at from outside. Prints a JSON object: how many steps
there are, and what was wrong after which of them. Usage: ``python dying.py SCENARIO FOLDER [EVERY [FIRST]]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.ledgers import filled, flip, made, make, picture
from pipeline.errors import LedgerError
from pipeline.ledger import newest, open_ledger, put_back, read_ledger
from pipeline.ledger.seal import Seal

GOLDEN = Path(__file__).parent.parent / "golden/ledgers"
WATCHED = ("pipeline/ledger/", "pipeline/files.py")


def load(folder: Path, version: int) -> None:
    """A ledger as an earlier version left it."""
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((GOLDEN / f"version-{version}.sql").read_text("utf-8"))
        identity = db.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0]
    (folder / "campaign.json").write_text(json.dumps({"campaign": "test", "ledger": identity}) + "\n")


def die_at(number: int) -> None:
    """From here on the steps are counted, and the n-th is the last thing this process does."""
    left = number

    def step(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        if any(name in frame.f_code.co_filename for name in WATCHED):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)


@dataclass(frozen=True)
class Scenario:
    """``prepare`` a folder, ``act`` on it (telling every number that was made durable), and ``check`` what is left."""

    prepare: Callable[[Path], object]
    act: Callable[[Path, Callable[[int], None]], object]
    check: Callable[[Path, set[int]], list[str]]


def _run(first: int) -> Callable[[Path, Callable[[int], None]], object]:
    """A run that makes three pictures."""

    def act(folder: Path, tell: Callable[[int], None]) -> None:
        with open_ledger(folder, "test") as ledger:
            for number in range(first, first + 3):
                ledger.commit([make(number)])
                tell(number)

    return act


def _opens(least: set[int]) -> Callable[[Path, set[int]], list[str]]:
    """Whatever was told to be durable is there, for a reader and for the next run, which leaves all in order."""

    def check(folder: Path, told: set[int]) -> list[str]:
        wrong = []
        with read_ledger(folder) as ledger:
            known = {int(row.key, 16) for row in ledger.pictures()} if ledger else set()
        if missing := (least | told) - known:
            wrong.append(f"{sorted(missing)} are gone")
        ledger_file = folder / "ledger.sqlite"
        before = ledger_file.read_bytes() if ledger_file.is_file() else b""
        with read_ledger(folder):
            pass
        if (ledger_file.read_bytes() if ledger_file.is_file() else b"") != before:
            wrong.append("reading has changed it")
        with open_ledger(folder, "test") as again:
            again.commit([make(900)])
        with read_ledger(folder) as ledger:
            assert ledger is not None
            if {int(row.key, 16) for row in ledger.pictures()} != known | {900}:
                wrong.append("the next run has lost something")
            wrong += [ledger.damage()] if ledger.damage() else []
            serial = ledger.serial()
        if not Seal(folder).check_file():
            wrong.append("the next run has not sealed it")
        backup = newest(folder)
        if backup is None or backup.serial != serial:
            wrong.append(f"the next run has not backed it up: {backup}")
        return wrong

    return check


def _migrate(folder: Path, tell: Callable[[int], None]) -> None:
    with open_ledger(folder, "test"):
        pass


def _migrated(folder: Path, told: set[int]) -> list[str]:
    """An old ledger is old, or new, and whole."""
    with read_ledger(folder) as ledger:
        assert ledger is not None
        snapshot = ledger.snapshot()
        if (len(snapshot.open_requests), sum(1 for _ in ledger.pictures())) != (5, 16):
            return ["something is gone"]
        return [ledger.damage()] if ledger.damage() else []


def _damaged(folder: Path) -> None:
    """A ledger that can't be trusted, whose backup knows all but one picture."""
    filled(folder, runs=2, each=2)
    for backup in sorted((folder / "backup").iterdir())[1:]:
        flip(backup, 40_000)
    flip(folder / "ledger.sqlite", 40_000)


def _restore(folder: Path, tell: Callable[[int], None]) -> None:
    """Put the backup back, and adopt what it doesn't know."""
    with put_back(folder, "test") as (ledger, _):
        known = {row.key for row in ledger.pictures()}
        for number in range(4):
            if picture(number).key not in known:
                ledger.commit([make(number)])


def _restored(folder: Path, told: set[int]) -> list[str]:
    """It is refused until a restore has come to its end; then everything is there."""
    wrong = []
    try:
        if (known := made(folder)) != {0, 1, 2, 3}:
            wrong.append(f"half restored, and a run would start: {known}")
    except LedgerError as error:
        if "`pipeline restore MANIFEST`" not in str(error):
            wrong.append(str(error))
        try:
            with open_ledger(folder, "test"):
                wrong.append("refused for reading, and opened for writing")
        except LedgerError:
            pass
    _restore(folder, lambda number: None)
    if made(folder) != {0, 1, 2, 3}:
        wrong.append(f"restored again: {made(folder)}")
    if left := [path.name for path in folder.glob("*restoring*")]:
        wrong.append(f"left lying: {left}")
    return wrong + _opens({0, 1, 2, 3})(folder, set())


def _without_backup(folder: Path) -> None:
    _damaged(folder)
    shutil.rmtree(folder / "backup")


SCENARIOS = {
    "first run": Scenario(lambda folder: None, _run(0), _opens(set())),
    "next run": Scenario(lambda folder: filled(folder, runs=4), _run(10), _opens({*range(8)})),
    "migration": Scenario(lambda folder: load(folder, 1), _migrate, _migrated),
    "restore": Scenario(_damaged, _restore, _restored),
    "restore without a backup": Scenario(_without_backup, _restore, _restored),
}


def death(scenario: Scenario, template: Path, folder: Path, number: int) -> list[str] | None:
    """What is wrong after a death at the n-th step; None: there is no such step."""
    shutil.rmtree(folder, ignore_errors=True)
    if template.exists():
        shutil.copytree(template, folder)
    said, say = os.pipe()
    child = os.fork()
    if not child:
        try:
            die_at(number)
            scenario.act(folder, lambda done: os.write(say, b"%d\n" % done) and None)
            sys.setprofile(None)
            os._exit(0)
        finally:
            os._exit(1)  # a child must not go on as its parent
    os.close(say)
    with open(said, "rb") as words:  # noqa: PTH123  # a pipe
        told = {int(word) for word in words.read().split()}
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return None
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"it ended by itself at step {number}: {status}")
    try:
        return scenario.check(folder, told)
    except LedgerError as error:
        return [f"refused: {error}"]


def deaths(name: str, place: Path, every: int = 1, first: int = 1) -> dict[str, Any]:
    """Every n-th death of a scenario."""
    scenario, template = SCENARIOS[name], place / "template"
    scenario.prepare(template)
    wrong, number, trials = {}, first, 0
    while (found := death(scenario, template, place / "folder", number)) is not None:
        if found:
            wrong[number] = found
        number, trials = number + every, trials + 1
    return {"trials": trials, "steps": number - every, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(deaths(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))))  # noqa: T201  # what it is for
