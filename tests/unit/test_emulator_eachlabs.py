"""The emulated Each Labs, over real sockets: what its documents promise, and what they forbid."""

import io
import json
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from fakes.work import HANGS
from kit import png, receiver
from PIL import Image

from pipeline.emulator import Fault, Settings, eachlabs_files, serve

NEVER, AT_ONCE = (3600.0, 3600.0), (0.0, 0.0)
INPUT = {"prompt": "Put @Image1 on a table", "image_urls": ["https://example.com/mug.png"]}


def given(**changes):
    """Return an input that the model's page allows; None takes a key away."""
    return {key: value for key, value in (INPUT | changes).items() if value is not None}


class Client:
    """A bare HTTP client of the emulated gateway."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.url = emulator.urls["eachlabs"]
        self.http = httpx.Client(timeout=HANGS, headers={"X-API-Key": "k"}, base_url=self.url)

    def submit(self, path="/v1/prediction", more=None, **changes):
        return self.http.post(path, json={"model": "kling-o1", "input": given(**changes), **(more or {})})

    def create(self, **changes):
        return self.submit(**changes).json()["predictionID"]

    def poll(self, name):
        return self.http.get(f"/v1/prediction/{name}").json()

    def executions(self, **query):
        return self.http.get("/v1/executions", params=query).json()

    def bill(self):
        return self.emulator.bill("eachlabs")


@contextmanager
def gateway(*, switches=None, latency=AT_ONCE, **more):
    chosen = {f"eachlabs.{name.replace('_', '-')}": choice for name, choice in (switches or {}).items()}
    settings = Settings(gateways=("eachlabs",), pictures="tiny", switches=chosen, latency=latency, **more)
    with serve(settings) as emulator:
        client = Client(emulator)
        with client.http:
            yield client


@pytest.fixture
def each():
    with gateway() as client:
        yield client


def delivered(handler, body):
    """What is remembered of a delivery."""
    assert handler.command == "POST"
    return dict(handler.headers), json.loads(body)


@pytest.mark.parametrize("path", ["/v1/prediction", "/v1/prediction/"])
def test_a_prediction_is_created_then_polled(each, path):
    reply = each.submit(path, num_images=2, output_format="webp", aspect_ratio="16:9")
    told = reply.json()
    assert reply.status_code == 200
    name = str(uuid.UUID(told["predictionID"]))
    assert told == {"status": "success", "message": "Prediction created successfully", "predictionID": name}
    done = each.poll(name)
    assert (done["id"], done["status"], done["logs"]) == (name, "success", None)
    assert done["input"] == given(num_images=2, output_format="webp", aspect_ratio="16:9")
    assert done["metrics"] == {"predict_time": 0.0, "cost": 0.056}
    assert done["urls"]["get"] == f"{each.url}/v1/prediction/{name}"
    assert len(done["output"]) == 2
    picture = httpx.get(done["output"][0])
    image = Image.open(io.BytesIO(picture.content))
    assert (picture.headers["content-type"], image.format) == ("image/webp", "WEBP")
    assert image.width / image.height == pytest.approx(16 / 9, rel=0.02)
    assert (each.bill()["requests"], each.bill()["usd_micro"]) == (1, 56_000)


@pytest.mark.parametrize(
    ("switch", "headers", "status"),
    [
        ("either", {"X-API-Key": "k"}, 200),
        ("either", {"Authorization": "Bearer k"}, 200),
        ("either", {"Authorization": "Key k"}, 401),
        ("either", {"X-API-Key": "other"}, 401),
        ("either", {}, 401),
        ("x-api-key", {"Authorization": "Bearer k"}, 401),
        ("x-api-key", {"X-API-Key": "k"}, 200),
        ("bearer", {"X-API-Key": "k"}, 401),
        ("bearer", {"Authorization": "Bearer k"}, 200),
    ],
)
def test_the_key_comes_in_the_header_of_the_document_played(switch, headers, status):
    with gateway(switches={"auth": switch}, key="k") as each:
        reply = httpx.post(f"{each.url}/v1/prediction", json={"model": "kling-o1", "input": INPUT}, headers=headers)
    assert reply.status_code == status


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": "a" * 2501}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"image_urls": None}, "image_urls"),
        ({"image_urls": []}, "image_urls"),
        ({"image_urls": ["https://example.com/a.png"] * 11}, "image_urls"),
        ({"image_urls": ["data:image/png;base64,AAAA"]}, "image_urls"),
        ({"image_urls": ["http://example.com/a.png"]}, "image_urls"),
        ({"image_urls": ["mug.png"]}, "image_urls"),
        ({"image_urls": "https://example.com/a.png"}, "image_urls"),
        ({"resolution": "1k"}, "resolution"),
        ({"num_images": 10}, "num_images"),
        ({"num_images": "2"}, "num_images"),
        ({"num_images": True}, "num_images"),
        ({"aspect_ratio": "5:4"}, "aspect_ratio"),
        ({"output_format": "jpg"}, "output_format"),
        ({"sync_mode": True}, "sync_mode"),
    ],
)
def test_a_wrong_input_is_refused_and_costs_nothing(each, changes, place):
    reply = each.submit(**changes)
    assert reply.status_code == 400
    assert place in reply.json()["error"]
    assert each.bill()["requests"] == 0


def test_the_body_is_strict_too(each):
    assert each.submit(more={"version": "0.0.1"}).status_code == 200
    assert each.submit(more={"client_id": "x"}).status_code == 400
    assert each.submit(more={"webhook_url": "somewhere"}).status_code == 400
    assert each.submit(more={"model": "kling-o2"}).status_code == 404
    assert each.http.post("/v1/prediction", content=b"{").status_code == 400
    assert each.submit(enable_safety_checker=False).status_code == 200


def test_local_references_can_be_refused():
    with gateway(switches={"localhost": "refuse"}) as each:
        for host in ("127.0.0.1", "localhost:99", "10.0.0.1"):
            assert each.submit(image_urls=[f"https://{host}/a.png"]).status_code == 400
        assert each.submit().status_code == 200


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ("current", ["created", "processing", "success", "error"]),
        ("seed", ["processing", "processing", "success", "error"]),
        ("openapi", ["starting", "processing", "success", "failed"]),
    ],
)
def test_states_have_the_words_of_the_document_played(monkeypatch, vocabulary, words):
    with gateway(switches={"status": vocabulary}, latency=NEVER) as each:
        name, bad = each.create(), each.create(prompt="forbidden")
        account = each.emulator.account("eachlabs")
        job = account.job(name)
        job.started = job.created + 10
        seen = []
        for moment in (job.created, job.started, job.finished):
            monkeypatch.setattr(account, "now", lambda moment=moment: moment)
            seen.append(each.poll(name)["status"])
        monkeypatch.setattr(account, "now", lambda: account.job(bad).finished)
        assert [*seen, each.poll(bad)["status"]] == words


def test_the_model_pages_poll_has_few_fields():
    with gateway(switches={"poll": "seed"}) as each:
        told = each.poll(each.create())
    assert set(told) == {"status", "predictionID", "output", "metrics"}
    assert set(told["metrics"]) == {"predict_time"}


def test_output_has_every_documented_shape():
    with gateway(switches={"output": "string"}) as each:
        assert isinstance(each.poll(each.create())["output"], str)
        assert len(each.poll(each.create(num_images=2))["output"]) == 2
    with gateway(switches={"output": "objects"}) as each:
        assert [set(item) for item in each.poll(each.create(num_images=2))["output"]] == [{"url"}] * 2


def test_a_failure_is_told_where_the_document_played_says():
    with gateway() as each:
        told = each.poll(each.create(prompt="forbidden"))
        assert (told["status"], told["output"]["error_code"]) == ("error", "PROVIDER_REJECTED")
        assert (told["output"]["retryable"], told["output"]["model_slug"]) == (False, "kling-o1")
    with gateway(switches={"failure": "dispatch"}) as each:
        assert set(each.poll(each.create(prompt="forbidden"))["output"]) == {"error"}
    with gateway(switches={"failure": "message"}) as each:
        told = each.poll(each.create(prompt="forbidden"))
        assert (told["output"], told["details"]) == (None, "PROVIDER_REJECTED")
        assert told["message"]


def test_errors_have_three_shapes():
    broken = {"current": {"error"}, "seed": {"status", "message", "details"}, "video": set()}
    for shape, keys in broken.items():
        with gateway(switches={"error_body": shape}) as each:
            reply = each.submit(prompt=None)
            assert (reply.status_code, set(reply.json())) == (400, keys)
            missing = each.http.get(f"/v1/prediction/{uuid.uuid4()}")
            assert (missing.status_code, set(missing.json())) == (404, keys or {"error"})


def test_the_eleventh_at_once_is_too_many():
    with gateway(latency=NEVER) as each:
        names = [each.create() for _ in range(10)]
        reply = each.submit()
        assert reply.status_code == 429
        assert reply.json()["error"] == "too many requests"
        assert "10 concurrent" in reply.json()["details"]
        assert each.http.post(f"/v1/prediction/{names[0]}/cancel").status_code == 200
        assert each.submit().status_code == 200
        assert each.bill()["rejected_concurrency"] == 1


def test_the_hundred_and_first_create_of_a_minute_is_too_many(each):
    assert {each.submit().status_code for _ in range(100)} == {200}
    reply = each.submit()
    assert (reply.status_code, reply.json()["status"]) == (429, 429)
    assert "100 prediction creates" in reply.json()["details"]


def test_an_empty_balance_has_its_own_text():
    with gateway(faults=(Fault("submit", "status", nth=(1,), value="402"),)) as each:
        reply = each.submit()
    assert (reply.status_code, reply.json()["status"], reply.json()["error"]) == (402, 402, "insufficient balance")
    assert "balance" in reply.json()["details"]


def test_what_is_cancelled_is_not_billed():
    with gateway(latency=NEVER) as each:
        name = each.create()
        reply = each.http.post(f"/v1/prediction/{name}/cancel")
        assert reply.json() == {
            "status": "cancelled",
            "message": "Prediction canceled successfully",
            "predictionID": name,
        }
        assert (each.poll(name)["status"], each.bill()["usd_micro"]) == ("cancelled", 0)
        assert each.http.post(f"/v1/prediction/{name}/cancel").status_code == 400


@pytest.mark.parametrize("status", ["404", "500"])
def test_cancelling_the_unknown_has_two_documented_replies(status):
    with gateway(switches={"cancel_unknown": status, "cancel": "success"}, latency=NEVER) as each:
        assert each.http.post(f"/v1/prediction/{uuid.uuid4()}/cancel").status_code == int(status)
        assert each.http.post(f"/v1/prediction/{each.create()}/cancel").json()["status"] == "success"


def test_a_finished_prediction_stays_as_it_is(each):
    name = each.create()
    assert each.http.post(f"/v1/prediction/{name}/cancel").status_code == 400
    assert each.poll(name)["status"] == "success"


def test_running_at_once_is_a_switch():
    with gateway() as each:
        assert each.submit("/v1/prediction/run").status_code == 404
        assert each.bill()["requests"] == 0
    with gateway(switches={"run": "supported"}, latency=(0.1, 0.1)) as each:
        told = each.submit("/v1/prediction/run").json()
        assert (told["status"], len(told["output"]), told["error"]) == ("success", 1, "")
        told = each.submit("/v1/prediction/run", prompt="forbidden").json()
        assert (told["status"], told["output"]) == ("failed", None)
        assert told["error"]


def test_the_webhook_has_the_secret_and_its_own_words():
    with gateway() as each, receiver(delivered) as (url, news):
        name = each.create(more={"webhook_url": url, "webhook_secret": "s3"})
        headers, told = news.get(timeout=HANGS)
        assert headers["X-Webhook-Secret"] == "s3"
        output = each.poll(name)["output"]
        assert told == {"exec_id": name, "flow_id": None, "status": "succeeded", "output": output, "error": ""}
        name = each.create(more={"webhook_url": url}, prompt="forbidden")
        headers, told = news.get(timeout=HANGS)
        assert "X-Webhook-Secret" not in headers
        assert (told["exec_id"], told["status"], told["error"]) == (name, "failed", "")
        assert told["output"][0]["error"].startswith("Error: ")


def test_a_cancelled_prediction_tells_nobody():
    with gateway(latency=NEVER) as each, receiver(delivered) as (url, news):
        quiet = each.create(more={"webhook_url": url})
        each.http.post(f"/v1/prediction/{quiet}/cancel")
        loud = each.create(more={"webhook_url": url})
        each.emulator.account("eachlabs").job(loud).finished = 0.0
        assert news.get(timeout=HANGS)[1]["exec_id"] == loud
        assert news.empty()


def presigned(each, **changes):
    return each.http.post("/v1/upload/presign", json={"content_type": "image/png", "file_type": "image", **changes})


def test_a_file_is_uploaded_read_used_and_deleted(each):
    told = presigned(each, expires_in_seconds=86400).json()
    assert set(told) == {"id", "presigned_url", "public_url", "expires_at", "required_headers"}
    assert told["public_url"].endswith(".png")
    assert httpx.put(told["presigned_url"], content=png(), headers=told["required_headers"]).status_code == 200
    read = httpx.get(told["public_url"])
    assert (read.content, read.headers["content-type"]) == (png(), "image/png")
    assert each.poll(each.create(image_urls=[told["public_url"]]))["status"] == "success"
    assert each.http.delete(f"/v1/files/{told['id']}").status_code == 204
    assert httpx.get(told["public_url"]).status_code == 404
    assert each.http.delete(f"/v1/files/{told['id']}").status_code == 204


def test_an_upload_needs_every_header_and_the_signature(each):
    told = presigned(each).json()
    needed = told["required_headers"]
    assert len(needed) == 2
    for name in needed:
        headers = {key: value for key, value in needed.items() if key != name}
        assert httpx.put(told["presigned_url"], content=png(), headers=headers).status_code == 403
    wrong = {**needed, "Content-Type": "image/jpeg"}
    assert httpx.put(told["presigned_url"], content=png(), headers=wrong).status_code == 403
    assert httpx.put(told["presigned_url"][:-1], content=png(), headers=needed).status_code == 403
    assert httpx.get(told["public_url"]).status_code == 404


def test_a_link_to_upload_to_lives_fifteen_minutes(each, monkeypatch):
    told = presigned(each).json()
    late = datetime.now(UTC).timestamp() + 901
    monkeypatch.setattr(eachlabs_files, "now", lambda: late)
    assert httpx.put(told["presigned_url"], content=png(), headers=told["required_headers"]).status_code == 403


@pytest.mark.parametrize(
    "changes", [{"content_type": None}, {"content_type": "png"}, {"expires_in_seconds": 59}, {"name": "mug.png"}]
)
def test_a_wrong_presign_is_refused(each, changes):
    assert presigned(each, **changes).status_code == 400


def test_a_file_that_never_came_fails_the_prediction_for_nothing(each):
    told = each.poll(each.create(image_urls=[presigned(each).json()["public_url"]]))
    assert told["output"]["error_code"] == "INPUT_DOWNLOAD_ERROR"
    assert each.bill()["usd_micro"] == 0


def test_deleting_the_unknown_has_two_documented_replies():
    for status in (204, 404):
        with gateway(switches={"delete_unknown": str(status)}) as each:
            assert each.http.delete(f"/v1/files/{uuid.uuid4()}").status_code == status


def test_executions_tell_everything_but_the_input(each):
    names = [each.create() for _ in range(3)]
    told = each.executions()
    assert [item["id"] for item in told["executions"]] == names[::-1]
    assert {key: told[key] for key in ("total_count", "total_capped", "offset", "limit")} == {
        "total_count": 3,
        "total_capped": False,
        "offset": 0,
        "limit": 50,
    }
    keys = {"id", "model", "status", "execution_cost", "run_time", "created_at", "started_at", "completed_at", "output"}
    assert set(told["executions"][0]) == keys
    assert told["executions"][0]["output"] == each.poll(names[-1])["output"]
    assert told["executions"][0]["execution_cost"] == 0.028


def test_executions_are_paged_and_filtered(each):
    names = [each.create() for _ in range(3)] + [each.create(prompt="forbidden")]

    def found(**query):
        return [names.index(item["id"]) for item in each.executions(**query)["executions"]]

    assert found(limit=2, offset=1) == [2, 1]
    assert found(status="error") == found(error_classification="content_moderation") == [3]
    assert found(status="success", limit=1) == [2]
    assert found(model="kling-o1") == [3, 2, 1, 0]
    assert found(model="flux") == []
    wall = each.emulator.account("eachlabs").job(names[2]).wall
    shown = each.executions(limit=1, offset=1)["executions"][0]["created_at"]
    assert found(**{"from": shown}) == found(**{"from": shown.replace("Z", "+00:00")}) == [3, 2]
    assert found(**{"from": f"{wall:.6f}"}) == [3, 2]
    assert found(to=shown) == [2, 1, 0]
    assert found(to=int(wall) - 60) == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"offset": -1}, {"from": "today"}, {"client": "x"}])
def test_a_wrong_query_of_executions_is_refused(each, query):
    assert each.http.get("/v1/executions", params=query).status_code == 400


def test_unfinished_executions_have_no_output():
    with gateway(latency=NEVER) as each:
        each.create()
        (item,) = each.executions()["executions"]
        assert (item["output"], item["completed_at"]) == (None, None)
        assert item["status"] in ("created", "starting")


def test_a_request_id_comes_back(each):
    assert each.http.get("/v1/executions", headers={"X-Request-Id": "r1"}).headers["x-request-id"] == "r1"
    assert each.http.get("/v1/executions").headers["x-request-id"]
    assert each.http.get("/v1/nothing").status_code == 404


def test_a_lost_answer_is_billed_and_found_among_the_executions():
    with gateway(faults=(Fault("submit", "reset-after", nth=(1,)),)) as each:
        with pytest.raises(httpx.TransportError):
            each.submit(image_urls=["https://example.com/mug.png?row=12"])
        (item,) = each.executions(model="kling-o1")["executions"]
        assert each.poll(item["id"])["input"]["image_urls"] == ["https://example.com/mug.png?row=12"]
        assert each.bill()["requests"] == 1
