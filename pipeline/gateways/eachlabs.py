"""Each Labs: a prediction is created, then polled.

Sources: Each Labs' model page (seeds/eachlabs-kling-o1.md), its documentation of predictions, executions, uploads and
webhooks, and its OpenAPI files, which differ from each other in the words of every status and error: all are read.
A submit is not deduplicated; a lost one is searched among the account's executions, by the input that a prediction
echoes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import quote, urlencode

from pipeline.errors import Forgotten, Refused, TryLater
from pipeline.gateways.pictures import image
from pipeline.gateways.reading import (
    broken,
    check_accepted,
    check_listed,
    check_polled,
    inputs,
    items,
    number,
    part,
    said,
    text,
    unix,
    utc,
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

API = "https://api.eachlabs.ai"
UNKNOWN_POLLS = 4
UPLOAD_SECONDS = 30 * 86400
CLOCKS = 180.0
"""Seconds that their clock may be off ours when an execution is looked for, and that a call may be under way."""
SEARCHED = 3000
"""Executions that are looked through, at most."""

_DONE = {"success", "succeeded", "completed"}
_FAILED = {"error", "failed"}
_CANCELLED = {"cancelled", "canceled"}


class Eachlabs:
    """The prediction API of Each Labs."""

    name: ClassVar[str] = "eachlabs"
    settles: ClassVar[Settles] = "trace"
    references: ClassVar[tuple[Carried, ...]] = ("upload",)
    key: ClassVar[str] = "EACHLABS_API_KEY"
    origins: ClassVar[tuple[str, ...]] = (API,)
    polling: ClassVar[Polling] = Polling(3.0, 3.0)
    patience: ClassVar[float] = 20.0

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """``X-API-Key``, as on the model page; or ``Authorization: Bearer``, as in the newer pages."""
        return {"Authorization": f"Bearer {key}"} if options.get("auth") == "bearer" else {"X-API-Key": key}

    def make(self, job: Job) -> Flow:
        """Create a prediction, and poll it."""
        body: dict[str, Json] = {"model": job.offer.id, "version": "0.0.1", "input": inputs(job)}
        if job.webhook:
            body |= {"webhook_url": job.webhook, "webhook_secret": job.secret}
        slash = "/" if job.options.get("trailing_slash") else ""
        url = job.url(API, f"/v1/prediction{slash}")
        answer = yield Call("POST", url, json=body, headers={"X-Request-Id": job.id}, paid=True)
        check_accepted(answer, self.name)
        prediction = self.remote_id(answer)
        if not prediction:
            broken(self.name, "the answer names no prediction")
        unknown = 0
        for wait in job.polling.waits():
            polled = yield Call("GET", job.url(API, f"/v1/prediction/{quote(prediction, safe='')}"), after=wait)
            if polled.status == 404:
                unknown += 1
                if unknown == UNKNOWN_POLLS:
                    raise Forgotten(f"Each Labs does not know prediction {prediction} any more")
                continue
            check_polled(polled, self.name)
            status = text(polled.json, "status").lower()
            if status in _DONE:
                return _images(polled.json)
            if status in _FAILED or status in _CANCELLED:
                raise _failure(polled.json, status)
            if not status:
                broken(self.name, "a prediction without a status")
        raise AssertionError  # the waits don't end

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Search the executions since it was sent for one with exactly this input that is nobody's yet."""
        seen = untold = 0
        while seen < SEARCHED:
            query = {"model": job.offer.id, "from": utc(sent - CLOCKS), "limit": 100, "offset": seen}
            listed = yield Call("GET", job.url(API, f"/v1/executions?{urlencode(query)}"))
            check_accepted(listed, self.name)
            check_listed(listed, self.name, "executions")
            rows = items(listed.json, "executions")
            for row in rows:
                found = text(row, "id")
                created = unix(text(row, "created_at"))
                elsewhen = created is not None and not -CLOCKS < created - sent < job.deadline + CLOCKS
                if not found or found in claimed or elsewhen:
                    continue
                polled = yield Call("GET", job.url(API, f"/v1/prediction/{quote(found, safe='')}"))
                echoed = part(polled.json, "input")
                if polled.status < 300 and _same(echoed, inputs(job)):
                    return Fate("accepted", Answer(200, {}, {"status": "success", "predictionID": found}))
                untold += polled.status >= 300 or not isinstance(echoed, dict)
            seen += len(rows)
            if not rows or (len(rows) < 100 and seen >= (number(listed.json, "total_count") or 0)):
                if untold:
                    return Fate("lost", text="Each Labs does not tell the input of executions that may be it")
                return Fate("unknown", text="Each Labs has no execution with this input")
        return Fate("lost", text=f"not among the {SEARCHED:,} executions that Each Labs lists since then")

    def remote_id(self, receipt: Answer) -> str:
        """Each Labs' prediction id, by its newer name or its older one."""
        return text(receipt.json, "predictionID") or text(receipt.json, "id")

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """``POST …/cancel``: best effort; what is cancelled is never billed (the Video API's pages)."""
        prediction = quote(self.remote_id(receipt), safe="")
        answer = yield Call("POST", job.url(API, f"/v1/prediction/{prediction}/cancel"))
        if answer.status in (401, 403):
            check_accepted(answer, self.name)
        return "asked" if answer.status < 300 else "finished"

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """Ask for a presigned place, then put the bytes there with the headers it requires."""
        asked: Json = {"content_type": file.kind, "file_type": "image", "expires_in_seconds": UPLOAD_SECONDS}
        place = yield Call("POST", f"{base_url or API}/v1/upload/presign", json=asked)
        check_accepted(place, self.name)
        where, given = text(place.json, "presigned_url"), text(place.json, "public_url")
        if not where or not given:
            broken(self.name, "no place to upload to")
        required = part(place.json, "required_headers")
        headers = {"content-type": file.kind}
        if isinstance(required, dict):
            headers |= {name.lower(): value for name, value in required.items() if isinstance(value, str)}
        put = yield Call("PUT", where, data=file.data, headers=headers, seconds=120.0)
        check_accepted(put, self.name)
        return Uploaded(given, float(UPLOAD_SECONDS))


def _images(prediction: Json) -> list[RemoteImage]:
    """``output`` is a string, a list of strings, an object, or a list of objects."""
    output = part(prediction, "output")
    entries = output if isinstance(output, list) else [output]
    images = [image(entry) for entry in entries]
    whole = [found for found in images if found is not None]
    if not whole:
        broken("eachlabs", "a finished prediction without images")
    cost = number(prediction, "metrics", "cost")
    return [replace(found, usd=None if cost is None else micro_usd(cost) // len(whole)) for found in whole]


def _failure(prediction: Json, status: str) -> TryLater | Refused:
    """Why a prediction failed. ``retryable`` decides, not the list of codes; a cancelled one never bills."""
    words = said(prediction) or status
    cost = number(prediction, "metrics", "cost")
    usd = None if cost is None else micro_usd(cost)
    if status in _CANCELLED:
        return Refused("cancelled at Each Labs", usd=0)
    if part(prediction, "output", "retryable") is True and not usd:
        return TryLater(f"Each Labs: {words}")
    return Refused(f"Each Labs: {words}", usd=usd)


def _same(echoed: Json, asked: dict[str, Json]) -> bool:
    """Whether an echoed input is what we asked for; it may hold defaults beside."""
    return isinstance(echoed, dict) and all(echoed.get(name) == value for name, value in asked.items())
