"""Which web addresses may be called: those of the public internet, and those that the user named.

Manifests and gateways' answers name addresses. One that leads to this machine, or into a network of its owner's, may
read or change what was never meant for strangers, so it is refused. What is public is the address registries' to say
(RFC 6890), also behind a spelling: IPv4 in IPv6 (RFC 4291 §2.5.5), 6to4 (RFC 3056), NAT64 (RFC 6052), and the
hexadecimal, octal and short forms that ``inet_aton`` takes.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = IPv4Address | IPv6Address

_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,252}")
_PRIVATE_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa")
"""Last parts of names that no public server has (RFC 6761, 6762 and 8375; `.internal`: ICANN, 2024)."""

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (
    # Special all the same, though `is_global` of one Python or another calls them global.
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be called besides the public internet: ``origins`` that the user named himself (``scheme://host:port``),
    or any address at all, if ``private``.
    """

    origins: tuple[str, ...] = ()
    private: bool = False

    def allows(self, url: str) -> bool:
        """Whether an address may be called wherever it leads."""
        return self.private or origin(url) in self.origins


PUBLIC = Reach()
"""The public internet only."""


def origin(url: str) -> str | None:
    """``scheme://host:port`` of a web address; None when it is none."""
    try:
        parts = urlsplit(url)
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        return f"{parts.scheme}://{_ascii(parts.hostname or '')}:{port}" if parts.hostname else None
    except (ValueError, KeyError):
        return None


def refusal(url: str) -> str | None:
    """Why an address can't be called, as far as it shows; None when only resolving its name can tell."""
    try:
        parts = urlsplit(url)
        host = _ascii(parts.hostname or "")
        return _refusal(parts, host, parts.port)
    except ValueError:
        return "it is no web address"


def _refusal(parts: SplitResult, host: str, port: int | None) -> str | None:
    if parts.scheme != "https":
        return "it is no https:// address"
    if "@" in parts.netloc:
        return "it holds a user name or a password"
    address = literal(host)
    if port == 0 or not (address or _NAME.fullmatch(host)):
        return "it is no web address"
    name = host.rstrip(".")
    if address is not None:
        private = not is_public(address)
    else:
        private = any(name == last or name.endswith(f".{last}") for last in _PRIVATE_NAMES)
    return f"{host} is in a private network" if private else None


def literal(host: str) -> Address | None:
    """The IP address that a host is, however it is spelt; None for a name."""
    host = host.rstrip(".")
    with contextlib.suppress(ValueError):
        return ip_address(host)
    if _NAME.fullmatch(host):
        with contextlib.suppress(OSError):
            return IPv4Address(socket.inet_aton(host))
    return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its address in any spelling or by the name that means it (RFC 6761)."""
    address = literal(host)
    if address is None:
        return f".{host.rstrip('.').lower()}".endswith(".localhost")
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and can belong to a server."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        # Teredo (2001::/32) and other tunnels are not global; what lies outside of 2000::/3 isn't either.
        if address not in _UNICAST or address.scope_id:
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special and not any(address in network for network in _NOT_PUBLIC)


def _ascii(host: str) -> str:
    """A host name as resolvers take it: ``①27。0。0。1`` is ``127.0.0.1``.

    Raises:
        ValueError: when it has no such form.
    """
    return host if host.isascii() else host.encode("idna").decode("ascii").lower()
