"""Draw a contact sheet: plain values in, one self-contained HTML document out.

The document opens from ``file://`` and can be mailed: style, script and small pictures are inside it, and
the only files it refers to are the originals beside it, by relative link. Its Content Security Policy
names the one script and the one style sheet by their SHA-256, so nothing that a manifest or a vendor
wrote can run. What is laid out where is decided in ``pipeline.report.layout``; what the script needs
for its details panel travels as JSON, which is data and never code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from pipeline.report import layout
from pipeline.report.view import CellView, SheetView, State, TileView

STATES: tuple[State, ...] = ("done", "failed", "uncertain", "stopped", "missing")
"""Every state, in the order in which the sheet lists them."""

VARY = "vary."
"""What the name of a vary axis starts with where it stands among the other dimensions of the filter."""

PROOFS = "Proofs: made offline by the local provider, not by the model."
REHEARSAL = "Rehearsal: made by an emulator of the gateways, not by the model. Nothing was paid."

_IMAGE = re.compile(r"data:image/(?:jpeg|png|webp|gif|avif);base64,[A-Za-z0-9+/=]+")
_ALT_CHARACTERS = 160


class Facet(NamedTuple):
    """One dimension of the filter: its key in the address, its name, and its values with counts."""

    key: str
    name: str
    values: tuple[tuple[str, int], ...]


class Total(NamedTuple):
    """One figure of the header; ``tone`` is the state that colours it."""

    name: str
    value: str
    tone: str = ""


def render(sheet: SheetView) -> str:
    """Return the contact sheet of ``sheet`` as one HTML document (pure: same values, same text)."""
    script = _asset("sheet.js")
    products = layout.products(sheet.tiles)
    style = _asset("sheet.css") + layout.style_rules(products)
    states = Counter(cell.state for tile in sheet.tiles for cell in tile.cells)
    made = [tile for tile in sheet.tiles if tile.state == "done"]
    page = _template().render(
        sheet=sheet,
        products=products,
        facets=_facets(sheet.tiles),
        totals=_totals(sheet, states),
        bar=_bar(states),
        notice=REHEARSAL if sheet.rehearsal else PROOFS if made and all(tile.proof for tile in made) else "",
        script=Markup(script),  # noqa: S704 - ours, shipped with the package
        style=Markup(style),  # noqa: S704 - ours, and numbers
        policy=_policy(script, style),
        data=_json(_data(sheet)),
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be written


def link(path: str | None) -> str | None:
    """Return ``path`` as a relative URL, or None when there is none, or it is not relative or leads upwards.

    Every segment is percent-encoded, colons and backslashes too, so the result can name neither a
    scheme (``javascript:``) nor a drive nor another host (``//host/share``).
    """
    if not path or path.startswith("/") or ".." in path.split("/"):
        return None
    return "/".join(quote(segment.encode("utf-8", "surrogatepass"), safe="") for segment in path.split("/"))


def _asset(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters.update(
        image=_image,
        link=link,
        alt=_alt,
        caption=_caption,
        when=_when,
        size=_size,
        original=_original,
    )
    return environment.from_string(_asset("sheet.html.j2"))


def _policy(script: str, style: str) -> str:
    """Return the Content Security Policy; ``file:`` is for Firefox, where 'self' is no file."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _json(data: object) -> Markup:
    """Return ``data`` as JSON that no HTML parser can leave early: ``<``, ``>`` and ``&`` are escaped."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _data(sheet: SheetView) -> dict[str, object]:
    """Return what the script needs to know: one entry per tile, texts and references said once."""
    texts: dict[str, int] = {}
    tiles = [_tile_data(tile, texts.setdefault(tile.text, len(texts))) for tile in sheet.tiles]
    references = [
        {
            "name": ref.name,
            "source": ref.source,
            "digest": ref.digest,
            "role": ref.role,
            "thumb": _image(ref.thumb),
        }
        for ref in sheet.references
    ]
    return {"texts": list(texts), "references": references, "tiles": tiles}


def _tile_data(tile: TileView, text: int) -> dict[str, object]:
    shown = _original(tile)
    return {
        "label": tile.label,
        "product": tile.product_name or tile.product,
        "words": [tile.product, tile.product_set, f"v{tile.variant}"],
        "facets": {name: list(values) for name, values in _dimensions(tile).items()},
        "state": tile.state,
        "prompt": tile.prompt,
        "reason": tile.reason,
        "text": text,
        "key": tile.key,
        "slots": list(tile.references),
        "box": list(layout.box(tile)),
        "original": link(shown.path) if shown else None,
        "facts": [[name, value] for name, value in _facts(tile) if value],
        "files": [
            {
                "label": cell.label,
                "format": cell.format.upper(),
                "href": link(cell.path),
                "size": _size(cell.bytes),
                "state": cell.state,
            }
            for cell in tile.cells
        ],
        "earlier": [{"take": old.take, "href": link(old.path), "when": _when(old.made_at)} for old in tile.earlier],
    }


def _facts(tile: TileView) -> list[tuple[str, str]]:
    return [
        *tile.vary,
        ("Resolution", tile.resolution),
        ("Ratio", tile.aspect_ratio),
        ("Pixels", f"{tile.width} × {tile.height}"),
        ("Variant", f"v{tile.variant}"),
        ("Take", str(tile.take)),
        ("Tags", ", ".join(tile.tags)),
        ("Model", tile.model),
        ("Provider", (tile.provider or "") + (" (proof)" if tile.proof else "")),
        ("Content check", "flagged by the gateway" if tile.nsfw else ""),
        ("Cost", "" if tile.cost_usd is None or tile.proof else _money(tile.cost_usd)),
        ("Time", "" if tile.seconds is None else f"{tile.seconds:.1f} s"),
        ("Made", _when(tile.made_at) if tile.made_at else ""),
        ("Key", tile.key),
    ]


def _dimensions(tile: TileView) -> dict[str, tuple[str, ...]]:
    """Return a tile's values in every dimension that the sheet can be filtered by, in the order of the chips.

    A vary axis may have any name, also one of the others', so it is told apart by a prefix.
    """
    return {
        "state": (tile.state,),
        "prompt": (tile.prompt,),
        **{f"{VARY}{name}": (value,) for name, value in tile.vary},
        "ratio": (tile.aspect_ratio,),
        "resolution": (tile.resolution,),
        "provider": (tile.provider,) if tile.provider else (),
        "tag": tile.tags,
    }


def _facets(tiles: Sequence[TileView]) -> list[Facet]:
    """Return the dimensions worth filtering by; one whose only value every tile has divides nothing."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("state", "prompt")}
    for tile in tiles:
        for name, values in _dimensions(tile).items():
            counts.setdefault(name, Counter()).update(dict.fromkeys(values, 1))
    vary = [name for name in counts if name.startswith(VARY)]
    counts["state"] = Counter({state: counts["state"][state] for state in STATES if counts["state"][state]})
    return [
        Facet(key, key.removeprefix(VARY), tuple(counts[key].items()))
        for key in ("state", "prompt", *vary, "ratio", "resolution", "provider", "tag")
        if key in counts and (len(counts[key]) > 1 or 0 < counts[key].total() < len(tiles))
    ]


def _totals(sheet: SheetView, states: Counter[State]) -> list[Total]:
    """Return the figures of the header; what is rare only when there is any, money only when it means anything."""
    totals = [
        Total("pictures", f"{sheet.pictures:,}"),
        Total("cells", f"{states.total():,}"),
        Total("done", f"{states['done']:,}"),
        *(
            Total(state, f"{states[state]:,}", state if states[state] else "")
            for state in STATES[1:]
            if states[state] or state in ("failed", "missing")
        ),
    ]
    if sheet.tiles and all(tile.proof for tile in sheet.tiles) and not sheet.spent_usd:
        return totals
    spent = "would cost" if sheet.rehearsal else "spent"
    return [*totals, Total(spent, _money(sheet.spent_usd)), Total("saved", _money(sheet.saved_usd))]


def _bar(counts: Counter[State]) -> list[tuple[State, float, float]]:
    """Return (state, start, length) in per mille of all cells, or nothing when everything is done."""
    total, start = counts.total(), 0.0
    parts: list[tuple[State, float, float]] = []
    for state in STATES:
        if counts[state]:
            length = 1000 * counts[state] / total
            parts.append((state, round(start, 2), round(length, 2)))
            start += length
    return parts if len(parts) > 1 or (parts and parts[0][0] != "done") else []


def _original(tile: TileView) -> CellView | None:
    """Return the cell whose file is shown large: the first that is there."""
    return next((cell for cell in tile.cells if cell.state == "done" and link(cell.path)), None)


def _image(uri: str | None) -> str | None:
    """Return ``uri`` when it is an inline bitmap and nothing else, so that no picture makes a request."""
    return uri if uri and _IMAGE.fullmatch(uri) else None


def _alt(tile: TileView) -> str:
    text = " ".join(tile.text.split())
    return f"{tile.label}: {text[:_ALT_CHARACTERS].rstrip()}{'…' if len(text) > _ALT_CHARACTERS else ''}"


def _caption(tile: TileView) -> list[str]:
    """Return what tells a tile from its neighbours, whose product and prompt stand above them all."""
    take = [f"take {tile.take}"] if tile.take > 1 else []
    compared = [tile.provider] if tile.provider and tile.label.split("/")[-2:-1] == [tile.provider] else []
    return [*compared, tile.resolution, tile.aspect_ratio, f"v{tile.variant}", *take]


def _money(usd: float) -> str:
    """Return US dollars with the tenths of a cent that one picture's price needs: 0.028 is $0.028."""
    return f"${usd:,.3f}" if usd < 1 and round(usd * 1000) % 10 else f"${usd:,.2f}"


def _when(moment: str) -> str:
    """Return an ISO 8601 time as a reader writes it, in UTC; anything else as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
        utc = parsed.astimezone(UTC) if parsed.tzinfo else parsed
    except (ValueError, OverflowError):
        return moment
    return f"{utc:%Y-%m-%d %H:%M}" + (" UTC" if parsed.tzinfo else "")


def _size(count: int | None) -> str:
    if count is None:
        return ""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
