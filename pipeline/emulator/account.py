"""A gateway's account: its clock, its jobs, its limits, and the bill it keeps of its own."""

from __future__ import annotations

import hashlib
import heapq
import random
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextvars import ContextVar

from pipeline.emulator.core import Settings
from pipeline.emulator.job import Job
from pipeline.emulator.studio import Studio
from pipeline.types import Json

MODERATE: ContextVar[bool] = ContextVar("moderate", default=False)
"""Whether a scripted fault lets the jobs of the request at hand fail in moderation."""

SERVING: ContextVar[bool] = ContextVar("serving", default=False)
"""Whether this thread answers a request: it is to give up when the emulator closes."""

__all__ = ["Account", "Job"]

LIMITS: Mapping[str, Mapping[str, int]] = {
    "fal": {"concurrent": 40},
    "eachlabs": {"creates_per_minute": 100, "concurrent": 10},
}
"""The published limits: fal's documentation of concurrency (40 at most), Each Labs' model page of Kling O1."""

QUEUES = frozenset({"fal"})
"""Gateways where a job over the concurrency limit waits for its turn instead of being rejected."""

CANCELLED_FREE = frozenset({"eachlabs"})
"""Gateways that bill nothing for a job cancelled while it runs (Each Labs' Video API page on billing)."""

_MINUTE = 60.0


