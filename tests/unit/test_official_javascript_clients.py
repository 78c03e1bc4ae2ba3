"""The vendors' JavaScript clients in Node, unchanged, against the emulator: fal's by HTTP, Runware's by WebSocket.

`make clients` installs them at the versions of ``tests/clients/package-lock.json``. The programs beside that file
refuse every name of a host, so that nothing but the emulator is called.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import httpx
import pytest
from fakes.work import HANGS
from kit import png

from pipeline.emulator import Fault, Settings, serve

PROGRAMS = Path(__file__).parents[1] / "clients"
CLIENTS = Path(sys.prefix) / "clients"
NODE = Path(sysconfig.get_path("scripts")) / "node"
MUG = f"data:image/png;base64,{base64.b64encode(png()).decode()}"

pytestmark = pytest.mark.skipif(
    not (CLIENTS / "node_modules/@runware").is_dir(), reason="no JavaScript clients: `make clients` installs them"
)


def told(program, scenario, address, key="k"):
    """What a program says of a scenario: its result, or how it failed."""
    command = [NODE, PROGRAMS / f"{program}.cjs", scenario, address, key]
    variables = {"CLIENTS": str(CLIENTS), "MUG": MUG, "PATH": os.environ["PATH"], "NODE_NO_WARNINGS": "1"}
    ended = subprocess.run(command, check=False, env=variables, capture_output=True, text=True, timeout=HANGS)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def runware(scenario, *, own_key="k", **settings):
    """A scenario of Runware's client at an emulator of its own; what it says, and the bill."""
    chosen = {"gateways": ("runware",), "pictures": "tiny", "latency": (0.05, 0.05)} | settings
    with serve(Settings(**chosen)) as emulator:
        address = emulator.urls["runware"].replace("http:", "ws:") + "/v1"
        said = told("runware", scenario, address, own_key)
        return said, emulator.bill("runware")


def fal(scenario, *, own_key="id:secret", **settings):
    """A scenario of fal's client at an emulator of its own; what it says, and the bill."""
    chosen = {"gateways": ("fal",), "pictures": "tiny", "speed": 1000.0, "latency": (50.0, 90.0)} | settings
    with serve(Settings(**chosen)) as emulator:
        said = told("fal", scenario, emulator.urls["fal"], own_key)
        stored = said.get("result", {}).get("url")
        if stored:
            said["stored"] = httpx.get(stored, trust_env=False).content
        return said, emulator.bill("fal")


def test_runware_makes_pictures_and_says_when_each_is_there():
    """Three results come in three messages, and the emulator's bill has the prices that the client was told."""
    said, bill = runware("pictures")
    images = said["result"]["images"]
    assert said["result"]["partial"] == [1, 1, 1]
    assert len({image["imageUUID"] for image in images}) == 3
    assert all(image["imageURL"].partition("?")[0].endswith(".png") for image in images)
    assert sum(round(image["cost"] * 1_000_000) for image in images) == bill["usd_micro"] == 84_000
    assert (bill["requests"], bill["pictures"], bill["keys_seen"]) == (1, 3, 1)


def test_runware_gets_all_results_in_one_message_where_the_switch_says_so():
    said, _ = runware("pictures", switches={"runware.socket-results": "together"})
    assert said["result"]["partial"] == [3]


def test_runware_asks_for_several_things_at_once():
    """One connection carries them side by side, and every answer finds its question."""
    said, bill = runware("parallel")
    uuids = [images[0]["taskUUID"] for images in said["result"]]
    assert len(set(uuids)) == 3
    assert {job["id"] for job in bill["jobs"]} == set(uuids)
    assert bill["peak_in_flight"] == 3


def test_runware_asks_later_for_what_was_accepted():
    said, bill = runware("later", latency=(0.0, 0.0))
    accepted, found = said["result"]["accepted"], said["result"]["found"]
    assert set(accepted) == {"taskType", "taskUUID"}
    assert (found["taskUUID"], found["status"]) == (accepted["taskUUID"], "success")
    assert bill["requests"] == 1


def test_runware_refers_to_stored_media():
    said, bill = runware("references")
    assert said["result"]["images"][0]["imageURL"]
    assert bill["pictures"] == 1


