"""What each dialect reads, by the vendors' documents: every documented variant, without I/O.

A flow is driven by hand: it is given what a gateway of that document would answer, and asked what it makes of it. The
expectations come from the vendors' pages and from the collection of their contradictions, not from the dialects.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.errors import Forgotten, LaneStopped, LostAnswer, Refused, RequestError, TryLater
from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs
from pipeline.gateways.fal import Fal
from pipeline.gateways.runware import Runware
from pipeline.models import load_model
from pipeline.types import Answer, Call, Job, Json, LocalFile, Polling, Reference, Spec

T = TypeVar("T")
JOB = "7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0001"
OTHER = "7b7cbb0c-5a3f-4a4e-9d4b-6f0f7a3d0002"
IMAGE = "https://cdn.example/a.png"
BYTES = b"\x89PNG\r\n\x1a\n bytes of a picture"
INLINE = base64.b64encode(BYTES).decode()
DATA_URI = f"data:image/png;base64,{INLINE}"
HOOK = "https://hooks.example/in?token=a&b=c"
FILE = LocalFile("5e1f8b5e-7d2f-4a53-9b7a-6f0f7a3d0002", "mug.png", "image/png", BYTES)
MODEL = load_model("kling-image-o1")
NOW = 1_790_000_000.0


def reply(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer of a gateway."""
    return Answer(status, headers or {}, body)


def job(gateway: str, *, ratio: str = "16:9", references: int = 1, resolution: str = "2K", **changes: Any) -> Job:
    """A request for two pictures at the vendor's own address."""
    slots = tuple(Reference(f"n{n}", f"https://in.example/{n}.png", f"{n}") for n in range(references))
    spec = Spec("k" * 64, MODEL.name, False, "a mug on a table", slots, resolution, ratio, "jpeg")
    default: dict[str, Any] = {
        "id": JOB,
        "offer": MODEL.offers[gateway],
        "base_url": "",
        "spec": spec,
        "count": 2,
        "images": tuple(slot.source for slot in slots),
        "size": None if ratio == "auto" else MODEL.size(resolution, ratio),
        "polling": Polling(1.0, 2.0),
    }
    return Job(**(default | changes))


@dataclass(frozen=True)
class Told:
    """The calls of a flow and how it ended: with a value, or with one of our errors."""

    calls: list[Call]
    value: Any = None
    error: RequestError | None = None

    @property
    def urls(self) -> list[str]:
        """Addresses of images."""
        assert self.error is None, self.error
        return [image.url for image in self.value]

    def failed(self, kind: type[RequestError], *words: str) -> RequestError:
        """The error, of exactly this kind, with these words in its text."""
        assert type(self.error) is kind, self.error or self.value
        for word in words:
            assert word in str(self.error)
        return self.error


def play(
    flow: Generator[Call, Answer, T], *answers: Answer, then: Answer | list[Answer] | None = None, most: int = 60
) -> Told:
    """Drive a flow through these answers; ``then`` (over and over) answers all that it asks after them."""
    calls: list[Call] = []
    again = [then] if isinstance(then, Answer) else then or []
    left = iter([*answers, *itertools.islice(itertools.cycle(again), most)])
    try:
        call = next(flow)
        while True:
            calls.append(call)
            answer = next(left, None)
            assert answer is not None, f"asks on and on: {call.method} {call.url}"
            call = flow.send(answer)
    except StopIteration as done:
        assert then is not None or next(left, None) is None, "it did not ask for everything"
        return Told(calls, done.value)
    except RequestError as failure:
        error = failure
    assert then is not None or next(left, None) is None, f"it did not ask for everything: {error}"
    return Told(calls, None, error)


def query(call: Call) -> dict[str, str]:
    """The query of a call's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(call.url).query).items()}


# ── all of them ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dialect", "options", "headers"),
    [
        (Fal(), {}, {"Authorization": "Key id:secret"}),
        (Aimlapi(), {}, {"Authorization": "Bearer id:secret"}),
        (Eachlabs(), {}, {"X-API-Key": "id:secret"}),
        (Eachlabs(), {"auth": "x-api-key"}, {"X-API-Key": "id:secret"}),
        (Eachlabs(), {"auth": "bearer"}, {"Authorization": "Bearer id:secret"}),
        (Runware(), {}, {"Authorization": "Bearer id:secret"}),
    ],
)
def test_the_key_goes_as_documented(dialect: Any, options: dict[str, Json], headers: dict[str, str]) -> None:
    """Each vendor has its own scheme, Each Labs two of them."""
    assert dialect.headers("id:secret", options) == headers


COMMON: dict[str, Json] = {
    "prompt": "a mug on a table",
    "image_urls": ["https://in.example/0.png"],
    "resolution": "2K",
    "aspect_ratio": "16:9",
    "output_format": "jpeg",
    "num_images": 2,
}
DIALECTS = {"fal": Fal(), "aimlapi": Aimlapi(), "eachlabs": Eachlabs(), "runware": Runware()}
SUBMITS = {
    "fal": ("https://queue.fal.run/fal-ai/kling-image/o1", COMMON),
    "aimlapi": ("https://api.aimlapi.com/v1/images/generations", {"model": "klingai/image-o1", **COMMON}),
    "eachlabs": (
        "https://api.eachlabs.ai/v1/prediction",
        {"model": "kling-o1", "version": "0.0.1", "input": COMMON},
    ),
    "runware": (
        "https://api.runware.ai/v1",
        [
            {
                "taskType": "imageInference",
                "taskUUID": JOB,
                "model": "klingai:kling-image@o1",
                "positivePrompt": "a mug on a table",
                "inputs": {"referenceImages": ["https://in.example/0.png"]},
                "width": 2720,
                "height": 1536,
                "outputFormat": "JPG",
                "numberResults": 2,
                "deliveryMethod": "async",
                "includeCost": True,
            }
        ],
    ),
}


@pytest.mark.parametrize("gateway", SUBMITS)
def test_the_paid_call_is_the_documented_one(gateway: str) -> None:
    """Its address and its whole body, at the vendor's and at an address that stands for it."""
    url, body = SUBMITS[gateway]
    call = next(DIALECTS[gateway].make(job(gateway)))
    assert (call.method, call.url, call.json, call.paid, call.after) == ("POST", url, body, True, 0.0)
    moved = next(DIALECTS[gateway].make(job(gateway, base_url="http://127.0.0.1:9")))
    assert moved.url == "http://127.0.0.1:9" + urlsplit(url).path


@pytest.mark.parametrize("gateway", SUBMITS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, LaneStopped),
        (402, LaneStopped),
        (403, LaneStopped),
        (404, LaneStopped),
        (422, Refused),
        (301, LaneStopped),
        (307, LaneStopped),
        (502, LostAnswer),
        (504, LostAnswer),
    ],
)
def test_what_a_status_of_the_paid_call_means(gateway: str, status: int, kind: type[RequestError]) -> None:
    """Without a body that says more: 4xx was not accepted and cost nothing, 5xx may have been."""
    for body in (None, {}):
        error = play(DIALECTS[gateway].make(job(gateway)), reply(body, status)).failed(kind, str(status))
        if isinstance(error, Refused):
            assert error.usd == 0


@pytest.mark.parametrize("gateway", ["fal", "eachlabs", "runware"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, LaneStopped), (403, LaneStopped), (400, LostAnswer), (418, LostAnswer), (500, LostAnswer)],
)
def test_a_poll_that_fails_is_no_verdict_on_what_is_paid(gateway: str, status: int, kind: type[RequestError]) -> None:
    """A bad key stops the lane; all else says nothing of the request."""
    begun = {"fal": FAL, "eachlabs": CREATED, "runware": ACK}[gateway]
    play(DIALECTS[gateway].make(job(gateway)), begun, reply({}, status)).failed(kind)


@pytest.mark.parametrize("gateway", ["fal", "eachlabs", "runware"])
def test_polls_wait_as_they_are_told(gateway: str) -> None:
    """The first one its own time, the others theirs; none is paid."""
    begun = {"fal": FAL, "eachlabs": CREATED, "runware": ACK}[gateway]
    running = {"fal": status("IN_QUEUE"), "eachlabs": each("starting"), "runware": told(item("processing"))}[gateway]
    flow = DIALECTS[gateway].make(job(gateway, polling=Polling(7.0, 3.0)))
    call = next(flow)
    waits = [(call := flow.send(answer)).after for answer in (begun, running, running, running)]
    assert waits == [7.0, 3.0, 3.0, 3.0]
    assert not call.paid


# ── fal ─────────────────────────────────────────────────────────────────────────────────────────

REQUEST = "764cabcf-b745-4b3e-ae38-1200304cf45b"
AT = f"https://queue.fal.run/fal-ai/kling-image/requests/{REQUEST}"


