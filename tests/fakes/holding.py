"""A process that holds a ledger, to be killed, stopped or waited for: ``python holding.py FOLDER HOW NUMBER``.

``hold``: it has committed a picture of this number, and waits; ``commit``: it commits as often; ``cycle``: it opens,
commits and closes as often.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.campaign import environment
from fakes.ledgers import make
from pipeline.ledger import Ledger, open_ledger


@contextlib.contextmanager
def holding(folder: Path, how: str = "hold", number: int = 100) -> Iterator[subprocess.Popen[str]]:
    """Such a process, which has said that it holds the ledger; it is killed at the end, whatever it does."""
    pipe = subprocess.PIPE
    command = [sys.executable, __file__, str(folder), how, str(number)]
    process = subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def killed(folder: Path, number: int = 100) -> None:
    """A ledger whose holder was killed after it had made this picture."""
    with holding(folder, number=number):
        pass


def beat(ledger: Ledger) -> None:
    """A step that changes something."""
    ledger.set_meta("beat", str(ledger.serial()))


def main(folder: Path, how: str, number: int) -> None:
    """Do it."""
    if how == "cycle":
        print("holding", flush=True)  # noqa: T201  # what it is for
        for _ in range(number):
            with open_ledger(folder, "test") as ledger:
                ledger.commit([beat])
        return
    with open_ledger(folder, "test") as ledger:
        if how == "hold":
            ledger.commit([make(number)])
        print("holding", flush=True)  # noqa: T201  # what it is for
        for _ in range(number if how == "commit" else 0):
            ledger.commit([beat])
        if how == "hold":
            sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
