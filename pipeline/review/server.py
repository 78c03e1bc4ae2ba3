"""The socket: who may ask, for what, and what is answered."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTP_PORT
from urllib.parse import parse_qs

from pipeline.errors import PipelineError, printable
from pipeline.report.data import SERVED
from pipeline.review.sheets import NoDecisions, Sheets
from pipeline.webhooks.server import Connection, Port, TooLong

HOST = "127.0.0.1"
"""The only address that is listened at."""
MOST = 16 * 1024 * 1024
"""Bytes of decisions that are sent at once: those on some 40,000 pictures."""

_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ALONE = "default-src 'none'; frame-ancestors 'none'"
_FRAMED = "frame-ancestors 'none'"  # all else the page says itself


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer: ``body``, or what an open file holds, up to ``size``."""

    status: int
    body: bytes = b""
    type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    policy: str = _ALONE
    file: int | None = None
    size: int = 0


_NOTHING = _Answer(404)


class _Handler(Connection):
    """Requests of one connection, one after the other."""

    server: Server
    most = MOST

    def _get(self) -> None:
        judged = self._judged()
        # What nobody reads; and who may not ask keeps no connection from who may.
        self.close_connection |= self._sends() or judged is not None
        self._answer(judged or self._found())

    def _post(self) -> None:
        answer = self._judged() or self._doubtful()
        if answer is None:
            try:
                body = self.body()
            except TooLong:
                answer = _Answer(413, b"These are too many decisions at once; export them and use --import.")
            except (ValueError, RecursionError):
                answer = _Answer(400)
            else:
                self._answer(self._adopted(body))
                return
        self._refuse(answer)

    def _other(self) -> None:
        self._refuse(self._judged() or _Answer(405, headers={"Allow": "GET, HEAD, POST"}))

    do_GET = do_HEAD = _get  # noqa: N815  # as the parent calls them
    do_POST = _post  # noqa: N815
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _other  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002  # as the parent has them
        """Refuse what can't be understood, without a word: the parent would repeat the request."""
        self.close_connection = True
        if code == HTTPStatus.NOT_IMPLEMENTED:  # no method of ours
            self._other()
        else:
            self._answer(_Answer(code))

    # ── who asks ────────────────────────────────────────────────────────────────────────────────

    def _judged(self) -> _Answer | None:
        """Why a request gets nothing. Without the token there is nothing here, not even a reason."""
        given = self.path.partition("?")[0].removeprefix("/").partition("/")[0]
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.server.token.encode()):
            return _NOTHING
        # A name that an attacker has led to this machine (DNS rebinding) is not what we are called.
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            return _Answer(421)
        return None

    def _doubtful(self) -> _Answer | None:
        """Why decisions are not even read: they come from elsewhere, or are none by what is said of them."""
        if self._asked() != SERVED["decisions"]:
            return _Answer(405, headers={"Allow": "GET, HEAD"})
        origin = self.headers.get("Origin", "null")
        own = f"http://{self.headers['Host'].lower()}"
        if origin != own and (origin != "null" or self.headers.get("Sec-Fetch-Site") != "same-origin"):
            return _Answer(403)
        if self.headers.get_content_type() != "application/json":
            return _Answer(415)
        return None

    def _sends(self) -> bool:
        """Whether a body comes with the request."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    def _asked(self) -> str | None:
        """What stands behind the token; None when not even a slash does."""
        path = self.path.partition("?")[0].removeprefix("/")
        return path.partition("/")[2] if "/" in path else None

    # ── what is answered ────────────────────────────────────────────────────────────────────────

    def _found(self) -> _Answer:
        asked = self._asked()
        try:
            match asked:
                case None:
                    return _Answer(308, headers={"Location": f"/{self.server.token}/"})
                case "":
                    page = self.server.sheets.fresh().page
                    return _Answer(200, page, "text/html; charset=utf-8", policy=_FRAMED)
                case "data.json":
                    since = parse_qs(self.path.partition("?")[2]).get("since", [""])[-1]
                    sheet = self.server.sheets.newer(since)
                    return _Answer(200, sheet.data, "application/json") if sheet else _Answer(204)
                case "decisions":
                    return _Answer(405, headers={"Allow": "POST"})
        except Exception as error:  # the server goes on, whatever it was
            return self._failed(error)
        return self._picture(asked)

    def _picture(self, address: str) -> _Answer:
        """A picture that the sheet names: by its whole address, so that no other path can be made of it."""
        path = self.server.sheets.file(address)
        kind = _TYPES.get(address.rpartition(".")[2])
        if path is None or kind is None:
            return _NOTHING
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # gone since
            return _NOTHING
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            os.close(handle)
            return _NOTHING
        return _Answer(200, type=kind, policy=_FRAMED, file=handle, size=found.st_size)

    def _adopted(self, body: bytes) -> _Answer:
        try:
            merge = self.server.sheets.adopt(body)
        except NoDecisions as error:
            return _Answer(400, str(error).encode("utf-8", "replace"))
        except Exception as error:  # the server goes on, whatever it was
            return self._failed(error)
        done = {
            "adopted": len(merge.adopted) + len(merge.withdrawn),
            "older": len(merge.older),
            "unknown": len(merge.unknown),
        }
        return _Answer(200, json.dumps(done).encode(), "application/json")

    def _failed(self, error: Exception) -> _Answer:
        """What can't be done now; what nobody foresaw is told of, too."""
        if isinstance(error, PipelineError):
            return _Answer(503, str(error).encode("utf-8", "replace"))
        words = printable(f"{type(error).__name__}: {error}")
        self.server.sheets.tell(f"the review page could not be served: {words}")
        return _Answer(500, words.encode("utf-8", "replace"))

    def _refuse(self, answer: _Answer) -> None:
        """Answer, and hang up: of what is still being sent nothing is wanted."""
        self.close_connection = True
        self._answer(answer)
        if self._sends():
            self.drain()

    def _answer(self, answer: _Answer) -> None:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(os.fdopen(answer.file, "rb")) if answer.file is not None else None
            size = answer.size if file else len(answer.body)
            self.send_response(answer.status)
            for name, value in (_HEADERS | {"Content-Security-Policy": answer.policy} | answer.headers).items():
                self.send_header(name, value)
            if answer.status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(size))
            if size:
                self.send_header("Content-Type", answer.type)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "HEAD" or not size:
                return
            if file is None:
                self.wfile.write(answer.body)
            elif self.connection.sendfile(file, count=size) != size:  # it was cut since
                self.close_connection = True


class Server(Port):
    """The listening port of one sheet. ``url``: what to open; it holds the token."""

    def __init__(self, sheets: Sheets, port: int = 0) -> None:
        self.sheets = sheets
        self.token = secrets.token_urlsafe(24)
        super().__init__(HOST, port, _Handler)
        end = "" if self.server_port == HTTP_PORT else f":{self.server_port}"  # as browsers write it
        self.hosts = (f"{HOST}{end}", f"localhost{end}")
        self.url = f"http://{HOST}{end}/{self.token}/"
