"""Real sockets: one server per gateway and one for control, and the faults that show on the wire."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.emulator import websocket
from pipeline.emulator.account import SERVING
from pipeline.emulator.core import Fault, Opens, Reply, Request
from pipeline.emulator.desk import Answer

_MOST = 128 * 1024 * 1024  # bytes of a body
_BARE = (101, 204, 304)  # statuses of answers without a body
_POLL = 0.02  # seconds until a server notices that it is to stop
_PIECES = 20  # of a body that drips


class _TooLong(Exception):
    """A body that nobody wants."""


class _Handler(BaseHTTPRequestHandler):
    """One connection: whole requests in, answers out, for as long as both sides like."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else small answers wait for the client's delayed acknowledgements
    _cut = False

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True  # the client is gone, which is no news

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # likewise
            super().finish()
        if self._cut:  # without the farewell: the client sees a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        try:
            body = self._body()
        except _TooLong:
            self.close_connection = True
            self._send(Reply(413, {"error": "the body is too long"}), None)
            return
        parts = urlsplit(self.path)
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(self.command, parts.path, query, headers, body, self.server.base, parts.query)
        reply, fault = self.server.answer(request)
        if reply is None:
            self._cut = self.close_connection = True
        elif reply.opens is not None:
            self._converse(request, reply.opens)
        else:
            self._send(reply, fault)

    def _converse(self, request: Request, opens: Opens) -> None:
        """Turn this connection into a WebSocket, and stay until it ends."""
        opening = websocket.opening(request)
        self._send(opening, None)
        self.close_connection = True
        if opening.status == 101:
            self.connection.setblocking(False)
            early = self.rfile.read1()  # what came with the request, if anything did
            line = websocket.Line(self.connection, self.server.rest)
            websocket.converse(line, early, request, opens, self.server.answer)
            self._cut = line.is_cut

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815  # as the parent calls them

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._chunks())
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MOST:
            raise _TooLong
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the client left in the middle of its request")
        return body

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            total += size
            if total > _MOST:
                raise _TooLong
            yield self.rfile.read(size)
            self.rfile.readline(8)
        while self.rfile.readline(1024).strip():
            pass

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        body, kind = reply.body(), fault.kind if fault else ""
        known = {status.value: status.phrase for status in HTTPStatus}
        lines = [f"HTTP/1.1 {reply.status} {known.get(reply.status, 'Unknown')}", f"Date: {self.date_time_string()}"]
        if reply.status not in _BARE:
            lines += [f"Content-Type: {reply.kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += ["Connection: close"] if self.close_connection else []
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if self.command == "HEAD" or reply.status in _BARE:
            body = b""
        if kind in ("truncated", "short") and body:
            body = body[: len(body) // 2 if kind == "truncated" else len(body) - max(1, len(body) // 10)]
            self.close_connection = True
        if kind == "slow" and fault:
            self.wfile.write(head)
            self._drip(body, float(fault.value or 1))
        else:
            self.wfile.write(head + body)

    def _drip(self, body: bytes, seconds: float) -> None:
        size = max(1, -(-len(body) // _PIECES))
        for start in range(0, len(body), size):
            self.server.rest(seconds / _PIECES)
            self.wfile.write(body[start : start + size])


class Server(ThreadingHTTPServer):
    """A listening port that can be closed and opened again."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, host: str, port: int, answer: Callable[[Request], Answer], rest: Callable[[float], None]
    ) -> None:
        super().__init__((host, port), _Handler)
        self.answer, self.rest = answer, rest
        self.base = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.server_port}"  # noqa: S104  # compared
        self._open: set[socket.socket] = set()
        self._state = threading.Condition()
        self._listens = False
        self._turns = threading.Event()  # the loop runs: told to stop before that, it would never hear of it
        self.resume()

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name, as the parent does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the parent has it
        """Serve one connection, and know of it while it is open."""
        SERVING.set(True)
        with self._state:
            self._open.add(request)
            if not self._listens:  # accepted at the last moment
                _cut(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._state:
                self._open.discard(request)
                self._state.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # likewise
        """Say nothing."""

    def resume(self) -> None:
        """Listen (again)."""
        with self._state:
            if not self._listens:
                self._listens = True
                self._turns.clear()
                self.server_activate()
                threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True).start()

    def pause(self) -> None:
        """Refuse connections and cut the open ones; the port stays this server's."""
        with self._state:
            if not self._listens:
                return
            self._stop()
            self.socket.close()
            self.socket = socket.socket(self.address_family, self.socket_type)
            self.server_address = self.server_address[0], self.server_port
            self.server_bind()
            self._cut_all()

    def close(self, seconds: float = 2.0) -> None:
        """Stop for good, and wait a little for the connections to end."""
        with self._state:
            if self._listens:
                self._stop()
            self.server_close()
            self._cut_all()
            self._state.wait_for(lambda: not self._open, seconds)

    def service_actions(self) -> None:
        """Called in every round of the loop."""
        self._turns.set()

    def _stop(self) -> None:
        self._listens = False
        self._turns.wait()
        self.shutdown()

    def _cut_all(self) -> None:
        for connection in self._open:
            _cut(connection)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        connection.shutdown(socket.SHUT_RDWR)
