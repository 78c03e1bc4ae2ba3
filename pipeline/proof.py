"""Proofs: what the offline ``local`` provider makes instead of a generated picture.

A proof is a calm set-design mock-up of the real reference images, for judging layout, crops, naming and
the contact sheet before anything is spent. It says PROOF in a corner and never pretends to be more.
The same :class:`Proof` gives the same pixels on every machine with the same Pillow.
"""

from __future__ import annotations

import functools
import hashlib
import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageStat

from pipeline.proof_palettes import (
    RGB,
    Palette,
    choose,
    draw_caption,
    draw_mark,
    draw_marker,
    font,
    plain,
    shorten,
)

_LONGEST = 1280  # pixels kept of a reference: enough for a hero at 2K, and 6 MB at most in the cache
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
_SMALL = 224  # soft things are drawn this many pixels long and then enlarged
_GRAIN = 256  # pixels: the side of one tile of noise
_SOLID = [min(255, max(0, (v - 150) * 4)) for v in range(256)]  # mask values of what is no mere shadow
_FAST = Image.Resampling.BILINEAR
_SMOOTH = Image.Resampling.BICUBIC
_SHARP = Image.Resampling.HAMMING  # no ringing: Lanczos puts a pale rim around cut-outs

Point = tuple[float, float]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything a proof is drawn from; picklable."""

    prompt: str  # the rendered prompt, with @Image1 … slots in it
    references: tuple[str, ...]  # slot N is references[N-1]: absolute paths, or URLs (never fetched)
    width: int  # pixels of the picture, exactly
    height: int
    variant: int  # 1, 2, …: another variant has another light, arrangement and palette
    take: int
    label: str  # drawn beside the PROOF mark; influences nothing else


@dataclass(frozen=True, slots=True)
class _Stage:
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
    def shadow(self) -> RGB:
        """The colour of shadows: the set's shade, half way to a neutral dark."""
        red, green, blue = self.palette.shade
        return (red + 38) // 2, (green + 34) // 2, (blue + 31) // 2

    @property
    def floor(self) -> int:
        """How deep the table is, in pixels."""
        return self.height - self.horizon


