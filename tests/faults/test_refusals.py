"""A gateway that refuses for a while: everything waits for it, nothing hammers it, and one run finishes everything."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from fakes.campaign import run, start, write_campaign
from fakes.emulated import addresses, emulating, provider
from fakes.gateway import Faults, serving

from pipeline.emulator import Fault

OUTPUTS = {"aspect_ratio": ["1:1"], "format": ["png"]}


@pytest.mark.parametrize("value", ["0", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "0.001"])
def test_at_once_is_no_answer_to_a_refusal(tmp_path: Path, value: str) -> None:
    """For two seconds (a hundred real ones) all submits are told to come again at once: few do."""
    begun: list[float] = []

    def submit(_: int) -> tuple[int, dict[str, str]] | None:
        begun.append(time.monotonic())
        return (429, {"retry-after": value}) if begun[-1] < begun[0] + 2.0 else None

    with serving(Faults(submit=submit)) as gateway:
        only = {"name": "fake", "base_url": gateway.url, "concurrency": 8}
        manifest = write_campaign(tmp_path, count=20, provider=only, outputs=OUTPUTS)
        assert run(manifest)["made"] == 20
    assert len(begun) <= 20 + 8 + 14, "the first of each worker, and one after each of ever longer waits"


def test_an_upload_that_is_refused_waits_as_a_paid_call_does(tmp_path: Path) -> None:
    """Ten refusals in a row are no reason to give the provider up."""
    refusals = Fault("upload", "429", nth=tuple(range(1, 11)), value="0.01")
    with emulating(gateways=("eachlabs",), faults=(refusals,)) as emulator:
        manifest = write_campaign(
            tmp_path, count=4, model="kling-image-o1", provider=provider("eachlabs", concurrency=1), outputs=OUTPUTS
        )
        assert run(manifest, env=addresses(emulator))["made"] == 4


def test_a_poll_that_is_refused_is_asked_again_for_as_long_as_it_takes(tmp_path: Path) -> None:
    """Fifteen refusals in a row leave nothing pending."""
    with serving(Faults(poll=lambda n: 429 if n <= 15 else 200)) as gateway:
        only = {"name": "fake", "base_url": gateway.url, "concurrency": 1}
        manifest = write_campaign(tmp_path, count=2, provider=only, outputs=OUTPUTS)
        assert run(manifest)["made"] == 2


def test_a_503_that_is_certainly_unpaid_slows_its_lane(tmp_path: Path) -> None:
    """AIML API says 503 to everything for a while: its pictures are made in the same run, and few asked for in vain."""
    always = Fault("submit", "status", every=1, value="503")
    with emulating(gateways=("aimlapi",), faults=(always,)) as emulator:
        manifest = write_campaign(
            tmp_path, count=60, model="kling-image-o1", provider=provider("aimlapi"), outputs=OUTPUTS
        )
        process = start(manifest, "--json", env=addresses(emulator))
        while not emulator.log("aimlapi"):
            _wait(process)
        begun = time.monotonic()
        while time.monotonic() < begun + 1.0:
            _wait(process)
        emulator.faults("aimlapi", ())
        assert process.communicate(timeout=60)[0]
        assert process.returncode == 0
        assert len([entry for entry in emulator.log("aimlapi") if entry["kind"] == "submit"]) <= 60 * 1.3


def _wait(process: subprocess.Popen[str]) -> None:
    """A moment, in which the run goes on."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