def links(at: str = AT, end: str = "") -> dict[str, Json]:
    """The addresses of a request as fal's reply to a submit gives them."""
    return {
        "request_id": REQUEST,
        "response_url": f"{at}{end}",
        "status_url": f"{at}/status",
        "cancel_url": f"{at}/cancel",
    }


def status(word: str, code: int = 200, **more: Json) -> Answer:
    """A status of fal's queue, with the keys that are always there."""
    place: dict[str, Json] = {"queue_position": 3} if word == "IN_QUEUE" else {"logs": None}
    return reply({"status": word, **links(), **place, **more}, code)


FAL = reply({**links(), "queue_position": 0})
DONE = status("COMPLETED", metrics={"inference_time": 11.3})
IMAGES = reply({"images": [{"url": IMAGE, "content_type": "image/png", "file_name": "a.png", "file_size": 1}] * 2})
NOT_YET: Json = {"detail": "Request is still in progress", **links()}


def fal(*answers: Answer, **changes: Any) -> Told:
    """A fal flow after its submit was answered."""
    then = changes.pop("then", None)
    return play(Fal().make(job("fal", **changes)), FAL, *answers, then=then)


@pytest.mark.parametrize("code", [200, 202])
def test_fals_queue_is_followed_to_the_images(code: int) -> None:
    """In queue, in progress with logs, completed; any 2xx is a status."""
    log: Json = {"message": "x", "level": "INFO", "source": "USER", "timestamp": "2026-01-01T00:00:00.000Z"}
    gone = fal(status("IN_QUEUE", code), status("IN_PROGRESS", code, logs=[log]), DONE, IMAGES)
    assert gone.urls == [IMAGE, IMAGE]
    assert [(call.method, call.url) for call in gone.calls[1:]] == [("GET", f"{AT}/status?logs=1")] * 3 + [("GET", AT)]
    assert [image.usd for image in gone.value] == [None, None]


FULL = f"https://queue.fal.run/fal-ai/kling-image/o1/requests/{REQUEST}"


@pytest.mark.parametrize("at", [AT, FULL])
@pytest.mark.parametrize("end", ["", "/response"])
def test_fals_own_addresses_are_followed_as_given(at: str, end: str) -> None:
    """Owner and alias or the whole endpoint, with and without ``/response``: all four spellings are documented."""
    gone = play(Fal().make(job("fal")), reply(links(at, end)), DONE, IMAGES)
    assert [call.url for call in gone.calls[1:]] == [f"{at}/status?logs=1", f"{at}{end}"]


def test_an_address_that_stands_for_fal_is_followed_there() -> None:
    """An emulator or proxy names itself."""
    at = f"http://127.0.0.1:9/fal-ai/kling-image/o1/requests/{REQUEST}"
    gone = play(Fal().make(job("fal", base_url="http://127.0.0.1:9")), reply(links(at, "/response")), DONE, IMAGES)
    assert [call.url for call in gone.calls[1:]] == [f"{at}/status?logs=1", f"{at}/response"]


@pytest.mark.parametrize("base", ["", "http://127.0.0.1:9"])
@pytest.mark.parametrize(
    "given",
    [
        f"https://evil.example/fal-ai/kling-image/requests/{REQUEST}",
        f"http://queue.fal.run/fal-ai/kling-image/requests/{REQUEST}",
        f"https://queue.fal.run.evil.example/requests/{REQUEST}",
        f"https://queue.fal.run@evil.example/requests/{REQUEST}",
        f"https://evil.example\\@queue.fal.run/requests/{REQUEST}",
        f"https://queue.fal.run:444/requests/{REQUEST}",
        f"//evil.example/requests/{REQUEST}",
        "https://[::1/requests",
        "file:///etc/passwd",
        "requests/x",
        "",
        7,
        None,
    ],
)
def test_foreign_addresses_are_not_followed(base: str, given: Json) -> None:
    """The key goes to the gateway alone: then the documented spelling at its own host, without the sub-path."""
    foreign: Json = {"request_id": REQUEST, "status_url": given, "response_url": given, "cancel_url": given}
    own = AT.replace("https://queue.fal.run", base or "https://queue.fal.run")
    work = job("fal", base_url=base)
    gone = play(Fal().make(work), reply(foreign), DONE, IMAGES)
    assert [call.url for call in gone.calls[1:]] == [f"{own}/status?logs=1", own]
    stopped = play(Fal().cancel(work, reply(foreign)), reply({"status": "CANCELLATION_REQUESTED"}, 202))
    assert [(call.method, call.url) for call in stopped.calls] == [("PUT", f"{own}/cancel")]


def test_the_reply_of_fals_webhook_page_is_enough() -> None:
    """It shows two ids and no address."""
    reply_there = reply({"request_id": "a/b?c", "gateway_request_id": "g-1"})
    gone = play(Fal().make(job("fal")), reply_there, DONE, IMAGES)
    own = "https://queue.fal.run/fal-ai/kling-image/requests/a%2Fb%3Fc"
    assert [call.url for call in gone.calls[1:]] == [f"{own}/status?logs=1", own]
    assert Fal().remote_id(reply_there) == "a/b?c"


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"queue_priority": "low"}, {"X-Fal-Queue-Priority": "low"}),
        ({"request_timeout": 300}, {"X-Fal-Request-Timeout": "300"}),
        ({"request_timeout": 2.5}, {"X-Fal-Request-Timeout": "2.5"}),
        ({"store_io": False}, {"X-Fal-Store-IO": "0"}),
        ({"runner_hint": "campaign-1"}, {"X-Fal-Runner-Hint": "campaign-1"}),
        ({"disable_fallback": True}, {"x-app-fal-disable-fallback": "true"}),  # FINDING 1
        ({}, {}),
    ],
)
def test_fals_options_are_headers(options: dict[str, Json], headers: dict[str, str]) -> None:
    """Each by its documented name and spelling, and none where none is asked for."""
    assert next(Fal().make(job("fal", options=options))).headers == headers


def test_fals_options_with_more_than_one_spelling() -> None:
    """No-retry is one of three words; the lifetime is JSON."""
    call = next(Fal().make(job("fal", options={"no_retry": True, "object_lifetime": 3600})))
    assert call.headers["X-Fal-No-Retry"] in ("1", "true", "yes")
    lifetime = json.loads(call.headers["X-Fal-Object-Lifecycle-Preference"])
    assert lifetime == {"expiration_duration_seconds": 3600}
    off = next(Fal().make(job("fal", options={"no_retry": False})))
    assert off.headers.get("X-Fal-No-Retry") not in ("1", "true", "yes")


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, {}),
        ({"webhook": HOOK}, {"fal_webhook": HOOK}),
        ({"options": {"max_queue_length": 0}}, {"fal_max_queue_length": "0"}),
        (
            {"webhook": HOOK, "options": {"max_queue_length": 20}},
            {"fal_webhook": HOOK, "fal_max_queue_length": "20"},
        ),
    ],
)
def test_fals_queue_is_told_by_the_query(changes: dict[str, Any], asked: dict[str, str]) -> None:
    """Webhook and longest queue are no part of the input."""
    call = next(Fal().make(job("fal", **changes)))
    assert query(call) == asked
    assert ("?" in call.url) == bool(asked)
    assert call.json == COMMON


@pytest.mark.parametrize("on", [True, False])
def test_fals_sync_mode_brings_data_uris(on: bool) -> None:
    """It is part of the input, and the picture comes inline."""
    gone = fal(DONE, reply({"images": [{"url": DATA_URI, "content_type": "image/png"}]}), options={"sync_mode": on})
    assert gone.calls[0].json == {**COMMON, "sync_mode": on}
    assert [(image.url, image.data) for image in gone.value] == [(None, BYTES)]


@pytest.mark.parametrize("code", [400, 500])
@pytest.mark.parametrize("body", [NOT_YET, {"detail": "Request is still in progress"}])
def test_a_result_that_is_not_ready_is_waited_for(code: int, body: Json) -> None:
    """400 by three code bases, 500 by one: neither is a failure, however often it comes."""
    early = reply(body, code)
    gone = fal(*([DONE, early] * 6), DONE, IMAGES)
    assert gone.urls == [IMAGE, IMAGE]
    assert code in (400, *gone.calls[2].reads)


FLAGGED: Json = {
    "loc": ["body", "image_urls", 0],
    "msg": "Failed to download the file.",
    "type": "file_download_error",
    "url": "https://docs.fal.ai/errors/#file_download_error",
    "ctx": {},
    "input": IMAGE,
}


