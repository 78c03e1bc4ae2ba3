"""A thousand `kill -9` of the real command line, over all gateway classes: at named points, and at random moments.

A chain is one to three kills of the same work; then a run goes to its end, and the books are compared with the bill
that the gateway kept. The gateway outlives every run.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fakes.campaign import edit, write_campaign
from fakes.emulated import FREE, addresses, provider

from pipeline.emulator import GATEWAYS, Account, Emulator, Gateway, Job, Reply, Request, Settings
from pipeline.emulator.control import running
from soak.books import Findings, Wrong, audit
from soak.forks import Child, Forks
from soak.points import EVERYWHERE, POINTS, Trip
from soak.table import Row

SETTLES = {"fal": "none", "aimlapi": "trace", "eachlabs": "trace", "runware": "id"}
TELLS = ("eachlabs", "runware")
"""Gateways that find every lost answer again."""
NAMED, RANDOM = 50, 120
"""Kills at each named point, at least; and at random moments."""
TOTAL = 1000
STANDS = 3
"""Campaigns at a time, at most, each with a gateway of its own."""
PRODUCTS, VARIANTS = 3, 2
RUNS = 4
"""Runs in which everything must be at its end, once nobody kills them any more."""
SEASONS = 12
"""Rounds of pictures in one output folder, before the next one."""


# ── the gateway's side ──────────────────────────────────────────────────────────────────────────


class Post:
    """Tells what passes at a gateway, and knows whom to kill for it."""

    def __init__(self) -> None:
        self.trip: Trip | None = None

    def passing(self, name: str) -> None:
        """A passage."""
        trip = self.trip
        if trip is not None:
            trip.passing(name)


class Watched:
    """A gateway that tells its post of every request."""

    def __init__(self, gateway: Gateway, post: Post) -> None:
        self.gateway, self.post = gateway, post
        self.name = gateway.name  # type: ignore[misc]  # of the one that is watched
        self.kind_of = gateway.kind_of
        self.error = gateway.error

    def handle(self, request: Request) -> Reply:
        """Answer a request; whoever asked may be dead by then."""
        kind = self.kind_of(request)
        self.post.passing(f"{kind} arrives")
        reply = self.gateway.handle(request)
        self.post.passing(f"{kind} {'accepted' if reply.accepted else 'answered'}")
        return reply


@contextlib.contextmanager
def watched(gateway: str, post: Post) -> Iterator[Emulator]:
    """One emulated gateway with jobs of some milliseconds, and without limits."""

    def make(account: Account, settings: Settings) -> Gateway:
        return Watched(GATEWAYS[gateway](account, settings), post)

    settings = Settings(gateways=(gateway,), pictures="tiny", speed=100.0, latency=(2.0, 6.0), limits=FREE)
    limits = {name: limit for name, limit in FREE.items() if name == gateway}
    with running(Settings(**{**vars(settings), "limits": limits}), {gateway: make}) as emulator:
        yield emulator


def quiet(emulator: Emulator, gateway: str) -> None:
    """Wait until a gateway has dealt with everything that a dead run had sent."""
    server = emulator._servers[gateway]
    parts = urlsplit(emulator.urls[gateway])
    # Whoever connected before this one was accepted before it.
    socket.create_connection((str(parts.hostname), int(parts.port or 0))).close()
    with server._state:
        assert server._state.wait_for(lambda: not server._open, 30.0), "the gateway is still busy"


# ── one stand: a campaign, killed and continued ─────────────────────────────────────────────────


@dataclass
class Tally:
    """What came of a gateway's kills."""

    hits: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[Wrong, str]] = field(default_factory=list)
    uncertain: int = 0
    again: int = 0  # chains that needed more than one run to their end

    def row(self, gateway: str, seconds: float) -> Row:
        """Its line of the table."""
        found = Counter(kind for kind, _ in self.wrong)
        named = [number for name, number in self.hits.items() if name in POINTS]
        least = min(named, default=0)
        return Row(
            f"kill -9 {gateway} ({SETTLES[gateway]})",
            self.hits.total(),
            found["lost"],
            found["paid twice"],
            found["recorded twice"],
            self.uncertain,
            seconds,
            f"{len(named)} points, {least} times or more; {self.hits[ANY]} at random; {self.again} needed two runs",
        )


ANY = "any moment"


