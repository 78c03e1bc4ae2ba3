"""``kill -9`` at random moments: nothing that was paid is lost, and nothing is paid twice."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.campaign import HERE, REPOSITORY, environment, run, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.work import HANGS
from soak.points import Trip

KILLS = 10
REQUESTS = 4
"""Of one picture: a paid call, two polls, a download."""


def kill_at_random(manifest: Path, gateway: FakeGateway, kills: int, most: int, seed: int) -> None:
    """Start a run and kill it at one of the requests of its first pictures, ``most`` of them: any of their calls."""
    chance = random.Random(seed)
    faults = gateway.faults
    for _ in range(kills):
        started, processes = threading.Event(), list[subprocess.Popen[bytes]]()

        def kill(started: threading.Event = started, processes: list[subprocess.Popen[bytes]] = processes) -> None:
            started.wait(HANGS)
            processes[0].kill()

        trip = Trip(["any"], chance.randint(1, most * REQUESTS), kill)
        gateway.faults = replace(
            faults,
            submit=lambda n, trip=trip: trip.passing("submit"),
            poll=lambda n, trip=trip: trip.passing("poll") or 200,
            image=lambda n, trip=trip: trip.passing("image"),
        )
        command = [sys.executable, str(HERE / "runner.py"), "run", str(manifest), "--allow-private"]
        processes.append(
            subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        started.set()
        processes[0].wait(HANGS)
    gateway.faults = faults


def test_the_realistic_campaign_survives_ten_kills(tmp_path: Path) -> None:
    """The realistic example, killed ten times: all cells done, every picture billed exactly once."""
    with serving() as gateway:
        manifest = tmp_path / "killed.yaml"
        manifest.write_text(
            f"version: 1\ncampaign: killed\nextends: {REPOSITORY / 'manifests/autumn-tableware/campaign.yaml'}\n"
            f"model: {HERE / 'model.yaml'}\nbudget: {{usd: 1000, run_usd: 1000}}\n"
            f"providers: [{{name: fake, base_url: '{gateway.url}', concurrency: 8}}]\n"
            "outputs: {folder: out}\n"
        )
        kill_at_random(manifest, gateway, KILLS, 12, 1)
        assert 0 < gateway.state.submits < 200, "the kills came too early, or too late, to mean anything"
        last = run(manifest)
        assert last["done"] == last["cells"] > 500
        pictures = {line["key"] for line in _lines(tmp_path / "out/results.jsonl")}
        assert sum(gateway.state.billed.values()) == len(pictures) > 200
        assert run(manifest)["made"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_an_id_a_kill_may_leave_uncertain_but_never_pays_twice(tmp_path: Path, seed: int) -> None:
    """Where nothing settles a lost answer: done and uncertain together are all, and no spec is billed twice."""
    with serving(Faults(polls=2)) as gateway:
        provider = {"name": "fake-none", "base_url": gateway.url, "concurrency": 4}
        manifest = write_campaign(tmp_path, count=8, provider=provider)
        kill_at_random(manifest, gateway, 6, 5, seed)
        last = run(manifest, expect=0 if not _uncertain(manifest) else 3)
        lines = _lines(tmp_path / "out/test/results.jsonl")
    states = [line["state"] for line in lines]
    assert states.count("done") + states.count("uncertain") == last["cells"] == 32
    assert max(gateway.state.billed.values()) == 1


def _uncertain(manifest: Path) -> bool:
    """Whether the ledger holds a request whose fate a kill made unknown."""
    ledger = manifest.parent / "out/test/.pipeline/ledger.sqlite"
    with sqlite3.connect(ledger) as db:
        found = db.execute("SELECT count(*) FROM requests WHERE state IN ('intent', 'uncertain')").fetchone()[0]
    db.close()
    return bool(found)


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