@pytest.mark.parametrize(
    "completed",
    [
        DONE,
        status("COMPLETED", error="Invalid status code: 422", error_type="x"),
        status("COMPLETED", error="Request was cancelled", error_type="client_cancelled"),
    ],
    ids=["silent", "error", "cancelled"],
)
@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (422, {"detail": [FLAGGED]}, ["Failed to download", "body.image_urls.0", "file_download_error"]),
        (422, {"detail": [FLAGGED, {"loc": ["body"], "msg": "also", "type": "x"}]}, ["Failed to download", "also"]),
        (422, {"detail": "Prompt is too long"}, ["Prompt is too long"]),
        (422, {"detail": [{"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}]}, []),
        (400, {"detail": "bad", "error_type": "bad_request"}, ["bad_request"]),
        (400, {"detail": [{"loc": [], "msg": "down", "type": "downstream_service_error"}]}, ["down"]),
        (499, {"detail": "Client cancelled", "error_type": "client_cancelled"}, ["client_cancelled"]),
        (499, {"detail": "gone", "error_type": "client_disconnected"}, ["gone"]),
        (499, None, ["499"]),
    ],
)
def test_fals_failures_stand_in_the_result(completed: Answer, code: int, body: Json, words: list[str]) -> None:
    """COMPLETED with and without ``error``, ``detail`` as a string or an array; it may have been billed."""
    error = fal(completed, reply(body, code)).failed(Refused, str(code), *words)
    assert isinstance(error, Refused)
    assert error.usd is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (504, "request_timeout"),
        (504, "startup_timeout"),
        (504, "generation_timeout"),
        (503, "runner_scheduling_failure"),
        (503, "runner_connection_refused"),
        (502, "runner_incomplete_response"),
        (500, "runner_server_error"),
        (500, "internal_error"),
    ],
)
def test_fals_5xx_results_are_not_billed(code: int, kind: str) -> None:
    """Not at the first of them, which may be the way's and not the job's."""
    broken = reply({"detail": "Request timed out", "error_type": kind}, code)
    gone = fal(*([DONE, broken] * 4))
    gone.failed(TryLater, "Request timed out", kind)
    assert code in gone.calls[2].reads
    assert fal(DONE, broken, DONE, broken, DONE, broken, DONE, IMAGES).urls == [IMAGE, IMAGE]


def test_a_success_that_is_an_error_is_refused() -> None:
    """Should the result come with 200 and an error instead of images."""
    fal(DONE, reply({"error": "Invalid status code: 422", "error_type": "x"})).failed(Refused, "Invalid status code")


@pytest.mark.parametrize("body", [{}, {"images": []}, {"images": [{"url": "ftp://x"}]}, {"images": [None]}, None])
def test_a_result_without_images_is_no_result(body: Json) -> None:
    """It says nothing of what became of the request."""
    fal(DONE, reply(body)).failed(LostAnswer)


@pytest.mark.parametrize("body", [{"status": "NOT_FOUND"}, {"detail": "Not found"}, None])
def test_fal_may_not_know_a_request_yet(body: Json) -> None:
    """A few times 404 is patience, and then it is gone; so with its result."""
    unknown = reply(body, 404)
    assert fal(unknown, unknown, unknown, DONE, IMAGES).urls == [IMAGE, IMAGE]
    fal(then=unknown).failed(Forgotten, REQUEST)
    fal(then=[DONE, unknown]).failed(Forgotten)


@pytest.mark.parametrize("code", [401, 403])
def test_fals_result_behind_a_bad_key_stops_the_lane(code: int) -> None:
    """Also with the body that another emulator has."""
    fal(DONE, reply({"detail": "invalid key credentials"}, code)).failed(LaneStopped, "invalid key credentials")


@pytest.mark.parametrize("body", [None, [], {}, {"request_id": 7}, {"request_id": ""}, {"detail": "x"}])
def test_a_submit_that_names_no_request_is_lost(body: Json) -> None:
    """It may have been accepted all the same."""
    play(Fal().make(job("fal")), reply(body)).failed(LostAnswer)


@pytest.mark.parametrize(
    ("code", "body", "outcome"),
    [
        (202, {"status": "CANCELLATION_REQUESTED"}, "asked"),
        (400, {"status": "ALREADY_COMPLETED"}, "finished"),
        (404, {"status": "NOT_FOUND"}, "finished"),
    ],
)
def test_cancelling_at_fal(code: int, body: Json, outcome: str) -> None:
    """``PUT`` the address that the submit gave."""
    gone = play(Fal().cancel(job("fal"), reply(links(FULL))), reply(body, code))
    assert gone.value == outcome
    assert [(call.method, call.url, call.paid) for call in gone.calls] == [("PUT", f"{FULL}/cancel", False)]
    play(Fal().cancel(job("fal"), FAL), reply({}, 401)).failed(LaneStopped)


@pytest.mark.parametrize("base", ["", "http://127.0.0.1:9"])
def test_uploading_to_fal(base: str) -> None:
    """Ask for a place, then put the bytes there with their type."""
    place = reply({"upload_url": "https://bucket.example/put?sig=1", "file_url": "https://v3.fal.media/files/a.png"})
    gone = play(Fal().upload(FILE, base), place, reply(None))
    asked, put = gone.calls
    assert gone.value.reference == "https://v3.fal.media/files/a.png"
    assert asked.url == f"{base or 'https://rest.fal.ai'}/storage/upload/initiate?storage_type=fal-cdn-v3"
    assert asked.json == {"file_name": "mug.png", "content_type": "image/png"}
    assert (put.method, put.url, put.data) == ("PUT", "https://bucket.example/put?sig=1", BYTES)
    assert put.headers == {"Content-Type": "image/png"}


def test_nothing_finds_a_lost_submit_at_fal() -> None:
    """No call is made: an inference key can't look it up."""
    gone = play(Fal().trace(job("fal"), NOW, NOW + 60, frozenset()))
    assert (gone.calls, gone.value.kind) == ([], "unknown")


# ── AIML API ────────────────────────────────────────────────────────────────────────────────────

CREDITS: Json = {"usage": {"credits_used": 58800}}
SEED_001: Json = {
    "created": 1733915540,
    "data": [{"b64_json": None, "url": IMAGE, "revised_prompt": "Combine"}],
    "model": "klingai/image-o1",
    "object": "image",
    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
}


def aimlapi(answer: Answer, **changes: Any) -> Told:
    """AIML API's one call."""
    return play(Aimlapi().make(job("aimlapi", **changes)), answer)


@pytest.mark.parametrize("code", [200, 201])
@pytest.mark.parametrize(
    ("body", "url", "data", "usd"),
    [
        ({"data": [{"url": IMAGE}], "meta": CREDITS}, IMAGE, None, 29_400),
        ({"data": [{"url": IMAGE, "b64_json": None}], "meta": CREDITS}, IMAGE, None, 29_400),
        ({"data": [{"url": None, "b64_json": INLINE}], "meta": CREDITS}, None, BYTES, 29_400),
        ({"data": [{"b64_json": INLINE}], "meta": None}, None, BYTES, None),
        ({"data": [{"url": IMAGE}], "meta": {"usage": None}}, IMAGE, None, None),
        ({"data": [{"url": IMAGE}], "meta": {"usage": {"credits_used": "58800"}}}, IMAGE, None, 29_400),
        ({"data": [{"url": IMAGE}], "meta": {"usage": {"credits_used": 0}}}, IMAGE, None, 0),
        (SEED_001, IMAGE, None, None),
    ],
)
def test_aimls_two_answers(code: int, body: Json, url: str | None, data: bytes | None, usd: int | None) -> None:
    """The captured one and the templated one, by link or inline, with and without its price."""
    (image,) = aimlapi(reply(body, code)).value
    assert (image.url, image.data, image.usd) == (url, data, usd)


@pytest.mark.parametrize(
    ("headers", "meta", "usd"),
    [
        ({"x-aimlapi-credits-used": "117600"}, None, 29_400),
        ({"x-aimlapi-usd-spent": "0.0588"}, None, 29_400),
        ({"x-aimlapi-credits-used": "117600", "x-aimlapi-usd-spent": "9"}, None, 29_400),
        ({"x-aimlapi-credits-used": "1"}, {"usage": {"credits_used": 117600}}, 29_400),
        ({"x-aimlapi-credits-used": "", "x-aimlapi-usd-spent": "0.0588"}, None, 29_400),
        ({"x-aimlapi-credits-used": "soon"}, None, None),
        ({"x-aimlapi-usd-spent": "nan"}, None, None),
    ],
)
def test_aimls_price_is_shared_by_the_pictures(headers: dict[str, str], meta: Json, usd: int | None) -> None:
    """2,000,000 credits are a dollar; the body's come first, then the headers'."""
    gone = aimlapi(reply({"data": [{"url": IMAGE}] * 2, "meta": meta}, 200, headers))
    assert [image.usd for image in gone.value] == [usd, usd]


@pytest.mark.parametrize("data", [None, [], [{}], [{"url": None, "b64_json": None}], "x"])
def test_an_answer_of_aiml_without_images_is_lost(data: Json) -> None:
    """A 200 was billed, so it is no refusal."""
    aimlapi(reply({"data": data, "meta": CREDITS})).failed(LostAnswer)


