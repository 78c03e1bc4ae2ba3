"""Every cap on money holds, whatever happens: the bill of the gateway is what is compared with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, results, write_campaign
from fakes.clock import day
from fakes.emulated import GATEWAYS, billed, emulating, provider
from fakes.gateway import Faults
from fakes.till import PRICE, Office, Till, books

from pipeline.types import micro_usd

USD = {"aimlapi": 29_400}
"""Micro-dollars of a picture, where it isn't the usual price."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Where the campaigns are run from."""
    with Office(tmp_path_factory.mktemp("office")) as office:
        yield office


def at(till: Till, name: str = "main", kind: str = "fake", **settings: Any) -> dict[str, Any]:
    """This gateway as a provider."""
    return {"name": name, "gateway": kind, "base_url": till.url, "concurrency": 8, **settings}


def campaign(folder: Path, *providers: dict[str, Any], count: int = 12, **keys: Any) -> Path:
    """A campaign of so many small pictures at these providers."""
    outputs = {"aspect_ratio": ["1:1"], "format": ["png"], **keys.pop("outputs", {})}
    return write_campaign(folder, count=count, providers=list(providers), outputs=outputs, **keys)


def sets(**sizes: int) -> dict[str, list[dict[str, Any]]]:
    """So many products in each of these product sets, with pictures of their own."""
    numbers = iter(range(sum(sizes.values())))
    return {
        name: [{"id": f"{name}{n}", "images": {"front": f"p{next(numbers)}.png"}} for n in range(size)]
        for name, size in sizes.items()
    }


