"""A gateway on a real loopback socket that keeps its own bill.

It runs in the test's process, so that it outlives every runner that is killed. What it bills is what it accepted: the
tests compare that with what was owed.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from fakes.at_work import at_work


@dataclass
class Faults:
    """What goes wrong, decided per submit (``submit(n)``, n = 1, 2, …) and per fetched image (``image(n)``).

    Submit answers: ``drop-before`` (reset, not accepted), ``drop-after`` (accepted and billed, then reset), an HTTP
    status with headers, ``garbage`` (HTML with 200, accepted), or None. Images: ``short``, ``html``, ``gone``, ``bad``
    (truncated picture with the right length), ``shape`` (wrong ratio), or None.
    """

    submit: Callable[[int], str | tuple[int, dict[str, str]] | None] = lambda n: None
    image: Callable[[int], str | None] = lambda n: None
    poll: Callable[[int], int] = lambda n: 200  # status of each poll; 0: HTML with 200
    refuse: Callable[[str], bool] = lambda prompt: False
    broken_jobs: set[str] = field(default_factory=set)  # say "broken": they ended unbilled
    lose: int = 0  # images missing from each job
    polls: int = 1  # polls that say "running" before a job is done
    endless: Callable[[int], bool] = lambda n: (
        False
    )  # by its submit: whether a job says "running" as long as this says so


@dataclass
class State:
    """What the gateway knows. ``billed``: spec → pictures paid for."""

    billed: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, dict[str, object]] = field(default_factory=dict)
    submits: int = 0
    images: int = 0
    polls: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)


class FakeGateway(ThreadingHTTPServer):
    """The server; ``url`` is its address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults = faults or Faults()
        self.state = State()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server, state = self.server, self.server.state
        with server.lock:
            state.submits += 1
            state.headers.append(dict(self.headers))
            fault = server.faults.submit(state.submits)
            if fault == "drop-before":
                return self.drop()
            if isinstance(fault, tuple):
                return self.answer(fault[0], {"error": "not now"}, fault[1])
            job = body["id"] or str(uuid.uuid4())
            if job not in state.jobs:
                refused = server.faults.refuse(body["prompt"])
                if not refused:
                    state.billed[body["spec"]] += body["count"]
                state.jobs[job] = {"number": state.submits, "polls": 0, "refused": refused, **body}
        if fault == "drop-after":
            return self.drop()
        if fault == "garbage":
            return self.raw(200, b"<html>busy</html>", "text/html")
        return self.answer(200, {"job": job})

    def do_GET(self) -> None:
        server, state = self.server, self.server.state
        parts = self.path.strip("/").split("/")
        if parts[0] == "bill":
            return self.answer(200, {"billed": state.billed, "submits": state.submits})
        with server.lock:
            job = state.jobs.get(parts[1])
            if job is None:
                return self.answer(404, {"error": "unknown"})
            if parts[0] == "jobs":
                state.polls += 1
                status = server.faults.poll(state.polls)
                if status == 0:
                    return self.raw(200, b"<html>busy</html>", "text/html")
                if status != 200:
                    return self.answer(status, {"error": "not now"})
                job["polls"] = int(str(job["polls"])) + 1
                if parts[1] in server.faults.broken_jobs:
                    return self.answer(200, {"status": "broken"})
                if job["refused"]:
                    return self.answer(200, {"status": "refused", "reason": "content policy: no <b>tea</b>"})
                if int(str(job["polls"])) <= server.faults.polls or server.faults.endless(int(str(job["number"]))):
                    return self.answer(200, {"status": "running"})
                count = int(str(job["count"])) - server.faults.lose
                images = [f"{server.url}/image/{parts[1]}/{number}.png" for number in range(count)]
                return self.answer(200, {"status": "done", "images": images})
            state.images += 1
            fault = server.faults.image(state.images)
        return self.image(str(job["ratio"]), str(job["spec"]), fault)

    def image(self, ratio: str, seed: str, fault: str | None) -> None:
        width, _, height = ratio.partition(":") if ":" in ratio else ("1", ":", "1")
        if fault == "shape":
            width, height = height, str(int(width) * 3)
        size = (int(width) * 20, int(height) * 20)
        out = io.BytesIO()
        Image.new("RGB", size, f"#{seed[:6]}").save(out, "PNG")
        data = out.getvalue()
        if fault == "html":
            return self.raw(200, b"<html>sorry</html>", "image/png")
        if fault == "gone":
            return self.raw(403, b"expired", "text/plain")
        if fault == "bad":
            return self.raw(200, data[: len(data) // 2], "image/png")
        if fault == "short":
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            return self.drop()
        return self.raw(200, data, "image/png")

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self.raw(status, json.dumps(value).encode(), "application/json", headers)

    def raw(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Cut the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def serving(faults: Faults | None = None) -> AbstractContextManager[FakeGateway]:
    """A fake gateway for the length of a test."""
    return at_work(FakeGateway(faults))
