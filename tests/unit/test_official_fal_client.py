"""fal's own Python client, unchanged, against the emulated fal over real sockets.

Its hosts are https constants of the module; they are set to the emulator's for a test. It repeats every request, the
paid one too, after a broken connection: what an unlucky moment costs its users is shown here, not repaired.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import queue
import threading
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, HTTPServer

import fal_client
import httpx
import pytest
from fakes.work import HANGS
from fal_client import client as module
from fal_client.client import FalClientHTTPError, FalClientTimeoutError
from kit import png
from PIL import Image

from pipeline.emulator import Fault, Settings, serve

# The client leaves connections open, which Python tells of whenever it happens to collect them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

KLING = "fal-ai/kling-image/o1"
ASK = {"prompt": "Put @Image1 on a table", "image_urls": ["https://example.org/mug.png"]}
KEY = "id:secret"
FAST = {"speed": 1000.0, "latency": (50.0, 90.0)}
NEVER = {"speed": 1.0, "latency": (1e6, 1e6)}


@pytest.fixture(autouse=True)
def collected():
    """What a test's clients leave behind is collected within it, and troubles no other test."""
    yield
    gc.collect()


@pytest.fixture
def fal(monkeypatch):
    """Start an emulated fal with these settings, point the client at it, and return the emulator."""
    open_ones = []

    def start(**settings):
        given = {"gateways": ("fal",), "pictures": "tiny", "key": KEY} | FAST | settings
        context = serve(Settings(**given))
        emulator = context.__enter__()
        open_ones.append(context)
        base = emulator.urls["fal"]
        for name, url in {
            "QUEUE_URL_FORMAT": base + "/",
            "RUN_URL_FORMAT": base + "/run/",
            "REST_URL": base,
            "CDN_URL": base,
        }.items():
            assert hasattr(module, name)
            monkeypatch.setattr(module, name, url)
        return emulator

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "BASE_DELAY", 0.001)  # its pauses between repetitions
    yield start
    for context in open_ones:
        context.__exit__(None, None, None)


@pytest.fixture
def client(monkeypatch):
    """The client with the right key. It leaves the connections of its uploads open; they are closed here."""
    opened = []
    make = fal_client.SyncClient._get_cdn_client
    monkeypatch.setattr(fal_client.SyncClient, "_get_cdn_client", lambda self: opened.append(make(self)) or opened[-1])
    made = fal_client.SyncClient(key=KEY)
    yield made
    for each in (made._client, *opened):
        each.close()


def is_png(url):
    with Image.open(io.BytesIO(httpx.get(url, trust_env=False).content)) as picture:
        return picture.format == "PNG"


def test_submit_status_and_result(fal, client):
    emulator = fal(**NEVER, limits={"fal": {"concurrent": 1}})
    handle = client.submit(KLING, ASK)
    assert isinstance(handle.status(), fal_client.InProgress)
    assert handle.status().logs is None
    assert handle.status(with_logs=True).logs[0]["message"]
    waiting = client.submit(KLING, ASK, priority="low", hint="a", start_timeout=3600)
    assert waiting.status() == fal_client.Queued(position=0)
    assert client.status(KLING, waiting.request_id) == fal_client.Queued(position=0)
    assert emulator.bill("fal")["requests"] == 2


def test_the_result_comes_as_the_model_gave_it(fal, client):
    fal()
    handle = client.submit(KLING, ASK | {"num_images": 2})
    result = handle.get(interval=0.001)
    done = handle.status(with_logs=True)
    assert isinstance(done, fal_client.Completed)
    assert done.error is None
    assert 49 < done.metrics["inference_time"] < 91
    assert [line["message"] for line in done.logs] == ["Started", "Finished"]
    assert client.result(KLING, handle.request_id) == result
    assert [is_png(image["url"]) for image in result["images"]] == [True, True]


def test_subscribe_tells_every_step(fal, client):
    emulator = fal()
    ids, steps = [], []
    result = client.subscribe(
        KLING, ASK, with_logs=True, interval=0.001, on_enqueue=ids.append, on_queue_update=steps.append
    )
    assert is_png(result["images"][0]["url"])
    assert isinstance(steps[-1], fal_client.Completed)
    assert {type(step) for step in steps} <= {fal_client.Queued, fal_client.InProgress, fal_client.Completed}
    assert [job["id"] for job in emulator.bill("fal")["jobs"]] == ids


def test_run_holds_the_line(fal, client):
    fal()
    assert is_png(client.run(KLING, ASK)["images"][0]["url"])
    url = client.run(KLING, ASK | {"sync_mode": True})["images"][0]["url"]
    assert url.startswith("data:image/png;base64,")


def test_cancel(fal, client):
    fal(**NEVER)
    handle = client.submit(KLING, ASK)
    handle.cancel()
    done = handle.status()
    assert isinstance(done, fal_client.Completed)
    assert done.error_type == "client_cancelled"
    with pytest.raises(FalClientHTTPError) as caught:
        handle.get()
    assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")
    with pytest.raises(FalClientHTTPError) as caught:
        client.cancel(KLING, handle.request_id)
    assert caught.value.response.json() == {"status": "ALREADY_COMPLETED"}
    with pytest.raises(FalClientHTTPError) as caught:
        client.cancel(KLING, "nobody")
    assert caught.value.response.json() == {"status": "NOT_FOUND"}