class Stand:
    """A campaign at a gateway of its own. ``todo``: the points where it is still to be killed."""

    def __init__(self, gateway: str, number: int, todo: list[str], folder: Path, tally: Tally, seed: int) -> None:
        self.gateway, self.todo, self.tally = gateway, deque(todo), tally
        self.chance = random.Random(f"{seed} {gateway} {number}")
        self.name = f"{gateway} stand {number}, seed {seed}"
        self.folder = folder
        self.post = Post()
        self.misses: Counter[str] = Counter()
        self.folders = self.season = 0
        self.out = folder
        self.history: list[str] = []

    def run(self) -> None:
        """Kill at every point of the list."""
        with (
            watched(self.gateway, self.post) as self.emulator,
            Forks(addresses(self.emulator), self.folder / "log.txt") as self.forks,
        ):
            self.manifest = write_campaign(
                self.folder,
                count=PRODUCTS,
                model="kling-image-o1",
                providers=[provider(self.gateway, concurrency=3)],
                budget={"usd": 1000},
            )
            self.renew()
            while self.todo:
                self.chain()

    def renew(self) -> None:
        """Go on in a new output folder; the old one goes, unless something is wrong in it."""
        if self.season and not any(str(self.out) in text for _, text in self.tally.wrong):
            shutil.rmtree(self.out)
        self.folders += 1
        self.season = 0
        self.out = self.folder / f"out{self.folders}"
        outputs = {"aspect_ratio": ["1:1"], "format": ["png"], "variants": VARIANTS, "folder": self.out.name}
        edit(self.manifest, outputs=outputs)

    def ask_anew(self) -> None:
        """Ask for the same pictures in other words: everything is owed again, and known by its prompt."""
        self.season += 1
        text = f"Place @Image1, {{{{ product.name }}}}, on table {self.folders}, season {self.season}."
        edit(self.manifest, prompts={"table": {"text": text}})

    def chain(self) -> None:
        """One to three kills, then the end."""
        if POINTS.get(self.todo[0], POINTS["closing"]).fresh or self.season >= SEASONS:
            self.renew()
        self.ask_anew()
        self.history = []
        for number in range(self.chance.randint(1, 3)):
            if not self.todo or (number and self.todo[0] in POINTS and POINTS[self.todo[0]].fresh):
                break
            name = self.todo.popleft()
            if not self.kill(name, first=number == 0):
                self.missed(name)
                break
            self.tally.hits[name] += 1
            if self.chance.random() < 0.12:
                self.history.append("asked for in other words")
                self.ask_anew()
        self.end()

    def missed(self, name: str) -> None:
        """A run went to its end without passing the point: later, and earlier in it."""
        self.misses[name] += 1
        assert self.misses[name] < 50, f"{self.name}: {name!r} is never passed"
        self.todo.append(name)

    def kill(self, name: str, *, first: bool) -> bool:
        """Run, and kill at this point; whether that came to be."""
        if name == ANY:
            child = self.anywhere()
        else:
            point = POINTS[name]
            most = point.most if first else 2
            nth = self.chance.randint(1, max(1, most - 2 * self.misses[name]))
            self.history.append(f"{name}, passage {nth}")
            child = self.at(point.passages, nth)
        code = child.code()
        self.post.trip = None
        quiet(self.emulator, self.gateway)
        if code != -9:
            self.check_end(code)
        return code == -9

    def at(self, passages: tuple[str, ...], nth: int) -> Child:
        """A run that is killed at a passage, seen from within or by the gateway: whichever is the n-th first."""
        started = threading.Event()
        children: list[Child] = []

        def kill() -> None:
            started.wait()
            children[0].kill()

        self.post.trip = Trip(passages, nth, kill)
        children.append(self.forks.start(self.command, passages, nth))
        started.set()
        return children[0]

    def anywhere(self) -> Child:
        """A run that is killed some time after its start, or after some passage at the gateway."""
        delay = self.chance.uniform(0.0, 0.25)
        nth = self.chance.randint(1, 12)
        reached = threading.Event()
        by_clock = self.chance.random() < 0.4
        self.history.append(f"after {delay:.3f} s" if by_clock else f"{delay / 10:.3f} s after request {nth}")
        self.post.trip = None if by_clock else Trip(["any"], nth, reached.set)
        child = self.forks.start(self.command)
        if by_clock:
            child.ended(delay)
        else:
            while not (reached.wait(0.005) or child.ended(0)):
                pass
            child.ended(delay / 10)
        child.kill()
        return child

    @property
    def command(self) -> list[str]:
        """What is run."""
        return ["run", str(self.manifest)]

    # ── the end of a chain ──────────────────────────────────────────────────────────────────────

    def end(self) -> None:
        """Run until nothing is left to do, and compare the books."""
        for number in range(RUNS):
            code = self.forks.start(self.command).code()
            quiet(self.emulator, self.gateway)
            self.check_end(code)
            found = self.audit()
            if not found.wrong:
                break
            self.history.append(f"run {number + 1}: {found.wrong[0][1]}")
            self.tally.again += number == 0
        if self.chance.random() < 0.1:
            self.forks.start(self.command).code()
            found = self.audit()
        if found.uncertain:
            self.check_told(found)
        chain = " → ".join(self.history)
        self.tally.wrong += [(kind, f"{self.name}, {self.out}: {text}; {chain}") for kind, text in found.wrong]
        self.tally.uncertain += found.uncertain
        if found.wrong:
            self.renew()

    def audit(self) -> Findings:
        """Compare this output folder with what was billed for it."""
        table = f"on table {self.folders}, "
        jobs: list[Job] = [job for job in self.emulator.account(self.gateway).jobs() if table in job.prompt]
        tells = self.gateway in TELLS
        return audit(self.out, jobs, cells=PRODUCTS * VARIANTS, variants=VARIANTS, tells=tells)

    def check_end(self, code: int) -> None:
        """A run that was not killed ends as it should."""
        said = self.forks.log.read_text()
        if code not in (0, 3) or "Traceback" in said:
            history = " → ".join(self.history)
            raise AssertionError(f"{self.name}, {self.out}: exit {code} after {history}\n{said}")

    def check_told(self, found: Findings) -> None:
        """`status` names every uncertain request with its picture and its price."""
        self.check_end(self.forks.start(["status", str(self.manifest)]).code())
        said = [line.strip() for line in self.forks.log.read_text().splitlines()]
        lines = [line for line in said if line.startswith("uncertain: ") and ", request " in line]
        short = [line for line in lines if "/table/" not in line or "$0.0" not in line]
        if len(lines) * VARIANTS < found.uncertain or short:
            found.add("lost", f"status tells {len(lines)} uncertain requests for {found.uncertain} cells: {short}")


