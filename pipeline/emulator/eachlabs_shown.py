"""What Each Labs shows of its predictions: one by its id, and all of them as executions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from pipeline.emulator.account import Account, Job
from pipeline.emulator.core import Request, Settings
from pipeline.types import Json

MODEL = "kling-o1"

_WORDS = {
    "current": {"queued": "created", "running": "processing", "done": "success", "failed": "error"},
    "seed": {"queued": "processing", "running": "processing", "done": "success", "failed": "error"},
    "openapi": {"queued": "starting", "running": "processing", "done": "success", "failed": "failed"},
    "executions": {"queued": "created", "running": "starting", "done": "success", "failed": "error"},
}
"""Document → state → the word it has for it; all of them say ``cancelled``."""

_REASONS = {
    "moderated": (
        "PROVIDER_REJECTED",
        "PROVIDER",
        "The provider refused the request, as its content breaks its policy",
    ),
    "download": ("INPUT_DOWNLOAD_ERROR", "VALIDATION", "An input file could not be downloaded"),
}
"""Why a job failed → ``error_code``, category, message. The code for moderation is documented nowhere."""


class Shown:
    """The account's jobs in the words of the document that is played."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings

    def prediction(self, job: Job, base: str) -> Json:
        """The reply to ``GET /v1/prediction/{id}``."""
        state = job.state(self._account.now())
        words = _WORDS[self._settings.switch("eachlabs.status", "current", "seed", "openapi")]
        outcome: dict[str, Json] = {"status": words.get(state, state), "output": None}
        if state == "done":
            outcome["output"] = self.output(job, base)
        elif state == "failed":
            outcome |= self._failure(job)
        metrics: dict[str, Json] = {"predict_time": _seconds(job)} if state in ("done", "failed") else {}
        if self._settings.switch("eachlabs.poll", "current", "seed") == "seed":
            return {**outcome, "predictionID": job.id, "metrics": metrics}
        metrics |= {"cost": job.billed / 1_000_000} if metrics else {}
        here = f"{base}/v1/prediction/{job.id}"
        urls: Json = {"cancel": f"{here}/cancel", "get": here}
        about: dict[str, Json] = {"logs": None, "metrics": metrics, "urls": urls}
        given = job.asked["input"] if isinstance(job.asked, dict) else None
        return {"id": job.id, "input": given, **outcome, **about}

    def output(self, job: Job, base: str) -> Json:
        """The pictures of a job that is done."""
        found = job.urls(base)
        match self._settings.switch("eachlabs.output", "array", "string", "objects"):
            case "string" if len(found) == 1:
                return found[0]
            case "objects":
                return [{"url": url} for url in found]
        return [*found]

    def _failure(self, job: Job) -> dict[str, Json]:
        code, category, text = reason(job)
        match self._settings.switch("eachlabs.failure", "envelope", "dispatch", "message"):
            case "dispatch":
                return {"output": {"error": text}}
            case "message":
                return {"message": text, "details": code}
        return {
            "output": {
                "classification": {"category": category},
                "error": "Execution failed",
                "error_code": code,
                "error_message": text,
                "error_step": "prediction",
                "execution_id": job.id,
                "model_id": str(uuid.uuid5(uuid.NAMESPACE_URL, MODEL)),
                "model_slug": MODEL,
                "provider": "kling",
                "provider_error_code": "",
                "retryable": False,
                "status": "ERROR",
                "success": False,
            }
        }

    def executions(self, request: Request) -> Json:
        """Every job of the account, the newest first; neither input nor a client's id is told.

        ``ValueError`` says what is wrong with the query.
        """
        limit, offset = _number(request, "limit", 50, 1, 100), _number(request, "offset", 0, 0, 1_000_000)
        earliest, latest = _instant(request.query.get("from")), _instant(request.query.get("to"))
        unknown = set(request.query) - _FILTERS
        if unknown:
            raise ValueError(f"unknown query parameter: {', '.join(sorted(unknown))}")
        found = [
            job
            for job in sorted(self._account.jobs(), key=lambda job: job.wall, reverse=True)
            if (earliest is None or _moment(job.wall) >= earliest) and (latest is None or _moment(job.wall) <= latest)
            if all(_is_same(request.query, key, word) for key, word in self._traits(job).items())
        ]
        executions: list[Json] = [self._execution(job, request.base) for job in found[offset : offset + limit]]
        about: dict[str, Json] = {"total_count": len(found), "total_capped": False, "offset": offset, "limit": limit}
        return {"executions": executions, **about}

    def _traits(self, job: Job) -> dict[str, str]:
        """What executions can be filtered by."""
        state = job.state(self._account.now())
        kind = "content_moderation" if job.failed == "moderated" else "validation"
        words = _WORDS["executions"]
        told = kind if state == "failed" else ""
        return {"model": MODEL, "status": words.get(state, state), "error_classification": told}

    def _execution(self, job: Job, base: str) -> Json:
        state = job.state(self._account.now())
        over = state not in ("queued", "running")
        start = job.wall + (job.started - job.created) / self._settings.speed
        return {
            "id": job.id,
            "model": MODEL,
            "status": self._traits(job)["status"],
            "execution_cost": job.billed / 1_000_000 if over else 0,
            "run_time": _seconds(job) if over else 0,
            "created_at": _iso(job.wall),
            "started_at": _iso(start) if state != "queued" else None,
            "completed_at": _iso(job.wall_finished) if over else None,
            "output": self.output(job, base) if state == "done" else None,
        }


_FILTERS = frozenset({"model", "from", "to", "status", "limit", "offset", "error_classification"})


def _moment(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)  # microseconds, as they are shown: so what is shown is what is found


def _iso(wall: float) -> str:
    """A moment in RFC 3339."""
    return _moment(wall).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _is_same(query: Mapping[str, str], key: str, word: str) -> bool:
    return key not in query or query[key] == word


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ValueError(f"{name} must be a number from {least} to {most}")
    return int(text)


def _instant(text: str | None) -> datetime | None:
    """A moment given as Unix seconds or in RFC 3339."""
    if text is None:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return _moment(float(text))
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus that nobody escaped
    except ValueError as error:
        raise ValueError(f"not a time: {text}") from error
    if moment.tzinfo is None:
        raise ValueError(f"a time needs its zone: {text}")
    return moment


def _seconds(job: Job) -> float:
    return round(job.finished - job.started, 3)


def reason(job: Job) -> tuple[str, str, str]:
    """Why a job failed: ``error_code``, category, message."""
    return _REASONS.get(job.failed, ("PROVIDER_FAILED", "PROVIDER", job.failed or "cancelled"))
