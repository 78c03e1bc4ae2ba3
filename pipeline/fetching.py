"""A picture from a web address: within reach, whole, under a size cap, and as long as it keeps coming.

A slow line is no fault, so there is no deadline for the whole: a download ends when nothing comes for a while, when it
is slower than any line in use, or after an hour. What came is continued where the server offers it (RFC 9110 §14).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import httpx

from pipeline.addresses import Reach
from pipeline.causes import cause_of, proxy_refusal
from pipeline.errors import DownloadError
from pipeline.network import Forbidden, Oversized, client, read, unpacked
from pipeline.proxies import UnusableProxy

STALL = 60.0
"""Seconds in which a byte must come."""
FLOOR = 1000.0
"""Bytes a second, on average, that must come: a server that sends a byte now and then would hold a place for ever."""
GRACE = 120.0
"""Seconds for which no speed is asked."""
LONGEST = 3600.0
"""Seconds that one picture may take at any speed."""
CONTINUED = 4
"""Times in a row that a download is continued without getting on."""
PAUSE = 1.0
"""Seconds before it is continued for the first time; then twice as long each time."""
GETS_ON = 16 * 1024
"""Bytes that count as getting on."""
REDIRECTS = 3
"""Addresses to which a picture's link may lead on."""

_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", re.IGNORECASE)


@dataclass(slots=True)
class _Part:
    """What came so far, as it was sent: a packed picture is still packed. Moments are the event loop's.

    ``validator`` is what ``If-Range`` names, the server's word that it is the same file still; empty where it offers
    no ranges. ``size``: of the whole, where that is known; ``flaw``: why this is not the whole.
    """

    begun: float
    data: bytearray = field(default_factory=bytearray)
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    validator: str = ""
    size: int | None = None
    flaw: str = ""

    def begin(self, headers: httpx.Headers) -> None:
        """The whole is coming, from its first byte."""
        self.data.clear()
        length = headers.get("content-length", "")
        self.headers, self.size = headers, int(length) if re.fullmatch(r"[0-9]{1,15}", length) else None
        self.validator = _validator(headers) if headers.get("accept-ranges", "").strip().lower() == "bytes" else ""

    def goes_on(self, response: httpx.Response) -> bool:
        """Whether a response brings what comes next, of the same file."""
        found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
        if response.status_code != httpx.codes.PARTIAL_CONTENT or found is None:
            return False
        same = _validator(response.headers) in ("", self.validator)
        size = None if found[3] == "*" else int(found[3])
        return same and int(found[1]) == len(self.data) and (size is None or self.size in (None, size))

    def end(self) -> float:
        """When there must be more than this."""
        return self.begun + min(GRACE + len(self.data) / FLOOR, LONGEST)

    def until(self) -> float:
        """Until when the next byte may take."""
        return min(anyio.current_time() + STALL, self.end())

    def late(self) -> str:
        """Why the next byte took too long."""
        why = f"nothing came for {STALL:g} s"
        if anyio.current_time() >= self.end():
            why = f"it took longer than {self.end() - self.begun:,.4g} s"
        return f"{why}, and {len(self.data):,}{f' of {self.size:,}' if self.size else ''} bytes were there"


