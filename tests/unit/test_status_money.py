"""``pipeline status --money``: whatever is in the ledger, the accounts add up to it, for people, scripts and books."""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, write_campaign

from pipeline.cli import main
from pipeline.ledger import FileRow, Ledger, PictureRow, RequestRow, open_ledger
from pipeline.types import micro_usd

HEADER = (
    "day,provider,product_set,product,requests,pictures,spent_usd,reserved_usd,uncertain_usd,saved_usd,refusals_usd"
)
STATES = ("intent", "accepted", "made", "failed", "refused", "uncertain")
NOON = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
DAY = 86_400.0

Told = Callable[..., str]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A small campaign that was never run."""
    return write_campaign(tmp_path, count=1)


@pytest.fixture
def told(manifest: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """What ``pipeline status --money`` prints with these options."""

    def tell(*options: str, expect: int = 0) -> str:
        assert main(["status", str(manifest), "--money", *options]) == expect
        return capsys.readouterr().out

    return tell


def request(number: int, state: str = "made", **values: Any) -> RequestRow:
    """A request of the ledger for one picture; the rest as given."""
    given: dict[str, Any] = {
        "id": f"request{number}",
        "spec": "spec",
        "pictures": ((f"key{number}", 1),),
        "take": 1,
        "provider": "fal",
        "gateway": "fal",
        "model": "model",
        "address": "",
        "label": "p0/table",
        "state": state,
        "reserved": 28_000,
        "usd": 28_000 if state == "made" else 0,
        "created": NOON,
        "error": None,
        "product": "p0",
        "product_set": "things",
    }
    return RequestRow(**given | values)


def picture(number: int, usd: int) -> PictureRow:
    """The picture that a request has made."""
    return PictureRow(
        f"key{number}", 1, "spec", 1, f"request{number}", "o.png", "0" * 64, 9, 1, 1, None, usd, 1.0, NOON
    )


def file(number: int, name: str) -> FileRow:
    """A file of that picture."""
    return FileRow(f"{number}.{name}", f"key{number}", 1, name, "0" * 64, 9, 0)


def write(manifest: Path, *steps: Callable[[Ledger], None]) -> None:
    """Write these into the campaign's ledger."""
    with open_ledger(manifest.parent / "out/test/.pipeline", "test") as ledger:
        ledger.commit(steps)


