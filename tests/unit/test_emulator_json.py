"""JSON that is hard to read or to write, sent to every emulated gateway over HTTP."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from pipeline.emulator import Settings, serve

SUBMIT = {
    "fal": "/fal-ai/kling-image/o1",
    "aimlapi": "/v1/images/generations",
    "eachlabs": "/v1/prediction",
    "runware": "/v1",
}
HEADERS = {"Authorization": "Bearer k", "Content-Type": "application/json"}


@pytest.mark.parametrize("gateway", SUBMIT)
@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000], ids=["lists", "objects", "digits"])
def test_what_nobody_can_parse_is_an_error_and_costs_nothing(gateway, body):
    """The request is answered; its connection is not cut."""
    headers = HEADERS | ({"Authorization": "Key k"} if gateway == "fal" else {})
    with serve(Settings(gateways=(gateway,), pictures="tiny")) as emulator:
        url = emulator.urls[gateway] + SUBMIT[gateway]
        reply = httpx.post(url, content=body, headers=headers, trust_env=False)
        assert 400 <= reply.status_code < 500
        assert emulator.bill(gateway)["requests"] == 0


def test_half_a_surrogate_pair_is_told_again_as_it_came():
    """JSON can hold what UTF-8 can't: the answer was lost before, and what it had cost was not."""
    asked = {
        "taskType": "imageInference",
        "taskUUID": str(uuid.uuid4()),
        "model": "klingai:kling-image@o1",
        "positivePrompt": "a mug \ud83d",
        "width": 1024,
        "height": 1024,
    }
    details = {"taskType": "getTaskDetails", "taskUUID": asked["taskUUID"]}
    with serve(Settings(gateways=("runware",), pictures="tiny", latency=(0.0, 0.0))) as emulator:
        url = f"{emulator.urls['runware']}/v1"
        replies = [
            httpx.post(url, content=json.dumps([task]), headers=HEADERS, trust_env=False).json()["data"][0]
            for task in (asked, details)
        ]
    assert replies[0]["imageURL"]
    assert replies[1]["request"] == [asked]
