"""A picture from a web address: within reach, whole, under a size cap and before a deadline."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
import httpx

from pipeline.addresses import Reach
from pipeline.errors import DownloadError
from pipeline.network import Forbidden, Oversized, body, client
from pipeline.proxies import UnusableProxy

DOWNLOAD_SECONDS = 120.0
REDIRECTS = 3
"""Addresses to which a picture's link may lead on."""


async def fetch(url: str, reach: Reach, most: int, is_whole: Callable[[bytes], bool]) -> bytes:
    """Fetch a picture: from within reach, status 200, of at most ``most`` bytes, before the deadline.

    A whole picture is one, whatever its headers say, and whatever becomes of the connection after its last byte.

    Raises:
        DownloadError: otherwise; ``gone`` for 403, 404 and 410, when the link has probably expired.
    """
    if not url.startswith(("https://", "http://")):
        raise DownloadError("the picture's address is no web address")
    try:
        return await _fetch(url, reach, most, is_whole)
    except TimeoutError:
        raise DownloadError(f"the picture took longer than {DOWNLOAD_SECONDS:g} s to come") from None
    except Forbidden as error:
        raise DownloadError(f"the picture's address is refused: {error}") from None
    except UnusableProxy as error:
        raise DownloadError(f"the picture can't be fetched: {error}") from None
    except DownloadError:
        raise
    except Exception as error:  # whatever a server lets the client stumble over: one bad picture must not end a run
        raise DownloadError(f"the picture could not be fetched: {type(error).__name__}") from None


async def _fetch(url: str, reach: Reach, most: int, is_whole: Callable[[bytes], bool]) -> bytes:
    # The deadline holds for all of it: a timeout of httpx is one of each read, and a server that sends a byte now and
    # then never meets it.
    until = anyio.current_time() + DOWNLOAD_SECONDS
    # No keys, no cookies, few redirects.
    async with client(reach, {"Accept": "image/*"}) as http:
        request = http.build_request("GET", url)
        for _ in range(1 + REDIRECTS):
            # Followed here, as httpx reads and decodes the body of a redirect whole, however large it is.
            with anyio.fail_after(until - anyio.current_time()):
                response = await http.send(request, stream=True)
            try:
                if response.next_request is None:
                    return await _body(response, until, most, is_whole)
                request = response.next_request
            finally:
                await response.aclose()
    raise DownloadError("the picture's link leads on and on")


async def _body(response: httpx.Response, until: float, most: int, is_whole: Callable[[bytes], bool]) -> bytes:
    """The picture that a response brings."""
    if response.status_code != httpx.codes.OK:
        gone = response.status_code in (403, 404, 410)
        raise DownloadError(f"fetching the picture answered {response.status_code}", gone=gone)
    try:
        came = await body(response, most, until)
    except Oversized:
        raise DownloadError(f"the picture is larger than {most // 2**20} MiB") from None
    flaw = came.cut or (came.packed and f"it is packed as {came.packed}, which can't be unpacked here")
    if flaw and not await anyio.to_thread.run_sync(is_whole, came.data):
        if anyio.current_time() >= until:
            raise TimeoutError
        raise DownloadError(f"the picture did not come whole: {flaw}")
    return came.data
