"""Several manifests in one command: within one budget, and nothing is paid before all are checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import edit, pipeline, results, write_campaign
from fakes.gateway import FakeGateway, Faults, serving

PNG = {"aspect_ratio": ["1:1"], "format": ["png"]}


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """A gateway at $0.028 a picture, which refuses prompts about swans."""
    with serving(Faults(refuse=lambda prompt: "swan" in prompt)) as gateway:
        yield gateway


def campaign(folder: Path, gateway: FakeGateway, *, count: int = 3, **keys: Any) -> Path:
    """A campaign at the gateway, with a prompt of its own."""
    prompts = {"table": {"text": f"Place @Image1 on a {folder.name} table."}}
    provider = {"name": "fake", "base_url": gateway.url, "concurrency": 2}
    return write_campaign(folder, count=count, provider=provider, outputs=PNG, **{"prompts": prompts, **keys})


def together(command: str, *arguments: object, expect: int = 0) -> dict[str, Any]:
    """The one document of a command for several manifests."""
    document: dict[str, Any] = json.loads(pipeline(command, *arguments, "--json", expect=expect).stdout)
    assert document["exit_code"] == expect
    return document


def test_each_is_run_with_its_header_and_one_summary(tmp_path: Path, gateway: FakeGateway) -> None:
    """Manifests, also between options; one that is named twice is run once."""
    first, second = campaign(tmp_path / "oak", gateway), campaign(tmp_path / "ash", gateway, count=2)
    planned = pipeline("plan", first, "-q", second).stdout
    assert [line for line in planned.splitlines() if line.startswith("──")] == [f"── {first} ──", f"── {second} ──"]
    assert planned.endswith("2 manifests: 5 pictures to make · price now $0.14\n")
    done = pipeline("run", first, "--yes", second, tmp_path / "oak" / "." / "campaign.yaml")
    assert "2 manifests: 5 of 5 cells done · 5 pictures made · $0.14 in these runs\n" in done.stderr
    assert done.stdout.count("contact sheet: ") == 2
    assert pipeline("status", first, second).stdout.endswith("2 manifests: 5 of 5 cells done · $0.14 spent\n")
    assert gateway.state.billed.total() == 5


def test_the_exit_code_is_the_most_serious(tmp_path: Path, gateway: FakeGateway) -> None:
    """Failures in the first don't keep the others from being made, and all is in one document."""
    first = campaign(tmp_path / "swan", gateway, count=1)
    second = campaign(tmp_path / "oak", gateway, count=1)
    document = together("run", first, second, expect=3)
    assert [(each["manifest"], each["exit_code"], each["made"]) for each in document["campaigns"]] == [
        (str(first), 3, 0),
        (str(second), 0, 1),
    ]
    assert document["usd"] == 0.028
    assert document["campaigns"][0]["failures"][0]["label"] == "p0/table/1x1/1K/v1.png"
    assert together("plan", first, second, "--detailed-exitcode")["campaigns"][1]["done"] == 1
    edit(second, prompts={"table": {"text": "Place @Image1 elsewhere."}})
    assert together("plan", first, second, "--detailed-exitcode", expect=5)["campaigns"][1]["to_make"] == 1


def test_a_budget_is_over_all_of_them(tmp_path: Path, gateway: FakeGateway) -> None:
    """What the first spends, the second may not: never more than was said."""
    manifests = [campaign(tmp_path / name, gateway) for name in ("oak", "ash", "elm")]
    document = together("run", *manifests, "--budget", "0.12", expect=4)
    assert [each["made"] for each in document["campaigns"]] == [3, 1, 0]
    assert gateway.state.billed.total() == 4
    assert document["usd"] == pytest.approx(0.112)


def test_what_may_have_been_paid_counts_against_the_others_budget(tmp_path: Path) -> None:
    """A lost answer holds its price."""
    with serving(Faults(submit=lambda n: "drop-after" if n == 1 else None)) as gateway:
        manifests = [
            campaign(tmp_path / name, gateway, count=1, providers=[{"name": "fake-none", "base_url": gateway.url}])
            for name in ("oak", "ash")
        ]
        document = together("run", *manifests, "--budget", "0.05", expect=4)
        assert [each["made"] for each in document["campaigns"]] == [0, 0]
        assert gateway.state.billed.total() == 1


