"""One campaign in a small world: the real planner, ledger and engine between a wire and a desk that are in memory.

The wire and the desk carry out a script of faults, kill the run at a point, and look over the engine's shoulder: what
must never happen is found when it happens. See :mod:`soak.model` for who asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import errno
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import anyio

from fakes.accounts import ACCOUNTS, Account, End, Job
from fakes.dialect import FakeById, FakeWithoutId
from fakes.virtual import Clock, Signals, Stuck, virtual
from pipeline.engine import core
from pipeline.engine import finish as finishing
from pipeline.engine.lane import MAX_WAIT
from pipeline.errors import DownloadError, LedgerError, LostAnswer, MediaError, StorageError, TryLater
from pipeline import budget
from pipeline import expand as expansion
from pipeline.expand import PRIVATE, expand
from pipeline.gateways import DIALECTS
from pipeline.ledger import Ledger, open_ledger
from pipeline.manifest import load
from pipeline.media import FinishedPicture, PictureJob, WrittenFile
from pipeline.models import load_model
from pipeline.prompt import Template
from pipeline.plan import Plan, Selection, make_plan
from pipeline.run import cancel, carry_out
from pipeline.types import Answer, Budget, Call, Fate, Flow, Manifest, Offer, Polling, Provider, Trace

TAG = "x-model-request"
"""A header by which the wire knows whose paid call it is; no gateway reads it."""
USD = {"aimlapi": 29_400}
"""Micro-dollars a picture, where it isn't the usual 28,000."""
TELLING = ("aimlapi", "eachlabs", "runware")
"""Gateways that tell what a picture cost, and so may bill less than its price."""
COUNTS = {"fake": 2, "fake-none": 3, "fal": 3, "aimlapi": 2, "eachlabs": 3, "runware": 4}
"""Pictures that one request may make."""
LEAVING = 10.0
"""Seconds in which an interrupted run is out."""
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a folder of its own is made there


class Violation(AssertionError):
    """What must never happen. ``kind``: lost, paid twice, recorded twice, or another word."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Killed(BaseException):
    """The run is killed: nothing that it still does has an effect."""


@dataclass(frozen=True)
class Paid:
    """What happens to one paid call (``kind``: see :meth:`_Wire.paid`), and to the job that comes of it.

    ``after``: of a ``Retry-After``; ``seconds``: that the job takes; ``lag``: until the logs have it.
    """

    kind: str = "ok"
    fate: End = "done"
    after: float = 7.0
    seconds: float = 5.0
    lag: float = 0.0


@dataclass(frozen=True)
class Free:
    """What happens to one call that costs nothing (``kind``: see :meth:`_Wire.free`)."""

    kind: str = "ok"
    after: float = 7.0


@dataclass(frozen=True)
class Script:
    """The faults of one run, in the order of the calls; when they are used up, all is well.

    ``kill``, ``interrupt``: the N-th time that the run comes to a point; ``disk``: the N-th commit can't be written (full,
    threads).
    """

    paid: tuple[Paid, ...] = ()
    free: tuple[Free, ...] = ()
    pictures: tuple[str, ...] = ()
    kill: tuple[str, int] | None = None
    interrupt: tuple[str, int] | None = None
    disk: tuple[str, int] | None = None


POINTS = ("commit", "committed", "send", "accepted", "answer", "picture", "written")
"""Where a run may be killed or interrupted: before and after a commit, a call (and in it, when a paid one was
accepted), and the writing of a picture."""


@dataclass(frozen=True)
class Wish:
    """What the user asks of one run."""

    budget: int | None = None
    limit: int | None = None
    only: tuple[str, ...] = ()
    retake: tuple[str, ...] = ()
    retry_failed: bool = False
    retry_uncertain: bool = False


_MISREAD = ("404", "401", "402", "empty")
"""Answers to a poll that the fake dialects would take for a refusal."""


class _Tagged:
    """A dialect whose paid calls carry their request's id."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def make(self, job: Any) -> Flow:
        """The same flow, tagged."""
        flow = self._inner.make(job)
        try:
            call = next(flow)
            while True:
                if call.paid:
                    call = replace(call, headers={**call.headers, TAG: job.id})
                elif 0 < call.after < 1:  # the fakes'
                    call = replace(call, after=2.0)
                call = flow.send((yield call))
        except StopIteration as done:
            images: list[Any] = done.value
            return images
        finally:
            flow.close()


