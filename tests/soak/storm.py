"""Storms: for a minute, half of all answers are 429 or 503, with every kind of ``Retry-After``; a calm minute; again.

Measured at the gateway: no call of the lane, paid or not, comes before the moment that a refusal named; all submits
together are at most 1.3 times those that are needed; and one run finishes everything. Minutes and waits are a twentieth
of the real ones, or less.

What a 503 without a readable ``Retry-After`` means for a paid call at fal, nobody can say: it is uncertain by design.
So fal's submits are refused by 429 of every kind, and by 503 that names a time; its polls and uploads by everything.
"""

from __future__ import annotations

import email.utils
import itertools
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fakes.campaign import write_campaign
from fakes.emulated import FREE, GATEWAYS, addresses, provider

from pipeline.emulator import GATEWAYS as EMULATED
from pipeline.emulator import Account, Gateway, Reply, Request, Settings
from pipeline.emulator.control import running
from soak.paced import HEARD, REFUSAL, pace, run
from soak.table import Row

SPEED, FAST = 20.0, 50.0
"""How many times as fast as in reality all goes, in a full soak and in a small one."""
MINUTE = 60.0
CAP = 120.0
"""Seconds that an absurd ``Retry-After`` may hold a lane."""
MOST = 1.3
"""Submits in all, in those that are needed."""
PICTURES, FEWEST = 300, 75
STORMS = 6
LEAST = 8
"""Refusals of a storm, however long a single one holds."""
PRODUCTS = 25
VAGUE = ("", "soon", "NaN", "Wed, 99 Nov 2026 99:00:00 GMT", "1; 2")
"""Kinds of ``Retry-After`` that name no time."""


@dataclass(frozen=True)
class Refusal:
    """An answer that was "not now": when it was given, and until when it asks to wait."""

    number: int
    at: float
    until: float