# ── the campaign ────────────────────────────────────────────────────────────────────────────────


def schedule(gateway: str, scale: float, chance: random.Random) -> list[str]:
    """The points where a gateway's runs are to be killed, in a random order."""
    points = []
    for name, point in POINTS.items():
        if gateway in point.gateways:
            points += [name] * -(-NAMED // len(point.gateways))
    points += [ANY] * -(-RANDOM // len(EVERYWHERE))
    chance.shuffle(points)
    return points[: max(1, round(len(points) * scale))]


def campaign(scale: float) -> Iterator[Row]:
    """A thousand kills, a quarter of them at each gateway."""
    seed = random.randrange(10**6)
    print(f"kills: seed {seed}", flush=True)  # noqa: T201  # so that it can be replayed
    hits = Counter[str]()
    for gateway in EVERYWHERE:
        begun = time.monotonic()
        tally = kills(gateway, scale, seed)
        hits += tally.hits
        yield tally.row(gateway, time.monotonic() - begun)
    if scale >= 1:
        short = {name: hits[name] for name in POINTS if hits[name] < NAMED}
        assert not short, f"killed less than {NAMED} times at {short}"
        assert hits.total() >= TOTAL, f"{hits.total()} kills"


def kills(gateway: str, scale: float, seed: int) -> Tally:
    """The kills of one gateway, at a few stands side by side."""
    todo = schedule(gateway, scale, random.Random(f"{seed} {gateway}"))
    tally = Tally()
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{gateway}-"))
    count = min(STANDS, -(-len(todo) // 20))  # a stand costs a second, and a few kills don't
    with ThreadPoolExecutor(count) as pool:
        stands = []
        for number in range(count):
            place = folder / f"stand{number}"
            place.mkdir()
            stand = Stand(gateway, number, todo[number::count], place, tally, seed)
            stands.append(pool.submit(stand.run))
        for running_stand in stands:
            running_stand.result()
    for kind, text in tally.wrong:
        print(f"{kind.upper()}: {text}", flush=True)  # noqa: T201  # what the soak is for
    if not tally.wrong:
        shutil.rmtree(folder)
    return tally
