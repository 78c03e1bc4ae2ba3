"""What fal accepts: its models here, the input of a request, and the platform's request headers."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.emulator import pictures
from pipeline.emulator.core import Settings
from pipeline.schema import validator
from pipeline.types import Json

Detail = dict[str, Json]


@dataclass(frozen=True)
class Model:
    """An endpoint: its schema, the price of a picture in micro-dollars, and whether it describes what it made."""

    id: str
    schema: str
    usd: int
    describes: bool = False

    @property
    def app(self) -> str:
        """``owner/alias``: the id without its sub-path, as fal's queue page has it in follow-up URLs."""
        return "/".join(self.id.split("/")[:2])


MODELS = {
    model.id: model
    for model in (
        # $0.028: fal's page of kling-image v3; this endpoint's own page states no price.
        Model("fal-ai/kling-image/o1", "gateways/fal", 28_000),
        # $0.039: third parties agree; the output's `description` is from fal's API reference of Nano Banana.
        Model("fal-ai/nano-banana/edit", "gateways/fal-nano-banana-edit", 39_000, describes=True),
    )
}


def complaints(
    model: Model, body: Mapping[str, Json], settings: Settings, is_gone: Callable[[str], bool]
) -> list[Detail]:
    """What is wrong with an input, as the ``detail`` of a 422. ``is_gone``: whether a link of ours leads nowhere."""
    ignores = settings.switch("fal.unknown-fields", "refuse", "ignore") == "ignore"
    found: list[Detail] = []
    for error in validator(model.schema).iter_errors(body):
        if error.validator != "additionalProperties":
            found.append(_explain(error))
        elif not ignores:
            found += [
                _detail([key], "Extra inputs are not permitted", "extra_forbidden", value)
                for key, value in body.items()
                if key not in error.schema["properties"]
            ]
    return found or list(_references(body["image_urls"], settings, is_gone))


def _references(urls: Json, settings: Settings, is_gone: Callable[[str], bool]) -> Iterator[Detail]:
    accepts_local = settings.switch("fal.localhost", "accept", "refuse") == "accept"
    for number, url in enumerate(urls if isinstance(urls, list) else []):
        place: list[Json] = ["image_urls", number]
        text = str(url)
        if text.startswith("data:"):
            data = pictures.data_uri(text)
            if data is None or pictures.look(data[0]) is None:
                yield _detail(place, "Failed to load the image.", "image_load_error", text[:64])
        elif is_gone(text) or not (accepts_local or _is_public(text)):
            message = "Failed to download the file. Please check if the URL is accessible and try again."
            yield _detail(place, message, "file_download_error", text)


def _is_public(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host != "localhost"


def _explain(error: Any) -> Detail:  # noqa: ANN401  # jsonschema's errors are loosely typed
    """A complaint of the schema in the types of fal's error catalogue, or pydantic's where that has none."""
    path, limit, value = list(error.absolute_path), error.validator_value, error.instance
    match error.validator:
        case "required":
            key = next(key for key in limit if error.message.startswith(repr(key)))
            return _detail([*path, key], "Field required", "missing", value)
        case "type":
            names = {"string": "string", "integer": "int", "boolean": "bool", "array": "list"}
            kind = names.get(limit, "dict")
            return _detail(path, f"Input should be a valid {limit}", f"{kind}_type", value)
        case "enum":
            expected = " or ".join(repr(choice) for choice in limit)
            return _detail(path, f"Input should be {expected}", "one_of", value, expected=limit)
        case "minimum":
            text = f"Input should be greater than or equal to {limit}"
            return _detail(path, text, "greater_than_equal", value, ge=limit)
        case "maximum":
            text = f"Input should be less than or equal to {limit}"
            return _detail(path, text, "less_than_equal", value, le=limit)
        case "maxItems":
            text = f"List should have at most {limit} items, not {len(value)}"
            return _detail(path, text, "sequence_too_long", value, max_length=limit)
        case "maxLength":
            text = f"String should have at most {limit} characters"
            return _detail(path, text, "string_too_long", value, max_length=limit)
        case _:
            return _detail(path, "Input should be a valid URL", "url_parsing", value)


def _detail(place: list[Json], text: str, kind: str, given: Json, **context: Json) -> Detail:
    url = f"https://docs.fal.ai/errors/#{kind}"
    return {"loc": ["body", *place], "msg": text, "type": kind, "url": url, "ctx": dict(context), "input": given}


def flagged(prompt: str) -> list[Detail]:
    """The ``detail`` of a request refused by moderation (fal's error catalogue)."""
    text = "The content could not be processed because it contained material flagged by a content checker."
    return [_detail(["prompt"], text, "content_policy_violation", prompt)]


# ── the platform's headers ──────────────────────────────────────────────────────────────────────

_HEADERS = frozenset(
    [
        "x-fal-request-start-timeout",
        "x-fal-request-timeout",
        "x-fal-no-retry",
        "x-fal-retry-config",
        "x-fal-queue-priority",
        "x-fal-runner-hint",
        "x-fal-store-io",
        "x-fal-object-lifecycle-preference",
        "x-fal-object-lifecycle",
        "x-fal-file-name",
        "x-fal-cdn-token",
    ]
)
"""fal's common parameters, its API reference of submitting, and what its Python client sends with an upload."""


def header_problem(headers: Mapping[str, str], settings: Settings) -> str | None:
    """What is wrong with the ``X-Fal-*`` headers of a request; None when nothing is."""
    if settings.switch("fal.reserved-headers", "accept", "refuse") == "refuse":
        for name in headers:
            if name.startswith("x-fal-") and name not in _HEADERS:
                return f"The header {name} is reserved"
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        if name in headers and not _seconds(headers[name]) > 0.1:
            return f"{name} must be a number greater than 0.1"
    for name in ("x-fal-object-lifecycle-preference", "x-fal-object-lifecycle", "x-fal-retry-config"):
        if name in headers and not _is_object(headers[name]):
            return f"{name} must be a JSON object"
    return None


def start_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds in which the request has to start on a runner; the newer name of the header wins."""
    for name in ("x-fal-request-start-timeout", "x-fal-request-timeout"):
        if name in headers:
            return _seconds(headers[name])
    return None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