def booked(row: RequestRow) -> Callable[[Ledger], None]:
    """A step that adds a request."""
    return lambda ledger: ledger.add_request(row)


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV text."""
    return list(csv.DictReader(io.StringIO(text)))


def total(found: Sequence[dict[str, Any]], name: str) -> int:
    """The sum of a column; amounts in micro-dollars."""
    return sum(micro_usd(float(row[name])) if name.endswith("_usd") else int(row[name]) for row in found)


def test_a_campaign_that_was_never_run_has_cost_nothing(told: Told, manifest: Path) -> None:
    """One line, one header, an empty list; and no ledger is made by asking."""
    assert told() == "nothing was asked for yet\n"
    assert told("--csv") == f"{HEADER}\n"
    assert json.loads(told("--json")) == {"accounts": [], "saved_by_later_runs_usd": 0.0}
    assert not (manifest.parent / "out").exists()


def test_an_empty_ledger_has_cost_nothing(told: Told, manifest: Path) -> None:
    """As when a run was stopped before it asked for anything."""
    write(manifest)
    assert told() == "nothing was asked for yet\n"
    assert told("--csv") == f"{HEADER}\n"


@pytest.mark.parametrize("seed", range(3))
def test_the_accounts_add_up_to_the_ledger(told: Told, manifest: Path, seed: int) -> None:
    """Two hundred requests at random: every sum, by every column, is that of what was put in."""
    chance = random.Random(seed)
    asked = [
        request(
            number,
            state := chance.choice(STATES),
            reserved=(price := chance.choice([0, 28_000, 29_400, 10**9])),
            usd=chance.choice([price, price // 3, 1]) if state in ("made", "failed") else 0,
            created=NOON + chance.randrange(4) * DAY + chance.uniform(-40_000, 40_000),
            provider=chance.choice(["fal", "runware", "fal.2"]),
            product=(product := chance.choice(["a", "b", "c.3"])),
            product_set="mugs" if product == "a" else "bowls",
            pictures=tuple((f"key{number}", v) for v in range(1, chance.randint(2, 9))),
        )
        for number in range(200)
    ]
    write(manifest, *map(booked, asked))
    found = rows(told("--csv"))
    assert found == [
        {name: f"{value:.6f}" if isinstance(value, float) else str(value) for name, value in row.items()}
        for row in json.loads(told("--json"))["accounts"]
    ]
    expected: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in HEADER.split(",")[4:]}
    for row in asked:
        day = time.strftime("%Y-%m-%d", time.localtime(row.created))
        for place in zip(
            ("day", "provider", "product", "product_set"),
            (day, row.provider, row.product, row.product_set),
            strict=True,
        ):
            expected["requests"][place] += 1
            expected["pictures"][place] += len(row.pictures)
            expected["spent_usd"][place] += row.usd
            expected["reserved_usd"][place] += row.reserved if row.state in ("intent", "accepted") else 0
            expected["uncertain_usd"][place] += row.reserved if row.state == "uncertain" else 0
    for name, sums in expected.items():
        for (column, value), amount in sums.items():
            assert total([row for row in found if row[column] == value], name) == amount
    assert [row["day"] for row in found] == sorted(row["day"] for row in found)
    last = told().splitlines()[-2]
    spent, reserved, uncertain = (total(found, f"{name}_usd") for name in ("spent", "reserved", "uncertain"))
    assert [micro_usd(float(word.strip("$").replace(",", ""))) for word in last.split() if word[0] == "$"] == [
        spent,
        reserved,
        uncertain,
    ]


def test_what_is_saved(told: Told, manifest: Path) -> None:
    """A second and a third format of a picture are free, and so is what later runs find made already."""
    steps: list[Callable[[Ledger], None]] = [booked(request(1)), booked(request(2, usd=29_400))]
    steps += [
        lambda ledger: ledger.add_picture(picture(1, 28_000)),
        lambda ledger: ledger.add_picture(picture(2, 29_400)),
    ]
    steps += [lambda ledger, name=name: ledger.add_file(file(1, name)) for name in ("png", "webp", "jpeg")]  # type: ignore[misc]
    steps += [lambda ledger: ledger.add_file(file(2, "png")), lambda ledger: ledger.begin_run(57_400)]
    write(manifest, *steps)
    assert total(rows(told("--csv")), "saved_usd") == 56_000
    assert json.loads(told("--json"))["saved_by_later_runs_usd"] == pytest.approx(0.0574)
    line = "saved $0.056 by formats that share a picture, $0.0574 by runs that found pictures made already"
    assert told().splitlines()[-1] == line


def test_very_many_products(told: Told, manifest: Path) -> None:
    """For people the last ones, and how to see the others; for books every one."""
    write(manifest, *(booked(request(n, product=f"p{n:04}", created=NOON + n * DAY)) for n in range(2000)))
    short, long = told().splitlines(), told("-v").splitlines()
    assert sum(line.startswith("things/") for line in short) == 31
    assert "… and 1,969 before these (-v shows all)" in short
    assert sum(line.startswith("things/") for line in long) == 2000
    assert "things/p1999" in "".join(short)
    assert len(rows(told("--csv"))) == 2000
    assert total(rows(told("--csv")), "spent_usd") == 2000 * 28_000


def test_large_amounts_are_not_rounded(told: Told, manifest: Path) -> None:
    """To the micro-dollar, and never in powers of ten."""
    write(manifest, booked(request(1, usd=987_654_321_012_345)), booked(request(2, usd=1)))
    assert [row["spent_usd"] for row in rows(told("--csv"))] == ["987654321.012346"]
    assert "$987,654,321.012346" in told()


def test_a_ledger_of_an_earlier_version(told: Told, manifest: Path) -> None:
    """It knew no products: they are read from its labels; of which set they were, nobody knows."""
    write(manifest, booked(request(1)), booked(request(2, label="p0/table/1x1/1K/v1.png", state="uncertain")))
    path = manifest.parent / "out/test/.pipeline/ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(
            "ALTER TABLE requests DROP COLUMN product; ALTER TABLE requests DROP COLUMN product_set;"
            "ALTER TABLE requests DROP COLUMN refusals;"
            "DROP TABLE runs; DROP TABLE shown; DROP INDEX pictures_request; PRAGMA user_version = 2"
        )
    db.close()
    (path.parent / "campaign.json").unlink()  # its seal is of the version of today
    assert [(row["product_set"], row["product"], row["requests"]) for row in rows(told("--csv"))] == [("", "p0", "2")]
    assert [line.split()[:2] for line in told().splitlines() if line.startswith("p0")] == [["p0", "2"]]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "a,b", 'a"b', "a\nb", "\t=1"])
def test_what_a_spreadsheet_would_run_is_no_name(manifest: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """No product, set or provider can be called so: in the CSV there is nothing to quote and nothing to run."""
    good = json.loads(manifest.read_text())
    product = {**good["products"]["things"][0], "id": name}
    for bad in (
        {"products": {"things": [product]}},
        {"products": {name: good["products"]["things"]}},
        {"providers": [{"name": name, "gateway": "local"}]},
    ):
        edit(manifest, **good | bad)
        assert main(["validate", str(manifest)]) == 1
        capsys.readouterr()


def test_days_are_the_machine_s_own(told: Told, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second before and after midnight are two days, wherever the machine stands."""
    for zone in ("America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        midnight = time.mktime((2026, 3, 29, 0, 0, 0, 0, 0, -1))
        here = write_campaign(manifest.parent / zone, count=1)
        write(here, booked(request(1, created=midnight - 1)), booked(request(2, created=midnight + 1)))
        edit(manifest, outputs={"folder": f"{zone}/out/test"})
        assert [row["day"] for row in rows(told("--csv"))] == ["2026-03-28", "2026-03-29"]
    monkeypatch.undo()
    time.tzset()


# ── what the manifest may say of money, and what the plan says of it ────────────────────────────


@pytest.mark.parametrize(
    ("written", "place", "fact"),
    [
        ("set_usd: {mgs: 3}", "budget.set_usd.mgs", "there is no product set 'mgs'; did you mean 'mugs'?"),
        ("usd: -1", "budget.usd", "-1 is out of range; the least is 0"),
        ("usd: '4'", "budget.usd", "'4' is text, not a number"),
        ("usd: $4", "budget.usd", "'$4' is text, not a number"),
        ("usd: true", "budget.usd", "true is true or false, not a number"),
        ("usd: .inf", "budget.usd", "is text, not a number"),
        ("usd: .nan", "budget.usd", "is text, not a number"),
        ("usd: 1e308", "budget.usd", "is out of range; the most is 1000000000"),
        ("usd: null", "budget.usd", "is empty, not a number"),
        ("day: 4", "budget.day", "did you mean 'day_usd'"),
        ("confirm_abov: 4", "budget.confirm_abov", "did you mean 'confirm_above'"),
        ("set_usd: {}", "budget.set_usd", "is empty; for example"),
        ("set_usd: 4", "budget.set_usd", "4 is a number, not a mapping"),
        ("set_usd: {mugs: -2}", "budget.set_usd.mugs", "-2 is out of range; the least is 0"),
        ("run_usd: [1]", "budget.run_usd", "is a list, not a number"),
    ],
)
def test_a_mistake_in_the_budget_is_found_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str, place: str, fact: str
) -> None:
    """File, line and column, and what was meant."""
    manifest = write_campaign(tmp_path, count=1)
    document = json.loads(manifest.read_text())
    document["products"] = {"mugs": document["products"]["things"]}
    lines = [f"{name}: {json.dumps(value)}" for name, value in document.items()]
    manifest.write_text("\n".join([*lines, "budget:", f"  {written}", ""]))
    assert main(["validate", str(manifest)]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if place in line]
    assert len(said) == 1
    assert said[0].startswith(f"{manifest}:{len(lines) + 2}:")
    assert fact in said[0]


