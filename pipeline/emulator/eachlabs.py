"""Each Labs: predictions, and the list of executions in which a lost one can be found again.

By Each Labs' model page of Kling O1 and its API reference, which contradict each other (shared facts, part 3). The
limits are those of the model page. Uploads are in ``eachlabs_files``.

Switches, the first choice being the default:
``eachlabs.auth``           either | x-api-key | bearer: which header carries the key
``eachlabs.status``         current | seed | openapi: the words for a prediction's state (reference, model page, …)
``eachlabs.poll``           current | seed: a prediction with ``id``, ``input``, ``urls``, or the model page's fields
``eachlabs.output``         array | string | objects: links, one link (if it is one picture), or objects with ``url``
``eachlabs.failure``        envelope | dispatch | message: where a poll says why it failed
``eachlabs.error-body``     current | seed | video: ``{"error"}``, ``{"status", "message", "details"}``, or ``{}``
``eachlabs.localhost``      accept | refuse: references on this machine, over plain HTTP too
``eachlabs.run``            unsupported | supported: the synchronous ``/v1/prediction/run``
``eachlabs.cancel``         cancelled | success: the ``status`` in the reply to a cancellation
``eachlabs.cancel-unknown`` 404 | 500: the reply to cancelling what does not exist
``eachlabs.delete-unknown`` 204 | 404: the reply to deleting a file that does not exist
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pipeline.emulator import links, webhooks
from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import Kind, Reply, Request, Settings
from pipeline.emulator.eachlabs_files import Files
from pipeline.emulator.eachlabs_shown import MODEL, Shown, reason
from pipeline.schema import validator
from pipeline.types import Json

USD = 28_000
"""Micro-dollars a picture (Each Labs' model page of Kling O1)."""

_SUBMIT = "/v1/prediction"
_RUN = "/v1/prediction/run"

_DETAILS = {
    402: "Insufficient balance: the estimated cost of your running predictions exceeds your balance.",
    429: "Account rate limited: accounts with a balance of $10.00 or less are limited to 10 concurrent executions. "
    "Please try again once a running execution has finished, or add balance.",
}
_TITLES = {402: "insufficient balance", 429: "too many requests"}
_RATE = "Rate limit exceeded: 100 prediction creates per minute per key."


class EachLabs:
    """The vendor Each Labs."""

    name: ClassVar[str] = "eachlabs"

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self._files = Files(account, settings)
        self._shown = Shown(account, settings)

    def kind_of(self, request: Request) -> Kind:
        """Creations are submissions; asking for a prediction or for the executions is polling."""
        path = request.path.rstrip("/")
        if request.method == "POST" and path in (_SUBMIT, _RUN):
            return "submit"
        if path.startswith("/v1/upload/") or request.method == "PUT":
            return "upload"
        polls = path.startswith(_SUBMIT + "/") or path == "/v1/executions"
        return "poll" if request.method == "GET" and polls else "other"

    def error(self, status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
        """An error in the shape of the document that is played."""
        title, details = _TITLES.get(status, text), _DETAILS.get(status, text)
        body: dict[str, Json] = {"error": text}
        match self._settings.switch("eachlabs.error-body", "current", "seed", "video"):
            case "seed":
                body = {"status": "error", "message": title, "details": details}
            case "video" if status in (400, 401, 422):
                body = {}
            case _ if status in _TITLES:
                body = {"status": status, "error": title, "details": text if text == _RATE else details}
        return Reply(status, body, headers=headers)

    def handle(self, request: Request) -> Reply:
        """Answer a request; ``X-Request-Id`` comes back, or is made up."""
        reply = self._files.public(request) or self._answer(request)
        tag = request.headers.get("x-request-id") or str(uuid.uuid4())
        return Reply(
            reply.status, reply.json, reply.data, reply.kind, {"X-Request-Id": tag, **reply.headers}, reply.accepted
        )

    def _answer(self, request: Request) -> Reply:
        if not self._is_known(request):
            return self.error(401, "unauthorized: missing or invalid API key")
        path = request.path.rstrip("/")
        match request.method, path.removeprefix("/v1/").split("/"):
            case "POST", ["prediction"]:
                return self._submit(request)
            case "POST", ["prediction", "run"]:
                return self._run(request)
            case "GET", ["prediction", name]:
                return self._poll(name, request.base)
            case "POST", ["prediction", name, "cancel"]:
                return self._cancel(name)
            case "GET", ["executions"]:
                try:
                    return Reply(json=self._shown.executions(request))
                except ValueError as error:
                    return self.error(400, str(error))
            case "POST", ["upload", "presign"]:
                wrong = next(_complaints(request.json(), "presign"), None)
                return self.error(400, wrong) if wrong else self._files.presign(request)
            case "DELETE", ["files", name]:
                known = self._files.delete(name)
                missing = self._settings.switch("eachlabs.delete-unknown", "204", "404")
                return Reply(204) if known or missing == "204" else self.error(404, "file not found")
        return self.error(404, "not found")

    def _is_known(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        keys = {
            "x-api-key": request.headers.get("x-api-key", ""),
            "bearer": bearer.strip() if scheme.lower() == "bearer" else "",
        }
        choice = self._settings.switch("eachlabs.auth", "either", "x-api-key", "bearer")
        given = [key for name, key in keys.items() if key and choice in ("either", name)]
        return bool(given) and all(self._settings.key in (None, key) for key in given)

    # ── creating ────────────────────────────────────────────────────────────────────────────────

    def _accept(self, request: Request) -> Job | Reply:
        """Make the job of a request, or answer why not."""
        body = request.json()
        wrong = next(_complaints(body, "prediction"), None)
        if wrong or not isinstance(body, dict):
            return self.error(400, wrong or "the body must be a JSON object")
        if body["model"] != MODEL:
            return self.error(404, f"model not found: {body['model']}")
        given: Any = body["input"]
        wrong = next(_complaints(given, "input"), None) or self._unreachable(given)
        if wrong:
            return self.error(400, f"invalid input: {wrong}")
        refused = self._account.admit()
        if refused is not None:
            return self.error(429, _RATE if refused == "rate" else _DETAILS[429])
        job = self._account.create(
            id=str(uuid.uuid4()),
            asked=body,
            prompt=given["prompt"],
            references=given["image_urls"],
            count=int(given.get("num_images", 1)),
            size=None,
            ratio=given.get("aspect_ratio", "auto"),
            format=given.get("output_format", "png"),
            usd_each=USD,
        )
        if any(self._files.is_missing(url, request.base) for url in given["image_urls"]):
            self._account.fail(job, "download")
        return job

    def _unreachable(self, given: dict[str, Any]) -> str | None:
        """The model page: publicly reachable HTTPS URLs only; data URIs and localhost are rejected."""
        takes_local = self._settings.switch("eachlabs.localhost", "accept", "refuse") == "accept"
        for number, url in enumerate(given["image_urls"]):
            if not links.is_web(url):
                return f"image_urls.{number} must be an HTTPS URL; data URIs are not supported"
            if links.is_local(url):
                if not takes_local:
                    return f"image_urls.{number} must be publicly reachable"
            elif not url.startswith("https://"):
                return f"image_urls.{number} must be an HTTPS URL"
        return None

    def _submit(self, request: Request) -> Reply:
        job = self._accept(request)
        if isinstance(job, Reply):
            return job
        asked = _asked(job)
        if "webhook_url" in asked:
            webhooks.when(lambda: self._is_over(job), lambda: self._notify(job, asked, request.base))
        told = {"status": "success", "message": "Prediction created successfully", "predictionID": job.id}
        return Reply(json={**told}, accepted=True)

    def _run(self, request: Request) -> Reply:
        """The synchronous call, which is enabled for each model by itself."""
        if self._settings.switch("eachlabs.run", "unsupported", "supported") == "unsupported":
            return self.error(404, f"model {MODEL} does not support synchronous predictions")
        job = self._accept(request)
        if isinstance(job, Reply):
            return job
        self._account.wait(job.finished)
        word = {"done": "success", "cancelled": "cancelled"}.get(job.state(self._account.now()), "failed")
        told: dict[str, Json] = {"status": word, "message": "", "predictionID": job.id, "output": None, "error": ""}
        told |= {"output": self._shown.output(job, request.base)} if word == "success" else {"error": reason(job)[2]}
        return Reply(json=told, accepted=True)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    def _is_over(self, job: Job) -> bool:
        return job.state(self._account.now()) not in ("queued", "running")

    def _poll(self, name: str, base: str) -> Reply:
        job = self._account.job(name)
        if job is None:
            return self.error(404, "prediction not found")
        return Reply(json=self._shown.prediction(job, base))

    def _cancel(self, name: str) -> Reply:
        """A cancellation is a record, and what is cancelled is not billed; no webhook follows."""
        job = self._account.job(name)
        if job is None:
            status = int(self._settings.switch("eachlabs.cancel-unknown", "404", "500"))
            return self.error(status, "prediction not found")
        if self._is_over(job):
            return self.error(400, "prediction has already ended")
        self._account.cancel(job)
        word = self._settings.switch("eachlabs.cancel", "cancelled", "success")
        return Reply(json={"status": word, "message": "Prediction canceled successfully", "predictionID": job.id})

    def _notify(self, job: Job, asked: dict[str, Any], base: str) -> None:
        """The webhook's payload: a failure stands in the first output, the upper ``error`` is always empty."""
        if job.cancelled:
            return
        told: dict[str, Json] = {"exec_id": job.id, "flow_id": None, "status": "failed", "error": ""}
        if job.failed:
            told["output"] = [{"id": "", "status": "", "output": "", "error": f"Error: {reason(job)[2]}"}]
        else:
            told |= {"status": "succeeded", "output": self._shown.output(job, base)}
        secret = asked.get("webhook_secret")
        headers = {"X-Webhook-Secret": str(secret)} if secret else {}
        webhooks.deliver(str(asked["webhook_url"]), told, headers, settings=self._settings)


def _asked(job: Job) -> dict[str, Any]:
    return job.asked if isinstance(job.asked, dict) else {}


def _complaints(value: Json, definition: str) -> Iterator[str]:
    """What the published schema says of a value, a sentence each."""
    if not isinstance(value, dict):
        yield "the body must be a JSON object"
        return
    for error in validator("gateways/eachlabs", definition).iter_errors(value):
        place = ".".join(str(part) for part in error.absolute_path)
        yield f"{place}: {error.message[:200]}" if place else error.message[:200]
