"""What Runware shows of its tasks: finished results beside unfinished ones, and failures."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import Settings
from pipeline.emulator.pictures import TYPE
from pipeline.emulator.runware_tasks import INFERENCE, USD, Error, Task, error_of
from pipeline.types import Json


@dataclass(frozen=True)
class Answer:
    """What one task adds to the reply; ``status`` counts when no task of the request went well."""

    data: list[Json] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)
    status: int = 400
    accepted: bool = False


class Shown:
    """The account's jobs as items of ``data`` and ``errors``."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self.bases: dict[str, str] = {}  # id of a job → the address it was asked for at

    def ready(self, job: Job, number: int) -> float:
        """When a result is there, on the account's clock: one comes after the other, the last at the job's end."""
        share = 1.0 if job.failed else number / job.count
        return min(job.finished, job.started + (job.finished - job.started) * share)

    def is_ready(self, job: Job, number: int) -> bool:
        """Whether a result is there."""
        return self._account.now() >= self.ready(job, number)

    def results(self, job: Job, *, polled: bool) -> Answer:
        """The state of every result (Runware's page on task polling): cumulative, finished ones beside others."""
        if job.failed and self.is_ready(job, 1):
            error = self.failure(job)
            if self._settings.switch("runware.errors", "envelope", "item") == "item":
                told = {"code": error["code"], "message": error["message"]}
                return Answer([{"taskType": INFERENCE, "taskUUID": job.id, "status": "error", "error": told}])
            return Answer(errors=[{**error, "status": "error"}], status=200)
        data: list[Json] = []
        for number in range(1, job.count + 1):
            if not job.failed and self.is_ready(job, number):
                data.append(self.result(job, number, {"status": "success"} if polled else {}))
            else:
                data.append(self._unfinished(job))
        return Answer(data)

    def _unfinished(self, job: Job) -> Json:
        past = (self._account.now() - job.created) / max(0.001, job.finished - job.created)
        status = self._settings.switch("runware.in-flight", "processing", "pending")
        told: Json = {"taskType": INFERENCE, "taskUUID": job.id, "status": status, "progress": min(99, int(100 * past))}
        return told

    def result(self, job: Job, number: int, more: Mapping[str, Json]) -> Json:
        """A finished result, as the model's page has it."""
        asked = asked_of(job)
        told: dict[str, Json] = {"taskType": INFERENCE, "taskUUID": job.id, **more}
        told["imageUUID"] = image_uuid(job, number)
        match asked.get("outputType", "URL"):
            case "URL":
                told["imageURL"] = job.urls(self.bases[job.id])[number - 1]
            case "base64Data":
                told["imageBase64Data"] = base64.b64encode(job.picture(number)).decode()
            case _:
                text = base64.b64encode(job.picture(number)).decode()
                told["imageDataURI"] = f"data:{TYPE[job.format]};base64,{text}"
        told["seed"] = int.from_bytes(_digest(job, number)[16:20]) >> 1
        safety = asked.get("safety")
        if isinstance(safety, dict) and (safety.get("checkContent") is True or safety.get("mode") == "fast"):
            told["NSFWContent"] = "nsfw" in job.prompt.lower()
        if asked.get("includeCost") is True or self._settings.switch("runware.cost", "asked", "always") == "always":
            told["cost"] = USD / 1_000_000
        index = self._settings.switch("runware.result-index", "none", "zero", "one")
        return told if index == "none" else {**told, "resultIndex": number - (index == "zero")}

    def failure(self, job: Job) -> Error:
        """Why a job failed, as an entry of ``errors``."""
        if job.failed == "moderated":
            message = "The provider refused the request, as its content breaks the provider's policy."
            return error_of(asked_of(job), "providerContentPolicyViolation", message, "positivePrompt")
        return error_of(asked_of(job), "taskFailed", f"The task failed: {job.failed}.")


def asked_of(job: Job) -> Task:
    """The task that a job was made for."""
    return job.asked if isinstance(job.asked, dict) else {}


def _digest(job: Job, number: int) -> bytes:
    return hashlib.sha256(f"{job.id}/{number}".encode()).digest()


def image_uuid(job: Job, number: int) -> str:
    """The UUID of a picture; always the same one."""
    return str(uuid.UUID(bytes=_digest(job, number)[:16], version=4))
