"""The emulated Runware's WebSocket: its conversations, its faults, and frames that no client of good will sends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import uuid

import httpx
import pytest
from fakes.work import HANGS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipeline.emulator import Fault, Settings, serve, websocket
from pipeline.emulator.switches import SWITCHES

NEVER, AT_ONCE = (3600.0, 3600.0), (0.0, 0.0)
KEY = {"taskType": "authentication", "apiKey": "k"}


def task(**changes):
    """Return a synchronous task for one picture."""
    default = {
        "taskType": "imageInference",
        "taskUUID": str(uuid.uuid4()),
        "model": "klingai:kling-image@o1",
        "positivePrompt": "A mug on a table",
        "width": 1024,
        "height": 1024,
    }
    return default | changes


class Client:
    """A bare client of the emulated gateway: whole messages, as JSON."""

    def __init__(self, emulator, opened):
        self.emulator, self.socket = emulator, opened

    def say(self, *tasks):
        self.socket.send(json.dumps(tasks))

    def hear(self):
        return json.loads(self.socket.recv(timeout=HANGS))

    def ask(self, *tasks):
        self.say(*tasks)
        return self.hear()

    def enter(self, **more):
        """Authenticate, and return the UUID of the session."""
        (told,) = self.ask(KEY | more)["data"]
        assert told["taskType"] == "authentication"
        return told["connectionSessionUUID"]

    def code(self):
        """The status with which the emulator closes, after whatever it still says."""
        try:
            while True:
                self.socket.recv(timeout=HANGS)
        except ConnectionClosed as closed:
            return closed.rcvd and closed.rcvd.code


@pytest.fixture
def runware():
    """Start emulators, and clients of theirs that have a key."""
    with contextlib.ExitStack() as stack:

        def start(*, switches=None, latency=AT_ONCE, **more):
            chosen = {f"runware.{name}": choice for name, choice in (switches or {}).items()}
            settings = Settings(gateways=("runware",), pictures="tiny", latency=latency, switches=chosen, **more)
            return stack.enter_context(serve(settings))

        def client(emulator=None, *, enters=True, **settings):
            emulator = emulator or start(**settings)
            url = emulator.urls["runware"].replace("http:", "ws:") + "/v1"
            made = Client(emulator, stack.enter_context(connect(url, proxy=None, open_timeout=HANGS, close_timeout=1)))
            if enters:
                made.enter()
            return made

        client.start = start
        yield client


def bill(client):
    return client.emulator.bill("runware")


# ── conversations ───────────────────────────────────────────────────────────────────────────────


def test_the_first_message_authenticates_the_connection(runware):
    """Without a key nothing is made; with one, every further message has it."""
    client = runware(enters=False, key="k")
    (error,) = client.ask(task())["errors"]
    assert (error["taskType"], error["code"]) == ("authentication", "missingApiKey")
    (error,) = client.ask(KEY | {"apiKey": "wrong"})["errors"]
    assert (error["taskType"], error["code"]) == ("authentication", "invalidApiKey")
    assert bill(client)["requests"] == 0
    assert uuid.UUID(client.enter())
    assert client.ask(task())["data"][0]["imageURL"]
    assert bill(client)["requests"] == 1


def test_a_message_may_bring_the_key_and_its_tasks_together(runware):
    client = runware(enters=False)
    asked = task()
    client.say(KEY, asked)
    assert client.hear()["data"][0]["taskType"] == "authentication"
    assert client.hear()["data"][0]["taskUUID"] == asked["taskUUID"]


def test_both_transports_lead_to_the_same_account(runware):
    """What one accepted the other finds, and a UUID is good for one task whichever way it comes."""
    client = runware()
    asked = task()
    told = client.ask(asked)["data"][0]
    headers, url = {"Authorization": "Bearer k"}, f"{client.emulator.urls['runware']}/v1"
    poll = {"taskType": "getResponse", "taskUUID": asked["taskUUID"]}
    found = httpx.post(url, json=[poll], headers=headers, trust_env=False).json()["data"][0]
    again = httpx.post(url, json=[asked], headers=headers, trust_env=False).json()["errors"][0]
    assert (found["imageUUID"], found["imageURL"]) == (told["imageUUID"], told["imageURL"])
    assert again["code"] == client.ask(asked)["errors"][0]["code"] == "conflictTaskUUID"
    assert (bill(client)["requests"], bill(client)["usd_micro"]) == (1, 28_000)


def test_every_result_comes_when_it_is_made_and_other_answers_between_them(runware):
    """A ping is answered at once, while a synchronous task is still at work."""
    client = runware(latency=NEVER, speed=1.0)
    client.say(task(numberResults=2))
    assert client.ask({"taskType": "ping", "ping": True}) == {"data": [{"taskType": "ping", "pong": True}]}
    client = runware(latency=(0.1, 0.1))
    asked = task(numberResults=3, includeCost=True)
    client.say(asked)
    told = [client.hear()["data"] for _ in range(3)]
    assert [len(data) for data in told] == [1, 1, 1]
    assert len({data[0]["imageUUID"] for data in told}) == 3
    assert {data[0]["taskUUID"] for data in told} == {asked["taskUUID"]}


def test_an_asynchronous_task_is_acknowledged_and_asked_for(runware):
    client = runware()
    asked = task(deliveryMethod="async")
    assert client.ask(asked) == {"data": [{"taskType": "imageInference", "taskUUID": asked["taskUUID"]}]}
    found = client.ask({"taskType": "getResponse", "taskUUID": asked["taskUUID"]})["data"][0]
    assert found["status"] == "success"


def test_a_message_of_several_tasks_is_answered_one_by_one(runware):
    client = runware()
    good, bad = task(), task(width=1080)
    client.say(good, bad, {"taskType": "ping", "ping": True})
    told = [client.hear() for _ in range(3)]
    assert sorted(next(iter(each)) if "errors" not in each else "errors" for each in told) == ["data", "data", "errors"]
    assert bill(client)["requests"] == 1


@pytest.mark.parametrize("choice", ["errors", "error"])
def test_errors_have_the_key_that_the_switch_names(runware, choice):
    client = runware(switches={"socket-errors": choice})
    told = client.ask(task(positivePrompt="a"))
    assert told[choice][0]["code"] == "invalidPositivePrompt"
    assert ({"error", "errors"} & set(told)) == {choice}


def test_what_nobody_could_take_waits_for_the_session_to_come_back(runware):
    """A client that was gone when its picture came authenticates with its session, and gets it; nobody else does."""
    emulator = runware.start(latency=(0.2, 0.2))
    client = runware(emulator, enters=False)
    session = client.enter()
    asked = task()
    client.say(asked)
    client.ask({"taskType": "ping", "ping": True})  # the task before it has been heard
    client.socket.close()
    emulator.account("runware").wait(emulator.account("runware").job(asked["taskUUID"]).finished)
    stranger = runware(emulator, enters=False)
    assert stranger.enter(apiKey="other", connectionSessionUUID=session) != session
    again = runware(emulator, enters=False)
    assert again.enter(connectionSessionUUID=session) == session
    assert again.hear()["data"][0]["taskUUID"] == asked["taskUUID"]
    assert stranger.ask({"taskType": "ping", "ping": True})["data"] == [{"taskType": "ping", "pong": True}]


def test_an_unknown_session_gets_a_new_one(runware):
    client = runware(enters=False)
    asked = str(uuid.uuid4())
    assert client.enter(connectionSessionUUID=asked) != asked


def test_a_silent_connection_is_closed(runware):
    """By default after 120 seconds, as Runware's page says."""
    assert SWITCHES["runware.socket-idle"].choices == ("120",)
    client = runware(switches={"socket-idle": "0.2"})
    assert client.code() == 1000


