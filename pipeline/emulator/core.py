"""The emulator's settings, its scripted faults, and what passes between the server and a gateway."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import parse_qs

from pipeline.types import Json

At = Literal["submit", "poll", "picture", "upload"]
Kind = Literal["submit", "poll", "upload", "other"]

FAULTS = frozenset(
    [
        "reset-before",  # the connection is cut, the request not accepted
        "reset-after",  # accepted and billed, then the connection is cut: a lost answer
        "status",  # value: the status, in the gateway's error shape; not accepted
        "status-after",  # accepted, then that status
        "429",  # value: the Retry-After text as it is; empty: no such header
        "truncated",  # half of the body under the length of the whole, then cut
        "html",  # 200 with a page; a submission is accepted
        "slow",  # value: the seconds over which the body drips
        "expired",  # a picture: 403
        "wrong-type",  # the body as text/html
        "short",  # a body shorter than its content-length
        "not-picture",  # a page as image/png
        "moderated",  # a submission's job fails in moderation
        "refuse",  # stops listening, until told to resume
    ]
)


@dataclass(frozen=True)
class Fault:
    """A scripted failure: what it hits, and how."""

    at: At
    kind: str
    nth: tuple[int, ...] = ()
    every: int = 0
    chance: float = 0.0
    value: str = ""

    def __post_init__(self) -> None:
        if self.at not in ("submit", "poll", "picture", "upload"):
            raise ValueError(f"a fault is at submit, poll, picture or upload, not {self.at!r}")
        if self.kind not in FAULTS:
            raise ValueError(f"unknown fault {self.kind!r}; there is {', '.join(sorted(FAULTS))}")
        if self.kind == "moderated" and self.at != "submit":
            raise ValueError("only a submission can be moderated")
        if self.kind in ("status", "status-after") and not (self.value.isdigit() and 200 <= int(self.value) <= 599):
            raise ValueError(f"the value of {self.kind} is a status, as 503, not {self.value!r}")
        if self.kind == "slow" and not re.fullmatch(r"\d+(\.\d+)?", self.value):
            raise ValueError(f"the value of slow is seconds, as 2.5, not {self.value!r}")
        if not self.nth and not self.every and not self.chance:
            raise ValueError("a fault that never hits: give it nth, every or chance")

    def hits(self, count: int, seed: str) -> bool:
        """Whether it hits the request of this (1-based) number; the same numbers for the same seed."""
        if self.nth:
            return count in self.nth
        if self.every:
            return count % self.every == 0
        return random.Random(f"{seed}/{self.at}/{self.kind}/{count}").random() < self.chance  # noqa: S311  # repeatable

    @classmethod
    def of(cls, given: Json) -> Fault:
        """Read a fault from its JSON object; ``ValueError`` says what is wrong with it."""
        if not isinstance(given, dict) or not {"at", "kind"} <= set(given) <= set(cls.__dataclass_fields__):
            raise ValueError(f"a fault is an object with {', '.join(cls.__dataclass_fields__)}, not {given!r}")
        nth, every, chance = given.get("nth", []), given.get("every", 0), given.get("chance", 0.0)
        if not isinstance(nth, list) or not all(type(number) is int for number in (*nth, every)):
            raise ValueError("nth is a list of whole numbers, every a whole number")
        if isinstance(chance, bool) or not isinstance(chance, int | float):
            raise ValueError(f"chance is a number, not {chance!r}")
        hit: Any = {"at": given["at"], "nth": tuple(nth), "every": every}  # at is checked by the class
        return cls(**hit, kind=str(given["kind"]), chance=chance, value=str(given.get("value", "")))


@dataclass(frozen=True)
class Settings:
    """How the emulator behaves. ``speed`` is that of its clock: latencies and limit windows are in its seconds.

    ``limits``: gateway → ``creates_per_minute``, ``concurrent``, in place of the published ones. ``switches``:
    ``gateway.switch`` → the choice made where the vendor's documents contradict each other or say nothing.
    """

    gateways: tuple[str, ...] = ("fal", "aimlapi", "eachlabs", "runware")
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free ones; else this one and those after it, the last for control
    speed: float = 1.0
    latency: tuple[float, float] = (4.0, 9.0)
    pictures: Literal["drawn", "plain", "tiny"] = "drawn"
    key: str | None = None  # the only key accepted; None: any that is not empty
    url_seconds: float = 86400.0  # life of an output link, in real seconds
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    seed: int = 1
    moderated: str = "forbidden"  # a prompt that contains this word is refused by moderation
    webhook_retries: int = 2

    def switch(self, name: str, *choices: str) -> str:
        """The choice made for ``gateway.switch``; the first one is the default."""
        choice = self.switches.get(name, choices[0])
        if choice not in choices:
            raise ValueError(f"{name} is {' or '.join(choices)}, not {choice!r}")
        return choice


def parsed(text: str | bytes) -> Json:
    """A text as JSON; None when it is none, or thousands of brackets within brackets."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


@dataclass(frozen=True)
class Request:
    """A whole request, as a gateway sees it. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str  # this gateway's own http://host:port
    search: str = ""  # the query as it was sent

    def json(self) -> Json:
        """The body as JSON; None when it is none."""
        return parsed(self.body)

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter that may be repeated."""
        return parse_qs(self.search, keep_blank_values=True).get(name, [])


@dataclass(frozen=True)
class Reply:
    """A gateway's answer: ``json``, or the bytes in ``data`` with their media type in ``kind``."""

    status: int = 200
    json: Json = None
    data: bytes | None = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: bool = False  # it answers a submission that was accepted, and that can be lost now
    parts: tuple[Part, ...] = ()  # what answers a message of a WebSocket, in the order of their time
    opens: Opens | None = None  # the request was for a WebSocket, and this begins its conversation

    def body(self) -> bytes:
        """The bytes to send. Half a surrogate pair, which a request can hold, leaves as it came: as an escape."""
        if self.data is not None:
            return self.data
        if self.status == 204:
            return b""
        return json.dumps(self.json, ensure_ascii=False).encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Part:
    """One of several answers to a message of a WebSocket, sent when it is due on the account's clock."""

    due: float
    reply: Callable[[], Reply]


class Line(Protocol):
    """An open WebSocket, seen from a gateway. Every method may be called from any thread."""

    def send(self, body: bytes, fault: Fault | None = None) -> bool:
        """Send a whole message of text; False when it could not be handed over."""

    def cut(self) -> None:
        """End the connection without a closing message."""


class Talk(Protocol):
    """A gateway's side of a WebSocket."""

    idle: float
    """Real seconds without a message after which the connection is closed."""

    def hear(self, text: str) -> None:
        """Take a whole message; this may not wait for pictures."""

    def leave(self) -> None:
        """The connection has ended."""


Ask = Callable[[bytes, str], "tuple[Reply | None, Fault | None]"]
"""Pass a message to the desk with the key that it is sent under (empty: none), as a request of the method MESSAGE."""

Opens = Callable[[Line, Ask], Talk]
"""Begin a conversation over an open WebSocket."""

MESSAGE = "MESSAGE"
"""The method of a request that came as a message of a WebSocket."""


class Gateway(Protocol):
    """One vendor's dialect, constructed with its account and the settings."""

    name: ClassVar[str]

    def kind_of(self, request: Request) -> Kind:
        """What kind of request this is, for the faults."""

    def handle(self, request: Request) -> Reply:
        """Answer a request; may hold it."""

    def error(self, status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
        """An error in this gateway's shape."""
