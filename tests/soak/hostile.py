"""The hostile campaign: the whole corpus of hostile manifests, and thousands that went wrong by chance.

Lost is what hung, crashed, took too much work or 300 MB, ended with another exit code, or wrote a file.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fakes.hostile_manifests import CASES, Case
from fakes.judge import Judge, Verdict, judging
from fakes.mutations import BOWLS, spoilt_bytes, spoilt_trees
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from soak.table import Row

COMMANDS = st.sampled_from([["validate"], ["validate", "--json"], ["plan"], ["plan", "--json"]])
EXAMPLES = 5000
"""Spoilt manifests of each kind in a full soak."""


@dataclass(slots=True)
class Figures:
    """What the trials of one row took, and what was wrong."""

    name: str
    started: float = field(default_factory=time.monotonic)
    trials: int = 0
    calls: int = 0
    megabytes: float = 0.0
    faults: list[str] = field(default_factory=list)

    def add(self, verdict: Verdict, faults: list[str]) -> None:
        """One more trial."""
        self.trials += 1
        self.calls = max(self.calls, verdict.calls)
        self.megabytes = max(self.megabytes, verdict.megabytes)
        self.faults += faults[:1]

    def row(self) -> Row:
        """The row of the table."""
        note = f"at most {self.calls / 1e6:.1f} million calls, +{self.megabytes:.0f} MB"
        if self.faults:
            note += f"; {self.faults[0][:300]}"
        return Row(self.name, self.trials, len(self.faults), 0, 0, 0, time.monotonic() - self.started, note)


def corpus(judge: Judge, scale: float) -> Row:
    """Every case of the corpus, or some of them."""
    figures = Figures("hostile corpus")
    for case in CASES if scale >= 1 else random.sample(CASES, max(1, round(len(CASES) * scale))):
        with tempfile.TemporaryDirectory() as name:
            case.write(Path(name))
            before = sorted(Path(name).rglob("*"))
            verdict = judge.judge(Path(name), "run", "m.yaml")
            faults = [f"{case.name}: {fault}" for fault in verdict.faults(1)]
            if case.words not in verdict.said:
                faults.append(f"{case.name}: said {verdict.said[:200]!r}")
            if sorted(Path(name).rglob("*")) != before:
                faults.append(f"{case.name}: wrote a file")
            figures.add(verdict, faults)
    return figures.row()


def spoilt(judge: Judge, name: str, manifests: st.SearchStrategy[str] | st.SearchStrategy[bytes], count: int) -> Row:
    """So many manifests that went wrong by chance."""
    figures, number = Figures(name), random.randrange(10**9)

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        data=manifests, command=st.sampled_from([["validate"], ["validate", "--json"], ["plan"], ["plan", "--json"]])
    )
    def trial(data: str | bytes, command: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Case(name, data, "", lambda folder: (folder / "bowls.csv").write_text(BOWLS)).write(Path(folder))
            verdict = judge.judge(Path(folder), *command, "m.yaml")
            figures.add(verdict, [f"{fault} of {data!r:.2000}" for fault in verdict.faults(0, 1)])

    run: Callable[[], None] = trial
    run()
    return figures.row()


def campaign(scale: float) -> Iterator[Row]:
    """The corpus, then trees and bytes that were spoilt."""
    with judging() as judge:
        yield corpus(judge, scale)
        yield spoilt(judge, "hostile trees", spoilt_trees(), max(5, round(EXAMPLES * scale)))
        yield spoilt(judge, "hostile bytes", spoilt_bytes(), max(5, round(EXAMPLES * scale)))
