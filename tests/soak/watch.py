"""What must hold in a :mod:`soak.world`: held against the bills, and what is durably in the ledger, at every step."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, deque
from typing import Any, ClassVar

from fakes.accounts import Account, Job
from fakes.virtual import Clock

from pipeline import budget
from pipeline.plan import Plan
from pipeline.types import Call, Manifest, Provider
from soak.desk import digest
from soak.script import TAG, Killed, Run, Script, Violation, Wish

LEAVING = 10.0
"""Seconds in which an interrupted run is out."""


class Watch:
    """Looks over the shoulders of engine and gateways. ``muted``: kinds of violations that are known, and passed."""

    muted: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, clock: Clock, accounts: dict[str, Account], providers: dict[str, Provider], manifest: Manifest
    ) -> None:
        self.clock, self.accounts, self.providers, self.manifest = clock, accounts, providers, manifest
        self.sets = {p.name: name for name, group in manifest.products.items() for p in group}
        self.asked: dict[str, list[tuple[str, int]]] = {}  # job at the gateway → (picture, take) of each
        self.allowed: Counter[tuple[str, int]] = Counter()  # bills beyond one, as the user asked anew
        self.given_up: list[tuple[str, tuple[str, int]]] = []  # request, (picture, take)
        self.spoilt: set[str] = set()  # pictures that came damaged, and were told to be
        self.run_ = Run.of(Script())
        self.alive = False
        self.found: BaseException | None = None
        self.observer: sqlite3.Connection | None = None
        self.uncertain = 0

    def begins(self, plan: Plan, wish: Wish) -> None:
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

    def billed(self, job: Job, provider: str, run: Run) -> None:
        """A gateway has accepted a paid call of this run, or of an earlier one that arrives late."""
        found = self.rows("SELECT pictures, take, state FROM requests WHERE id = ?", job.request)
        if not found:
            self.violated("no intent", f"{provider} accepted {job.request}, of which the ledger knows nothing")
            return
        pictures, take = json.loads(found[0][0]), found[0][1]
        if len(pictures) != job.count:
            self.violated("count", f"{provider} was asked for {job.count} pictures, and {len(pictures)} are intended")
        self.asked[job.remote] = [(key, take) for key, _ in pictures]
        bills = self.bills()
        for key, variant in pictures:
            if bills[key, take] > 1 + self.allowed[key, take] + self._given_up(key, take):
                text = f"v{variant} take {take} of {job.prompt!r}, by {self._whose(key, take)}"
                self.violated("paid twice", text)
        self.afford(job, run)
        self.money()

    def afford(self, job: Job, run: Run) -> None:
        """No cap is exceeded by what the gateways bill."""
        caps = self.manifest.budget
        run.billed += job.usd
        if run.cap is not None and run.billed > run.cap:
            self.violated("budget", f"{run.billed} of this run's {run.cap}")
        if job.request in run.created_before or run is not self.run_:
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
        request = call.headers.get(TAG, "")
        found = self.rows("SELECT state FROM requests WHERE id = ?", request)
        if not call.paid:
            if found and found[0][0] == "intent":
                self.violated("no receipt", f"a poll of {provider} left before the receipt was committed")
            return
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

    def settled(self) -> None:
        """After every run, however it ended: each picture that is recorded was billed, and is recorded once."""
        made = {}
        for provider, account in self.accounts.items():
            for job in account.jobs.values():
                made.update({digest(url): (provider, job, n) for n, url in enumerate(job.images(account.gateway))})
        seen: dict[str, str] = {}
        query = "SELECT p.key, p.take, p.sha256, p.spec, r.provider, p.variant FROM pictures p JOIN requests r "
        for key, take, sha256, spec, provider, variant in self.rows(f"{query} ON r.id = p.request"):
            if sha256 not in made or made[sha256][0] != provider:
                self.violated("recorded", f"a picture of {spec[:8]} that {provider} never made")
            if sha256 in seen:
                self.violated("recorded twice", f"one image as v{variant} take {take} and as {seen[sha256]}")
            seen[sha256] = f"{key} take {take}"
        self.money()

    def ended(self, plan: Plan, outcome: Any) -> None:
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

    def nothing_lost(self) -> None:
        """What was billed and made is recorded; or its request is known to be uncertain, or to have failed."""
        known = {row[0] for row in self.rows("SELECT sha256 FROM pictures")}
        told = {row[0] for row in self.rows("SELECT key FROM failures WHERE permanent")}
        requests = {row[0]: row[1:] for row in self.rows("SELECT id, state, pictures, error, spec FROM requests")}
        for account in self.accounts.values():
            for job in account.jobs.values():
                state, pictures, error, spec = requests[job.request]
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
                    if digest(url) not in known and not excused:
                        text = f"picture {number + 1} of {job.remote} ({job.prompt!r}); its request is {state}: {error}"
                        self.violated("lost", text)

    def exact(self) -> None:
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
                # These two don't say what such a job cost.
                if job.fate in ("moderated", "moderated-paid", "cancelled") and provider in ("fal", "runware"):
                    vague.add(place)
        for place in counted | billed:
            if place not in vague and counted[place] != billed[place]:
                self.violated("money", f"{place[0]} billed {billed[place]}, and the ledger says {counted[place]}")
