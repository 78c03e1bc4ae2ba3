"""Damage: a flipped bit in a picture is found, in a ledger it does nothing by itself, and a restore pays for nothing.

And a run, a migration or a restore that is killed at any of its steps leaves nothing that lies.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from fakes.campaign import HERE, environment
from fakes.dying import SCENARIOS

from soak.patient import DAMAGES, Patient, Silent, restored
from soak.table import Row

PICTURES, LEDGERS, RESTORES = 4000, 3000, 60
"""Flipped bits in pictures; in each of two ledgers; and damaged ledgers that are put back."""
EVERY = 5
"""Of the steps at which a process is killed: about 3,000."""


def campaign(scale: float) -> Iterator[Row]:
    """Rows for pictures, for the ledger of a finished and of a killed run, for restores, and for kills."""
    for killed in (False, True):
        what = "a killed run" if killed else "a finished run"
        with tempfile.TemporaryDirectory(prefix="soak-") as folder, Patient(Path(folder), killed=killed) as patient:
            if not killed:
                yield _row("a bit of a picture", round(scale * PICTURES), lambda: _picture(patient))
            yield _row(f"a bit of the ledger of {what}", round(scale * LEDGERS), lambda: _ledger(patient))
            names = random.sample([*DAMAGES] * 10, 10 * len(DAMAGES))
            yield _restores(f"restored after {what}", names[: max(2, round(scale * RESTORES / 2))], patient)
    yield _deaths(scale)


def _row(name: str, trials: int, trial: Callable[[], str]) -> Row:
    """So many flips, and what became of them."""
    start, fates, silent = time.monotonic(), Counter[str](), []
    for _ in range(max(20, trials)):
        try:
            fates[trial()] += 1
        except Silent as found:
            silent.append(str(found))
    notes = [f"{fate}: {number}" for fate, number in sorted(fates.items())] + silent[:3]
    return Row(name, max(20, trials), len(silent), 0, 0, 0, time.monotonic() - start, "; ".join(notes))


def _picture(patient: Patient) -> str:
    patient.flip_images(random.choice([1, 1, 2, 5]))
    return "named"


def _ledger(patient: Patient) -> str:
    return patient.flip_ledger(*patient.somewhere())


def _restores(name: str, damages: list[str], patient: Patient) -> Row:
    """Each damage, restored, and run to its end."""
    start, lost, twice, wrong = time.monotonic(), 0, 0, []
    for damage in damages:
        try:
            missing, again = restored(patient, damage)
        except Silent as found:
            missing, again = 1, 0
            wrong.append(str(found))
        if missing or again:
            wrong.append(f"{damage}: {missing} lost, {again} paid twice")
        lost, twice = lost + missing, twice + again
    return Row(name, len(damages), lost, twice, 0, 0, time.monotonic() - start, "; ".join(wrong[:3]))


def _deaths(scale: float) -> Row:
    """Killed at every n-th step of each scenario."""
    start, trials, wrong = time.monotonic(), 0, []
    for name in SCENARIOS:
        every = max(1, round(EVERY / scale))
        first = random.randint(1, min(every, 100))
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            command = [sys.executable, str(HERE / "dying.py"), name, folder, str(every), str(first)]
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(f"{name}: {done.stderr[-500:]}")
            continue
        found = json.loads(done.stdout)
        trials += found["trials"]
        wrong += [f"{name}, step {step}: {'; '.join(what)}" for step, what in found["wrong"].items()]
    return Row("killed at a step", trials, len(wrong), 0, 0, 0, time.monotonic() - start, "; ".join(wrong[:3]))
