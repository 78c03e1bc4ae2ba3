"""One campaign in a small world: the real planner, ledger and engine between a wire and a desk that are in memory.

The wire and the desk carry out a script of faults, kill the run at a point, and look over the engine's shoulder: what
must never happen is found when it happens. See :mod:`soak.model` for who asks for it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fakes.accounts import ACCOUNTS
from fakes.dialect import FakeWithoutId
from fakes.virtual import Clock, Signals, Stuck, virtual

from pipeline import expand as expansion
from pipeline.engine import core
from pipeline.engine import finish as finishing
from pipeline.errors import LedgerError, StorageError
from pipeline.expand import PRIVATE, expand
from pipeline.gateways import DIALECTS
from pipeline.ledger import Ledger, open_ledger
from pipeline.plan import Plan, Selection, make_plan
from pipeline.run import cancel, carry_out
from pipeline.types import Budget, Polling, Provider
from soak.desk import Desk, fetch
from soak.script import NOTHING, Killed, Run, Script, Violation, Wish
from soak.stage import TELLING, FakeWithLookup, Tagged, compiled, offers, template
from soak.watch import Watch
from soak.wire import Late, MemoryWire

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a folder of its own is made there


class World(Watch):
    """A campaign, its accounts, and its runs."""

    def __init__(
        self,
        gateways: tuple[str, ...],
        products: int = 1,
        concurrency: int = 2,
        per_minute: int | None = None,
        *,
        cheap: bool = False,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="model-", dir=MEMORY))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        clock, offered, empty = Clock(), offers(), template(self.folder)
        self._replace(clock)
        paid = {name: offered[name].usd // (2 if cheap and name in TELLING else 1) for name in gateways}
        accounts = {name: ACCOUNTS[name](clock, offered[name], usd) for name, usd in paid.items()}
        providers = {
            name: Provider(
                name,
                offered[name],
                offered[name].usd,
                concurrency,
                "http://fake.test" if name.startswith("fake") else None,
                per_minute=per_minute,
                polling=Polling(2.0, 3.0),
                deadline=900.0,
            )
            for name in gateways
        }
        outputs = replace(empty.outputs, folder=self.folder / "out")
        manifest = replace(empty, providers=tuple(providers.values()), outputs=outputs)
        super().__init__(clock, accounts, providers, manifest)
        self.styles = dict.fromkeys((f"p{number}" for number in range(products)), 0)
        self.variants = 1
        self.late: list[tuple[float, Late]] = []  # paid calls that arrive after the client gave up
        self.runs = 0

    def _replace(self, clock: Clock) -> None:
        """Put what is in memory, or virtual, into its place."""
        fakes = {"fake": FakeWithLookup(), "fake-none": FakeWithoutId()}
        tagged = {name: Tagged((DIALECTS | fakes)[name]) for name in ACCOUNTS}
        self.signals: Signals = self._stack.enter_context(virtual(clock))
        for replaced in (
            patch.dict(DIALECTS, tagged),
            patch.object(expansion, "Template", compiled),  # once, and not once a run
            patch.object(core, "_wire", lambda provider, *_: MemoryWire(self, provider)),
            patch.object(finishing, "fetch", fetch),
        ):
            self._stack.enter_context(replaced)

    def close(self) -> None:
        """Put everything back."""
        if self.observer is not None:
            self.observer.close()
        self._stack.close()

    # ── one run ─────────────────────────────────────────────────────────────────────────────────

    def run(self, script: Script, wish: Wish = NOTHING) -> Plan | None:
        """One run of the campaign, as the command does it; its plan, if it came to that."""
        self.runs += 1
        self.clock.now += 1.0
        self.run_ = Run.of(script)
        self.alive, plan, report = True, None, None
        try:
            with open_ledger(self.folder / "out" / PRIVATE, "model") as ledger:
                self._watch(ledger)
                ledger.settle_finished()
                plan = self.plan(ledger, wish)
                self.begins(plan, wish)
                report = carry_out(
                    plan,
                    ledger,
                    Desk(self),
                    budget=wish.budget,
                    keys=dict.fromkeys(self.providers, "a key that is long"),
                )
        except Killed:
            pass
        except Stuck as error:
            self.found = self.found or Violation("stuck", str(error))
        except StorageError as error:
            if self.alive and not self.run_.full:
                self.violated("crash", f"StorageError without a reason: {error}")
        except Exception as error:
            if self.alive and not self.run_.full:
                self.found = self.found or error
        self.alive = False
        if self.found is not None:
            raise self.found
        self.settled()
        if report is not None and plan is not None:
            self.ended(plan, report.outcome)
        return plan

    def cancel(self) -> None:
        """``pipeline cancel``: what still runs at a gateway is asked to stop."""
        self.clock.now += 1.0
        self.run_ = Run.of(Script())
        self.alive = True
        with open_ledger(self.folder / "out" / PRIVATE, "model") as ledger:
            self._watch(ledger)
            ledger.settle_finished()
            cancel(self.plan(ledger, NOTHING), ledger, Desk(self), {})
        self.alive = False

    def plan(self, ledger: Ledger, wish: Wish) -> Plan:
        """What is owed, as the command plans it."""
        groups = {
            name: tuple(
                replace(product, vars={"style": f"style {self.styles[product.id]}"})
                for product in group
                if product.id in self.styles
            )
            for name, group in self.manifest.products.items()
        }
        manifest = replace(
            self.manifest, products=groups, outputs=replace(self.manifest.outputs, variants=self.variants)
        )
        return make_plan(
            expand(manifest),
            ledger,
            selection=Selection(wish.only, limit=wish.limit),
            retake=wish.retake,
            retry_failed=wish.retry_failed,
            retry_uncertain=wish.retry_uncertain,
        )

    def _watch(self, ledger: Ledger) -> None:
        """Look at every commit, and at what is in the ledger, through a connection of our own."""
        if self.observer is None:
            path = ledger.folder / "ledger.sqlite"
            self.observer = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        real = ledger.commit

        def commit(steps: Any) -> None:
            self.point("commit")
            self.break_down()
            real(steps)
            self.point("committed")
            self.money()

        ledger.commit = commit  # type: ignore[method-assign]

    def break_down(self) -> None:
        """The ledger can't be written from some commit on; or once, as there is no thread to do it."""
        run = self.run_
        how, number = run.script.disk or ("", 0)
        if how == "full" and run.points["commit"] >= number:
            run.full = True
            raise LedgerError("the disk is full")
        if how == "threads" and run.points["commit"] == number:
            run.full = True
            raise RuntimeError("can't start new thread")

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """All faults end: two runs bring everything to an end, and one more does nothing."""
        for account in self.accounts.values():
            account.calm = True
        self.manifest = replace(self.manifest, budget=Budget(), providers=tuple(self.providers.values()))
        self.clock.now += 100.0
        self.arrive()
        for _ in range(2):
            self.run(Script())
            self.clock.now += 4000.0  # an expired link is one that is gone for an hour
        bill = self.bill
        plan = self.run(Script())
        if plan is None or plan.requests:
            left = [(r.label, r.resume.state if r.resume else "new") for r in plan.requests] if plan else []
            self.violated("never ends", f"after two runs without a fault there is still to make: {left}")
        if self.bill != bill:
            self.violated("needless", f"a run with nothing to do was billed {self.bill - bill}")
        open_now = self.rows("SELECT provider, state, label FROM requests WHERE state IN ('intent', 'accepted')")
        if open_now:
            self.violated("never ends", f"still open: {open_now}")
        self.nothing_lost()
        self.exact()

    # ── faults ──────────────────────────────────────────────────────────────────────────────────

    def point(self, name: str) -> None:
        """The run comes to a point: perhaps it is killed here, or interrupted."""
        if not self.alive:
            raise Killed
        run = self.run_
        run.points[name] += 1
        here = (name, run.points[name])
        if here == run.script.kill:
            self.alive = False
            raise Killed
        if here == run.script.interrupt:
            run.interrupted = self.clock.now
            if not self.signals.tell():
                self.alive = False
                raise Killed

    def arrive(self) -> None:
        """Paid calls that were on their way arrive."""
        due = [(at, late) for at, late in self.late if at <= self.clock.now]
        self.late = [(at, late) for at, late in self.late if at > self.clock.now]
        for at, late in due:
            late.land(self, at)


@contextlib.contextmanager
def small_world(*gateways: str, **settings: Any) -> Iterator[World]:
    """A world for one test."""
    world = World(gateways, **settings)
    try:
        yield world
    finally:
        world.close()
