"""The safeguards around paying are worth something only if a test fails without them: each is removed here, once.

Every check below passes with the real code, and fails with the variants of :mod:`fakes.broken` that it is there for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import broken
from fakes.campaign import HERE, environment, results, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.order import violations
from fakes.work import HANGS

Check = Callable[[str, Path], list[str]]


def start(variant: str, manifest: Path, record: Path | str = "-") -> subprocess.Popen[str]:
    """A run of a variant of the command line, or of the real one (``-``)."""
    command = [sys.executable, str(HERE / "broken.py"), variant, str(record), "run", str(manifest), "--allow-private"]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def campaign(folder: Path, gateway: FakeGateway, name: str, count: int) -> Path:
    """So many pictures at the fake gateway."""
    provider = {"name": name, "base_url": gateway.url, "concurrency": 2}
    return write_campaign(folder, count=count, provider=provider, outputs={"format": ["png", "webp"]})


def order(variant: str, folder: Path) -> list[str]:
    """A run of three pictures, recorded: whatever it did before what it relies on was synced."""
    folder = folder.resolve()
    with serving() as gateway:
        manifest, record = campaign(folder, gateway, "fake", 3), folder / "record"
        process = start(variant, manifest, record)
        _, said = process.communicate(timeout=HANGS)
        assert process.returncode == 0, said
    events, out = broken.read(record), folder / "out/test"
    assert [event.what for event in events].count("post") == 3, "the record misses the paid calls"
    ledger = out / ".pipeline/ledger.sqlite"
    # SQLite syncs its own file before that gets its name, which only `make soak` sees, by strace.
    seen = [event for event in events if not (event.what == "rename" and event.to == str(ledger))]
    renamed = {event.to for event in seen if event.what == "rename"}
    private = out / ".pipeline"
    files = {str(path) for path in out.rglob("*") if path.is_file() and path.parent != private}
    return [*violations(seen, ledger), *(f"{path}: written under its own name" for path in sorted(files - renamed))]


def killed(variant: str, folder: Path, moment: str) -> tuple[FakeGateway, Path, subprocess.CompletedProcess[str]]:
    """Killed while the gateway holds an answer back, and run again, at a gateway that settles nothing by an id."""
    release = threading.Event()

    def hold(answer: int | None) -> Callable[[int], int | None]:
        return lambda n: answer if release.wait(HANGS) else None

    faults = Faults(submit=hold(None)) if moment == "submits" else Faults(poll=hold(200))  # type: ignore[arg-type]
    with serving(faults) as gateway:
        manifest = campaign(folder, gateway, "fake-none", 1)
        process = start(variant, manifest)
        while not getattr(gateway.state, moment):
            assert process.poll() is None, process.communicate()
            os.sched_yield()
        process.kill()
        process.communicate()
        release.set()
        again = start(variant, manifest)
        _, said = again.communicate(timeout=HANGS)
        return gateway, manifest, subprocess.CompletedProcess([], again.returncode, "", said)


def ended(variant: str, folder: Path, moment: str, code: int, state: str) -> list[str]:
    """What is wrong after a kill at this moment and a second run: billed once, it ends with this code and state."""
    gateway, manifest, again = killed(variant, folder, moment)
    wrong = [] if gateway.state.billed.total() == 1 else [f"billed {gateway.state.billed.total()} times"]
    states = {cell["state"] for cell in results(manifest)}
    if (again.returncode, states) != (code, {state}):
        wrong.append(f"exit {again.returncode}, {states}: {again.stderr}")
    return wrong


def intent(variant: str, folder: Path) -> list[str]:
    """Killed in the middle of the paid call: it is known, and not made again."""
    return ended(variant, folder, "submits", 3, "uncertain")


def receipt(variant: str, folder: Path) -> list[str]:
    """Killed in the first poll: the answer to the paid call is known, and the picture comes."""
    return ended(variant, folder, "polls", 0, "done")


CHECKS: dict[str, dict[Check, str]] = {
    "late-intent": {intent: "billed 2 times", order: "left before its intent was synced"},
    "write-behind": {intent: "billed 2 times", order: "left before its intent was synced"},
    "late-receipt": {receipt: "uncertain", order: "polled before its receipt was synced"},
    "files-not-synced": {order: "1x1_1K_v1.webp: renamed before it was synced"},
    "folders-not-synced": {order: "1x1_1K_v1.webp: its folder was not synced"},
    "ledger-never-synced": {order: "left before its intent was synced"},
    "ledger-seldom-synced": {order: "left before its intent was synced"},
}
"""Variant → the checks that must fail with it, and what they say."""


@pytest.mark.parametrize("check", [intent, receipt, order], ids=lambda check: check.__name__)
def test_the_real_code_keeps_its_word(tmp_path: Path, check: Check) -> None:
    """Nothing is wrong with the code as it is."""
    assert check("-", tmp_path) == []


@pytest.mark.parametrize(
    ("variant", "check"),
    [(variant, check) for variant, checks in CHECKS.items() for check in checks],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_removed_safeguard_is_missed(tmp_path: Path, variant: str, check: Check) -> None:
    """Without the safeguard, the check fails, and says why."""
    assert CHECKS[variant][check] in "\n".join(check(variant, tmp_path))


def test_every_variant_has_a_check() -> None:
    """No variant is there that nothing looks for."""
    assert CHECKS.keys() == broken.VARIANTS.keys()
