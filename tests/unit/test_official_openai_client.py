"""OpenAI's Python client, unchanged, against the emulated AIML API, whose documentation tells its users to take it."""

from __future__ import annotations

from contextlib import contextmanager

import httpx
import openai
import pytest
from fakes.work import HANGS

from pipeline.emulator import Fault, Settings, serve

MODEL = "klingai/image-o1"
EXTRA = {"image_urls": ["https://example.org/mug.png"]}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """The client takes its way to this machine from nobody's environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def client(*, own_key="k", retries=0, **settings):
    """A client and the emulator that it is led to."""
    chosen = {"gateways": ("aimlapi",), "pictures": "tiny", "latency": (0.0, 0.0)} | settings
    with serve(Settings(**chosen)) as emulator:
        base = f"{emulator.urls['aimlapi']}/v1"
        with openai.OpenAI(api_key=own_key, base_url=base, max_retries=retries, timeout=HANGS) as made:
            yield made, emulator


def generate(made, **more):
    """Ask for pictures as the model's page does; what OpenAI's own models don't know is in the extra body."""
    return made.images.generate(**({"model": MODEL, "prompt": "A mug on a table", "extra_body": EXTRA} | more))


def test_it_makes_pictures():
    """The pictures are there behind their links, and the credits it is told are those of the bill."""
    with client() as (made, emulator):
        told = generate(made, extra_body={**EXTRA, "num_images": 2, "aspect_ratio": "1:1"})
        kinds = [httpx.get(image.url, trust_env=False).headers["content-type"] for image in told.data]
        bill = emulator.bill("aimlapi")
    assert kinds == ["image/png", "image/png"]
    assert told.meta["usage"]["credits_used"] == 2 * bill["usd_micro"] == 117_600
    assert (bill["requests"], bill["pictures"]) == (1, 2)


@pytest.mark.parametrize("response", ["model-page", "overview"])
@pytest.mark.parametrize("inline", ["url", "null", "b64"])
def test_it_reads_every_documented_shape_of_an_answer(response, inline):
    switches = {"aimlapi.response": response, "aimlapi.inline": inline}
    with client(switches=switches) as (made, _):
        (image,) = generate(made).data
    assert (image.url is None) == (inline == "b64")
    assert (image.b64_json is not None) == (inline == "b64")


def test_its_request_is_found_in_the_logs():
    """The headers that say what a request cost, and under which name it is in the logs."""
    with client() as (made, _):
        headers = {"X-Client-Request-Id": "night-7-row-12"}
        raw = made.images.with_raw_response.generate(
            model=MODEL, prompt="A mug on a table", extra_body=EXTRA, extra_headers=headers
        )
        row = made.get("/../v2/logs?period=1h", cast_to=object)["data"][0]
    assert raw.headers["x-aimlapi-usd-spent"] == "0.029400000"
    assert row["client_request_id"] == raw.headers["x-client-request-id"] == "night-7-row-12"
    assert row["inference_id"] == raw.headers["x-inference-id"]


def test_it_lists_the_models():
    with client() as (made, _):
        assert [model.id for model in made.models.list()] == [MODEL]


@pytest.mark.parametrize(
    ("settings", "asked", "kind", "text"),
    [
        ({}, {"extra_body": {}}, openai.BadRequestError, "'image_urls' is a required property"),
        ({}, {"n": 2}, openai.BadRequestError, "'n' was unexpected"),
        ({"moderated": "mug"}, {}, openai.BadRequestError, "content checker"),
        ({"key": "right"}, {}, openai.AuthenticationError, "missing or invalid"),
        ({"switches": {"aimlapi.balance": "0.01"}}, {}, openai.PermissionDeniedError, "run out of credits"),
        ({"limits": {"aimlapi": {"creates_per_minute": 1}}}, {}, openai.RateLimitError, "Too Many Requests"),
        ({"faults": (Fault("submit", "status", nth=(1,), value="503"),)}, {}, openai.InternalServerError, "503"),
        ({"faults": (Fault("submit", "reset-after", nth=(1,)),)}, {}, openai.APIConnectionError, "Connection error"),
    ],
)
def test_it_raises_its_own_error_for_every_status(settings, asked, kind, text):
    """Its class goes by the status, and its text is the gateway's own message."""
    with client(**settings) as (made, emulator):
        if "limits" in settings:
            generate(made)
        with pytest.raises(kind, match=text) as caught:
            generate(made, **asked)
        paid = emulator.bill("aimlapi")["usd_micro"]
    assert type(caught.value) is kind
    assert paid == (29_400 if "limits" in settings or kind is openai.APIConnectionError else 0)
    if isinstance(caught.value, openai.APIStatusError):
        assert caught.value.body["statusCode"] == caught.value.status_code
        assert caught.value.body["path"] == "/v1/images/generations"


def test_it_pays_twice_for_a_lost_answer():
    """It repeats a POST by default, and AIML API has no way to tell that it is the same one."""
    with client(retries=2, faults=(Fault("submit", "reset-after", nth=(1,)),)) as (made, emulator):
        assert generate(made).data
        assert emulator.bill("aimlapi")["requests"] == 2
