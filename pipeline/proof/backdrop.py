"""The set of a proof: wall and table, the shape behind the objects, the light, the window and the grain."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from pipeline.proof.images import FAST, SMOOTH, Reference
from pipeline.proof.palettes import RGB, Palette

_SMALL = 224  # soft things are drawn this many pixels long and then enlarged
_GRAIN = 256  # pixels: the side of one tile of noise

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """The set: where the light comes from, where the table begins, what it is painted in."""

    width: int
    height: int
    horizon: int
    light: int  # -1: from the left, 1: from the right
    palette: Palette
    dice: random.Random

    @property
    def unit(self) -> float:
        """The side of a square of the same area: the measure of everything drawn at one size."""
        return math.sqrt(self.width * self.height)

    @property
    def ambient(self) -> float:
        """How bright the set is where no lamp reaches: below 1 in the evening and at night."""
        return min(1.0, 0.55 + sum(self.palette.wall) / 3 / 255)

    @property
    def lamp(self) -> RGB:
        """What a fabric or a surface is multiplied with: white by day, a dim warm tone at night."""
        if self.ambient == 1:
            return 255, 255, 255
        red, green, blue = (round((0.5 + v / 510) * 255 * self.ambient) for v in self.palette.light)
        return red, green, blue

    @property
    def shadow(self) -> RGB:
        """The colour of shadows: the set's shade, half way to a neutral dark."""
        red, green, blue = self.palette.shade
        return (red + 38) // 2, (green + 34) // 2, (blue + 31) // 2

    @property
    def floor(self) -> int:
        """How deep the table is, in pixels."""
        return self.height - self.horizon


def draw_set(stage: Stage, cloth: Reference | None) -> Image.Image:
    """Paint the empty set without its light, the cloth (if any) over the table."""
    width, height, palette = stage.width, stage.height, stage.palette
    canvas = Image.new("RGB", (width, height), palette.wall)
    _draw_set_piece(canvas, stage)
    table = Image.new("RGB", (width, max(1, stage.floor)), palette.table)
    if cloth is not None:
        lamp = Image.new("RGB", table.size, stage.lamp)
        table = ImageChops.multiply(ImageOps.fit(cloth.image, table.size, SMOOTH, centering=(0.5, 0.5)), lamp)
    canvas.paste(table, (0, stage.horizon))
    return canvas