# ── what a dollar buys ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_dollar_buys_a_dollar_s_worth(tmp_path: Path, office: Office, gateway: str) -> None:
    """At 32 at once $1.00 is never exceeded; it ends with 4 and the cap's name; with $10 the rest is made, once."""
    price = USD.get(gateway, PRICE)
    with emulating() as emulator:
        manifest = write_campaign(
            tmp_path,
            count=40,
            model="kling-image-o1",
            providers=[provider(gateway, concurrency=32, base_url=emulator.urls[gateway])],
            outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
            budget={"usd": 1},
        )
        first = office.run(manifest)
        assert first.code == 4
        assert billed(emulator) == (1_000_000 // price, 1_000_000 // price * price)
        assert first.facts["budget"] == f"budget.usd $1.00; ${billed(emulator)[1] / 1e6:.6g} spent"
        assert Counter(line["state"] for line in results(manifest)) == {
            "done": 1_000_000 // price,
            "stopped": 40 - 1_000_000 // price,
        }
        edit(manifest, budget={"usd": 10})
        assert office.run(manifest).code == 0
        assert billed(emulator) == (40, 40 * price)
        assert {line["state"] for line in results(manifest)} == {"done"}


def test_the_last_line_says_what_to_do(tmp_path: Path, office: Office) -> None:
    """For people: the cap, what is spent, and that raising it continues."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), budget={"usd": 0.06})
        said = office.tell("run", manifest, "--allow-private").text
    assert "stopped by the budget (budget.usd $0.06; $0.056 spent): raise it and run again to continue" in said


def test_requests_of_several_pictures_fit_whole_or_not_at_all(tmp_path: Path, office: Office) -> None:
    """Four variants cost $0.112: $0.30 buys two requests, and raising it pays for the others only."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), count=5, outputs={"variants": 4}, budget={"usd": 0.3})
        assert office.run(manifest).code == 4
        assert (till.bill, len(till.sales)) == (8 * PRICE, 2)
        edit(manifest, budget={"usd": 30})
        assert office.run(manifest).code == 0
        assert (till.bill, len(till.sales)) == (20 * PRICE, 5)


def test_a_gateway_that_bills_less_gives_more_for_the_same(tmp_path: Path, office: Office) -> None:
    """What is told is what counts: run after run buys what there is room for, and never more."""
    with office.till(price=lambda _: PRICE // 2) as till:
        manifest = campaign(tmp_path, at(till), budget={"usd": 0.1})
        bill = -1
        while till.bill > bill:
            bill = till.bill
            assert office.run(manifest).code == 4
            assert books(manifest).spent == till.bill <= 100_000
        assert bill > 100_000 - PRICE


def test_a_gateway_that_bills_more_is_stopped_as_soon_as_it_is_known(tmp_path: Path, office: Office) -> None:
    """Three times the price: no more than what was under way goes beyond the cap, and nothing after that."""
    with office.till(price=lambda _: 3 * PRICE) as till:
        manifest = campaign(tmp_path, at(till, concurrency=2), budget={"usd": 0.3})
        assert office.run(manifest).code == 4
        assert till.bill == books(manifest).spent
        assert 300_000 - PRICE < till.bill <= 300_000 + 2 * 2 * PRICE
        bill = till.bill
        assert office.run(manifest).code == 4
        assert till.bill == bill


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def test_what_is_uncertain_counts(tmp_path: Path, office: Office) -> None:
    """A third of the answers is lost: what was spent and what may have been stay under the cap, also when retried."""
    with office.till(Faults(submit=lambda n: "drop-after" if n % 3 == 0 else None)) as till:
        manifest = campaign(tmp_path, at(till, kind="fake-none"), count=12, budget={"usd": 0.3})
        assert office.run(manifest).code == 4
        assert till.bill == 10 * PRICE == books(manifest).spent + books(manifest).held
        assert books(manifest).held == 3 * PRICE
        assert office.run(manifest).code == 4
        assert office.run(manifest, "--uncertain", "retry").code == 4
        assert till.bill == 10 * PRICE
        edit(manifest, budget={"usd": 0.3 + 3 * 0.028})
        office.run(manifest, "--uncertain", "retry")
        assert till.bill <= 0.3e6 + 3 * PRICE


@pytest.mark.parametrize(
    ("kind", "passage"), [("fake", "committed intent"), ("fake-none", "paid"), ("fake", "fetching")]
)
def test_a_killed_run_leaves_no_room_that_is_not_there(tmp_path: Path, office: Office, kind: str, passage: str) -> None:
    """Killed twice and resumed, the bill stays under the cap, and nothing is billed twice."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till, kind=kind), count=12, budget={"usd": 0.3})
        assert office.killed(manifest, [passage], 2)
        office.killed(manifest, [passage], 1)
        office.run(manifest)
        assert till.bill <= 10 * PRICE == books(manifest).spent + books(manifest).held
        edit(manifest, budget={"usd": 3})
        office.run(manifest, "--uncertain", "retry")
        uncertain = books(manifest).spent - 12 * PRICE  # asked for anew by wish: counted as spent, billed or not
        assert 12 * PRICE <= till.bill <= 12 * PRICE + uncertain
        assert uncertain == 0 or kind == "fake-none"


def test_a_cap_that_was_lowered_holds_for_what_is_open(tmp_path: Path, office: Office) -> None:
    """Calls that never arrived are not sent any more when the cap now lies below them; raised again, they are."""
    with office.till(Faults(submit=lambda n: "drop-before")) as till:
        manifest = campaign(tmp_path, at(till), count=3, budget={"usd": 0.2})
        assert office.killed(manifest, ["calling to pay"], 3)
        till.faults.submit = lambda n: None
        held = books(manifest).held
        assert held >= PRICE
        edit(manifest, budget={"usd": 0.02})
        stopped = office.run(manifest)
        assert (stopped.code, till.bill) == (4, 0)
        assert stopped.facts["budget"] == f"budget.usd $0.02; $0.00 spent, ${held / 1e6:.6g} held by what is open"
        edit(manifest, budget={"usd": 0.2})
        assert office.run(manifest).code == 0
        assert till.bill == 3 * PRICE


def test_a_budget_below_what_is_spent_asks_for_nothing(tmp_path: Path, office: Office) -> None:
    """Lowered under the bill: nothing is called, what is there stays, exit 4."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), count=6, budget={"usd": 0.1})
        office.run(manifest)
        edit(manifest, budget={"usd": 0.01})
        submits = till.state.submits
        stopped = office.run(manifest)
        assert (stopped.code, stopped.facts["done"], till.state.submits) == (4, 3, submits)
        assert "budget.usd leaves $0.00 (of $0.01): room for 0 of 3 pictures" in office.tell("plan", manifest).text


# ── all the caps ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("budget", "option", "made", "named"),
    [
        ({}, ["--budget", "0"], 0, "--budget"),
        ({"usd": 0.336}, [], 12, ""),
        ({"usd": 0.335999}, [], 11, "budget.usd"),
        ({"run_usd": 0.06}, ["--budget", "0.03"], 1, "--budget"),
        ({"day_usd": 0.09}, [], 3, "budget.day_usd"),
        ({"usd": 0.2, "run_usd": 0.17, "day_usd": 0.14, "set_usd": {"things": 0.12}}, [], 4, "budget.set_usd.things"),
        ({"usd": 0.06, "run_usd": 0.06, "day_usd": 0.06}, ["--budget", "0.06"], 2, "budget.usd"),
    ],
)
def test_the_tightest_cap_stops_a_run(
    tmp_path: Path, office: Office, budget: dict[str, Any], option: list[str], made: int, named: str
) -> None:
    """It is the one that is named, and nothing is billed beyond it."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), budget=budget or {"confirm_above": 1})
        done = office.run(manifest, *option)
        assert (done.code, till.bill) == (4 if named else 0, made * PRICE)
        assert (done.facts["budget"] or "").startswith(named)
        assert {line["state"] for line in results(manifest)} <= {"done", "stopped" if named else "missing"}


def test_a_run_s_cap_begins_anew_with_each_run(tmp_path: Path, office: Office) -> None:
    """$0.06 a run makes two pictures a run, until the campaign's cap says no."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), budget={"run_usd": 0.06, "usd": 0.15})
        for made in (2, 4, 5, 5):
            assert office.run(manifest).code == 4
            assert till.bill == made * PRICE


def test_of_two_sets_the_one_with_money_goes_on(tmp_path: Path, office: Office) -> None:
    """Mugs are at their cap, bowls are all made; only mugs are told to be stopped, and only their cap is named."""
    with office.till() as till:
        products, caps = sets(mugs=5, bowls=5), {"mugs": 0.06, "bowls": 1}
        manifest = campaign(tmp_path, at(till), products=products, budget={"set_usd": caps})
        done = office.run(manifest)
        states = Counter((line["set"], line["state"]) for line in results(manifest))
        assert (done.code, till.bill) == (4, 7 * PRICE)
        assert states == {("mugs", "done"): 2, ("mugs", "stopped"): 3, ("bowls", "done"): 5}
        assert done.facts["budget"] == "budget.set_usd.mugs $0.06; $0.196 spent"
        assert books(manifest).sets == {"mugs": 2 * PRICE, "bowls": 5 * PRICE}
        told = office.tell("plan", manifest).text
        assert "budget.set_usd.mugs leaves $0.004 (of $0.06): room for 0 of 3 pictures" in told
        assert "set_usd.bowls" not in told


def test_only_what_a_cap_stopped_is_told_to_be_stopped(tmp_path: Path, office: Office) -> None:
    """What was not selected, and what its provider could not make, is missing."""
    with office.till(Faults(submit=lambda n: (401, {}) if n > 1 else None)) as till:
        products = sets(mugs=3, bowls=3, cups=3)
        manifest = campaign(tmp_path, at(till), products=products, budget={"set_usd": {"mugs": 0}})
        assert office.run(manifest, "--only", "mugs*", "--only", "bowls*").code == 4
        states = Counter((line["set"], line["state"]) for line in results(manifest))
    assert states.pop(("bowls", "done"), 0) <= 1
    assert set(states) == {("mugs", "stopped"), ("bowls", "missing"), ("cups", "missing")}


def test_a_picture_of_two_sets_counts_for_the_first(tmp_path: Path, office: Office) -> None:
    """Shared pictures are paid once, and by the set that names them first, even when it alone has no money."""
    front = {"images": {"front": "p0.png"}}
    products = {"mugs": [{"id": "m", **front}], "bowls": [{"id": "b", **front}]}
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), count=1, products=products, budget={"set_usd": {"mugs": 0.01}})
        assert (office.run(manifest).code, till.bill) == (4, 0)
        edit(manifest, budget={"set_usd": {"mugs": 0.03, "bowls": 0}})
        assert (office.run(manifest).code, till.bill) == (0, PRICE)
        assert books(manifest).sets == {"mugs": PRICE}


