"""The emulated fal, over real sockets: queue, synchronous calls, failures, uploads, prices and webhooks."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import queue
import re
import time
from contextlib import contextmanager

import httpx
import kit
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakes.work import HANGS
from kit import png
from PIL import Image

from pipeline.emulator import Settings, serve, webhooks
from pipeline.emulator.webhooks import deliver

KLING = "/fal-ai/kling-image/o1"
ALIAS = "/fal-ai/kling-image"
NANO = "/fal-ai/nano-banana/edit"
ASK = {"prompt": "Put @Image1 on a table", "image_urls": ["https://example.org/mug.png"]}
SOON, NEVER = (4.0, 9.0), (1e6, 1e6)


@contextmanager
def fal(latency=SOON, key="k:s", **settings):
    """An emulated fal, a thousand times faster than life, and a client that holds its key."""
    given = {"gateways": ("fal",), "speed": 1000.0, "pictures": "tiny", "latency": latency} | settings
    with serve(Settings(**given)) as emulator:
        headers = {"Authorization": f"Key {key}"} if key else {}
        with httpx.Client(base_url=emulator.urls["fal"], headers=headers, trust_env=False, timeout=HANGS) as client:
            client.emulator = emulator
            yield client


def switched(**choices):
    return {"switches": {f"fal.{name.replace('_', '-')}": choice for name, choice in choices.items()}}


def submit(client, ask=ASK, path=KLING, **more):
    reply = client.post(path, json=ask, **more)
    assert reply.status_code == 200, reply.text
    return reply.json()


def events(client, submitted):
    """Every status until completion, from the event stream."""
    text = client.get(submitted["status_url"] + "/stream", params={"logs": 1}).text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]


def finished(client, ask=ASK, path=KLING, **more):
    """Submit, wait for the end, and return the last status and the reply to the result."""
    submitted = submit(client, ask, path, **more)
    return events(client, submitted)[-1], client.get(submitted["response_url"])


def wrong(client, **changes):
    """The type and place of the first complaint about an input."""
    reply = finished(client, {key: value for key, value in (ASK | changes).items() if value is not None})[1]
    assert reply.status_code == 422
    detail = reply.json()["detail"][0]
    return detail["type"], detail["loc"]


# ── the queue ───────────────────────────────────────────────────────────────────────────────────


def test_a_request_goes_through_the_queue_to_pictures():
    with fal() as client:
        submitted = submit(client, ASK | {"num_images": 2, "aspect_ratio": "16:9", "output_format": "webp"})
        assert submitted["status"] == "IN_QUEUE"
        assert submitted["queue_position"] == 0
        base = f"{client.emulator.urls['fal']}{ALIAS}/requests/{submitted['request_id']}"
        assert submitted["response_url"] == base
        assert (submitted["status_url"], submitted["cancel_url"]) == (f"{base}/status", f"{base}/cancel")

        last = events(client, submitted)[-1]
        assert last["status"] == "COMPLETED"
        assert "error" not in last
        assert 3.9 < last["metrics"]["inference_time"] < 9.1
        result = client.get(submitted["response_url"])
        assert result.headers["x-fal-request-id"] == submitted["request_id"]
        assert result.headers["x-fal-billable-units"] == "2"
        images = result.json()["images"]
        assert len({image["url"] for image in images}) == 2
        for image in images:
            data = httpx.get(image["url"], trust_env=False).content  # public: no key
            assert image["content_type"] == "image/webp"
            assert image["file_size"] == len(data)
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.format == "WEBP"
                assert picture.width / picture.height == pytest.approx(16 / 9, rel=0.02)
        bill = client.emulator.bill("fal")
        assert (bill["requests"], bill["pictures"], bill["usd_micro"]) == (1, 2, 56_000)


def test_a_status_always_has_the_keys_that_clients_read():
    with fal(NEVER, limits={"fal": {"concurrent": 1}}) as client:
        running, waiting, last = submit(client), submit(client), submit(client)
        reply = client.get(running["status_url"])
        assert (reply.status_code, reply.json()["status"], reply.json()["logs"]) == (202, "IN_PROGRESS", None)
        assert client.get(running["status_url"], params={"logs": "true"}).json()["logs"][0]["level"] == "INFO"
        told = [client.get(each["status_url"]).json() for each in (waiting, last)]
        assert [(each["status"], each["queue_position"]) for each in told] == [("IN_QUEUE", 0), ("IN_QUEUE", 1)]
        assert all({"request_id", "response_url", "status_url", "cancel_url"} <= set(each) for each in told)


def test_the_status_code_before_completion_is_a_switch():
    with fal(NEVER, **switched(status_code="200")) as client:
        assert client.get(submit(client)["status_url"]).status_code == 200


def test_all_four_spellings_of_the_result_work():
    with fal() as client:
        submitted = submit(client)
        events(client, submitted)
        for start in (ALIAS, KLING):
            for ending in ("", "/response"):
                assert client.get(f"{start}/requests/{submitted['request_id']}{ending}").json()["images"]
            assert client.get(f"{start}/requests/{submitted['request_id']}/status").status_code == 200


def test_the_spelling_of_the_urls_is_a_switch():
    with fal(**switched(response_url="response", path="full")) as client:
        submitted = submit(client)
        assert submitted["response_url"].endswith(f"{KLING}/requests/{submitted['request_id']}/response")
        events(client, submitted)
        assert client.get(submitted["response_url"]).json()["images"]


def test_events_tell_every_change_and_end():
    with fal((300.0, 300.0), limits={"fal": {"concurrent": 1}}) as client:
        submit(client)
        told = events(client, submit(client))
        assert [each["status"] for each in told] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
        assert [line["message"] for line in told[-1]["logs"]] == ["Started", "Finished"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told[-1]["logs"][0]["timestamp"])


@pytest.mark.parametrize("status", [400, 500])
def test_a_result_asked_for_too_early_is_refused(status):
    with fal(NEVER, **switched(not_ready=str(status))) as client:
        reply = client.get(submit(client)["response_url"])
        assert reply.status_code == status
        assert reply.json()["detail"] == "Request is still in progress"


def test_requests_over_the_limit_wait_but_a_longest_queue_can_be_asked_for():
    with fal(NEVER, limits={"fal": {"concurrent": 1}}) as client:
        submit(client)
        submit(client, params={"fal_max_queue_length": "0"})
        reply = client.post(KLING, json=ASK, params={"fal_max_queue_length": "0"})
        assert reply.status_code == 429
        assert "retry-after" not in reply.headers
        assert client.emulator.bill("fal")["requests"] == 2
        assert client.post(KLING, json=ASK, params={"fal_max_queue_length": "few"}).status_code == 400


def test_the_published_limit_is_forty_in_progress():
    with fal(NEVER) as client:
        told = [client.get(submit(client)["status_url"]).json()["status"] for _ in range(42)]
        assert told == ["IN_PROGRESS"] * 40 + ["IN_QUEUE"] * 2


# ── what is refused ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("header", [None, "", "Key", "Bearer k:s", "Key other"])
def test_a_wrong_key_is_refused(header):
    with serve(Settings(gateways=("fal",), key="k:s")) as emulator:
        headers = {} if header is None else {"Authorization": header}
        reply = httpx.post(emulator.urls["fal"] + KLING, json=ASK, headers=headers, trust_env=False)
        assert (reply.status_code, reply.headers["x-fal-error-type"]) == (401, "unauthorized")
        assert isinstance(reply.json()["detail"], str)
        assert emulator.bill("fal")["requests"] == 0


def test_what_does_not_exist_is_not_found():
    with fal() as client:
        submitted = submit(client)
        gone = f"{ALIAS}/requests/00000000-0000-4000-8000-000000000000"
        assert client.post("/fal-ai/kling-image/o2", json=ASK).status_code == 404
        assert client.get(gone).status_code == 404
        assert client.get(gone + "/status").status_code == 404
        assert client.get(f"/fal-ai/nano-banana/requests/{submitted['request_id']}/status").status_code == 404
        assert client.put(gone + "/cancel").json() == {"status": "NOT_FOUND"}
        assert client.get(KLING).status_code == 405


def test_a_body_that_is_no_object_is_refused_at_once():
    with fal() as client:
        for body in (b"", b"[]", b'{"prompt":'):
            assert client.post(KLING, content=body).json()["detail"][0]["loc"] == ["body"]
        assert client.emulator.bill("fal")["requests"] == 0


@pytest.mark.parametrize(
    ("changes", "kind", "place"),
    [
        ({"prompt": None}, "missing", ["prompt"]),
        ({"prompt": 1}, "string_type", ["prompt"]),
        ({"prompt": "x" * 2501}, "string_too_long", ["prompt"]),
        ({"image_urls": None}, "missing", ["image_urls"]),
        ({"image_urls": "https://example.org/mug.png"}, "list_type", ["image_urls"]),
        ({"image_urls": ["mug.png"]}, "url_parsing", ["image_urls", 0]),
        ({"image_urls": ["https://example.org/a.png"] * 11}, "sequence_too_long", ["image_urls"]),
        ({"image_urls": ["data:image/png;base64,AAAA"]}, "image_load_error", ["image_urls", 0]),
        ({"resolution": "1k"}, "one_of", ["resolution"]),
        ({"num_images": 0}, "greater_than_equal", ["num_images"]),
        ({"num_images": 10}, "less_than_equal", ["num_images"]),
        ({"num_images": "2"}, "int_type", ["num_images"]),
        ({"aspect_ratio": "5:4"}, "one_of", ["aspect_ratio"]),
        ({"output_format": "jpg"}, "one_of", ["output_format"]),
        ({"sync_mode": "yes"}, "bool_type", ["sync_mode"]),
        ({"seed": 1}, "extra_forbidden", ["seed"]),
    ],
)
def test_a_wrong_input_is_a_422_on_the_result_and_costs_nothing(changes, kind, place):
    with fal() as client:
        assert wrong(client, **changes) == (kind, ["body", *place])
        bill = client.emulator.bill("fal")
        assert (bill["pictures"], bill["usd_micro"]) == (0, 0)


def test_the_longest_input_is_accepted():
    picture = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    ask = {"prompt": "x" * 2500, "image_urls": [picture] * 10, "num_images": 9, "resolution": "2K"}
    with fal() as client:
        status, result = finished(client, ask)
        assert "error" not in status
        assert len(result.json()["images"]) == 9


def test_unknown_fields_and_the_place_of_refusal_are_switches():
    with fal(**switched(unknown_fields="ignore")) as client:
        assert finished(client, ASK | {"seed": 1})[1].status_code == 200
    with fal(**switched(validate="submit")) as client:
        assert client.post(KLING, json={}).status_code == 422
        assert client.emulator.bill("fal")["requests"] == 0


def test_references_on_this_machine_are_a_switch():
    ask = ASK | {"image_urls": ["http://127.0.0.1:9/mug.png"]}
    with fal() as client:
        assert finished(client, ask)[1].status_code == 200
    with fal(**switched(localhost="refuse")) as client:
        assert wrong(client, **ask) == ("file_download_error", ["body", "image_urls", 0])
        assert finished(client)[1].status_code == 200


def test_platform_headers_are_checked():
    with fal(**switched(reserved_headers="refuse")) as client:
        good = {"X-Fal-No-Retry": "1", "X-Fal-Queue-Priority": "low", "x-app-fal-disable-fallback": "true"}
        life = {"X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds":3600}'}
        submit(client, headers=good | life)
        for bad in (
            {"X-Fal-Request-Timeout": "0.1"},
            {"X-Fal-Request-Timeout": "soon"},
            {"X-Fal-Object-Lifecycle-Preference": "3600"},
            {"X-Fal-Secret-Thing": "1"},
        ):
            reply = client.post(KLING, json=ASK, headers=bad)
            assert (reply.status_code, reply.json()["error_type"]) == (400, "bad_request")
    with fal() as client:
        submit(client, headers={"X-Fal-Secret-Thing": "1"})


# ── how requests end otherwise ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("told", ["with", "without"])
def test_a_moderated_request_completes_and_its_result_is_a_422(told):
    with fal(**switched(completed_error=told)) as client:
        status, result = finished(client, ASK | {"prompt": "a forbidden mug"})
        assert status["status"] == "COMPLETED"
        assert status.get("error_type") == ("content_policy_violation" if told == "with" else None)
        assert result.status_code == 422
        assert result.json()["detail"][0]["type"] == "content_policy_violation"


def test_a_request_that_does_not_start_in_time_ends_as_a_timeout():
    with fal(NEVER, limits={"fal": {"concurrent": 1}}) as client:
        submit(client)
        status, result = finished(client, headers={"X-Fal-Request-Timeout": "2"})
        assert status["error_type"] == "request_timeout"
        assert (result.status_code, result.headers["x-fal-request-timeout-type"]) == (504, "user")
        assert result.json()["detail"] == "Request timed out"
        assert client.emulator.bill("fal")["usd_micro"] == 28_000


def test_cancelling():
    with fal(NEVER, limits={"fal": {"concurrent": 1}}) as client:
        running, waiting = submit(client), submit(client)
        reply = client.put(waiting["cancel_url"])
        assert (reply.status_code, reply.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
        assert client.emulator.bill("fal")["usd_micro"] == 28_000  # what never ran costs nothing
        reply = client.put(waiting["cancel_url"])
        assert (reply.status_code, reply.json()) == (400, {"status": "ALREADY_COMPLETED"})
        status = client.get(waiting["status_url"])
        assert (status.status_code, status.json()["error_type"]) == (200, "client_cancelled")
        assert client.get(waiting["response_url"]).status_code == 499
        assert client.put(running["cancel_url"]).status_code == 202
        assert client.get(running["status_url"]).json()["status"] == "COMPLETED"
        assert client.get(submit(client)["status_url"]).json()["status"] == "IN_PROGRESS"  # the place is free again


def test_the_ways_of_cancelling_are_switches():
    choices = switched(cancel_queued="200", cancel_running="finishes", after_cancel="not-found")
    with fal(NEVER, limits={"fal": {"concurrent": 1}}, **choices) as client:
        running, waiting = submit(client), submit(client)
        assert client.put(waiting["cancel_url"]).json() == {"status": "OK"}
        assert client.get(waiting["status_url"]).status_code == 404
        assert client.put(running["cancel_url"]).status_code == 202
        assert client.get(running["status_url"]).json()["status"] == "IN_PROGRESS"


# ── synchronous calls ───────────────────────────────────────────────────────────────────────────


def test_a_synchronous_call_answers_with_the_pictures():
    with fal() as client:
        reply = client.post("/run" + KLING, json=ASK | {"output_format": "jpeg"})
        assert reply.status_code == 200
        assert reply.headers["x-fal-request-id"]
        assert reply.json()["images"][0]["content_type"] == "image/jpeg"
        assert client.post("/run" + KLING, json={"prompt": "a mug"}).status_code == 422


def test_sync_mode_brings_the_picture_along():
    with fal() as client:
        url = client.post("/run" + KLING, json=ASK | {"sync_mode": True}).json()["images"][0]["url"]
        head, _, body = url.partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
            assert picture.format == "PNG"


def test_a_synchronous_call_over_the_limit_is_refused():
    with fal(NEVER, limits={"fal": {"concurrent": 1}}) as client:
        submit(client)
        reply = client.post("/run" + KLING, json=ASK)
        assert (reply.status_code, reply.headers["x-fal-needs-retry"]) == (429, "1")
        assert reply.json()["error_type"] == "concurrent_requests_limit"


def test_the_second_model():
    with fal() as client:
        ask = ASK | {"aspect_ratio": "5:4", "num_images": 2, "limit_generations": True, "seed": 7}
        result = finished(client, ask, NANO)[1].json()
        assert len(result["images"]) == 2
        assert result["description"] == ""
        assert client.emulator.bill("fal")["usd_micro"] == 78_000
        assert finished(client, ASK | {"resolution": "1K"}, NANO)[1].status_code == 422
        assert finished(client, ASK | {"num_images": 5}, NANO)[1].status_code == 422


# ── files and prices ────────────────────────────────────────────────────────────────────────────


def test_an_upload_with_a_token_becomes_a_reference():
    with fal() as client:
        token = client.post("/storage/auth/token", params={"storage_type": "fal-cdn-v3"}, json={}).json()
        headers = {"Content-Type": "image/png", "X-Fal-File-Name": "mug.png"}
        send = {"Authorization": f"{token['token_type']} {token['token']}"} | headers
        reply = client.post(token["base_url"] + "/files/upload", content=png(), headers=send)
        link = reply.json()["access_url"]
        back = httpx.get(link, trust_env=False)
        assert (back.content, back.headers["content-type"]) == (png(), "image/png")
        assert finished(client, ASK | {"image_urls": [link]})[1].status_code == 200
        assert wrong(client, image_urls=[link + "x"]) == ("file_download_error", ["body", "image_urls", 0])
        for bad in ("Key k:s", "Bearer x", "Bearer 9999999999.x.y", ""):
            reply = client.post("/files/upload", content=png(), headers=headers | {"Authorization": bad})
            assert reply.status_code == 401


def test_an_announced_upload_needs_its_link_and_content_type_but_no_key():
    with fal() as client:
        told = {"file_name": "mug.png", "content_type": "image/png"}
        told = client.post("/storage/upload/initiate", params={"storage_type": "gcs"}, json=told).json()
        put = {"trust_env": False, "content": png()}
        assert httpx.put(told["upload_url"], headers={"Content-Type": "image/webp"}, **put).status_code == 403
        assert httpx.put(told["upload_url"].partition("?")[0], **put).status_code == 403
        assert httpx.put(told["upload_url"], headers={"Content-Type": "image/png"}, **put).status_code == 200
        assert httpx.get(told["file_url"], trust_env=False).content == png()


def test_prices():
    with fal() as client:
        ask = {"endpoint_id": "fal-ai/kling-image/o1,fal-ai/nano-banana/edit"}
        rows = client.get("/v1/models/pricing", params=ask).json()["prices"]
        assert [(row["unit_price"], row["currency"]) for row in rows] == [(0.028, "USD"), (0.039, "USD")]
        assert client.get("/v1/models/pricing", params={"endpoint_id": "x/y"}).status_code == 404


# ── webhooks ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def receiver(*answers):
    """A webhook's URL, and a queue of what came in; the first requests are answered with ``answers``, then 200."""
    with kit.receiver(lambda handler, body: (handler.path, dict(handler.headers.items()), body), *answers) as (
        url,
        came,
    ):
        yield f"{url}/hook?of=me", came


