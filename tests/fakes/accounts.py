"""Accounts at gateways, in memory: each speaks its vendor's protocol to the real dialect, and keeps its own bill.

They are as honest as the vendors' documents: what is accepted is billed, but for what ends "broken"; what the logs hold
appears there in time. Whether a call arrives at all, and whether its answer comes back, is for the wire.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

from fakes.virtual import EPOCH, Clock
from pipeline.gateways.reading import unix, utc
from pipeline.types import Answer, Call, Offer

End = Literal["done", "broken", "moderated", "moderated-paid", "partial", "forgotten", "stuck", "cancelled"]
"""How a job ends. broken: not billed; partial: one picture less is made, and billed; forgotten: billed, then unknown;
stuck: not before the faults have ended; cancelled: by us, and not billed."""


@dataclass(slots=True)
class Job:
    """One accepted request. ``request`` is ours, ``ours`` the id that the gateway was told, ``usd`` what it billed."""

    remote: str
    request: str
    ours: str | None
    body: Any
    prompt: str
    count: int
    accepted: float
    ready: float
    listed: float
    fate: End
    usd: int = 0

    @property
    def made(self) -> int:
        """How many pictures come of it."""
        none = dict.fromkeys(("broken", "moderated", "moderated-paid", "cancelled"), 0)
        return {**none, "partial": self.count - 1}.get(self.fate, self.count)

    def images(self, gateway: str) -> list[str]:
        """Their links, each of its own."""
        return [f"https://pictures.test/{gateway}/{self.remote}/{number}.png" for number in range(self.made)]


class Account:
    """What all accounts have: jobs, a bill, and a protocol that a subclass speaks."""

    gateway: ClassVar[str]
    waits: ClassVar[bool] = False  # whether the paid call is held until the pictures exist

    def __init__(self, clock: Clock, offer: Offer, usd: int) -> None:
        self.clock, self.offer, self.usd = clock, offer, usd
        self.jobs: dict[str, Job] = {}
        self.calm = False  # no faults any more: what is stuck ends, what is forgotten is not

    @property
    def bill(self) -> int:
        """Micro-dollars billed so far."""
        return sum(job.usd for job in self.jobs.values())

    def known(self, call: Call) -> Job | None:
        """The job that this paid call asks for again, where the gateway recognises it."""
        return None

    def accept(self, call: Call, request: str, fate: End, seconds: float, lag: float, now: float) -> Job:
        """Take a paid call at that moment, and bill it."""
        body = self.body(call)
        count = int(body[self.offer.fields.get("count", "count")])
        if fate == "partial" and count == 1:
            fate = "done"
        ready = math.inf if fate == "stuck" else now + seconds
        prompt = str(body[self.offer.fields.get("prompt", "prompt")])
        remote = f"{self.gateway}-{len(self.jobs) + 1}"
        job = Job(remote, request, self.ours(call), body, prompt, count, now, ready, now + lag, self.fate(fate))
        job.usd = self.usd * (count if job.fate == "moderated-paid" else job.made)
        self.jobs[remote] = job
        return job

    def fate(self, fate: End) -> End:
        """A fate as this gateway has it."""
        return fate

    def body(self, call: Call) -> Any:
        """The input of a paid call."""
        return call.json

    def ours(self, call: Call) -> str | None:
        """The id of ours that a paid call carries."""
        return None

    def state(self, job: Job) -> str:
        """running, forgotten, or its fate."""
        if job.fate == "stuck" and self.calm:
            return "done"
        if job.ready > self.clock.now:
            return "running"
        return "done" if job.fate == "stuck" else job.fate

    def cancel(self, job: Job) -> Answer:
        """Stop a job, if it still runs."""
        if self.state(job) != "running":
            return Answer(400, {}, {"error": "already completed"})
        job.fate, job.usd, job.ready = "cancelled", 0, self.clock.now
        return Answer(202, {}, {"status": "CANCELLATION_REQUESTED"})

    def accepted(self, job: Job) -> Answer:
        """The answer to a paid call that was taken."""
        raise NotImplementedError

    def again(self, job: Job) -> Answer:
        """The answer to one that is recognised."""
        return self.accepted(job)

    def refused(self, call: Call) -> Answer:
        """The answer to a paid call whose prompt is not allowed: nothing is billed."""
        raise NotImplementedError

    def ask(self, call: Call) -> Answer:
        """The answer to a free call."""
        raise NotImplementedError


class Fake(Account):
    """The fake gateway of :mod:`fakes.dialect`: the same id twice is one job."""

    gateway = "fake"

    def known(self, call: Call) -> Job | None:
        """By our id."""
        ours = self.ours(call)
        return next((job for job in self.jobs.values() if ours and job.ours == ours), None)

    def ours(self, call: Call) -> str | None:
        """``id``; null at the gateway without one."""
        return call.json["id"]  # type: ignore[index,call-overload,return-value]

    def fate(self, fate: End) -> End:
        """It refuses for nothing, and knows what it took for ever."""
        return {"moderated-paid": "moderated", "forgotten": "done"}.get(fate, fate)  # type: ignore[return-value]

    def accepted(self, job: Job) -> Answer:
        """The job's name."""
        return Answer(200, {}, {"job": job.remote})

    def refused(self, call: Call) -> Answer:
        """A 422."""
        return Answer(422, {}, {"error": "content policy"})

    def ask(self, call: Call) -> Answer:
        """How a job goes; or which one has an id of ours."""
        if "/ours/" in call.url:
            ours = call.url.rpartition("/")[2]
            found = next((job for job in self.jobs.values() if job.ours == ours), None)
            return self.accepted(found) if found else Answer(404, {}, {"error": "unknown"})
        job = self.jobs.get(call.url.rpartition("/")[2])
        if job is None:
            return Answer(404, {}, {"error": "unknown"})
        state = self.state(job)
        if state in ("done", "partial"):
            return Answer(200, {}, {"status": "done", "images": list(job.images(self.gateway))})
        words = {"moderated": "refused"}.get(state, state)
        return Answer(200, {}, {"status": words, "reason": "content policy"})


