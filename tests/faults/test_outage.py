"""Outages: the circuit opens, others of the pool take over, and all goes on when the gateway is back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from fakes.campaign import results, run, start, wait_for_line, write_campaign
from fakes.emulated import addresses, billed, emulating, provider
from fakes.gateway import Faults, serving
from fakes.work import HANGS


def wait_until(met: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until something is so, while a process runs."""
    while not met():
        try:
            process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
        assert met(), process.communicate()
        return


def test_a_run_outlives_an_outage(tmp_path: Path) -> None:
    """The only gateway refuses connections for a while: the same run finishes everything, and pays once."""
    with emulating(gateways=("runware",), latency=(3.0, 9.0)) as emulator:
        only = provider("runware", concurrency=2)
        manifest = write_campaign(tmp_path, count=8, model="kling-image-o1", provider=only, outputs={})
        process = start(manifest, env=addresses(emulator))
        wait_until(lambda: emulator.bill("runware")["pictures"] >= 2, process)
        emulator.pause("runware")
        wait_for_line(process, "pausing, and trying again one by one")
        emulator.resume("runware")
        _, said = process.communicate(timeout=HANGS)
        assert process.returncode == 0, said
        assert "provider runware: answers again" in said
        assert billed(emulator)[0] == 8


def test_the_preferred_provider_takes_over_again_when_it_is_back(tmp_path: Path) -> None:
    """The first of a pool is away for a while: the second goes on meanwhile, then the first does; nothing twice."""
    with emulating(gateways=("runware", "eachlabs"), latency=(3.0, 9.0)) as emulator:
        pool = [provider("runware", concurrency=1), provider("eachlabs", concurrency=1)]
        manifest = write_campaign(tmp_path, count=40, model="kling-image-o1", providers=pool, outputs={})
        process = start(manifest, env=addresses(emulator))
        wait_until(lambda: emulator.bill("runware")["pictures"] >= 2, process)
        emulator.pause("runware")
        wait_until(lambda: emulator.bill("eachlabs")["pictures"] >= 3, process)
        before = emulator.bill("runware")["pictures"]
        emulator.resume("runware")
        _, said = process.communicate(timeout=HANGS)
        assert process.returncode == 0, said
        assert emulator.bill("runware")["pictures"] > before + 5
        assert billed(emulator)[0] == len({line["key"] for line in results(manifest)}) == 40


def test_an_outage_leaves_few_answers_uncertain(tmp_path: Path) -> None:
    """502 to every paid call where nothing can settle it: a handful is held, and all others wait, unsubmitted."""
    with serving(Faults(submit=lambda n: (502, {}))) as gateway:
        only = {"name": "fake-none", "base_url": gateway.url, "concurrency": 4}
        manifest = write_campaign(tmp_path, count=30, provider=only, outputs={})
        document = run(manifest, expect=3)
        held = document["uncertain"]
        assert document["pending"] == 30 - held
        assert 1 <= held <= 20
        gateway.faults.submit = lambda n: None
        assert run(manifest, expect=3)["made"] == 30 - held


def test_who_never_answers_is_given_up_soon(tmp_path: Path) -> None:
    """A wrong address: nothing was sent, everything stays pending, and one line says why."""
    with serving() as gateway:
        url = gateway.url
    manifest = write_campaign(tmp_path, provider={"name": "fake", "base_url": url}, outputs={})
    process = start(manifest)
    _, said = process.communicate(timeout=HANGS)
    assert process.returncode == 3, said
    assert "provider fake stopped: can't reach the gateway" in said
