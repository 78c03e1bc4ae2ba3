"""Runware: arrays of tasks with UUIDs of ours.

Sources: Runware's model page (seeds/runware-kling-image-o1.md), its pages on task polling, errors and webhooks, and its
SDKs. A ``taskUUID`` is unique: sent again after a lost answer it is refused with ``conflictTaskUUID``, which says that
the task is there. Polls of several requests share one POST.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pipeline.errors import Forgotten, LaneStopped, LostAnswer, Refused, RequestError, TryLater
from pipeline.gateways.pictures import image
from pipeline.gateways.reading import (
    broken,
    check_accepted,
    check_polled,
    inputs,
    items,
    number,
    part,
    said,
    text,
)
from pipeline.types import (
    Answer,
    Call,
    Cancel,
    Carried,
    Fate,
    Flow,
    Job,
    Json,
    LocalFile,
    Polling,
    RemoteImage,
    Settles,
    Trace,
    Upload,
    Uploaded,
    micro_usd,
)

API = "https://api.runware.ai"
UPLOAD_SECONDS = 20 * 86400.0
"""Uploads are "removed 30 days after last use"."""
IDLE_POLLS = 4
"""Polls that say nothing new of a task, nor that it is running, before its details are asked for."""
_EXTRAS = ("outputType", "outputQuality", "ttl", "safety", "uploadEndpoint")

_UNKNOWN = ("taskNotFound", "taskExpired")
_VALIDATION = ("invalid", "missing", "unsupported", "conflict")
_ACCOUNT = ("apikey", "credits", "quota", "balance", "paymentrequired", "accountdisabled")
_STOPPING = ("invalidApiKey", "unauthorized", "missingApiKey", "insufficientCredits", "accountSuspended", "forbidden")
_LATER = (
    "rate",
    "provider",
    "inference",
    "taskfailed",
    "timeout",
    "server",
    "unavailable",
    "internal",
    "unknownerror",
    "standarderror",
    "processing",
    "download",
    "notready",
)
_SAFETY = ("content", "nsfw", "blocked", "moderation", "sensitive")


class Runware:
    """The task API of Runware, over HTTP."""

    name: ClassVar[str] = "runware"
    settles: ClassVar[Settles] = "id"
    references: ClassVar[tuple[Carried, ...]] = ("upload", "inline")
    key: ClassVar[str] = "RUNWARE_API_KEY"
    origins: ClassVar[tuple[str, ...]] = (API,)
    polling: ClassVar[Polling] = Polling(1.0, 1.5)
    patience: ClassVar[float] = 0.0

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """``Authorization: Bearer``."""
        return {"Authorization": f"Bearer {key}"}

    def make(self, job: Job) -> Flow:
        """Send the task, then ask for its results until there are as many as were asked for."""
        sync = job.options.get("delivery") == "sync"
        answer = yield self.submit(job, sync=sync)
        found = _Found(job)
        if not _conflict(answer, job.id):
            self.read_submitted(answer, found, sync=sync)
        asked: Json = [{"taskType": "getResponse", "taskUUID": job.id}]
        idle = 0
        for wait in job.polling.waits():
            if len(found.images) >= job.count or (found.images and found.error and not found.running):
                break
            if found.error is not None and not found.running:
                raise found.error
            polled = yield Call("POST", job.url(API, "/v1"), json=asked, after=wait, merged=True)
            before = len(found.images)
            if not found.read(polled.json) and not _says_of_tasks(polled):
                check_polled(polled, self.name)
            idle = 0 if found.running or found.error or len(found.images) > before else idle + 1
            if idle == IDLE_POLLS:
                yield from self.details(job, found)
                if found.images and found.whole:
                    break  # nothing more comes
                idle = 0
        return found.images

    def read_submitted(self, answer: Answer, found: _Found, *, sync: bool) -> None:
        """What the answer to the submit says: its results, an acknowledgement, or a refusal.

        A batch may half succeed, and after a timeout of a synchronous call the task goes on in the background.
        """
        errors = _errors(answer.json, found.job.id)
        broken_items: Json = {"errors": [entry for entry in items(answer.json, "data") if part(entry, "error")]}
        failed = errors + _errors(broken_items, found.job.id)
        found.read(answer.json)
        if found.images:
            return
        if failed and sync and all("timeout" in code.lower() for code in _codes(failed)):
            found.error = None
            return
        if answer.status >= 300 or errors:
            raise _refusal(answer, found.job.id)
        if not isinstance(part(answer.json, "data"), list):
            broken(self.name, "the answer holds no data")

    def submit(self, job: Job, *, sync: bool) -> Call:
        """The paid call."""
        task: dict[str, Json] = {
            "taskType": "imageInference",
            "taskUUID": job.id,
            "model": job.offer.id,
            **inputs(job),
            "deliveryMethod": "sync" if sync else "async",
            "includeCost": True,
            **{name: job.options[name] for name in _EXTRAS if name in job.options},
        }
        if job.webhook:
            task["webhookURL"] = job.webhook
        return Call(
            "POST",
            job.url(API, "/v1"),
            json=[task],
            paid=True,
            seconds=job.deadline if sync else 60.0,
        )

    def details(self, job: Job, found: _Found) -> Flow:
        """``getTaskDetails``, for a task that ``getResponse`` says nothing of."""
        answer = yield self.asked_details(job)
        told = [entry for entry in items(answer.json, "data") if text(entry, "taskUUID") == job.id]
        for entry in told:
            found.read(part(entry, "response"))
        found.whole = not told or any(part(entry, "response") for entry in told)
        if any(part(entry, "request") or part(entry, "response") for entry in told):
            return []
        if not _is_unknown(answer, job.id):
            check_polled(answer, self.name)
            if _errors(answer.json, job.id):
                broken(self.name, f"asked for a task's details, it answered: {said(answer.json)}")
        if not found.images:
            raise Forgotten(f"Runware does not know task {job.id} any more")
        return []

    def asked_details(self, job: Job) -> Call:
        """The question for a task's details."""
        asked: Json = [{"taskType": "getTaskDetails", "taskUUID": job.id}]
        return Call("POST", job.url(API, "/v1"), json=asked)

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """``getTaskDetails``, for a task that is refused when it is sent again: was it accepted the first time?"""
        answer = yield self.asked_details(job)
        # Expired: what the code means is not documented; it names a task that there was.
        expired = "taskExpired" in _codes(_errors(answer.json, job.id))
        if expired or any(text(entry, "taskUUID") == job.id for entry in items(answer.json, "data")):
            return Fate("accepted", Answer(200, {}, {"data": [{"taskType": "imageInference", "taskUUID": job.id}]}))
        kind: Literal["not-accepted", "unknown"] = "not-accepted" if _is_unknown(answer, job.id) else "unknown"
        return Fate(kind, text="Runware does not know the task")

    def remote_id(self, receipt: Answer) -> str:
        """Our own ``taskUUID`` is Runware's."""
        return text(receipt.json, "data", 0, "taskUUID")

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """Runware has no way on its side: given up by the client, a task is billed all the same."""
        yield from ()
        return "impossible"

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """Into Runware's media storage."""
        media = f"data:{file.kind};base64,{base64.b64encode(file.data).decode()}"
        task: Json = [{"taskType": "mediaStorage", "taskUUID": file.id, "operation": "upload", "media": media}]
        answer = yield Call("POST", f"{base_url or API}/v1", json=task, seconds=120.0)
        if _errors(answer.json, file.id) or answer.status >= 300:
            raise _refusal(answer, file.id)
        given = text(answer.json, "data", 0, "mediaUUID") or text(answer.json, "data", "mediaUUID")
        if not given:
            broken(self.name, "the upload has no id")
        return Uploaded(given, UPLOAD_SECONDS)


