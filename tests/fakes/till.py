"""A gateway with prices of its own, and the office that runs campaigns against it and counts what they cost."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from soak.forks import Child, Forks

from fakes import gateway
from fakes.at_work import at_work
from fakes.clock import Clock
from fakes.emulated import KEYS
from fakes.gateway import FakeGateway, Faults

PRICE = 28_000
"""Micro-dollars of a picture, at the price that the fake model tells."""


@dataclass(frozen=True)
class Sale:
    """A job that was billed: its id, its spec and prompt, its pictures, and what all of them cost, in micro-dollars."""

    job: str
    spec: str
    prompt: str
    pictures: int
    usd: int


class Till(FakeGateway):
    """The server. ``price``: job id → micro-dollars of each of its pictures, which it tells with them.

    A job that moderation refuses, or that breaks, costs nothing.
    """

    def __init__(self, faults: Faults, price: Callable[[str], int]) -> None:
        super().__init__(faults)
        self.RequestHandlerClass = _Cashier
        self.price = price
        self._open = 0  # connections
        self._changed = threading.Condition()

    @property
    def sales(self) -> list[Sale]:
        """What it has billed."""
        with self.lock:
            jobs = [(name, job) for name, job in self.state.jobs.items() if not job["refused"]]
        return [
            Sale(name, str(job["spec"]), str(job["prompt"]), pictures, pictures * self.price(name))
            for name, job in jobs
            if name not in self.faults.broken_jobs
            for pictures in (int(str(job["count"])),)
        ]

    @property
    def bill(self) -> int:
        """What it has billed in all, in micro-dollars."""
        return sum(sale.usd for sale in self.sales)

    def quiet(self) -> None:
        """Wait until it has dealt with everything that those who are gone had sent."""
        # Whoever connected before this one was accepted before it.
        socket.create_connection(self.server_address[:2]).close()  # type: ignore[arg-type]  # an IPv4 address
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, 30.0), "somebody is still connected"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count a connection in."""
        with self._changed:
            self._open += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Count it out."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()


class _Cashier(gateway._Handler):
    server: Till

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        """Tell the price with the pictures."""
        if isinstance(value, dict) and "images" in value:
            value = {**value, "usd": self.server.price(self.path.rsplit("/", 1)[1])}
        super().answer(status, value, headers)


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, and all that it said."""

    code: int
    text: str

    @property
    def facts(self) -> dict[str, Any]:
        """What it said with ``--json``."""
        found: dict[str, Any] = json.loads(self.text[self.text.index("{\n") :])
        return found


class Office:
    """Real processes, forked from one, that go by a clock which is ours."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock(folder / "clock")
        self._log = folder / "log.txt"
        self._forks = Forks(KEYS | self.clock.env, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *given: object) -> None:
        self._forks.__exit__(*given)

    def till(
        self, faults: Faults | None = None, price: Callable[[str], int] = lambda _: PRICE
    ) -> AbstractContextManager[Till]:
        """A gateway for the length of a test."""
        return at_work(Till(faults or Faults(), price))

    def begin(self, *arguments: object, passages: Iterable[str] = (), nth: int = 0) -> Child:
        """Begin a command, which kills itself at the n-th of these passages (see :mod:`soak.points`)."""
        return self._forks.start([str(argument) for argument in arguments], passages, nth)

    def tell(self, *arguments: object) -> Ended:
        """Run a command to its end."""
        return Ended(self.begin(*arguments).code(), self._log.read_text())

    def run(self, manifest: Path, *arguments: object) -> Ended:
        """``pipeline run --json`` to its end."""
        done = self.tell("run", manifest, "--json", "--allow-private", *arguments)
        assert "Traceback" not in done.text, done.text
        return done

    def killed(self, manifest: Path, passages: Iterable[str], nth: int, *arguments: object) -> bool:
        """``pipeline run``, killed with -9 at the n-th of these passages, if it comes to that; whether it did."""
        code = self.begin("run", manifest, "--allow-private", *arguments, passages=passages, nth=nth).code()
        assert code in (-9, 0, 3, 4), self._log.read_text()
        return code == -9


@dataclass(frozen=True)
class Books:
    """What a ledger says of the money, in micro-dollars, read without the product's own code."""

    spent: int
    held: int
    requests: dict[str, tuple[str, float, int, int, str]]  # id → set, created, reserved, usd, state

    @property
    def sets(self) -> Counter[str]:
        """Product set → what counts against its cap."""
        found: Counter[str] = Counter()
        for name, _, reserved, usd, state in self.requests.values():
            found[name] += reserved if state in ("intent", "accepted", "uncertain") else usd
        return found


def books(manifest: Path, campaign: str = "test") -> Books:
    """Read a campaign's ledger; one that was never run is empty."""
    ledger = manifest.parent / f"out/{campaign}/.pipeline/ledger.sqlite"
    if not ledger.exists():
        return Books(0, 0, {})
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT id, product_set, created, reserved, usd, state FROM requests").fetchall()
    held = sum(row[3] for row in rows if row[5] in ("intent", "accepted", "uncertain"))
    return Books(sum(row[4] for row in rows), held, {row[0]: tuple(row[1:]) for row in rows})
