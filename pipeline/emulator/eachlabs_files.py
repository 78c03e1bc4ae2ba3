"""Each Labs' storage: links to upload to, and the files behind their public addresses.

By Each Labs' reference of uploading (shared facts, part 3.9). Times are real: a link to upload to lives for 15
minutes, a file as long as it was asked for.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time as now

from pipeline.emulator.account import Account
from pipeline.emulator.core import Reply, Request, Settings
from pipeline.types import Json

MOST_BYTES = 100_000_000
LINK_SECONDS = 900
KEPT_SECONDS = 180 * 86400
"""How long a file is kept if nothing else is asked for."""

_PUT = "/storage/"
_GET = "/uploads/"
_EXTENSION = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True)
class _File:
    """An announced file: what is PUT has to carry exactly these headers."""

    name: str
    kind: str
    link_ends: float
    ends: float

    def headers(self) -> dict[str, str]:
        return {"Content-Type": self.kind, "x-amz-meta-file-id": self.name.partition(".")[0]}


class Files:
    """Files that were announced, by their id; the bytes are with the account."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._secret = f"eachlabs/{settings.seed}".encode()
        self._files: dict[str, _File] = {}

    def public(self, request: Request) -> Reply | None:
        """Answer what needs no API key: a signed upload, and reading a file. None when it is something else."""
        if request.method == "PUT" and request.path.startswith(_PUT):
            return self._put(request, request.path.removeprefix(_PUT))
        if request.method in ("GET", "HEAD") and request.path.startswith(_GET):
            found = self._held(request.path.removeprefix(_GET))
            return Reply(data=found[0], kind=found[1]) if found else _xml(404, "NoSuchKey")
        return None

    def presign(self, request: Request) -> Reply:
        """A link to upload one file to; the body has been checked."""
        body = request.json()
        asked = body if isinstance(body, dict) else {}
        kind, seconds, at = str(asked["content_type"]), asked.get("expires_in_seconds", KEPT_SECONDS), now()
        extension = _EXTENSION.get(kind) or kind.partition("/")[2].partition("+")[0]
        name = str(uuid.uuid4())
        ends = at + (float(seconds) if isinstance(seconds, int | float) else KEPT_SECONDS)
        file = _File(f"{name}.{extension}", kind, at + LINK_SECONDS, ends)
        self._files[name] = file
        sent: dict[str, Json] = {**file.headers()}
        told: dict[str, Json] = {
            "id": name,
            "presigned_url": f"{request.base}{_PUT}{file.name}?X-Amz-Signature={self._seal(file.name)}",
            "public_url": f"{request.base}{_GET}{file.name}",
            "expires_at": datetime.fromtimestamp(file.link_ends, UTC).isoformat(timespec="seconds"),
            "required_headers": sent,
        }
        return Reply(json=told)

    def delete(self, name: str) -> bool:
        """Forget a file; whether it was there."""
        return self._files.pop(name, None) is not None

    def is_missing(self, url: str, base: str) -> bool:
        """Whether a link into this storage leads nowhere."""
        start = base + _GET
        return url.startswith(start) and self._held(url.removeprefix(start)) is None

    def _held(self, name: str) -> tuple[bytes, str] | None:
        file = self._files.get(name.partition(".")[0])
        if file is None or file.name != name or now() >= file.ends:
            return None
        return self._account.uploaded(name)

    def _seal(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), "sha256").hexdigest()

    def _put(self, request: Request, name: str) -> Reply:
        file = self._files.get(name.partition(".")[0])
        seal = request.query.get("X-Amz-Signature", "")
        if file is None or not hmac.compare_digest(seal.encode(), self._seal(name).encode()):
            return _xml(403, "SignatureDoesNotMatch")
        if now() >= file.link_ends:
            return _xml(403, "AccessDenied")
        if any(request.headers.get(key.lower()) != value for key, value in file.headers().items()):
            return _xml(403, "SignatureDoesNotMatch")
        if len(request.body) > MOST_BYTES:
            return _xml(400, "EntityTooLarge")
        self._account.upload(name, request.body, file.kind)
        return Reply(data=b"", kind="text/plain")


def _xml(status: int, code: str) -> Reply:
    """An error of the object storage behind the links, which speaks XML."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Reply(status, data=text.encode(), kind="application/xml")