def mistake(code: Json, message: str = "Body validation error") -> dict[str, Json]:
    """AIML API's documented error body."""
    return {
        "message": message,
        "path": "/v1/images/generations",
        "requestId": "798b860e-0000",
        "statusCode": code,
        "timestamp": "2025-03-11T07:13:27.813Z",
    }


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (400, mistake(400), Refused, "Body validation error"),
        (400, mistake("400"), Refused, "Body validation error"),
        (422, {"detail": [FLAGGED]}, Refused, "Failed to download"),
        (401, mistake("401", "Invalid key"), LaneStopped, "Invalid key"),
        (403, mistake(403, "You've run out of credits"), LaneStopped, "run out of credits"),
        (404, mistake(404, "Not found"), LaneStopped, "Not found"),
        (500, mistake(500, "Internal"), TryLater, "Internal"),
        (503, mistake("503", "Unavailable"), TryLater, "Unavailable"),
        (500, None, LostAnswer, "500"),
        (503, {}, LostAnswer, "503"),
        (500, {"error": "x"}, LostAnswer, "x"),
        (502, mistake(502), LostAnswer, "502"),
        (504, mistake(504, "Generation timeout"), LostAnswer, "Generation timeout"),
    ],
)
def test_aimls_errors(code: int, body: Json, kind: type[RequestError], words: str) -> None:
    """Failed requests are not charged where AIML API itself says that they failed; the way's failures may be."""
    gone = aimlapi(reply(body, code))
    gone.failed(kind, words)
    assert set(gone.calls[0].reads) == {500, 503}


def test_what_aiml_is_asked() -> None:
    """Our id in a header as it is allowed there, its provider, and as long as the request may take."""
    call = aimlapi(reply(SEED_001), options={"provider": "fal"}, deadline=600.0).calls[0]
    assert call.headers == {"X-Client-Request-Id": JOB}
    assert (call.json["provider"], call.seconds) == ("fal", 600.0)
    assert Aimlapi().remote_id(reply(None, 200, {"x-inference-id": "i-1"})) == "i-1"


def row(ident: str | None = JOB, state: str = "succeeded", cost: Json = None) -> dict[str, Json]:
    """A row of ``/v2/logs``."""
    return {
        "created": "2026-07-02T03:04:05.000Z",
        "status": state,
        "origin": "api",
        "model": "klingai/image-o1",
        "cost": cost,
        "request_id": "r",
        "inference_id": "i",
        "client_request_id": ident,
    }


def logs(*rows: Json, more: bool = False) -> Answer:
    """A page of ``/v2/logs``."""
    return reply({"data": list(rows), "pagination": {"limit": 100, "offset": 0, "total": 9, "has_more": more}})


def looked_up(*answers: Answer, age: float = 60.0, then: Answer | None = None) -> Told:
    """The search for a request of that age in AIML API's log."""
    return play(Aimlapi().trace(job("aimlapi"), NOW, NOW + age, frozenset()), *answers, then=then, most=500)


def held(gone: Told) -> bool:
    """Whether a search ended without giving leave to pay again: "unknown" does, after a while."""
    return isinstance(gone.error, LostAnswer) or (gone.error is None and gone.value.kind in ("billed", "lost"))


PAID: Json = {"usd": 0.0294, "credits": 58800}


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (row(cost=PAID), "billed"),
        (row(cost={"usd": "0.0294", "credits": 58800}), "billed"),
        (row(state="failed", cost={"usd": 0, "credits": 0}), "not-accepted"),
        (row(state="failed", cost=None), "not-accepted"),
        (row(state="failed", cost=PAID), "billed"),
        (row(OTHER, cost=PAID), "unknown"),
        (row(None, cost=PAID), "unknown"),
        (None, "unknown"),
    ],
)
def test_aimls_log_tells_what_became_of_it(found: Json, kind: str) -> None:
    """Succeeded, failed, or not there; other requests' rows say nothing."""
    gone = looked_up(logs(row(OTHER, cost=PAID), *([found] if found else [])))
    assert gone.value.kind == kind
    assert ("$0.0294" in gone.value.text) == (kind == "billed")
    assert not any(call.paid for call in gone.calls)


def test_aimls_log_is_read_page_by_page() -> None:
    """By its own count of rows, until there is no more or ours is found."""
    many = logs(*[row(OTHER)] * 100, more=True)
    gone = looked_up(many, logs(*[row(OTHER)] * 40, more=True), logs(row(cost=PAID), more=True))
    assert gone.value.kind == "billed"
    assert [query(call)["offset"] for call in gone.calls] == ["0", "100", "140"]
    assert {query(call)["limit"] for call in gone.calls} == {"100"}
    assert {query(call)["model"] for call in gone.calls} == {"klingai/image-o1"}
    assert looked_up(many, logs(*[row(OTHER)] * 5)).value.kind == "unknown"
    assert looked_up(many, logs(more=True)).value.kind == "unknown"


def test_aimls_log_ends_even_if_it_says_that_it_does_not() -> None:
    """A page that comes again and again is not read for ever."""
    endless = logs(*[row(OTHER)] * 100, more=True)
    assert held(looked_up(then=endless))  # FINDING 2


@pytest.mark.parametrize(
    ("age", "asked"),
    [
        (60.0, {"period": "24h"}),
        (20 * 3600.0, {"period": "24h"}),
        (24 * 3600.0, {"start": "2026-09-21T13:13:20Z", "end": "2026-09-21T16:13:20Z"}),
        (60 * 86400.0, {"start": "2026-09-21T13:13:20Z", "end": "2026-09-21T16:13:20Z"}),
    ],
)
def test_what_is_older_than_a_day_is_looked_for_by_its_time(age: float, asked: dict[str, str]) -> None:
    """The last 24 hours have a name; before, a span around the moment that it was sent."""
    (call,) = looked_up(logs(), age=age).calls
    assert {name: value for name, value in query(call).items() if name in ("period", "start", "end")} == asked
    assert urlsplit(call.url)[:3] == ("https", "api.aimlapi.com", "/v2/logs")


# ── Each Labs ───────────────────────────────────────────────────────────────────────────────────

CREATED = reply({"status": "success", "message": "Prediction created successfully", "predictionID": "p-1"})


def each(word: str, output: Json = None, **more: Json) -> Answer:
    """A prediction of Each Labs."""
    return reply({"id": "p-1", "input": {}, "status": word, "output": output, "logs": None, **more})


def eachlabs(*answers: Answer, then: Answer | None = None, **changes: Any) -> Told:
    """An Each Labs flow after its prediction was created."""
    return play(Eachlabs().make(job("eachlabs", **changes)), CREATED, *answers, then=then)


@pytest.mark.parametrize(
    "word",
    ["created", "starting", "processing", "Processing", "queued", "IN_QUEUE", "waiting", "a word of tomorrow"],
)
def test_each_labs_words_for_not_yet(word: str) -> None:
    """Also those that no document has."""
    assert eachlabs(each(word), each(word), each("success", [IMAGE])).urls == [IMAGE]


@pytest.mark.parametrize("word", ["success", "succeeded", "SUCCESS"])
def test_each_labs_words_for_done(word: str) -> None:
    """The poll's, and the webhook's."""
    gone = eachlabs(each(word, [IMAGE, IMAGE], metrics={"predict_time": 12.5, "cost": 0.056}))
    assert [(image.url, image.usd) for image in gone.value] == [(IMAGE, 28_000)] * 2


@pytest.mark.parametrize(
    ("output", "count"),
    [
        (IMAGE, 1),
        ([IMAGE], 1),
        ([IMAGE, IMAGE], 2),
        ({"url": IMAGE}, 1),
        ([{"url": IMAGE}], 1),
        ([{"url": IMAGE}, IMAGE], 2),
    ],
)
def test_each_labs_outputs(output: Json, count: int) -> None:
    """A string, an array of strings, an object, an array of objects."""
    assert eachlabs(each("success", output)).urls == [IMAGE] * count


@pytest.mark.parametrize("output", [None, "", [], {}, [""], [{"url": 7}], "not an address", {"id": "x"}])
def test_a_success_of_each_labs_without_images_is_lost(output: Json) -> None:
    """It was billed, so it is no refusal."""
    eachlabs(each("success", output)).failed(LostAnswer)


def test_a_picture_that_came_is_kept_beside_one_that_can_not_be_read() -> None:
    """What is missing is owed; what is there was paid."""
    assert eachlabs(each("success", [IMAGE, None])).urls == [IMAGE]
    assert aimlapi(reply({"data": [{}, {"url": IMAGE}]})).urls == [IMAGE]
    assert fal(DONE, reply({"images": [{"url": IMAGE}, {}]})).urls == [IMAGE]


