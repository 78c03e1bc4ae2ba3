"""fal's public keys, and what they sign (its webhooks page)."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

from pipeline.addresses import PUBLIC, Reach

KEPT = 24 * 3600.0
"""Seconds for which fal's keys may be kept (likewise)."""
MOST_KEYS = 64 * 1024
"""Bytes of the keys' document."""
AGAIN = 60.0
"""Seconds between two requests for the keys, whatever arrives."""
_PATIENCE = 10.0  # seconds that the keys may take to come


class NoKeys(Exception):
    """Nobody can say whether a signature is good: the keys can't be fetched."""


class Keys:
    """The public keys at one address."""

    def __init__(self, url: str, now: Callable[[], float], reach: Reach = PUBLIC) -> None:
        self._url = url
        self._reach = reach
        self._now = now
        self._keys: list[bytes] = []
        self._fetched = self._asked = float("-inf")
        self._lock = threading.Lock()

    def check(self, signature: bytes, message: bytes) -> bool:
        """Whether one of the keys made this signature; they are fetched when they are old, or none of them did."""
        with self._lock:
            if self._now() - self._fetched >= KEPT:
                self._keys = []
                self._fetch()
            if _made_by(self._keys, signature, message):
                return True
            self._fetch()
            if not self._keys:
                raise NoKeys
            return _made_by(self._keys, signature, message)

    def _fetch(self) -> None:
        if self._now() - self._asked < AGAIN:
            return
        self._asked = self._now()
        with contextlib.suppress(NoKeys):
            self._keys = _fetched(self._url, self._reach)
            self._fetched = self._now()


def _fetched(url: str, reach: Reach) -> list[bytes]:
    """The Ed25519 keys of a JSON Web Key Set, asked for without any key of ours."""
    import anyio  # slow to import, as are these two, and most runs have no webhooks
    import httpx

    from pipeline.network import Forbidden, Oversized, body, client
    from pipeline.proxies import UnusableProxy

    async def fetch() -> bytes:
        with anyio.fail_after(_PATIENCE):
            async with client(reach) as http, http.stream("GET", url) as response:
                response.raise_for_status()
                return (await body(response, MOST_KEYS)).data

    try:
        entries = json.loads(anyio.run(fetch))["keys"]
        return [key for entry in entries if (key := _public_key(entry))]
    except (httpx.HTTPError, httpx.InvalidURL, Forbidden, Oversized, UnusableProxy, TimeoutError):
        raise NoKeys from None  # they didn't come
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NoKeys from None  # they are none


def _public_key(entry: Any) -> bytes | None:  # noqa: ANN401  # whatever JSON holds
    """The key in one entry of a set, where it is an Ed25519 key."""
    if not isinstance(entry, dict) or entry.get("crv", "Ed25519") != "Ed25519" or not isinstance(entry.get("x"), str):
        return None
    try:
        key = base64.urlsafe_b64decode(entry["x"] + "=" * (-len(entry["x"]) % 4))
    except ValueError:
        return None
    return key if len(key) == 32 else None


def _made_by(keys: list[bytes], signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for key in keys:
        # ValueError: 32 bytes that are no key
        with contextlib.suppress(InvalidSignature, ValueError):
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
    return False
