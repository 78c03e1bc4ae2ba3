"""The proxies that the environment names: which address is called through which, and whether it can be used at all.

Sources: ``urllib.request.getproxies`` (``https_proxy``, ``http_proxy``, ``all_proxy`` in either case, and a system's
own settings) and ``proxy_bypass`` (``no_proxy``), and httpx's documentation of the kinds of proxies that it supports.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from pipeline.addresses import is_loopback
from pipeline.errors import PipelineError, printable

_KINDS = ("http", "https", "socks5", "socks5h")
_HOST = re.compile(r"[\w.:-]+")


class UnusableProxy(Exception):
    """A proxy that can't be used, so nothing was sent; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and what names it: a variable of the environment, or the system's settings."""

    url: str
    source: str

    @property
    def shown(self) -> str:
        """Where it is from and its address, without its user and password."""
        scheme, _, rest = self.url.partition("://")
        place = f"***@{rest.rpartition('@')[2]}" if "@" in rest else rest
        return printable(f"{self.source}={scheme}://{place}"[:200])


def proxy_of(scheme: str, host: str, place: str) -> Proxy | None:
    """The proxy through which a host is called; None for none, and for this machine, which needs none.

    ``place`` is its ``host:port``, as ``no_proxy`` may name it.
    """
    found = getproxies()
    kind = next((kind for kind in (scheme, "all") if found.get(kind)), None)
    if kind is None or is_loopback(host) or proxy_bypass(host if ":" in host else place):
        return None
    url = found[kind]
    names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    source = next((name for name in names if os.environ.get(name) == url), "the system's proxy")
    return Proxy(url if "://" in url else f"http://{url}", source)


def flaw(proxy: Proxy) -> str | None:
    """Why a proxy can't be used, and what to do; None when it can, as far as it shows."""
    scheme, _, _ = proxy.url.partition("://")
    scheme = scheme.lower()
    if scheme not in _KINDS:
        kinds = "socks5://" if scheme == "socks" else ", ".join(f"{kind}://" for kind in _KINDS)
        return f"{proxy.shown}: httpx knows no such kind of proxy: write {kinds}, or unset it"
    try:
        httpx.Proxy(proxy.url)
        parts = urlsplit(proxy.url)
        host, port = "" if parts.path.strip("/") else parts.hostname or "", parts.port
    except (httpx.InvalidURL, ValueError):
        host, port = "", None
    if port == 0 or not _HOST.fullmatch(host):
        return f"{proxy.shown}: this is no address of a proxy: write {scheme}://host:port, or unset it"
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        return f"{proxy.shown}: SOCKS needs one more package: pip install 'campaign-pipeline[socks]', or unset it"
    return None


def check_proxies(urls: Iterable[str]) -> None:
    """Whether these addresses can be called, as far as proxies are concerned.

    Raises:
        PipelineError: with each proxy that can't be used.
    """
    parts = [urlsplit(url) for url in urls]
    used = {proxy_of(part.scheme, part.hostname or "", part.netloc.rpartition("@")[2]) for part in parts}
    found = sorted({why for proxy in used if proxy and (why := flaw(proxy))})
    if found:
        raise PipelineError("\n".join(found) + "\nnothing was started, nothing was paid")