@dataclass(frozen=True, slots=True)
class _Piece:
    """A reference at its place: ``centre`` across, and ``foot`` (standing) or the middle (on the wall)."""

    slot: int
    picture: Image.Image  # RGBA or RGB, already scaled
    centre: float
    foot: float

    @property
    def left(self) -> int:
        return round(self.centre - self.picture.width / 2)

    @property
    def top(self) -> int:
        return round(self.foot) - self.picture.height

    @property
    def alpha(self) -> Image.Image:
        """What of it can be seen, as a mask."""
        if self.picture.mode == "RGBA":
            return self.picture.getchannel("A")
        return Image.new("L", self.picture.size, 255)

    def outline(self, alpha: Image.Image) -> Image.Image:
        """Mask the object alone: product photos often bring a soft shadow of their own."""
        solid = alpha.point(_SOLID)
        return solid if solid.getbbox() else alpha

    def base(self, outline: Image.Image) -> _Base:
        """Where the object touches the table: the lowest twentieth of its outline."""
        left, top, right, bottom = outline.getbbox() or (0, 0, *outline.size)
        strip = outline.crop((left, bottom - max(1, (bottom - top) // 20), right, bottom))
        near, _, far, _ = strip.getbbox() or (0, 0, right - left, 1)
        return _Base(self.left + left + (near + far) / 2, far - near, self.top + bottom)


@dataclass(frozen=True, slots=True)
class _Base:
    """The foot of an object, in pixels of the canvas."""

    centre: float
    width: int
    bottom: int


def render(proof: Proof) -> Image.Image:
    """Draw a proof: RGB, exactly ``width`` by ``height`` pixels.

    Raises ``OSError`` for a reference that is missing or cannot be decoded, ``ValueError`` for one that
    Pillow refuses (too many pixels, a colour space it cannot convert) and for a size without pixels.
    """
    if proof.width < 1 or proof.height < 1:
        raise ValueError(f"a proof needs at least one pixel, not {proof.width}x{proof.height}")
    references = [_load(source, slot) for slot, source in enumerate(proof.references, 1)]
    stage = _stage(proof)
    cloth, standing, prints = _cast(references, proof.variant)
    canvas = _set(stage, cloth)
    hero_zone, wall_zone = _zones(stage, len(prints))
    on_wall = _hang(stage, prints, wall_zone)
    on_table = _arrange(stage, standing, hero_zone)
    for piece in on_wall:
        _draw_print(canvas, stage, piece)
    standing_at = [(piece, _draw_standing(canvas, stage, piece)) for piece in on_table]
    _draw_markers(canvas, stage, on_wall, standing_at, cloth)
    if not references:
        draw_caption(canvas, proof.prompt, stage.horizon, stage.palette)
    draw_mark(canvas, proof.label)
    return canvas


def _stage(proof: Proof) -> _Stage:
    seed = f"{proof.prompt}\0{proof.variant}\0{proof.take}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(seed).digest()
    steady = hashlib.sha256(proof.prompt.encode("utf-8", "surrogatepass")).digest()[0]
    turn = max(0, proof.variant - 1) + 3 * max(0, proof.take - 1)
    dice = random.Random(digest)  # noqa: S311  # a repeatable choice, not a secret
    upright = proof.height / proof.width
    horizon = 0.60 + 0.04 * min(1.0, max(0.0, upright - 1)) + dice.uniform(-0.02, 0.02)
    return _Stage(
        width=proof.width,
        height=proof.height,
        horizon=round(proof.height * horizon),
        light=-1 if (steady + turn) % 2 else 1,
        palette=choose(proof.prompt, turn),
        dice=dice,
    )


# --- references: decoded once, small, upright, RGB or RGBA ------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reference:
    """One slot's picture. The image is shared between threads: never drawn upon."""

    slot: int
    image: Image.Image  # RGBA cropped to what is visible, or RGB
    texture: bool  # looks the same everywhere: fabric, wood, stone

    @property
    def cutout(self) -> bool:
        """Whether it is an object without a background."""
        return self.image.mode == "RGBA"


def _load(source: str, slot: int) -> _Reference:
    """Load a reference by its path, or draw a placeholder card for an http(s) URL, which is never fetched.

    Raises ``OSError`` when the file is missing or broken, ``ValueError`` when Pillow refuses it.
    """
    if source.lower().startswith(("http://", "https://")):
        return _Reference(slot, _placeholder(source), texture=False)
    status = Path(source).stat()
    image, texture = _decode(source, status.st_mtime_ns, status.st_size)
    return _Reference(slot, image, texture)


@functools.lru_cache(maxsize=16)
def _decode(path: str, _mtime_ns: int, _size: int) -> tuple[Image.Image, bool]:
    try:
        with Image.open(path, formats=_FORMATS) as opened:
            opened.draft(None, (_LONGEST, _LONGEST))
            image = ImageOps.exif_transpose(opened)
            image = _small(_to_rgb(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path}: {error}") from error
    except (SyntaxError, EOFError, struct.error) as error:  # how some decoders say "broken"
        raise OSError(f"{path}: {error}") from error
    return image, image.mode == "RGB" and _is_texture(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Turn any mode into RGB, or into RGBA when something can be seen through."""
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel: conversion would clip, so scale
        top = 65535.0 if image.mode.startswith("I") else 1e-6
        wide = image.convert("F")
        top = max(top, *(value for value in wide.getextrema() if not isinstance(value, tuple)))
        return wide.point(lambda value: value * (255 / top)).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    alpha = clear.getchannel("A")
    if not any(alpha.histogram()[:250]):
        return clear.convert("RGB")
    faded = alpha.point([max(0, round((v - 12) * 255 / 243)) for v in range(256)])
    box = faded.getbbox()  # without the faintest part of a shadow, and so without an edge where it is cut
    if box is None:  # nothing to be seen: a blank card says so
        return Image.new("RGB", clear.size, "white")
    clear.putalpha(faded)
    return clear.crop(box)


def _small(image: Image.Image) -> Image.Image:
    scale = _LONGEST / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _is_texture(image: Image.Image) -> bool:
    """Tell whether sixteen large patches hardly differ: in colour, or but for a sheen, with grain in each."""
    patches = image.resize((4, 4), Image.Resampling.BOX)
    if max(ImageStat.Stat(patches).stddev) < 11:
        return True
    light, *hues = ImageStat.Stat(patches.convert("YCbCr")).stddev
    close = image.convert("L").resize((256, 256), _FAST, reducing_gap=2.0)
    grain = ImageChops.difference(close, close.filter(ImageFilter.BoxBlur(8)))
    return light < 24 and max(hues) < 6.5 and ImageStat.Stat(grain).mean[0] > 3


def _placeholder(url: str) -> Image.Image:
    """Draw a card that names a remote image."""
    card = Image.new("RGB", (640, 480), (226, 225, 221))
    draw = ImageDraw.Draw(card)
    draw.line((0, 0, 640, 480), (214, 212, 207), 3)
    draw.line((0, 480, 640, 0), (214, 212, 207), 3)
    draw.rounded_rectangle((70, 165, 570, 315), 14, (236, 235, 231))
    parts = urlsplit(url)
    name = plain(PurePosixPath(parts.path).name) or "image"
    draw.text((320, 215), shorten(name, 460, font(40)), (70, 68, 64), font(40), anchor="mm")
    host = plain(parts.hostname or "") or "remote image"
    draw.text((320, 272), shorten(host, 460, font(28)), (130, 127, 121), font(28), anchor="mm")
    return card


# --- casting: which reference plays which part -----------------------------------------------------


def _cast(
    references: Sequence[_Reference], variant: int
) -> tuple[_Reference | None, list[_Reference], list[_Reference]]:
    """Tell what covers the table, what stands on it (the hero first) and what hangs on the wall."""
    cutouts = [reference for reference in references if reference.cutout]
    flat = [reference for reference in references if not reference.cutout]
    if not cutouts and flat:
        hero = next((reference for reference in flat if not reference.texture), flat[0])
        cutouts = [hero]
        flat.remove(hero)
    textures = [reference for reference in flat if reference.texture]
    cloth = textures[(variant - 1) % len(textures)] if textures else None
    return cloth, cutouts, [reference for reference in flat if reference is not cloth]


# --- the set: wall, table, light -------------------------------------------------------------------


def _set(stage: _Stage, cloth: _Reference | None) -> Image.Image:
    width, height, palette = stage.width, stage.height, stage.palette
    canvas = Image.new("RGB", (width, height), palette.wall)
    _draw_set_piece(canvas, stage)
    table = Image.new("RGB", (width, max(1, stage.floor)), palette.table)
    if cloth is not None:
        table = ImageOps.fit(cloth.image, table.size, _SMOOTH, centering=(0.5, 0.5))
    canvas.paste(table, (0, stage.horizon))
    scale = _SMALL / max(width, height)
    small = (max(2, round(width * scale)), max(2, round(height * scale)))
    shade = ImageOps.colorize(_falloff(stage, small), palette.shade, "white")
    canvas = ImageChops.multiply(canvas, shade.resize(canvas.size, _FAST))
    twice = (small[0] * 2, small[1] * 2)
    glow = ImageChops.multiply(_window(stage, twice), _falloff(stage, twice))
    tint = ImageOps.colorize(glow.point([v * 2 // 5 for v in range(256)]), "black", palette.light)
    canvas = ImageChops.screen(canvas, tint.resize(canvas.size, _SMOOTH))
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


def _draw_set_piece(canvas: Image.Image, stage: _Stage) -> None:
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


def _falloff(stage: _Stage, size: tuple[int, int]) -> Image.Image:
    """Map how much light falls where, 0 to 255: a pool on the light's side, the far corners in shade."""
    width, height = size
    pool = ImageOps.invert(Image.radial_gradient("L"))
    reach = (round(width * 2.5), round(height * 2.7))
    across = 0.5 + stage.light * 0.28
    light = Image.new("L", size, 0)
    light.paste(pool.resize(reach, _FAST), (round(width * across - reach[0] / 2), round(height * 0.42 - reach[1] / 2)))
    low = 100 * stage.ambient
    light = light.point([min(255, round(low + v * 0.8 * stage.ambient)) for v in range(256)])
    return ImageChops.multiply(light, _crease(stage, size))


def _crease(stage: _Stage, size: tuple[int, int]) -> Image.Image:
    """Map the soft dark where wall and table meet."""
    width, height = size
    horizon = round(stage.horizon * height / stage.height)
    crease = Image.new("L", size, 255)
    ramp = Image.linear_gradient("L")  # black above, white below
    for start, end, depth in ((0, horizon, 56), (horizon, round(horizon + (height - horizon) * 0.45), 46)):
        lift = ramp if start else ImageOps.flip(ramp)
        soft = lift.point([round(255 - depth * (1 - v / 255) ** 2) for v in range(256)])
        crease.paste(soft.resize((width, max(1, end - start)), _FAST), (0, start))
    return crease


def _window(stage: _Stage, size: tuple[int, int]) -> Image.Image:
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


def _draw_branch(draw: ImageDraw.ImageDraw, stage: _Stage, middle: Point, reach: float) -> None:
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


# --- layout ----------------------------------------------------------------------------------------


def _zones(stage: _Stage, prints: int) -> tuple[Box, Box]:
    """Where things stand (down to their feet) and where prints hang."""
    width, height = stage.width, stage.height
    foot = round(stage.horizon + stage.floor * 0.56)
    if not prints:
        return (round(width * 0.06), round(height * 0.1), round(width * 0.94), foot), (0, 0, 0, 0)
    if width >= height * 0.9:  # prints on the far side from the light, the hero beside them
        share = 0.3 if prints < 3 else 0.4
        stand, hang = (0.05, 0.95 - share), (0.95 - share, 0.95)
        if stage.light < 0:
            zone = (stand, hang)
        else:
            zone = ((1 - stand[1], 1 - stand[0]), (1 - hang[1], 1 - hang[0]))
        (a, b), (c, d) = zone
        low = round(stage.horizon - height * 0.04)
        return (round(a * width), round(height * 0.1), round(b * width), foot), (
            round(c * width),
            round(height * 0.06),
            round(d * width),
            low,
        )
    split = (0.28 if prints < 3 else 0.38) if height > width * 1.4 else 0.32
    return (round(width * 0.08), round(height * (split + 0.02)), round(width * 0.92), foot), (
        round(width * 0.08),
        round(height * 0.04),
        round(width * 0.92),
        round(height * split),
    )


def _fit(picture: Image.Image, width: float, height: float) -> Image.Image:
    """Scale a picture to lie inside a box, its shape kept."""
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, _SHARP if scale < 1 else _SMOOTH, reducing_gap=2.0)


def _arrange(stage: _Stage, standing: Sequence[_Reference], zone: Box) -> list[_Piece]:
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
    front = _Piece(hero.slot, hero_picture, centre, foot)
    return [*_companions(stage, others, zone, front), front]


def _companions(stage: _Stage, others: Sequence[_Reference], zone: Box, front: _Piece) -> list[_Piece]:
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
            pieces.append(_Piece(reference.slot, picture, place, stage.horizon + stage.floor * depth))
    return sorted(pieces, key=lambda piece: (piece.foot, piece.slot))


def _framed(reference: _Reference) -> Image.Image:
    return reference.image if reference.cutout else _bordered(reference.image)


def _bordered(picture: Image.Image) -> Image.Image:
    border = max(1, round(min(picture.size) * 0.045))
    return ImageOps.expand(picture, border, (251, 249, 245))


def _hang(stage: _Stage, prints: Sequence[_Reference], zone: Box) -> list[_Piece]:
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
        turned = ImageOps.expand(picture.convert("RGBA"), 2, (251, 249, 245, 0)).rotate(angle, _SMOOTH, expand=True)
        pieces.append(_Piece(reference.slot, turned, x, y + turned.height / 2))
    return pieces


# --- objects and their shadows ---------------------------------------------------------------------


def _shadow(canvas: Image.Image, colour: RGB, mask: Image.Image, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = (round(v) for v in box)
    size = (max(1, right - left), max(1, bottom - top))
    canvas.paste(colour, (left, top, left + size[0], top + size[1]), mask.resize(size, _FAST))


def _draw_print(canvas: Image.Image, stage: _Stage, piece: _Piece) -> None:
    picture, pad = piece.picture, 8
    scale = 96 / max(picture.size)
    small = picture.getchannel("A").resize([max(1, round(v * scale)) for v in picture.size], _FAST)
    mask = ImageOps.expand(small, pad, 0).filter(ImageFilter.GaussianBlur(2.2)).point([v * 2 // 5 for v in range(256)])
    reach = stage.unit * 0.007
    x, y, grow = piece.left - stage.light * reach, piece.top + reach * 1.3, pad / scale
    _shadow(
        canvas,
        stage.shadow,
        mask,
        (x - grow, y - grow, x + picture.width + grow, y + picture.height + grow),
    )
    canvas.paste(picture, (piece.left, piece.top), picture)


def _draw_standing(canvas: Image.Image, stage: _Stage, piece: _Piece) -> _Base:
    picture, alpha = piece.picture, piece.alpha
    outline = piece.outline(alpha)
    base = piece.base(outline)
    _draw_cast_shadow(canvas, stage, piece, outline, base)
    counts = alpha.histogram()
    if sum(counts[1:150]) < 0.06 * sum(counts[150:]):  # else the photo brings a shadow of its own
        _draw_contact(canvas, stage, base)
    lit = ImageChops.multiply(picture.convert("RGB"), _side_light(stage, picture.size))
    canvas.paste(lit, (piece.left, piece.top), alpha)
    return base


def _side_light(stage: _Stage, size: tuple[int, int]) -> Image.Image:
    """Shade an object as the set does: full light on one side, a little less on the far one."""
    ramp = Image.linear_gradient("L").rotate(90 if stage.light > 0 else -90).resize((32, 1), _FAST)
    soft = ramp.point([round((208 + v * 47 / 255) * (0.5 + stage.ambient / 2)) for v in range(256)])
    return Image.merge("RGB", (soft, soft, soft)).resize(size, _FAST)


def _draw_cast_shadow(canvas: Image.Image, stage: _Stage, piece: _Piece, outline: Image.Image, base: _Base) -> None:
    """Lay the object's outline on the table, away from the light, fading with distance."""
    scale = min(1.0, 120 / max(outline.size))
    width, height = (max(1, round(v * scale)) for v in outline.size)
    small = outline.resize((width, height), _FAST)
    room = 0.8 * (base.bottom - stage.horizon) / outline.height
    flat = min(0.3, max(0.02, room))  # the part of its height that the outline has, lying down
    lean, pad = 0.95 * -stage.light, 10
    tall = max(1, round(height * flat))
    spread = round(abs(lean) * height)
    out = (width + spread + 2 * pad, tall + 2 * pad)
    start = pad + (spread if lean < 0 else 0)
    foot = pad + tall
    matrix = (
        1,
        lean / flat,
        -start - lean * foot / flat,
        0,
        1 / flat,
        (base.bottom - piece.top) * scale - foot / flat,
    )
    laid = small.transform(out, Image.Transform.AFFINE, matrix, _FAST)
    fade = Image.linear_gradient("L").resize((out[0], tall), _FAST).point([40 + v // 3 for v in range(256)])
    ramp = Image.new("L", out, 125)
    ramp.paste(fade, (0, pad))
    mask = ImageChops.multiply(laid, ramp).filter(ImageFilter.GaussianBlur(2.6))
    lift = outline.width * 0.045
    x, y = piece.left - start / scale, base.bottom - lift - foot / scale
    _shadow(canvas, stage.shadow, mask, (x, y, x + out[0] / scale, y + out[1] / scale))


def _draw_contact(canvas: Image.Image, stage: _Stage, base: _Base) -> None:
    """Draw the dark line where an object meets the table."""
    mask = Image.new("L", (96, 24), 0)
    ImageDraw.Draw(mask).ellipse((12, 6, 84, 18), fill=190)
    mask = mask.filter(ImageFilter.GaussianBlur(3))
    wide = base.width * 1.08 * 96 / 72
    tall = max(3.0, min(wide * 0.16, stage.unit * 0.05))
    middle = base.centre - stage.light * base.width * 0.02
    y = base.bottom - tall * 0.66
    _shadow(canvas, stage.shadow, mask, (middle - wide / 2, y, middle + wide / 2, y + tall))


def _draw_markers(
    canvas: Image.Image,
    stage: _Stage,
    on_wall: Sequence[_Piece],
    on_table: Sequence[tuple[_Piece, _Base]],
    cloth: _Reference | None,
) -> None:
    radius = max(7.0, stage.unit * 0.0125)
    for piece in on_wall:
        right, bottom = piece.left + piece.picture.width, piece.top + piece.picture.height
        draw_marker(canvas, piece.slot, right - radius * 1.2, bottom - radius * 1.2, radius)
    for piece, base in on_table:
        draw_marker(canvas, piece.slot, base.centre, base.bottom + radius * 1.9, radius)
    if cloth is not None:
        edge = stage.width * 0.5 * (1 - 0.92 * stage.light)
        draw_marker(canvas, cloth.slot, edge, stage.horizon + stage.floor * 0.34, radius)
