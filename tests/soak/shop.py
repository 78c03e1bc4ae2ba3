"""A gateway whose pictures travel in every bad way there is, for as long as a campaign wants.

It is the fake gateway on a real socket, with its bill; only how a picture is sent is different. Each poll gives a fresh
link, and a link that has expired stays dead.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from fakes import gateway
from fakes.at_work import at_work
from fakes.campaign import write_campaign
from fakes.gateway import FakeGateway

from soak.ways import WAYS, WHOLE, cut, drawn

PRODUCTS = 20
"""Of a campaign that buys here."""


class Shop(FakeGateway):
    """The server. ``choose`` says how the n-th sending (from 1) of a job's picture goes; jobs are numbered from 0."""

    def __init__(self, choose: Callable[[int, int], str]) -> None:
        super().__init__()
        self.RequestHandlerClass = Shopkeeper
        self.choose = choose
        self.numbers: dict[str, int] = {}
        self.sendings: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.whole: dict[str, int] = {}  # SHA-256 of every picture as it is → its job's number
        self.dead: dict[str, int] = {}  # link → its status
        self.asked_dead = 0
        self.closing = threading.Event()
        self.fetched = threading.Condition()

    def picture(self, job: str) -> tuple[bytes, str]:
        """A job's picture, as it should arrive, and its format."""
        number = self.numbers[job]
        data, kind = drawn(number)
        self.whole[hashlib.sha256(data).hexdigest()] = number
        return data, kind

    def explain(self, data: bytes) -> str:
        """What some bytes are that are no picture of this shop."""
        whole = next((drawn(number)[0] for number in self.whole.values() if drawn(number)[0].startswith(data)), b"")
        return f"it ends {len(whole) - len(data)} bytes early" if whole else "it is nothing that was sent"


class Shopkeeper(gateway._Handler):
    server: Shop
    disable_nagle_algorithm = True

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        """Give every link anew with every poll."""
        if isinstance(value, dict) and "images" in value:
            fresh = self.server.state.polls
            value = {**value, "images": [f"{link}?link={fresh}" for link in value["images"]]}
        super().answer(status, value, headers)

    def image(self, ratio: str, seed: str, fault: str | None) -> None:
        server, job = self.server, self.path.split("/")[2]
        if self.path in server.dead:
            server.asked_dead += 1
            return self.raw(server.dead[self.path], b"expired", "text/plain")
        if self.path.endswith("&hop=1"):
            return self.raw(200, server.picture(job)[0], "image/png")
        with server.fetched:
            server.numbers.setdefault(job, len(server.numbers))
            server.sendings[job] += 1
            way = server.choose(server.numbers[job], server.sendings[job])
            server.ways[way] += 1
            server.fetched.notify_all()
        self.close_connection = way not in (WHOLE, "chunked")
        name, _, place = way.partition(" at ")
        data, kind = server.picture(job)
        with contextlib.suppress(OSError):  # a client that has enough is no news
            WAYS[name](self, data, kind, cut(data, place) if place else len(data))
        return None

    def send(self, headers: dict[str, object], data: bytes, status: int = 200) -> None:
        """Send exactly this."""
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        lines += ["Connection: close"] * self.close_connection
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + data)

    def reset(self) -> None:
        """Cut the connection without a farewell."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@contextlib.contextmanager
def shopping(choose: Callable[[int, int], str]) -> Iterator[Shop]:
    """A shop for the length of a campaign."""
    with at_work(Shop(choose)) as server:
        try:
            yield server
        finally:
            server.closing.set()


def ordered(folder: Path, shop: Shop, pictures: int) -> Path:
    """The manifest of a campaign that buys so many pictures here."""
    return write_campaign(
        folder,
        count=PRODUCTS,
        provider={"name": "fake", "base_url": shop.url, "concurrency": 8},
        prompts={f"table{n}": {"text": f"Place @Image1 on table {n}."} for n in range(pictures // PRODUCTS)},
        outputs={"aspect_ratio": ["1:1"], "format": ["png"]},
        budget={"usd": 1000},
    )