class _FakeWithLookup(FakeById):
    """The fake dialect by our id, at a gateway that also tells what became of one."""

    def trace(self, job: Any, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Ask for it by our id."""
        answer = yield Call("GET", f"{job.base_url}/ours/{job.id}")
        if answer.status == 404 and isinstance(answer.json, dict):
            return Fate("not-accepted", text="it does not know the id")
        return Fate("accepted", answer) if answer.status == 200 and answer.json else Fate("unknown")


@dataclass(slots=True)
class _Run:
    """What is known of the run under way."""

    script: Script
    paid: deque[Paid]
    free: deque[Free]
    pictures: deque[str]
    points: Counter[str] = field(default_factory=Counter)
    not_before: dict[str, float] = field(default_factory=dict)
    left: dict[str, deque[float]] = field(default_factory=dict)  # when paid calls left, by provider
    interrupted: float | None = None
    doubtful: set[str] = field(default_factory=set)  # requests whose paid call may have arrived already
    created_before: set[str] = field(default_factory=set)  # requests of earlier runs
    cap: int | None = None  # of this run
    billed: int = 0  # by this run's calls
    full: bool = False  # whether a disk was full, or a worker died
    since: float = 0.0


class World:
    """A campaign, its accounts, and its runs. ``muted``: kinds of violations that are known, and looked past."""

    muted: ClassVar[frozenset[str]] = frozenset()

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
        self.clock = Clock()
        self.signals: Signals = self._stack.enter_context(virtual(self.clock))
        fakes = {"fake": _FakeWithLookup(), "fake-none": FakeWithoutId()}
        tagged = {name: _Tagged((DIALECTS | fakes)[name]) for name in ACCOUNTS}
        self._stack.enter_context(patch.dict(DIALECTS, tagged))
        self._stack.enter_context(patch.object(expansion, "Template", _compiled))  # once, and not once a run
        self._stack.enter_context(patch.object(core, "_wire", lambda provider, *_: _Wire(self, provider)))
        self._stack.enter_context(patch.object(finishing, "fetch", _fetch))
        offers = _offers()
        self.accounts: dict[str, Account] = {
            name: ACCOUNTS[name](self.clock, offers[name], offers[name].usd // (2 if cheap and name in TELLING else 1))
            for name in gateways
        }
        self.providers = {
            name: Provider(
                name,
                offers[name],
                offers[name].usd,
                concurrency,
                "http://fake.test" if name.startswith("fake") else None,
                per_minute=per_minute,
                polling=Polling(2.0, 3.0),
                deadline=900.0,
            )
            for name, account in self.accounts.items()
        }
        self.manifest = replace(
            _template(self.folder),
            providers=tuple(self.providers.values()),
            outputs=replace(_template(self.folder).outputs, folder=self.folder / "out"),
        )
        self.sets = {p.name: name for name, group in self.manifest.products.items() for p in group}
        self.styles = dict.fromkeys((f"p{number}" for number in range(products)), 0)
        self.variants = 1
        self.asked: dict[str, list[tuple[str, int]]] = {}  # job at the gateway → (picture, take) of each
        self.allowed: Counter[tuple[str, int]] = Counter()  # … beyond once, as the user asked anew
        self.spoilt: set[str] = set()  # pictures that came damaged, and were told to be
        self.given_up: list[tuple[str, tuple[str, int]]] = []  # request, (picture, take)
        self.late: list[tuple[float, _Late]] = []  # paid calls that arrive after the client gave up
        self.run_ = _Run(Script(), deque(), deque(), deque())
        self.alive = False
        self.found: BaseException | None = None
        self.observer: sqlite3.Connection | None = None
        self.runs = self.uncertain = 0

    def close(self) -> None:
        """Put everything back."""
        if self.observer is not None:
            self.observer.close()
        self._stack.close()

    # ── one run ─────────────────────────────────────────────────────────────────────────────────

    def run(self, script: Script, wish: Wish = Wish()) -> Plan | None:
        """One run of the campaign, as the command does it; its plan, if it came to that."""
        self.runs += 1
        self.clock.now += 1.0
        self.run_ = _Run(script, deque(script.paid), deque(script.free), deque(script.pictures))
        self.alive, plan, report = True, None, None
        try:
            with open_ledger(self.folder / "out" / PRIVATE, "model") as ledger:
                self._watch(ledger)
                ledger.settle_finished()
                plan = self.plan(ledger, wish)
                self._begin(plan, wish)
                report = carry_out(
                    plan,
                    ledger,
                    _Desk(self),
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
        self._settled()
        if report is not None and plan is not None:
            self._ended(plan, report.outcome)
        return plan

    def cancel(self) -> None:
        """``pipeline cancel``: what still runs at a gateway is asked to stop."""
        self.clock.now += 1.0
        self.run_ = _Run(Script(), deque(), deque(), deque())
        self.alive = True
        with open_ledger(self.folder / "out" / PRIVATE, "model") as ledger:
            self._watch(ledger)
            ledger.settle_finished()
            cancel(self.plan(ledger, Wish()), ledger, _Desk(self), {})
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

    def _begin(self, plan: Plan, wish: Wish) -> None:
        """What this run may do: its cap, and what the user asked anew."""
        caps = [cap for cap in (wish.budget, self.manifest.budget.run) if cap is not None]
        run = self.run_
        run.cap = min(caps) if caps else None
        run.created_before = {row[0] for row in self.rows("SELECT id FROM requests")}
        run.doubtful = {row[0] for row in self.rows("SELECT id FROM requests WHERE state = 'intent'")}
        run.since = self.clock.unix()
        bills = self.bills()
        asked = self._intents() | set(self.rows("SELECT key, take FROM wishes"))
        for place in list(self.allowed):  # what was asked anew then, and not done, isn't allowed any more
            self.allowed[place] = max(0, bills[place] - 1) + (place in asked)
        anew = {(p.key, r.take) for r in plan.requests if r.resume is None for p in r.pictures}
        if wish.retake:  # a take that was refused, though it was paid
            self.allowed.update(place for place in anew if place[1] > 1 and bills[place] > self.allowed[place])
        if wish.retry_failed:
            self.allowed.update(place for place in anew if place[0] in plan.snapshot.failures)
        for row in plan.snapshot.open_requests if wish.retry_uncertain else ():
            lost = {(key, row.take) for key, _ in row.pictures} & anew
            self.given_up += [(row.id, place) for place in lost if row.state == "uncertain"]

    def _given_up(self, key: str, take: int) -> int:
        """How often the user gave up a request for this picture that may have been paid."""
        ended = {row[0] for row in self.rows("SELECT id FROM requests WHERE state = 'failed'")}
        return sum(place == (key, take) and request in ended for request, place in self.given_up)

    def _intents(self) -> set[tuple[str, int]]:
        rows = self.rows("SELECT pictures, take FROM requests WHERE state = 'intent'")
        return {(key, take) for pictures, take in rows for key, _ in json.loads(pictures)}

    def rows(self, query: str, *values: object) -> list[Any]:
        """What the ledger durably holds."""
        return [] if self.observer is None else self.observer.execute(query, values).fetchall()

    # ── what must hold ──────────────────────────────────────────────────────────────────────────

    def violated(self, kind: str, text: str) -> None:
        """It must never happen, and has: a run ends here."""
        if kind in self.muted:
            return
        error = Violation(kind, text)
        if not self.alive:
            raise error
        self.found, self.alive = self.found or error, False
        raise Killed

    @property
    def bill(self) -> int:
        """Micro-dollars that all gateways have billed."""
        return sum(account.bill for account in self.accounts.values())

    def bills(self) -> Counter[tuple[str, int]]:
        """(picture, take) → how often it was billed."""
        bills: Counter[tuple[str, int]] = Counter()
        # At Each Labs two requests of one input can't be told apart: each has the job that it found.
        query = "SELECT id, remote, pictures, take FROM requests WHERE gateway = 'eachlabs' AND remote <> ''"
        found = {row[1]: row for row in self.rows(query)}
        settled = {row[0] for row in found.values()}
        for account in self.accounts.values():
            for job in account.jobs.values():
                pictures = self.asked.get(job.remote, [])
                if job.remote in found:
                    _, _, text, take = found[job.remote]
                    pictures = [(key, take) for key, _ in json.loads(text)]
                elif account.gateway == "eachlabs" and job.request in settled:
                    continue
                bills.update(pictures[: job.usd // account.usd])
        return bills

    def money(self) -> None:
        """The ledger never counts less than what was billed."""
        counted = "sum(CASE WHEN state IN ('intent', 'accepted', 'uncertain') THEN max(reserved, usd) ELSE usd END)"
        known = (self.rows(f"SELECT coalesce({counted}, 0) FROM requests") or [(0,)])[0][0]  # noqa: S608
        if known < self.bill:
            self.violated("money", f"the ledger counts {known}, and {self.bill} was billed")

    def billed(self, job: Job, provider: str) -> None:
        """A gateway has accepted a paid call of this run."""
        found = self.rows("SELECT pictures, take, state FROM requests WHERE id = ?", job.request)
        if not found:
            return self.violated("no intent", f"{provider} accepted {job.request}, of which the ledger knows nothing")
        pictures, take = json.loads(found[0][0]), found[0][1]
        if len(pictures) != job.count:
            self.violated("count", f"{provider} was asked for {job.count} pictures, and {len(pictures)} are intended")
        self.asked[job.remote] = [(key, take) for key, _ in pictures]
        bills = self.bills()
        for key, variant in pictures:
            if bills[key, take] > 1 + self.allowed[key, take] + self._given_up(key, take):
                text = f"v{variant} take {take} of {job.prompt!r}, by {self._whose(key, take)}"
                self.violated("paid twice", text)
        self.afford(job)
        self.money()

    def afford(self, job: Job) -> None:
        """No cap is exceeded by what the gateways bill."""
        run, caps = self.run_, self.manifest.budget
        run.billed += job.usd
        if run.cap is not None and run.billed > run.cap:
            self.violated("budget", f"{run.billed} of this run's {run.cap}")
        if job.request in run.created_before:
            return  # a smaller cap does not undo what was asked for under a larger one
        jobs = [job for account in self.accounts.values() for job in account.jobs.values()]
        today = [row[0] for row in self.rows("SELECT id FROM requests WHERE created >= ?", budget.midnight())]
        group = {self.sets[job.prompt.partition(" in ")[0]]}
        spent = {
            "campaign": (caps.total, sum(job.usd for job in jobs)),
            "day": (caps.day, sum(job.usd for job in jobs if job.request in today)),
        } | {
            name: (cap, sum(job.usd for job in jobs if self.sets[job.prompt.partition(" in ")[0]] == name))
            for name, cap in caps.sets.items()
            if name in group
        }
        for name, (cap, usd) in spent.items():
            if cap is not None and usd > cap:
                self.violated("budget", f"{usd} of the {name}'s {cap}")

    def _whose(self, key: str, take: int) -> str:
        rows = self.rows("SELECT id, provider, state, error, pictures FROM requests WHERE take = ?", take)
        return "; ".join(f"{row[1]} {row[0][:8]} {row[2]} ({row[3]})" for row in rows if key in row[4])

    def leaving(self, call: Call, provider: str) -> None:
        """A call leaves: not before the lane's time, not without an intent, not after an interrupt."""
        run, now = self.run_, self.clock.now
        if now < run.not_before.get(provider, 0.0) - 1e-6:
            wait = run.not_before[provider] - now
            self.violated("not before", f"{call.method} {call.url} left {wait:.3f} s before the lane's not-before")
        if not call.paid:
            return
        request = call.headers[TAG]
        found = self.rows("SELECT state FROM requests WHERE id = ?", request)
        if not found:
            self.violated("no intent", f"a paid call to {provider} left, and its intent isn't committed")
        elif found[0][0] != "intent":
            self.violated("no intent", f"a paid call to {provider} left, and its request is {found[0][0]}")
        if run.full:
            self.violated("after a full disk", f"a paid call to {provider} left")
        if most := self.providers[provider].per_minute:
            times = run.left.setdefault(provider, deque(maxlen=most + 1))
            times.append(now)
            if len(times) > most and now - times[0] < 60:
                self.violated("rate", f"{len(times)} paid calls to {provider} in {now - times[0]:.1f} s")
        late = run.interrupted is not None and now > run.interrupted + 0.1
        if late and request not in run.doubtful:
            self.violated("after an interrupt", f"a paid call to {provider} left {now - (run.interrupted or 0):.1f} s")

    def _settled(self) -> None:
        """After every run, however it ended: each picture that is recorded was billed, and is recorded once."""
        made = {}
        for provider, account in self.accounts.items():
            for job in account.jobs.values():
                made.update({_digest(url): (provider, job, n) for n, url in enumerate(job.images(account.gateway))})
        seen: dict[str, str] = {}
        query = "SELECT p.key, p.take, p.sha256, p.spec, r.provider, p.variant FROM pictures p JOIN requests r "
        for key, take, digest, spec, provider, variant in self.rows(f"{query} ON r.id = p.request"):
            if digest not in made or made[digest][0] != provider:
                self.violated("recorded", f"a picture of {spec[:8]} that {provider} never made")
            if digest in seen:
                self.violated("recorded twice", f"one image as v{variant} take {take} and as {seen[digest]}")
            seen[digest] = f"{key} take {take}"
        self.money()

    def _ended(self, plan: Plan, outcome: Any) -> None:
        """A run that was not killed: in time after an interrupt, and with an account of every picture."""
        run = self.run_
        self.uncertain += outcome.uncertain
        if run.interrupted is not None and self.clock.now > run.interrupted + LEAVING:
            self.violated("interrupt", f"out after {self.clock.now - run.interrupted:.1f} s")
        made = self.rows("SELECT count(*) FROM pictures WHERE at >= ?", run.since)[0][0]
        if outcome.made != made:
            self.violated("outcome", f"it tells of {outcome.made} pictures made, and {made} are recorded")
        told = outcome.made + outcome.failed + outcome.uncertain + outcome.pending
        least = sum(len(request.pictures) for request in plan.requests if request.wanted)
        most = sum(len(r.resume.pictures if r.resume else r.pictures) for r in plan.requests)
        if not least <= told <= most:
            self.violated("outcome", f"{least} to {most} pictures were to be made, and it tells of {outcome}")

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
        self._nothing_lost()
        self._exact()

    def _nothing_lost(self) -> None:
        """What was billed and made is recorded; or its request is known to be uncertain, or to have failed."""
        known = {row[0] for row in self.rows("SELECT sha256 FROM pictures")}
        told = {row[0] for row in self.rows("SELECT key FROM failures WHERE permanent")}
        requests = {
            row[0]: row[1:] for row in self.rows("SELECT id, state, pictures, error, spec, provider FROM requests")
        }
        for account in self.accounts.values():
            for job in account.jobs.values():
                state, pictures, error, spec, provider = requests[job.request]
                if state == "uncertain" or "asked for anew" in (error or ""):
                    continue
                for number, url in enumerate(job.images(account.gateway)):
                    # Two requests of one spec can't be told apart by their input, where that is what finds them.
                    keys = {key for key, _ in json.loads(pictures)}
                    if account.gateway == "eachlabs":
                        keys = {k for row in requests.values() if row[3] == spec for k, _ in json.loads(row[1])}
                        if any(row[0] == "uncertain" for row in requests.values() if row[3] == spec):
                            continue
                    excused = url in self.spoilt or keys & told or job.fate == "forgotten"
                    if _digest(url) not in known and not excused:
                        text = f"picture {number + 1} of {job.remote} ({job.prompt!r}); its request is {state}: {error}"
                        self.violated("lost", text)

    def _exact(self) -> None:
        """Where all is known, the ledger's money is the bill, per spec and provider."""
        counted: Counter[tuple[str, str]] = Counter()
        billed: Counter[tuple[str, str]] = Counter()
        vague = set()
        specs = {}
        for request, provider, spec, state, usd, error in self.rows(
            "SELECT id, provider, spec, state, usd, error FROM requests"
        ):
            specs[request] = spec
            counted[provider, spec] += usd
            if state == "uncertain" or "asked for anew" in (error or ""):
                vague.add((provider, spec))
        for provider, account in self.accounts.items():
            for job in account.jobs.values():
                place = provider, specs[job.request]
                billed[place] += job.usd
                if job.fate in ("moderated", "moderated-paid", "cancelled") and provider in ("fal", "runware"):  # nothing says what it cost
                    vague.add(place)
        for place in counted | billed:
            if place not in vague and counted[place] != billed[place]:
                self.violated("money", f"{place[0]} billed {billed[place]}, and the ledger says {counted[place]}")

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


@dataclass(frozen=True)
class _Late:
    """A paid call that the client has given up, and that arrives all the same."""

    provider: str
    call: Call
    fault: Paid

    def land(self, world: World, at: float) -> None:
        """It is accepted, unless the gateway knows it already."""
        account = world.accounts[self.provider]
        if account.known(self.call) is None:
            world.billed(_accept(account, self.call, self.fault, at), self.provider)


def _accept(account: Account, call: Call, fault: Paid, at: float) -> Job:
    return account.accept(call, call.headers[TAG], fault.fate, fault.seconds, fault.lag, at)


class _Wire:
    """A lane's connections, in memory."""

    def __init__(self, world: World, provider: Provider) -> None:
        self.world, self.provider = world, provider
        self.account = world.accounts[provider.name]

    async def close(self) -> None:
        """There is nothing to close."""

    async def send(self, call: Call) -> Answer:
        """One exchange, as :meth:`pipeline.engine.wire.Wire.send` has it."""
        world, name = self.world, self.provider.name
        if not world.alive:
            raise Killed
        world.arrive()
        world.leaving(call, name)
        world.point("send")
        try:
            with anyio.fail_after(call.seconds):
                answer = await (self.paid(call) if call.paid else self.free(call))
        except TimeoutError:
            self.doubt(call)
            raise LostAnswer(f"no whole answer within {call.seconds:g} s") from None
        except LostAnswer:
            self.doubt(call)
            raise
        if not world.alive:
            raise Killed
        if answer.status >= 500 or answer.status == 408 or not answer.json:
            self.doubt(call)
        world.point("answer")
        self.held(answer)
        return answer

    def doubt(self, call: Call) -> None:
        """Its answer is lost."""
        if call.paid:
            self.world.run_.doubtful.add(call.headers[TAG])

    def held(self, answer: Answer) -> None:
        """A ``Retry-After`` that is delivered holds the lane."""
        after = answer.headers.get("retry-after")
        if after is None or answer.status not in (429, 503):
            return
        run, now = self.world.run_, self.world.clock.now
        try:
            wait = float(after)
        except ValueError:
            wait = email.utils.parsedate_to_datetime(after).timestamp() - self.world.clock.unix()
        run.not_before[self.provider.name] = max(
            run.not_before.get(self.provider.name, 0.0), now + min(MAX_WAIT, max(0.0, wait))
        )

    async def paid(self, call: Call) -> Answer:
        """A paid call: not sent, refused for now or for good, or accepted; then answered, or not."""
        run, account = self.world.run_, self.account
        fault = run.paid.popleft() if run.paid else Paid()
        await anyio.sleep(0.05)
        self._alive()
        match fault.kind:
            case "unsent":
                raise TryLater("can't reach the gateway (ConnectError)")
            case "429" | "503" | "429-date" | "429-bare" | "503-bare" | "401" | "402":
                return self.not_now(fault.kind, fault.after)
            case "reset-before":
                raise LostAnswer("the connection broke (ReadError)")
            case "late":
                self.world.late.append((self.world.clock.now + fault.after, _Late(self.provider.name, call, fault)))
                raise LostAnswer("the connection broke (ReadError)")
            case "refused" if account.known(call) is None:
                return account.refused(call)
        job = account.known(call)
        known = job is not None
        if job is None:
            job = _accept(account, call, fault, self.world.clock.now)
            self.world.billed(job, self.provider.name)
            self.world.point("accepted")
        await anyio.sleep(min(max(job.ready - self.world.clock.now, 0.0), 10**6) if account.waits else 0.05)
        self._alive()
        match fault.kind:
            case "reset-after":
                raise LostAnswer("the connection broke (ReadError)")
            case "garbage":
                return Answer(200, {}, None)
            case "empty":
                return Answer(200, {}, {})
            case "500" | "502" | "504" | "408":
                return Answer(int(fault.kind), {}, None)
            case "slow":
                await anyio.sleep(call.seconds)
        return account.again(job) if known else account.accepted(job)

    def _alive(self) -> None:
        if not self.world.alive:
            raise Killed
        self.world.arrive()

    async def free(self, call: Call) -> Answer:
        """A poll, or a search of a log."""
        run = self.world.run_
        fault = run.free.popleft() if run.free else Free()
        if self.provider.name.startswith("fake") and fault.kind in _MISREAD:
            fault = Free("500")
        await anyio.sleep(0.05)
        self._alive()
        match fault.kind:
            case "unsent":
                raise TryLater("can't reach the gateway (ConnectError)")
            case "429" | "503" | "429-date" | "429-bare" | "503-bare" | "401" | "402":
                return self.not_now(fault.kind, fault.after)
            case "reset":
                raise LostAnswer("the connection broke (ReadError)")
            case "garbage":
                return Answer(200, {}, None)
            case "empty":
                return Answer(200, {}, {})
            case "404" | "500":
                return Answer(int(fault.kind), {}, None)
            case "slow":
                await anyio.sleep(call.seconds)
        return self.account.ask(call)

    def not_now(self, kind: str, after: float) -> Answer:
        """A refusal of the moment."""
        status, _, how = kind.partition("-")
        if how == "bare" or status in ("401", "402"):
            return Answer(int(status), {}, {"error": "not now"})
        text = email.utils.formatdate(self.world.clock.unix() + after, usegmt=True) if how == "date" else f"{after:g}"
        return Answer(int(status), {"retry-after": text}, {"error": "not now"})


class _Desk(Executor):
    """The data plane: pictures are files that hold their own link."""

    def __init__(self, world: World) -> None:
        self.world = world

    def submit(self, fn: Any, /, job: PictureJob, *_: Any, **__: Any) -> Future[FinishedPicture]:  # type: ignore[override]
        """Finish a picture, some moments later where a loop runs."""
        self.world.point("picture")
        future: Future[FinishedPicture] = Future()
        future.set_running_or_notify_cancel()
        run = self.world.run_
        fault = run.pictures.popleft() if run.pictures and job.image is not None else "ok"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.finish(job, fault, future)
        else:
            loop.call_later({"slow": 30.0, "long": 200.0}.get(fault, 0.2), self.finish, job, fault, future)
        return future

    def finish(self, job: PictureJob, fault: str, future: Future[FinishedPicture]) -> None:
        """Write the original and the renditions."""
        try:
            if not self.world.alive:
                raise Killed
            future.set_result(self.finished(job, fault))
        except BaseException as error:
            future.set_exception(error)

    def finished(self, job: PictureJob, fault: str) -> FinishedPicture:
        """What comes of it."""
        if job.image is None:
            text = Path(f"{job.stem}.png").read_text()
        else:
            text = str(job.image.url)
        if fault in ("bad", "gone"):
            self.world.spoilt.add(text)
        match fault:
            case "torn":
                raise DownloadError("the connection broke")
            case "gone":
                raise DownloadError("404", gone=True)
            case "bad":
                raise MediaError("the picture is damaged")
            case "full":
                self.world.run_.full = True
                raise OSError(errno.ENOSPC, "No space left on device", f"{job.stem}.png")
            case "dead":
                self.world.run_.full = True
                raise BrokenExecutor("a worker died")
        original = _write(f"{job.stem}.png", text)
        renditions = tuple(_write(rendition.path, text) for rendition in job.renditions)
        self.world.point("written")
        return FinishedPicture(original, "png", 1024, 1024, renditions)


async def _fetch(*_: object) -> bytes:
    """What a link leads to; :class:`_Desk` decides what comes of it."""
    return b""


def _write(path: str, text: str) -> WrittenFile:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    stat = place.stat()
    return WrittenFile(path, _digest(text), stat.st_size, stat.st_mtime_ns)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _compiled(text: str) -> Template:
    return Template(text)


_cache: dict[str, Any] = {}


def _offers() -> dict[str, Offer]:
    if "offers" not in _cache:
        real = load_model("kling-image-o1").offers
        fake = replace(real["fal"], gateway="fake", id="fake", fields={})
        found = {**real, "fake": fake, "fake-none": replace(fake, gateway="fake-none")}
        _cache["offers"] = {
            name: replace(offer, references=(0, 10), count=COUNTS[name], usd=USD.get(name, 28_000))
            for name, offer in found.items()
            if name in COUNTS
        }
    offers: dict[str, Offer] = _cache["offers"]
    return offers


def _template(folder: Path) -> Manifest:
    """A manifest of three products and one prompt, read once."""
    if "manifest" not in _cache:
        path = folder / "campaign.yaml"
        products = [{"id": f"p{number}", "name": f"Thing {number}", "vars": {"style": ""}} for number in range(3)]
        document = {
            "version": 1,
            "campaign": "model",
            "products": {"things": products[:2], "others": products[2:]},
            "prompts": {"table": {"text": "{{ product.name }} in {{ product.vars.style }}"}},
            "outputs": {"format": ["png"]},
        }
        path.write_text(json.dumps(document))
        _cache["manifest"] = load(str(path))
    manifest: Manifest = _cache["manifest"]
    return manifest


@contextlib.contextmanager
def small_world(*gateways: str, **settings: Any) -> Iterator[World]:
    """A world for one test."""
    world = World(gateways, **settings)
    try:
        yield world
    finally:
        world.close()
