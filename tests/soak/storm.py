"""A storm: every other minute half of all answers are 429 or 503, with every kind of ``Retry-After``.

Measured at the gateway: no call of the lane, paid or not, comes before the moment that a refusal named; all submits
together are at most 1.3 times those that are needed; and one run finishes everything. Minutes and waits are a twentieth
of the real ones.

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

SPEED = 20.0
MINUTE = 60.0 / SPEED
CAP = 120.0 / SPEED
"""Seconds that an absurd ``Retry-After`` may hold a lane."""
ON_ITS_WAY = 0.05
"""Seconds in which a refusal reaches the client, and what it had sent before reaches the gateway."""
SLOW = 0.5
"""The same on a machine that does other things, for a call that says that it left before."""
MOST = 1.3
"""Submits in all, in those that are needed."""
PICTURES = 300
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
    until: float = 0.0  # for ever, if 0
    begun: float = 0.0
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
            self.begun = self.begun or now
            self.calls[kind] += 1
            heard = set(request.headers.get(HEARD, "").split(","))
            for refusal in self.refusals[-200:]:
                if now < refusal.until and now > refusal.at + ON_ITS_WAY:
                    self.judge(refusal, now, kind, str(refusal.number) in heard)
            storms = int((now - self.begun) / MINUTE) % 2 == 0
            if not storms or self.chance.random() < 0.5:
                return None
            refusal = Refusal(len(self.refusals), now, now)
            self.refusals.append(refusal)
            return refusal

    def judge(self, refusal: Refusal, now: float, kind: str, heard: bool) -> None:
        """A call has come while a refusal still holds."""
        after = now - refusal.at
        if not heard and after < SLOW:
            self.passed += 1
            self.latest = max(self.latest, after)
            return
        told = "though it was heard" if heard else "and it was never heard"
        self.early.append(f"a {kind} {after:.3f} s after refusal {refusal.number}, {refusal.until - now:.3f} s early, {told}")

    def retry_after(self, number: int, *, vague: bool) -> str:
        """What a refusal says of when, and note it; ``vague``: it may say nothing that can be read."""
        with self.lock:
            at = self.refusals[number].at
            names = ["seconds", "fraction", "date", "absurd", "negative", "past"] + ["absent", "garbage"] * vague
            name = self.chance.choices(names, [3, 6, 2, 0.3, 1, 1, 3, 2][: len(names)])[0]
            text, wait = self.wording(name, at)
            self.kinds[name] += 1
            self.refusals[number] = Refusal(number, at, at + min(wait, CAP))
            return text

    def wording(self, name: str, at: float) -> tuple[str, float]:
        """A header's text, and the seconds that it asks for."""
        chance = self.chance
        match name:
            case "seconds":
                seconds = chance.choice((0, 1, 1))
                return str(seconds), seconds
            case "fraction":
                seconds = round(chance.uniform(1, 30) / SPEED, 3)
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


def storm(gateway: str, pictures: int, seed: int, folder: Path) -> Row:
    """One run in the storm."""
    weather = Weather(seed)

    def make(account: Account, settings: Settings) -> Gateway:
        return Stormy(EMULATED[gateway](account, settings), weather)

    limits = {name: limit for name, limit in FREE.items() if name == gateway}
    settings = Settings(gateways=(gateway,), pictures="plain", speed=SPEED, limits=limits, seed=seed)
    prompts = -(-pictures // PRODUCTS)
    begun = time.monotonic()
    with running(settings, {gateway: make}) as emulator:
        manifest = write_campaign(
            folder,
            count=min(PRODUCTS, pictures),
            model="kling-image-o1",
            providers=[provider(gateway, poll={"first": 4.0 / SPEED, "every": 1.0 / SPEED})],
            prompts={f"table{n}": {"text": f"Place @Image1 on table {n}."} for n in range(prompts)},
            outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
            budget={"usd": 1000},
        )
        done = run(manifest, env=addresses(emulator) | pace(SPEED), log=folder / "log.txt")
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
        f"{weather.passed} were on their way, {weather.latest * 1000:.0f} ms at most",
    )
    where = f"{row.name}, seed {seed}, {folder}"
    assert not weather.early, f"{where}: {len(weather.early)} early: {weather.early[:5]}"
    assert submits <= MOST * needed, f"{where}: {submits} submits for {needed} pictures"
    assert not row.uncertain, f"{where}: {row.uncertain} uncertain"
    if not row.bad:
        shutil.rmtree(folder)
    return row


def campaign(scale: float) -> Iterator[Row]:
    """A storm over each gateway, all at once: mostly they wait."""
    seed = random.randrange(10**6)
    pictures = max(PRODUCTS, round(PICTURES * scale))
    with ThreadPoolExecutor(len(GATEWAYS)) as pool:
        folders = [Path(tempfile.mkdtemp(prefix=f"soak-storm-{gateway}-")) for gateway in GATEWAYS]
        yield from pool.map(storm, GATEWAYS, itertools.repeat(pictures), itertools.count(seed), folders)
