"""What must hold after any number of kills: the ledger, the results, the files and the gateway's bill agree."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.emulator import Job

Wrong = Literal["lost", "paid twice", "recorded twice"]


@dataclass
class Findings:
    """What an audit found, in words, and how many cells are uncertain."""

    wrong: list[tuple[Wrong, str]] = field(default_factory=list)
    uncertain: int = 0

    def add(self, kind: Wrong, text: str) -> None:
        """Something that must never be."""
        self.wrong.append((kind, text))


@dataclass(frozen=True)
class Books:
    """What the ledger says, read without the product's own code."""

    pictures: list[tuple[str, int, str, int]]  # key, take, spec, usd
    requests: list[tuple[str, str, frozenset[str], str, int, int]]  # id, spec, keys, state, reserved, usd
    prompts: dict[str, str]  # spec → its prompt


def read(ledger: Path) -> Books:
    """Read a ledger."""
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as db:
        whole = db.execute("PRAGMA quick_check").fetchone()[0]
        assert whole == "ok", f"{ledger}: {whole}"
        rows = db.execute("SELECT id, spec, pictures, state, reserved, usd FROM requests").fetchall()
        return Books(
            db.execute("SELECT key, take, spec, usd FROM pictures").fetchall(),
            [(row[0], row[1], frozenset(key for key, _ in json.loads(row[2])), *row[3:]) for row in rows],
            {key: json.loads(text)["prompt"] for key, text in db.execute("SELECT key, described FROM specs")},
        )


def audit(out: Path, jobs: Iterable[Job], *, cells: int, variants: int, tells: bool) -> Findings:
    """Compare an output folder at rest with the jobs that its gateway accepted for it.

    ``tells``: the gateway can tell what became of every call, so nothing may stay uncertain.
    """
    found = Findings()
    books = read(out / ".pipeline/ledger.sqlite")
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    _results(found, out, lines, books, cells=cells, tells=tells)
    _records(found, books, variants)
    _bill(found, books, [job for job in jobs if job.billed], variants)
    return found


def _results(found: Findings, out: Path, lines: list[dict[str, Any]], books: Books, *, cells: int, tells: bool) -> None:
    """Every cell is done, its file whole; or uncertain, and known as that to the ledger."""
    held = frozenset[str]().union(*(keys for _, _, keys, state, _, _ in books.requests if state == "uncertain"))
    labels = Counter(line["label"] for line in lines)
    if max(labels.values()) > 1:
        found.add("recorded twice", f"results.jsonl has {labels.most_common(1)[0]}")
    if len(labels) != cells:
        found.add("lost", f"results.jsonl has {len(labels)} of {cells} cells")
    for line in lines:
        if line["state"] == "uncertain":
            found.uncertain += 1
            if tells or line["key"] not in held:
                found.add("lost", f"{line['label']} is uncertain: {line['reason']}")
        elif line["state"] != "done":
            found.add("lost", f"{line['label']} is {line['state']}: {line['reason']}")
        elif _sha256(out / line["path"]) != line["sha256"]:
            found.add("lost", f"{line['path']} is not what was recorded")


def _records(found: Findings, books: Books, variants: int) -> None:
    """Every picture has one record, and one request that made it; nothing is left open."""
    takes = Counter(key for key, _, _, _ in books.pictures)
    specs = Counter(spec for _, _, spec, _ in books.pictures)
    makers = Counter(key for _, _, keys, state, _, _ in books.requests if state == "made" for key in keys)
    for what, counted, most in (("picture", takes, 1), ("spec", specs, variants), ("makers of", makers, 1)):
        for key, number in counted.items():
            if number > most:
                found.add("recorded twice", f"{what} {key}: {number} times")
    for name, _, _, state, _, _ in books.requests:
        if state in ("intent", "accepted"):
            found.add("lost", f"request {name} is left in the state {state}")


def _bill(found: Findings, books: Books, jobs: list[Job], variants: int) -> None:
    """What the gateway billed is what was made, or is told to be uncertain; and the sums agree."""
    bought = Counter[str]()
    for job in jobs:
        bought[job.prompt] += job.count
    known: defaultdict[str, set[str]] = defaultdict(set)
    for key, _, spec, _ in books.pictures:
        known[books.prompts[spec]].add(key)
    for _, spec, keys, state, _, _ in books.requests:
        if state == "uncertain":
            known[books.prompts[spec]] |= keys
    for prompt, number in bought.items():
        if number > variants:
            found.add("paid twice", f"{number} of {variants} pictures billed: {prompt}")
        if number > len(known[prompt]):
            found.add("lost", f"{number} pictures billed, {len(known[prompt])} known: {prompt}")
    billed = sum(job.billed for job in jobs)
    spent = sum(usd for *_, usd in books.requests)
    held = sum(reserved for _, _, _, state, reserved, _ in books.requests if state == "uncertain")
    if not spent <= billed <= spent + held:
        found.add("lost", f"{billed} µ$ billed, {spent} booked as spent and {held} held as uncertain")


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