class Account:
    """What one gateway knows of its customer. Every method may be called from any thread."""

    def __init__(self, gateway: str, settings: Settings) -> None:
        self.gateway, self.settings = gateway, settings
        self._studio = Studio()
        self._limits = {**LIMITS.get(gateway, {}), **settings.limits.get(gateway, {})}
        self._lock = threading.RLock()
        self._wall, self._origin = time.time(), time.monotonic()
        self._closed = threading.Event()
        self._jobs: dict[str, Job] = {}
        self._live: list[Job] = []  # neither finished nor cancelled, in the order of their creation
        self._minute: deque[float] = deque()  # admissions of the last minute
        self._reserved: Counter[int] = Counter()  # thread → admitted, not yet created
        self._created: deque[float] = deque()
        self._keys: set[bytes] = set()
        self._rejected: Counter[str] = Counter()
        self._peak = self._most = 0

    # ── the clock ───────────────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        """Seconds on the clock; it starts at the Unix time, and then runs as fast as the settings say."""
        if SERVING.get() and self._closed.is_set():
            raise ConnectionAbortedError("the emulator closes")
        return self._wall + (time.monotonic() - self._origin) * self.settings.speed

    def wait(self, until: float) -> None:
        """Hold the request at hand until a time of the clock."""
        while (left := until - self.now()) > 0:
            self.rest(min(left / self.settings.speed, 3600.0))

    def rest(self, seconds: float) -> None:
        """Hold the request at hand for real seconds."""
        if self._closed.wait(seconds):
            raise ConnectionAbortedError("the emulator closes")

    # ── jobs ────────────────────────────────────────────────────────────────────────────────────

    def limit(self, name: str) -> int:
        """``creates_per_minute`` or ``concurrent``; a very large number when there is none."""
        return self._limits.get(name) or sys.maxsize

    def admit(self) -> str | None:
        """None when one more job may be created, or why not: ``rate`` or ``concurrency``."""
        with self._lock:
            now = self.now()
            _forget(self._minute, now)
            reason = None
            if len(self._minute) >= self.limit("creates_per_minute"):
                reason = "rate"
            elif self.gateway not in QUEUES:
                busy = len(self._unfinished(now)) + self._reserved.total()
                reason = "concurrency" if busy >= self.limit("concurrent") else None
            if reason:
                self._rejected[reason] += 1
            else:
                self._minute.append(now)
                self._reserved[threading.get_ident()] += 1
            return reason

    def settle(self) -> None:
        """Forget what this thread was admitted and didn't create."""
        with self._lock:
            self._reserved.pop(threading.get_ident(), None)

    def create(
        self,
        *,
        id: str,  # noqa: A002  # what every vendor calls it
        asked: Json,
        prompt: str,
        references: list[str],
        count: int,
        size: tuple[int, int] | None,
        ratio: str,
        format: str,  # noqa: A002  # likewise
        usd_each: int,
        client: str = "",
    ) -> Job:
        """Accept a job, and bill it; one that moderation refuses fails, and costs nothing."""
        with self._lock:
            now = self.now()
            seconds = self._dice(f"latency/{len(self._jobs)}").uniform(*self.settings.latency)
            word = self.settings.moderated.casefold()
            refused = MODERATE.get() or (word != "" and word in prompt.casefold())
            job = Job(
                id=id,
                asked=asked,
                prompt=prompt,
                references=references,
                count=count,
                size=size,
                ratio=ratio,
                format=format,
                created=now,
                started=now,
                finished=now + seconds,
                billed=0 if refused else count * usd_each,
                client=client,
                wall=time.time(),
                account=self,
                settings=self.settings,
                studio=self._studio,
                failed="moderated" if refused else "",
            )
            thread = threading.get_ident()
            if self._reserved[thread] > 0:
                self._reserved[thread] -= 1
            self._jobs[id] = job
            self._unfinished(now).append(job)
            self._schedule(now)
            self._created.append(now)
            _forget(self._created, now)
            self._peak, self._most = max(self._peak, len(self._live)), max(self._most, len(self._created))
            return job

    def job(self, id: str) -> Job | None:  # noqa: A002
        """The job of this id."""
        return self._jobs.get(id)

    def jobs(self) -> list[Job]:
        """All jobs, in the order of their creation."""
        with self._lock:
            return list(self._jobs.values())

    def running(self) -> int:
        """How many jobs are in progress."""
        with self._lock:
            now = self.now()
            return sum(job.started <= now for job in self._unfinished(now))

    def position(self, job: Job) -> int:
        """How many jobs wait before this one."""
        with self._lock:
            now = self.now()
            waiting = [other for other in self._unfinished(now) if other.started > now]
            return waiting.index(job) if job in waiting else 0

    def cancel(self, job: Job) -> None:
        """Cancel a job that isn't over; free of charge if it still waits for its turn."""
        with self._lock:
            now = self.now()
            state = job.state(now)
            if state in ("queued", "running"):
                job.cancelled = True
                if state == "queued" or self.gateway in CANCELLED_FREE:
                    job.billed = 0
                self._schedule(now)

    def fail(self, job: Job, reason: str) -> None:
        """Let a job fail without cost: a running one at its end, one that still waits at once."""
        with self._lock:
            now = self.now()
            job.failed, job.billed = reason, 0
            if job.state(now) == "queued":
                job.started = job.finished = now
                self._schedule(now)

    def _unfinished(self, now: float) -> list[Job]:
        self._live = [job for job in self._live if job.finished > now and not job.cancelled]
        return self._live

    def _schedule(self, now: float) -> None:
        """Give every waiting job the first free place; where nothing queues, no job waits."""
        if self.gateway not in QUEUES:
            return
        live = self._unfinished(now)
        fresh = [job for job in live if job.started >= now]
        busy = [job.finished for job in live if job.started < now]
        heapq.heapify(busy)
        for job in fresh:
            seconds = job.finished - job.started
            job.started = now if len(busy) < self.limit("concurrent") else max(now, heapq.heappop(busy))
            job.finished = job.started + seconds
            heapq.heappush(busy, job.finished)

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self.settings.seed}/{self.gateway}/{what}")  # noqa: S311  # repeatable, no secret

    # ── uploads ─────────────────────────────────────────────────────────────────────────────────

    def upload(self, id: str, data: bytes, kind: str) -> None:  # noqa: A002
        """Keep an uploaded file with its media type; a reference that ends in its id is drawn with it."""
        self._studio.upload(id, data, kind)

    def uploaded(self, id: str) -> tuple[bytes, str] | None:  # noqa: A002
        """The uploaded file of this id."""
        return self._studio.uploaded(id)

    # ── the bill ────────────────────────────────────────────────────────────────────────────────

    def see(self, key: str) -> None:
        """Count a key; only a hash of it is kept."""
        with self._lock:
            self._keys.add(hashlib.sha256(key.encode()).digest())

    def bill(self) -> dict[str, Json]:
        """What was asked and what it costs, by this side's own count."""
        with self._lock:
            jobs = list(self._jobs.values())
            usd = sum(job.billed for job in jobs)
            return {
                "gateway": self.gateway,
                "requests": len(jobs),
                "pictures": sum(job.count for job in jobs if job.billed),
                "usd": usd / 1_000_000,
                "usd_micro": usd,
                "jobs": [_line(job) for job in jobs],
                "peak_in_flight": self._peak,
                "most_creates_per_minute": self._most,
                "rejected_rate": self._rejected["rate"],
                "rejected_concurrency": self._rejected["concurrency"],
                "keys_seen": len(self._keys),
            }

    def close(self) -> None:
        """Let held requests go, and remove what was kept on disk."""
        self._closed.set()
        self._studio.close()


def _line(job: Job) -> dict[str, Json]:
    return {
        "id": job.id,
        "client": job.client,
        "prompt": job.prompt,
        "ratio": job.ratio,
        "size": list(job.size) if job.size else None,
        "count": job.count,
        "usd_micro": job.billed,
        "digest": job.digest,
    }


def _forget(times: deque[float], now: float) -> None:
    """Drop what lies more than a minute back."""
    while times and times[0] <= now - _MINUTE:
        times.popleft()
