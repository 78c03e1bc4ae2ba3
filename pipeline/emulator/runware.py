"""Runware: arrays of tasks at ``POST /v1``, or as messages of a WebSocket at the same address.

By Runware's model page of Kling IMAGE O1 and its platform pages on errors, task polling, task details, webhooks and
media storage (shared facts, part 4). ``taskUUID`` is the client's, and a second request under it is refused.

Switches, the first choice being the default:
``runware.resolution``    either | lower | upper: ``1k`` of the model's page, ``1K`` of runware-sdk 1.8.0's types
``runware.parameters``    page | sdk: whether ``routing`` and ``advancedFeatures`` of those types are known
``runware.localhost``     accept | refuse: references on this machine
``runware.refused-uuid``  free | consumed: the UUID of a task that failed validation
``runware.ack``           item | empty: the ``data`` of an accepted asynchronous task
``runware.in-flight``     processing | pending: the status of an unfinished result (older documents: pending)
``runware.errors``        envelope | item: a failed task under ``errors``, or in ``data`` with ``status: error``
``runware.empty-errors``  omit | list: ``errors`` of a reply without any
``runware.unknown-task``  error | empty: getResponse for an unknown UUID (taskNotFound | no data)
``runware.cost``          asked | always: whether ``cost`` needs ``includeCost``
``runware.result-index``  none | zero | one: ``resultIndex`` of results, and where it begins
``runware.webhook``       flat | data: a notice is the result, or has it in ``data``
``runware.image-upload``  array | object: the ``data`` of imageUpload's reply
``runware.socket-results`` each | together: the results of a synchronous task over a WebSocket
``runware.socket-errors`` errors | error: the key of errors over a WebSocket; runware-sdk reads both
``runware.socket-idle``   real seconds after its last message until a WebSocket is closed, 120 by default

A prompt that contains ``nsfw`` makes ``NSFWContent`` true if ``safety`` asks for a check.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

from pipeline.emulator import links, runware_tasks, webhooks
from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import MESSAGE, Kind, Part, Reply, Request, Settings
from pipeline.emulator.pictures import TYPE
from pipeline.emulator.runware_media import Media
from pipeline.emulator.runware_shown import Answer, Shown, asked_of, image_uuid
from pipeline.emulator.runware_socket import Sessions, tasks_of
from pipeline.emulator.runware_tasks import FORMATS, INFERENCE, USD, Error, Task, error_of
from pipeline.types import Json

_POLLS = frozenset({"getResponse", "getTaskDetails"})
_UPLOADS = frozenset({"mediaStorage", "imageUpload"})


class Runware:
    """The vendor Runware."""

    name: ClassVar[str] = "runware"

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self._media = Media(account)
        self._shown = Shown(account, settings)
        self._sessions = Sessions(account, settings)
        self._consumed: set[str] = set()
        self._lock = threading.Lock()  # two requests with one taskUUID can come at once

    def kind_of(self, request: Request) -> Kind:
        """A request that has a task for pictures is a submission, whatever else it has."""
        kinds = {str(task.get("taskType")) for task in tasks_of(request.json())}
        if INFERENCE in kinds:
            return "submit"
        return "poll" if kinds & _POLLS else "upload" if kinds & _UPLOADS else "other"

    def error(self, status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
        """An error of a whole request: it names no task."""
        return Reply(status, {"errors": [{"code": runware_tasks.code_of(status), "message": text}]}, headers=headers)

    def handle(self, request: Request) -> Reply:
        """Answer a request, task by task; over HTTP it is held until the pictures of synchronous ones are there."""
        if request.method == "GET" and request.path.startswith("/media/"):
            return self._media.file(request) or self.error(404, "There is no such media")
        if request.path != "/v1":
            return self.error(404, f"There is no {request.path}")
        if request.method == "GET" and request.headers.get("upgrade", "").lower() == "websocket":
            return Reply(101, opens=self._sessions.open)
        if request.method not in ("POST", MESSAGE):
            return self.error(405, "Only POST is allowed, or GET for a WebSocket")
        tasks = tasks_of(request.json())
        if not tasks:
            return self.error(400, "The request must be an array of objects, each of them a task")
        refusal = self._refusal(request, tasks[0])
        if refusal is not None:
            return Reply(401, {"errors": [refusal]})
        if tasks[0].get("taskType") == "authentication" and len(tasks) > 1:
            tasks = tasks[1:]
        begun = [self._begin(task, request.base) for task in tasks]
        if request.method == MESSAGE:
            return self._parts(begun)
        return self._reply([self._wait(each) if isinstance(each, Job) else each for each in begun])

    def _refusal(self, request: Request, first: Task) -> Error | None:
        """What is wrong with the key; it may stand in the header, or in a first task."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        if first.get("taskType") == "authentication":
            key = str(first.get("apiKey") or "")
            self._account.see(key)  # one in a header is counted before
        if key and self._settings.key in (None, key):
            return None
        code = "invalidApiKey" if key else "missingApiKey"
        return error_of({"taskType": "authentication"}, code, "Invalid API key.", "apiKey")

    def _reply(self, answers: list[Answer]) -> Reply:
        data = [item for answer in answers for item in answer.data]
        errors: list[Json] = [error for answer in answers for error in answer.errors]
        alone = not data and all(answer.errors for answer in answers)
        told: dict[str, Json] = {"data": data}
        single = self._settings.switch("runware.image-upload", "array", "object") == "object"
        if single and len(data) == 1 and _is_image_upload(data[0]):
            told = {"data": data[0]}
        if errors or self._settings.switch("runware.empty-errors", "omit", "list") == "list":
            told["errors"] = errors
        accepted = any(answer.accepted for answer in answers)
        return Reply(answers[0].status if alone else 200, told, accepted=accepted)

    def _parts(self, begun: list[Answer | Job]) -> Reply:
        """A message for every answer, and for every result of a synchronous task as it is made."""
        together = self._settings.switch("runware.socket-results", "each", "together") == "together"
        parts = []
        for each in begun:
            if isinstance(each, Answer):
                parts.append(Part(0.0, partial(self._reply, [each])))
            elif each.failed or together:
                parts.append(Part(each.finished, lambda job=each: self._reply([self._wait(job)])))  # type: ignore[misc]
            else:
                parts += [
                    Part(self._shown.ready(each, number), partial(self._single, each, number))
                    for number in range(1, each.count + 1)
                ]
        accepted = any(isinstance(each, Job) or each.accepted for each in begun)
        return Reply(parts=tuple(sorted(parts, key=lambda part: part.due)), accepted=accepted)

    def _single(self, job: Job, number: int) -> Reply:
        return self._reply([Answer([self._shown.result(job, number, {})])])

    def _begin(self, task: Task, base: str) -> Answer | Job:
        """Start a task. A synchronous one is its job, which is to be waited for."""
        wrong = runware_tasks.complaints(task, self._settings, self._media.knows)
        if wrong:
            if task.get("taskType") == INFERENCE and self._settings.switch(*_REFUSED_UUID) == "consumed":
                self._consumed.add(str(task.get("taskUUID")))
            return Answer(errors=wrong)
        match task["taskType"]:
            case "imageInference":
                return self._submit(task, base)
            case "getResponse":
                return self._poll(task)
            case "getTaskDetails":
                return self._details(task)
            case "mediaStorage" | "imageUpload":
                return self._store(task, base)
            case "accountManagement":
                return Answer([self._manage(task)])
            case "authentication":
                return Answer([{"taskType": "authentication", "connectionSessionUUID": str(uuid.uuid4())}])
            case _:
                return Answer([{"taskType": "ping", "pong": True}])

    # ── pictures ────────────────────────────────────────────────────────────────────────────────

    def _submit(self, task: Task, base: str) -> Answer | Job:
        with self._lock:
            refused = self._unacceptable(task)
            if refused is not None:
                return refused
            job = self._create(task, base)
        self._announce(job)
        if task.get("deliveryMethod", "sync") == "sync" and "webhookURL" not in task:
            return job
        told: list[Json] = [{"taskType": INFERENCE, "taskUUID": job.id}]
        empty = self._settings.switch("runware.ack", "item", "empty") == "empty"
        return Answer([] if empty else told, accepted=True)

    def _unacceptable(self, task: Task) -> Answer | None:
        name = str(task["taskUUID"])
        if self._account.job(name) is not None or name in self._consumed:
            message = "A task with the same 'taskUUID' was already sent; it must be unique for each task."
            return Answer(errors=[error_of(task, "conflictTaskUUID", message, "taskUUID")])
        if self._account.admit() is not None:
            message = "Too many requests. Please slow down and try again later."
            return Answer(errors=[error_of(task, "rateLimitExceeded", message)], status=429)
        return None

    def _create(self, task: Task, base: str) -> Job:
        width, height, count = task.get("width"), task.get("height"), task.get("numberResults", 1)
        size = (int(width), int(height)) if isinstance(width, int | float) and isinstance(height, int | float) else None
        given = runware_tasks.references(task)
        self._shown.bases[str(task["taskUUID"])] = base
        job = self._account.create(
            id=str(task["taskUUID"]),
            asked=task,
            prompt=str(task["positivePrompt"]),
            references=[self._media.plain(text) for text in given],
            count=int(count) if isinstance(count, int | float) else 1,
            size=size,
            ratio="auto",
            format=FORMATS[str(task.get("outputFormat", "JPG"))],
            usd_each=USD,
        )
        if isinstance(ttl := task.get("ttl"), int | float):
            job.settings = replace(job.settings, url_seconds=float(ttl))
        for number in range(1, job.count + 1):
            self._media.remember(image_uuid(job, number), job, number)
        return job

    def _wait(self, job: Job) -> Answer:
        """Hold a synchronous task until it is over."""
        self._account.wait(job.finished)
        told = self._shown.results(job, polled=False)
        return Answer(told.data, told.errors, status=400, accepted=True)

    def _poll(self, task: Task) -> Answer:
        job = self._account.job(str(task["taskUUID"]))
        if job is not None:
            return self._shown.results(job, polled=True)
        if self._settings.switch("runware.unknown-task", "error", "empty") == "empty":
            return Answer()
        return _not_found(task)

    # ── notices, and where the bytes go by themselves ───────────────────────────────────────────

    def _announce(self, job: Job) -> None:
        asked = asked_of(job)
        for number in range(1, job.count + 1):
            if "webhookURL" in asked or "uploadEndpoint" in asked:
                webhooks.when(
                    lambda number=number: self._shown.is_ready(job, number),  # type: ignore[misc]  # bound early
                    lambda number=number: self._send(job, number),  # type: ignore[misc]
                )

    def _send(self, job: Job, number: int) -> None:
        """One notice for each finished result, or a single one for a failed task."""
        asked = asked_of(job)
        if "uploadEndpoint" in asked and not job.failed:
            links.put(str(asked["uploadEndpoint"]), job.picture(number), TYPE[job.format])
        if "webhookURL" not in asked or (job.failed and number > 1):
            return
        if job.failed:
            told: Json = {"errors": [self._shown.failure(job)]}
        else:
            told = self._shown.result(job, number, {})
            if self._settings.switch("runware.webhook", "flat", "data") == "data":
                told = {"data": [told]}
        webhooks.deliver(str(asked["webhookURL"]), told, {}, settings=self._settings)

    # ── the other tasks ─────────────────────────────────────────────────────────────────────────

    def _details(self, task: Task) -> Answer:
        job = self._account.job(str(task["taskUUID"]))
        if job is None:
            return _not_found(task)
        found = self._shown.results(job, polled=False)
        response: Json = {"errors": [*found.errors]} if found.errors else {"data": found.data}
        told: Task = {"taskType": "getTaskDetails", "taskUUID": job.id, "request": [job.asked], "response": response}
        return Answer([told])

    def _store(self, task: Task, base: str) -> Answer:
        deletes = task.get("operation") == "delete"
        given = str(task.get("media") or task.get("image"))
        done = self._media.delete(given) if deletes else self._media.store(given, base)
        if done is None and deletes:
            return Answer(errors=[error_of(task, "mediaNotFound", "There is no such media.", "media")], status=404)
        name = "image" if task["taskType"] == "imageUpload" else "media"
        if done is None:
            text = f"Invalid value for '{name}' parameter: it must be a URL, a data URI or base64 of a picture."
            return Answer(errors=[error_of(task, "invalidMedia" if name == "media" else "invalidImage", text, name)])
        told: Task = {"taskType": task["taskType"], "taskUUID": task["taskUUID"]}
        told |= {"operation": task["operation"]} if name == "media" else {}
        told[f"{name}UUID"] = done.uuid
        if not deletes:
            told[f"{name}URL"] = done.url
        return Answer([told])

    def _manage(self, task: Task) -> Json:
        told: Task = {"taskType": "accountManagement", "taskUUID": task["taskUUID"], "operation": task["operation"]}
        if task["operation"] != "getDetails":
            return {**told, "usage": {}}
        spent = sum(job.billed for job in self._account.jobs()) / 1_000_000
        about: Task = {"organizationName": "Emulated", "organizationUUID": str(uuid.UUID(int=0, version=4))}
        return {**told, **about, "balance": {"amount": 1000 - spent, "currency": "USD"}, "team": [], "apiKeys": []}


_REFUSED_UUID = ("runware.refused-uuid", "free", "consumed")


def _not_found(task: Task) -> Answer:
    told = error_of(task, "taskNotFound", "There is no task with this 'taskUUID'.", "taskUUID")
    return Answer(errors=[told], status=404)


def _is_image_upload(item: Json) -> bool:
    return isinstance(item, dict) and item.get("taskType") == "imageUpload"
