"""The safeguards around paying are worth something only if a test fails without them: each is removed here, once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import broken
from fakes.campaign import HERE, environment, results, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.order import Event, violations


def start(variant: str, manifest: Path, record: Path | str = "-") -> subprocess.Popen[str]:
    """A run of a variant of the command line, or of the real one (``-``)."""
    command = [sys.executable, str(HERE / "broken.py"), variant, str(record), "run", str(manifest), "--allow-private"]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def campaign(folder: Path, gateway: FakeGateway, name: str, count: int) -> Path:
    """So many pictures at the fake gateway."""
    provider = {"name": name, "base_url": gateway.url, "concurrency": 2}
    return write_campaign(folder, count=count, provider=provider, outputs={"format": ["png", "webp"]})


def in_order(variant: str, folder: Path) -> list[str]:
    """A run of three pictures, recorded: what it did in the wrong order."""
    with serving() as gateway:
        manifest, record = campaign(folder, gateway, "fake", 3), folder / "record"
        process = start(variant, manifest, record)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert gateway.state.submits == 3
    events = broken.read(record)
    assert [event.what for event in events].count("post") == 3, "the record misses the paid calls"
    out = folder / "out/test"
    renamed = {event.to for event in events if event.what == "rename"}
    files = {str(path) for path in out.rglob("*") if path.is_file() and path.parent != out / ".pipeline"}
    return [*violations(events, out / ".pipeline/ledger.sqlite"), *(f"{path}: not renamed" for path in files - renamed)]


def killed(variant: str, folder: Path, faults: Faults, reached: Callable[[FakeGateway], bool]) -> tuple[int, int, str]:
    """Killed at a moment of the gateway's, at one that knows no ids, and run again: bill, exit code, and its words."""
    release = threading.Event()
    held = Faults(
        submit=lambda n: (release.wait(30), faults.submit(n))[1], poll=lambda n: (release.wait(30), faults.poll(n))[1]
    )
    del held
    with serving(faults) as gateway:
        manifest = campaign(folder, gateway, "fake-none", 1)
        process = start(variant, manifest)
        while not reached(gateway):
            assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        release.set()
        again = start(variant, manifest)
        _, said = again.communicate(timeout=60)
        return sum(gateway.state.billed.values()), again.returncode, said


@pytest.mark.parametrize("variant", sorted(broken.VARIANTS))
def test_x(variant: str) -> None:
    assert variant
