"""Runware's WebSocket: the tasks of ``POST /v1`` as messages, after one authentication for all of a connection.

By Runware's page on connection and authentication, and by what its clients send and read (sdk-js 1.3.2, the package
runware 0.4 and 0.5, runware-sdk 1.8). A message is an array of tasks, as over HTTP. The first one authenticates, and is
answered with a ``connectionSessionUUID``. A connection is closed 120 seconds after its last message; what could not be
delivered is kept for 120 seconds, for a connection that authenticates with that UUID and the same key.

Not documented, and so decided here:

* A synchronous task is answered with a message for each result as it is made; the results of an asynchronous one are
  not sent, but asked for.
* An error that names no task gets the ``taskType`` and ``taskUUID`` of the message's tasks: clients go by them.
* An unknown ``connectionSessionUUID`` gets a new one.
* A refused key leaves the connection open. A binary message ends it (1003).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.emulator.account import SERVING, Account
from pipeline.emulator.core import Ask, Fault, Line, Part, Reply, Settings, parsed
from pipeline.emulator.runware_tasks import code_of, error_of
from pipeline.types import Json

KEPT = 120.0
"""Real seconds for which results wait for a client to return (Runware's page on connecting)."""

Tasks = list[dict[str, Json]]


def tasks_of(found: Json) -> Tasks:
    """The tasks of a request; none when it is no array of objects."""
    tasks = [task for task in found if isinstance(task, dict)] if isinstance(found, list) else []
    return tasks if isinstance(found, list) and len(tasks) == len(found) else []


@dataclass(eq=False)
class _Session:
    """Who speaks, over which connection, and what waits for their return."""

    key: str
    line: Line | None
    left: float = 0.0  # when the last connection ended
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)  # when it was made, and the message
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, body: bytes, fault: Fault | None) -> None:
        """Deliver a message, or keep it."""
        with self.lock:
            if self.line is None or not self.line.send(body, fault):
                self.waiting.append((time.monotonic(), body))

    def resume(self, line: Line, greeting: bytes) -> None:
        """Go on over another connection, with what was kept."""
        with self.lock:
            self.line = line
            line.send(greeting)
            while self.waiting:
                made, body = self.waiting.popleft()
                if time.monotonic() - made < KEPT and not line.send(body):
                    self.waiting.appendleft((made, body))
                    return

    def leave(self, line: Line) -> None:
        """The connection has ended; another one may have taken its place."""
        with self.lock:
            if self.line is line:
                self.line, self.left = None, time.monotonic()

    def is_over(self) -> bool:
        """Whether nobody can return to it."""
        return self.line is None and time.monotonic() - self.left > KEPT


class Sessions:
    """The sessions of a gateway."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self.account = account
        self.idle = float(settings.switches.get("runware.socket-idle", "120"))
        self._settings = settings
        self._known: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def open(self, line: Line, ask: Ask) -> Conversation:
        """Begin a conversation over an open WebSocket."""
        return Conversation(self, line, ask)

    def enter(self, line: Line, key: str, asked: str, given: str) -> _Session:
        """The session of this UUID and key, or a new one of the UUID ``given``; its client is greeted."""
        with self._lock:
            self._known = {name: each for name, each in self._known.items() if not each.is_over()}
            found = self._known.get(asked)
            if found is None or found.key != key:
                asked, found = given, _Session(key, line)
                self._known[given] = found
        told: Json = {"data": [{"taskType": "authentication", "connectionSessionUUID": asked}]}
        found.resume(line, Reply(json=told).body())
        return found

    def worded(self, reply: Reply, tasks: Tasks) -> bytes:
        """A reply as a message: errors that name no task get those of the message."""
        told = reply.json
        if reply.data is not None or not isinstance(told, dict) or "errors" not in told:
            return reply.body()
        found = tasks_of(told["errors"])
        if not any("taskType" in error for error in found):
            names = [_name(task) for task in tasks if _name(task)] or [{}]
            told = {**told, "errors": [{**error, **name} for error in found for name in names]}
        if self._settings.switch("runware.socket-errors", "errors", "error") == "error":
            told = {"error" if name == "errors" else name: value for name, value in told.items()}
        return Reply(json=told).body()


class Conversation:
    """What is said over one connection."""

    def __init__(self, sessions: Sessions, line: Line, ask: Ask) -> None:
        self.idle = sessions.idle
        self._sessions, self._line, self._ask = sessions, line, ask
        self._session: _Session | None = None

    def hear(self, text: str) -> None:
        """Take a message: pass its tasks on, and answer with what is there; a thread sends what is due later."""
        body, tasks = text.encode(), tasks_of(parsed(text))
        if tasks and tasks[0].get("taskType") == "authentication":
            if not self._authenticate(tasks.pop(0)) or not tasks:
                return
            body = _encoded(tasks)
        reply, fault = self._ask(body, self._session.key if self._session else "")
        if reply is None:
            self._line.cut()
        elif not reply.parts:
            self._tell(self._sessions.worded(reply, tasks), fault)
        elif reply.parts[-1].due <= self._sessions.account.now():
            self._deliver(reply.parts, fault)
        else:
            threading.Thread(target=self._serve, args=(reply.parts, fault), daemon=True).start()

    def leave(self) -> None:
        """The connection has ended."""
        if self._session:
            self._session.leave(self._line)

    def _authenticate(self, task: Mapping[str, Json]) -> bool:
        reply, fault = self._ask(_encoded([dict(task)]), "")
        if reply is None:
            self._line.cut()
            return False
        if reply.parts:
            reply = reply.parts[0].reply()
        told = reply.json if isinstance(reply.json, dict) else {}
        if told.get("errors") or not told.get("data"):
            self._tell(self._sessions.worded(reply, []), fault)
            return False
        given = tasks_of(told["data"])[0]["connectionSessionUUID"]
        asked = str(task.get("connectionSessionUUID"))
        self.leave()  # the session that this connection had before
        self._session = self._sessions.enter(self._line, str(task["apiKey"]), asked, str(given))
        return True

    def _serve(self, parts: tuple[Part, ...], fault: Fault | None) -> None:
        SERVING.set(True)
        with contextlib.suppress(OSError):  # the emulator closes
            self._deliver(parts, fault)

    def _deliver(self, parts: tuple[Part, ...], fault: Fault | None) -> None:
        for part in parts:
            self._sessions.account.wait(part.due)
            self._tell(self._sessions.worded(_made(part), []), fault)
            fault = None

    def _tell(self, body: bytes, fault: Fault | None) -> None:
        if self._session:
            self._session.tell(body, fault)
        else:
            self._line.send(body, fault)


def _made(part: Part) -> Reply:
    """A due answer, or the desk's words when the emulator can't make it."""
    try:
        return part.reply()
    except Exception as error:  # as at the desk: it says so, and goes on
        return Reply(500, {"errors": [error_of({}, code_of(500), f"the emulator broke: {error!r}")]})


def _encoded(tasks: Tasks) -> bytes:
    return json.dumps(tasks).encode()


def _name(task: Mapping[str, Json]) -> dict[str, Json]:
    return {key: task[key] for key in ("taskType", "taskUUID") if isinstance(task.get(key), str)}