def test_the_log_has_every_message(runware):
    client = runware()
    client.ask(task())
    told = [(line["method"], line["kind"]) for line in client.emulator.log("runware")]
    assert told == [("GET", "other"), ("MESSAGE", "other"), ("MESSAGE", "submit")]


def test_the_end_of_the_emulator_ends_the_connections(runware):
    client = runware(latency=NEVER)
    client.say(task())
    client.ask({"taskType": "ping", "ping": True})
    threading.Thread(target=client.emulator.close).start()
    assert client.code() is None


# ── faults ──────────────────────────────────────────────────────────────────────────────────────

CUTS = [("reset-before", 0), ("reset-after", 1), ("truncated", 1), ("short", 1), ("refuse", 0)]


@pytest.mark.parametrize(("kind", "requests"), CUTS)
def test_a_fault_cuts_the_connection(runware, kind, requests):
    """What was accepted before the cut is on the bill, and what was not isn't."""
    client = runware(faults=(Fault("submit", kind, nth=(1,)),))
    client.say(task())
    assert client.code() is None
    assert bill(client)["requests"] == requests


@pytest.mark.parametrize(
    ("kind", "value", "code", "requests"),
    [
        ("status", "503", "serviceUnavailable", 0),
        ("status-after", "500", "internalServerError", 1),
        ("429", "7", "rateLimitExceeded", 0),
        ("moderated", "", "providerContentPolicyViolation", 1),
    ],
)
def test_an_error_names_its_task(runware, kind, value, code, requests):
    """Over one connection for everything an error without a name would be nobody's."""
    client = runware(faults=(Fault("submit", kind, nth=(1,), value=value),))
    asked = task()
    (error,) = client.ask(asked)["errors"]
    assert (error["code"], error["taskUUID"], error["taskType"]) == (code, asked["taskUUID"], "imageInference")
    assert (bill(client)["requests"], bill(client)["usd_micro"]) == (requests, 28_000 if "after" in kind else 0)


