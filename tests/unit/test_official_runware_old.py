"""Runware's older Python client (the package ``runware``, two of its versions), unchanged, over the emulated WebSocket.

Its module has the name of ``runware-sdk``'s, so `make clients` installs every version in a folder of its own, and a
test runs it in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.campaign import environment
from fakes.work import HANGS

from pipeline.emulator import Settings, serve

PROGRAM = Path(__file__).parents[1] / "clients/runware_old.py"
CLIENTS = Path(sys.prefix) / "clients"
VERSIONS = ("0.4.40", "0.5.24")


@pytest.fixture(params=VERSIONS)
def talk(request):
    """Play a scenario with a version of the client; return what it says, and the emulator's bill."""
    folder = CLIENTS / f"runware-{request.param}"
    if not folder.is_dir():
        pytest.skip(f"no runware {request.param}: `make clients` installs it")

    def play(scenario, *, own_key="k", **settings):
        chosen = {"gateways": ("runware",), "pictures": "tiny", "latency": (0.05, 0.05)} | settings
        with serve(Settings(**chosen)) as emulator:
            address = emulator.urls["runware"].replace("http:", "ws:") + "/v1"
            command = [sys.executable, PROGRAM, scenario, address, own_key]
            variables = environment() | {"PYTHONPATH": str(folder)}
            ended = subprocess.run(command, check=True, env=variables, capture_output=True, timeout=HANGS)
            return json.loads(ended.stdout), emulator.bill("runware")

    return play


def test_it_makes_pictures_and_reads_their_price(talk):
    """Every picture is there, and the bill is the sum of the prices that the client read."""
    said, bill = talk("pictures")
    images = said["result"]
    assert len({image["uuid"] for image in images}) == 3
    assert all(image["url"].partition("?")[0].endswith(".png") for image in images)
    assert sum(round(image["cost"] * 1_000_000) for image in images) == bill["usd_micro"] == 84_000
    assert (bill["requests"], bill["keys_seen"]) == (1, 1)


def test_it_asks_later_for_what_was_accepted(talk):
    said, bill = talk("later", latency=(0.0, 0.0))
    assert said["result"]["found"] == said["result"]["task"] == bill["jobs"][0]["id"]
    assert said["result"]["url"]


def test_it_is_told_why_there_is_no_picture(talk):
    said, bill = talk("refused")
    assert "unsupportedDimensions" in said["failed"]
    assert bill["requests"] == 0


def test_it_refuses_a_wrong_key(talk):
    said, bill = talk("pictures", own_key="wrong", key="right")
    assert "Invalid API key" in said["failed"]
    assert bill["requests"] == 0
