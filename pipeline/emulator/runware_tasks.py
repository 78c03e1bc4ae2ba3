"""What Runware accepts: its tasks by the published schema, references, and errors in its shape."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.emulator import links, pictures
from pipeline.emulator.core import Settings
from pipeline.schema import validator
from pipeline.types import Json

Task = dict[str, Json]
Error = dict[str, Json]

INFERENCE = "imageInference"
USD = 28_000
"""Micro-dollars a picture (Runware's model page of Kling IMAGE O1)."""

KINDS = (
    INFERENCE,
    "getResponse",
    "getTaskDetails",
    "mediaStorage",
    "imageUpload",
    "accountManagement",
    "authentication",
    "ping",
)

FORMATS = {"JPG": "jpeg", "PNG": "png", "WEBP": "webp"}
"""``outputFormat`` → format; JPG is the default."""

MEDIA = frozenset({"jpeg", "png", "webp", "bmp", "gif"})
"""What can be uploaded (Runware's page on uploading images)."""

_CODES = {
    400: "invalidRequest",
    401: "invalidApiKey",
    402: "insufficientCredits",
    403: "forbidden",
    404: "notFound",
    405: "invalidMethod",
    429: "rateLimitExceeded",
    500: "internalServerError",
    502: "providerError",
    503: "serviceUnavailable",
    504: "timeoutProvider",
}

_NEWER = frozenset({"routing", "advancedFeatures"})
"""Parameters that the types of runware-sdk 1.8.0 list and the model's page does not."""

_DOCUMENTATION = "https://runware.ai/docs/models/klingai-image-o1"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def code_of(status: int) -> str:
    """The error code that goes with a status of a whole request; the codes are no stable contract, says Runware."""
    return _CODES.get(status, "unknownError")


def error_of(task: Mapping[str, Json], code: str, message: str, parameter: Json = None) -> Error:
    """An entry of ``errors`` (Runware's page on errors); what is not known of the task is left out."""
    told: Error = {"code": code, "message": message}
    if parameter is not None:
        told["parameter"] = parameter
    told |= {key: task[key] for key in ("taskType", "taskUUID") if isinstance(task.get(key), str)}
    if task.get("taskType") == INFERENCE:
        first = parameter[0] if isinstance(parameter, list) and parameter else parameter
        anchor = f"#request-{str(first).replace('.', '-').lower()}" if first else ""
        told["documentation"] = _DOCUMENTATION + anchor
    return told


def complaints(task: Task, settings: Settings, knows: Callable[[str], bool]) -> list[Error]:
    """What is wrong with a task. ``knows``: whether a UUID is that of stored media or of a picture."""
    kind = task.get("taskType")
    if kind is None:
        return [error_of(task, "missingTaskType", "The 'taskType' parameter is required.", "taskType")]
    if kind not in KINDS:
        return [error_of(task, "invalidTaskType", f"There is no taskType {kind!r}.", "taskType")]
    newer = kind == INFERENCE and settings.switch("runware.parameters", "page", "sdk") == "sdk"
    known = {key: value for key, value in task.items() if not (newer and key in _NEWER)}
    found = [
        each for error in validator("gateways/runware", str(kind)).iter_errors(known) for each in _explain(task, error)
    ]
    if found or kind != INFERENCE:
        return found
    return [*_resolution(task, settings), *_references(task, settings, knows)]


def _explain(task: Task, error: Any) -> Iterator[Error]:  # noqa: ANN401  # jsonschema's errors are loosely typed
    path, limit = [str(part) for part in error.absolute_path if not isinstance(part, int)], error.validator_value
    if "x-code" in error.schema:
        yield error_of(task, error.schema["x-code"], error.schema["description"], error.schema["x-parameter"])
        return
    if error.validator == "additionalProperties":
        for key in error.instance:
            if key not in error.schema["properties"]:
                name = ".".join([*path, key])
                yield error_of(task, "unknownParameter", f"The parameter '{name}' is not supported.", name)
        return
    if error.validator == "required":
        path.append(next(key for key in limit if error.message.startswith(repr(key))))
        yield error_of(task, f"missing{_capital(path[-1])}", f"The '{path[-1]}' parameter is required.", ".".join(path))
        return
    name = ".".join(path)
    text = f"Invalid value for '{name}' parameter: {_rule(error.validator, limit)}."
    yield error_of(task, f"invalid{_capital(path[-1] if path else 'request')}", text, name)


def _rule(keyword: str, limit: Json) -> str:
    match keyword:
        case "enum" | "const":
            return f"allowed is {limit}"
        case "minimum" | "minLength" | "minItems":
            return f"the least is {limit}"
        case "maximum" | "maxLength" | "maxItems":
            return f"the most is {limit}"
        case "pattern":
            return f"it must match {limit}"
    return f"it must be of the type {limit}"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _resolution(task: Task, settings: Settings) -> Iterator[Error]:
    choice = settings.switch("runware.resolution", "either", "lower", "upper")
    value = str(task.get("resolution", ""))
    if (choice == "lower" and value != value.lower()) or (choice == "upper" and value != value.upper()):
        yield error_of(task, "invalidResolution", f"Invalid value for 'resolution' parameter: {value}.", "resolution")


def references(task: Task) -> list[str]:
    """The references of a valid request for pictures."""
    inputs = task.get("inputs")
    given = inputs.get("referenceImages") if isinstance(inputs, dict) else None
    return [str(each) for each in given] if isinstance(given, list) else []


def _references(task: Task, settings: Settings, knows: Callable[[str], bool]) -> Iterator[Error]:
    takes_local = settings.switch("runware.localhost", "accept", "refuse") == "accept"
    for number, text in enumerate(references(task)):
        if text.startswith(("http://", "https://")):
            good = links.is_web(text) and (takes_local or not links.is_local(text))
        elif _UUID.fullmatch(text):
            good = knows(text)
        else:
            good = decoded(text) is not None
        if not good:
            words = "it must be a UUID of stored media, a reachable URL, a data URI or base64 of a picture"
            message = f"Invalid value for 'inputs.referenceImages' parameter at {number}: {words}."
            yield error_of(task, "invalidReferenceImages", message, "inputs.referenceImages")


def decoded(text: str) -> tuple[bytes, str] | None:
    """Bytes and media type of a picture given as data URI or bare base64; None when it is none."""
    if text.startswith("data:"):
        found = pictures.data_uri(text)
        data = found[0] if found else b""
    else:
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
    seen = pictures.look(data)
    return (data, f"image/{seen[0]}") if seen and seen[0] in MEDIA else None


def is_uuid(text: str) -> bool:
    """Whether this is written as a UUID."""
    return _UUID.fullmatch(text) is not None
