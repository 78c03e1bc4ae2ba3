"""The arrangement of a proof: which reference plays which part, how large it is and where it goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageChops, ImageFilter, ImageOps

from pipeline.proof.backdrop import Stage
from pipeline.proof.images import SHARP, SMOOTH, Reference

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

_DARK = [0 if v < 40 else min(255, (v - 40) * 6) for v in range(256)]  # nothing of the darkest, all of the rest
_SOLID = [min(255, max(0, (v - 150) * 4)) for v in range(256)]  # mask values of what is no mere shadow


@dataclass(frozen=True, slots=True)
class Piece:
    """A reference at its place: ``centre`` across, and ``foot`` (standing) or the middle (on the wall)."""

    slot: int
    picture: Image.Image  # RGBA or RGB, already scaled
    centre: float
    foot: float

    @property
    def left(self) -> int:
        """The first pixel column of the picture."""
        return round(self.centre - self.picture.width / 2)

    @property
    def top(self) -> int:
        """The first pixel row of the picture."""
        return round(self.foot) - self.picture.height

    @property
    def alpha(self) -> Image.Image:
        """What of it can be seen, as a mask."""
        if self.picture.mode == "RGBA":
            return self.picture.getchannel("A")
        return Image.new("L", self.picture.size, 255)

    @property
    def own_shadow(self) -> Image.Image | None:
        """Mask the soft dark that a product photo brings along: half seen through, and off the object's edge."""
        if self.picture.mode != "RGBA":
            return None
        red, green, blue, alpha = self.picture.split()
        solid = alpha.point([255 if v > 230 else 0 for v in range(256)])
        if not solid.getbbox():
            return None
        bright = ImageChops.lighter(ImageChops.lighter(red, green), blue).point(_DARK)
        edge = solid.filter(ImageFilter.MaxFilter(3))
        return ImageChops.subtract(ImageChops.subtract(alpha, bright), edge)

    @property
    def body(self) -> Image.Image:
        """Mask what is not its own shadow."""
        alpha, shadow = self.alpha, self.own_shadow
        return ImageChops.subtract(alpha, shadow) if shadow else alpha

    def outline(self, body: Image.Image) -> Image.Image:
        """Mask the object alone, without what is left of its shadow."""
        solid = body.point(_SOLID)
        return solid if solid.getbbox() else body

    def base(self, outline: Image.Image) -> Base:
        """Where the object touches the table: the lowest twentieth of its outline."""
        left, top, right, bottom = outline.getbbox() or (0, 0, *outline.size)
        strip = outline.crop((left, bottom - max(1, (bottom - top) // 20), right, bottom))
        near, _, far, _ = strip.getbbox() or (0, 0, right - left, 1)
        return Base(self.left + left + (near + far) / 2, far - near, self.top + bottom)


@dataclass(frozen=True, slots=True)
class Base:
    """The foot of an object, in pixels of the canvas."""

    centre: float
    width: int
    bottom: int


class Cast(NamedTuple):
    """Which reference plays which part."""

    ground: Reference | None  # covers the table
    napkin: Reference | None  # lies on it as a cloth
    standing: list[Reference]  # the hero first
    prints: list[Reference]  # on the wall


def cast(references: Sequence[Reference], variant: int) -> Cast:
    """Give out the parts: a surface goes under a fabric; without roles a texture covers the table."""
    standing = [reference for reference in references if reference.cutout]
    flat = [reference for reference in references if not reference.cutout]
    if not standing and flat:
        hero = min(flat, key=lambda reference: (reference.texture, reference.role in ("surface", "fabric")))
        standing = [hero]
        flat.remove(hero)
    textures = [reference for reference in flat if reference.texture]
    surfaces = [reference for reference in textures if reference.role == "surface"]
    fabrics = [reference for reference in textures if reference.role == "fabric"]
    grounds = surfaces or textures
    ground = grounds[(variant - 1) % len(grounds)] if grounds else None
    napkin = fabrics[(variant - 1) % len(fabrics)] if surfaces and fabrics else None
    return Cast(ground, napkin, standing, [one for one in flat if one is not ground and one is not napkin])


def zones(stage: Stage, prints: int) -> tuple[Box, Box]:
    """Where things stand (down to their feet) and where prints hang."""
    width, height = stage.width, stage.height
    foot = round(stage.horizon + stage.floor * 0.56)
    if not prints:
        return (round(width * 0.06), round(height * 0.1), round(width * 0.94), foot), (0, 0, 0, 0)
    if width >= height * 0.9:  # prints on the far side from the light, the hero beside them
        share = 0.3 if prints < 3 else 0.4
        a, b, c, d = 0.05, 0.95 - share, 0.95 - share, 0.95
        if stage.light > 0:
            a, b, c, d = 1 - b, 1 - a, 1 - d, 1 - c
        table = (round(a * width), round(height * 0.1), round(b * width), foot)
        wall = (round(c * width), round(height * 0.06), round(d * width), round(stage.horizon - height * 0.04))
        return table, wall
    split = (0.28 if prints < 3 else 0.38) if height > width * 1.4 else 0.32
    left, right = round(width * 0.08), round(width * 0.92)
    return (left, round(height * (split + 0.02)), right, foot), (
        left,
        round(height * 0.04),
        right,
        round(height * split),
    )


def _fit(picture: Image.Image, width: float, height: float) -> Image.Image:
    """Scale a picture to lie inside a box, its shape kept."""
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, SHARP if scale < 1 else SMOOTH, reducing_gap=2.0)


def arrange(stage: Stage, standing: Sequence[Reference], zone: Box) -> list[Piece]:
    """Put the hero in front, the others beside and behind it; back to front."""
    if not standing:
        return []
    left, top, right, foot = zone
    width, height = right - left, foot - top
    hero, others = standing[0], standing[1:]
    share = (0.74 if not others else 0.5 if len(others) < 4 else 0.44) + (0.08 if stage.width < stage.height else 0)
    wide = hero.image.width / hero.image.height
    hero_width = min(width * share, stage.height * max(0.7, 0.33 * wide))
    hero_picture = _fit(_framed(hero), hero_width, min(height, stage.height * 0.56))
    centre = left + width * (0.5 if len(others) != 1 else 0.5 + stage.light * 0.14)
    front = Piece(hero.slot, hero_picture, centre, foot)
    return [*_companions(stage, others, zone, front), front]


def _companions(stage: Stage, others: Sequence[Reference], zone: Box, front: Piece) -> list[Piece]:
    """Spread the others left and right of the hero, a step behind it; back to front."""
    left, top, right, foot = zone
    hero = front.picture
    usual = max(hero.height, hero.width) * 0.7
    first = -stage.light  # the first companion stands in the hero's shadow side, where there is room
    pieces = []
    for side, group in ((first, others[0::2]), (-first, others[1::2])):
        inner = front.centre + side * hero.width * 0.36
        span = abs((right if side > 0 else left) - inner)
        for index, reference in enumerate(group):
            picture = _framed(reference)
            slender = min(1.3, math.sqrt(picture.height / picture.width))  # a bottle is taller than a mug
            room = span / len(group) * (1.1 if len(group) < 2 else 1.5)
            depth = 0.28 + 0.12 * ((len(group) - 1 - index) % 2)
            picture = _fit(picture, room, min((foot - top) * 0.85, usual * slender))
            place = inner + side * span * (index + 0.5) / len(group)
            pieces.append(Piece(reference.slot, picture, place, stage.horizon + stage.floor * depth))
    return sorted(pieces, key=lambda piece: (piece.foot, piece.slot))


def _framed(reference: Reference) -> Image.Image:
    return reference.image if reference.cutout else _bordered(reference.image)


def _bordered(picture: Image.Image) -> Image.Image:
    border = max(1, round(min(picture.size) * 0.045))
    return ImageOps.expand(picture, border, (251, 249, 245))


def hang(stage: Stage, prints: Sequence[Reference], zone: Box) -> list[Piece]:
    """Hang prints in the grid of cells that shows them largest, each turned a little."""
    if not prints:
        return []
    left, top, right, bottom = zone
    width, height = right - left, bottom - top
    count = len(prints)
    columns = max(range(1, count + 1), key=lambda n: min(width / n, height / math.ceil(count / n)))
    rows = math.ceil(count / columns)
    cell = (width / columns, height / rows)
    limit = stage.unit * 0.34
    step = min(cell[0], limit * 1.2, cell[1] * 1.35)
    pieces = []
    for index, reference in enumerate(prints):
        row, column = divmod(index, columns)
        in_row = min(columns, count - row * columns)
        x = left + width / 2 + (column - (in_row - 1) / 2) * step
        y = top + (row + 0.5) * cell[1]
        picture = _fit(_bordered(reference.image), min(limit, step * 0.86), min(limit, cell[1] * 0.86))
        angle = stage.dice.choice((-1, 1)) * stage.dice.uniform(0.8, 2.6)
        turned = ImageOps.expand(picture.convert("RGBA"), 2, (251, 249, 245, 0)).rotate(angle, SMOOTH, expand=True)
        pieces.append(Piece(reference.slot, turned, x, y + turned.height / 2))
    return pieces