@pytest.mark.parametrize(
    ("metrics", "usd"),
    [
        ({"predict_time": 1, "cost": 0.056}, 28_000),
        ({"cost": "0.056"}, 28_000),
        ({"cost": 0}, 0),
        ({"predict_time": 5}, None),
        (None, None),
    ],
)
def test_each_labs_cost(metrics: Json, usd: int | None) -> None:
    """What all pictures of a prediction cost together, where it is told."""
    gone = eachlabs(each("success", [IMAGE, IMAGE], metrics=metrics))
    assert [image.usd for image in gone.value] == [usd, usd]


def envelope(retryable: Json, **more: Json) -> dict[str, Json]:
    """What ``output`` holds when a prediction failed."""
    return {
        "classification": {"category": "VALIDATION"},
        "error": "Execution failed",
        "error_code": "INPUT_VALIDATION_ERROR",
        "error_message": "prompt is too long",
        "retryable": retryable,
        "status": "ERROR",
        "success": False,
        **more,
    }


@pytest.mark.parametrize("word", ["error", "failed", "ERROR"])
@pytest.mark.parametrize(
    ("output", "more", "words"),
    [
        (envelope(False), {}, ["Execution failed", "prompt is too long", "INPUT_VALIDATION_ERROR"]),
        (envelope(None), {}, ["prompt is too long"]),
        (envelope("true"), {}, ["prompt is too long"]),
        ({"error": "can't dispatch"}, {}, ["can't dispatch"]),
        (None, {"error": "can't dispatch"}, ["can't dispatch"]),
        (None, {"message": "seed message", "details": "seed details"}, ["seed message", "seed details"]),
        ([{"id": "", "status": "", "output": "", "error": "Error: no"}], {"error": ""}, ["Error: no"]),
        ("plain words", {}, ["plain words"]),
        (None, {}, []),
    ],
)
def test_each_labs_failures(word: str, output: Json, more: dict[str, Json], words: list[str]) -> None:
    """The envelope, a mere error, the model page's message and details, the webhook's list; not to be tried again."""
    error = eachlabs(each(word, output, **more)).failed(Refused, *words)
    assert isinstance(error, Refused)
    assert error.usd is None


@pytest.mark.parametrize(
    ("cost", "kind", "usd"), [(None, TryLater, None), (0, TryLater, None), (0.028, Refused, 28_000)]
)
def test_retryable_decides(cost: Json, kind: type[RequestError], usd: int | None) -> None:
    """Whatever the code is; but never when it was billed."""
    output = envelope(True, error_code="A_CODE_OF_TOMORROW")
    error = eachlabs(each("error", output, metrics={"cost": cost})).failed(kind, "A_CODE_OF_TOMORROW")
    assert getattr(error, "usd", None) == usd


@pytest.mark.parametrize("word", ["cancelled", "canceled"])
def test_a_cancelled_prediction_is_not_billed(word: str) -> None:
    """And not made again by itself."""
    error = eachlabs(each("processing"), each(word)).failed(Refused)
    assert isinstance(error, Refused)
    assert error.usd == 0


POOR: Json = {
    "status": 429,
    "error": "too many requests",
    "details": "Account rate limited: accounts with a balance of $10.00 or less have 10 concurrent executions",
}


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (400, {"error": "image_urls is required"}, Refused, ["image_urls is required"]),
        (
            400,
            {"status": "error", "message": "Invalid input", "details": "prompt"},
            Refused,
            ["Invalid input", "prompt"],
        ),
        (400, {}, Refused, []),
        (422, {}, Refused, []),
        (401, {}, LaneStopped, []),
        (401, {"error": "Invalid API key"}, LaneStopped, ["Invalid API key"]),
        (
            402,
            {"status": 402, "error": "payment required", "details": "in-flight estimates"},
            LaneStopped,
            ["estimates"],
        ),
        (403, {"error": "forbidden"}, LaneStopped, ["forbidden"]),
        (404, {"status": "error", "message": "Unknown model", "details": "kling-o9"}, LaneStopped, ["Unknown model"]),
        (429, POOR, Refused, ["10 concurrent"]),
        (500, {"error": "x"}, LostAnswer, []),
    ],
)
def test_each_labs_error_bodies(code: int, body: Json, kind: type[RequestError], words: list[str]) -> None:
    """The current one, the one of 402 and 429, the model page's, and an empty one."""
    play(Eachlabs().make(job("eachlabs")), reply(body, code)).failed(kind, *words)


@pytest.mark.parametrize(
    ("body", "ident"),
    [
        ({"predictionID": "p-1"}, "p-1"),
        ({"id": "p-1"}, "p-1"),
        ({"predictionID": "p-1", "id": "x"}, "p-1"),
        ({"predictionID": "a/b"}, "a%2Fb"),
    ],
)
def test_a_prediction_has_its_id_under_two_names(body: dict[str, Json], ident: str) -> None:
    """It is asked for at our own address of it, whatever addresses a prediction names."""
    away: Json = {"get": "https://evil.example/", "cancel": "https://evil.example/"}
    gone = play(
        Eachlabs().make(job("eachlabs")),
        reply({**body, "urls": away}),
        each("starting", urls=away),
        each("success", IMAGE),
    )
    assert [call.url for call in gone.calls[1:]] == [f"https://api.eachlabs.ai/v1/prediction/{ident}"] * 2


@pytest.mark.parametrize("body", [None, [], {}, {"status": "success"}, {"predictionID": ""}, {"predictionID": 7}])
def test_a_prediction_without_an_id_is_lost(body: Json) -> None:
    """It may have been created all the same."""
    play(Eachlabs().make(job("eachlabs")), reply(body)).failed(LostAnswer)


def test_each_labs_may_not_know_a_prediction_yet() -> None:
    """A few times 404 is patience, and then it is gone."""
    unknown = reply({"error": "not found"}, 404)
    assert eachlabs(unknown, unknown, unknown, each("success", IMAGE)).urls == [IMAGE]
    eachlabs(then=unknown).failed(Forgotten, "p-1")


def test_each_labs_webhook_and_slash() -> None:
    """Address and secret are told with the prediction; the slash of the model page is an option."""
    changes = {"webhook": HOOK, "secret": "s", "options": {"trailing_slash": True}}
    gone = eachlabs(each("success", IMAGE), **changes)
    assert gone.calls[0].url == "https://api.eachlabs.ai/v1/prediction/"
    assert gone.calls[0].json == {
        "model": "kling-o1",
        "version": "0.0.1",
        "input": COMMON,
        "webhook_url": HOOK,
        "webhook_secret": "s",
    }
    assert gone.calls[0].headers == {"X-Request-Id": JOB}


@pytest.mark.parametrize(
    ("code", "body", "outcome"),
    [
        (200, {"status": "cancelled", "predictionID": "p-1"}, "asked"),
        (200, {"status": "success", "message": "Prediction canceled successfully"}, "asked"),
        (404, {"error": "x"}, "finished"),
        (500, {"error": "x"}, "finished"),
    ],
)
def test_cancelling_at_each_labs(code: int, body: Json, outcome: str) -> None:
    """Its reply has two spellings, and an unknown id two statuses."""
    gone = play(Eachlabs().cancel(job("eachlabs"), CREATED), reply(body, code))
    assert gone.value == outcome
    assert [(call.method, call.url) for call in gone.calls] == [
        ("POST", "https://api.eachlabs.ai/v1/prediction/p-1/cancel")
    ]
    play(Eachlabs().cancel(job("eachlabs"), CREATED), reply({}, 403)).failed(LaneStopped)


def execution(ident: str, created: str = "2026-09-21T14:13:25Z") -> dict[str, Json]:
    """A row of ``/v1/executions``."""
    return {"id": ident, "model": "kling-o1", "status": "success", "execution_cost": 0.028, "created_at": created}


def executions(*rows: Json, total: int | None = None, limit: int = 100) -> Answer:
    """A page of ``/v1/executions``."""
    count = len(rows) if total is None else total
    return reply({"executions": list(rows), "total_count": count, "total_capped": False, "offset": 0, "limit": limit})


ECHO = reply({"id": "p-2", "status": "processing", "input": {**COMMON, "seed": 0, "enable_safety_checker": True}})
ANOTHER = reply({"id": "p-3", "status": "success", "input": {**COMMON, "prompt": "a mug on a chair"}})


def searched(*answers: Answer, claimed: frozenset[str] = frozenset(), then: Answer | None = None) -> Told:
    """The search for a request among Each Labs' executions."""
    trace = Eachlabs().trace(job("eachlabs"), NOW, NOW + 10, claimed)
    return play(trace, *answers, then=then, most=400)


