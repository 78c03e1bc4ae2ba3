"""``kill -9`` at two hundred random moments, over all four emulated gateways: nothing lost, nothing paid twice."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fakes.campaign import HERE, edit, environment, pipeline, results, run, write_campaign
from fakes.emulated import GATEWAYS, addresses, emulating, provider
from fakes.work import HANGS

KILLS = 50
PICTURES = 40


def kill_at_random(manifest: Path, env: dict[str, str], seed: int) -> int:
    """Run and kill until it was killed often enough on its way; what is done is asked for anew, in other words."""
    chance, seasons = random.Random(seed), 1
    killed = 0
    while killed < KILLS:
        command = [sys.executable, str(HERE / "runner.py"), "run", str(manifest)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.35, 0.8))
        except subprocess.TimeoutExpired:
            killed += 1
            process.kill()
            process.wait()
        else:
            seasons += 1
            edit(manifest, prompts={"table": {"text": f"Place @Image1 on a table, season {seasons}."}})
    return seasons


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_fifty_kills(tmp_path: Path, gateway: str) -> None:
    """Every picture that was asked for is billed once at most, and is done or told to be uncertain."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # shown when it fails
    with emulating(latency=(2.0, 10.0)) as emulator:
        settings = provider(gateway, concurrency=4)
        outputs = {"aspect_ratio": ["1:1"], "format": ["png"]}
        manifest = write_campaign(
            tmp_path,
            count=PICTURES,
            model="kling-image-o1",
            providers=[settings],
            outputs=outputs,
            budget={"usd": 1000},
        )
        env = environment() | addresses(emulator)
        seasons = kill_at_random(manifest, env, seed)
        last = run(manifest, env=env, expect=3 if _held(manifest, env) else 0)
        jobs = Counter(job["digest"] for job in emulator.bill(gateway)["jobs"])
    assert last["cells"] == PICTURES
    states = Counter(line["state"] for line in results(manifest))
    assert states["done"] + states["uncertain"] == PICTURES, "lost"
    assert max(jobs.values()) == 1, "paid twice"
    assert len(jobs) <= PICTURES * seasons
    if gateway in ("runware", "eachlabs"):
        assert not states["uncertain"]
    for line in results(manifest):
        assert line["state"] != "uncertain" or "may have been made, and paid" in line["reason"]
    said = pipeline("status", manifest, env=env).stdout
    uncertain = [row for row in said.splitlines() if row.strip().startswith("uncertain:")]
    assert len(uncertain) >= states["uncertain"]
    assert all("$0.02" in row and "/table/" in row for row in uncertain)


def _held(manifest: Path, env: dict[str, str]) -> bool:
    """Run to the end: whether something has to be held."""
    done = subprocess.run(
        [sys.executable, str(HERE / "runner.py"), "run", str(manifest)],
        env=env,
        capture_output=True,
        check=False,
        timeout=HANGS,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.returncode == 3
