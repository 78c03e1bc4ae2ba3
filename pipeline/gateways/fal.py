"""fal: its queue. Submit, ask for the status until it is COMPLETED, then fetch the result.

Sources: fal's model page (seeds/fal-kling-image-o1.md), queue, errors, reliability and webhook pages of its
documentation, and its Python client. There is no failed status: what went wrong stands in the result, so COMPLETED is
never taken for success. Nothing deduplicates a submit and nothing finds a lost one: it is held as uncertain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, urlencode, urlsplit

from pipeline.errors import Forgotten, Refused, TryLater
from pipeline.gateways.pictures import image
from pipeline.gateways.reading import broken, check_accepted, check_polled, inputs, items, said, text
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
)

QUEUE = "https://queue.fal.run"
REST = "https://rest.fal.ai"
UPLOAD_SECONDS = 7 * 86400.0
"""How long an upload is used again: fal keeps files "forever" on one page, as configured on another."""
UNKNOWN_POLLS = 8
"""Answers of 404 until a request is taken to be forgotten."""
FAILED_RESULTS = 4
"""Results of 500 and above until it is the job that failed, and not the way to it."""
_HEADERS = {
    "queue_priority": "X-Fal-Queue-Priority",
    "request_timeout": "X-Fal-Request-Timeout",
    "no_retry": "X-Fal-No-Retry",
    "store_io": "X-Fal-Store-IO",
    "runner_hint": "X-Fal-Runner-Hint",
    "disable_fallback": "x-app-fal-disable-fallback",
}


class Fal:
    """The queue of fal.ai."""

    name: ClassVar[str] = "fal"
    settles: ClassVar[Settles] = "none"
    references: ClassVar[tuple[Carried, ...]] = ("upload", "inline")
    key: ClassVar[str] = "FAL_KEY"
    origins: ClassVar[tuple[str, ...]] = (QUEUE, REST, "https://fal.run", "https://api.fal.ai")
    polling: ClassVar[Polling] = Polling(1.0, 1.5)
    patience: ClassVar[float] = 0.0

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """``Authorization: Key id:secret``."""
        return {"Authorization": f"Key {key}"}

    def make(self, job: Job) -> Flow:
        """Submit, poll, fetch the result."""
        answer = yield self.submit(job)
        check_accepted(answer, self.name)
        request = text(answer.json, "request_id")
        if not request:
            broken(self.name, "the answer names no request")
        failed = unknown = 0
        for wait in job.polling.waits():
            yield from self.completed(job, answer.json, request, wait)
            result = yield Call("GET", _follow(job, answer.json, "response_url", request), reads=_OUTCOMES)
            if result.status in (400, 500) and "in progress" in said(result.json).lower():
                continue
            failed += result.status >= 500
            unknown += result.status == 404
            if failed == FAILED_RESULTS or unknown == UNKNOWN_POLLS or (result.status < 500 and result.status != 404):
                return self.images(result)
        raise AssertionError  # the waits don't end

    def submit(self, job: Job) -> Call:
        """The paid call."""
        options = job.options
        query = {"fal_max_queue_length": options.get("max_queue_length"), "fal_webhook": job.webhook or None}
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        body = inputs(job) | ({"sync_mode": options["sync_mode"]} if "sync_mode" in options else {})
        headers = {header: _word(options[name]) for name, header in _HEADERS.items() if name in options}
        if options.get("disable_fallback") is True:
            headers[_HEADERS["disable_fallback"]] = "true"  # the only spelling that its page has
        if "object_lifetime" in options:
            lifetime = {"expiration_duration_seconds": options["object_lifetime"]}
            headers["X-Fal-Object-Lifecycle-Preference"] = json.dumps(lifetime)
        url = job.url(QUEUE, f"/{job.offer.id}") + (f"?{asked}" if asked else "")
        return Call("POST", url, json=body, headers=headers, paid=True)

    def completed(self, job: Job, submitted: Json, request: str, first: float) -> Flow:
        """Poll until the status is COMPLETED."""
        unknown = 0
        url = _follow(job, submitted, "status_url", request) + "?logs=1"
        wait = first
        while True:
            answer = yield Call("GET", url, after=wait)
            wait = job.polling.every
            if answer.status == 404:
                unknown += 1
                if unknown == UNKNOWN_POLLS:
                    raise Forgotten(f"fal does not know request {request} any more")
                continue
            check_polled(answer, self.name)
            status = text(answer.json, "status")
            if status == "COMPLETED":
                return []
            if not status:
                broken(self.name, "a status without a status")

    def images(self, result: Answer) -> list[RemoteImage]:
        """The images of a result, or what went wrong with them."""
        words = said(result.json)
        if result.status in (401, 403):
            check_accepted(result, self.name)
        if result.status == 404:
            raise Forgotten(f"fal has no result any more: {words}")
        if result.status >= 500:
            # The reliability page: what fails with 5xx is not billed.
            raise TryLater(f"fal answered {result.status}: {words}")
        if result.status >= 300 and result.status not in (400, 422, 499):
            check_polled(result, self.name)
        if result.status >= 300:
            # "422 can be billed if runner time was used", and nothing says what a cancelled one costs: at its price.
            raise Refused(f"fal answered {result.status}: {words}")
        if "error" in (result.json if isinstance(result.json, dict) else {}) and not items(result.json, "images"):
            raise Refused(f"fal: {words}")
        images = [image(entry) for entry in items(result.json, "images")]
        whole = [found for found in images if found is not None]
        if not whole:
            broken(self.name, "the result has no images")
        return whole

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Nothing that an inference key may read says what became of a submit."""
        yield from ()
        return Fate("unknown", text="fal has no way to look it up")

    def remote_id(self, receipt: Answer) -> str:
        """The ``request_id``."""
        return text(receipt.json, "request_id")

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """``PUT`` its ``cancel_url``: what waits is removed, what runs is stopped if possible."""
        answer = yield Call("PUT", _follow(job, receipt.json, "cancel_url", self.remote_id(receipt)))
        if answer.status in (401, 403):
            check_accepted(answer, self.name)
        return "asked" if answer.status < 300 else "finished"

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """Into fal's storage: ask for a place, then put the bytes there."""
        url = f"{base_url or REST}/storage/upload/initiate?storage_type=fal-cdn-v3"
        place = yield Call("POST", url, json={"file_name": file.name, "content_type": file.kind})
        check_accepted(place, self.name)
        where, given = text(place.json, "upload_url"), text(place.json, "file_url")
        if not where or not given:
            broken(self.name, "no place to upload to")
        check_accepted(
            (yield Call("PUT", where, data=file.data, headers={"Content-Type": file.kind}, seconds=120.0)), self.name
        )
        return Uploaded(given, UPLOAD_SECONDS)


_OUTCOMES = (500, 502, 503, 504)


def _word(value: Json) -> str:
    return {True: "1", False: "0"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _follow(job: Job, submitted: Json, name: str, request: str) -> str:
    """The address that the server gave for following up, if it is the gateway's own; else the documented one.

    Documented in two spellings, with the sub-path of the endpoint and without it (the clients'): without.
    """
    given = text(submitted, name)
    here = urlsplit(job.base_url or QUEUE)
    try:
        place = urlsplit(given)
    except ValueError:
        place = urlsplit("")
    plain = given.isascii() and given.isprintable() and " " not in given
    if plain and (place.scheme, place.netloc) in ((here.scheme, here.netloc), ("https", "queue.fal.run")):
        return given.partition("?")[0]
    app = "/".join(job.offer.id.split("/")[:2])
    suffix = {"status_url": "/status", "cancel_url": "/cancel"}.get(name, "")
    return job.url(QUEUE, f"/{app}/requests/{quote(request, safe='')}{suffix}")
