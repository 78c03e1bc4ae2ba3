"""Budgets at random: whatever the caps, the prices and the faults, the gateways' own bills never exceed a cap.

A trial is a campaign of one to three product sets at one or two gateways, which lose answers, refuse, break off, and
bill what they told or less. It is run some times, killed with -9 now and then, by a clock that is moved also in the
middle of a run; before each run the caps are drawn anew, often to the micro-dollar where a picture just fits, or just
doesn't. In the end there is money enough, and everything is made.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.campaign import edit, results, write_campaign
from fakes.clock import day
from fakes.gateway import Faults
from fakes.till import Office, Till, books

from soak.table import Row
from soak.trial import Trial, row

TRIALS, FEWEST = 200, 4
WORKERS = 2
SETS = ("mugs", "bowls", "cups")
PRICES = (5_000, 28_000, 29_400, 70_000)
PASSAGES = (
    ("committing intent",),
    ("committed intent", "calling to pay"),
    ("paid",),
    ("committing receipt", "committed receipt"),
    ("polled",),
    ("fetched", "renamed original"),
    ("committing picture", "committed picture"),
    ("committing made", "committed made"),
    ("any",),
)
"""Where a run is killed (see :mod:`soak.points`)."""
WEATHERS: tuple[tuple[Any, ...], ...] = (
    (),
    ("drop-before", "drop-after", "garbage"),
    ("drop-after",),
    ((429, {}), (503, {}), "drop-before"),
)
"""What may happen to a paid call (see :class:`fakes.gateway.Faults`), beside nothing."""
NO_CREDIT = (402, {"x-reason": "no credit"})
PLENTY = 10**9


@dataclass
class Caps:
    """The caps of one run, in micro-dollars; ``option`` is that of ``--budget``."""

    total: int | None = None
    day: int | None = None
    run: int | None = None
    option: int | None = None
    sets: dict[str, int] = field(default_factory=dict)

    @property
    def written(self) -> dict[str, Any]:
        """As the manifest says it."""
        named = {"usd": self.total, "day_usd": self.day, "run_usd": self.run}
        caps: dict[str, Any] = {name: usd / 1e6 for name, usd in named.items() if usd is not None}
        return caps | ({"set_usd": {name: usd / 1e6 for name, usd in self.sets.items()}} if self.sets else {})

    @property
    def options(self) -> list[str]:
        """As the command line says it."""
        return [] if self.option is None else ["--budget", f"{self.option / 1e6:.6f}"]


class Case:
    """One trial."""

    def __init__(self, office: Office, folder: Path, seed: int) -> None:
        self.office, self.folder, self.seed = office, folder, seed
        self.chance = random.Random(seed)
        self.trial = Trial(f"seed {seed}")
        self.variants = self.chance.choice((1, 1, 2, 4))
        self.names = SETS[: self.chance.randint(1, 3)]
        self.count = self.chance.randint(len(self.names), 24)
        self.prices = [self.chance.choice(PRICES) for _ in range(self.chance.choice((1, 1, 2)))]
        self.tills: list[Till] = []
        self.midnight = ""  # the clock jumps there during a paid call to come
        self.kills = self.stops = 0

    def go(self) -> Trial:
        """The whole of it."""
        with ExitStack() as opened:
            weather, share = self.chance.choice(WEATHERS), self.chance.choice((0.05, 0.3))
            part = self.chance.choice((1.0, 1.0, 0.5, 0.0))
            digit = self.chance.choice("0123456789--------------")
            for number, price in enumerate(self.prices):
                till = opened.enter_context(self.office.till(price=_told(price, part)))
                refuse: Callable[[str], bool] = lambda prompt: prompt.endswith(f"{digit}.")  # noqa: E731  # short
                till.faults = Faults(submit=self.fate(number, weather, share), refuse=refuse)
                self.tills.append(till)
            self.manifest = self.write()
            for number in range(self.chance.randint(2, 4)):
                self.run(number)
            self.finish()
        return self.trial

    def fate(self, number: int, weather: tuple[Any, ...], share: float) -> Callable[[int], Any]:
        """What happens to the paid calls of a gateway; it has no credit any more after some, in some trials."""
        chance = random.Random(f"{self.seed} {number}")
        broke = chance.randint(5, 60) if chance.random() < 0.15 else PLENTY

        def happens(submit: int) -> Any:  # of many types
            if self.midnight and chance.random() < 0.3:
                moment, self.midnight = self.midnight, ""
                self.office.clock.set(moment)
            if submit >= broke:
                return NO_CREDIT
            return chance.choice(weather) if weather and chance.random() < share else None

        return happens

    def write(self) -> Path:
        """The manifest."""
        chance = self.chance
        products: dict[str, list[dict[str, Any]]] = {name: [] for name in self.names}
        for number in range(self.count):
            name = self.names[number] if number < len(self.names) else chance.choice(self.names)
            products[name].append({"id": f"{name}{number}", "images": {"front": f"p{number}.png"}})
        pool = [
            {
                "name": f"shop{number}",
                "gateway": chance.choice(("fake", "fake", "fake-none")),
                "base_url": till.url,
                "concurrency": chance.choice((1, 4, 32)),
                "usd": self.prices[number] / 1e6,
            }
            for number, till in enumerate(self.tills)
        ]
        return write_campaign(
            self.folder,
            count=self.count,
            products=products,
            providers=pool,
            routing=chance.choice(("failover", "cheapest", "spread")),
            prompts={"table": {"text": "Place @Image1 on a table: {{ product.id }}."}},
            outputs={"aspect_ratio": ["1:1"], "format": ["png"], "variants": self.variants},
        )

    def caps(self) -> Caps:
        """Caps of a run; none at all now and then."""
        chance = self.chance

        def some(likely: float) -> int | None:
            price = chance.choice(self.prices)
            usd = chance.randint(0, self.count * self.variants) * price + chance.choice((0, 0, -1, 1, price // 2))
            return max(0, usd) if chance.random() < likely else None

        sets = {name: usd for name in self.names if (usd := some(0.3)) is not None}
        again = 0.5 if self.kills else 0.3  # what a killed run left open counts for the next one's caps too
        return Caps(some(0.6), some(0.4), some(again), some(again), sets)

    # ── runs ────────────────────────────────────────────────────────────────────────────────────

    def run(self, number: int) -> None:
        """One run with caps of its own, killed or not, and what it added to the bill."""
        chance, caps = self.chance, self.caps()
        date = f"2026-03-{1 + number:02}"
        self.office.clock.set(f"{date} {chance.choice(('00:00:01', '12:00:00', '23:59:50'))}")
        self.midnight = f"2026-03-{2 + number:02} 00:00:02" if chance.random() < 0.4 else ""
        edit(self.manifest, budget=caps.written or {"usd": 1000})
        before = self.bills()
        if chance.random() < 0.4:
            done = self.office.killed(self.manifest, chance.choice(PASSAGES), chance.randint(1, 12), *caps.options)
            self.kills += done
        else:
            ended = self.office.run(self.manifest, *caps.options)
            self.stops += ended.code == 4
            if ended.code not in (0, 3, 4) or (ended.code == 4 and not ended.facts["budget"]):
                self.trial.broken.append(f"run {number} ended with {ended.code}: {ended.text[:300]}")
        for till in self.tills:
            till.quiet()
        self.check(f"run {number} with {caps.written} {caps.options}", caps, before, self.bills())

    def bills(self) -> Counter[str]:
        """Micro-dollars: what the gateways have billed, in all and of each set; and each day's, by the ledger."""
        found: Counter[str] = Counter()
        for sale in (sale for till in self.tills for sale in till.sales):
            found["in all"] += sale.usd
            found[next(name for name in self.names if f" {name}" in sale.prompt)] += sale.usd
        for _, created, reserved, usd, state in books(self.manifest).requests.values():
            found[day(created)] += reserved if state in ("intent", "accepted", "uncertain") else usd
        return found

    def check(self, what: str, caps: Caps, before: Counter[str], after: Counter[str]) -> None:
        """Hold what was billed against the caps; one that lay below the bill before leaves the bill as it was."""
        limits: dict[str, int | None] = {"in all": caps.total, **caps.sets}
        limits |= {name: caps.day for name in after if name.startswith("2026-")}
        for name, cap in limits.items():
            if cap is not None and after[name] > max(cap, before[name]):
                self.trial.broken.append(f"{what}: {after[name]} µ$ {name}, {before[name]} before it")
        added = after["in all"] - before["in all"]
        for cap in (caps.run, caps.option):
            if cap is not None and added > cap:
                self.trial.broken.append(f"{what}: {added} µ$ in this run")
        ledger = books(self.manifest)
        if after["in all"] > ledger.spent + ledger.held:
            self.trial.broken.append(f"{what}: {after['in all']} µ$ billed, {ledger.spent} + {ledger.held} booked")

    def finish(self) -> None:
        """Money enough and no faults: everything is made, once, or known as refused or uncertain."""
        edit(self.manifest, budget={"usd": 1000})
        self.midnight = ""
        for till in self.tills:
            till.faults.submit = lambda _: None
        for _ in range(3):
            ended = self.office.run(self.manifest)
            if ended.code == 0:
                break
        self.trial.code = ended.code
        states = Counter(line["state"] for line in results(self.manifest))
        self.trial.uncertain = states["uncertain"]
        self.trial.lost = states.total() - states["done"] - states["failed"] - states["uncertain"]
        specs: Counter[str] = Counter()
        for sale in (sale for till in self.tills for sale in till.sales):
            specs[sale.spec] += sale.pictures
        self.trial.paid_twice = sum(max(0, number - self.variants) for number in specs.values())
        ledger, bill = books(self.manifest), self.bills()["in all"]
        if not ledger.spent <= bill <= ledger.spent + ledger.held:
            self.trial.broken.append(f"{bill} µ$ billed, {ledger.spent} spent, {ledger.held} held")