class FakeWithoutId(Fake):
    """The same, and the same request twice is two jobs."""

    gateway = "fake-none"


class Fal(Account):
    """fal's queue."""

    gateway = "fal"

    def accepted(self, job: Job) -> Answer:
        """The request's id; its addresses follow from it."""
        return Answer(200, {}, {"request_id": job.remote})

    def refused(self, call: Call) -> Answer:
        """A 422 as of its error page."""
        return Answer(422, {}, {"detail": [{"msg": "flagged", "type": "content_policy_violation", "loc": ["prompt"]}]})

    def ask(self, call: Call) -> Answer:
        """The status of a request, or its result."""
        words = urlsplit(call.url).path.split("/")
        job = self.jobs.get(words[words.index("requests") + 1])
        state = "forgotten" if job is None else self.state(job)
        if job is None or state == "forgotten":
            return Answer(404, {}, {"detail": "no such request"})
        if words[-1] == "cancel":
            return self.cancel(job)
        if state == "cancelled" and words[-1] != "status":
            return Answer(499, {}, {"detail": "the request was cancelled"})
        if words[-1] == "status":
            return Answer(200, {}, {"status": "IN_PROGRESS" if state == "running" else "COMPLETED"})
        if state == "running":
            return Answer(400, {}, {"detail": "Request is still in progress"})
        if state == "broken":
            return Answer(500, {}, {"detail": "the runner broke"})
        if state in ("moderated", "moderated-paid"):
            return self.refused(call)
        return Answer(200, {}, {"images": [{"url": url} for url in job.images(self.gateway)]})


class Aimlapi(Account):
    """AIML API: the paid call is held until the pictures exist."""

    gateway, waits = "aimlapi", True

    def ours(self, call: Call) -> str | None:
        """``X-Client-Request-Id``."""
        return call.headers.get("X-Client-Request-Id")

    def fate(self, fate: End) -> End:
        """What it refuses it never bills; there is nothing to forget."""
        return {"moderated-paid": "moderated", "forgotten": "done"}.get(fate, fate)  # type: ignore[return-value]

    def accepted(self, job: Job) -> Answer:
        """The images themselves, or why there are none."""
        if job.fate == "broken":
            return Answer(500, {}, {"message": "the provider failed", "path": "/v1/images/generations"})
        if job.fate == "moderated":
            return Answer(400, {}, {"message": "flagged", "path": "/v1/images/generations"})
        used = job.usd * 2
        data: Any = [{"url": url} for url in job.images(self.gateway)]
        headers = {"x-inference-id": job.remote}
        return Answer(200, headers, {"data": data, "meta": {"usage": {"credits_used": used}}})

    def refused(self, call: Call) -> Answer:
        """A 400."""
        return Answer(400, {}, {"message": "flagged", "path": "/v1/images/generations"})

    def ask(self, call: Call) -> Answer:
        """The log."""
        rows: Any = [
            {
                "client_request_id": job.ours,
                "status": "success" if job.usd else "failed",
                "cost": {"usd": job.usd / 1e6},
            }
            for job in self.jobs.values()
            if job.listed <= self.clock.now or self.calm
        ]
        return Answer(200, {}, {"data": rows, "pagination": {"has_more": False}})


