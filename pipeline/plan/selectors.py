"""The words that select cells: globs of labels, and ``dimension:glob`` such as ``set:mugs`` or ``state:failed``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from pipeline.types import FORMAT_NAMES, Cell

DIMENSIONS = ("product", "prompt", "set", "tag", "resolution", "aspect_ratio", "format", "variant", "provider")
"""What a cell has a name in, beside its vary axes: the dimensions of a manifest's rules."""
STATES = ("done", "rebuild", "make", "missing", "failed", "uncertain")
"""The values of ``state``: the words of ``status`` and of results.jsonl."""
DECISIONS = ("approved", "rejected", "undecided", "stale")
"""The values of ``decision``."""
CHANGING = {"state": STATES, "decision": DECISIONS}
"""What a cell alone doesn't know: it is looked up in the ledger and in approvals.yaml."""
_SELECTOR = re.compile(r"([A-Za-z_]\w*):(.*)", re.DOTALL)
Named = Mapping[str, frozenset[str]]
"""Word → the labels of the cells that it names, of words about what changes (:data:`CHANGING`)."""


def label_matches(label: str, glob: str) -> bool:
    """Whether a glob names a label: whole, or a leading part of it (``enamel-blue`` is all its cells)."""
    if glob.endswith(".jpeg"):
        glob = f"{glob[:-5]}.jpg"  # as labels have it
    return fnmatchcase(label, glob) or fnmatchcase(label, f"{glob.rstrip('/')}/*")


def selector(word: str) -> tuple[str, str] | None:
    """The dimension and the glob of ``tag:hero``; None for a glob of labels, in which no colon stands."""
    found = _SELECTOR.fullmatch(word)
    if found is None:
        return None
    dimension, glob = found.groups()
    return dimension, FORMAT_NAMES.get(glob, glob) if dimension == "format" else glob


def names_of(cell: Cell, dimension: str) -> tuple[str, ...]:
    """What a cell is called in a dimension; a ratio also as labels write it."""
    spec, place = cell.picture.spec, cell.place
    names: dict[str, tuple[str, ...]] = {
        "product": (place.product.id,),
        "prompt": (place.prompt,),
        "set": (place.product.set,),
        "tag": place.product.tags,
        "resolution": (spec.resolution,),
        "aspect_ratio": (spec.aspect_ratio, spec.aspect_ratio.replace(":", "x")),
        "format": (cell.format,),
        "variant": (str(cell.picture.variant), f"v{cell.picture.variant}"),
        "provider": (spec.provider,),
    }
    return names.get(dimension) or tuple(label for axis, label in place.vary if axis == dimension)


def matches(cell: Cell, word: str, named: Named) -> bool:
    """Whether a word names a cell."""
    if word in named:
        return cell.label in named[word]
    pair = selector(word)
    if pair is None:
        return label_matches(cell.label, word)
    return any(fnmatchcase(name, pair[1]) for name in names_of(cell, pair[0]))


def named_by(cells: Iterable[Cell], words: Sequence[str], named: Named | None = None) -> set[str]:
    """The pictures (keys) of all cells that a word names."""
    return {cell.picture.key for cell in cells if any(matches(cell, word, named or {}) for word in words)}
