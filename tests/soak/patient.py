"""A campaign that was run, its gateway's bill, and what single flipped bits anywhere in it do."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self
from unittest.mock import patch

from fakes.campaign import edit, start, write_campaign
from fakes.dialect import FakeById, FakeWithoutId
from fakes.gateway import FakeGateway, Faults, serving
from fakes.ledgers import PARTS, flip, put, taken
from fakes.steady import Steady

from pipeline.cli.show import plan_json
from pipeline.errors import LedgerError
from pipeline.expand import PRIVATE, Expansion, expand
from pipeline.gateways import DIALECTS
from pipeline.ledger import newest, read_ledger
from pipeline.ledger.backup import backups
from pipeline.manifest import load
from pipeline.plan import make_plan
from pipeline.verify import Part, verify

PRODUCTS, FINISHED = 6, 3
"""Of the manifest, each two pictures; and of the run that came to its end. Another run was killed in the rest."""
IN_FLIGHT = 2
Fate = Literal["refused", "the same"]


class Silent(AssertionError):
    """What must not happen, or not without a word."""


class Patient:
    """The campaign; ``killed``: after its first run a second one was killed, with requests in flight."""

    def __init__(self, folder: Path, *, killed: bool = False) -> None:
        self.folder = folder.resolve()
        self.out = self.folder / "out/test"
        self.private = self.out / PRIVATE
        self.killed = killed
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.gateway: FakeGateway = self._stack.enter_context(serving(Faults(polls=0)))
        self.steady = self._stack.enter_context(Steady())
        self._stack.enter_context(patch.dict(DIALECTS, {one.name: one for one in (FakeById(), FakeWithoutId())}))
        provider = {"name": "fake", "base_url": self.gateway.url, "concurrency": IN_FLIGHT}
        self.manifest = write_campaign(self.folder, count=PRODUCTS, provider=provider)
        products = json.loads(self.manifest.read_text())["products"]["things"]
        edit(self.manifest, products={"things": products[:FINISHED]})
        self.run()
        if self.killed:
            edit(self.manifest, products={"things": products})
            self._kill()
        self._template = self.folder / "template"
        shutil.copytree(self.out, self._template, symlinks=True)
        self._state = copy.deepcopy(self.gateway.state)
        self.expansion: Expansion = expand(load(str(self.manifest)))
        self.parts = taken(self.private)
        self.asked = self.ask()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill(self) -> None:
        """A run that is killed when it has made some pictures, and the gateway takes its time with the others."""
        faults, last = self.gateway.faults, self.gateway.state.submits + IN_FLIGHT
        faults.endless = lambda number: number > last
        process = start(self.manifest)
        try:
            while (self._counted("made"), self._counted("accepted")) != (2 * FINISHED + IN_FLIGHT, IN_FLIGHT):
                if process.poll() is not None:
                    raise Silent(f"it ended before it was killed: {process.communicate()}")
                os.sched_yield()
        finally:
            process.kill()
            process.communicate()
        faults.polls, faults.endless = 0, lambda number: False

    def _counted(self, state: str) -> int:
        address = f"{(self.private / 'ledger.sqlite').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM requests WHERE state = ?", (state,)).fetchone()[0])

    # ── the command line, and the bill ──────────────────────────────────────────────────────────

    def command(self, name: str, *options: object, expect: int = 0) -> str:
        """One command to its end, and what it said."""
        code, said = self.steady.run(self.folder / "said", name, self.manifest, *options)
        if code != expect or "Traceback" in said:
            raise Silent(f"{name} {' '.join(map(str, options))}: exit {code}: {said}")
        return said

    def run(self, expect: int = 0) -> str:
        """``pipeline run``."""
        return self.command("run", "--allow-private", expect=expect)

    def renew(self) -> None:
        """Everything as it was, and nothing more on the bill."""
        shutil.rmtree(self.out)
        shutil.copytree(self._template, self.out, symlinks=True)
        self.gateway.state = copy.deepcopy(self._state)

    @property
    def billed(self) -> int:
        """Pictures that were paid since the beginning."""
        return self.gateway.state.billed.total()

    @property
    def pictures(self) -> int:
        """Pictures that there are to be."""
        return 2 * (PRODUCTS if self.killed else FINISHED)

    # ── the ledger ──────────────────────────────────────────────────────────────────────────────

    def ask(self) -> str:
        """All that a run would do, and all that it would do it from."""
        with read_ledger(self.private) as ledger:
            made = make_plan(self.expansion, ledger)
            receipts = [ledger.receipts(row.id) for row in made.snapshot.open_requests] if ledger else []
        return "\n".join([json.dumps(plan_json(made)), repr(made.requests), repr(made.snapshot), repr(receipts)])

    def fate(self) -> Fate:
        """What becomes of a damaged ledger: it is refused, in one line that says what to do, or changes nothing."""
        try:
            asked = self.ask()
        except LedgerError as error:
            text = str(error)
            if "\n" in text or str(self.private) not in text or "`pipeline restore MANIFEST`" not in text:
                raise Silent(f"refused in these words: {text}") from None
            return "refused"
        if asked != self.asked:
            raise Silent("it would do something else, and says nothing")
        return "the same"

    def flip_ledger(self, name: str, bit: int) -> Fate:
        """One flipped bit in a part of the ledger; that part alone is then as it was not left."""
        put(self.private, self.parts)
        flip(self.private / name, bit)
        try:
            return self.fate()
        except Silent as found:
            raise Silent(f"{name}, bit {bit}: {found}") from None
        finally:
            put(self.private, self.parts)

    def somewhere(self) -> tuple[str, int]:
        """A part of the ledger, and a bit in it: each part as often as another, or the small ones would be passed."""
        name = random.choice([name for name in PARTS if self.parts.get(name)])
        return name, random.randrange(8 * len(self.parts[name]))

    # ── the pictures ────────────────────────────────────────────────────────────────────────────

    def images(self) -> list[Path]:
        """Every output file and kept original."""
        found = [path for path in self.out.rglob("*") if path.suffix in (".png", ".webp")]
        return sorted(path for path in found if "thumbs" not in path.parts)

    def flip_images(self, number: int) -> None:
        """One flipped bit in each of so many files, their sizes and times as they were; all of them must be named."""
        chosen = {path: a_bit(path.stat().st_size) for path in random.sample(self.images(), number)}
        for path, bit in chosen.items():
            flip(path, bit)
        try:
            with read_ledger(self.private) as ledger:
                if ledger is None:
                    raise Silent("the ledger is gone")
                found = {self.out / damage.path for damage in verify(ledger, self.out, Part(), 1).damaged}
        finally:
            for path, bit in chosen.items():
                flip(path, bit)
        if found != chosen.keys():
            missed = {str(path): bit for path, bit in chosen.items() if path not in found}
            raise Silent(f"not named: {missed}; named and whole: {found - chosen.keys()}")


def a_bit(size: int) -> int:
    """Of a file of so many bytes: in its first, last or middle byte, or anywhere."""
    byte = random.choice([0, size - 1, size // 2, *(random.randrange(size) for _ in range(5))])
    return 8 * byte + random.randrange(8)


def _remove(*names: str) -> Callable[[Patient], None]:
    def damage(patient: Patient) -> None:
        for name in names:
            path = patient.private / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return damage


def _write(name: str, data: Callable[[bytes], bytes]) -> Callable[[Patient], None]:
    def damage(patient: Patient) -> None:
        path = patient.private / name
        path.write_bytes(data(path.read_bytes()))

    return damage


def _flip(patient: Patient) -> None:
    while True:  # until it is one that is refused
        name, bit = patient.somewhere()
        flip(patient.private / name, bit)
        if patient.fate() == "refused":
            return
        put(patient.private, patient.parts)


def _backups(patient: Patient) -> None:
    """The ledger, and every backup of it, but for one in three."""
    _flip(patient)
    for backup in backups(patient.private)[: random.choice([1, 3, 3])]:
        flip(backup.path, random.randrange(8 * backup.path.stat().st_size))


def _all_but_originals(patient: Patient) -> None:
    for path in patient.private.iterdir():
        if path.name != "originals":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _nothing_told(patient: Patient) -> None:
    """The originals are all there is."""
    _all_but_originals(patient)
    for path in patient.out.iterdir():
        if path.name != PRIVATE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _original_too(patient: Patient) -> None:
    """The ledger is gone, and a kept original is damaged; a lossless output file is a copy of it."""
    _all_but_originals(patient)
    told = [json.loads(line) for line in (patient.out / "results.jsonl").read_text().splitlines()]
    line = random.choice([line for line in told if line["format"] == "png"])
    original = patient.private / "originals" / f"{line['key']}.t{line['take']}.png"
    flip(original, random.randrange(8 * original.stat().st_size))


DAMAGES: dict[str, Callable[[Patient], None]] = {
    "a flipped bit": _flip,
    "backups too": _backups,
    "cut": _write("ledger.sqlite", lambda data: data[: random.randrange(len(data))]),
    "emptied": _write("ledger.sqlite", lambda data: b""),
    "zeros": _write("ledger.sqlite", lambda data: bytes(len(data))),
    "removed": _remove("ledger.sqlite"),
    "removed with its log": _remove("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"),
    "the marker garbled": _write("campaign.json", lambda data: data[: random.randrange(len(data) - 2)]),
    "the serial garbled": _write("serial", lambda data: b"x" + data),
    "the serial ahead": _write("serial", lambda data: b"%020d\n" % (int(data) + 5)),
    "all but the originals gone": _all_but_originals,
    "nothing left but the originals": _nothing_told,
    "an original too": _original_too,
}
"""How a ledger is damaged beyond use."""


def restored(patient: Patient, damage: str) -> tuple[int, int]:
    """Damage a ledger, restore it, run again: how many pictures are lost, and how many were paid twice.

    Requests that were in flight when a run was killed, and are in no backup, are told of; they alone may be paid again.
    """
    patient.renew()
    DAMAGES[damage](patient)
    said = patient.run(expect=1)
    if "`pipeline restore MANIFEST`" not in said or len(said.splitlines()) > 2:
        raise Silent(f"{damage}: run says: {said}")
    before = newest(patient.private)
    said = patient.command("restore")
    told = "compare with the gateway's own bill" in said
    if patient.killed and not told:
        raise Silent(f"{damage}: commits are lost, and nothing is said of it: {said}")
    if (before is None) != ("an empty ledger" in said):
        raise Silent(f"{damage}: the newest backup was {before}, and it said: {said}")
    patient.run()
    patient.command("verify")
    document = json.loads(patient.command("plan", "--json"))
    twice = patient.billed - patient.pictures - (IN_FLIGHT if told and patient.killed else 0)
    return document["cells"] - document["done"], max(0, twice)
