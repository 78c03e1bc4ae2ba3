"""A gateway that refuses for a while: everything waits for it, nothing hammers it, and one run finishes everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.campaign import run, write_campaign
from fakes.emulated import addresses, emulating, provider
from fakes.gateway import Faults, serving
from soak.script import Paid, Script
from soak.world import small_world

from pipeline.emulator import Fault

OUTPUTS = {"aspect_ratio": ["1:1"], "format": ["png"]}


FEW = "in vain: the first of each worker, and one after each of ever longer waits"
AT_ONCE = {"0": 0.0, "-5": -5.0, "a date that is over": -1000.0, "0.001": 0.001}


@pytest.mark.parametrize("after", AT_ONCE)
def test_at_once_is_no_answer_to_a_refusal(after: str) -> None:
    """For a hundred seconds all submits are told to come again at once: few do, and the same run makes everything."""
    refusal = Paid("429-date" if "date" in after else "429", after=AT_ONCE[after])
    with small_world("fal", products=3, concurrency=8) as world:
        world.variants = 21
        world.run(Script(refused=(refusal, 100.0)))
        assert len(world.rows("SELECT * FROM pictures")) == 63
        submits = world.run_.points["paid"]
    assert submits <= 21 + 8 + 14, FEW


def test_refused_at_once_one_run_finishes_everything(tmp_path: Path) -> None:
    """The same on a real socket, for the first dozen submits."""
    with serving(Faults(submit=lambda n: (429, {"retry-after": "0"}) if n <= 12 else None)) as gateway:
        only = {"name": "fake", "base_url": gateway.url, "concurrency": 8}
        manifest = write_campaign(tmp_path, count=20, provider=only, outputs=OUTPUTS)
        assert run(manifest)["made"] == 20


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


def test_a_503_that_is_certainly_unpaid_slows_its_lane() -> None:
    """AIML API says 503 to everything for a minute: the same run makes its pictures, and few are asked for in vain."""
    with small_world("aimlapi", products=3, concurrency=10) as world:
        world.variants = 40
        world.run(Script(refused=(Paid("503-unpaid"), 50.0)))
        assert len(world.rows("SELECT * FROM pictures")) == 120
        assert world.run_.points["paid"] <= 60 + 10 + 14, FEW
