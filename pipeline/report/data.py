"""A sheet's values as the JSON document that its script reads: one column per fact, what repeats said once.

With 100,000 tiles an object for each of them would be most of the file: columns of numbers are a tenth of
that, and the script can count, group and filter them without touching a string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote

from pipeline.report import header
from pipeline.report.view import STATES, DecisionView, PastView, SheetView, TileView

Data: TypeAlias = dict[str, object]

BLOCK = 64
"""Thumbnails in one block of the document: so many are looked up at once."""
VARY = "vary."
"""What the name of a vary axis starts with where it stands among the other dimensions."""
SERVED = {"decisions": "decisions", "data": "data.json"}
"""Where a served sheet writes decisions to, and reads its data again: relative to the page's address."""


def data(sheet: SheetView, thumbs: Mapping[str, str], *, served: bool = False) -> Data:
    """All that the script needs to know. ``thumbs``: name of a thumbnail → its address.

    ``served``: the sheet is a server's, which takes decisions; the addresses then are part of the data.
    """
    names, counts = ordered(sheet, thumbs), header.states(sheet)
    at = {name: index for index, name in enumerate(names)}
    return {
        "campaign": sheet.campaign,
        "manifest": sheet.manifest,
        "made_at": sheet.made_at,
        "commit": sheet.commit,
        "version": sheet.version,
        "serial": sheet.serial,
        "totals": [total._asdict() for total in header.totals(sheet, counts)],
        "bar": header.bar(counts),
        "notice": header.notice(sheet),
        "dimensions": dimensions(sheet.tiles),
        "tags": _tags(sheet.tiles),
        **_tiles(sheet.tiles, at),
        "references": [
            {"name": r.name, "source": r.source, "digest": r.digest, "role": r.role, "thumb": at.get(r.thumb or "", -1)}
            for r in sheet.references
        ],
        "history": {
            str(index): [_past(past, at) for past in tile.history]
            for index, tile in enumerate(sheet.tiles)
            if tile.history
        },
        "decisions": {key: [_decision(each) for each in said] for key, said in sheet.decisions.items()},
        "stale": {str(index): tile.stale for index, tile in enumerate(sheet.tiles) if tile.stale},
        "blank": {str(index): tile.blank for index, tile in enumerate(sheet.tiles) if tile.blank},
        "commands": {"retake": sheet.retake},
        "thumbs": {"count": len(names), "block": BLOCK, **({"urls": [thumbs[n] for n in names]} if served else {})},
        "served": {**SERVED, "who": sheet.reviewer} if served else False,
    }


def ordered(sheet: SheetView, thumbs: Mapping[str, str]) -> list[str]:
    """The names of the thumbnails that are to be had: of the pictures in the sheet's order, the references, the past.

    A picture that stands in several places has one, and it stands in the document once.
    """
    return [name for name in dict.fromkeys((*pictured(sheet), *lesser(sheet))) if name in thumbs]


def pictured(sheet: SheetView) -> Iterator[str]:
    """The names of the thumbnails of what is shown now."""
    return (tile.thumb for tile in sheet.tiles if tile.thumb)


def lesser(sheet: SheetView) -> Iterator[str]:
    """The names of the thumbnails of references and of what was shown before."""
    yield from (reference.thumb for reference in sheet.references if reference.thumb)
    yield from (past.thumb for tile in sheet.tiles for past in tile.history if past.thumb)


def link(path: str | None) -> str | None:
    """Return ``path`` as a relative URL, or None when there is none, or it is not relative or leads upwards.

    Every segment is percent-encoded, colons and backslashes too, so the result can name neither a
    scheme (``javascript:``) nor a drive nor another host (``//host/share``).
    """
    if not path or path.startswith("/") or ".." in path.split("/"):
        return None
    if path.isascii() and path.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
        return path  # most are: nothing to encode
    try:
        data = path.encode("utf-8", "surrogateescape")  # a name that is not UTF-8: its own bytes
    except UnicodeEncodeError:
        data = path.encode("utf-8", "surrogatepass")
    return quote(data, safe="/")


# ── dimensions ──────────────────────────────────────────────────────────────────────────────────


