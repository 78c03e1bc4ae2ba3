"""Approved pictures and faults: whatever was cut short before, nothing more is paid for what was approved."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fakes.campaign import command, environment, pipeline, plan, run, write_campaign
from fakes.gateway import FakeGateway, Faults, serving

OUTPUTS = {"resolution": "1K", "aspect_ratio": ["1:1"], "format": ["png"]}
LONG_AGO = "2026-01-01T00:00:00Z"


def campaign(folder: Path, gateway: FakeGateway, **provider: Any) -> Path:
    """Two paid pictures, made."""
    manifest = write_campaign(
        folder, count=2, outputs=OUTPUTS, provider={"name": "fake", "base_url": gateway.url} | provider
    )
    assert run(manifest)["made"] == 2
    return manifest


def decide(manifest: Path, said: dict[str, str]) -> None:
    """Bring in decisions on the takes that are shown now, by product."""
    entries = []
    for sidecar in sorted((manifest.parent / "out/test").glob("p*/**/*.json")):
        told = json.loads(sidecar.read_text())
        label = told["cells"][0]["label"].rpartition(".")[0]
        word = said.get(label.partition("/")[0])
        if word is not None:
            entry = {"picture": told["key"], "file": told["original"]["sha256"], "label": label, "decision": word}
            entries.append(entry | {"who": "Ana", "note": "", "when": LONG_AGO})
    file = manifest.parent / "decisions.json"
    file.write_text(json.dumps({"version": 1, "campaign": "test", "reviewer": "Ana", "decisions": entries}))
    pipeline("review", manifest, "--import", file)


def billed(gateway: FakeGateway) -> int:
    """How many pictures were paid."""
    return sum(gateway.state.billed.values())


def test_a_retake_that_never_reached_the_gateway_is_not_paid_once_its_picture_is_approved(tmp_path: Path) -> None:
    """The intent is on disk, the call was lost on its way, and then the take before it was approved."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        gateway.faults = Faults(submit=lambda n: "drop-before")
        run(manifest, "--retake", "p0", expect=3)
        decide(manifest, {"p0": "approved"})
        gateway.faults = Faults()
        assert plan(manifest)["usd"] == 0
        assert run(manifest)["made"] == 0
        assert billed(gateway) == 2
        assert plan(manifest)["frozen"] == 1


def test_an_open_request_for_an_approved_picture_that_is_not_here_is_not_paid(tmp_path: Path) -> None:
    """A run was cut short before its call left; then the approval of another machine came in."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        decide(manifest, {"p0": "approved"})
        approvals = manifest.parent / "approvals.yaml"
        decided = approvals.read_text()
        approvals.unlink()
        shutil.rmtree(tmp_path / "out")
        gateway.faults = Faults(submit=lambda n: "drop-before")
        run(manifest, "--only", "p0", expect=3)
        approvals.write_text(decided)
        gateway.faults = Faults()
        document = run(manifest, "--only", "p0", "--uncertain", "retry", expect=3)
        assert (document["made"], document["lost_cells"]) == (0, 1)
        assert billed(gateway) == 2


def test_a_rejected_picture_is_paid_once_more_also_when_the_same_bytes_come_back(tmp_path: Path) -> None:
    """A gateway that gives the same picture again doesn't make a nightly job pay for it every night."""
    with serving() as gateway:
        manifest = campaign(tmp_path, gateway)
        decide(manifest, {"p0": "rejected"})
        assert run(manifest, "--retake", "rejected")["made"] == 1
        assert plan(manifest)["rejected"] == 0
        for again in ([], ["--retake", "rejected"]):
            assert run(manifest, *again)["made"] == 0
        assert billed(gateway) == 3


def test_rejected_pictures_are_paid_once_more_however_often_the_run_is_killed(tmp_path: Path) -> None:
    """kill -9 after each paid call; the same command continues."""
    with serving(Faults(polls=5)) as gateway:
        manifest = campaign(tmp_path, gateway, concurrency=1)
        decide(manifest, {"p0": "rejected", "p1": "rejected"})
        for _ in range(4):
            given = command("run", manifest, "--retake", "rejected")
            before = gateway.state.submits
            process = subprocess.Popen(given, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while gateway.state.submits == before and process.poll() is None:
                pass
            process.kill()
            process.wait()
        run(manifest)
        run(manifest, "--retake", "rejected")
        assert billed(gateway) == 4
        assert run(manifest, "--retake", "rejected")["made"] == 0