@pytest.mark.parametrize(
    ("kind", "start"), [("html", "<!doctype html>"), ("wrong-type", b'{"data"'), ("slow", '{"data"')]
)
def test_a_fault_spoils_a_message(runware, kind, start):
    client = runware(faults=(Fault("submit", kind, nth=(1,), value="0.05" if kind == "slow" else ""),))
    client.say(task())
    assert client.socket.recv(timeout=HANGS).startswith(start)
    assert client.ask(task())["data"]
    assert bill(client)["requests"] == 2


def test_a_result_that_cannot_be_made_is_an_error(runware, monkeypatch):
    """The emulator says so, as over HTTP, and goes on."""

    def breaks(*_):
        raise RuntimeError("no paint")

    monkeypatch.setattr("pipeline.emulator.job.Job.picture", breaks)
    client = runware(latency=(0.05, 0.05))
    (error,) = client.ask(task(outputType="base64Data"))["errors"]
    assert error["message"] == "the emulator broke: RuntimeError('no paint')"
    assert client.ask(task())["data"][0]["imageURL"]


def test_the_limits_of_the_account_hold(runware):
    client = runware(limits={"runware": {"creates_per_minute": 1}})
    client.ask(task())
    assert client.ask(task())["errors"][0]["code"] == "rateLimitExceeded"
    assert bill(client)["rejected_rate"] == 1


# ── bad frames ──────────────────────────────────────────────────────────────────────────────────

TEXT, BINARY, CLOSE, PING, PONG, GO_ON = 1, 2, 8, 9, 10, 0


def frame(opcode, payload=b"", *, last=True, masked=True, length=None, reserved=0):
    """The bytes of a frame, as good or bad as they are asked for."""
    size = len(payload) if length is None else length
    head = bytes([(128 if last else 0) | reserved | opcode])
    mask = 128 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    key = os.urandom(4)
    masks = key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
    return head + (masks if masked else payload)


HANDSHAKE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


