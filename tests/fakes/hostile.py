"""A server that plays the four gateways honestly, until a test spoils one of its answers.

The emulator follows the vendors' documents; this one is for what no document promises: half an answer, an error of the
whole POST, a link that is not there yet. Nothing here has a clock: a job is done as soon as it is accepted.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from fakes.at_work import at_work
from fakes.campaign import HERE, environment, write_campaign
from fakes.emulated import GATEWAYS, KEYS, provider
from fakes.work import HANGS


@dataclass(frozen=True)
class Reply:
    """An answer; ``body`` is sent as it is when it is bytes, and as JSON otherwise."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


DROP = Reply(0)
"""Cut the connection instead of answering."""


@dataclass(frozen=True)
class Asked:
    """A request. ``kind``: submit, status, result, details, log, upload or picture, whichever gateway it is of."""

    method: str
    path: str
    body: Any
    kind: str

    @property
    def task(self) -> dict[str, Any]:
        """What is to be made: the body, or the part of it that holds the input."""
        body: dict[str, Any] = self.body[0] if isinstance(self.body, list) else self.body.get("input", self.body)
        return body


Spoil = Callable[["Hostile", Asked], Reply | None]
"""The answer to a request, or None for the honest one."""


@dataclass
class Made:
    """An accepted job, and the addresses of its pictures."""

    input: dict[str, Any]
    pictures: list[str]
    client: str  # the client's own id of it, as a header said


class Hostile(ThreadingHTTPServer):
    """The server. ``jobs`` is what it accepted, in order; ``billed`` how many pictures that is."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, spoil: Spoil = lambda server, asked: None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spoil = spoil
        self.jobs: dict[str, Made] = {}
        self.kinds: list[str] = []
        self.local = threading.local()  # the client's id of the request that a thread is answering
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.files = itertools.count(1)
        self.victim: subprocess.Popen[bytes] | None = None
        self.started = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of a run that calls it for every gateway."""
        return KEYS | {f"{gateway.upper()}_BASE_URL": self.url for gateway in GATEWAYS}

    @property
    def billed(self) -> int:
        """Pictures that were accepted."""
        return sum(len(job.pictures) for job in self.jobs.values())

    def accept(self, asked: Asked, count: int | None = None) -> str:
        """Take a submit on, for as many pictures as it asks for (or ``count``); its id."""
        task = asked.task
        count = int(task.get("num_images", task.get("numberResults", 1))) if count is None else count
        job = str(task.get("taskUUID") or uuid.uuid4())
        with self.lock:
            pictures = [f"{self.url}/picture/{next(self.numbers)}.png" for _ in range(count)]
            self.jobs[job] = Made(task, pictures, self.local.client)
        return job

    def killed(self, manifest: Path) -> None:
        """``pipeline run``, until the server calls :meth:`kill`."""
        command = [sys.executable, str(HERE / "runner.py"), "run", str(manifest)]
        with subprocess.Popen(command, env=environment() | self.env, stderr=subprocess.DEVNULL) as self.victim:
            self.started.set()
            assert self.victim.wait(HANGS) == -9

    def kill(self) -> Reply:
        """End the run that asks with SIGKILL, and answer nothing."""
        self.started.wait(HANGS)
        assert self.victim is not None
        self.victim.kill()
        self.victim.wait()
        return DROP

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""

    # ── honest answers ──────────────────────────────────────────────────────────────────────────

    def honest(self, asked: Asked) -> Reply:
        """What the gateway that was asked answers."""
        path = asked.path
        if asked.kind == "picture":
            return Reply(200, picture(int(path.rpartition("/")[2].split(".")[0])), {"Content-Type": "image/png"})
        if path.startswith(("/v1/images", "/v2/logs")):
            return self.aimlapi(asked)
        if path == "/v1":
            return self.runware(asked)
        if asked.kind == "upload":
            place, file = f"{self.url}/put", f"{self.url}/file/{next(self.files)}.png"
            return Reply(200, {"upload_url": place, "file_url": file, "presigned_url": place, "public_url": file})
        return self.eachlabs(asked) if path.startswith("/v1/") else self.fal(asked)

    def fal(self, asked: Asked) -> Reply:
        """The queue."""
        if asked.kind == "submit":
            return Reply(200, {"request_id": self.accept(asked)})
        if asked.kind == "status":
            return Reply(200, {"status": "COMPLETED"})
        job = self.jobs.get(urlsplit(asked.path).path.rpartition("/")[2])
        return Reply(200, {"images": [{"url": url} for url in job.pictures]}) if job else Reply(404, {"detail": "?"})

    def aimlapi(self, asked: Asked) -> Reply:
        """The held call, and the log that knows what was billed."""
        if asked.kind == "submit":
            return Reply(200, {"data": [{"url": url} for url in self.jobs[self.accept(asked)].pictures]})
        rows = [{"client_request_id": job.client, "status": "success"} for job in self.jobs.values()]
        return Reply(200, {"data": rows, "pagination": {"has_more": False}})

    def eachlabs(self, asked: Asked) -> Reply:
        """Predictions, and the list of executions, newest first."""
        if asked.kind == "submit":
            return Reply(200, {"status": "success", "predictionID": self.accept(asked)})
        if asked.kind == "log":
            first = int(parse_qs(urlsplit(asked.path).query)["offset"][0])
            rows = [{"id": job} for job in reversed(list(self.jobs))]
            return Reply(200, {"executions": rows[first : first + 100]})
        job = self.jobs.get(asked.path.split("/")[3])
        if job is None:
            return Reply(404)
        return Reply(200, {"status": "success", "output": job.pictures, "input": job.input})

    def runware(self, asked: Asked) -> Reply:
        """Tasks, a list of them at a time."""
        data: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for task in asked.body:
            kind, ours = task["taskType"], task["taskUUID"]
            if kind == "mediaStorage":
                data.append({"taskUUID": ours, "mediaUUID": str(uuid.uuid4())})
            elif kind == "imageInference" and ours in self.jobs:
                errors.append({"code": "conflictTaskUUID", "taskUUID": ours, "message": "sent before"})
            elif kind == "imageInference":
                self.accept(Asked(asked.method, asked.path, [task], asked.kind))
                acknowledged = [{"taskType": kind, "taskUUID": ours}]
                data += self.results(ours) if task["deliveryMethod"] == "sync" else acknowledged
            elif ours not in self.jobs:
                errors.append({"code": "taskNotFound", "taskUUID": ours, "message": "no such task"})
            elif kind == "getResponse":
                data += self.results(ours)
            else:
                data.append({"taskUUID": ours, "request": {"x": 1}, "response": {"data": self.results(ours)}})
        return Reply(200, {"data": data} | ({"errors": errors} if errors else {}))

    def results(self, task: str) -> list[dict[str, Any]]:
        """The finished pictures of a Runware task."""
        return [
            {"taskUUID": task, "status": "success", "imageUUID": f"{task}-{number}", "imageURL": url, "cost": 0.028}
            for number, url in enumerate(self.jobs[task].pictures)
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Hostile
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw)
        except ValueError:  # the bytes of an upload
            body = raw
        server = self.server
        server.local.client = self.headers.get("x-client-request-id", "")
        asked = Asked(self.command, self.path, body, _kind(self.command, self.path, body))
        server.kinds.append(asked.kind)
        reply = server.spoil(server, asked) or server.honest(asked)
        if reply.status == 0:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer  # noqa: N815


