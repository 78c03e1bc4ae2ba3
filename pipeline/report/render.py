"""Draw a contact sheet: plain values in, one HTML document out.

The document opens from ``file://`` and can be mailed: style, script, data and (as far as their budget goes)
small pictures are inside it, and the only files it refers to lie beside it, by relative link. Its Content
Security Policy names the one script and the one style sheet by their SHA-256, so nothing that a manifest,
a vendor or a reviewer wrote can run. What the script lays out travels as JSON, which is data and never code.

The small pictures stand at the end, in ``<noscript>`` blocks: with scripting off they are a plain gallery;
with scripting on a block is one text that costs nothing until the script reads an address from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from pipeline.report import header
from pipeline.report.data import BLOCK, data, link, ordered
from pipeline.report.view import SheetView

_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp|gif|avif);base64,[A-Za-z0-9+/=]+")
_ADDRESS = re.compile(r"(?!/|(?:.*/)?\.\.(?:/|$))[A-Za-z0-9._~%/-]+")
_ALT_CHARACTERS = 80
_LABELS = 3  # that the caption of one picture names
_IMPORT = re.compile(r'^import\s*\{[^{}]*\}\s*from\s*"\./([\w-]+\.js)";[^\S\n]*\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async |const |let |class |function))", re.MULTILINE)
_MODULE_WORD = re.compile(r"^(?:import|export)\b", re.MULTILINE)


def render(sheet: SheetView, thumbs: Mapping[str, str] | None = None, *, served: bool = False) -> str:
    """Return the contact sheet of ``sheet`` as one HTML document (pure: same values, same text).

    ``thumbs``: name of a thumbnail → its address, an inline bitmap or a relative URL; what is neither is left
    out. ``served``: for a server's page, which may call the server and brings its thumbnails by address.
    """
    found = {name: source for name, source in (thumbs or {}).items() if _drawable(source)}
    script, style = _script(), _asset("sheet.css")
    counts = header.states(sheet)
    page = _template().render(
        sheet=sheet,
        totals=header.totals(sheet, counts),
        bar=header.bar(counts),
        notice=header.notice(sheet),
        script=Markup(script),  # noqa: S704 - ours, shipped with the package
        style=Markup(style),  # noqa: S704 - ours
        policy=_policy(script, style, served=served),
        data=_json(data(sheet, found, served=served)),
        blocks=Markup("" if served else "".join(_blocks(sheet, found))),  # noqa: S704 - escaped there
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be written


def _drawable(source: str) -> bool:
    """Whether an address is an inline bitmap or a relative URL, so that no picture can lead anywhere else."""
    return bool((_PICTURE if source.startswith("data:") else _ADDRESS).fullmatch(source))


def _asset(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters.update(link=link, when=_when)
    return environment.from_string(_asset("sheet.html.j2"))


# ── the script ──────────────────────────────────────────────────────────────────────────────────


@cache
def _script() -> str:
    return bundle(lambda name: _asset(f"script/{name}"))


def bundle(read: Callable[[str], str], first: str = "main.js") -> str:
    """Join ES modules into one classic script: each after those that it imports, all in one scope.

    ``read`` gives a module's text by its name. Only what the sheet's own modules use is known:
    ``import { a, b } from "./x.js";`` and ``export`` before a declaration, both at the start of a line.

    Raises:
        ValueError: for any other import or export, or a text that would end its script element.
    """
    done: dict[str, str] = {}
    begun: set[str] = set()

    def add(name: str) -> None:
        if name in begun:
            return
        begun.add(name)
        text = read(name)
        for imported in _IMPORT.findall(text):
            add(imported)
        text = _EXPORT.sub("", _IMPORT.sub("", text)).strip()
        if _MODULE_WORD.search(text):
            raise ValueError(f"{name}: an import or export that can't be joined")
        if re.search(r"</script|<!--", text, re.IGNORECASE):
            raise ValueError(f"{name}: holds the end of a script element")
        done[name] = text

    add(first)
    return '(() => {\n"use strict";\n' + "\n\n".join(done.values()) + "\n})();\n"


def _policy(script: str, style: str, *, served: bool) -> str:
    """Return the Content Security Policy; ``file:`` is for Firefox, where 'self' is no file."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        + ("img-src 'self' data:; connect-src 'self'; " if served else "img-src 'self' file: data:; ")
        + "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


# ── data and thumbnails ─────────────────────────────────────────────────────────────────────────


def _json(value: object) -> Markup:
    """Return ``value`` as JSON that no HTML parser can leave early: ``<``, ``>`` and ``&`` are escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _blocks(sheet: SheetView, thumbs: Mapping[str, str]) -> Iterator[str]:
    """The thumbnails: a line for each, ``BLOCK`` lines in a block, in the order of their numbers in the data."""
    captions = _captions(sheet)
    lines = [
        f'<figure><img src="{thumbs[name]}" alt="{_line(alt)}" loading="lazy">'
        f"<figcaption>{_line(caption)}</figcaption></figure>\n"
        for name in ordered(sheet, thumbs)
        for caption, alt in (captions[name],)
    ]
    for start in range(0, len(lines), BLOCK):
        yield f'<noscript class="thumbs" id="thumbs-{start // BLOCK}">\n'
        yield from lines[start : start + BLOCK]
        yield "</noscript>\n"


def _captions(sheet: SheetView) -> dict[str, tuple[str, str]]:
    """Name of a thumbnail → its caption and its alternative text."""
    labels: dict[str, list[str]] = {}
    found: dict[str, tuple[str, str]] = {}
    texts: dict[str, str] = {}
    for tile in sheet.tiles:
        if tile.thumb:
            labels.setdefault(tile.thumb, []).append(f"{tile.label} ({tile.blank})" if tile.blank else tile.label)
            before = tile.history[-1].text if tile.state == "stale" and tile.history else None
            texts.setdefault(tile.thumb, tile.text if before is None else before)
    for name, shown in labels.items():
        more = f" and {len(shown) - _LABELS} more" if len(shown) > _LABELS else ""
        found[name] = ", ".join(shown[:_LABELS]) + more, _alt(texts[name])
    for reference in sheet.references:
        if reference.thumb:
            found.setdefault(reference.thumb, (reference.name, f"Reference {reference.name}"))
    for tile in sheet.tiles:
        for past in tile.history:
            if past.thumb:
                caption = f"{tile.label}, before: take {past.take}"
                found.setdefault(past.thumb, (caption, _alt(tile.text if past.text is None else past.text)))
    return found


def _alt(text: str) -> str:
    text = " ".join(text[: 4 * _ALT_CHARACTERS].split())
    return f"{text[:_ALT_CHARACTERS].rstrip()}…" if len(text) > _ALT_CHARACTERS else text


def _line(text: str) -> str:
    """A text on one line, escaped: within an attribute or an element."""
    return str(escape(" ".join(text.split())))


def _when(moment: str) -> str:
    """Return an ISO 8601 time as a reader writes it, in UTC; anything else as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
        utc = parsed.astimezone(UTC) if parsed.tzinfo else parsed
    except (ValueError, OverflowError):
        return moment
    return f"{utc:%Y-%m-%d %H:%M}" + (" UTC" if parsed.tzinfo else "")