class Raw:
    """An open WebSocket, to which any bytes can be sent."""

    def __init__(self, emulator, *, early=b"", path="/v1?sdk=js", **changes):
        host, _, port = emulator.urls["runware"].removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=HANGS)
        lines = [f"{name}: {value}" for name, value in (HANDSHAKE | changes).items() if value is not None]
        self.socket.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode() + early)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def frame(self):
        """The opcode and payload of the next frame; None at the end."""
        try:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            assert head[1] < 128, "a server masks nothing"
            size = head[1]
            if size > 125:
                size = int.from_bytes(self.file.read(2 if size == 126 else 8))
            return head[0] & 15, self.file.read(size)
        except ConnectionResetError:
            return None

    def json(self):
        opcode, payload = self.frame()
        assert opcode == TEXT
        return json.loads(payload)

    def closes(self):
        """The status of the closing frame; None when the connection ends without one."""
        while (found := self.frame()) is not None:
            if found[0] == CLOSE:
                assert self.frame() is None
                return int.from_bytes(found[1][:2])
        return None

    def enter(self):
        self.send(frame(TEXT, json.dumps([KEY]).encode()))
        assert self.json()["data"]
        return self

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def raw(runware, monkeypatch):
    """Open WebSockets for bytes at one emulator; it goes on after all of them, with a true bill and no traceback."""
    broken = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    monkeypatch.setattr("pipeline.emulator.server.Server.handle_error", lambda *_: broken.append("a handler"))
    emulator = runware.start()
    opened = []

    def start(**more):
        opened.append(Raw(emulator, **more))
        return opened[-1]

    start.emulator = emulator
    yield start
    for each in opened:
        each.close()
    client = runware(emulator)
    before = emulator.bill("runware")["requests"]
    assert client.ask(task())["data"][0]["imageURL"]
    assert emulator.bill("runware")["requests"] == before + 1
    assert broken == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "é" * 24}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Upgrade": "h2c"}, 405),
        ({"path": "/v2"}, 404),
        ({"Sec-WebSocket-Extensions": "permessage-deflate", "Sec-WebSocket-Protocol": "graphql"}, 101),
    ],
)
def test_an_opening_that_is_none_is_refused(raw, changes, status):
    """Extensions and protocols are not taken up, and everything else must be as the standard has it."""
    opened = raw(**changes)
    assert opened.status == status
    assert {"sec-websocket-extensions", "sec-websocket-protocol"}.isdisjoint(opened.headers)
    if status == 101:
        assert opened.headers["sec-websocket-accept"] == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="