def _kind(method: str, path: str, body: Any) -> str:
    if path.startswith("/picture/"):
        return "picture"
    if method == "PUT" or "/upload/" in path:
        return "upload"
    if path == "/v1":
        kinds = {"imageInference": "submit", "getResponse": "result", "getTaskDetails": "details"}
        return kinds.get(body[0]["taskType"], "upload")
    if path.startswith(("/v1/executions", "/v2/logs")):
        return "log"
    if method == "POST":
        return "submit"
    return "status" if "/status" in path else "result"


def picture(number: int) -> bytes:
    """A picture like no other."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (number * 37 % 255, number * 91 % 255, number)).save(out, "PNG")
    return out.getvalue()


def first(kind: str, reply: Reply, times: int = 1, *, accept: bool = False) -> Spoil:
    """Answer the first so many requests of a kind with this; a submit may be accepted all the same."""
    left = itertools.count(times, -1)

    def spoil(server: Hostile, asked: Asked) -> Reply | None:
        if asked.kind != kind or next(left) <= 0:
            return None
        if accept:
            server.accept(asked)
        return reply

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """The answer of the first one that has any."""
    return lambda server, asked: next((reply for spoil in spoils if (reply := spoil(server, asked))), None)


def hostile(*spoils: Spoil) -> AbstractContextManager[Hostile]:
    """The server, for the length of a test."""
    return at_work(Hostile(both(*spoils)))


def campaign(
    folder: Path, *gateways: str, count: int = 1, variants: int = 1, settings: dict[str, Any] | None = None
) -> Path:
    """A manifest of ``count`` products of so many variants, each of them made at each of the gateways."""
    fast = {"poll": {"first": 0.01, "every": 0.01}, **(settings or {})}
    providers = [provider(gateway, **fast) for gateway in gateways]
    outputs = {"aspect_ratio": ["1:1"], "format": ["png"], "variants": variants, "provider": list(gateways)}
    if len(gateways) == 1:
        del outputs["provider"]
    return write_campaign(folder, count=count, model="kling-image-o1", outputs=outputs, providers=providers)


def ledger(manifest: Path, query: str) -> list[tuple[Any, ...]]:
    """What the ledger of a campaign says."""
    with contextlib.closing(sqlite3.connect(manifest.parent / "out/test/.pipeline/ledger.sqlite")) as db:
        return db.execute(query).fetchall()


def states(manifest: Path) -> list[str]:
    """The states of its requests, in the order in which they were made."""
    return [state for (state,) in ledger(manifest, "SELECT state FROM requests ORDER BY created")]