def test_each_labs_executions_are_matched_by_their_input() -> None:
    """The echoed input may hold defaults beside; what differs is another's."""
    gone = searched(executions(execution("p-3"), execution("p-2")), ANOTHER, ECHO)
    fate = gone.value
    assert fate.kind == "accepted"
    assert Eachlabs().remote_id(fate.answer) == "p-2"
    listed, *asked = gone.calls
    assert query(listed) | {"from": ""} == {"model": "kling-o1", "from": "", "limit": "100", "offset": "0"}
    assert "2026-09-21T14:03:20Z" < query(listed)["from"] < "2026-09-21T14:13:20Z"
    assert [call.url for call in asked] == [
        f"https://api.eachlabs.ai/v1/prediction/{ident}" for ident in ("p-3", "p-2")
    ]
    resumed = play(Eachlabs().make(job("eachlabs")), fate.answer, each("success", IMAGE))
    assert resumed.urls == [IMAGE]


@pytest.mark.parametrize(
    ("rows", "claimed", "asked"),
    [
        ([], [], 0),
        ([execution("p-2")], ["p-2"], 0),
        ([execution("p-2", "2026-09-20T13:13:25Z")], [], 0),
        ([execution("p-2"), execution("p-3")], ["p-2"], 1),
        ([{"model": "kling-o1"}], [], 0),
        ([execution("p-3", "yesterday")], [], 1),
        ([execution("p-3", "2026-09-21T14:13:25.123456789Z")], [], 1),
        ([execution("p-3", "2026-09-21T16:13:25+02:00")], [], 1),
        ([execution("p-3", "2026-09-21T14:33:20Z")], [], 1),  # FINDING 6
    ],
)
def test_executions_that_can_not_be_it_are_not_asked(rows: list[Json], claimed: list[str], asked: int) -> None:
    """Others' requests, and those from before it was sent; after that it may have waited for its turn to be sent."""
    gone = searched(executions(*rows), *[ANOTHER] * asked, claimed=frozenset(claimed))
    assert gone.value.kind == "unknown"
    assert len(gone.calls) == 1 + asked


def test_executions_are_read_page_by_page() -> None:
    """The next page begins after the rows of the last."""
    full = executions(*[execution("p-9")] * 100, total=101)
    gone = searched(full, executions(execution("p-2"), total=101), ECHO, claimed=frozenset({"p-9"}))
    assert gone.value.kind == "accepted"
    assert [query(call)["offset"] for call in gone.calls[:2]] == ["0", "100"]


def test_a_page_may_be_shorter_than_asked() -> None:
    """A server with a smaller limit of its own says how many there are in all."""
    short = executions(*[execution("p-9")] * 50, total=51, limit=50)
    gone = searched(short, executions(execution("p-2"), total=51, limit=50), then=ECHO, claimed=frozenset({"p-9"}))
    assert gone.value.kind == "accepted"  # FINDING 3
    assert query(gone.calls[1])["offset"] == "50"


def test_a_search_that_was_cut_short_gives_no_leave_to_pay_again() -> None:
    """Among more executions than are looked at, ours may be."""
    page = executions(*[execution("p-9")] * 100, total=100_000)
    assert held(searched(then=page, claimed=frozenset({"p-9"})))


@pytest.mark.parametrize(
    "polled",
    [
        reply({"status": "success", "predictionID": "p-2", "output": [IMAGE], "metrics": {"predict_time": 5}}),
        reply({"error": "x"}, 500),
        reply({"error": "x"}, 404),
    ],
    ids=["model page: no input", "500", "404"],
)
def test_an_execution_whose_input_is_not_told_gives_no_leave_to_pay_again(polled: Answer) -> None:
    """The model page's prediction echoes no input: an execution of that time that nobody claims may be ours."""
    assert held(searched(executions(execution("p-2")), polled))  # FINDING 4
    assert searched(executions(execution("p-2"), execution("p-4")), polled, ECHO).value.kind == "accepted"


PLACE: dict[str, Json] = {
    "id": "u-1",
    "presigned_url": "https://bucket.example/put?sig=1",
    "public_url": "https://cdn-us.eachlabs.ai/uploads/u-1.png",
    "expires_at": "2026-09-21T14:28:20Z",
}


@pytest.mark.parametrize(
    ("required", "headers"),
    [
        (None, {"content-type": "image/png"}),
        ({}, {"content-type": "image/png"}),
        ({"x-amz-acl": "public-read"}, {"content-type": "image/png", "x-amz-acl": "public-read"}),
        ({"Content-Type": "image/png", "X-A": "b"}, {"content-type": "image/png", "x-a": "b"}),
        ({"content-type": "image/png"}, {"content-type": "image/png"}),  # FINDING 5
    ],
)
def test_uploading_to_each_labs(required: Json, headers: dict[str, str]) -> None:
    """Every required header goes with the bytes, each of them once."""
    gone = play(Eachlabs().upload(FILE, ""), reply({**PLACE, "required_headers": required}), reply(None))
    asked, put = gone.calls
    assert gone.value.reference == "https://cdn-us.eachlabs.ai/uploads/u-1.png"
    assert asked.url == "https://api.eachlabs.ai/v1/upload/presign"
    assert isinstance(asked.json, dict)
    life = asked.json.pop("expires_in_seconds")
    assert isinstance(life, int)
    assert 60 <= life <= 365 * 86400
    assert gone.value.seconds <= life
    assert asked.json == {"content_type": "image/png", "file_type": "image"}
    assert (put.method, put.url, put.data) == ("PUT", "https://bucket.example/put?sig=1", BYTES)
    assert sorted((name.lower(), value) for name, value in put.headers.items()) == sorted(headers.items())


# ── Runware ─────────────────────────────────────────────────────────────────────────────────────

TASK: dict[str, Json] = {"taskType": "imageInference", "taskUUID": JOB}


def item(state: str | None = "success", number: int | None = None, **more: Json) -> dict[str, Json]:
    """An item of ``data``; with a number, a result."""
    result: dict[str, Json] = {} if number is None else {"imageUUID": f"i-{number}", "imageURL": f"{IMAGE}?{number}"}
    return {**TASK, **({} if state is None else {"status": state}), **result, **more}


def told(*entries: Json, status: int = 200, **more: Json) -> Answer:
    """An answer of Runware, which has no ``errors`` where there are none."""
    return reply({"data": list(entries), **more}, status)


def wrong(code: str, task: str | None = JOB, **more: Json) -> dict[str, Json]:
    """An error of Runware's."""
    named: dict[str, Json] = {} if task is None else {"taskUUID": task}
    return {"code": code, "message": f"about {code}", "parameter": "x", "taskType": "imageInference", **named, **more}


ACK = told(TASK)
BOTH = told(item(number=1), item(number=2))
URLS = [f"{IMAGE}?1", f"{IMAGE}?2"]
SYNC = {"options": {"delivery": "sync"}}


def runware(*answers: Answer, then: Answer | None = None, **changes: Any) -> Told:
    """A Runware flow from its submit on."""
    return play(Runware().make(job("runware", **changes)), *answers, then=then)


@pytest.mark.parametrize(
    "ack", [ACK, told(), told({**TASK, "status": "processing"}), told({**TASK, "taskUUID": OTHER})]
)
def test_a_task_is_acknowledged_and_polled(ack: Answer) -> None:
    """By an item of its own, or by no data at all."""
    gone = runware(ack, told(item("processing", progress=40)), BOTH)
    assert gone.urls == URLS
    for call in gone.calls[1:]:
        assert (call.method, call.url, call.merged, call.paid) == ("POST", "https://api.runware.ai/v1", True, False)
        assert call.json == [{"taskType": "getResponse", "taskUUID": JOB}]


@pytest.mark.parametrize(
    ("running", "polls"),
    [
        (item("processing"), 9),
        (item("processing", progress=40), 9),
        (item("pending"), 9),
        (item(None), 3),
        (item("a word of tomorrow"), 3),
    ],
)
def test_runwares_words_for_not_yet(running: Json, polls: int) -> None:
    """Of the documents, of the old ones, and of tomorrow."""
    assert runware(ACK, *[told(running)] * polls, BOTH).urls == URLS


def test_results_that_come_one_by_one_are_counted_once() -> None:
    """The state is cumulative: each poll repeats what was there before."""
    first = told(item(number=1), item("processing"), item("processing"))
    second = told(item(number=1), item(number=2), item("processing"))
    gone = runware(ACK, first, first, second, told(*[item(number=n) for n in (1, 2, 3)]), count=3)
    assert gone.urls == [*URLS, f"{IMAGE}?3"]


def test_results_that_take_their_time_are_waited_for() -> None:
    """While the others are made, an answer may hold only what is finished: the details tell whether more comes."""

    def answer(call: Call, number: int) -> Answer:
        if "getTaskDetails" in str(call.json):
            return details(None, [TASK])
        return ACK if number == 0 else told(item(number=1)) if number < 20 else BOTH

    flow = Runware().make(job("runware"))
    call, images = next(flow), []
    try:
        for number in range(40):
            call = flow.send(answer(call, number))
    except StopIteration as done:
        images = done.value
    assert [image.url for image in images] == URLS  # FINDING 13