def light_set(canvas: Image.Image, stage: Stage) -> Image.Image:
    """Throw the light on a painted set: shade, window, grain."""
    width, height, palette = stage.width, stage.height, stage.palette
    scale = _SMALL / max(width, height)
    small = (max(2, round(width * scale)), max(2, round(height * scale)))
    shade = ImageOps.colorize(_falloff(stage, small), palette.shade, "white")
    canvas = ImageChops.multiply(canvas, shade.resize(canvas.size, FAST))
    twice = (small[0] * 2, small[1] * 2)
    glow = ImageChops.multiply(_window(stage, twice), _falloff(stage, twice))
    tint = ImageOps.colorize(glow.point([v * 2 // 5 for v in range(256)]), "black", palette.light)
    canvas = ImageChops.screen(canvas, tint.resize(canvas.size, SMOOTH))
    return ImageChops.add(canvas, _grain(canvas.size), offset=-1)


def _grain(size: tuple[int, int]) -> Image.Image:
    """Noise of one level up or down: without it, soft gradients show their steps."""
    noise = random.Random(1).randbytes(_GRAIN * _GRAIN)  # noqa: S311  # the same grain every time
    tile = Image.frombytes("L", (_GRAIN, _GRAIN), noise).point([v * 3 // 256 for v in range(256)])
    grain = Image.new("L", size)
    for y in range(0, size[1], _GRAIN):
        for x in range(0, size[0], _GRAIN):
            grain.paste(tile, (x, y))
    return Image.merge("RGB", (grain, grain, grain))


def _draw_set_piece(canvas: Image.Image, stage: Stage) -> None:
    """Paint an arch, a disc, a panel or nothing behind the objects, in the accent colour."""
    kind = stage.dice.choice(("arch", "disc", "panel", "plain"))
    middle = stage.width / 2 + stage.light * stage.width * stage.dice.uniform(0.04, 0.16)
    if kind == "plain":
        return
    size = round(min(stage.width * 0.6, stage.horizon * 0.72))
    tall = {"arch": round(size * 1.22), "disc": size, "panel": stage.horizon}[kind]
    shape = Image.new("L", (size * 2, tall * 2), 0)  # twice as large, for smooth edges
    draw = ImageDraw.Draw(shape)
    if kind == "panel":
        draw.rectangle((0, 0, size * 2, tall * 2), fill=255)
    else:
        draw.ellipse((0, 0, size * 2 - 1, size * 2 - 1), fill=255)
    if kind == "arch":
        draw.rectangle((0, size, size * 2, tall * 2), fill=255)
    bottom = stage.horizon - (round(stage.horizon * 0.1) if kind == "disc" else 0)
    canvas.paste(stage.palette.accent, (round(middle - size / 2), bottom - tall), shape.reduce(2))


def _falloff(stage: Stage, size: tuple[int, int]) -> Image.Image:
    """Map how much light falls where, 0 to 255: a pool on the light's side, the far corners in shade."""
    width, height = size
    pool = ImageOps.invert(Image.radial_gradient("L"))
    reach = (round(width * 2.5), round(height * 2.7))
    across = 0.5 + stage.light * 0.28
    light = Image.new("L", size, 0)
    light.paste(pool.resize(reach, FAST), (round(width * across - reach[0] / 2), round(height * 0.42 - reach[1] / 2)))
    low = 100 * stage.ambient
    light = light.point([min(255, round(low + v * 0.8 * stage.ambient)) for v in range(256)])
    return ImageChops.multiply(light, _crease(stage, size))


def _crease(stage: Stage, size: tuple[int, int]) -> Image.Image:
    """Map the soft dark where wall and table meet."""
    width, height = size
    horizon = round(stage.horizon * height / stage.height)
    crease = Image.new("L", size, 255)
    ramp = Image.linear_gradient("L")  # black above, white below
    for start, end, depth in ((0, horizon, 56), (horizon, round(horizon + (height - horizon) * 0.45), 46)):
        lift = ramp if start else ImageOps.flip(ramp)
        soft = lift.point([round(255 - depth * (1 - v / 255) ** 2) for v in range(256)])
        crease.paste(soft.resize((width, max(1, end - start)), FAST), (0, start))
    return crease


def _window(stage: Stage, size: tuple[int, int]) -> Image.Image:
    """Map the light thrown on the wall: panes, slats, a window with a plant before it, or none."""
    width, height = size
    scene = Image.new("L", size, 0)
    draw = ImageDraw.Draw(scene)
    kind = stage.dice.choice(("panes", "slats", "leaves", "none"))
    slant = -stage.light * stage.dice.uniform(0.25, 0.5)
    middle = width / 2 + stage.light * width * stage.dice.uniform(0.0, 0.2)
    reach, top, bottom = min(width, height) * 0.36, -height * 0.02, height * 0.56
    columns, rows = {"panes": (2, 3), "slats": (1, 9), "leaves": (1, 1), "none": (0, 0)}[kind]
    gap = reach * 0.08
    for row in range(rows):
        tall = (bottom - top) / rows
        high, low = top + row * tall, top + (row + 1) * tall - (tall * 0.42 if kind == "slats" else gap)
        for column in range(columns):
            left = middle - reach + column * 2 * reach / columns
            right = left + 2 * reach / columns - gap
            corners = ((left, high), (right, high), (right, low), (left, low))
            draw.polygon([(x + slant * (y - bottom), y) for x, y in corners], fill=255)
    if kind == "leaves":
        for _ in range(4):
            _draw_branch(draw, stage, (middle, height * 0.3), reach)
    return scene.filter(ImageFilter.GaussianBlur(min(size) * (0.011 if kind == "leaves" else 0.016)))


def _draw_branch(draw: ImageDraw.ImageDraw, stage: Stage, middle: Point, reach: float) -> None:
    """Draw the shadow of a twig with pairs of leaves, hanging into the light."""
    dice = stage.dice
    x, y = middle[0] + dice.uniform(-1.1, 1.1) * reach, middle[1] + dice.uniform(-1.3, 0.2) * reach
    heading, bend = dice.uniform(0.2, 2.9), dice.uniform(-0.12, 0.12)
    step, long = reach * 0.24, reach * dice.uniform(0.34, 0.46)
    for index in range(6):
        after = (x + step * math.cos(heading), y + step * math.sin(heading))
        draw.line((x, y, *after), fill=70, width=2)
        for side in (-1, 1):
            _draw_leaf(draw, after, heading + side * 0.75, long * (1 - index * 0.1))
        (x, y), heading = after, heading + bend


def _draw_leaf(draw: ImageDraw.ImageDraw, stem: Point, angle: float, long: float) -> None:
    across = (-math.sin(angle) * long * 0.13, math.cos(angle) * long * 0.13)
    at = [(stem[0] + math.cos(angle) * long * t, stem[1] + math.sin(angle) * long * t) for t in (0.3, 0.65, 1)]
    rim = [(x + across[0] * side, y + across[1] * side) for side in (1, -1) for x, y in at[:2][::side]]
    draw.polygon([stem, *rim[:2], at[2], *rim[2:]], fill=70)