class Eachlabs(Account):
    """Each Labs' predictions, and its log of executions."""

    gateway = "eachlabs"

    def body(self, call: Call) -> Any:
        """``input``."""
        return call.json["input"]  # type: ignore[index,call-overload]

    def accepted(self, job: Job) -> Answer:
        """The prediction's id."""
        return Answer(200, {}, {"status": "success", "predictionID": job.remote})

    def refused(self, call: Call) -> Answer:
        """A 400."""
        return Answer(400, {}, {"status": "error", "message": "flagged", "details": "content policy"})

    def ask(self, call: Call) -> Answer:
        """A prediction, or the executions."""
        parts = urlsplit(call.url)
        if parts.path.endswith("/executions"):
            query = parse_qs(parts.query)
            since, first = unix(query["from"][0]) or 0.0, int(query["offset"][0])
            rows: Any = [
                {"id": job.remote, "created_at": utc(EPOCH + job.accepted)}
                for job in reversed(self.jobs.values())
                if (job.listed <= self.clock.now or self.calm) and EPOCH + job.accepted >= since
            ]
            return Answer(200, {}, {"executions": rows[first : first + 100], "total_count": len(rows)})
        job = self.jobs.get(parts.path.split("/")[3])
        state = "forgotten" if job is None else self.state(job)
        if job is None or state == "forgotten":
            return Answer(404, {}, {"error": "not found"})
        if parts.path.endswith("/cancel"):
            return self.cancel(job)
        shown: Any = {"id": job.remote, "input": job.body, "status": "processing"}
        if state == "broken":
            shown |= {"status": "error", "output": {"message": "the model failed", "retryable": True}}
        elif state == "cancelled":
            shown |= {"status": "cancelled"}
        elif state in ("moderated", "moderated-paid"):
            shown |= {"status": "error", "output": {"message": "flagged", "retryable": False}}
            shown["metrics"] = {"cost": job.usd / 1e6}
        elif state != "running":
            shown |= {"status": "success", "output": job.images(self.gateway), "metrics": {"cost": job.usd / 1e6}}
        return Answer(200, {}, shown)


class Runware(Account):
    """Runware's tasks, by UUIDs of ours."""

    gateway = "runware"

    def body(self, call: Call) -> Any:
        """The one task."""
        return call.json[0]  # type: ignore[index]

    def ours(self, call: Call) -> str | None:
        """``taskUUID``."""
        return str(self.body(call)["taskUUID"])

    def known(self, call: Call) -> Job | None:
        """By the ``taskUUID``."""
        return self._of(self.ours(call))

    def _of(self, ours: str | None) -> Job | None:
        return next((job for job in self.jobs.values() if job.ours == ours), None)

    def accepted(self, job: Job) -> Answer:
        """An acknowledgement."""
        return Answer(200, {}, {"data": [{"taskType": "imageInference", "taskUUID": job.ours}]})

    def again(self, job: Job) -> Answer:
        """The task is there already: a conflict."""
        return Answer(400, {}, {"errors": [self._error("conflictTaskUUID", job.ours)]})

    def refused(self, call: Call) -> Answer:
        """A 400 as of its error page."""
        return Answer(400, {}, {"errors": [self._error("contentPolicyViolation", self.ours(call))]})

    @staticmethod
    def _error(code: str, task: str | None) -> Any:
        return {"code": code, "message": code, "taskUUID": task}

    def ask(self, call: Call) -> Answer:
        """The state of tasks, or the details of one."""
        data: list[Any] = []
        errors: list[Any] = []
        tasks: Any = call.json
        for task in tasks:
            job = self._of(task["taskUUID"])
            if job is None or self.state(job) == "forgotten":
                errors.append(self._error("taskNotFound" if job is None else "taskExpired", task["taskUUID"]))
                continue
            told, wrong = self._told(job)
            if task["taskType"] == "getTaskDetails":
                whole = {"response": {"data": told, "errors": wrong}} if self.state(job) != "running" else {}
                data.append({"taskType": "getTaskDetails", "taskUUID": job.ours, "request": job.body, **whole})
            else:
                data += told
                errors += wrong
        body: dict[str, Any] = {"data": data} | ({"errors": errors} if errors else {})
        return Answer(200 if data or not errors else 400, {}, body)

    def _told(self, job: Job) -> tuple[list[Any], list[Any]]:
        state = self.state(job)
        if state == "running":
            return [{"taskType": "imageInference", "taskUUID": job.ours, "status": "processing"}], []
        if state == "broken":
            return [], [self._error("inferenceError", job.ours)]
        if state in ("moderated", "moderated-paid"):
            return [], [self._error("contentFlagged", job.ours)]
        common = {"taskType": "imageInference", "taskUUID": job.ours, "status": "success", "cost": self.usd / 1e6}
        return [common | {"imageUUID": url, "imageURL": url} for url in job.images(self.gateway)], []


ACCOUNTS: dict[str, Callable[[Clock, Offer, int], Account]] = {
    kind.gateway: kind for kind in (Fake, FakeWithoutId, Fal, Aimlapi, Eachlabs, Runware)
}
"""Gateway name → an account there."""