def verified(client, headers, body):
    """The body of a webhook whose signature is good, checked as fal's webhooks page describes it."""
    headers = {name.lower(): value for name, value in headers.items()}
    key = client.get("/.well-known/jwks.json", headers={"Authorization": ""}).json()["keys"][0]["x"]
    parts = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    assert abs(time.time() - int(parts[2])) < 300
    message = "\n".join([*parts, hashlib.sha256(body).hexdigest()]).encode()
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    public.verify(signature, message)
    with pytest.raises(InvalidSignature):
        public.verify(signature, message + b"x")
    return json.loads(body)


def test_a_webhook_tells_the_result_and_is_signed():
    with fal() as client, receiver() as (url, came):
        submitted = submit(client, params={"fal_webhook": url})
        path, headers, body = came.get(timeout=HANGS)
        told = verified(client, headers, body)
        assert path == "/hook?of=me"
        assert (told["request_id"], told["status"]) == (submitted["request_id"], "OK")
        assert told["payload"] == client.get(submitted["response_url"]).json()


def test_a_webhook_tells_a_failure():
    with fal() as client, receiver() as (url, came):
        submit(client, {"prompt": "a mug"}, params={"fal_webhook": url})
        told = verified(client, *came.get(timeout=HANGS)[1:])
        assert (told["status"], told["error"]) == ("ERROR", "Invalid status code: 422")
        assert told["payload"]["detail"][0]["loc"] == ["body", "image_urls"]


