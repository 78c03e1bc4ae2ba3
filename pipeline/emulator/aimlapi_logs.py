"""AIML API's request logs: the window, the filters and the paging of ``GET /v2/logs`` (its page on usage logs)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.emulator.core import Request
from pipeline.types import Json

_DAY = 86_400.0
_LONGEST = 92 * _DAY
_UNITS = {"h": 3_600.0, "d": _DAY}
_MODELS = 50


class BadQuery(ValueError):
    """A query that the page says is answered with 400."""


@dataclass(frozen=True)
class Row:
    """One request: when it was made (Unix time), and what is told of it."""

    wall: float
    told: dict[str, Json]


def page(request: Request, rows: list[Row]) -> Json:
    """The page of rows that a query asks for."""
    start, end = _window(request)
    models, statuses = request.all("model"), request.all("status")
    if len(models) > _MODELS:
        raise BadQuery(f"model: expected at most {_MODELS} values")
    if not set(statuses) <= {"succeeded", "failed"}:
        raise BadQuery("status: expected 'succeeded' | 'failed'")
    limit, offset = _number(request, "limit", 50, 1, 100), _number(request, "offset", 0, 0, None)
    names = {"klingai/image-o1", "image-o1"}  # a model is found by its id and by the alias alone
    found: list[Json] = [
        row.told
        for row in rows
        if start <= row.wall <= end
        and (not statuses or row.told["status"] in statuses)
        and (not models or names & set(models))
    ]
    more = len(found) > offset + limit
    paging: Json = {"limit": limit, "offset": offset, "total": len(found), "has_more": more}
    return {"data": found[offset : offset + limit], "pagination": paging}


def _window(request: Request) -> tuple[float, float]:
    period, start, end = (request.query.get(name) for name in ("period", "start", "end"))
    if period is not None and start is None and end is None:
        found = re.fullmatch(r"([1-9]\d{0,5})([hd])", period)
        if not found:
            raise BadQuery("period: expected a positive number followed by h or d")
        now = time.time()
        window = now - int(found[1]) * _UNITS[found[2]], now
    elif period is None and start is not None and end is not None:
        window = _time("start", start), _time("end", end)
    else:
        raise BadQuery("expected either period, or both start and end")
    if window[1] < window[0]:
        raise BadQuery("end: expected a time not before start")
    if window[1] - window[0] > _LONGEST:
        raise BadQuery("expected a window of at most 92 days")
    return window


def _time(name: str, text: str) -> float:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(f"{name}: expected an ISO-8601 time") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


def _number(request: Request, name: str, default: int, least: int, most: int | None) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < least or (most is not None and int(text) > most):
        raise BadQuery(f"{name}: expected a number from {least} to {most or 'any'}, received {text[:20]!r}")
    return int(text)
