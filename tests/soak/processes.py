"""``kill -9`` of whole processes at any of their requests, over all four emulated gateways.

:mod:`soak.kills` forks its runs from one process, and kills at named points. Here every run starts from nothing, which
takes longer and is as real as it gets.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fakes.campaign import HERE, edit, environment, pipeline, results, run, write_campaign
from fakes.emulated import GATEWAYS, addresses, provider
from fakes.work import HANGS

from soak.kills import TELLS, Post, quiet, watched
from soak.points import Trip
from soak.table import Row
from soak.trial import Trial, row

KILLS = 50
"""Of the runs of one gateway, in a full soak."""
PICTURES = 40
LATEST = 2 * PICTURES
"""A run is killed at one of its first so many requests, seen as they arrive and again as they are answered."""


def campaign(scale: float) -> Iterator[Row]:
    """A row for each gateway."""
    seed = random.randrange(10**6)
    for gateway in GATEWAYS:
        begun, kills = time.monotonic(), max(1, round(KILLS * scale))
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            trial = killed(Path(folder), gateway, kills, seed)
        yield replace(row(f"kill -9 of processes, {gateway}", [trial], time.monotonic() - begun), trials=kills)


def killed(folder: Path, gateway: str, kills: int, seed: int) -> Trial:
    """Runs that are killed so many times on their way; then one goes to its end, and all is compared with the bill."""
    post, trial = Post(), Trial(f"{gateway}, seed {seed}")
    with watched(gateway, post) as emulator:
        outputs = {"aspect_ratio": ["1:1"], "format": ["png"]}
        manifest = write_campaign(
            folder,
            count=PICTURES,
            model="kling-image-o1",
            providers=[provider(gateway, concurrency=4)],
            outputs=outputs,
            budget={"usd": 1000},
        )
        env = environment() | addresses(emulator)
        chance, seasons = random.Random(f"{seed} {gateway}"), 1
        while kills:
            if _killed(manifest, env, post, chance.randint(1, LATEST)):
                kills -= 1
            else:  # all is made: the same pictures are asked for in other words
                seasons += 1
                edit(manifest, prompts={"table": {"text": f"Place @Image1 on a table, season {seasons}."}})
            quiet(emulator, gateway)
        trial.code = _run(manifest, env).wait(HANGS)
        last = run(manifest, env=env, expect=trial.code)
        jobs = Counter(str(job["digest"]) for job in emulator.bill(gateway)["jobs"])
    told = results(manifest)
    states = Counter(str(line["state"]) for line in told)
    trial.uncertain = states["uncertain"]
    trial.lost = PICTURES - states["done"] - states["uncertain"]
    trial.paid_twice = jobs.total() - len(jobs)
    said = pipeline("status", manifest, env=env).stdout.splitlines()
    named = [line for line in said if line.strip().startswith("uncertain:")]
    for promise, kept in {
        "it ends as it should": trial.code == (3 if trial.uncertain else 0),
        "every picture has its line": last["cells"] == len(told) == PICTURES,
        "no more is paid than was asked for": len(jobs) <= PICTURES * seasons,
        "what became of a call is found out": not (trial.uncertain and gateway in TELLS),
        "the uncertain say why": all(
            "may have been made, and paid" in str(line["reason"]) for line in told if line["state"] == "uncertain"
        ),
        "status names them, with their price": len(named) >= trial.uncertain
        and all("$0.02" in line and "/table/" in line for line in named),
    }.items():
        if not kept:
            trial.broken.append(f"not so: {promise}")
    return trial


def _killed(manifest: Path, env: dict[str, str], post: Post, nth: int) -> bool:
    """A run that is killed at its n-th request, if it comes to that."""
    started, processes = threading.Event(), list[subprocess.Popen[bytes]]()

    def kill() -> None:
        started.wait(HANGS)
        processes[0].kill()

    post.trip = Trip(["any"], nth, kill)
    processes.append(_run(manifest, env))
    started.set()
    code = processes[0].wait(HANGS)
    post.trip = None
    return code == -9


def _run(manifest: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "runner.py"), "run", str(manifest)]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
