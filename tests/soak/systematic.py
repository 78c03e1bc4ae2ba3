"""Kill, EIO and ENOSPC at the n-th call that changes the disk, for n = 1 … the end of a small run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from fakes.campaign import write_campaign
from fakes.gateway import FakeGateway, Faults, State, serving
from fakes.order import violations
from fakes.steady import Steady
from soak import strace
from soak.strace import Place
from soak.table import Row

PICTURES = 2
USD = 28_000
HOW = ("kill", "EIO", "ENOSPC+")
"""A disk that errs does so once; a full one stays full."""
BESIDE = 4
"""Runs side by side: they wait more than they work."""


@dataclass
class Trial:
    """One fault, and what came of it. ``broken``: promises, in words."""

    place: str
    how: str
    code: int = 0
    at: float = 0.0  # Unix seconds when the first call failed
    ledger: bool = False  # whether that was one of the ledger
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
        return f"{self.how} at {self.place} (exit {self.code}): {'; '.join(self.broken) or figures}"


class Bench:
    """A small campaign, its gateway, and the command line to run it; ``out`` is made anew for every trial."""

    def __init__(self, folder: Path, out: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.out = (out or self.folder / "out").resolve()
        self.private = self.out / ".pipeline"
        self.ledger = self.private / "ledger.sqlite"
        self.said = self.folder / "said"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.gateway: FakeGateway = self._stack.enter_context(serving(Faults(polls=0)))
        self.steady = self._stack.enter_context(Steady())
        self.manifest = write_campaign(
            self.folder,
            count=PICTURES,
            provider={"name": "fake", "base_url": self.gateway.url, "concurrency": 1},
            outputs={"folder": str(self.out), "aspect_ratio": ["1:1"], "format": ["png"]},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def renew(self) -> None:
        """Nothing made, nothing billed."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.gateway.state = State()

    def run(self, *options: str) -> tuple[int, str]:
        """One run, traced with these options of strace, or not at all."""
        command = ("run", "-q", self.manifest, "--workers", 1, "--allow-private")
        if not options:
            return self.steady.run(self.said, *command)
        tracers = []
        code, said = self.steady.run(
            self.said,
            *command,
            attach=lambda pid: tracers.append(strace.tracer(pid, self.folder / "trace", *options)),
        )
        tracers[0].wait(10)
        return code, said

    def trace(self) -> list[strace.Line]:
        """The calls of the traced run."""
        return strace.read(self.folder / "trace")

    def dry(self) -> list[Place]:
        """Where a run without faults changes the disk; and its order is checked."""
        self.renew()
        code, said = self.run(*strace.everything())
        if code:
            raise RuntimeError(f"a run without faults ended with {code}: {said}")
        lines = self.trace()
        wrong = violations(list(strace.events(lines, self.out)), self.ledger)
        if wrong:
            raise AssertionError("; ".join(wrong))
        return strace.places(lines, self.out)

    # ── one fault ───────────────────────────────────────────────────────────────────────────────

    def trial(self, place: Place, how: str) -> Trial:
        """A run with a fault, a run without, and what they left."""
        self.renew()
        done = Trial(str(place), how.rstrip("+"))
        done.code, said = self.run(*strace.failing(place, how))
        if how == "kill":
            if done.code != -9:
                done.broken.append(f"was not killed: {said}")
        else:
            hit = [line for line in self.trace() if line.injected]
            if hit:
                done.at = hit[0].at
                self.check_end(done, said, hit[0].paths[-1])
            else:
                done.broken.append("the fault was not met")
        try:
            self.check_requests(done)
            self.finish(done)
        except sqlite3.DatabaseError as error:
            done.broken.append(f"the ledger can't be read: {error}")
        return done

    def check_end(self, done: Trial, said: str, path: str) -> None:
        """How a run ends that couldn't write: with a word that names the file."""
        if done.code not in (0, 1) or "Traceback" in said:
            done.broken.append(f"ended badly: {said[-1500:]}")
        elif done.code == 1 and not any(name in said for name in _names(path)):
            done.broken.append(f"does not say where: {said}")
        done.ledger = Path(path).name.startswith("ledger.")

    def check_requests(self, done: Trial) -> None:
        """Whatever arrived at the gateway was in the ledger before; nothing was, once the ledger could not be written."""
        created = dict(self.rows("SELECT id, created FROM requests"))
        if done.ledger and done.code and (late := [at for at in created.values() if at > done.at]):
            done.broken.append(f"{len(late)} requests after the ledger could not be written")
        strangers = self.gateway.state.jobs.keys() - created.keys()
        if strangers:
            done.broken.append(f"{len(strangers)} submits without an intent")

    def finish(self, done: Trial) -> None:
        """A run without faults must complete what the fault left."""
        code, said = self.run()
        if code:
            done.broken.append(f"the next run ended with {code}: {said[-1500:]}")
        billed = self.gateway.state.billed
        done.paid_twice = sum(pictures - 1 for pictures in billed.values())
        done.lost = PICTURES - len(self.good_files())
        check = self.rows("PRAGMA integrity_check")
        if check != [("ok",)]:
            done.broken.append(f"the ledger is damaged: {check}")
        settled = self.rows("SELECT pictures, state, usd FROM requests WHERE state <> 'refused'")
        made = Counter(key for pictures, _, _ in settled for key, _ in json.loads(pictures))
        done.recorded_twice = sum(number - 1 for number in made.values())
        done.uncertain = sum(state == "uncertain" for _, state, _ in settled)
        spent = sum(usd for _, _, usd in settled)
        if not done.uncertain and spent != billed.total() * USD:
            done.broken.append(f"billed {billed.total() * USD}, recorded {spent}")

    def good_files(self) -> list[str]:
        """The cells whose file is there, as results.jsonl says it is."""
        good = []
        with contextlib.suppress(FileNotFoundError):
            for line in map(json.loads, (self.out / "results.jsonl").read_text("utf-8").splitlines()):
                data = (self.out / line["path"]).read_bytes()
                if line["state"] == "done" and hashlib.sha256(data).hexdigest() == line["sha256"]:
                    good.append(line["label"])
        return good

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What the ledger says, asked of a copy, so that asking changes nothing; empty where there is none yet."""
        if not self.ledger.is_file():
            return []
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            for file in (self.ledger, self.ledger.with_name("ledger.sqlite-wal")):
                if file.is_file():
                    shutil.copy(file, copy)
            with contextlib.closing(sqlite3.connect(Path(copy, self.ledger.name))) as db:
                return db.execute(query).fetchall()


def _names(path: str) -> tuple[str, ...]:
    """What a message may call a file: itself, the ledger it belongs to, or the file whose temporary name it is."""
    file = Path(path)
    if file.name.startswith("ledger."):
        return (f"{file.parent}/ledger.",)
    return (path, f"{file.parent}/") if file.suffix == ".part" else (path,)


# ── the campaign ────────────────────────────────────────────────────────────────────────────────


def campaign(scale: float) -> Iterator[Row]:
    """A row for each kind of fault."""
    if not strace.available():
        yield Row("systematic", 0, 1, 0, 0, 0, 0.0, "strace is not installed: nothing was tried")
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, contextlib.ExitStack() as stack:
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(BESIDE):
            benches.put(stack.enter_context(Bench(Path(folder, str(number)))))
        for how in HOW:
            yield _kind(how, scale, benches)


def _kind(how: str, scale: float, benches: SimpleQueue[Bench]) -> Row:
    start = time.monotonic()
    first = benches.get()
    found = first.dry()
    benches.put(first)
    known = list(dict.fromkeys(replace(place, path=place.path.removeprefix(str(first.out))) for place in found))
    chosen = sorted(random.sample(range(len(known)), min(len(known), max(4, round(scale * len(known))))))

    def one(number: int) -> Trial:
        bench = benches.get()
        try:
            return bench.trial(replace(known[number], path=f"{bench.out}{known[number].path}"), how)
        finally:
            benches.put(bench)

    with ThreadPoolExecutor(BESIDE) as pool:
        trials = list(pool.map(one, chosen))
    return row(f"systematic {how.rstrip('+')}", trials, time.monotonic() - start, f"of {len(known)} places")


def row(name: str, trials: Sequence[Trial], seconds: float, note: str) -> Row:
    """The figures of some trials; a broken promise of another kind counts as lost, and is told."""
    bad = [trial for trial in trials if not trial.fine]
    codes = ", ".join(f"exit {code}: {number}" for code, number in sorted(Counter(t.code for t in trials).items()))
    return Row(
        name,
        len(trials),
        sum(trial.lost or bool(trial.broken) for trial in trials),
        sum(trial.paid_twice for trial in trials),
        sum(trial.recorded_twice for trial in trials),
        sum(trial.uncertain for trial in trials),
        seconds,
        "; ".join([note, codes, *(str(trial) for trial in bad[:3])]),
    )
