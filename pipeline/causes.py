"""Why a connection failed, in words for people, and whether trying again can help.

Sources: OpenSSL's verification codes (``openssl verify``, "Diagnostics"), and the messages of httpcore's proxies.
"""

from __future__ import annotations

import http
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from pipeline.errors import PipelineError, printable

_MAX_WORDS = 200
_DATES = {9, 10}
"""Codes of a certificate that is not valid yet, or not any more."""
_NAMES = {62, 64}
"""Codes of a certificate for another host or address."""
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"}
_NO_TLS |= {"TLSV1_ALERT_PROTOCOL_VERSION", "PACKET_LENGTH_TOO_LONG"}
_LOGIN = "write its user and password into the variable that names it: http://user:password@host:port"
_AUTHORITY = "if your network has an authority of its own (a company's proxy), let SSL_CERT_FILE name its PEM file"


@dataclass(frozen=True, slots=True)
class Cause:
    """What was behind a failed connection. ``final``: no try heals it, a person must; ``words`` then say how."""

    words: str
    final: bool = False

    def __str__(self) -> str:
        """``: words`` where there are any, to follow what failed."""
        return f": {self.words}" if self.words else ""


def cause_of(error: BaseException) -> Cause:
    """The cause of a failed connection, in the words of the library that met it. They hold no key and no password."""
    chain = list(_chain(error))
    for inner in chain:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return Cause(f"{_clipped(str(inner))}; {_way_out(inner.verify_code)}", final=True)
        if isinstance(inner, ssl.SSLError) and inner.reason in _NO_TLS:
            hint = "its address, or that of a proxy before it, begins with https:// and should begin with http://"
            return Cause(f"{_clipped(str(inner))}; perhaps {hint}")
        if isinstance(inner, httpx.ProxyError) and (cause := _of_proxy(str(inner))):
            return cause
    if isinstance(error, httpx.ConnectTimeout):
        return Cause("it did not answer in time")
    last = chain[-1]
    return Cause(_clipped(str(last)) if isinstance(last, OSError | httpx.TransportError) else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the last of which came first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = current.__cause__ or current.__context__
        current = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner


def _way_out(code: int) -> str:
    """What to do about a certificate that is refused with this code of OpenSSL."""
    if code in _DATES:
        return "check this machine's clock"
    if code in _NAMES:
        return "check the address, and whether a proxy or a network's login page answers in its place"
    named = [f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    return printable(f"{_AUTHORITY} (now {', '.join(named)})" if named else _AUTHORITY)


def _of_proxy(text: str) -> Cause | None:
    """What a proxy says. Not in its own words where it answers with a status: they could repeat a password."""
    status = re.match(r"(\d{3})\b", text)
    if status is None:
        refused = text == "Invalid username/password" or text.startswith("Requested ")
        return Cause(f"{text}; {_LOGIN}", final=True) if refused else None
    return proxy_refusal(int(status[1]))


def proxy_refusal(code: int) -> Cause:
    """A status with which a proxy answers in the place of whom it was to call."""
    name = http.HTTPStatus(code).phrase if code in {*http.HTTPStatus} else ""
    words = f"the proxy answered {code} {name}".rstrip()
    if code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Cause(f"{words}; {_LOGIN}", final=True)
    if code == http.HTTPStatus.FORBIDDEN:
        return Cause(f"{words}; ask who runs it to allow this host, or name the host in NO_PROXY", final=True)
    return Cause(words)


def _clipped(text: str) -> str:
    return printable(text if len(text) <= _MAX_WORDS else text[: _MAX_WORDS - 1] + "…")


def check_authorities() -> None:
    """Whether the files of certificate authorities that the environment names can be read.

    OpenSSL passes over one that can't be, and then trusts nobody.

    Raises:
        PipelineError: with the variable, and what is wrong with the file.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        why = ""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        except ssl.SSLError:
            why = "holds no certificate in PEM"
        except OSError as error:
            why = f"can't be read ({error.strerror})"
        if why:
            raise PipelineError(printable(f"SSL_CERT_FILE={file}: {why}: name a PEM file, or unset it"))
    if folder and not any(os.path.isdir(part) for part in folder.split(os.pathsep)):  # noqa: PTH112  # any text
        raise PipelineError(printable(f"SSL_CERT_DIR={folder}: there is no such folder: name one, or unset it"))
