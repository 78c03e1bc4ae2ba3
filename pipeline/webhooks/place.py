"""What ``--webhook-url`` and ``--webhook-listen`` say."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and the public address that leads there; empty for the listener's own."""

    host: str
    port: int
    url: str = ""


def place(url: str | None, listen: str | None, *, rehearsal: bool) -> Place | None:
    """What ``--webhook-url`` and ``--webhook-listen`` say; None without both. A rehearsal needs no public address.

    Raises:
        UsageError: when they can't be obeyed.
    """
    if url is None and listen is None:
        return None
    if listen is None:
        raise UsageError("--webhook-url: nothing listens there; add --webhook-listen HOST:PORT, where it leads to")
    if url is None and not rehearsal:
        raise UsageError("--webhook-listen: no gateway would know of it; add --webhook-url https://…, which leads here")
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    whole = colon and bare and port.isascii() and port.isdigit() and int(port) < 2**16
    if not whole or (":" in bare and bare == host):
        raise UsageError(f"--webhook-listen {listen!r}: is not HOST:PORT; write 127.0.0.1:8765, or [::1]:8765")
    return Place(bare, int(port), "" if url is None else _public(url))


def _public(url: str) -> str:
    """A webhook's public address, checked."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("--webhook-url: is no address; write https://host/path") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError("--webhook-url: takes no user name, query or fragment; write https://host/path")
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"--webhook-url {url!r}: is no address; write https://host/path")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise UsageError(f"--webhook-url {url!r}: gateways deliver to https:// only (http:// on this machine)")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