async def fetch(url: str, reach: Reach, most: int, is_whole: Callable[[bytes], bool]) -> bytes:
    """Fetch a picture: from within reach, of at most ``most`` bytes, as long as it keeps coming.

    A whole picture is one, whatever its headers say, and whatever becomes of the connection after its last byte.

    Raises:
        DownloadError: otherwise; ``gone`` for 403, 404 and 410, when the link has probably expired, ``final`` when no
            other try can do better on this machine as it is.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError("the picture's address is no web address")
    try:
        return await _fetched(url, reach, most, is_whole)
    except Forbidden as error:
        raise DownloadError(f"the picture's address is refused: {error}") from None
    except UnusableProxy as error:
        raise DownloadError(f"the picture can't be fetched: {error}", final=True) from None
    except Oversized:
        raise DownloadError(f"the picture is larger than {most // 2**20} MiB") from None
    except DownloadError:
        raise
    except Exception as error:  # whatever a server lets the client stumble over: one bad picture must not end a run
        cause = cause_of(error)
        words = f"the picture could not be fetched: {type(error).__name__}{cause}"
        raise DownloadError(words, final=cause.final) from None


async def _fetched(url: str, reach: Reach, most: int, is_whole: Callable[[bytes], bool]) -> bytes:
    """Fetch it, and go on with what came for as long as that is of use."""
    part, idle = _Part(anyio.current_time()), 0
    async with client(reach, {"Accept": "image/*"}) as http:  # no keys, no cookies
        while True:
            before = len(part.data)
            await _try(http, url, part, most)
            came = unpacked(part.data, part.headers, most, part.flaw)
            flaw = came.cut or (came.packed and f"it is packed as {came.packed}, which can't be unpacked here")
            if not flaw or await anyio.to_thread.run_sync(is_whole, came.data):
                return came.data
            idle = 0 if len(part.data) - before >= GETS_ON else idle + 1
            useful = part.flaw and part.validator and idle < CONTINUED and anyio.current_time() < part.end()
            if not useful:
                raise DownloadError(f"the picture did not come whole: {flaw}")
            await anyio.sleep(PAUSE * 2**idle)


async def _try(http: httpx.AsyncClient, url: str, part: _Part, most: int) -> None:
    """Ask once for what is missing, and add it; ``part.flaw`` then says why it is not the whole.

    Raises:
        DownloadError, httpx.HTTPError: when nothing is there to go on with, or no other try can help.
    """
    try:
        async with _asked(http, url, part) as response:
            part.flaw = await read(response, part.data, most, part.until)
        if not part.flaw and part.size and len(part.data) < part.size:
            part.flaw = f"{len(part.data)} of {part.size} bytes came"
    except TimeoutError:
        part.flaw = part.late()
        if not part.data:
            raise DownloadError(f"the picture did not come: {part.flaw}") from None
    except (DownloadError, httpx.HTTPError) as error:
        hopeless = error.gone or error.final if isinstance(error, DownloadError) else cause_of(error).final
        if hopeless or not part.data:
            raise
        part.flaw = str(error) or type(error).__name__


@contextlib.asynccontextmanager
async def _asked(http: httpx.AsyncClient, url: str, part: _Part) -> AsyncIterator[httpx.Response]:
    """The response that brings what is missing. What the server doesn't continue begins again."""
    response = await _sent(http, url, part)
    try:
        if part.data and not part.goes_on(response) and response.status_code in (206, 416):
            await response.aclose()
            part.begin(httpx.Headers())
            response = await _sent(http, url, part)
        if not (part.data and part.goes_on(response)):
            _check(response)
            part.begin(response.headers)
        yield response
    finally:
        await response.aclose()


async def _sent(http: httpx.AsyncClient, url: str, part: _Part) -> httpx.Response:
    """What is answered, by whomever the link leads to."""
    ranged = {"Range": f"bytes={len(part.data)}-", "If-Range": part.validator} if part.data else {}
    request = http.build_request("GET", url, headers=ranged)
    for _ in range(1 + REDIRECTS):
        # Followed here, as httpx reads and decodes the body of a redirect whole, however large it is.
        with anyio.fail_after(part.until() - anyio.current_time()):
            response = await http.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
    raise DownloadError("the picture's link leads on and on")


def _check(response: httpx.Response) -> None:
    """Whether this is a whole picture's answer."""
    status = response.status_code
    if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        raise DownloadError(f"the picture can't be fetched: {proxy_refusal(status).words}", final=True)
    if status != httpx.codes.OK:
        raise DownloadError(f"fetching the picture answered {status}", gone=status in (403, 404, 410))


def _validator(headers: httpx.Headers) -> str:
    """What tells one version of a file from another, byte by byte (RFC 9110 §13.1.5); empty without such a word."""
    tag = str(headers.get("etag", "")).strip()
    if tag.startswith('"'):
        return tag
    modified = str(headers.get("last-modified", "")).strip()
    # One of the same second could have changed since. A weak tag says that it is not for this.
    return modified if not tag and modified != headers.get("date", "").strip() else ""