@pytest.mark.parametrize("routing", ["failover", "cheapest", "spread"])
def test_a_pool_of_different_prices_reserves_what_its_maker_takes(tmp_path: Path, office: Office, routing: str) -> None:
    """The cheap one breaks off after two: what the dear one makes counts at its price."""
    broken = Faults(submit=lambda n: (401, {}) if n > 2 else None)
    with office.till(broken, lambda _: 10_000) as cheap, office.till(price=lambda _: 70_000) as dear:
        pool = [at(cheap, "cheap", usd=0.01, concurrency=1), at(dear, "dear", usd=0.07, concurrency=4)]
        manifest = campaign(tmp_path, *pool, routing=routing, budget={"usd": 0.25})
        done = office.run(manifest)
        assert done.code == 4
        assert 0 < dear.bill <= cheap.bill + dear.bill == books(manifest).spent <= 250_000
        assert cheap.bill + dear.bill > 250_000 - 70_000


def test_proofs_are_never_stopped(tmp_path: Path, office: Office) -> None:
    """What is free is made, whatever the caps."""
    caps = {"usd": 0, "run_usd": 0, "day_usd": 0, "set_usd": {"things": 0}, "confirm_above": 0}
    manifest = campaign(tmp_path, {"name": "local"}, count=2, budget=caps)
    assert office.run(manifest, "--budget", "0").code == 0
    assert {line["state"] for line in results(manifest)} == {"done"}