BAD = {
    "unmasked": (frame(TEXT, b"[]", masked=False), 1002),
    "binary": (frame(BINARY, b"[]"), 1003),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "unknown opcode": (frame(3, b"[]"), 1002),
    "reserved bit": (frame(TEXT, b"[]", reserved=64), 1002),
    "second part without a first": (frame(GO_ON, b"[]"), 1002),
    "two first parts": (frame(TEXT, b"[", last=False) + frame(TEXT, b"]"), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "ping in parts": (frame(PING, b"x", last=False), 1002),
    "half a status": (frame(CLOSE, b"\x03"), 1002),
    "2^63 bytes": (frame(TEXT, length=2**63), 1002),
    "good close": (frame(CLOSE, b"\x03\xe8bye"), 1000),
}


@pytest.mark.parametrize(("sent", "code"), BAD.values(), ids=BAD)
def test_a_frame_that_is_none_closes_the_connection_with_its_status(raw, sent, code):
    opened = raw().enter()
    opened.send(sent)
    assert opened.closes() == code


def test_a_message_that_is_too_long_closes_the_connection(raw, monkeypatch):
    """It is refused as it comes, in one frame or in many, and nothing of it is kept."""
    monkeypatch.setattr(websocket, "MOST", 1000)
    opened = raw().enter()
    opened.send(frame(TEXT, b" " * 1001))
    assert opened.closes() == 1009
    opened = raw().enter()
    opened.send(frame(TEXT, b"[", last=False), *[frame(GO_ON, b" " * 100, last=False) for _ in range(12)])
    assert opened.closes() == 1009


NO_TASKS = ["", "{", "{}", "[]", "[1]", '["ping"]', "null", '[{"taskType": []}]', "[{}]", "[" * 100_000, "9" * 10_000]


@pytest.mark.parametrize("text", NO_TASKS, ids=[text[:20] for text in NO_TASKS])
def test_a_message_that_is_no_array_of_tasks_is_an_error(raw, text):
    """It is answered, costs nothing, and the connection goes on."""
    opened = raw().enter()
    opened.send(frame(TEXT, text.encode()))
    assert opened.json()["errors"][0]["message"]
    opened.send(frame(TEXT, b'[{"taskType": "ping", "ping": true}]'))
    assert opened.json()["data"] == [{"taskType": "ping", "pong": True}]
    assert raw.emulator.bill("runware")["requests"] == 0


def test_half_a_surrogate_pair_comes_back_as_it_was(raw):
    """JSON can say what UTF-8 cannot: the prompt is kept, and told again as the same escape."""
    opened = raw().enter()
    asked = task(positivePrompt="a mug \ud83d")
    opened.send(frame(TEXT, json.dumps([asked]).encode()))
    assert opened.json()["data"][0]["imageURL"]
    opened.send(frame(TEXT, json.dumps([{"taskType": "getTaskDetails", "taskUUID": asked["taskUUID"]}]).encode()))
    assert opened.json()["data"][0]["request"][0]["positivePrompt"] == "a mug \ud83d"


def test_a_message_in_fragments_is_one_message(raw):
    """Pings may come between its parts, and empty parts are parts."""
    opened = raw().enter()
    asked = json.dumps([task()]).encode()
    parts = [frame(GO_ON, bytes([byte]), last=False) + frame(GO_ON, last=False) for byte in asked[1:-1]]
    opened.send(
        frame(TEXT, asked[:1], last=False), *parts[:5], frame(PING, b"now"), *parts[5:], frame(GO_ON, asked[-1:])
    )
    assert opened.frame() == (PONG, b"now")
    assert opened.json()["data"][0]["imageURL"]
    assert raw.emulator.bill("runware")["requests"] == 1


def test_frames_that_come_with_the_opening_are_heard(raw):
    opened = raw(early=frame(TEXT, json.dumps([KEY]).encode()))
    assert opened.json()["data"][0]["taskType"] == "authentication"


def test_a_client_that_leaves_in_the_middle_of_a_message_asked_for_nothing(raw):
    opened = raw().enter()
    whole = frame(TEXT, json.dumps([task()]).encode())
    opened.send(whole[: len(whole) // 2])
    opened.close()
    other = raw().enter()
    other.send(frame(TEXT, json.dumps([task()]).encode())[:-1])
    other.socket.shutdown(socket.SHUT_WR)
    assert other.closes() is None
    assert raw.emulator.bill("runware")["requests"] == 0


def test_a_flood_of_pings_is_answered_one_by_one(raw):
    """Those of the protocol and those of Runware; a client that takes no answers is waited for, and then left."""
    opened = raw().enter()
    opened.send(*[frame(PING, str(number).encode()) for number in range(2000)])
    assert [opened.frame() for _ in range(2000)] == [(PONG, str(number).encode()) for number in range(2000)]
    opened.send(frame(TEXT, b'[{"taskType": "ping", "ping": true}]') * 500)
    assert all(opened.json()["data"][0]["pong"] for _ in range(500))


def test_a_client_that_takes_nothing_is_left(raw, monkeypatch):
    """Its connection ends when it hasn't taken an answer for a while; the emulator waits for nobody else's sake."""
    monkeypatch.setattr(websocket, "_SECONDS", 0.2)
    opened = raw().enter()
    opened.socket.settimeout(HANGS)
    pings = frame(PING, b"x" * 125) * 1000
    with pytest.raises(OSError, match=r"reset|pipe"):
        opened.send(*[pings] * 1000)
