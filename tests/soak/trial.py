"""One fault, what came of it, and the row of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from soak.table import Row

SHOWN = 3
"""Bad trials that a row tells of."""


@dataclass
class Trial:
    """What a fault left. ``broken``: promises that have no figure of their own, in words."""

    name: str
    code: int = 0
    lost: int = 0
    paid_twice: int = 0
    recorded_twice: int = 0
    uncertain: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether every promise was kept."""
        return not (self.broken or self.lost or self.paid_twice or self.recorded_twice)

    def __str__(self) -> str:
        figures = f"lost {self.lost}, paid twice {self.paid_twice}, recorded twice {self.recorded_twice}"
        return f"{self.name} (exit {self.code}): {'; '.join(self.broken) or figures}"


def row(name: str, trials: Sequence[Trial], seconds: float, note: str = "") -> Row:
    """The figures of some trials; a broken promise that has no figure counts as lost, and is told."""
    codes = ", ".join(f"exit {code}: {number}" for code, number in sorted(Counter(t.code for t in trials).items()))
    bad = [str(trial) for trial in trials if not trial.fine]
    return Row(
        name,
        len(trials),
        sum(trial.lost or bool(trial.broken) for trial in trials),
        sum(trial.paid_twice for trial in trials),
        sum(trial.recorded_twice for trial in trials),
        sum(trial.uncertain for trial in trials),
        seconds,
        "; ".join(filter(None, [note, codes, *bad[:SHOWN]])),
    )