def test_a_result_without_a_status_is_a_result() -> None:
    """As a synchronous answer shows it."""
    assert runware(ACK, told(item(None, 1), item(None, 2))).urls == URLS


@pytest.mark.parametrize(
    ("result", "url", "data"),
    [
        ({"imageURL": IMAGE}, IMAGE, None),
        ({"imageBase64Data": INLINE}, None, BYTES),
        ({"imageDataURI": DATA_URI}, None, BYTES),
        ({"imageURL": None, "imageBase64Data": INLINE}, None, BYTES),
    ],
)
@pytest.mark.parametrize("delivery", ["sync", "async"])
def test_runwares_three_kinds_of_output(
    result: dict[str, Json], url: str | None, data: bytes | None, delivery: str
) -> None:
    """A link, base64, a data URI; in the first answer or in a poll's."""
    done = told({**TASK, "imageUUID": "i", **result})
    answers = [done] if delivery == "sync" else [ACK, done]
    (image,) = runware(*answers, count=1, options={"delivery": delivery}).value
    assert (image.url, image.data) == (url, data)


@pytest.mark.parametrize(
    ("more", "usd", "seed", "nsfw"),
    [
        ({"cost": 0.028, "seed": 308117652, "NSFWContent": False}, 28_000, 308117652, False),
        ({"cost": 0.028, "NSFWContent": True}, 28_000, None, True),
        ({"seed": 0}, None, 0, None),
        ({"cost": None, "seed": None, "NSFWContent": None}, None, None, None),
        ({"cost": "0.028", "seed": "7", "NSFWContent": "no"}, 28_000, None, None),
        ({}, None, None, None),
    ],
)
def test_what_runware_tells_of_a_picture(
    more: dict[str, Json], usd: int | None, seed: int | None, nsfw: bool | None
) -> None:
    """Its cost, its seed and its content check, each where it is there."""
    (image,) = runware(ACK, told(item(number=1, **more)), count=1).value
    assert (image.usd, image.seed, image.nsfw) == (usd, seed, nsfw)


def test_a_synchronous_answer_is_enough() -> None:
    """No poll follows, and the answer may take as long as the request."""
    gone = runware(BOTH, deadline=900.0, **SYNC)
    assert gone.urls == URLS
    assert (gone.calls[0].seconds, gone.calls[0].json[0]["deliveryMethod"]) == (900.0, "sync")


def test_what_a_synchronous_answer_lacks_is_polled() -> None:
    """The task goes on in the background."""
    assert runware(told(item(None, 1)), told(item(number=1), item("processing")), BOTH, **SYNC).urls == URLS


@pytest.mark.parametrize("code", ["timeout", "timeoutProvider", "providerTimeout"])
@pytest.mark.parametrize("http", [200, 400, 500])
@pytest.mark.parametrize("task", [JOB, None])
def test_a_synchronous_timeout_ends_the_wait_and_not_the_task(code: str, http: int, task: str | None) -> None:
    """The task continues in the background, and is fetched with getResponse: it is no failure that cost nothing."""
    assert runware(told(errors=[wrong(code, task)], status=http), told(item("processing")), BOTH, **SYNC).urls == URLS


def test_a_synchronous_timeout_may_stand_in_the_item() -> None:
    """Errors are documented in both places."""
    late = told({**TASK, "status": "error", "error": {"code": "timeoutProvider", "message": "about"}})
    assert runware(late, BOTH, **SYNC).urls == URLS  # FINDING 7
    flagged = told({**TASK, "status": "error", "error": {"code": "promptBlocked", "message": "about"}})
    runware(flagged, **SYNC).failed(Refused, "promptBlocked")


@pytest.mark.parametrize(
    "poll",
    [
        told(errors=[wrong("providerContentPolicyViolation", status="error")]),
        told(errors=[wrong("providerContentPolicyViolation")], status=400),
        told(error=[wrong("providerContentPolicyViolation")]),
        told({"taskUUID": JOB, "status": "error", "error": {"code": "promptBlocked", "message": "about"}}),
        told({**TASK, "status": "error", "code": "promptBlocked", "message": "about"}),
        told({**TASK, "error": {"code": "promptBlocked", "message": "about"}}),
        told({**TASK, "status": "error", "message": "about nothing"}),
    ],
    ids=["errors", "errors 400", "error", "item.error", "item", "item without status", "no code"],
)
def test_where_runware_tells_of_a_failure(poll: Answer) -> None:
    """In ``errors`` or ``error``, or in the item itself; it may have been billed."""
    error = runware(ACK, poll).failed(Refused, "about")
    assert isinstance(error, Refused)
    assert error.usd is None


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ("invalidPositivePrompt missingModel unsupportedDimensions valueTooLarge", Refused),
        ("incompatibleParameters unknownParameter a_code_of_tomorrow", Refused),
        ("contentPolicyViolation providerContentPolicyViolation sensitiveContentDetected", Refused),
        ("nsfwContentDetected promptBlocked imageBlocked moderationFailed", Refused),
        ("invalidApiKey unauthorized insufficientCredits missingApiKey", LaneStopped),
        ("rateLimitExceeded providerRateLimitExceeded providerError providerUnavailable", TryLater),
        ("inferenceError taskFailed internalServerError serviceUnavailable", TryLater),
        ("timeout providerTimeout timeoutProvider", TryLater),
        ("invalidProviderSettings unsupportedProvider missingProviderSettings", Refused),  # FINDING 8
        ("quotaExceeded insufficientBalance paymentRequired expiredApiKey accountDisabled", LaneStopped),  # FINDING 8
        ("unknownError standardError processingFailed downloadFailed modelNotReady", TryLater),  # FINDING 8
    ],
)
def test_runwares_codes_by_category(codes: str, kind: type[RequestError]) -> None:
    """As the categories of its SDK: validation and safety end it, account stops the lane, all else is tried again."""
    verdicts = {code: type(runware(ACK, told(errors=[wrong(code)])).error) for code in codes.split()}
    assert verdicts == dict.fromkeys(codes.split(), kind)


@pytest.mark.parametrize("name", ["errors", "error"])
@pytest.mark.parametrize("task", [JOB, None])
@pytest.mark.parametrize(
    ("code", "http", "kind"),
    [
        ("invalidPositivePrompt", 400, Refused),
        ("invalidPositivePrompt", 200, Refused),
        ("contentPolicyViolation", 400, Refused),
        ("invalidApiKey", 401, LaneStopped),
        ("whatever", 403, LaneStopped),
        ("insufficientCredits", 402, LaneStopped),
        ("insufficientCredits", 400, LaneStopped),
        ("rateLimitExceeded", 429, TryLater),
    ],
)
def test_a_submit_that_runware_refuses(
    name: str, task: str | None, code: str, http: int, kind: type[RequestError]
) -> None:
    """Nothing was made and nothing is billed; errors without a task belong to the whole POST."""
    error = runware(reply({"data": [], name: [wrong(code, task)]}, http)).failed(kind, code)
    if isinstance(error, Refused):
        assert error.usd == 0


@pytest.mark.parametrize("http", [500, 503])
@pytest.mark.parametrize("code", ["internalServerError", "serviceUnavailable", "a_code_of_tomorrow"])
def test_a_submit_that_broke_inside_runware_is_in_doubt(http: int, code: str) -> None:
    """It may have been accepted: the same UUID has to be sent again, never a new one."""
    gone = runware(told(errors=[wrong(code, None)], status=http))
    gone.failed(LostAnswer)  # FINDING 9


@pytest.mark.parametrize("body", [None, [], {}, {"data": None}, {"data": {}}, "x"])
def test_a_submit_that_makes_no_sense_is_lost(body: Json) -> None:
    """It may have been accepted all the same."""
    runware(reply(body)).failed(LostAnswer)


@pytest.mark.parametrize("http", [200, 400, 409])
@pytest.mark.parametrize(
    "body",
    [
        {"data": [], "errors": [wrong("conflictTaskUUID")]},
        {"errors": [wrong("conflictTaskUUID")]},
        {"data": [], "error": [wrong("conflictTaskUUID")]},
        {"errors": [wrong("conflictTaskUUID", None)]},
        {"error": {"code": "conflictTaskUUID", "message": "x"}, "taskUUID": JOB},  # FINDING 10
    ],
    ids=["errors", "no data", "error", "nameless", "error object"],
)
def test_a_conflict_says_that_the_task_is_there(http: int, body: Json) -> None:
    """An earlier answer was lost: it is polled."""
    assert runware(reply(body, http), BOTH).urls == URLS