@dataclass
class Weather:
    """When it storms, and what came of it."""

    seed: int
    storms: int  # half storms to come, the calm ones counted
    speed: float
    turns: float = 0.0  # when it changes
    least: int = 0  # refusals, before it changes
    refusals: list[Refusal] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    early: list[str] = field(default_factory=list)
    latest: float = 0.0  # seconds after a refusal at which something that had been on its way came
    passed: int = 0  # calls that were on their way

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.lock = threading.Lock()

    def arrives(self, request: Request, kind: str) -> Refusal | None:
        """A call has come: whether it may come now, and a refusal, if it is to be refused."""
        with self.lock:
            now = time.monotonic()
            self.calls[kind] += 1
            heard = set(request.headers.get(HEARD, "").split(","))
            for refusal in self.refusals[-200:]:
                if now < refusal.until:
                    self.judge(refusal, now, kind, str(refusal.number) in heard)
            if not self.storming(now) or self.chance.random() < 0.5:
                return None
            refusal = Refusal(len(self.refusals), now, now)
            self.refusals.append(refusal)
            return refusal

    def storming(self, now: float) -> bool:
        """Whether it storms: a minute at least, and until there were some refusals; and a minute not."""
        here = self.storms % 2 == 1
        if now > self.turns and (not here or len(self.refusals) >= self.least) and self.storms:
            self.storms -= 1
            self.turns, self.least = now + MINUTE / self.speed, len(self.refusals) + LEAST
        return self.storms % 2 == 1

    def judge(self, refusal: Refusal, now: float, kind: str, heard: bool) -> None:
        """A call has come while a refusal still holds."""
        after = now - refusal.at
        if heard:
            early = f"{refusal.until - now:.3f} s early, though it was heard"
            self.early.append(f"a {kind} {after:.3f} s after refusal {refusal.number}, {early}")
            return
        self.passed += 1
        self.latest = max(self.latest, after)

    def retry_after(self, number: int, *, vague: bool) -> str:
        """What a refusal says of when, and note it; ``vague``: it may say nothing that can be read."""
        with self.lock:
            at = self.refusals[number].at
            names = ["seconds", "fraction", "date", "absurd", "negative", "past"] + ["absent", "garbage"] * vague
            name = self.chance.choices(names, [3, 6, 2, 0.3, 1, 1, 3, 2][: len(names)])[0]
            text, wait = self.wording(name, at)
            self.kinds[name] += 1
            self.refusals[number] = Refusal(number, at, at + min(wait, CAP / self.speed))
            return text

    def wording(self, name: str, at: float) -> tuple[str, float]:
        """A header's text, and the seconds that it asks for."""
        chance = self.chance
        match name:
            case "seconds":
                seconds = chance.choice((0, 1, 1))
                return str(seconds), seconds
            case "fraction":
                seconds = round(chance.uniform(1, 30) / self.speed, 3)
                return f"{seconds}", seconds
            case "date":
                moment = int(time.time()) + chance.randint(1, 2)
                return email.utils.formatdate(moment, usegmt=True), moment - (time.time() + at - time.monotonic())
            case "absurd":
                return chance.choice(("1000000000", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT")), 1e9
            case "negative":
                return "-5", 0.0
            case "past":
                return "Wed, 21 Oct 2015 07:28:00 GMT", 0.0
            case "garbage":
                return chance.choice(VAGUE[1:]), 0.0
        return "", 0.0


class Stormy:
    """A gateway in this weather."""

    def __init__(self, gateway: Gateway, weather: Weather) -> None:
        self.gateway, self.weather = gateway, weather
        self.name = gateway.name  # type: ignore[misc]  # of the one that is in it
        self.kind_of = gateway.kind_of
        self.error = gateway.error

    def handle(self, request: Request) -> Reply:
        """Answer a request, or refuse it for now."""
        kind = self.kind_of(request)
        refusal = self.weather.arrives(request, kind)
        if refusal is None:
            return self.gateway.handle(request)
        status = self.weather.chance.choice((429, 503))
        clear = self.name == "fal" and kind == "submit" and status == 503
        text = self.weather.retry_after(refusal.number, vague=not clear)
        headers = {REFUSAL: str(refusal.number)} | ({"Retry-After": text} if text else {})
        return self.gateway.error(status, "not now", headers)


def storm(gateway: str, scale: float, seed: int) -> Row:
    """One run in the storm."""
    folder = Path(tempfile.mkdtemp(prefix=f"soak-storm-{gateway}-"))
    pictures, speed = max(FEWEST, round(PICTURES * scale)), SPEED if scale > 0.5 else FAST
    weather = Weather(seed, 2 * max(1, round(STORMS * scale)), speed)

    def make(account: Account, settings: Settings) -> Gateway:
        return Stormy(EMULATED[gateway](account, settings), weather)

    limits = {name: limit for name, limit in FREE.items() if name == gateway}
    settings = Settings(gateways=(gateway,), pictures="tiny", speed=speed, limits=limits, seed=seed)
    prompts = -(-pictures // PRODUCTS)
    begun = time.monotonic()
    with running(settings, {gateway: make}) as emulator:
        manifest = write_campaign(
            folder,
            count=PRODUCTS,
            model="kling-image-o1",
            providers=[provider(gateway, poll={"first": 4.0 / speed, "every": 1.0 / speed})],
            prompts={f"table{n}": {"text": f"Place @Image1 on table {n}."} for n in range(prompts)},
            outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
            budget={"usd": 1000},
        )
        done = run(manifest, env=addresses(emulator) | pace(speed), log=folder / "log.txt")
        jobs = Counter(job["digest"] for job in emulator.bill(gateway)["jobs"])
    needed, submits = done["cells"], weather.calls["submit"]
    row = Row(
        f"storm {gateway}",
        len(weather.refusals),
        done["cells"] - done["done"] - done["uncertain_cells"],
        jobs.total() - len(jobs),
        0,
        done["uncertain_cells"],
        time.monotonic() - begun,
        f"{needed} pictures, {submits / needed:.2f}× the submits, {weather.calls.total()} calls, none early; "
        f"{weather.passed} were on their way, {weather.latest * 1000:.0f} ms at most; "
        f"{len(weather.kinds)} kinds of Retry-After",
    )
    where = f"{row.name}, seed {seed}, {folder}"
    assert not weather.early, f"{where}: {len(weather.early)} early: {weather.early[:5]}"
    assert submits <= MOST * needed, f"{where}: {submits} submits for {needed} pictures"
    assert not row.uncertain, f"{where}: {row.uncertain} uncertain"
    if not row.bad:
        shutil.rmtree(folder)
    return row


def campaign(scale: float) -> Iterator[Row]:
    """A storm over each gateway, in a small soak over two of them, all at once: mostly they wait."""
    seed = random.randrange(10**6)
    gateways = GATEWAYS if scale > 0.5 else random.sample(GATEWAYS, 2)
    with ThreadPoolExecutor(len(gateways)) as pool:
        yield from pool.map(storm, gateways, itertools.repeat(scale), itertools.count(seed))
