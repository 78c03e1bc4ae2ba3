"""The emulated Runware, over real sockets: what its documents promise, and what they forbid."""

import base64
import io
import threading
import uuid
from contextlib import contextmanager

import httpx
import pytest
from fakes.work import HANGS
from kit import png, receiver
from PIL import Image

from pipeline.emulator import Fault, Settings, serve

NEVER, AT_ONCE = (3600.0, 3600.0), (0.0, 0.0)


def task(**changes):
    """Return a task that the model's page allows; None takes a key away."""
    default = {
        "taskType": "imageInference",
        "taskUUID": str(uuid.uuid4()),
        "model": "klingai:kling-image@o1",
        "positivePrompt": "A mug on a table",
        "width": 1024,
        "height": 1024,
        "deliveryMethod": "async",
    }
    return {key: value for key, value in (default | changes).items() if value is not None}


class Client:
    """A bare HTTP client of the emulated gateway."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.url = emulator.urls["runware"]
        self.http = httpx.Client(timeout=HANGS)

    def post(self, *tasks, key="k", **more):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self.http.post(f"{self.url}/v1", headers=headers, **({"json": list(tasks)} | more))

    def poll(self, job, kind="getResponse"):
        return self.post({"taskType": kind, "taskUUID": job["taskUUID"]}).json()

    def code(self, *tasks, status=400):
        reply = self.post(*tasks)
        assert reply.status_code == status, reply.text
        return reply.json()["errors"][0]["code"]

    def bill(self):
        return self.emulator.bill("runware")


@contextmanager
def gateway(*, switches=None, latency=AT_ONCE, **more):
    chosen = {f"runware.{name.replace('_', '-')}": choice for name, choice in (switches or {}).items()}
    settings = Settings(gateways=("runware",), pictures="tiny", switches=chosen, latency=latency, **more)
    with serve(settings) as emulator:
        client = Client(emulator)
        with client.http:
            yield client


@pytest.fixture
def runware():
    with gateway() as client:
        yield client


def delivered(handler, body):
    """What is remembered of a delivery."""
    return handler.command, handler.path, body


def test_an_async_task_is_acknowledged_then_polled(runware):
    asked = task(includeCost=True, numberResults=2)
    reply = runware.post(asked)
    assert (reply.status_code, reply.json()) == (
        200,
        {"data": [{"taskType": "imageInference", "taskUUID": asked["taskUUID"]}]},
    )
    told = runware.poll(asked)
    assert set(told) == {"data"}
    first, second = told["data"]
    assert set(first) == {"taskType", "taskUUID", "status", "imageUUID", "imageURL", "seed", "cost"}
    assert (first["status"], first["cost"]) == ("success", 0.028)
    assert first["imageUUID"] != second["imageUUID"]
    assert first["seed"] != second["seed"]
    assert uuid.UUID(first["imageUUID"]).version == 4
    picture = runware.http.get(first["imageURL"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    assert runware.poll(asked) == told
    assert (runware.bill()["pictures"], runware.bill()["usd_micro"]) == (2, 56_000)


def test_a_sync_task_holds_its_results_and_no_status():
    with gateway(latency=(0.2, 0.2)) as runware:
        asked = task(deliveryMethod=None, outputFormat="PNG")
        (item,) = runware.post(asked).json()["data"]
    assert set(item) == {"taskType", "taskUUID", "imageUUID", "imageURL", "seed"}
    assert ".png?" in item["imageURL"]


@pytest.mark.parametrize(
    ("kind", "key", "start"),
    [("base64Data", "imageBase64Data", ""), ("dataURI", "imageDataURI", "data:image/webp;base64,")],
)
def test_pictures_come_inline_when_asked_for(runware, kind, key, start):
    asked = task(deliveryMethod="sync", outputType=kind, outputFormat="WEBP", width=1360, height=768)
    (item,) = runware.post(asked).json()["data"]
    assert "imageURL" not in item
    assert item[key].startswith(start)
    image = Image.open(io.BytesIO(base64.b64decode(item[key].removeprefix(start))))
    assert (image.format, image.width > image.height) == ("WEBP", True)


def test_results_come_one_after_the_other(monkeypatch):
    with gateway(latency=NEVER) as runware:
        asked = task(numberResults=4)
        runware.post(asked)
        account = runware.emulator.account("runware")
        job = account.job(asked["taskUUID"])
        half = job.started + (job.finished - job.started) * 0.5
        monkeypatch.setattr(account, "now", lambda: half)
        told = runware.poll(asked)["data"]
        assert [item["status"] for item in told] == ["success", "success", "processing", "processing"]
        assert 0 < told[3]["progress"] < 100
        monkeypatch.setattr(account, "now", lambda: job.finished)
        later = runware.poll(asked)["data"]
        assert later[:2] == told[:2]
        assert [item["status"] for item in later] == ["success"] * 4


def test_a_uuid_is_good_for_one_task(runware):
    asked = task()
    runware.post(asked)
    reply = runware.post(asked)
    assert reply.status_code == 400
    (error,) = reply.json()["errors"]
    assert reply.json()["data"] == []
    assert (error["code"], error["taskUUID"], error["parameter"]) == ("conflictTaskUUID", asked["taskUUID"], "taskUUID")
    assert runware.bill()["requests"] == 1


def test_a_uuid_sent_twice_at_once_makes_one_task(runware):
    asked, gate, replies = task(), threading.Barrier(8), []

    def send():
        gate.wait()
        replies.append(httpx.post(f"{runware.url}/v1", json=[asked], headers={"Authorization": "Bearer k"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies) == [200] + [400] * 7
    assert runware.bill()["requests"] == 1


@pytest.mark.parametrize(("choice", "status"), [("free", 200), ("consumed", 400)])
def test_whether_a_refused_uuid_is_spent_is_a_switch(choice, status):
    with gateway(switches={"refused_uuid": choice}) as runware:
        asked = task(width=1)
        assert runware.code(asked) == "unsupportedDimensions"
        assert runware.post({**asked, "width": 1024}).status_code == status


MUG = f"data:image/png;base64,{base64.b64encode(png()).decode()}"


@pytest.mark.parametrize(
    ("changes", "code", "parameter"),
    [
        ({"taskUUID": "abc"}, "invalidTaskUUID", "taskUUID"),
        ({"taskUUID": "a44e0ce3-9497-11e3-ba6a-54680e72f9e1"}, "invalidTaskUUID", "taskUUID"),
        ({"taskUUID": None}, "missingTaskUUID", "taskUUID"),
        ({"model": "klingai:kling@o1"}, "invalidModel", "model"),
        ({"positivePrompt": None}, "missingPositivePrompt", "positivePrompt"),
        ({"positivePrompt": "ab"}, "invalidPositivePrompt", "positivePrompt"),
        ({"positivePrompt": "a" * 2501}, "invalidPositivePrompt", "positivePrompt"),
        ({"width": 1080, "height": 1080}, "unsupportedDimensions", ["width", "height"]),
        ({"width": 832, "height": 832}, "unsupportedDimensions", ["width", "height"]),
        ({"height": None}, "incompatibleParameters", ["width", "height"]),
        ({"resolution": "1k"}, "incompatibleParameters", ["resolution", "width", "height"]),
        ({"resolution": "1k", "width": None, "height": None}, "missingInputs", "inputs.referenceImages"),
        ({"width": None, "height": None, "inputs": {"referenceImages": []}}, "missingInputs", "inputs.referenceImages"),
        ({"numberResults": 21}, "invalidNumberResults", "numberResults"),
        ({"numberResults": "2"}, "invalidNumberResults", "numberResults"),
        ({"outputFormat": "png"}, "invalidOutputFormat", "outputFormat"),
        ({"outputQuality": 100}, "invalidOutputQuality", "outputQuality"),
        ({"ttl": 59}, "invalidTtl", "ttl"),
        ({"deliveryMethod": "stream"}, "invalidDeliveryMethod", "deliveryMethod"),
        ({"seed": 1}, "unknownParameter", "seed"),
        ({"routing": {}}, "unknownParameter", "routing"),
        ({"inputs": {"images": []}}, "unknownParameter", "inputs.images"),
        ({"safety": {"mode": "full"}}, "invalidMode", "safety.mode"),
        ({"inputs": {"referenceImages": [MUG] * 11}}, "invalidReferenceImages", "inputs.referenceImages"),
        ({"inputs": {"referenceImages": ["mug.png"]}}, "invalidReferenceImages", "inputs.referenceImages"),
        (
            {"inputs": {"referenceImages": ["data:image/png;base64,AAAA"]}},
            "invalidReferenceImages",
            "inputs.referenceImages",
        ),
        ({"inputs": {"referenceImages": [str(uuid.uuid4())]}}, "invalidReferenceImages", "inputs.referenceImages"),
    ],
)
def test_a_wrong_task_is_refused_and_costs_nothing(runware, changes, code, parameter):
    asked = task(**changes)
    reply = runware.post(asked)
    assert reply.status_code == 400
    (error,) = reply.json()["errors"]
    assert (error["code"], error["parameter"], error["taskType"]) == (code, parameter, "imageInference")
    assert error.get("taskUUID") == asked.get("taskUUID")
    assert error["documentation"].startswith("https://runware.ai/docs/models/klingai-image-o1#request-")
    assert runware.bill()["requests"] == 0


@pytest.mark.parametrize("size", [(1552, 656), (3104, 1312), (832, 1248), (2336, 1760)])
def test_sizes_of_the_table_are_taken_with_and_without_references(runware, size):
    asked = {"width": size[0], "height": size[1]}
    assert runware.post(task(**asked), task(**asked, inputs={"referenceImages": [MUG]})).status_code == 200
    assert runware.bill()["requests"] == 2


def test_references_come_in_every_documented_form(runware):
    upload = {"taskType": "mediaStorage", "taskUUID": str(uuid.uuid4()), "operation": "upload", "media": MUG}
    (stored,) = runware.post(upload).json()["data"]
    assert runware.http.get(stored["mediaURL"]).content == png()
    forms = ["https://example.com/a.png", f"{runware.url}/x.png", MUG, MUG.partition(",")[2], stored["mediaUUID"]]
    asked = task(width=None, height=None, resolution="2k", inputs={"referenceImages": forms}, deliveryMethod="sync")
    (item,) = runware.post(asked).json()["data"]
    again = task(width=None, height=None, inputs={"referenceImages": [item["imageUUID"]]})
    assert runware.post(again).status_code == 200


def test_stored_media_can_be_deleted_once(runware):
    upload = {"taskType": "mediaStorage", "taskUUID": str(uuid.uuid4()), "operation": "upload", "media": MUG}
    (stored,) = runware.post(upload).json()["data"]
    delete = {**upload, "operation": "delete", "media": stored["mediaUUID"]}
    (gone,) = runware.post(delete).json()["data"]
    assert (gone["operation"], gone["mediaUUID"]) == ("delete", stored["mediaUUID"])
    assert runware.http.get(stored["mediaURL"]).status_code == 404
    assert runware.code(delete, status=404) == "mediaNotFound"
    assert runware.code({**upload, "media": "no picture"}) == "invalidMedia"


@pytest.mark.parametrize("shape", ["array", "object"])
def test_image_upload_answers_in_both_documented_shapes(shape):
    with gateway(switches={"image_upload": shape}) as runware:
        told = runware.post({"taskType": "imageUpload", "taskUUID": str(uuid.uuid4()), "image": MUG}).json()["data"]
    item = told[0] if shape == "array" else told
    assert set(item) == {"taskType", "taskUUID", "imageUUID", "imageURL"}


def test_good_and_bad_tasks_share_a_reply(runware):
    good, bad = task(deliveryMethod="sync"), task(positivePrompt="")
    reply = runware.post(bad, good)
    assert reply.status_code == 200
    assert [item["taskUUID"] for item in reply.json()["data"]] == [good["taskUUID"]]
    assert [error["taskUUID"] for error in reply.json()["errors"]] == [bad["taskUUID"]]


@pytest.mark.parametrize("body", ["{}", "[]", "[1]", "no", '{"taskType": "ping"}'])
def test_only_arrays_of_tasks_are_read(runware, body):
    reply = runware.post(json=None, content=body)
    assert reply.status_code == 400
    (error,) = reply.json()["errors"]
    assert set(error) == {"code", "message"}


def test_the_key_is_in_the_header_or_in_a_first_task():
    with gateway(key="right") as runware:
        assert runware.post(task(), key="right").status_code == 200
        first = {"taskType": "authentication", "apiKey": "right"}
        assert len(runware.post(first, task(), key=None).json()["data"]) == 1
        assert runware.post(first, key=None).json()["data"][0]["connectionSessionUUID"]
        for key, code in (("wrong", "invalidApiKey"), (None, "missingApiKey")):
            reply = runware.post(task(), key=key)
            (error,) = reply.json()["errors"]
            assert (reply.status_code, error["code"], error["parameter"]) == (401, code, "apiKey")
        assert runware.post({**first, "apiKey": "wrong"}, task(), key="right").status_code == 401


def test_unknown_tasks_and_places_are_named(runware):
    assert runware.code({"taskType": "imagine"}) == "invalidTaskType"
    assert runware.code({"taskUUID": "x"}) == "missingTaskType"
    assert runware.http.post(f"{runware.url}/v2", json=[]).status_code == 404
    assert runware.http.get(f"{runware.url}/v1").status_code == 405
    assert runware.post({"taskType": "ping", "ping": True}).json() == {"data": [{"taskType": "ping", "pong": True}]}


def test_an_unknown_uuid_is_not_found_or_has_no_data():
    with gateway() as runware:
        assert runware.code({"taskType": "getResponse", "taskUUID": str(uuid.uuid4())}, status=404) == "taskNotFound"
        assert runware.code({"taskType": "getTaskDetails", "taskUUID": str(uuid.uuid4())}, status=404) == "taskNotFound"
        assert runware.code({"taskType": "getResponse"}) == "missingTaskUUID"
    with gateway(switches={"unknown_task": "empty"}) as runware:
        assert runware.poll(task()) == {"data": []}


def test_task_details_have_what_was_asked_and_answered(runware):
    asked = task()
    runware.post(asked)
    (told,) = runware.poll(asked, "getTaskDetails")["data"]
    assert told["taskType"] == "getTaskDetails"
    assert told["request"] == [asked]
    assert told["response"]["data"][0]["imageURL"] == runware.poll(asked)["data"][0]["imageURL"]


def test_a_moderated_task_fails_in_both_documented_places():
    asked = task(positivePrompt="a forbidden mug")
    with gateway() as runware:
        assert runware.post(asked).status_code == 200
        told = runware.poll(asked)
        (error,) = told["errors"]
        assert told["data"] == []
        assert (error["code"], error["status"]) == ("providerContentPolicyViolation", "error")
        (details,) = runware.poll(asked, "getTaskDetails")["data"]
        assert details["response"]["errors"][0]["code"] == error["code"]
        assert runware.code(task(positivePrompt="forbidden", deliveryMethod="sync")) == error["code"]
    with gateway(switches={"errors": "item"}) as runware:
        runware.post(asked)
        (item,) = runware.poll(asked)["data"]
        assert (item["status"], item["error"]["code"]) == ("error", "providerContentPolicyViolation")


def test_a_check_tells_what_it_found(runware):
    def flag(prompt, **safety):
        (item,) = runware.post(task(positivePrompt=prompt, safety=safety, deliveryMethod="sync")).json()["data"]
        return item.get("NSFWContent")

    assert flag("a mug", checkContent=True) is False
    assert flag("an nsfw mug", mode="fast") is True
    assert flag("an nsfw mug", checkContent=False) is None


def test_switches_change_the_shape_of_replies():
    chosen = {"ack": "empty", "empty_errors": "list", "cost": "always", "result_index": "zero", "in_flight": "pending"}
    with gateway(switches=chosen) as runware:
        asked = task(numberResults=2)
        assert runware.post(asked).json() == {"data": [], "errors": []}
        assert [(item["resultIndex"], item["cost"]) for item in runware.poll(asked)["data"]] == [(0, 0.028), (1, 0.028)]
    with gateway(switches=chosen, latency=NEVER) as runware:
        runware.post(asked)
        assert {item["status"] for item in runware.poll(asked)["data"]} == {"pending"}


@pytest.mark.parametrize(("choice", "taken"), [("either", "1k 2K"), ("lower", "1k"), ("upper", "2K")])
def test_the_case_of_the_resolution_is_a_switch(choice, taken):
    with gateway(switches={"resolution": choice, "parameters": "sdk"}) as runware:
        for resolution in ("1k", "2K"):
            asked = task(width=None, height=None, resolution=resolution, inputs={"referenceImages": [MUG]}, routing={})
            assert runware.post(asked).is_success == (resolution in taken.split())


def test_local_references_can_be_refused():
    with gateway(switches={"localhost": "refuse"}) as runware:
        asked = task(inputs={"referenceImages": [f"{runware.url}/x.png"]})
        assert runware.code(asked) == "invalidReferenceImages"


def test_a_link_lives_as_long_as_was_asked(runware):
    short, usual = task(ttl=60), task()
    runware.post(short, usual)
    ends = [int(httpx.URL(runware.poll(each)["data"][0]["imageURL"]).params["expires"]) for each in (short, usual)]
    assert 86_400 - 60 - 5 < ends[1] - ends[0] <= 86_400 - 60 + 5
    job = runware.emulator.account("runware").job(short["taskUUID"])
    link = runware.poll(short)["data"][0]["imageURL"]
    assert runware.http.get(link).status_code == 200
    job.wall -= 61
    assert runware.http.get(link).status_code == 403


@pytest.mark.parametrize("envelope", ["flat", "data"])
def test_every_result_is_told_to_the_webhook(envelope):
    with gateway(switches={"webhook": envelope}) as runware, receiver(delivered) as (url, news):
        asked = task(numberResults=2, webhookURL=f"{url}/hook?secret=s", deliveryMethod="sync")
        assert set(runware.post(asked).json()["data"][0]) == {"taskType", "taskUUID"}
        told = [
            httpx.Response(200, content=body).json()
            for _, _, body in (news.get(timeout=HANGS), news.get(timeout=HANGS))
        ]
        items = told if envelope == "flat" else [each["data"][0] for each in told]
        known = {item["imageUUID"] for item in runware.poll(asked)["data"]}
    assert {item["imageUUID"] for item in items} == known


def test_a_failure_is_told_to_the_webhook_once():
    with gateway() as runware, receiver(delivered) as (url, news):
        runware.post(task(numberResults=3, webhookURL=f"{url}/a", positivePrompt="forbidden"))
        runware.post(task(webhookURL=f"{url}/b"))
        told = [news.get(timeout=HANGS), news.get(timeout=HANGS)]
        assert sorted(path for _, path, _ in told) == ["/a", "/b"]
        assert b"providerContentPolicyViolation" in next(body for _, path, body in told if path == "/a")


def test_pictures_are_put_to_the_upload_endpoint():
    with gateway() as runware, receiver(delivered) as (url, news):
        asked = task(uploadEndpoint=f"{url}/bucket/a.jpg?signature=x")
        runware.post(asked)
        method, path, body = news.get(timeout=HANGS)
        (item,) = runware.poll(asked)["data"]
        assert (method, path) == ("PUT", "/bucket/a.jpg?signature=x")
        assert body == runware.http.get(item["imageURL"]).content


def test_the_account_tells_its_balance(runware):
    runware.post(task())
    ask = {"taskType": "accountManagement", "taskUUID": str(uuid.uuid4()), "operation": "getDetails"}
    (told,) = runware.post(ask).json()["data"]
    assert told["balance"]["amount"] == pytest.approx(1000 - 0.028)


def test_limits_and_faults_have_runwares_errors():
    with gateway(latency=NEVER, limits={"runware": {"concurrent": 1}}) as runware:
        runware.post(task())
        assert runware.code(task(), status=429) == "rateLimitExceeded"
        runware.emulator.faults("runware", [Fault("submit", "status", every=1, value="402")])
        assert runware.code(task(), status=402) == "insufficientCredits"


def test_a_lost_answer_is_found_under_its_uuid():
    with gateway(faults=(Fault("submit", "reset-after", nth=(1,)),)) as runware:
        asked = task()
        with pytest.raises(httpx.TransportError):
            runware.post(asked)
        assert runware.code(asked) == "conflictTaskUUID"
        assert runware.poll(asked)["data"][0]["status"] == "success"
        assert runware.bill()["requests"] == 1
