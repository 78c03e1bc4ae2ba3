"""The model-based campaign: what people and gateways may do to a campaign, in any order, thousands of times.

A Hypothesis state machine edits the manifest, runs it with faults, kills and interrupts, and looks at the bill: the
real planner, ledger, engine and dialects, against accounts in memory, in virtual time. :mod:`soak.watch` says what must
hold.
``python -m soak.model --seed 7 --examples 300`` looks for one violation and shrinks it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from fakes.accounts import ACCOUNTS
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pipeline.types import Budget
from soak.script import NOTHING, POINTS, Free, Paid, Script, Violation, Wish
from soak.table import Row
from soak.world import World

EXAMPLES = 1500
"""Campaigns of a full soak."""
BATCH = 100
"""Campaigns of one seed: what fails is found again by its seed."""
STEPS = 12

_AFTER = st.sampled_from([0.0, 3.0, 40.0, 119.0, 1000.0])
_LOST = ("reset-after", "reset-before", "late", "500", "502", "504", "408", "garbage", "empty", "slow", "503-bare")
_NOT_NOW = ("unsent", "429", "503", "429-bare", "429-date")
_PAID = st.builds(
    Paid,
    kind=st.sampled_from(("ok", *_LOST, *_NOT_NOW, "refused", "401", "402")),
    fate=st.sampled_from(["done", "done", "broken", "partial", "moderated", "moderated-paid", "forgotten", "stuck"]),
    after=_AFTER,
    seconds=st.sampled_from([5.0, 0.0, 60.0, 800.0]),
    lag=st.sampled_from([0.0, 8.0]),
).map(lambda paid: replace(paid, after=min(paid.after, 8.0)) if paid.kind == "late" else paid)
_FREE = st.builds(
    Free,
    kind=st.sampled_from(
        ["ok", "unsent", "reset", "429", "503", "503-bare", "429-date", "500", "garbage", "empty", "404", "slow", "401"]
    ),
    after=_AFTER,
)
_PICTURE = st.sampled_from(["ok", "slow", "torn", "gone", "bad", "long", "full", "dead"])
_POINT = st.none() | st.tuples(st.sampled_from(POINTS), st.integers(1, 12))
_SCRIPTS = st.builds(
    Script,
    paid=st.lists(_PAID, max_size=8).map(tuple),
    free=st.lists(_FREE, max_size=8).map(tuple),
    pictures=st.lists(_PICTURE, max_size=5).map(tuple),
    kill=_POINT,
    interrupt=_POINT,
    disk=st.none() | st.tuples(st.sampled_from(["full", "threads"]), st.integers(1, 8)),
)
_GLOBS = st.sampled_from([(), ("p0",), ("*/v1.png",)])
_WISHES = st.builds(
    Wish,
    budget=st.none() | st.sampled_from([0, 28_000, 60_000, 150_000]),
    limit=st.none() | st.integers(1, 3),
    only=_GLOBS,
    retake=_GLOBS,
    retry_failed=st.booleans(),
    retry_uncertain=st.booleans(),
)


class Model(RuleBasedStateMachine):
    """A campaign of some products at some gateways."""

    gateways: ClassVar[tuple[str, ...]] = tuple(ACCOUNTS)
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.failed = False

    @initialize(
        order=st.data(),
        products=st.integers(1, 3),
        variants=st.integers(1, 4),
        concurrency=st.integers(1, 3),
        per_minute=st.none() | st.just(3),
        cheap=st.booleans(),
        routing=st.sampled_from(["failover", "cheapest", "spread"]),
    )
    def begin(  # what a campaign begins with
        self,
        order: st.DataObject,
        products: int,
        variants: int,
        concurrency: int,
        per_minute: int | None,
        cheap: bool,
        routing: str,
    ) -> None:
        """A manifest, and nothing made yet."""
        gateways = order.draw(st.lists(st.sampled_from(self.gateways), min_size=1, max_size=3, unique=True), "gateways")
        self.world = World(tuple(gateways), products, concurrency, per_minute, cheap=cheap)
        self.world.manifest = replace(self.world.manifest, routing=routing)
        self.world.variants = variants

    @property
    def here(self) -> World:
        """The world, which :meth:`begin` made."""
        assert self.world is not None
        return self.world

    @rule(script=_SCRIPTS)
    def run(self, script: Script) -> None:
        """A run with faults, perhaps killed or interrupted."""
        self._run(script)

    @rule(script=_SCRIPTS, point=st.sampled_from(POINTS), number=st.integers(1, 12))
    def kill(self, script: Script, point: str, number: int) -> None:
        """A run that is killed."""
        self._run(replace(script, kill=(point, number)))

    @rule(script=_SCRIPTS, wish=_WISHES)
    def ask(self, script: Script, wish: Wish) -> None:
        """A run of a part, or of what was made, failed or got lost before."""
        self._run(script, wish)

    @rule(wish=st.just(NOTHING) | _WISHES)
    def calm(self, wish: Wish) -> None:
        """A run without a fault."""
        self._run(Script(), wish)

    def _run(self, script: Script, wish: Wish = NOTHING) -> None:
        with self._noting():
            self.here.run(script, wish)

    @rule(product=st.integers(0, 2), style=st.integers(0, 2))
    def edit(self, product: int, style: int) -> None:
        """Another prompt for one product, or an earlier one again."""
        name = f"p{product}"
        if name in self.here.styles:
            self.here.styles[name] = style

    @rule(variants=st.integers(1, 4))
    def vary(self, variants: int) -> None:
        """More or fewer variants."""
        self.here.variants = variants

    @rule(data=st.data())
    def pool(self, data: st.DataObject) -> None:
        """The providers in another order, or fewer of them."""
        names = data.draw(st.lists(st.sampled_from(sorted(self.here.providers)), min_size=1, unique=True), "providers")
        self.here.manifest = replace(self.here.manifest, providers=tuple(self.here.providers[name] for name in names))

    @rule(
        total=st.none() | st.sampled_from([0, 60_000, 200_000, 500_000]),
        run=st.none() | st.just(90_000),
        day=st.none() | st.just(120_000),
        sets=st.just({}) | st.fixed_dictionaries({}, optional={"things": st.just(90_000), "others": st.just(30_000)}),
    )
    def afford(self, total: int | None, run: int | None, day: int | None, sets: dict[str, int]) -> None:
        """Another budget."""
        self.here.manifest = replace(self.here.manifest, budget=Budget(total=total, run=run, day=day, sets=sets))

    @rule()
    def cancel(self) -> None:
        """``pipeline cancel``."""
        with self._noting():
            self.here.cancel()

    @rule(seconds=st.sampled_from([10.0, 100.0, 4000.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        with self._noting():
            self.here.clock.now += seconds
            self.here.arrive()

    def teardown(self) -> None:
        """All faults end, and so does the campaign."""
        if self.world is None:
            return
        try:
            if not self.failed:
                with self._noting():
                    self.world.finish()
            self.tally["runs"] += self.world.runs
            self.tally["uncertain"] += self.world.uncertain
            self.tally["campaigns"] += 1
        finally:
            self.world.close()

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.failed = True  # what follows from it says nothing
            raise


def settled(examples: int, *, shrink: bool = True) -> settings:
    """How Hypothesis runs the machine: no time limits, as time is virtual, and no database, as seeds are enough."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def explore(
    number: int, examples: int, gateways: tuple[str, ...] = tuple(ACCOUNTS), *, shrink: bool = True
) -> Counter[str]:
    """Campaigns of one seed; what they did. The first violation is shrunk, and raised with its steps as notes."""

    class Seeded(Model):
        pass

    Seeded.gateways, Seeded.tally = gateways, Counter()
    run_state_machine_as_test(seed(number)(Seeded), settings=settled(examples, shrink=shrink))
    return Seeded.tally


