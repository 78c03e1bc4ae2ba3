"""AIML API: a request for pictures is held until they exist; what became of it can be read in the request logs.

By AIML API's documentation: the page of klingai/image-o1, request tracing and cost headers, usage logs, account
balance, model catalogue, errors and messages. A client that hangs up changes nothing: the job runs, is billed, and
has its row in the logs, without the pictures' addresses. Failed requests are not charged.

Switches, the first choice being the default:
``aimlapi.response``       model-page | overview: shape of the answer (page of the model | of Kling O1 as a whole)
``aimlapi.inline``         url | null | b64: without ``b64_json``, with an empty one, or with the picture in it
``aimlapi.status``         200 | 201: of an answer with pictures (API schema | older collections)
``aimlapi.long-prompt``    accept | refuse: prompts of 2501 to 4000 characters, which no upstream takes
``aimlapi.unknown-fields`` refuse | ignore: fields the model's page doesn't list
``aimlapi.localhost``      accept | refuse: references on this machine
``aimlapi.moderated``      error | fal: a refusal in AIML's error shape, or in fal's (as seen in its video answers)
``aimlapi.error``          json | sloppy: errors as JSON, or as the documentation prints them (no commas, quoted code)
``aimlapi.balance``        dollars on the account, 100 by default; 403 when they don't suffice
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, ClassVar

from pipeline.emulator import links, pictures
from pipeline.emulator.account import Account, Job
from pipeline.emulator.aimlapi_logs import BadQuery, Row, page
from pipeline.emulator.core import Kind, Reply, Request, Settings
from pipeline.schema import validator
from pipeline.types import Json, micro_usd

MODEL = "klingai/image-o1"
USD = 29_400  # micro-dollars a picture: 58,800 credits (the model page's example)
CREDITS = 2  # for a micro-dollar: 2,000,000 for a dollar (the page on tracking funds)

_CLIENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOGS_PER_MINUTE = 200
_PATH: ContextVar[str] = ContextVar("path", default="/")  # of the request at hand: every error names it


@dataclass(frozen=True)
class _Run:
    """What a log row says besides its job."""

    request_id: str
    key: bytes  # hashed: logs show the requests of the key that asks


class _Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Aimlapi:
    """The vendor AIML API."""

    name: ClassVar[str] = "aimlapi"

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account, self._settings = account, settings
        self._funds = micro_usd(float(settings.switches.get("aimlapi.balance", "100")))
        self._runs: dict[str, _Run] = {}
        self._asked: deque[float] = deque()  # when the logs were asked for
        self._lock = Lock()
        self._routes: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("POST", "/v1/images/generations"): self._generate,
            ("GET", "/v2/logs"): self._logs,
            ("GET", "/v1/billing/balance"): self._balance,
            ("GET", "/v1/models"): self._models,
        }

    def kind_of(self, request: Request) -> Kind:
        """Generations are submissions; looking for one in the logs is polling."""
        _PATH.set(request.path)  # this is asked first, by the thread that may have to answer with an error
        if request.method == "POST" and request.path == "/v1/images/generations":
            return "submit"
        return "poll" if request.path == "/v2/logs" else "other"

    def handle(self, request: Request) -> Reply:
        """Answer a request; one for pictures is held until they exist."""
        route = self._routes.get((request.method, request.path))
        try:
            if route is None:
                raise _Refusal(404, f"Cannot {request.method} {request.path}")
            if route != self._models:  # the catalogue needs no key
                self._check_key(request)
            return route(request)
        except _Refusal as refusal:
            return self.error(refusal.status, refusal.text)

    def error(self, status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
        """An error as every endpoint words it."""
        body: dict[str, Json] = {
            "message": text,
            "path": _PATH.get(),
            "requestId": str(uuid.uuid4()),
            "statusCode": status,
            "timestamp": _iso(datetime.now(UTC).timestamp()),
        }
        sent = {"x-inference-id": str(uuid.uuid4())} | dict(headers)
        if self._switch("error", "json", "sloppy") == "json":
            return Reply(status, body, headers=sent)
        lines = "\n".join(f'  "{name}": {json.dumps(str(value))}' for name, value in body.items())
        return Reply(status, data=f"{{\n{lines}\n}}".encode(), headers=sent)

    # ── pictures ────────────────────────────────────────────────────────────────────────────────

    def _generate(self, request: Request) -> Reply:
        asked = self._checked(request)
        client = request.headers.get("x-client-request-id", "")
        client = client if _CLIENT_ID.fullmatch(client) else ""  # dropped without a word, as documented
        with self._lock:
            count = int(asked.get("num_images", 1))
            if self._left() < count * USD:
                raise _Refusal(403, "You've run out of credits. Please top up your balance or update your plan.")
            refused = self._account.admit()
            if refused:
                raise _Refusal(429, "Too Many Requests")
            ratio = asked.get("aspect_ratio", "16:9")
            job = self._account.create(
                id=str(uuid.uuid4()),
                asked=asked,
                prompt=asked["prompt"],
                references=asked["image_urls"],
                count=count,
                size=pictures.size_of(asked.get("resolution", "1K"), ratio),
                ratio=ratio,
                format=asked.get("output_format", "png"),
                usd_each=USD,
                client=client,
            )
            self._runs[job.id] = _Run(str(uuid.uuid4()), _key(request))
        self._account.wait(job.finished)
        headers = {"x-inference-id": job.id} | ({"x-client-request-id": client} if client else {})
        return self._failed(job, headers) if job.failed else self._made(job, request.base, headers)

    def _made(self, job: Job, base: str, headers: dict[str, str]) -> Reply:
        inline = self._switch("inline", "url", "null", "b64")
        data: list[Json] = []
        for number, url in enumerate(job.urls(base), 1):
            item: dict[str, Json] = {"url": None if inline == "b64" else url}
            if inline != "url":
                item["b64_json"] = base64.b64encode(job.picture(number)).decode() if inline == "b64" else None
            data.append(item)
        used = job.billed * CREDITS
        body: dict[str, Json] = {"data": data, "meta": {"usage": {"credits_used": used}}}
        if self._switch("response", "model-page", "overview") == "overview":
            usage: Json = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
            items: list[Json] = [{"b64_json": None, **item, "revised_prompt": job.prompt} for item in _objects(data)]
            body = {"created": int(job.wall), "data": items, "model": MODEL, "object": "image", "usage": usage}
        headers |= {"x-aimlapi-credits-used": str(used), "x-aimlapi-usd-spent": f"{job.billed / 1_000_000:.9f}"}
        return Reply(int(self._switch("status", "200", "201")), body, headers=headers, accepted=True)

    def _failed(self, job: Job, headers: dict[str, str]) -> Reply:
        """A refusal by moderation; its shape is documented nowhere."""
        text = "The content could not be processed because it was flagged by a content checker."
        if self._switch("moderated", "error", "fal") == "fal":
            detail: Json = {
                "loc": ["body", "prompt"],
                "msg": text,
                "type": "content_policy_violation",
                "input": job.asked,
            }
            return Reply(400, {"detail": [detail]}, headers=headers)
        return self.error(400, text, headers)

    def _checked(self, request: Request) -> dict[str, Any]:
        """The body of a request for pictures, as the model page allows it."""
        body, schema = request.json(), validator("gateways/aimlapi")
        if not isinstance(body, dict) or "json" not in request.headers.get("content-type", ""):
            raise _Refusal(400, "Body validation error: expected a JSON object under application/json")
        if self._switch("unknown-fields", "refuse", "ignore") == "ignore":
            known: Any = schema.schema
            body = {name: value for name, value in body.items() if name in known["properties"]}
        for error in schema.iter_errors(body):
            place = ".".join(map(str, error.absolute_path)) or "body"
            raise _Refusal(400, f"Body validation error at {place}: {error.message[:300]}")
        if len(str(body["prompt"])) > 2500 and self._switch("long-prompt", "accept", "refuse") == "refuse":
            raise _Refusal(400, "Body validation error at prompt: expected at most 2500 characters")
        references = body["image_urls"]
        for number, reference in enumerate(references if isinstance(references, list) else []):
            wrong = self._wrong_reference(str(reference))
            if wrong:
                raise _Refusal(400, f"Body validation error at image_urls.{number}: {wrong}")
        return body

    def _wrong_reference(self, reference: str) -> str:
        if reference.startswith("data:"):
            given = pictures.data_uri(reference)
            return "" if given and pictures.look(given[0]) else "expected the bytes of a picture"
        if not links.is_web(reference):
            return "expected a URL"
        if links.is_local(reference) and self._switch("localhost", "accept", "refuse") == "refuse":
            return "failed to download the file"
        return ""

    # ── what the account can be asked ───────────────────────────────────────────────────────────

    def _logs(self, request: Request) -> Reply:
        now = self._account.now()
        with self._lock:
            while self._asked and self._asked[0] <= now - 60:
                self._asked.popleft()
            if len(self._asked) >= _LOGS_PER_MINUTE:
                raise _Refusal(429, "Too Many Requests")
            self._asked.append(now)
        key = request.headers["authorization"].removeprefix("Bearer ")
        if not key.startswith(request.query.get("key_prefix", "")):
            raise _Refusal(403, "Another key's requests need a management key")
        try:
            return Reply(json=page(request, self._rows(_key(request), now)))
        except BadQuery as error:
            raise _Refusal(400, str(error)) from None

    def _rows(self, key: bytes, now: float) -> list[Row]:
        """The finished requests of a key, newest first."""
        rows = []
        for job in reversed(self._account.jobs()):
            run, state = self._runs.get(job.id), job.state(now)
            if run and run.key == key and state in ("done", "failed"):
                told: dict[str, Json] = {
                    "created": _iso(job.wall),
                    "status": "succeeded" if state == "done" else "failed",
                    "origin": "api",
                    "model": MODEL,
                    "cost": {"usd": job.billed / 1_000_000, "credits": job.billed * CREDITS},
                    "tokens": {"input": 0, "output": 0, "total": 0},
                    "request_id": run.request_id,
                    "inference_id": job.id,
                    "client_request_id": job.client or None,
                }
                rows.append(Row(int(job.wall * 1000) / 1000, told))  # as exact as it is told
        return rows

    def _balance(self, _: Request) -> Reply:
        left, least = self._left() * CREDITS, 10_000
        body: dict[str, Json] = {
            "balance": left,
            "lowBalance": left < least,
            "lowBalanceThreshold": least,
            "lastUpdated": _iso(datetime.now(UTC).timestamp()),
            "autoDebitStatus": "disabled",
            "status": "current",
            "statusExplanation": "Balance is current and up to date",
        }
        return Reply(json=body)

    def _models(self, request: Request) -> Reply:
        """The catalogue, which has one model here; it can be filtered by id."""
        ids = {name.strip().lower() for text in request.all("id") for name in text.split(",")}
        asked = {name.strip().lower() for text in request.all("include") for name in text.split(",")}
        entry: dict[str, Json] = {
            "id": MODEL,
            "type": "image",
            "info": {"name": "Kling Image O1", "developer": "Kling AI"},
            "tags": ["playground:image"],
        }
        if asked & {"pricing", "all"} or request.query.get("details") == "true":
            unit: Json = {"unit": "image", "price": USD / 1_000_000, "per": 1}
            entry["pricing"] = {"kind": "fixed", "units": [unit]}
        body: Json = {"object": "list", "data": [entry] if not ids or MODEL in ids else []}
        tag = f'W/"{hashlib.sha256(json.dumps(body).encode()).hexdigest()[:24]}"'
        if request.headers.get("if-none-match") == tag:
            return Reply(304, headers={"ETag": tag})
        return Reply(json=body, headers={"ETag": tag})

    def _left(self) -> int:
        return self._funds - sum(job.billed for job in self._account.jobs())

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key or (self._settings.key is not None and key != self._settings.key):
            raise _Refusal(401, "Unauthorized. This API key is missing or invalid.")

    def _switch(self, name: str, *choices: str) -> str:
        return self._settings.switch(f"aimlapi.{name}", *choices)


def _objects(items: list[Json]) -> list[dict[str, Json]]:
    return [item for item in items if isinstance(item, dict)]


def _key(request: Request) -> bytes:
    return hashlib.sha256(request.headers["authorization"].encode()).digest()


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