@pytest.mark.parametrize(
    ("scenario", "code", "requests"),
    [("refused", "unsupportedDimensions", 0), ("moderated", "providerContentPolicyViolation", 1)],
)
def test_runware_is_told_why_there_is_no_picture(scenario, code, requests):
    said, bill = runware(scenario)
    assert said["failed"]["error"]["code"] == code
    assert (bill["requests"], bill["usd_micro"]) == (requests, 0)


def test_runware_refuses_a_wrong_key():
    said, bill = runware("pictures", own_key="wrong", key="right")
    assert said["failed"]["error"]["code"] == "invalidApiKey"
    assert bill["requests"] == 0


@pytest.mark.parametrize("kind", ["status", "429"])
def test_runware_learns_of_a_failure_that_names_no_task(kind):
    """An error of a whole request names the task of its message: this client waits for nothing else."""
    fault = Fault("submit", kind, nth=(1,), value="503" if kind == "status" else "")
    said, bill = runware("pictures", faults=(fault,))
    assert said["failed"]["error"]["code"] == ("serviceUnavailable" if kind == "status" else "rateLimitExceeded")
    assert bill["requests"] == 0


def test_runware_finds_what_it_lost_by_its_uuid():
    """Accepted, billed, and the connection cut: the picture is there for whoever connects again and asks."""
    said, bill = runware("lost", latency=(0.0, 0.0), faults=(Fault("submit", "reset-after", nth=(1,)),))
    lost = said["result"]
    assert lost["failed"]["message"] == "the connection ended"
    assert (lost["found"]["taskUUID"], lost["found"]["status"]) == (lost["taskUUID"], "success")
    assert (bill["requests"], bill["usd_micro"]) == (1, 28_000)


def test_fal_subscribes_through_the_queue():
    """It submits, polls and fetches; the bill has what it got."""
    said, bill = fal("subscribe")
    result = said["result"]
    assert len(result["data"]["images"]) == 2
    assert result["steps"][-1] == "COMPLETED"
    assert set(result["steps"]) <= {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert [job["id"] for job in bill["jobs"]] == [result["requestId"]]
    assert bill["pictures"] == 2


def test_fal_follows_the_stream_of_states():
    said, bill = fal("streamed")
    assert said["result"]["steps"][-1] == "COMPLETED"
    assert len(said["result"]["data"]["images"]) == bill["pictures"] == 1


def test_fal_uploads_files_by_itself_and_when_told():
    """A file that is stored comes back as it was, and one among the input is stored on the way."""
    said, bill = fal("upload")
    assert said["stored"] == png()
    assert len(said["result"]["data"]["images"]) == bill["pictures"] == 1


def test_fal_shows_a_state_and_cancels():
    said, _ = fal("queue", speed=1.0, latency=(1e6, 1e6))
    result = said["result"]
    assert result["running"]["status"] == "IN_PROGRESS"
    assert result["running"]["logs"][0]["message"]
    assert result["done"]["status"] == "COMPLETED"
    assert result["done"]["error_type"] == "client_cancelled"


def test_fal_runs_without_the_queue():
    said, bill = fal("run")
    assert len(said["result"]["images"]) == bill["pictures"] == 1


def test_fal_is_told_what_is_wrong_with_its_input():
    said, bill = fal("invalid")
    failed = said["failed"]
    assert (failed["name"], failed["status"]) == ("ValidationError", 422)
    assert failed["body"]["detail"][0]["loc"] == ["body", "prompt"]
    assert bill["usd_micro"] == 0


def test_fal_refuses_a_wrong_key():
    said, bill = fal("subscribe", own_key="id:wrong", key="id:right")
    assert (said["failed"]["name"], said["failed"]["status"]) == ("ApiError", 401)
    assert bill["requests"] == 0


def test_fal_pays_twice_for_a_lost_answer():
    """It repeats a submission whose answer was lost, as the Python client does: fal has no way to prevent that."""
    said, bill = fal("subscribe", faults=(Fault("submit", "reset-after", nth=(1,)),))
    assert said["result"]["data"]["images"]
    assert bill["requests"] == 2


def test_a_call_to_anybody_else_fails(tmp_path):
    """The programs' guard works: a client that asked its vendor would fail these tests."""
    program = tmp_path / "stranger.cjs"
    program.write_text(
        f"const {{ session }} = require({json.dumps(str(PROGRAMS / 'session.cjs'))});"
        "session({ ask: (address) => fetch(address) });"
    )
    said = told(program.with_suffix(""), "ask", "https://rest.fal.ai")
    assert "a call to rest.fal.ai" in said["failed"]["cause"]
