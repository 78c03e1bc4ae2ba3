"""The emulator's switches and kinds of fault, for people: what there is, and which document says so.

A switch stands wherever the vendors' documents contradict each other or say nothing; the code that a switch turns has
its choices too, and a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Switch:
    """A switch: its choices, the default first, what it decides, and the documents behind the choices in their order.

    ``amount``: it takes any amount of this unit, and its one choice is the default.
    """

    choices: tuple[str, ...]
    meaning: str
    source: str
    amount: str = ""

    @property
    def shown(self) -> str:
        """The choices in one line."""
        return f"{self.amount} ({self.choices[0]})" if self.amount else " | ".join(self.choices)

    def takes(self, choice: str) -> bool:
        """Whether this is one of its choices."""
        return re.fullmatch(r"\d{1,9}(\.\d+)?", choice) is not None if self.amount else choice in self.choices


def _switch(choices: str, meaning: str, source: str) -> Switch:
    return Switch(tuple(choices.split(" | ")), meaning, source)


_NOWHERE = "documented nowhere"
_LOCAL = "references on this machine"
_STRICT = "input that the model's page doesn't list"

_FAL = {
    "validate": _switch("result | submit", "where a wrong input is refused", f"error catalogue | {_NOWHERE}"),
    "unknown-fields": _switch("refuse | ignore", _STRICT, _NOWHERE),
    "localhost": _switch("accept | refuse", _LOCAL, "the vendor can't reach them; local files would need uploads"),
    "reserved-headers": _switch("accept | refuse", "unknown X-Fal-* request headers", "common parameters: reserved"),
    "submit-reply": _switch(
        "queue | webhook", "reply to a submission with webhook: URLs, or two ids", "queue page | webhooks page"
    ),
    "response-url": _switch(
        "plain | response", "response_url: bare, or ending in /response", "fal's clients | queue page"
    ),
    "path": _switch(
        "alias | full", "follow-up URLs: owner/alias, or the whole model id", "fal's clients | OpenAPI of the queue"
    ),
    "status-code": _switch(
        "202 | 200", "HTTP status of a request's status while it runs", "API reference | OpenAPI of the queue"
    ),
    "completed-error": _switch(
        "with | without", "a failed request's status: with error, or without", "queue page | third parties"
    ),
    "not-ready": _switch("400 | 500", "HTTP status of a result asked for too early", "third parties, both"),
    "cancel-queued": _switch("202 | 200", "HTTP status of cancelling a waiting request", "queue page | API reference"),
    "cancel-running": _switch(
        "stops | finishes", "what cancelling does to a running request", "queue page: best effort"
    ),
    "after-cancel": _switch("completed | not-found", "what is told of a cancelled request", "inferred from the errors"),
}

_AIMLAPI = {
    "response": _switch("model-page | overview", "shape of the answer", "page of the model | of Kling O1"),
    "inline": _switch("url | null | b64", "b64_json: not there, null, or the picture", "model page; b64 nowhere"),
    "status": _switch("200 | 201", "HTTP status of an answer with pictures", "API schema | older collections"),
    "long-prompt": _switch("accept | refuse", "prompts of 2501 to 4000 characters", "model page | limits upstream"),
    "unknown-fields": _switch("refuse | ignore", _STRICT, _NOWHERE),
    "localhost": _switch("accept | refuse", _LOCAL, "the vendor can't reach them; there is no upload"),
    "moderated": _switch(
        "error | fal", "shape of a refusal by moderation: its own, or fal's", "errors page | its video answers"
    ),
    "error": _switch("json | sloppy", "errors as JSON, or without its commas", "API schema | errors page, as printed"),
    "balance": Switch(("100",), "what is on the account; when it is spent: 403", "errors page, on 403", "DOLLARS"),
}

_EACHLABS = {
    "auth": _switch("either | x-api-key | bearer", "which header carries the key", "both | model page | API reference"),
    "status": _switch(
        "current | seed | openapi", "words for the state of a prediction", "API reference | model page | OpenAPI"
    ),
    "poll": _switch("current | seed", "fields of a prediction", "API reference | model page"),
    "output": _switch(
        "array | string | objects",
        "links, a single one bare, or objects with url",
        "model page | webhook samples, both",
    ),
    "failure": _switch(
        "envelope | dispatch | message",
        "where a poll says why it failed",
        "Video API | its dispatch errors | model page",
    ),
    "error-body": _switch("current | seed | video", "body of an error", "API reference | model page | Video API"),
    "localhost": _switch("accept | refuse", f"{_LOCAL}, plain HTTP", "for rehearsals | model page: rejected"),
    "run": _switch("unsupported | supported", "the synchronous /v1/prediction/run", "enabled per model, it says"),
    "cancel": _switch("cancelled | success", "status in the reply to a cancellation", "OpenAPI | Video API"),
    "cancel-unknown": _switch("404 | 500", "HTTP status of cancelling what doesn't exist", "OpenAPI | Video API"),
    "delete-unknown": _switch("204 | 404", "HTTP status of deleting a file that isn't there", "API reference, both"),
}

_RUNWARE = {
    "resolution": _switch(
        "either | lower | upper", "spelling of the resolution: 1k, 1K", "both | model page | types of runware-sdk"
    ),
    "parameters": _switch("page | sdk", "whether routing and advancedFeatures are known", "model page | runware-sdk"),
    "localhost": _switch("accept | refuse", _LOCAL, "the vendor can't reach them; local files would need uploads"),
    "refused-uuid": _switch("free | consumed", "UUID of a task that failed validation", _NOWHERE),
    "ack": _switch("item | empty", "data of an accepted asynchronous task", "task polling | tests of runware-sdk"),
    "in-flight": _switch("processing | pending", "status of an unfinished result", "task polling | older pages"),
    "errors": _switch("envelope | item", "a failed task under errors, or in data", "errors page | types of the SDK"),
    "empty-errors": _switch("omit | list", "errors of a reply without any", "examples | older pages"),
    "unknown-task": _switch("error | empty", "getResponse for an unknown UUID", "error codes | third parties"),
    "cost": _switch("asked | always", "whether cost needs includeCost", "parameter's text | model page's examples"),
    "result-index": _switch("none | zero | one", "resultIndex, and where it begins", "examples | SDK, unclear, both"),
    "webhook": _switch("flat | data", "a notice is the result, or has it under data", "official skill | SDK's README"),
    "image-upload": _switch("array | object", "data of imageUpload's reply", "types of the SDK | older pages"),
    "socket-results": _switch(
        "each | together", "results of a synchronous task over a WebSocket", "onPartialImages of sdk-js | as over HTTP"
    ),
    "socket-errors": _switch(
        "errors | error", "key of errors over a WebSocket", "its clients | runware-sdk takes both"
    ),
    "socket-idle": Switch(("120",), "real seconds until a silent WebSocket is closed", "page on connecting", "SECONDS"),
}

_WEBHOOKS = {
    "delivery": _switch(
        "once | twice | late", "each once, each twice, or every other one late", "fal's page: at least once"
    ),
}

SWITCHES: Mapping[str, Switch] = {
    f"{owner}.{name}": switch
    for owner, group in (
        ("fal", _FAL),
        ("aimlapi", _AIMLAPI),
        ("eachlabs", _EACHLABS),
        ("runware", _RUNWARE),
        ("webhooks", _WEBHOOKS),
    )
    for name, switch in group.items()
}
"""``gateway.switch`` → the switch. Those of ``webhooks`` are every gateway's."""

FAULT_KINDS: Mapping[str, tuple[str, str]] = {
    "reset-before": ("", "the connection is cut, the request not accepted"),
    "reset-after": ("", "accepted and billed, then the connection is cut: a lost answer"),
    "status": ("STATUS", "that status in the gateway's error shape; not accepted"),
    "status-after": ("STATUS", "accepted and billed, then that status"),
    "429": ("RETRY-AFTER", "too many requests; without a value no Retry-After header"),
    "truncated": ("", "half of the body, then the connection is cut"),
    "html": ("", "status 200 with a web page; a submission is accepted and billed"),
    "slow": ("SECONDS", "the body drips over so many seconds"),
    "expired": ("", "status 403, as of a picture's link that has expired"),
    "wrong-type": ("", "the right body as text/html"),
    "short": ("", "the last tenth of the body is missing"),
    "not-picture": ("", "a web page as image/png"),
    "moderated": ("", "the job of a submission fails in moderation"),
    "refuse": ("", "the gateway stops listening, until it is told to resume"),
}
"""Kind of fault → the value that it takes (empty: none) and what happens."""
