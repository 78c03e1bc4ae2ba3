"""Delivery of the gateways' webhooks: in the background, again when refused, and out of order when told to.

News goes only to this machine: the address in a request may be anybody's, and an emulator calls no strangers.

Switches: ``webhooks.delivery`` once | twice (every delivery is repeated) | late (every other delivery to a receiver
is held back until the next one has overtaken it). fal promises delivery at least once (its webhooks page), hence
duplicates.
"""

from __future__ import annotations

import heapq
import http.client
import ipaddress
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from pipeline.emulator.core import Settings
from pipeline.types import Json

TIMEOUT = 15.0
"""Seconds a receiver has to answer (fal's webhooks page; Each Labs gives 30, Runware 5)."""

BETWEEN = 1.0
"""Seconds of the emulator's clock before the first repetition; each further one waits twice as long."""

HELD_BACK = 5.0
"""Seconds of the emulator's clock for which ``late`` holds a delivery back if no other comes."""

_WORKERS = 8


class _Post:
    """Things to do at their time, done by a few daemon threads that are started with the first of them."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._started = False

    def put(self, delay: float, task: Callable[[], None]) -> None:
        """Do this after so many real seconds."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._number), task))
            self._changed.notify()
            if not self._started:
                self._started = True
                for number in range(_WORKERS):
                    threading.Thread(target=self._work, name=f"webhooks-{number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._due or (wait := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(wait if self._due else None)
                _, _, task = heapq.heappop(self._due)
            task()


_POST = _Post()


def deliver(url: str, body: Json | bytes, headers: Mapping[str, str], *, settings: Settings | None = None) -> None:
    """Queue a POST of ``body`` (bytes go out as they are, anything else as JSON); returns at once.

    A receiver that cannot be reached or answers without a 2xx is tried again ``settings.webhook_retries`` times.
    """
    settings = settings or Settings()
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    sent = {"Content-Type": "application/json", **headers}

    def send() -> None:
        _attempt(url, data, sent, settings.webhook_retries, BETWEEN / settings.speed)

    match settings.switch("webhooks.delivery", "once", "twice", "late"):
        case "late":
            _HELD.put(urlsplit(url).netloc, send, HELD_BACK / settings.speed)
        case "twice":
            _POST.put(0.0, send)
            _POST.put(0.0, send)
        case _:
            _POST.put(0.0, send)


class _Held:
    """Every other delivery to a receiver, kept until the one after it is out (or for a while, if none comes)."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._kept: dict[str, list[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def put(self, receiver: str, send: Callable[[], None], most: float) -> None:
        """Send this at once, or hold it back for ``most`` real seconds."""
        with self._lock:
            self._seen[receiver] += 1
            holds = self._seen[receiver] % 2 == 1
            if holds:
                self._kept.setdefault(receiver, []).append(send)
        if holds:
            _POST.put(most, lambda: self._release(receiver))
        else:
            _POST.put(0.0, lambda: self._overtake(receiver, send))

    def _overtake(self, receiver: str, send: Callable[[], None]) -> None:
        send()
        self._release(receiver)

    def _release(self, receiver: str) -> None:
        with self._lock:
            kept = self._kept.pop(receiver, [])
        for send in kept:
            send()


_HELD = _Held()


def when(ready: Callable[[], bool], act: Callable[[], None]) -> None:
    """Do ``act`` in the background once ``ready`` says yes; the longer that takes, the less often it is asked."""
    wait = itertools.chain((0.02 * 1.1**number for number in range(30)), itertools.repeat(0.25))

    def look() -> None:
        if ready():
            act()
        else:
            _POST.put(next(wait), look)

    _POST.put(0.0, look)


def problem(url: str) -> str | None:
    """What is wrong with a webhook's address; None when it can be one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    return None if parts.scheme in ("http", "https") and host else "not an http(s) URL"


def _attempt(url: str, data: bytes, headers: Mapping[str, str], retries: int, wait: float) -> None:
    if not _is_here(url) or _send(url, data, headers):
        return
    if retries > 0:
        _POST.put(wait, lambda: _attempt(url, data, headers, retries - 1, wait * 2))


def _send(url: str, data: bytes, headers: Mapping[str, str]) -> bool:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, data, dict(headers))
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException, ValueError):
        return False  # the receiver's trouble: it is tried again
    finally:
        connection.close()


def _is_here(url: str) -> bool:
    if problem(url):
        return False
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