def dimensions(tiles: Sequence[TileView]) -> list[Data]:
    """Everything that tiles can be laid out and filtered by, in the order of the menus.

    Values come in order of first appearance, which is the manifest's; numbers and states in their own.
    A vary axis may have any name, also one of the others', so it is told apart by a prefix.
    """
    axes = dict.fromkeys(axis for tile in tiles for axis, _ in tile.vary)
    vary = [dict(tile.vary) for tile in tiles]
    names: dict[str, str] = {}
    for tile in tiles:
        names.setdefault(tile.product, tile.product_name)
    product = _dimension("product", "Product", (tile.product for tile in tiles))
    if any(name and name != value for value, name in names.items()):
        product["titles"] = [name or value for value, name in names.items()]
    return [
        product,
        _dimension("set", "Set", (tile.product_set for tile in tiles)),
        _dimension("prompt", "Prompt", (tile.prompt for tile in tiles)),
        *(_dimension(VARY + axis, axis, (values.get(axis) for values in vary)) for axis in axes),
        _dimension("ratio", "Ratio", (tile.aspect_ratio for tile in tiles)),
        _dimension("resolution", "Resolution", (tile.resolution for tile in tiles)),
        _dimension("variant", "Variant", (tile.variant for tile in tiles), "v{}".format),
        _dimension("take", "Take", (tile.take for tile in tiles), "take {}".format),
        _dimension("provider", "Provider", (tile.provider or None for tile in tiles)),
        _dimension("model", "Model", (tile.model for tile in tiles)),
        _dimension("state", "State", (STATES.index(tile.state) for tile in tiles), STATES.__getitem__),
    ]


def _dimension(
    key: str, name: str, of: Iterable[str | int | None], word: Callable[[int], str] | None = None
) -> dict[str, object]:
    """One dimension; where ``word`` says how a number is called, the values come in order of the numbers."""
    found: dict[str | int, int] = {}
    places = [-1 if value is None else found.setdefault(value, len(found)) for value in of]
    if word is None:
        return {"key": key, "name": name, "values": list(found), "of": places}
    numbers = sorted(value for value in found if isinstance(value, int))
    rank = {found[number]: place for place, number in enumerate(numbers)}
    values = [word(number) for number in numbers]
    return {"key": key, "name": name, "values": values, "of": [rank[place] for place in places]}


def _tags(tiles: Sequence[TileView]) -> Data:
    places: dict[str, int] = {}
    of = [[places.setdefault(tag, len(places)) for tag in tile.tags] for tile in tiles]
    return {"values": list(places), "of": of}


# ── tiles ───────────────────────────────────────────────────────────────────────────────────────


def _tiles(tiles: Sequence[TileView], at: Mapping[str, int]) -> Data:
    """The columns of the tiles, and the texts, reasons and sets of references that they point to."""
    texts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    slots: dict[tuple[int, ...], int] = {}
    columns = {
        "label": [tile.label for tile in tiles],
        "text": [texts.setdefault(tile.text, len(texts)) for tile in tiles],
        "reason": [reasons.setdefault(tile.reason, len(reasons)) if tile.reason else -1 for tile in tiles],
        "slots": [slots.setdefault(tile.references, len(slots)) for tile in tiles],
        "key": [tile.key for tile in tiles],
        "sha": [tile.sha for tile in tiles],
        "thumb": [at.get(tile.thumb or "", -1) for tile in tiles],
        "width": [max(tile.width, 0) for tile in tiles],
        "height": [max(tile.height, 0) for tile in tiles],
        "proof": [int(tile.proof) for tile in tiles],
        "nsfw": [int(tile.nsfw) for tile in tiles],
        "usd": [-1 if tile.usd is None or tile.proof else tile.usd for tile in tiles],
        "seconds": [-1 if tile.seconds is None else round(tile.seconds, 1) for tile in tiles],
        "made": [tile.made or 0 for tile in tiles],
        "files": [[[c.format, link(c.path), c.bytes or 0, c.state] for c in tile.cells] for tile in tiles],
    }
    return {"texts": list(texts), "reasons": list(reasons), "slotsets": list(slots), "tiles": columns}


def _decision(said: DecisionView) -> Data:
    found: Data = {
        "sha": said.sha,
        "decision": said.decision,
        "stars": said.stars,
        "note": said.note,
        "who": said.who,
        "when": said.when,
    }
    return found | {"times": dict(said.times)} if said.times else found


def _past(past: PastView, at: Mapping[str, int]) -> Data:
    return {
        "take": past.take,
        "key": past.key,
        "sha": past.sha,
        "href": link(past.path),
        "thumb": at.get(past.thumb or "", -1),
        "made": past.made,
        "changes": list(past.changes),
        "text": past.text,
        "provider": past.provider,
    }
