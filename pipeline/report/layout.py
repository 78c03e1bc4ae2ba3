"""Where things stand on a contact sheet: groups of tiles, true aspect ratios, and the style rules for both.

A page under a strict Content Security Policy has no ``style`` attributes, so every measure that depends on
the pictures becomes a class: one per ratio, one per size of section. There are few of either, because the
products of one campaign share an output matrix. Small sections stand side by side; a section knows its
width and about its height before it is drawn, which lets a browser skip it (``content-visibility``).

Inside a group the same vary values stand together, then the same shape, then the same variant, so that the
1K and the 2K of one picture are neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.report.view import TileView

_Value = TypeVar("_Value")

CHUNK = 120
"""Tiles per separately skipped block of a large group."""

_THUMB_HEIGHT = 240  # CSS pixels, the default height of a row in sheet.css
_ROW_RATIO = 5.5  # widths ÷ height that fill a row of a usual window, to guess heights before drawing
_TILES_PER_RUN = 2  # fewer tiles for each combination of vary values, on average, and they share their rows
_FLATTEST, _TALLEST = 5.0, 0.2  # a stranger shape gets bars, never a crop


@dataclass(frozen=True, slots=True)
class Placed:
    """A tile, its number on the sheet, and the measures of its box."""

    index: int
    view: TileView
    box: tuple[int, int]

    @property
    def shape(self) -> str:
        """The class that holds the tile's aspect ratio."""
        return f"r{self.box[0]}-{self.box[1]}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the small picture, in CSS pixels at the usual size."""
        return max(1, round(_THUMB_HEIGHT * self.box[0] / self.box[1])), _THUMB_HEIGHT


@dataclass(frozen=True, slots=True)
class Extent:
    """How much room a section takes: its ratios added up, its gaps, and a guess of its rows."""

    hundredths: int
    gaps: int
    breaks: int
    rows: int

    @property
    def name(self) -> str:
        """The class that holds these measures."""
        return f"e{self.hundredths}-{self.gaps}-{self.breaks}-{self.rows}"


@dataclass(frozen=True, slots=True)
class Run:
    """Tiles that start on a row of their own, in blocks of at most ``CHUNK``.

    ``vary`` is the caption they share; it is empty where every tile has to say its own.
    """

    vary: tuple[tuple[str, str], ...]
    chunks: tuple[tuple[Placed, ...], ...]
    extent: Extent


@dataclass(frozen=True, slots=True)
class Group:
    """The tiles of one prompt and one product."""

    prompt: str
    count: int
    runs: tuple[Run, ...]
    extent: Extent


@dataclass(frozen=True, slots=True)
class Product:
    """One product's section of the sheet."""

    id: str
    name: str
    set: str
    tags: tuple[str, ...]
    count: int
    groups: tuple[Group, ...]
    extent: Extent


def box(tile: TileView) -> tuple[int, int]:
    """Return a tile's aspect ratio in lowest terms, between 1:5 and 5:1."""
    if tile.width < 1 or tile.height < 1:
        return 1, 1
    ratio = tile.width / tile.height
    if ratio > _FLATTEST or ratio < _TALLEST:
        return (5, 1) if ratio > 1 else (1, 5)
    divisor = math.gcd(tile.width, tile.height)
    return tile.width // divisor, tile.height // divisor


def products(tiles: Sequence[TileView]) -> list[Product]:
    """Return ``tiles`` grouped by product and then prompt, each in order of first appearance."""
    grouped: dict[tuple[str, str], dict[str, list[Placed]]] = {}
    for index, tile in enumerate(tiles):
        prompts = grouped.setdefault((tile.product_set, tile.product), {})
        prompts.setdefault(tile.prompt, []).append(Placed(index, tile, box(tile)))
    return [_product([_group(prompt, placed) for prompt, placed in prompts.items()]) for prompts in grouped.values()]


def style_rules(sections: Iterable[Product]) -> str:
    """Return the style rules of the ratios and extents that occur on the sheet; numbers only."""
    boxes: dict[str, tuple[int, int]] = {}
    extents: dict[str, Extent] = {}
    for product in sections:
        runs = [run for group in product.groups for run in group.runs]
        found = [product.extent, *(group.extent for group in product.groups), *(run.extent for run in runs)]
        extents.update((extent.name, extent) for extent in found)
        boxes.update((tile.shape, tile.box) for run in runs for chunk in run.chunks for tile in chunk)
    rules = [f".{name}{{--r:{width / height:.4f}}}" for name, (width, height) in boxes.items()]
    rules += [
        f".{name}{{--w:{e.hundredths / 100:.2f};--g:{e.gaps};--b:{e.breaks};--rows:{e.rows}}}"
        for name, e in extents.items()
    ]
    return "\n".join(rules) + "\n"


def _product(groups: list[Group]) -> Product:
    first = groups[0].runs[0].chunks[0][0].view
    return Product(
        id=first.product,
        name=first.product_name or first.product,
        set=first.product_set,
        tags=first.tags,
        count=sum(group.count for group in groups),
        groups=tuple(groups),
        extent=_side_by_side([group.extent for group in groups]),
    )


def _group(prompt: str, placed: list[Placed]) -> Group:
    ordered = _ordered(placed)
    by_vary: dict[tuple[tuple[str, str], ...], list[Placed]] = {}
    for tile in ordered:
        by_vary.setdefault(tile.view.vary, []).append(tile)
    if len(ordered) >= _TILES_PER_RUN * len(by_vary):
        runs = tuple(_run(vary, tiles) for vary, tiles in by_vary.items())
    else:  # mostly single tiles: a caption and a row for each would be more gaps than pictures
        runs = (_run((), ordered),)
    return Group(prompt, len(ordered), runs, _side_by_side([run.extent for run in runs]))


def _ordered(placed: list[Placed]) -> list[Placed]:
    """Return tiles by vary values, shape, variant and resolution, each in order of first appearance."""
    views = [tile.view for tile in placed]
    vary = _places(view.vary for view in views)
    ratio = _places(view.aspect_ratio for view in views)
    resolution = _places(view.resolution for view in views)
    return sorted(
        placed,
        key=lambda tile: (
            vary[tile.view.vary],
            ratio[tile.view.aspect_ratio],
            tile.view.variant,
            resolution[tile.view.resolution],
        ),
    )


def _places(values: Iterable[_Value]) -> dict[_Value, int]:
    """Return the place of each distinct value among them, in order of first appearance."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _run(vary: tuple[tuple[str, str], ...], tiles: list[Placed]) -> Run:
    hundredths = sum(math.ceil(100 * tile.box[0] / tile.box[1]) for tile in tiles)
    return Run(
        vary=vary,
        chunks=tuple(tuple(tiles[at : at + CHUNK]) for at in range(0, len(tiles), CHUNK)),
        extent=Extent(hundredths, len(tiles) - 1, 0, max(1, math.ceil(hundredths / 100 / _ROW_RATIO))),
    )


def _side_by_side(parts: Sequence[Extent]) -> Extent:
    """Return the extent of parts that stand beside each other when there is room, and else below."""
    hundredths = sum(part.hundredths for part in parts)
    return Extent(
        hundredths=hundredths,
        gaps=sum(part.gaps for part in parts),
        breaks=sum(part.breaks for part in parts) + len(parts) - 1,
        rows=1 if hundredths <= 100 * _ROW_RATIO else sum(part.rows for part in parts),
    )
