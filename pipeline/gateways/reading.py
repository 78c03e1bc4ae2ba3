"""Reading what gateways answer: tolerant of shapes, strict about meaning."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NoReturn

from pipeline.errors import LaneStopped, LostAnswer, Refused
from pipeline.types import Answer, Job, Json

MAX_TEXT = 500


def part(value: Json, *path: str | int) -> Json:
    """What lies at a path in an answer; None where there is nothing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text(value: Json, *path: str | int) -> str:
    """The non-empty string at a path; empty where there is none."""
    found = part(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Json, *path: str | int) -> float | None:
    """The finite number at a path, also where it was written as a string."""
    found = part(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        result = float(found)
    except (ValueError, OverflowError):
        return None
    return result if abs(result) < 1e15 else None


def items(value: Json, *path: str | int) -> list[Json]:
    """The list at a path; empty where there is none."""
    found = part(value, *path)
    return found if isinstance(found, list) else []


def said(value: Json) -> str:
    """Whatever an error body says, as one line: strings, ``detail`` arrays, ``message``/``details``, envelopes."""
    parts = [piece for piece in _words(value, 0) if piece]
    return " · ".join(dict.fromkeys(parts))[:MAX_TEXT]


_SAYING = (
    ("error_message", "message", "msg", "detail", "details", "reason", "error", "errors", "output"),
    ("code", "error_code", "error_type", "type", "loc"),
)


def _words(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())
    elif isinstance(value, list) and depth < 4:
        for entry in value[:5]:
            yield from _words(entry, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        sentence = [word for name in _SAYING[0] for word in _words(value.get(name), depth + 1)]
        codes = [text(value, name) for name in _SAYING[1] if text(value, name)]
        field = ".".join(str(step) for step in items(value, "loc") if isinstance(step, str | int))
        extra = ", ".join(code for code in (field, *codes) if code)
        yield " · ".join(dict.fromkeys(word for word in sentence if word)) + (f" ({extra})" if extra else "")


def check_accepted(answer: Answer, gateway: str) -> None:
    """Raise what a status of 300 and above means, for a call that asks for something to be made.

    Raises:
        LaneStopped: 401, 402 and 403, and an address that isn't the gateway's (3xx, 404, 405).
        Refused: any other 4xx: this request is wrong, another may be right. Nothing was billed.
        LostAnswer: 408, 425, 499, and 500 and above.
    """
    status, words = answer.status, said(answer.json)
    told = f"{gateway} answered {status}" + (f": {words}" if words else "")
    if status in (401, 402, 403):
        why = {401: "the key is not accepted", 402: "no credit", 403: "the account may not do this"}[status]
        raise LaneStopped(f"{told} ({why})")
    if 300 <= status < 400 or status in (404, 405):
        raise LaneStopped(f"{told} (is base_url right, and the model's id?)")
    if status in (408, 425, 499) or status >= 500:  # of something in between, perhaps, after it was accepted
        raise LostAnswer(told)
    if status >= 400:
        raise Refused(told, usd=0)


def check_polled(answer: Answer, gateway: str) -> None:
    """What the status of a poll means: a bad key stops the lane, all else is asked again by a later run."""
    if answer.status in (401, 403):
        check_accepted(answer, gateway)
    if answer.status >= 300:
        broken(gateway, f"asked how it goes, it answered {answer.status}: {said(answer.json)}")


def check_listed(answer: Answer, gateway: str, name: str) -> None:
    """Whether a log could be read: only a whole search that finds nothing says that something was not accepted."""
    check_polled(answer, gateway)
    if not isinstance(part(answer.json, name), list):
        broken(gateway, f"its log holds no {name}")


def utc(moment: float) -> str:
    """Unix seconds → RFC 3339, as the gateways' logs take it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(moment: str) -> float | None:
    """RFC 3339 → Unix seconds; None for anything else."""
    try:
        found = dt.datetime.fromisoformat(moment)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or dt.UTC).timestamp()


def inputs(job: Job) -> dict[str, Json]:
    """A request's input as the gateway names it: by the ``fields`` and ``values`` of the model's YAML.

    Where the gateway takes pixels (``width``, ``height``), a named ratio is sent as them, and ``resolution`` only
    with ``auto``.
    """
    spec, fields = job.spec, job.offer.fields
    ours: dict[str, Json] = {"prompt": spec.prompt, "format": spec.format, "count": job.count}
    if job.images:
        ours["references"] = list(job.images)
    if "width" in fields and job.size is not None:
        ours |= {"width": job.size[0], "height": job.size[1]}
    else:
        ours |= {"resolution": spec.resolution, "aspect_ratio": spec.aspect_ratio}
    result: dict[str, Json] = {}
    for name, field in fields.items():
        if name in ours:
            value = ours[name]
            words = job.offer.values.get(name, {})
            _put(result, field.split("."), words.get(value, value) if isinstance(value, str) else value)
    return result


def _put(tree: dict[str, Json], path: list[str], value: Json) -> None:
    for step in path[:-1]:
        inner = tree.setdefault(step, {})
        assert isinstance(inner, dict)  # noqa: S101  # the model's schema forbids one field inside another's value
        tree = inner
    tree[path[-1]] = value


def broken(gateway: str, what: str) -> NoReturn:
    """Give up on an answer that makes no sense."""
    raise LostAnswer(f"{gateway}: {what}")
