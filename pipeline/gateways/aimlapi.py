"""AIML API: one call that is held until the images exist.

Sources: AIML API's model page (seeds/aimlapi-image-o1.md; its overview page shows another shape of the answer), and its
pages on errors and on request tracing. A lost answer is looked up in ``/v2/logs`` by our correlation id: that tells
whether it was billed, and never gives the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlencode

from pipeline.errors import LostAnswer, TryLater
from pipeline.gateways.pictures import image
from pipeline.gateways.reading import (
    broken,
    check_accepted,
    check_listed,
    inputs,
    items,
    number,
    part,
    said,
    text,
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
    Settles,
    Trace,
    Upload,
    dollars,
    micro_usd,
)

API = "https://api.aimlapi.com"
CREDITS_PER_DOLLAR = 2_000_000
SEARCHED = 20_000
"""Rows of the log that are looked through, at most: 200 calls, which is what a minute takes."""


class Aimlapi:
    """The synchronous image endpoint of AIML API."""

    name: ClassVar[str] = "aimlapi"
    settles: ClassVar[Settles] = "trace"
    references: ClassVar[tuple[Carried, ...]] = ("inline",)
    key: ClassVar[str] = "AIMLAPI_KEY"
    origins: ClassVar[tuple[str, ...]] = (API,)
    polling: ClassVar[Polling] = Polling(0.0, 0.0)
    patience: ClassVar[float] = 900.0

    def headers(self, key: str, options: Mapping[str, Json]) -> dict[str, str]:
        """``Authorization: Bearer``."""
        return {"Authorization": f"Bearer {key}"}

    def make(self, job: Job) -> Flow:
        """Ask, and wait for the images.

        "Failed requests are not charged": 500 and 503 with the documented error body are such failures; 502, 504 and
        whatever else may come from in between.
        """
        body = {"model": job.offer.id, **inputs(job)}
        if "provider" in job.options:
            body["provider"] = job.options["provider"]
        answer = yield Call(
            "POST",
            job.url(API, "/v1/images/generations"),
            json=body,
            headers={"X-Client-Request-Id": job.id},
            seconds=job.deadline,
            paid=True,
            reads=(500, 503),
        )
        if answer.status in (500, 503) and text(answer.json, "message") and text(answer.json, "path"):
            raise TryLater(f"AIML API answered {answer.status}: {said(answer.json)}")
        check_accepted(answer, self.name)
        entries = items(answer.json, "data")
        images = [image(entry) for entry in entries]
        whole = [found for found in images if found is not None]
        if not whole:
            broken(self.name, "the answer has no images")
        total = _usd(answer)
        return [replace(found, usd=None if total is None else total // len(whole)) for found in whole]

    def trace(self, job: Job, sent: float, now: float, claimed: frozenset[str]) -> Trace:
        """Search the account's log for our ``client_request_id``."""
        day = now - sent < 23 * 3600
        span = {"period": "24h"} if day else {"start": utc(sent - 3600), "end": utc(sent + 7200)}
        offset = 0
        while offset < SEARCHED:
            query = urlencode({**span, "model": job.offer.id, "limit": 100, "offset": offset})
            answer = yield Call("GET", job.url(API, f"/v2/logs?{query}"))
            check_accepted(answer, self.name)
            check_listed(answer, self.name, "data")
            rows = items(answer.json, "data")
            for row in rows:
                if text(row, "client_request_id") == job.id:
                    return _fate(row)
            offset += len(rows)
            if not rows or part(answer.json, "pagination", "has_more") is not True:
                return Fate("unknown", text="AIML API's log does not have it")
        return Fate("lost", text=f"not among the first {SEARCHED:,} rows of AIML API's log")

    def remote_id(self, receipt: Answer) -> str:
        """AIML API's inference id."""
        return receipt.headers.get("x-inference-id", "")

    def cancel(self, job: Job, receipt: Answer) -> Cancel:
        """AIML API documents no way."""
        yield from ()
        return "impossible"

    def upload(self, file: LocalFile, base_url: str) -> Upload:
        """There is nowhere to upload to."""
        yield from ()
        raise LostAnswer("AIML API takes no uploads")


def _usd(answer: Answer) -> int | None:
    """What it cost in micro-dollars, from the body's credits or the headers."""
    credits_used = number(answer.json, "meta", "usage", "credits_used")
    if credits_used is None:
        credits_used = number(answer.headers.get("x-aimlapi-credits-used"))
    if credits_used is not None:
        return micro_usd(credits_used / CREDITS_PER_DOLLAR)
    spent = number(answer.headers.get("x-aimlapi-usd-spent"))
    return None if spent is None else micro_usd(spent)


def _fate(row: Json) -> Fate:
    usd = number(row, "cost", "usd")
    if text(row, "status") == "failed" and not usd:
        return Fate("not-accepted", text=f"AIML API's log says that it failed, unbilled: {said(row)}")
    return Fate(
        "billed",
        text=f"AIML API's log says that it was made and billed {dollars(micro_usd(usd or 0))}; it keeps no image",
    )