def test_a_refused_webhook_comes_again():
    with fal() as client, receiver(500, 404) as (url, came):
        submit(client, params={"fal_webhook": url})
        bodies = [came.get(timeout=HANGS)[2] for _ in range(3)]
        assert bodies[0] == bodies[1] == bodies[2]


def test_webhooks_can_come_twice():
    with fal(switches={"webhooks.delivery": "twice"}) as client, receiver() as (url, came):
        submit(client, params={"fal_webhook": url})
        assert came.get(timeout=HANGS)[2] == came.get(timeout=HANGS)[2]


def test_webhooks_can_be_overtaken():
    late = Settings(switches={"webhooks.delivery": "late"})
    with receiver() as (url, came):
        for number in (1, 2, 3, 4):
            deliver(url, {"n": number}, {"X-N": str(number)}, settings=late)
            if number % 2 == 0:
                told = [came.get(timeout=HANGS) for _ in range(2)]
                assert [json.loads(body)["n"] for _, _, body in told] == [number, number - 1]
                assert [headers["X-N"] for _, headers, _ in told] == [str(number), str(number - 1)]


def test_webhooks_go_nowhere_but_to_this_machine(monkeypatch):
    tried = queue.Queue()
    monkeypatch.setattr(webhooks, "_send", lambda url, *_: tried.put(url) or True)
    for host in ("example.org", "192.0.2.1", "127.0.0.1.example.org", "[::1]", "localhost", "127.0.0.1"):
        deliver(f"http://{host}:9/", {}, {})
    assert {tried.get(timeout=HANGS) for _ in range(3)} == {
        f"http://{h}:9/" for h in ("[::1]", "localhost", "127.0.0.1")
    }
    deliver("http://localhost:9/last", {}, {})
    assert tried.get(timeout=HANGS) == "http://localhost:9/last"


def test_the_reply_of_the_webhooks_page_is_a_switch():
    with fal(NEVER, **switched(submit_reply="webhook")) as client:
        told = submit(client, params={"fal_webhook": "http://127.0.0.1:9/"})
        assert told == {"request_id": told["request_id"], "gateway_request_id": told["request_id"]}
        assert client.post(KLING, json=ASK, params={"fal_webhook": "example.org"}).status_code == 400