def campaign(scale: float) -> Iterator[Row]:
    """One row: runs of the model, and what they violated, by the seed that finds it again."""
    examples = max(20, round(EXAMPLES * scale))
    first, started = random.randrange(10**6), time.monotonic()
    tally: Counter[str] = Counter()
    bad: dict[str, str] = {}
    for number in range(first, first + -(-examples // BATCH)):
        try:
            tally += explore(number, min(BATCH, examples), shrink=False)
        except Exception as error:
            kind = error.kind if isinstance(error, Violation) else type(error).__name__
            tally[kind] += 1
            bad.setdefault(kind, f"{error} (python -m soak.model --seed {number} --examples {min(BATCH, examples)})")
    other = sum(tally[kind] for kind in bad if kind not in ("lost", "paid twice", "recorded twice"))
    note = f"{tally['campaigns']} campaigns from seed {first}" + "".join(f"; {text}" for text in bad.values())
    yield Row(
        "model",
        tally["runs"],
        tally["lost"] + other,
        tally["paid twice"],
        tally["recorded twice"],
        tally["uncertain"],
        time.monotonic() - started,
        note,
    )


def say(text: str) -> None:
    """Print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Look for a violation, and print the shortest way to it."""
    parser = argparse.ArgumentParser(prog="soak.model", description="Look for a violation, and shrink it.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--examples", type=int, default=BATCH)
    parser.add_argument("--gateway", action="append", choices=tuple(ACCOUNTS))
    parser.add_argument("--mute", action="append", default=[], help="look past this kind of violation")
    given = parser.parse_args()
    World.muted = frozenset(given.mute)
    say(f"soak.model: --seed {given.seed} --examples {given.examples}")
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            tally = explore(given.seed, given.examples, tuple(given.gateway or ACCOUNTS))
    except Exception as error:
        say("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]))
        return 1
    say(f"{tally['campaigns']} campaigns, {tally['runs']} runs, {tally['uncertain']} uncertain: nothing violated")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
