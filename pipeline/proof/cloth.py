"""A cloth on the table of a proof: the fabric that lies beside a surface, half under the hero."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from pipeline.proof.backdrop import Point, Stage
from pipeline.proof.images import FAST, SMOOTH, Reference
from pipeline.proof.layout import Piece

_FLAT = 0.36  # a square on the table is seen this much shorter than wide
_FOLDS = ((0.16, 0.05, 30), (0.21, 0.03, -14), (0.47, 0.06, 26), (0.53, 0.03, -12), (0.78, 0.05, 22))


@dataclass(frozen=True, slots=True)
class Laid:
    """A fabric at its place on the table: a square, turned, its middle and its side in pixels."""

    cloth: Reference
    middle: Point
    side: float
    angle: float

    def spot(self, across: float, along: float) -> Point:
        """Tell where a point of the cloth is seen; (±1, ±1) are its corners."""
        x, y = across * self.side / 2, along * self.side / 2
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        return self.middle[0] + x * cosine - y * sine, self.middle[1] + (x * sine + y * cosine) * _FLAT

    @property
    def mark(self) -> tuple[int, Point]:
        """The slot, and where its number goes: in the corner that is nearest to the viewer."""
        corners = [self.spot(across, along) for across in (-0.84, 0.84) for along in (-0.84, 0.84)]
        return self.cloth.slot, max(corners, key=lambda corner: corner[1])


def lay(stage: Stage, cloth: Reference, hero: Piece) -> Laid:
    """Put a fabric under the hero's lit side, where neither its shadow nor a companion covers it."""
    base = hero.base(hero.outline(hero.body))
    wide = min(hero.picture.width, stage.width * 0.5)
    side = min(max(wide * 0.92, stage.unit * 0.34), stage.floor / _FLAT * 0.8)
    x = base.centre + stage.light * (base.width * 0.18 + side * 0.34)
    x = min(max(x, side * 0.44), stage.width - side * 0.44)
    y = min(base.bottom + side * 0.05, stage.height - side * _FLAT * 0.62)
    return Laid(cloth, (x, y), side, -stage.light * 0.42)


def draw_cloth(canvas: Image.Image, stage: Stage, laid: Laid) -> None:
    """Draw the fabric with its folds, its double edge and its soft shadow."""
    rim = _rim(laid)
    pad = max(2, round(stage.unit * 0.03))
    left = math.floor(min(x for x, _ in rim)) - pad
    top = math.floor(min(y for _, y in rim)) - pad
    size = (math.ceil(max(x for x, _ in rim)) + pad - left, math.ceil(max(y for _, y in rim)) + pad - top)
    mask = Image.new("L", (size[0] * 2, size[1] * 2), 0)  # twice as large, for smooth edges
    ImageDraw.Draw(mask).polygon([((x - left) * 2, (y - top) * 2) for x, y in rim], fill=255)
    mask = mask.reduce(2)
    picture = ImageChops.multiply(_woven(laid, (left, top), size), Image.new("RGB", size, stage.lamp))
    thick = max(1, round(stage.unit * 0.0035))
    for reach, strength in ((pad * 0.3, 100), (pad * 0.07, 130)):
        small = mask.resize((max(1, size[0] // 4), max(1, size[1] // 4)), FAST)
        soft = small.filter(ImageFilter.GaussianBlur(reach / 4)).point([v * strength // 255 for v in range(256)])
        at = (round(left - stage.light * reach * 0.8), round(top + thick + reach * 0.7))
        canvas.paste(stage.shadow, (*at, at[0] + size[0], at[1] + size[1]), soft.resize(size, FAST))
    canvas.paste(picture.point([v * 3 // 4 for v in range(256)] * 3), (left, top + thick), mask)
    canvas.paste(picture, (left, top), mask)


def _rim(laid: Laid) -> list[Point]:
    """Walk round the cloth: edges that wave a little, corners that are not sharp."""
    rim = []
    for turn in range(4):
        for step in range(24):
            t = -0.97 + 1.94 * step / 23
            out = 1 + 0.012 * math.sin(5 * t + 2 * turn) + 0.008 * math.sin(11 * t + turn) - 0.03 * abs(t) ** 9
            across, along = ((t, -out), (out, t), (-t, out), (-out, -t))[turn]
            rim.append(laid.spot(across, along))
    return rim


def _woven(laid: Laid, corner: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Lay the fabric's picture flat: turned, foreshortened, with soft folds across it."""
    side = max(2, round(laid.side * 1.1))
    flat = ImageOps.fit(laid.cloth.image, (side, side), SMOOTH)
    depth = [sum(d * math.exp(-(((i / 95 - at) / w) ** 2)) for at, w, d in _FOLDS) for i in range(96)]
    folds = Image.new("L", (96, 1))
    folds.putdata([max(0, min(255, round(246 - value))) for value in depth])
    shade = folds.resize((side, side), FAST)
    flat = ImageChops.multiply(flat, Image.merge("RGB", (shade, shade, shade)))
    sine, cosine = math.sin(laid.angle), math.cos(laid.angle)
    x, y = corner[0] - laid.middle[0], corner[1] - laid.middle[1]
    matrix = (
        *(cosine, sine / _FLAT, x * cosine + y * sine / _FLAT + side / 2),
        *(-sine, cosine / _FLAT, -x * sine + y * cosine / _FLAT + side / 2),
    )
    return flat.transform(size, Image.Transform.AFFINE, matrix, FAST)
