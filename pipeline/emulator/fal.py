"""fal: the queue, and under ``/run`` the synchronous host (``fal.run/X`` and ``queue.fal.run/X`` share their paths).

By fal's documentation of the queue, errors, webhooks, concurrency and common parameters (shared facts, part 1), and
its API reference of the inference API. A mistake in the input is no mistake of the submission: the request is
accepted, completes, and its result is a 422. Pictures are at most 40 in progress; further requests wait.

Switches, the first choice being the default:
``fal.validate``        result | submit: where a wrong input is refused
``fal.unknown-fields``  refuse | ignore: input that the model's page does not list
``fal.localhost``       accept | refuse: references on this machine
``fal.reserved-headers`` accept | refuse: unknown ``X-Fal-*`` request headers
``fal.submit-reply``    queue | webhook: all URLs, or (with ``fal_webhook``) the two ids of the webhooks page
``fal.response-url``    plain | response: whether it ends in ``/response``
``fal.path``            alias | full: whether follow-up URLs drop the model's sub-path
``fal.status-code``     202 | 200: of a status before completion (API reference | OpenAPI of the queue)
``fal.completed-error`` with | without: whether the status of a failed request says so
``fal.not-ready``       400 | 500: of a result that is asked for too early
``fal.cancel-queued``   202 | 200: CANCELLATION_REQUESTED (queue page) | OK (API reference) for a waiting request
``fal.cancel-running``  stops | finishes: what becomes of a running one
``fal.after-cancel``    completed | not-found: whether a cancelled request can still be asked about
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import ClassVar

from pipeline.emulator import webhooks
from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import Kind, Reply, Request, Settings
from pipeline.emulator.fal_input import MODELS, Model, complaints, header_problem, start_timeout
from pipeline.emulator.fal_rest import Rest, can_sign
from pipeline.emulator.fal_shown import Ticket, failure_of, log_lines, output
from pipeline.types import Json

_ERRORS = {
    400: "bad_request",
    401: "unauthorized",
    429: "concurrent_requests_limit",
    499: "client_cancelled",
    500: "internal_error",
    502: "runner_incomplete_response",
    503: "runner_scheduling_failure",
    504: "startup_timeout",
}
"""Status → ``error_type`` of a request-level error (fal's error catalogue; 401 and 429 as third parties saw them)."""


class Fal:
    """The vendor fal."""

    name: ClassVar[str] = "fal"

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self._rest = Rest(account, settings)
        self._tickets: dict[str, Ticket] = {}

    def kind_of(self, request: Request) -> Kind:
        """Submissions are POSTs to a model, polls are what follows by its id."""
        if self._rest.is_upload(request):
            return "upload"
        if "/requests/" in request.path:
            return "poll" if request.method == "GET" else "other"
        path = request.path.strip("/").removeprefix("run/")
        return "submit" if request.method == "POST" and path in MODELS else "other"

    def error(self, status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
        """A request-level error, with its type where fal's catalogue has one."""
        kind = _ERRORS.get(status)
        told: dict[str, Json] = {"detail": text}
        sent = {"X-Fal-Request-Id": str(uuid.uuid4())}
        if kind:
            told["error_type"] = sent["X-Fal-Error-Type"] = kind
        return Reply(status, told, headers={**sent, **headers})

    def handle(self, request: Request) -> Reply:
        """Answer a request."""
        if not (self._rest.is_open(request) or self._is_known(request)):
            return self.error(401, "invalid key credentials")
        reply = self._rest.handle(request)
        if reply is not None:
            return reply
        model_id, follows, rest = request.path.strip("/").partition("/requests/")
        if follows:
            return self._follow_up(request, model_id, rest)
        model = MODELS.get(model_id.removeprefix("run/"))
        if model is None:
            return self.error(404, f"Application '{model_id}' not found")
        if request.method != "POST":
            return self.error(405, "Method Not Allowed")
        refused = self._refusal(request)
        if refused is not None:
            return refused
        return self._run(request, model) if model_id.startswith("run/") else self._submit(request, model)

    def _is_known(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "key" and bool(key.strip()) and self._settings.key in (None, key.strip())

    # ── submitting ──────────────────────────────────────────────────────────────────────────────

    def _refusal(self, request: Request) -> Reply | None:
        """Why a submission is not accepted at all."""
        wrong = header_problem(request.headers, self._settings)
        if wrong is not None:
            return self.error(400, wrong)
        if not isinstance(request.json(), dict):
            loose: list[Json] = [{"loc": ["body"], "msg": "Input should be a valid object", "type": "dict_type"}]
            return Reply(422, {"detail": loose})
        webhook = request.query.get("fal_webhook")
        if webhook is not None and webhooks.problem(webhook):
            return self.error(400, f"fal_webhook: {webhooks.problem(webhook)}")
        if webhook is not None and not can_sign():
            return self.error(
                501, "The emulator signs webhooks with the package `cryptography`, which is not installed"
            )
        longest = request.query.get("fal_max_queue_length")
        if longest is None:
            return None
        if not longest.isdigit():
            return self.error(400, "fal_max_queue_length must be a number")
        waiting = sum(job.state(self._account.now()) == "queued" for job in self._account.jobs())
        return self.error(429, "The queue is longer than fal_max_queue_length") if waiting > int(longest) else None

    def _accept(self, request: Request, model: Model) -> Job | Reply:
        """Make the job of a submission, or answer why not."""
        body = request.json()
        asked = body if isinstance(body, dict) else {}
        wrong = complaints(model, asked, self._settings, lambda url: self._rest.is_gone(url, request.base))
        if wrong and self._settings.switch("fal.validate", "result", "submit") == "submit":
            return Reply(422, {"detail": [*wrong]})
        if self._account.admit() is not None:
            return self.error(429, "Too many requests")
        references = asked.get("image_urls")
        count = asked.get("num_images", 1)
        form = asked.get("output_format", "png")
        job = self._account.create(
            id=str(uuid.uuid4()),
            asked=asked,
            prompt=str(asked.get("prompt", "")),
            references=[str(url) for url in references] if isinstance(references, list) else [],
            count=0 if wrong else int(str(count)),
            size=None,
            ratio="auto" if wrong else str(asked.get("aspect_ratio", "auto")),
            format="png" if wrong else str(form),
            usd_each=model.usd,
        )
        if wrong:
            self._account.fail(job, "invalid")
        seconds = start_timeout(request.headers)
        start_by = None if seconds is None else job.created + seconds
        self._tickets[job.id] = Ticket(model, request.base, asked.get("sync_mode") is True, start_by, wrong)
        return job

    def _submit(self, request: Request, model: Model) -> Reply:
        webhook = request.query.get("fal_webhook")
        job = self._accept(request, model)
        if isinstance(job, Reply):
            return job
        ids: dict[str, Json] = {"request_id": job.id}
        if webhook is not None:
            webhooks.when(lambda: self._is_over(job), lambda: self._notify(job, webhook))
            if self._settings.switch("fal.submit-reply", "queue", "webhook") == "webhook":
                return Reply(json=ids | {"gateway_request_id": job.id}, headers=_id(job), accepted=True)
        told = {"status": "IN_QUEUE", **ids, **self._urls(job), "queue_position": self._account.position(job)}
        return Reply(json=told, headers=_id(job), accepted=True)

    def _run(self, request: Request, model: Model) -> Reply:
        """The synchronous call: over the account's limit it is refused, as there is no queue to wait in."""
        if self._account.running() >= self._account.limit("concurrent"):
            return self.error(429, "Too many concurrent requests", {"X-Fal-Needs-Retry": "1"})
        job = self._accept(request, model)
        if isinstance(job, Reply):
            return job
        while not self._is_over(job):
            self._pause(job)
        reply = self._result(job)
        return Reply(reply.status, reply.json, headers=reply.headers, accepted=True)

    # ── following up ────────────────────────────────────────────────────────────────────────────

    def _follow_up(self, request: Request, model_id: str, rest: str) -> Reply:
        request_id, _, action = rest.partition("/")
        job, ticket = self._account.job(request_id), self._tickets.get(request_id)
        if job is None or ticket is None or model_id not in (ticket.model.id, ticket.model.app) or self._hides(job):
            if action == "cancel":
                return Reply(404, {"status": "NOT_FOUND"})
            return self.error(404, f"Request {request_id} not found")
        over = self._is_over(job)
        match request.method, action:
            case "PUT", "cancel":
                return self._cancel(job, over=over)
            case "GET", "status":
                early = int(self._settings.switch("fal.status-code", "202", "200"))
                return Reply(200 if over else early, self._status(job, request), headers=_id(job))
            case "GET", "status/stream":
                return self._stream(job, request)
            case "GET", "" | "response":
                return self._result(job) if over else self._not_ready(job)
        return self.error(405 if action in ("", "response", "status", "cancel") else 404, "Not Found")

    def _hides(self, job: Job) -> bool:
        choice = self._settings.switch("fal.after-cancel", "completed", "not-found")
        return job.cancelled and choice == "not-found"

    def _urls(self, job: Job) -> dict[str, Json]:
        ticket = self._tickets[job.id]
        full = self._settings.switch("fal.path", "alias", "full") == "full"
        start = f"{ticket.base}/{ticket.model.id if full else ticket.model.app}/requests/{job.id}"
        ending = "/response" if self._settings.switch("fal.response-url", "plain", "response") == "response" else ""
        return {"response_url": start + ending, "status_url": f"{start}/status", "cancel_url": f"{start}/cancel"}

    def _status(self, job: Job, request: Request) -> dict[str, Json]:
        """The status object; its keys are always there, as fal's clients read them without asking."""
        logs = log_lines(job, self._account.now()) if request.query.get("logs", "0").lower() in ("1", "true") else None
        known: dict[str, Json] = {"request_id": job.id, **self._urls(job)}
        match job.state(self._account.now()):
            case "queued":
                return {"status": "IN_QUEUE", **known, "queue_position": self._account.position(job)}
            case "running":
                return {"status": "IN_PROGRESS", **known, "logs": logs}
        metrics: dict[str, Json] = {"inference_time": round(job.finished - job.started, 3)}
        told: dict[str, Json] = {
            "status": "COMPLETED",
            **known,
            "logs": logs,
            "metrics": {} if job.cancelled else metrics,
        }
        failure = failure_of(job, self._tickets[job.id])
        if failure and self._settings.switch("fal.completed-error", "with", "without") == "with":
            told |= {"error": failure.text, "error_type": failure.kind}
        return told

    def _stream(self, job: Job, request: Request) -> Reply:
        """Every change of the status as a server-sent event, until the request is completed."""
        events, last = [], ""
        while True:
            over = self._is_over(job)
            told = json.dumps(self._status(job, request))
            if told != last:
                events.append(f"data: {told}\n\n")
                last = told
            if over:
                return Reply(data="".join(events).encode(), kind="text/event-stream", headers=_id(job))
            self._pause(job)

    def _not_ready(self, job: Job) -> Reply:
        told: dict[str, Json] = {"detail": "Request is still in progress", "request_id": job.id, **self._urls(job)}
        return Reply(int(self._settings.switch("fal.not-ready", "400", "500")), told, headers=_id(job))

    def _cancel(self, job: Job, *, over: bool) -> Reply:
        if over:
            return Reply(400, {"status": "ALREADY_COMPLETED"}, headers=_id(job))
        waits = job.state(self._account.now()) == "queued"
        if waits or self._settings.switch("fal.cancel-running", "stops", "finishes") == "stops":
            self._account.cancel(job)
        if waits and self._settings.switch("fal.cancel-queued", "202", "200") == "200":
            return Reply(200, {"status": "OK"}, headers=_id(job))
        return Reply(202, {"status": "CANCELLATION_REQUESTED"}, headers=_id(job))

    # ── how a request ends ──────────────────────────────────────────────────────────────────────

    def _is_over(self, job: Job) -> bool:
        """Whether a request is completed; one that did not start in its time is ended here."""
        start_by, now = self._tickets[job.id].start_by, self._account.now()
        if start_by is not None and start_by <= now and job.state(now) == "queued":
            self._account.fail(job, "request_timeout")
        return job.state(self._account.now()) not in ("queued", "running")

    def _pause(self, job: Job) -> None:
        left = (job.finished - self._account.now()) / self._settings.speed
        self._account.rest(min(0.05, max(0.001, left)))

    def _result(self, job: Job) -> Reply:
        failure = failure_of(job, self._tickets[job.id])
        if failure is None:
            headers = {**_id(job), "X-Fal-Billable-Units": str(job.count)}
            return Reply(json=output(job, self._tickets[job.id]), headers=headers)
        headers = {**_id(job), "X-Fal-Error-Type": failure.kind}
        if failure.kind == "request_timeout":
            headers["X-Fal-Request-Timeout-Type"] = "user"
        return Reply(failure.status, failure.body(), headers=headers)

    def _notify(self, job: Job, url: str) -> None:
        told: dict[str, Json] = {"request_id": job.id, "gateway_request_id": job.id}
        failure = failure_of(job, self._tickets[job.id])
        if failure is None:
            told |= {"status": "OK", "payload": output(job, self._tickets[job.id])}
        else:
            told |= {"status": "ERROR", "error": f"Invalid status code: {failure.status}", "payload": failure.body()}
        body, headers = self._rest.signed(job.id, told)
        webhooks.deliver(url, body, headers, settings=self._settings)


def _id(job: Job) -> dict[str, str]:
    return {"X-Fal-Request-Id": job.id}
