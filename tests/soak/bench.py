"""A small campaign, its gateway and the command line, to be broken at one place and put to the question after."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Self

from fakes.campaign import write_campaign
from fakes.gateway import FakeGateway, Faults, State, serving
from fakes.order import violations
from fakes.steady import Steady

from soak import strace
from soak.strace import Place
from soak.trial import Trial

PICTURES = 2
USD = 28_000


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
        places = strace.places(lines, self.out)
        if strange := [place for place in places if place.path.endswith(".part") and "/.1-" not in place.path]:
            raise AssertionError(
                f"{strange[0].path}: temporary files are named in a way that fakes.steady doesn't know"
            )
        return places

    # ── one fault ───────────────────────────────────────────────────────────────────────────────

    def trial(self, place: Place, how: str) -> Trial:
        """A run with a fault, a run without, and what they left."""
        self.renew()
        done = Trial(f"{how.rstrip('+')} at {place}")
        done.code, said = self.run(*strace.failing(place, how))
        failed = None
        if how == "kill":
            if done.code != -9:
                done.broken.append(f"was not killed: {said}")
        elif hit := next((line for line in self.trace() if line.injected), None):
            check_end(done, said, hit.paths[-1])
            if Path(hit.paths[-1]).name.startswith("ledger.") and done.code:
                failed = hit.at
        else:
            done.broken.append("the fault was not met")
        self.settle(done, failed)
        return done

    def settle(self, done: Trial, failed: float | None = None) -> None:
        """What a broken run left, and what the next one makes of it. ``failed``: Unix seconds when the ledger did."""
        try:
            self.check_requests(done, failed)
            self.finish(done)
        except sqlite3.DatabaseError as error:
            done.broken.append(f"the ledger can't be read: {error}")

    def check_requests(self, done: Trial, failed: float | None) -> None:
        """Whatever arrived at the gateway was in the ledger before; nothing was, once the ledger had failed."""
        created = dict(self.rows("SELECT id, created FROM requests"))
        if failed is not None and (late := [at for at in created.values() if float(str(at)) > failed]):
            done.broken.append(f"{len(late)} requests after the ledger could not be written")
        if strangers := self.gateway.state.jobs.keys() - created.keys():
            done.broken.append(f"{len(strangers)} submits without an intent")

    def finish(self, done: Trial) -> None:
        """A run without faults must complete what the fault left."""
        code, said = self.run()
        if code:
            done.broken.append(f"the next run ended with {code}: {said[-1500:]}")
        billed = self.gateway.state.billed
        done.paid_twice = sum(pictures - 1 for pictures in billed.values())
        done.lost = PICTURES - len(self.good_files())
        if (check := self.rows("PRAGMA integrity_check")) != [("ok",)]:
            done.broken.append(f"the ledger is damaged: {check}")
        settled = self.rows("SELECT pictures, state, usd FROM requests WHERE state <> 'refused'")
        made = Counter(key for pictures, _, _ in settled for key, _ in json.loads(str(pictures)))
        done.recorded_twice = sum(number - 1 for number in made.values())
        done.uncertain = sum(state == "uncertain" for _, state, _ in settled)
        spent = sum(int(str(usd)) for _, _, usd in settled)
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


def check_end(done: Trial, said: str, path: str) -> None:
    """How a run ends that couldn't write to a path: with a word that names it."""
    if done.code not in (0, 1) or "Traceback" in said:
        done.broken.append(f"ended badly: {said[-1500:]}")
    elif done.code == 1 and not any(name in said for name in _names(path)):
        done.broken.append(f"does not say where: {said}")


def _names(path: str) -> tuple[str, ...]:
    """What a message may call a file: itself, the ledger it belongs to, or the file whose temporary name it is."""
    file = Path(path)
    if file.name.startswith("ledger."):
        return (f"{file.parent}/ledger.",)
    return (path, f"{file.parent}/") if file.suffix == ".part" else (path,)