def test_the_plan_tells_what_every_cap_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that don't suffice, in words, and all of them for scripts; --budget is one of them."""
    provider = {"name": "fal", "usd": 0.028}
    caps = {"usd": 0.1, "day_usd": 0.05, "run_usd": 0.056, "set_usd": {"things": 9}}
    manifest = write_campaign(tmp_path, count=2, providers=[provider], model="kling-image-o1", budget=caps)
    assert main(["plan", str(manifest), "--budget", "0.01"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if " leaves " in line]
    assert told == [
        "budget.usd leaves $0.10: room for 3 of 4 pictures",
        "budget.day_usd leaves $0.05: room for 1 of 4 pictures",
        "budget.run_usd leaves $0.056: room for 2 of 4 pictures",
        "--budget leaves $0.01: room for 0 of 4 pictures",
    ]
    write(manifest, booked(request(1, usd=40_000, created=time.time())))
    assert main(["plan", str(manifest), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["budget"] == [
        {"name": "budget.usd", "usd": 0.1, "left_usd": 0.06},
        {"name": "budget.day_usd", "usd": 0.05, "left_usd": 0.01},
        {"name": "budget.set_usd.things", "usd": 9.0, "left_usd": 8.96},
        {"name": "budget.run_usd", "usd": 0.056, "left_usd": 0.056},
    ]


@pytest.mark.parametrize("amount", ["-1", "nan", "inf", "1e300", "five", "", "$5"])
def test_a_budget_that_is_no_amount_is_refused(manifest: Path, capsys: pytest.CaptureFixture[str], amount: str) -> None:
    """A bad command line, and what an amount looks like."""
    for command in ("plan", "run"):
        with pytest.raises(SystemExit) as ended:
            main([command, str(manifest), f"--budget={amount}"])
        assert ended.value.code == 2
        assert "amount (dollars, such as 5.50)" in capsys.readouterr().err
