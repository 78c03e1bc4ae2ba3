"""Pictures that were made under version 1 of the keys keep their keys, so that an upgrade pays for nothing again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.expand import PRIVATE, Expansion
from pipeline.expand.keys import BEFORE, picture_key, prefix, spec_key
from pipeline.ledger import Snapshot
from pipeline.prompt import with_line_feeds
from pipeline.types import Cell, Picture, Spec

_ORIGINAL = re.compile(r"([0-9a-f]{32})\.t[0-9]+\.[a-z]+")


def known_to(snapshot: Snapshot, decided: Iterable[str] = ()) -> set[str]:
    """The keys of all pictures that a ledger knows something of, or that somebody ``decided`` about."""
    asked = (key for row in snapshot.open_requests for key, _ in row.pictures)
    return {*snapshot.pictures, *snapshot.failures, *snapshot.wishes, *asked, *decided}


def kept_in(folder: Path) -> set[str]:
    """The keys of the pictures whose originals are kept in an output folder."""
    names = (path.name for path in (folder / PRIVATE / "originals").glob("*"))
    return {match[1] for name in names if (match := _ORIGINAL.fullmatch(name))}


def settled(expansion: Expansion, known: Collection[str], *, again: Collection[str] = ()) -> Expansion:
    """The expansion with the keys under which its pictures are ``known`` already.

    A picture that is known under the key of version 1, and not under today's, is that picture. Where version 1 wrote a
    number of its prompt in another way, the spec says what the picture was really made from. ``again``: today's keys of
    pictures that are to be made once more: these get their prompts as they are written now.
    """
    if not known or all(key in known for key in expansion.pictures):
        return expansion
    former: dict[str, Spec] = {}  # today's spec key → the spec of before
    changed: dict[str, Picture] = {}
    for key, picture in expansion.pictures.items():
        if key in known:
            continue
        spec = picture.spec
        text = expansion.former.get(spec.key)
        then = former.get(spec.key) or _former(spec, text(spec.prompt) if text else spec.prompt)
        own = picture_key(then.key, picture.variant)
        if own in known and (then.prompt == spec.prompt or key not in again):
            former[spec.key] = then
            changed[key] = Picture(own, then, picture.variant)
    if not changed:
        return expansion
    for key, picture in expansion.pictures.items():  # new variants of these join them: they share requests
        before = former.get(picture.spec.key)
        if key not in known and key not in changed and before is not None and before.prompt == picture.spec.prompt:
            changed[key] = Picture(picture_key(before.key, picture.variant), before, picture.variant)
    pictures = {picture.key: picture for old, own in expansion.pictures.items() for picture in (changed.get(old, own),)}
    cells = tuple(_with(cell, changed) for cell in expansion.cells)
    pairs = zip(cells, expansion.cells, strict=True)
    labels = tuple(now.label for now, then in pairs if now.picture.spec.prompt != then.picture.spec.prompt)
    return replace(expansion, cells=cells, pictures=pictures, respelled=labels)


def _with(cell: Cell, changed: Mapping[str, Picture]) -> Cell:
    picture = changed.get(cell.picture.key)
    return cell if picture is None else replace(cell, picture=picture)


def _former(spec: Spec, text: str) -> Spec:
    """A spec as version 1 knew it, with the text that it made of the prompt; line breaks make no other text of it."""
    shared = prefix(BEFORE, spec.model, spec.proof, text, spec.references)
    key = spec_key(shared, spec.resolution, spec.aspect_ratio, spec.format, spec.provider)
    return replace(spec, key=key, prompt=spec.prompt if with_line_feeds(text) == spec.prompt else text)
