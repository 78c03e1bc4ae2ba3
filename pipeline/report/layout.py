"""Where things stand on a contact sheet: groups of tiles, true aspect ratios, and the style rules for both.

A page under a strict Content Security Policy has no ``style`` attributes, so every measure that depends on
the pictures becomes a class: one per ratio, one per size of section. There are few of either, because the
products of one campaign share an output matrix. Small sections stand side by side; a section knows its
width and about its height before it is drawn, which lets a browser skip it (``content-visibility``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.report.view import TileView

CHUNK = 120
"""Tiles per separately skipped block of a large group."""

_THUMB_HEIGHT = 240  # CSS pixels, the default height of a row in sheet.css
_ROW_RATIO = 5.5  # widths ÷ height that fill a row of a usual window, to guess heights before drawing
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
class Group:
    """The tiles of one prompt and one product, in blocks of at most ``CHUNK``."""

    prompt: str
    count: int
    chunks: tuple[tuple[Placed, ...], ...]
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
        for part in (product.extent, *(group.extent for group in product.groups)):
            extents[part.name] = part
        for group in product.groups:
            boxes.update((tile.shape, tile.box) for chunk in group.chunks for tile in chunk)
    rules = [f".{name}{{--r:{width / height:.4f}}}" for name, (width, height) in boxes.items()]
    rules += [
        f".{name}{{--w:{e.hundredths / 100:.2f};--g:{e.gaps};--b:{e.breaks};--rows:{e.rows}}}"
        for name, e in extents.items()
    ]
    return "\n".join(rules) + "\n"


def _product(groups: list[Group]) -> Product:
    first = groups[0].chunks[0][0].view
    width = sum(group.extent.hundredths for group in groups)
    one_row = width <= 100 * _ROW_RATIO
    return Product(
        id=first.product,
        name=first.product_name or first.product,
        set=first.product_set,
        tags=first.tags,
        count=sum(group.count for group in groups),
        groups=tuple(groups),
        extent=Extent(
            hundredths=width,
            gaps=sum(group.extent.gaps for group in groups),
            breaks=len(groups) - 1,
            rows=1 if one_row else sum(group.extent.rows for group in groups),
        ),
    )


def _group(prompt: str, placed: list[Placed]) -> Group:
    hundredths = sum(math.ceil(100 * tile.box[0] / tile.box[1]) for tile in placed)
    return Group(
        prompt=prompt,
        count=len(placed),
        chunks=tuple(tuple(placed[at : at + CHUNK]) for at in range(0, len(placed), CHUNK)),
        extent=Extent(hundredths, len(placed) - 1, 0, max(1, math.ceil(hundredths / 100 / _ROW_RATIO))),
    )
