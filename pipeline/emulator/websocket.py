"""WebSockets (RFC 6455) at the emulated gateways: whole messages of text in and out, and the faults that show there.

The frames are wsproto's. Extensions are not offered, compression among them, so that no message is larger than what
was received for it. A message has no status: of a fault ``status`` the error is seen, ``wrong-type`` makes the frame a
binary one, and ``truncated`` and ``short`` end the connection in the middle of a frame.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, generate_accept_token

from pipeline.emulator.core import MESSAGE, Fault, Opens, Reply, Request
from pipeline.emulator.desk import Answer

MOST = 128 * 1024 * 1024
"""Characters of a message; as many as a request over HTTP may have bytes."""

_VERSION = "13"
_SECONDS = 30.0  # that a client has to take a message
_FAREWELL = 1.0  # seconds for the client's side of a close
_PIECE = 65536
_PIECES = 20  # of a message that drips


def opening(request: Request) -> Reply:
    """The answer to a request for a WebSocket: status 101, or what is wrong with it."""
    headers = request.headers
    if "upgrade" not in {word.strip().lower() for word in headers.get("connection", "").split(",")}:
        return Reply(400, {"error": "the header Connection: Upgrade is missing"})
    if headers.get("sec-websocket-version") != _VERSION:
        return Reply(426, {"error": f"only version {_VERSION} is spoken"}, headers={"Sec-WebSocket-Version": _VERSION})
    key = headers.get("sec-websocket-key", "")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    if not good:
        return Reply(400, {"error": "Sec-WebSocket-Key is 16 bytes in base64"})
    accept = generate_accept_token(key.encode()).decode()
    return Reply(101, headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept})


def converse(line: Line, early: bytes, request: Request, opens: Opens, answer: Callable[[Request], Answer]) -> None:
    """Hold the conversation of an open WebSocket until either side ends it. ``early``: what was received already."""

    def ask(body: bytes, key: str) -> Answer:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return answer(replace(request, method=MESSAGE, headers=headers, body=body))

    talk = opens(line, ask)
    try:
        for text in line.messages(early, talk.idle):
            talk.hear(text)
    finally:
        talk.leave()
        line.end()


class Line:
    """One connection that has become a WebSocket. One thread reads it, any may send."""

    def __init__(self, connection: socket.socket, rest: Callable[[float], None]) -> None:
        self._connection, self._rest = connection, rest
        self._frames = Connection(ConnectionType.SERVER)
        self._lock = threading.Lock()  # of what is sent, and of the state of the frames
        self._spoke = time.monotonic()
        self.is_cut = False
        connection.settimeout(_SECONDS)

    # ── what comes ──────────────────────────────────────────────────────────────────────────────

    def messages(self, early: bytes, idle: float) -> Iterator[str]:
        """Every whole message, until a side closes, the client is gone or nothing is said for ``idle`` seconds."""
        said = io.StringIO()
        data = early or self._received(idle)
        while data:
            with self._lock:
                self._frames.receive_data(data)
                heard = list(self._frames.events())
            for event in heard:
                if isinstance(event, events.TextMessage):
                    said.write(event.data)
                    if said.tell() > MOST:
                        self._close(CloseReason.MESSAGE_TOO_BIG)
                        return
                    if event.message_finished:
                        self._spoke = time.monotonic()
                        yield said.getvalue()
                        said = io.StringIO()
                elif not self._goes_on(event):
                    return
            data = self._received(idle)

    def _goes_on(self, event: events.Event) -> bool:
        """Answer what is no text; False when the conversation has ended with it."""
        if isinstance(event, events.Ping):
            return self._send(event.response())
        if isinstance(event, events.BytesMessage):
            self._close(CloseReason.UNSUPPORTED_DATA)
        elif isinstance(event, events.CloseConnection):  # the client's, or wsproto's verdict on a frame that is none
            self._send(event.response())
        return isinstance(event, events.Pong)

    def _received(self, idle: float) -> bytes:
        """What comes next; nothing when the conversation has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            while (left := self._spoke + idle - time.monotonic()) > 0:
                if selector.select(left):
                    with contextlib.suppress(OSError):  # it was cut
                        return self._connection.recv(_PIECE)
                    return b""
        self._close(CloseReason.NORMAL_CLOSURE)
        return b""

    # ── what goes ───────────────────────────────────────────────────────────────────────────────

    def send(self, body: bytes, fault: Fault | None = None) -> bool:
        """Send a whole message of text, as a fault wants it; False when it could not be handed over."""
        self._spoke = time.monotonic()
        text = body.decode("utf-8", "replace")
        whole = events.BytesMessage(body) if fault and fault.kind == "wrong-type" else events.TextMessage(text)
        return self._send(whole, fault)

    def cut(self) -> None:
        """End the connection without a closing message."""
        self.is_cut = True
        with contextlib.suppress(OSError):  # it ended by itself
            self._connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let the client read the closing message before the connection ends: what it sends meanwhile is dropped."""
        if self.is_cut or self._frames.state is ConnectionState.OPEN:
            return
        until = time.monotonic() + _FAREWELL
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self._connection.settimeout(left)
                if not self._connection.recv(_PIECE):
                    return

    def _close(self, code: CloseReason) -> None:
        self._send(events.CloseConnection(code))

    def _send(self, event: events.Event, fault: Fault | None = None) -> bool:
        kind = fault.kind if fault else ""
        with self._lock:
            try:
                data = self._frames.send(event)
                if kind == "slow" and fault:
                    self._drip(data, float(fault.value or 1))
                elif kind in ("truncated", "short"):
                    lost = len(data) // 2 if kind == "truncated" else max(1, len(data) // 10)
                    self._connection.sendall(data[: len(data) - lost])
                    self.cut()
                    return False
                else:
                    self._connection.sendall(data)
            except LocalProtocolError:  # the client is going
                return False
            except OSError:  # it is gone, or has half a message that nobody can complete
                self.cut()
                return False
        return True

    def _drip(self, data: bytes, seconds: float) -> None:
        size = max(1, -(-len(data) // _PIECES))
        for start in range(0, len(data), size):
            self._rest(seconds / _PIECES)
            self._connection.sendall(data[start : start + size])
