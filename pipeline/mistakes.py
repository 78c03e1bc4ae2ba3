"""What a manifest may say, and what is most likely a mistake all the same: reasons for a warning."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

_SPREADSHEET = re.compile(
    r"#(?:NAME\?|REF!|N/A|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|BUSY!|UNKNOWN!|GETTING_DATA)|Err:5\d\d"
)
"""What Excel, Google Sheets and LibreOffice show in place of a value that they can't compute."""
_SINGLE_BRACES = re.compile(r"(?<!\{)\$?\{ *((\w+)(?:\.\w+)*) *\}(?!\})")
_SIGNED = frozenset(["signature", "sig", "x-amz-signature", "x-goog-signature", "key-pair-id", "hdnts", "hmac"])
"""Parameters that sign a link: S3, Google Cloud Storage, Azure's shared access signatures, CloudFront, Akamai."""
_UNTIL = ("expires", "exp", "expiry", "se")


def spreadsheet_error(text: str) -> str:
    """The error of a spreadsheet that a text is, or holds; else empty."""
    found = _SPREADSHEET.search(text)
    return found[0] if found else ""


def single_braces(template: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names in single braces, each as it is written and as a template needs it: ``{product.name}``."""
    for found in _SINGLE_BRACES.finditer(template):
        if found[2] in names:
            yield found[0], f"{{{{ {found[1]} }}}}"


def expiry(url: str) -> str | None:
    """When a signed link stops working, as ISO time; empty where it doesn't say, None where it is not signed.

    The parameters are those of S3 and Google Cloud Storage (``X-Amz-Date`` and ``X-Amz-Expires``), Azure (``se``) and
    CloudFront (``Expires``).
    """
    try:
        said = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    except ValueError:
        return None
    if not _SIGNED & said.keys():
        return None
    for vendor in ("x-amz", "x-goog"):
        try:
            start = datetime.strptime(said[f"{vendor}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return _iso(start + timedelta(seconds=int(said[f"{vendor}-expires"])))
        except (KeyError, ValueError, OverflowError):
            continue
    until = next((said[name] for name in _UNTIL if name in said), "")
    try:
        return _iso(datetime.fromtimestamp(int(until), UTC) if until.isdecimal() else datetime.fromisoformat(until))
    except (ValueError, OverflowError, OSError):
        return ""


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M") + (" UTC" if when.tzinfo else "")
