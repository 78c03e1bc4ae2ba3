"""Runware's official Python client (the package ``runware-sdk``) against the emulator, by HTTP and by WebSocket.

The client looks models up at Runware's schema service whenever ``taskType`` is not given, or the model is given by
its short name; every task here names both in full, so that it calls nothing but the emulator, and its session takes
no other host.
"""

import asyncio
import base64
import io
import uuid
from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.metadata import version

import aiohttp
import pytest
import websockets
from kit import png
from PIL import Image
from runware import Runware, RunwareError
from runware.types.sdk import RunOptions, RuntimeDependencies

from pipeline.emulator import Fault, Settings, serve

MUG = f"data:image/png;base64,{base64.b64encode(png()).decode()}"


def task(**changes):
    """Return a task in the client's terms; it adds a UUID, and makes delivery asynchronous."""
    default = {
        "taskType": "imageInference",
        "model": "klingai:kling-image@o1",
        "positivePrompt": "A mug on a table",
        "width": 1024,
        "height": 1024,
    }
    return {key: value for key, value in (default | changes).items() if value is not None}


class OnlyHere(aiohttp.TCPConnector):
    """Connections to this machine, and to no other."""

    async def connect(self, req, *args, **kwargs):
        assert req.url.host == "127.0.0.1", f"a call to {req.url.host}"
        return await super().connect(req, *args, **kwargs)


TRANSPORT = ContextVar("transport", default="rest")


@pytest.fixture(autouse=True, params=["rest", "websocket"])
def transport(request):
    """Every conversation is held by both transports."""
    before = TRANSPORT.set(request.param)
    yield request.param
    TRANSPORT.reset(before)


async def connect_here(url):
    assert url.startswith("ws://127.0.0.1:"), f"a call to {url}"
    return await websockets.connect(url, proxy=None)


by_rest = pytest.mark.parametrize("transport", ["rest"], indirect=True)
by_websocket = pytest.mark.parametrize("transport", ["websocket"], indirect=True)


@asynccontextmanager
async def client(emulator, *, key="k", **config):
    async with aiohttp.ClientSession(connector=OnlyHere()) as session:
        base = f"{emulator.urls['runware']}/v1"
        urls = {"http_base_url": base, "ws_base_url": base.replace("http:", "ws:")}
        config = {"retry_delay": 1, "transport": TRANSPORT.get()} | urls | config
        dependencies = RuntimeDependencies(session=session, ws_connect=connect_here)
        async with Runware(api_key=key, dependencies=dependencies, **config) as runware:
            yield runware


def talk(conversation, *, settings=None, **config):
    """Hold a conversation (a coroutine function of the client and the emulator), and return what comes of it."""

    async def hold(emulator):
        async with client(emulator, **config) as runware:
            return await asyncio.wait_for(conversation(runware, emulator), 60)

    chosen = {"gateways": ("runware",), "pictures": "tiny", "latency": (0.0, 0.0)} | (settings or {})
    with serve(Settings(**chosen)) as emulator:
        return asyncio.run(hold(emulator))


async def read(url):
    async with aiohttp.ClientSession(connector=OnlyHere()) as session, session.get(url) as reply:
        return reply.content_type, await reply.read()


def test_the_package_is_the_newer_one():
    """Both packages install a module ``runware``; the older one would shadow the client that is meant."""
    assert int(version("runware-sdk").partition(".")[0]) >= 1


def test_it_makes_pictures_and_reads_their_price():
    async def conversation(runware, emulator):
        told = await runware.run(task(numberResults=3, includeCost=True, outputFormat="PNG"))
        return told, await read(told[0]["imageURL"]), emulator.bill("runware")

    told, (kind, data), bill = talk(conversation)
    assert len({item["imageUUID"] for item in told}) == 3
    assert [item["cost"] for item in told] == [0.028] * 3
    assert (kind, Image.open(io.BytesIO(data)).format) == ("image/png", "PNG")
    assert (bill["requests"], bill["pictures"], bill["usd_micro"]) == (1, 3, 84_000)


def test_it_waits_for_a_synchronous_task():
    async def conversation(runware, _):
        return await runware.run(task(deliveryMethod="sync", outputType="dataURI"))

    (item,) = talk(conversation, settings={"latency": (0.1, 0.1)})
    assert item["imageDataURI"].startswith("data:image/jpeg;base64,")


def test_it_polls_until_inline_pictures_are_there():
    async def conversation(runware, _):
        return await runware.run(task(outputType="base64Data"))

    (item,) = talk(conversation)
    assert Image.open(io.BytesIO(base64.b64decode(item["imageBase64Data"]))).format == "JPEG"


def test_it_sees_results_as_they_come():
    seen, progress = [], []

    async def conversation(runware, _):
        options = RunOptions(on_result=seen.append, on_progress=progress.append)
        return await runware.run(task(numberResults=2), options)

    told = talk(conversation, settings={"latency": (2.4, 2.4)})
    assert seen == told
    assert progress
    assert all(item["status"] == "processing" for item in progress)


