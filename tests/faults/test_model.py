"""The model of ledger, engine and gateways in virtual time: some campaigns, and what it has found so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from soak.model import explore
from soak.script import Free, Paid, Script, Violation, Wish
from soak.world import World, small_world

from pipeline.budget import Budget
from pipeline.engine import lane
from pipeline.ledger import Ledger

OK = Paid()
SEED = 1
"""The same campaigns every time; `make soak` draws fresh ones. To see them: ``python -m soak.model --seed 1``."""


def test_a_model_of_chance() -> None:
    """Sixty campaigns, each of several runs with faults, kills, interrupts and edits, violate nothing."""
    tally = explore(SEED, 60)
    assert tally["runs"] > 180, "hardly anything was tried"


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (patch.object(Ledger, "add_request", lambda *_: None), "no intent"),
        (patch.object(Ledger, "add_receipt", lambda *_: None), "no receipt"),
        (patch.object(lane, "retry_after", lambda _: None), "not before"),
        (patch.object(Budget, "exceeded", lambda *_, **__: ""), "budget"),
    ],
    ids=["intent", "receipt", "not-before", "budget"],
)
def test_a_broken_variant_is_found_and_its_seed_replays(broken: Any, kind: str) -> None:
    """Without a promise's one line, a few hundred campaigns find it broken, and the same seed finds the same."""
    with broken:
        told = [_first_violation(7) for _ in range(2)]
    assert told[0].startswith(f"{kind}: ")
    assert told[0] == told[1]


def _first_violation(seed: int) -> str:
    with pytest.raises(Violation) as caught:
        explore(seed, 300, shrink=False)
    return str(caught.value)


# ── what it has found: each of these once violated what its docstring says ───────────────────────


def resent(world: World, number: int) -> None:
    """After the ledger could not be written, nothing paid leaves: not even a lost call again, by its id."""
    world.variants = 2
    world.run(Script(paid=(OK, Paid("reset-after")), disk=("full", number)))


def held(world: World, number: int) -> None:
    """After a picture could not be written, a paid call that waits for the lane does not leave."""
    world.run(Script(paid=(OK, Paid("429", after=40.0)), pictures=("ok",) * (number - 1) + ("full",)))


def threadless(world: World, number: int) -> None:
    """A commit that fails for want of a thread is no commit, for none of those that waited for it."""
    world.run(Script(disk=("threads", number)))


def interrupted(world: World, number: int) -> None:
    """After an interrupt, a paid call that was told to come later does not leave."""
    world.run(Script(paid=(OK, Paid("429", after=0.0)), interrupt=("commit", number)))


def adopted(world: World, number: int) -> None:
    """A prediction that is looked for is not that of a call which is under way at the same time."""
    world.run(Script(kill=("commit", number)))
    world.variants = 2
    world.finish()


def underway(world: World, number: int) -> None:
    """A lost call may arrive some seconds later: that its id is not known yet does not mean that it never will be."""
    world.run(Script(paid=(*(OK,) * (number - 1), Paid("late", after=3.0), Paid("402"))))
    world.finish()


def expired(world: World, number: int) -> None:
    """A task that Runware calls expired was accepted, and paid."""
    forgotten = Paid("reset-after", fate="forgotten", seconds=0.0)
    world.run(Script(paid=(forgotten,), kill=("send", number)))
    world.clock.now += 50
    world.styles["p0"] = 1
    world.finish()


def refused(world: World, number: int) -> None:
    """Killed in the midst of recording a refusal that was billed, the picture is not bought again by itself."""
    world.run(Script(paid=(Paid(fate="moderated-paid"),), kill=("commit", number)))
    world.finish()


def torn(world: World, number: int) -> None:
    """A picture that is made is not told of as pending, when another of its request can't be had."""
    world.variants = 3
    world.run(Script(free=(Free(),) * number + (Free("garbage"),) * 10, pictures=("torn",)))


def slow(world: World, number: int) -> None:
    """A picture that is made is not told of as pending, when an interrupt ends the others of its request."""
    world.variants = 2
    world.run(Script(pictures=("slow",), interrupt=("commit", number)))


def outdated(world: World, number: int) -> None:
    """A log is as old as the question: what it did not have before a long wait for the rest may be there since."""
    lost = Paid("reset-after", lag=8.0)
    polls = (Free(),) * number
    world.run(Script(paid=(OK, lost, Paid("unsent"), Paid("429-bare")), free=(*polls, Free("429", after=40.0))))
    world.finish()


def waited(world: World, number: int) -> None:
    """A call of a killed run may have left long after its intent: the log is given its time from then on."""
    world.run(Script(paid=(Paid("429", after=100.0), Paid(lag=8.0)), kill=("accepted", number)))
    world.run(Script())
    world.finish()


FOUND: list[tuple[Callable[[World, int], None], str, dict[str, int]]] = [
    (resent, "runware", {"products": 2}),
    (held, "aimlapi", {"products": 3}),
    (threadless, "fal", {"products": 3}),
    (interrupted, "fal", {"products": 2}),
    (adopted, "eachlabs", {}),
    (underway, "runware", {}),
    (expired, "runware", {}),
    (refused, "runware", {}),
    (refused, "fal", {}),
    (torn, "eachlabs", {}),
    (slow, "eachlabs", {}),
    (outdated, "eachlabs", {"products": 3, "concurrency": 3}),
    (waited, "eachlabs", {}),
]


@pytest.mark.parametrize(
    ("scene", "gateway", "campaign"), FOUND, ids=[f"{scene.__name__}-{gateway}" for scene, gateway, _ in FOUND]
)
def test_what_the_model_found(scene: Callable[[World, int], None], gateway: str, campaign: dict[str, int]) -> None:
    """The scenes in which a promise was broken once, with their moment moved to and fro."""
    for number in range(1, 9):
        with small_world(gateway, **campaign) as world:
            scene(world, number)


def test_the_model_ends_well_without_a_fault() -> None:
    """A plain campaign bills each picture once, and the retake that was asked for."""
    with small_world("fal", products=2) as world:
        world.variants = 2
        world.run(Script())
        world.run(Script(), Wish(only=("p0",), retake=("p0",)))
        world.finish()
        assert world.bill == 6 * 28_000
