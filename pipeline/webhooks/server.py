"""The socket: one delivery in, one status out. What any small server of ours needs is here too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

MOST = 1024 * 1024
"""Bytes of a delivery."""
_ROOM = 64  # connections at once
_PATIENCE = 10.0  # seconds for which a connection, or the server of the keys, may say nothing


class TooLong(Exception):
    """A body that is longer than any that is asked for."""


class Connection(BaseHTTPRequestHandler):
    """One connection that is logged nowhere. ``most``: bytes of a body."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    most = MOST

    def version_string(self) -> str:
        """Nothing that strangers need to know."""
        return "pipeline"

    def log_message(self, *_: object) -> None:
        """Say nothing: a path holds a token."""

    def body(self) -> bytes:
        """The whole body of the request.

        Raises:
            TooLong: when it is longer than ``most``.
            ValueError: when it isn't whole, or nobody can tell where it ends.
        """
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > self.most:
            raise TooLong
        body = self.rfile.read(length) if length > 0 else b""
        if len(body) != length:
            raise ValueError("not whole")
        return body

    def drain(self) -> None:
        """Read what is still being sent: closing the connection would else take the answer from who sends it."""
        left = 4 * self.most
        while left > 0 and (piece := self.rfile.read1(65536)):
            left -= len(piece)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            if not 0 < size <= self.most - len(body):
                raise TooLong
            body += self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(1024).strip():
            pass
        return body


class _Handler(Connection):
    """One request in, one answer out."""

    server: Server

    def do_POST(self) -> None:
        """Take a delivery."""
        try:
            body = self.body()
        except TooLong:
            self._answer(413)
            self.drain()
        except ValueError:
            self._answer(400)
        else:
            self._answer(self.server.judge(self.path, self.headers, body))

    def _refuse(self) -> None:
        self._answer(405)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815  # as the parent calls them

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        if status == 405:
            self.send_header("Allow", "POST")
        self.end_headers()


class Port(ThreadingHTTPServer):
    """A listening port. Over its number of connections it hangs up: who called may call again."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False  # two runs at one port would each get half of the deliveries
    request_queue_size = 128

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(_ROOM)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name, as the parent does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the parent has it
        """Serve a connection in a thread of its own, if there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Serve it, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Say nothing of a connection that broke."""


class Server(Port):
    """Where deliveries arrive; one that breaks is delivered again."""

    def __init__(self, host: str, port: int, judge: Callable[[str, Message, bytes], int]) -> None:
        self.judge = judge
        super().__init__(host, port, _Handler)