def test_it_takes_references_stored_before():
    async def conversation(runware, _):
        (stored,) = await runware.media_storage({"operation": "upload", "media": MUG})
        asked = task(width=None, height=None, resolution="2k", inputs={"referenceImages": [stored["mediaUUID"], MUG]})
        told = await runware.run(asked)
        (gone,) = await runware.media_storage({"operation": "delete", "media": stored["mediaUUID"]})
        return told, stored, gone

    told, stored, gone = talk(conversation)
    assert told[0]["imageURL"]
    assert gone["mediaUUID"] == stored["mediaUUID"]


def test_it_uploads_a_picture_the_old_way():
    async def conversation(runware, _):
        return await runware.image_upload({"image": MUG})

    (item,) = talk(conversation)
    assert set(item) == {"taskType", "taskUUID", "imageUUID", "imageURL"}


@pytest.mark.parametrize("errors", ["envelope", "item"])
def test_it_raises_what_moderation_refused(errors):
    async def conversation(runware, _):
        with pytest.raises(RunwareError) as caught:
            await runware.run(task(positivePrompt="a forbidden mug"))
        return caught.value

    error = talk(conversation, settings={"switches": {"runware.errors": errors}})
    assert (error.code, error.retryable) == ("safety", False)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [({"width": 1080, "height": 1080}, "width"), ({"positivePrompt": "a"}, "positivePrompt"), ({"seed": 7}, "seed")],
)
def test_it_raises_what_validation_refused(changes, parameter, transport):
    async def conversation(runware, emulator):
        with pytest.raises(RunwareError) as caught:
            await runware.run(task(**changes))
        return caught.value, emulator.bill("runware")

    error, bill = talk(conversation)
    status = 400 if transport == "rest" else None  # a message has none
    assert (error.code, error.status_code, error.parameter) == ("validation", status, parameter)
    assert bill["requests"] == 0


@by_rest
def test_it_raises_a_wrong_key():
    async def conversation(runware, _):
        with pytest.raises(RunwareError) as caught:
            await runware.run(task())
        return caught.value

    error = talk(conversation, settings={"key": "right"}, key="wrong")
    assert (error.code, error.status_code) == ("auth", 401)


@by_websocket
def test_it_can_not_connect_with_a_wrong_key():
    async def conversation(runware, _):
        raise AssertionError("it connected")

    with pytest.raises(RunwareError) as caught:
        talk(conversation, settings={"key": "right"}, key="wrong")
    assert caught.value.code == "auth"


@by_websocket
def test_it_connects_again_and_gets_what_it_lost():
    """It comes back with its session, sends the task again, and takes the conflict for the acceptance that it is."""

    async def conversation(runware, emulator):
        before = runware._ws_transport.session_id
        told = await runware.run(task())
        return told, before == runware._ws_transport.session_id, emulator.bill("runware")

    faults = (Fault("submit", "reset-after", nth=(1,)),)
    told, same, bill = talk(conversation, settings={"faults": faults})
    assert told[0]["imageURL"]
    assert same
    assert bill["requests"] == 1


@by_rest
def test_it_asks_for_what_it_lost():
    """Its retry re-sends the same UUID and stumbles over the conflict: the picture is there under it all the same."""
    name = str(uuid.uuid4())

    async def conversation(runware, emulator):
        with pytest.raises(RunwareError) as caught:
            await runware.run(task(taskUUID=name))
        (found,) = await runware.get_response({"taskUUID": name})
        (details,) = await runware.get_task_details({"taskUUID": name})
        return caught.value, found, details, emulator.bill("runware")

    faults = (Fault("submit", "reset-after", nth=(1,)),)
    error, found, details, bill = talk(conversation, settings={"faults": faults})
    assert (error.code, error.task_uuid) == ("validation", name)
    assert found["status"] == "success"
    assert details["request"][0]["taskUUID"] == name
    assert details["response"]["data"][0]["imageURL"] == found["imageURL"]
    assert bill["requests"] == 1


@by_rest
def test_it_tries_again_what_was_refused_for_a_while():
    async def conversation(runware, emulator):
        return await runware.run(task()), emulator.bill("runware")

    faults = (Fault("submit", "status", nth=(1,), value="503"),)
    told, bill = talk(conversation, settings={"faults": faults})
    assert len(told) == 1
    assert bill["requests"] == 1


def test_it_raises_for_a_uuid_nobody_knows():
    async def conversation(runware, _):
        with pytest.raises(RunwareError) as caught:
            await runware.get_response({"taskUUID": str(uuid.uuid4())})
        return caught.value

    assert talk(conversation).code == "notFound"


def test_it_reads_the_account():
    async def conversation(runware, _):
        return await runware.account_management({"operation": "getDetails"})

    (told,) = talk(conversation)
    assert told["organizationName"]


@by_rest
def test_empty_errors_are_a_failure_to_it():
    """It raises whenever the key ``errors`` is there, even with an empty list: hence the switch's default."""

    async def conversation(runware, _):
        with pytest.raises(RunwareError):
            await runware.run(task())

    talk(conversation, settings={"switches": {"runware.empty-errors": "list"}})