def test_a_client_timeout_cancels_the_request(fal, client, monkeypatch):
    emulator = fal(**NEVER)
    enqueued, result = threading.Event(), Future.result

    def patient(future, timeout=None):  # the timeout begins when there is a request that it can cancel
        enqueued.wait(HANGS)
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", patient)
    # Without a start timeout the client would send its own timeout as one, and refuse that for being too short.
    with pytest.warns(UserWarning, match="start_timeout"), pytest.raises(FalClientTimeoutError) as caught:
        client.subscribe(
            KLING, ASK, client_timeout=0.3, start_timeout=1.1, interval=0.01, on_enqueue=lambda _: enqueued.set()
        )
    assert emulator.account("fal").job(caught.value.request_id).cancelled


@pytest.mark.parametrize("told", ["with", "without"])
def test_a_wrong_input_shows_at_the_result(fal, client, told):
    emulator = fal(switches={"fal.completed-error": told})
    handle = client.submit(KLING, ASK | {"prompt": "x" * 2501})
    with pytest.raises(FalClientHTTPError) as caught:
        handle.get(interval=0.001)
    assert (caught.value.status_code, caught.value.error_type) == (422, "string_too_long")
    assert caught.value.message[0]["loc"] == ["body", "prompt"]
    assert handle.status().error_type == ("string_too_long" if told == "with" else None)
    assert emulator.bill("fal")["usd_micro"] == 0


def test_moderation(fal, client):
    fal()
    with pytest.raises(FalClientHTTPError) as caught:
        client.subscribe(KLING, ASK | {"prompt": "forbidden"}, interval=0.001)
    assert (caught.value.status_code, caught.value.error_type) == (422, "content_policy_violation")


def test_a_start_timeout_is_not_repeated(fal, client):
    fal(speed=1000.0, latency=(1e6, 1e6), limits={"fal": {"concurrent": 1}})
    client.submit(KLING, ASK)
    with pytest.raises(FalClientHTTPError) as caught:
        client.subscribe(KLING, ASK, start_timeout=2, interval=0.001)
    assert (caught.value.status_code, caught.value.error_type) == (504, "request_timeout")
    assert caught.value.response_headers["x-fal-request-timeout-type"] == "user"


def test_a_wrong_key_and_an_unknown_model(fal, client):
    fal()
    stranger = fal_client.SyncClient(key="other")
    with pytest.raises(FalClientHTTPError) as caught:
        stranger.submit(KLING, ASK)
    stranger._client.close()
    assert (caught.value.status_code, caught.value.error_type) == (401, "unauthorized")
    assert isinstance(caught.value.message, str)
    with pytest.raises(FalClientHTTPError) as caught:
        client.submit("fal-ai/nothing", ASK)
    assert caught.value.status_code == 404


def test_a_lost_answer_makes_the_client_pay_twice(fal, client):
    emulator = fal(faults=(Fault(at="submit", kind="reset-after", nth=(1,)),))
    assert client.subscribe(KLING, ASK, interval=0.001)["images"]
    assert emulator.bill("fal")["requests"] == 2


def test_a_429_is_waited_out(fal, client):
    emulator = fal(faults=(Fault(at="submit", kind="429", nth=(1, 2)),))
    assert client.submit(KLING, ASK).request_id
    assert emulator.bill("fal")["requests"] == 1


# ── files ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("repository", ["fal_v3", "fal"])
def test_upload(fal, client, tmp_path, repository):
    fal()
    file = tmp_path / "mug.png"
    file.write_bytes(png())
    link = client.upload_file(file, repository=repository, lifecycle=fal_client.StorageSettings(expires_in="1h"))
    assert httpx.get(link, trust_env=False).content == png()
    assert client.run(KLING, ASK | {"image_urls": [link]})["images"]


def test_an_upload_falls_back_to_the_second_way(fal, client):
    fal(faults=(Fault(at="upload", kind="status", value="500", nth=(2,)),))  # 1: the token, 2: the file
    link = client.upload(png(), "image/png", file_name="mug.png")
    assert httpx.get(link, trust_env=False).content == png()


def test_pictures_can_be_sent_as_data_uris(fal, client):
    fal()
    with Image.open(io.BytesIO(png())) as picture:
        uri = fal_client.encode_image(picture, "png")
    assert client.run(KLING, ASK | {"image_urls": [uri]})["images"]


# ── webhooks, the asynchronous client ───────────────────────────────────────────────────────────


def test_a_webhook(fal, client):
    came = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    fal()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        handle = client.submit(KLING, ASK, webhook_url=f"http://127.0.0.1:{server.server_address[1]}/")
        told = came.get(timeout=HANGS)
        thread.join()
    assert told["request_id"] == handle.request_id
    assert told["payload"] == handle.get()


def test_the_asynchronous_client(fal):
    fal()

    async def use():
        client = fal_client.AsyncClient(key=KEY)
        steps = []
        link = await client.upload(png(), "image/png", file_name="mug.png")
        result = await client.subscribe(
            KLING, ASK | {"image_urls": [link]}, interval=0.001, on_queue_update=steps.append
        )
        ran = await client.run(KLING, ASK)
        handle = await client.submit(KLING, ASK)
        same = await client.result(KLING, handle.request_id)
        await (await client._client).aclose()
        return result, ran, same, steps

    result, ran, same, steps = asyncio.run(use())
    assert all(is_png(each["images"][0]["url"]) for each in (result, ran, same))
    assert isinstance(steps[-1], fal_client.Completed)
