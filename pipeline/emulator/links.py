"""Addresses in requests: whether they lead to this machine, and sending a file there."""

from __future__ import annotations

import http.client
import ipaddress
from urllib.parse import urlsplit

TIMEOUT = 15.0
"""Seconds a receiver has to take a file."""


def is_web(url: str) -> bool:
    """Whether this is an http(s) URL with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine or a network no vendor can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local"))


def put(url: str, data: bytes, kind: str) -> bool:
    """PUT bytes to a URL on loopback (an emulator sends nothing to strangers); whether they were taken."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "::1", "localhost") or parts.scheme != "http":
        return False
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("PUT", target, data, {"Content-Type": kind})
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False  # the receiver's trouble
    finally:
        connection.close()
