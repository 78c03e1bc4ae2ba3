"""One gateway's desk: every request passes it, is counted and logged, and meets the scripted faults."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from pipeline.emulator.account import MODERATE, Account, Job
from pipeline.emulator.core import Fault, Gateway, Reply, Request, Settings
from pipeline.emulator.pictures import TYPE
from pipeline.types import EXTENSION, Json

Answer = tuple[Reply | None, Fault | None]
"""What to send (None: cut the connection) and the fault that shows in how it is sent."""

PAGE = b"<!doctype html><html><head><title>Maintenance</title></head><body><h1>We'll be back soon</h1></body></html>\n"

_FILE = re.compile(r"/files/([^/]+)/(\d+)\.(png|jpg|webp)")
_LOGGED = 10_000


class Desk:
    """Where a gateway's requests arrive."""

    def __init__(self, gateway: Gateway, account: Account, settings: Settings) -> None:
        self.gateway, self.account, self._settings = gateway, account, settings
        self.refuse: Callable[[], None] = lambda: None  # set by the server: stop listening
        self._faults = settings.faults
        self._counts: Counter[str] = Counter()
        self._log: deque[dict[str, Json]] = deque(maxlen=_LOGGED)
        self._lock = threading.Lock()

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Replace the scripted faults; their counting starts again from 1."""
        with self._lock:
            self._faults = tuple(faults)
            self._counts.clear()

    def log(self) -> list[Json]:
        """The last requests."""
        with self._lock:
            return list(self._log)

    def answer(self, request: Request) -> Answer:
        """Answer a request, or fail as scripted."""
        key = request.headers.get("authorization") or request.headers.get("x-api-key")
        if key:
            self.account.see(key.rpartition(" ")[2])
        job, number = self._picture(request)
        kind = "picture" if job else self.gateway.kind_of(request)
        fault = self._fault(kind)
        marked = MODERATE.set(fault is not None and fault.kind == "moderated")
        try:
            reply, shown = self._reply(request, job, number, fault)
        except ConnectionError:
            reply, shown = None, fault
        except Exception as error:  # an emulator that breaks says so, and goes on
            reply, shown = self.gateway.error(500, f"the emulator broke: {error!r}"), None
        finally:
            MODERATE.reset(marked)
            self.account.settle()
        status = 0 if reply is None else reply.status
        name = "" if shown is None else shown.kind
        told: dict[str, Json] = {
            "time": round(time.time(), 3),
            "method": request.method,
            "path": request.path,
            "kind": kind,
            "status": status,
            "fault": name,
        }
        with self._lock:
            self._log.append(told)
        return reply, shown

    def _fault(self, kind: str) -> Fault | None:
        with self._lock:
            self._counts[kind] += 1
            count, seed = self._counts[kind], f"{self._settings.seed}/{self.gateway.name}"
            hits = (each for each in self._faults if each.at == kind and each.hits(count, seed))
            return next(hits, None)

    def _reply(self, request: Request, job: Job | None, number: int, fault: Fault | None) -> Answer:
        instead = self._instead(fault, picture=job is not None) if fault else None
        if instead:
            return instead
        reply = _file(request, job, number) if job else self.gateway.handle(request)
        if fault is None or fault.kind == "moderated":
            return reply, fault
        loses = fault.kind in ("reset-after", "status-after")
        if loses and fault.at == "submit" and not reply.accepted:
            return reply, None  # there is nothing to lose: the request was refused
        match fault.kind:
            case "reset-after":
                return None, fault
            case "status-after":
                return self._error(int(fault.value), picture=job is not None), fault
            case "html":
                return Reply(200, data=PAGE, kind="text/html"), fault
            case "not-picture":
                return Reply(200, data=PAGE, kind="image/png"), fault
            case "wrong-type":
                return replace(reply, kind="text/html"), fault
        return reply, fault  # it shows in how the body is sent

    def _instead(self, fault: Fault, *, picture: bool) -> Answer | None:
        """What a fault does in place of the request; None when the request comes first."""
        match fault.kind:
            case "reset-before":
                return None, fault
            case "refuse":
                self.refuse()
                return None, fault
            case "status":
                return self._error(int(fault.value), picture=picture), fault
            case "expired":
                return self._error(403, picture=picture), fault
            case "429":
                reply = self._error(429, picture=picture)
                headers = dict(reply.headers) | ({"Retry-After": fault.value} if fault.value else {})
                return replace(reply, headers=headers), fault
        return None

    def _error(self, status: int, *, picture: bool) -> Reply:
        text = f"scripted failure {status}"
        if picture:  # files come from a store that knows nothing of the gateway's errors
            return Reply(status, data=text.encode(), kind="text/plain")
        return self.gateway.error(status, text)

    def _picture(self, request: Request) -> tuple[Job | None, int]:
        found = _FILE.fullmatch(request.path)
        if not found or request.method not in ("GET", "HEAD"):
            return None, 0
        job, number = self.account.job(found[1]), int(found[2])
        fits = job is not None and 1 <= number <= job.count and EXTENSION[job.format] == found[3]
        return (job, number) if fits else (None, 0)


def _file(request: Request, job: Job, number: int) -> Reply:
    """A picture by its link, as long as that lives."""
    if request.query.get("signature") != job.signature(number):
        return Reply(403, data=b"the signature does not match", kind="text/plain")
    if time.time() >= job.expires:
        return Reply(403, data=b"the link has expired", kind="text/plain")
    if job.failed or job.cancelled:
        return Reply(404, data=b"no such file", kind="text/plain")
    return Reply(data=job.picture(number), kind=TYPE[job.format])