def test_retakes_are_paid_under_the_caps(tmp_path: Path, office: Office) -> None:
    """Cut short by the campaign's cap, the retakes stay owed, and the takes before them stay."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), count=4, budget={"usd": 0.2})
        assert office.run(manifest).code == 0
        assert office.run(manifest, "--retake", "*").code == 4
        assert till.bill == 7 * PRICE
        edit(manifest, budget={"usd": 2})
        assert office.run(manifest).code == 0
        assert till.bill == 8 * PRICE


# ── days ────────────────────────────────────────────────────────────────────────────────────────


def days(manifest: Path) -> Counter[str]:
    """Day → micro-dollars that were asked for on it, by the ledger."""
    found: Counter[str] = Counter()
    for _, created, reserved, usd, state in books(manifest).requests.values():
        found[day(created)] += reserved if state in ("intent", "accepted", "uncertain") else usd
    return found


def test_a_day_s_cap_holds_over_all_runs_of_the_day(tmp_path: Path, office: Office) -> None:
    """Three pictures before midnight and none more; after it three more; the next day the rest."""
    with office.till() as till:
        manifest = campaign(tmp_path, at(till), count=8, budget={"day_usd": 0.09})
        for moment, made, code in (
            ("2026-03-01 22:00", 3, 4),
            ("2026-03-01 23:59:30", 3, 4),
            ("2026-03-02 00:00:01", 6, 4),
            ("2026-03-02 12:00", 6, 4),
            ("2026-03-04 12:00", 8, 0),
        ):
            office.clock.set(moment)
            assert (office.run(manifest).code, till.bill) == (code, made * PRICE)
        assert days(manifest) == {"2026-03-01": 3 * PRICE, "2026-03-02": 3 * PRICE, "2026-03-04": 2 * PRICE}


@pytest.mark.parametrize("kill", [False, True])
def test_midnight_in_the_middle_of_a_run(tmp_path: Path, office: Office, kill: bool) -> None:
    """It goes on with the new day's money; what was under way counts for the day on which it was asked for."""

    def late(number: int) -> None:
        if number == 3:
            office.clock.set("2026-03-02 00:00:01")

    office.clock.set("2026-03-01 23:50")
    with office.till(Faults(submit=late)) as till:
        manifest = campaign(tmp_path, at(till, concurrency=2), count=12, budget={"day_usd": 0.15})
        if kill:
            assert office.killed(manifest, ["paid"], 4)
        assert office.run(manifest).code == 4
        assert till.bill <= sum(days(manifest).values())
        assert set(days(manifest)) == {"2026-03-01", "2026-03-02"}
        assert 3 * PRICE <= days(manifest)["2026-03-01"] <= 4 * PRICE
        assert days(manifest)["2026-03-02"] == 5 * PRICE


# ── the accounts ────────────────────────────────────────────────────────────────────────────────


def test_the_accounts_are_the_gateways_bills(tmp_path: Path, office: Office) -> None:
    """A pool of all four: each one's account is its bill to the micro-dollar; and so says the ledger."""
    with emulating() as emulator:
        manifest = write_campaign(
            tmp_path,
            count=6,
            model="kling-image-o1",
            providers=[provider(name, base_url=emulator.urls[name], concurrency=2) for name in GATEWAYS],
            routing="spread",
            outputs={"aspect_ratio": ["1:1", "16:9"], "format": ["png", "webp"]},
            budget={"usd": 0.25},
        )
        assert office.run(manifest).code == 4
        accounts = office.tell("status", manifest, "--money", "--json").facts["accounts"]
        for name in GATEWAYS:
            mine = [row for row in accounts if row["provider"] == name]
            bill = emulator.bill(name)
            assert sum(micro_usd(row["spent_usd"]) for row in mine) == bill["usd_micro"]
            assert sum(row["pictures"] for row in mine) == bill["pictures"]
            assert sum(micro_usd(row["saved_usd"]) for row in mine) == bill["usd_micro"], "the second format is free"
        assert sum(micro_usd(row["spent_usd"]) for row in accounts) == books(manifest).spent == billed(emulator)[1]


def test_the_accounts_while_a_run_is_going_on(tmp_path: Path, office: Office) -> None:
    """What is in flight is reserved; telling so takes nothing from the run."""
    with office.till(Faults(polls=10**9)) as till:
        manifest = campaign(tmp_path, at(till), count=2, budget={"usd": 1})
        running = office.begin("run", manifest, "--allow-private")
        try:
            while books(manifest).held < 2 * PRICE:
                assert not running.ended(0.01)
            with Office(tmp_path / "other") as other:
                told = other.tell("status", manifest, "--money", "--csv").text.splitlines()
        finally:
            till.faults.polls = 0
        assert [line.split(",")[4:] for line in told[1:]] == [
            ["1", "1", "0.000000", "0.028000", "0.000000", "0.000000", "0.000000"]
        ] * 2
        assert running.code() == 0