def test_other_tasks_errors_are_not_ours() -> None:
    """Neither with a submit, nor with polls that travel together."""
    ours = told(
        TASK, {**TASK, "taskUUID": OTHER}, errors=[wrong("conflictTaskUUID", OTHER), wrong("promptBlocked", OTHER)]
    )
    shared = told(
        {**item(number=9), "taskUUID": OTHER},
        item(number=1),
        item("processing"),
        errors=[wrong("promptBlocked", OTHER)],
    )
    assert runware(ours, shared, BOTH).urls == URLS


@pytest.mark.parametrize("code", ["rateLimitExceeded", "internalServerError", "invalidTaskUUID", "a_code_of_tomorrow"])
@pytest.mark.parametrize("http", [200, 400])
def test_an_error_of_the_whole_poll_is_no_verdict_on_the_task(code: str, http: int) -> None:
    """Errors without a task belong to the whole POST, which only asked: the task lives on, and may be billed."""
    gone = runware(ACK, told(errors=[wrong(code, None)], status=http), then=BOTH)
    assert type(gone.error) is LostAnswer or gone.urls == URLS


def test_what_was_made_is_kept_when_the_rest_failed() -> None:
    """Results and errors of one task in one poll: the pictures are paid."""
    mixed = told(item(number=1), errors=[wrong("providerError")])
    assert runware(ACK, mixed).urls == URLS[:1]
    assert runware(ACK, told(item(number=1), item("error", error={"code": "x", "message": "y"}))).urls == URLS[:1]
    assert runware(ACK, told(item("processing"), errors=[wrong("providerError")]), mixed).urls == URLS[:1]


@pytest.mark.parametrize("http", [200, 400])
def test_what_was_made_is_kept_when_the_rest_failed_synchronously(http: int) -> None:
    """As in a poll: a picture that came is paid, whatever else the answer holds."""
    mixed = told(item(None, 1), errors=[wrong("providerError")], status=http)
    assert runware(mixed, then=mixed, **SYNC).urls == URLS[:1]


UNKNOWN = [
    told(),
    told(errors=[wrong("taskNotFound")], status=404),
    told(errors=[wrong("taskNotFound")]),
    told(errors=[wrong("taskExpired")]),
    reply(None, 404),
    told(errors=[wrong("taskNotFound")], status=400),  # FINDING 11
    told(errors=[wrong("taskNotFound", OTHER)], status=400),  # FINDING 11
]


def details(response: Json, request: Json = None) -> Answer:
    """An answer to ``getTaskDetails``."""
    return told({"taskType": "getTaskDetails", "taskUUID": JOB, "request": request, "response": response})


@pytest.mark.parametrize(
    "unknown", UNKNOWN, ids=["empty", "404 code", "code", "expired", "404", "400 code", "another's"]
)
def test_a_poll_that_knows_nothing_is_followed_by_the_details(unknown: Answer) -> None:
    """A few times; then the details have the pictures, or say that it is gone."""
    gone = runware(ACK, unknown, unknown, unknown, BOTH)
    assert gone.urls == URLS
    found = runware(ACK, *[unknown] * 4, details(BOTH.json, [TASK]))
    assert found.urls == URLS
    assert found.calls[-1].json == [{"taskType": "getTaskDetails", "taskUUID": JOB}]
    for nothing in (told(), told(errors=[wrong("taskNotFound")]), told(errors=[wrong("taskExpired")], status=404)):
        runware(ACK, *[unknown] * 4, nothing).failed(Forgotten, JOB)


def test_a_task_whose_details_have_no_response_yet_is_polled_on() -> None:
    """It is known: that is enough to wait for it."""
    assert runware(ACK, *[told()] * 4, details(None, [TASK]), told(), BOTH).urls == URLS


def test_a_failure_may_stand_in_the_details() -> None:
    """The response that was lost was an error."""
    lost = details({"errors": [wrong("promptBlocked")]}, [TASK])
    runware(ACK, *[told()] * 4, lost, then=told()).failed(Refused, "promptBlocked")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (told(errors=[wrong("invalidApiKey", None)], status=401), LaneStopped),
        (reply(None, 403), LaneStopped),
        (told(errors=[wrong("internalServerError", None)]), LostAnswer),
        (told(errors=[wrong("unsupportedTaskType")], status=400), LostAnswer),
        (reply(None, 418), LostAnswer),
    ],
)
def test_details_that_can_not_be_had_do_not_forget_a_task(answer: Answer, kind: type[RequestError]) -> None:
    """Only an answer that does not know the task says that it is gone."""
    runware(ACK, *[told()] * 4, answer).failed(kind)  # FINDING 12


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (details(BOTH.json, [TASK]), "accepted"),
        (details(None, [TASK]), "accepted"),
        (told(errors=[wrong("taskNotFound")], status=404), "not-accepted"),
        (told(errors=[wrong("taskNotFound")]), "not-accepted"),
        (told({**TASK, "taskUUID": OTHER}), "unknown"),
        (told(errors=[wrong("taskNotFound", OTHER)]), "unknown"),
        (told(errors=[wrong("internalServerError")], status=500), "unknown"),
        (told(), "unknown"),
        (reply(None, 404), "unknown"),
    ],
)
def test_whether_runware_knows_a_task(answer: Answer, kind: str) -> None:
    """Asked for its details; only its own word that there is none is one."""
    gone = play(Runware().trace(job("runware"), NOW, NOW, frozenset()), answer)
    assert gone.value.kind == kind
    if kind == "accepted":
        assert runware(gone.value.answer, BOTH).urls == URLS
        assert Runware().remote_id(gone.value.answer) == JOB


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, {"width": 2720, "height": 1536}),
        ({"ratio": "1:1", "resolution": "1K"}, {"width": 1024, "height": 1024}),
        ({"ratio": "21:9"}, {"width": 3104, "height": 1312}),
        ({"ratio": "auto"}, {"resolution": "2k"}),
        ({"ratio": "auto", "resolution": "1K"}, {"resolution": "1k"}),
        ({"references": 0}, {"width": 2720, "height": 1536}),
    ],
)
def test_runware_takes_pixels_or_a_resolution(changes: dict[str, Any], size: dict[str, Json]) -> None:
    """Never both, and never half of the pixels; without references there are no inputs."""
    (task,) = next(Runware().make(job("runware", **changes))).json
    assert {name: task[name] for name in ("width", "height", "resolution", "aspectRatio") if name in task} == size
    assert ("inputs" in task) == (changes.get("references") != 0)


def test_runwares_options_are_fields_of_the_task() -> None:
    """Each under its own name; the delivery is not one of them, and no webhook is none."""
    options: dict[str, Json] = {
        "outputType": "dataURI",
        "outputQuality": 90,
        "ttl": 86400,
        "safety": {"checkContent": True, "mode": "fast"},
        "uploadEndpoint": "https://storage.example/a.png",
    }
    (plain,) = next(Runware().make(job("runware"))).json
    (task,) = next(Runware().make(job("runware", options={**options, "references": "inline"}, webhook=HOOK))).json
    assert task == {**plain, **options, "webhookURL": HOOK}
    assert plain == SUBMITS["runware"][1][0]


@pytest.mark.parametrize(
    "data",
    [
        [{"taskType": "mediaStorage", "taskUUID": FILE.id, "mediaUUID": "m-1", "mediaURL": IMAGE}],
        {"taskType": "mediaStorage", "taskUUID": FILE.id, "mediaUUID": "m-1", "mediaURL": IMAGE},
    ],
    ids=["array", "object"],
)
def test_uploading_to_runware(data: Json) -> None:
    """As a data URI in one task; the answer's data is an array, or an object as on old pages."""
    gone = play(Runware().upload(FILE, ""), reply({"data": data}))
    assert gone.value.reference == "m-1"
    (call,) = gone.calls
    assert (call.url, call.paid) == ("https://api.runware.ai/v1", False)
    assert call.json == [{"taskType": "mediaStorage", "taskUUID": FILE.id, "operation": "upload", "media": DATA_URI}]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (told(errors=[wrong("invalidMedia", FILE.id)], status=400), Refused),
        (told(errors=[wrong("insufficientCredits", FILE.id)], status=402), LaneStopped),
        (reply(None, 401), LaneStopped),
        (told(errors=[wrong("providerError", FILE.id)]), TryLater),
        (told(), LostAnswer),
        (told({"taskUUID": FILE.id}), LostAnswer),
    ],
)
def test_an_upload_that_runware_refuses(answer: Answer, kind: type[RequestError]) -> None:
    """As with a task."""
    play(Runware().upload(FILE, ""), answer).failed(kind)


@pytest.mark.parametrize("gateway", ["aimlapi", "runware"])
def test_what_can_not_be_cancelled_is_not_asked_about(gateway: str) -> None:
    """AIML API and Runware document no way."""
    gone = play(DIALECTS[gateway].cancel(job(gateway), ACK))
    assert (gone.calls, gone.value) == ([], "impossible")