class _Found:
    """What is known of a task's results so far: its state is cumulative, and repeated by every poll."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seen: dict[str, RemoteImage] = {}
        self.error: RequestError | None = None
        self.running = False
        self.whole = False  # whether the details say that nothing more comes

    @property
    def images(self) -> list[RemoteImage]:
        return list(self.seen.values())

    def read(self, body: Json) -> bool:
        """Take in an answer; whether it said anything of this task."""
        found_wrong = _errors(body, self.job.id)
        # A poll carries many tasks: an error that names none of them says nothing of this one, unless of the account.
        errors = [entry for entry in found_wrong if text(entry, "taskUUID") and text(entry, "code") not in _UNKNOWN]
        account = [entry for entry in found_wrong if text(entry, "code") in _STOPPING]
        if account:
            raise _verdict(account, 200)
        told = [entry for entry in items(body, "data") if text(entry, "taskUUID") == self.job.id]
        self.running = any(text(entry, "status") in ("processing", "pending") for entry in told)
        for entry in told:
            found = _image(entry)
            if found is not None:
                name = text(entry, "imageUUID") or str(len(self.seen))
                self.seen.setdefault(name, found)
            elif text(entry, "status") == "error" or part(entry, "error"):
                errors.append(entry)
        if errors:
            self.error = _verdict(errors, 200)
        return bool(errors or told)


def _image(entry: Json) -> RemoteImage | None:
    found = image(entry)
    if found is None:
        return None
    cost, seed, nsfw = number(entry, "cost"), part(entry, "seed"), part(entry, "NSFWContent")
    return replace(
        found,
        usd=None if cost is None else micro_usd(cost),
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        nsfw=nsfw if isinstance(nsfw, bool) else None,
    )


def _errors(body: Json, task: str) -> list[Json]:
    """The errors that belong to a task: those that name it, and those that name none."""
    found = items(body, "errors") + items(body, "error")
    lone = part(body, "error")
    if isinstance(lone, dict):
        found.append({"taskUUID": part(body, "taskUUID"), **lone})
    return [entry for entry in found if text(entry, "taskUUID") in (task, "")]


def _says_of_tasks(answer: Answer) -> bool:
    """Whether an answer to a poll is about tasks, whichever they are, and not about the poll."""
    named = any(text(entry, "taskUUID") for entry in items(answer.json, "errors"))
    return answer.status < 300 or answer.status == 404 or (answer.status == 400 and named)


def _is_unknown(answer: Answer, task: str) -> bool:
    """Whether an answer says that there is no such task."""
    return any(code in _UNKNOWN for code in _codes(_errors(answer.json, task)))


def _codes(errors: list[Json]) -> Iterator[str]:
    for entry in errors:
        yield text(entry, "code") or text(entry, "error", "code")


def _conflict(answer: Answer, task: str) -> bool:
    """Whether the task is there already: an earlier answer was lost."""
    return "conflictTaskUUID" in _codes(_errors(answer.json, task))


def _refusal(answer: Answer, task: str) -> RequestError:
    """What an answer to a submit means that is no acceptance."""
    errors = _errors(answer.json, task)
    if errors and answer.status < 500:  # what broke inside may have been accepted: the same UUID again
        return _verdict(errors, answer.status, accepted=False)
    try:
        check_accepted(answer, "runware")
    except RequestError as error:
        return error
    return LostAnswer("runware: the answer makes no sense")


def _verdict(errors: list[Json], status: int, *, accepted: bool = True) -> RequestError:
    """The disposition of Runware's error codes, by category: they are "not a stable contract"."""
    codes = list(_codes(errors))
    words = f"Runware: {said(errors)}"
    lower = [code.lower() for code in codes]
    account = any(code in _STOPPING for code in codes) or any(word in code for code in lower for word in _ACCOUNT)
    if status in (401, 402, 403) or account:
        return LaneStopped(words)
    if any(word in code for code in lower for word in _SAFETY):
        return Refused(words, usd=None if accepted else 0)
    valid = [code for code in lower if not code.startswith(_VALIDATION)]
    if status in (429, 500, 503) or any(word in code for code in valid for word in _LATER):
        return TryLater(words)
    return Refused(words, usd=None if accepted else 0)