def _told(price: int, part: float) -> Callable[[str], int]:
    """Job → what a picture of it costs: this part of the price at least."""
    return lambda job: price if part == 1.0 else round(price * random.Random(job).uniform(part, 1.0))


# ── the campaign ────────────────────────────────────────────────────────────────────────────────


def trials(seeds: list[int]) -> Iterator[Case]:
    """Trials of one worker, one after another; the folder of a bad one stays."""
    folder = Path(tempfile.mkdtemp(prefix="soak-budget-"))
    with Office(folder) as office:
        for seed in seeds:
            case = Case(office, folder / str(seed), seed)
            if case.go().fine:
                shutil.rmtree(case.folder)
            else:
                case.trial.name += f" in {case.folder}"
            yield case
    if not any(folder.glob("*/campaign.yaml")):
        shutil.rmtree(folder)


def campaign(scale: float) -> Iterator[Row]:
    """One row of all trials."""
    began, first = time.monotonic(), random.randrange(10**6)
    seeds = list(range(first, first + max(FEWEST, round(TRIALS * scale))))
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda part: list(trials(part)), [seeds[number::WORKERS] for number in range(WORKERS)])
        cases = [case for part in found for case in part]
    note = f"{sum(case.kills for case in cases)} runs killed, {sum(case.stops for case in cases)} stopped by a cap"
    yield row("budgets", [case.trial for case in cases], time.monotonic() - began, note)
