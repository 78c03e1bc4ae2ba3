"""What fal shows of a request: its log, its output, or how it failed."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.emulator.account import Job
from pipeline.emulator.fal_input import Detail, Model, flagged
from pipeline.emulator.pictures import TYPE
from pipeline.types import EXTENSION, Json


@dataclass(frozen=True)
class Ticket:
    """What fal knows of a request besides its job."""

    model: Model
    base: str
    inline: bool = False  # pictures as data URIs
    start_by: float | None = None  # on the account's clock
    wrong: list[Detail] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """How a request failed: a model-level error has ``details``, a request-level one only its text."""

    status: int
    kind: str
    text: str
    details: list[Detail] | None = None

    def body(self) -> Json:
        """The body of the result."""
        if self.details is not None:
            return {"detail": [*self.details]}
        return {"detail": self.text, "error_type": self.kind}


def failure_of(job: Job, ticket: Ticket) -> Failure | None:
    """How a finished request failed, in the words of fal's error catalogue; None when it did not."""
    if job.cancelled:
        return Failure(499, "client_cancelled", "Request was cancelled by the client")
    match job.failed:
        case "":
            return None
        case "invalid" | "moderated":
            wrong = ticket.wrong or flagged(job.prompt)
            return Failure(422, str(wrong[0]["type"]), str(wrong[0]["msg"]), wrong)
        case "request_timeout":
            return Failure(504, "request_timeout", "Request timed out")
    return Failure(500, "internal_error", job.failed)


def output(job: Job, ticket: Ticket) -> Json:
    """The output of the model: the fields of the example on fal's model page."""
    kind = TYPE[job.format]
    images: list[Json] = []
    for number, link in enumerate(job.urls(ticket.base), 1):
        data = job.picture(number)
        url = f"data:{kind};base64,{base64.b64encode(data).decode()}" if ticket.inline else link
        name = f"{job.id.replace('-', '')}_{number}.{EXTENSION[job.format]}"
        images.append({"url": url, "content_type": kind, "file_name": name, "file_size": len(data)})
    return {"images": images} | ({"description": ""} if ticket.model.describes else {})


def log_lines(job: Job, now: float) -> list[Json]:
    """What the request has logged by a time of the clock."""
    speed = job.account.settings.speed
    return [
        {
            "message": text,
            "level": "INFO",
            "source": "USER",
            "timestamp": _iso(job.wall + (at - job.created) / speed),
        }
        for at, text in ((job.started, "Started"), (job.finished, "Finished"))
        if at <= now
    ]


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