def test_a_limit_is_over_all_of_them(tmp_path: Path, gateway: FakeGateway) -> None:
    """--limit counts pictures of all."""
    manifests = [campaign(tmp_path / name, gateway) for name in ("oak", "ash")]
    assert [each["to_make"] for each in together("plan", *manifests, "--limit", "4")["campaigns"]] == [3, 1]
    assert [each["made"] for each in together("run", *manifests, "--limit", "4")["campaigns"]] == [3, 1]


@pytest.mark.parametrize("mistake", ["a file", "a key", "a question", "a budget", "a folder"])
def test_a_mistake_in_one_is_found_before_any_is_paid(tmp_path: Path, gateway: FakeGateway, mistake: str) -> None:
    """Also a missing key, and a question that nobody can answer."""
    first, second = campaign(tmp_path / "oak", gateway), campaign(tmp_path / "ash", gateway)
    if mistake == "a file":
        (second.parent / "p1.png").unlink()
    elif mistake == "a key":
        edit(second, providers=["runware"], model="kling-image-o1", outputs=PNG)
    elif mistake == "a question":
        edit(second, budget={"confirm_above": 0.01})
    elif mistake == "a budget":
        edit(second, budget={"set_usd": {"mugs": 1}})
    else:
        (second.parent / "out").write_text("in the way")
    document = together("run", first, second, expect=1)
    assert "campaigns" not in document
    assert document["error"]
    assert gateway.state.submits == 0
    assert not (first.parent / "out/test/.pipeline/ledger.sqlite").exists()


def test_a_selection_may_be_in_one_of_them_only(tmp_path: Path, gateway: FakeGateway) -> None:
    """The others are left out; what is in none is a mistake, before anything is paid."""
    first, second = campaign(tmp_path / "oak", gateway, count=1), campaign(tmp_path / "ash", gateway)
    assert [each["campaign"] for each in together("run", first, second, "--only", "p2")["campaigns"]] == ["test"]
    assert len(results(second)) == 3
    assert not (first.parent / "out").exists()
    assert [each.get("to_make") for each in together("plan", first, second, "--only", "p1")["campaigns"]] == [None, 1]
    for command in ("run", "plan"):
        assert "--only 'p9' matches no cell" in pipeline(command, first, second, "--only", "p9", expect=2).stderr
    assert gateway.state.billed.total() == 1


def test_what_is_for_one_manifest_is_refused(tmp_path: Path, gateway: FakeGateway) -> None:
    """A saved plan is of one campaign, and so is a table for accounting."""
    both = [campaign(tmp_path / name, gateway, count=1) for name in ("oak", "ash")]
    assert "-o is for one manifest" in pipeline("plan", *both, "-o", tmp_path / "plan.json", expect=2).stderr
    assert "--csv is for one manifest" in pipeline("status", *both, "--csv", expect=2).stderr
    assert "one word too many" in pipeline("verify", *both, expect=2).stderr


def test_saved_plans_are_run_together(tmp_path: Path, gateway: FakeGateway) -> None:
    """Each exactly as it was saved."""
    plans = []
    for name in ("oak", "ash"):
        plans.append(tmp_path / f"{name}.json")
        pipeline("plan", campaign(tmp_path / name, gateway), "--only", "p1", "-o", plans[-1])
    assert [each["made"] for each in together("run", *plans)["campaigns"]] == [1, 1]


def test_one_that_another_run_holds_does_not_keep_the_others(tmp_path: Path, gateway: FakeGateway) -> None:
    """Its error is in its place in the document, and the exit code says so."""
    from pipeline.ledger import open_ledger

    first, second = campaign(tmp_path / "oak", gateway, count=1), campaign(tmp_path / "ash", gateway, count=1)
    with open_ledger(first.parent / "out/test/.pipeline", "test"):
        document = together("run", first, second, expect=1)
    assert [each.get("kind") for each in document["campaigns"]] == ["LedgerLocked", None]
    assert document["campaigns"][1]["made"] == 1
