"""The objects of a proof: prints on the wall and things on the table, each with its shadow and its number."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from pipeline.proof.backdrop import Stage
from pipeline.proof.images import FAST, Reference
from pipeline.proof.ink import draw_marker
from pipeline.proof.layout import Base, Piece
from pipeline.proof.palettes import RGB

_WEAK = [v * 170 // 255 for v in range(256)]  # what is left of a photo's own shadow


def _shadow(canvas: Image.Image, colour: RGB, mask: Image.Image, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = (round(v) for v in box)
    size = (max(1, right - left), max(1, bottom - top))
    canvas.paste(colour, (left, top, left + size[0], top + size[1]), mask.resize(size, FAST))


def draw_print(canvas: Image.Image, stage: Stage, piece: Piece) -> None:
    """Draw a print on the wall, with its soft shadow."""
    picture, pad = piece.picture, 8
    scale = 96 / max(picture.size)
    small = picture.getchannel("A").resize([max(1, round(v * scale)) for v in picture.size], FAST)
    mask = ImageOps.expand(small, pad, 0).filter(ImageFilter.GaussianBlur(2.2)).point([v * 2 // 5 for v in range(256)])
    reach = stage.unit * 0.007
    x, y, grow = piece.left - stage.light * reach, piece.top + reach * 1.3, pad / scale
    box = (x - grow, y - grow, x + picture.width + grow, y + picture.height + grow)
    _shadow(canvas, stage.shadow, mask, box)
    canvas.paste(picture, (piece.left, piece.top), picture)


def draw_standing(canvas: Image.Image, stage: Stage, piece: Piece) -> Base:
    """Draw an object on the table, with its shadows and in the light of the set; tell where its foot is."""
    picture, body, soft = piece.picture, piece.alpha, piece.own_shadow
    if soft:
        body = ImageChops.subtract(body, soft)
    outline = piece.outline(body)
    base = piece.base(outline)
    _draw_cast_shadow(canvas, stage, piece, outline, base)
    if soft:
        _draw_own_shadow(canvas, stage, piece, soft, base)
    _draw_contact(canvas, stage, base)
    lit = ImageChops.multiply(picture.convert("RGB"), _side_light(stage, picture.size))
    canvas.paste(lit, (piece.left, piece.top), body)
    return base


def _draw_own_shadow(canvas: Image.Image, stage: Stage, piece: Piece, soft: Image.Image, base: Base) -> None:
    """Draw the shadow of the photo, weaker, and gone soon below the foot: seen from above, it would float."""
    width, height = soft.size
    foot = min(height, max(1, base.bottom - piece.top))
    reach = max(2, round(width * 0.07))
    fade = Image.new("L", (1, height), 0)
    fade.paste(170, (0, 0, 1, foot))
    fade.paste(ImageOps.flip(Image.linear_gradient("L")).resize((1, reach), FAST).point(_WEAK), (0, foot))
    mask = ImageChops.multiply(soft, fade.resize(soft.size))
    canvas.paste(stage.shadow, (piece.left, piece.top), mask)


def _side_light(stage: Stage, size: tuple[int, int]) -> Image.Image:
    """Shade an object as the set does: full light on one side, a little less on the far one."""
    ramp = Image.linear_gradient("L").rotate(90 if stage.light > 0 else -90).resize((32, 1), FAST)
    soft = ramp.point([round((208 + v * 47 / 255) * (0.3 + stage.ambient * 0.7)) for v in range(256)])
    return Image.merge("RGB", (soft, soft, soft)).resize(size, FAST)


def _draw_cast_shadow(canvas: Image.Image, stage: Stage, piece: Piece, outline: Image.Image, base: Base) -> None:
    """Lay the object's outline on the table, away from the light, fading with distance."""
    scale = min(1.0, 120 / max(outline.size))
    width, height = (max(1, round(v * scale)) for v in outline.size)
    small = outline.resize((width, height), FAST)
    room = 0.8 * (base.bottom - stage.horizon) / outline.height
    flat = min(0.3, max(0.02, room))  # the part of its height that the outline has, lying down
    lean, pad = 0.95 * -stage.light, 10
    tall = max(1, round(height * flat))
    spread = round(abs(lean) * height)
    out = (width + spread + 2 * pad, tall + 2 * pad)
    start = pad + (spread if lean < 0 else 0)
    foot = pad + tall
    rise = (base.bottom - piece.top) * scale - foot / flat
    matrix = (1, lean / flat, -start - lean * foot / flat, 0, 1 / flat, rise)
    laid = small.transform(out, Image.Transform.AFFINE, matrix, FAST)
    fade = Image.linear_gradient("L").resize((out[0], tall), FAST).point([40 + v // 3 for v in range(256)])
    ramp = Image.new("L", out, 125)
    ramp.paste(fade, (0, pad))
    mask = ImageChops.multiply(laid, ramp).filter(ImageFilter.GaussianBlur(2.6))
    lift = outline.width * 0.045
    x, y = piece.left - start / scale, base.bottom - lift - foot / scale
    _shadow(canvas, stage.shadow, mask, (x, y, x + out[0] / scale, y + out[1] / scale))


def _draw_contact(canvas: Image.Image, stage: Stage, base: Base) -> None:
    """Draw the dark line where an object meets the table."""
    mask = Image.new("L", (96, 24), 0)
    ImageDraw.Draw(mask).ellipse((12, 6, 84, 18), fill=190)
    mask = mask.filter(ImageFilter.GaussianBlur(3))
    wide = base.width * 1.08 * 96 / 72
    tall = max(3.0, min(wide * 0.16, stage.unit * 0.05))
    middle = base.centre - stage.light * base.width * 0.02
    y = base.bottom - tall * 0.66
    _shadow(canvas, stage.shadow, mask, (middle - wide / 2, y, middle + wide / 2, y + tall))


def draw_markers(
    canvas: Image.Image,
    stage: Stage,
    on_wall: Sequence[Piece],
    on_table: Sequence[tuple[Piece, Base]],
    cloth: Reference | None,
) -> None:
    """Number what is shown: prints in their corner, objects at their foot, the cloth on the table's edge."""
    radius = _radius(stage)
    for piece in on_wall:
        right, bottom = piece.left + piece.picture.width, piece.top + piece.picture.height
        draw_marker(canvas, piece.slot, right - radius * 1.2, bottom - radius * 1.2, radius)
    for piece, base in on_table:
        draw_marker(canvas, piece.slot, base.centre, base.bottom + radius * 1.9, radius)
    if cloth is not None:
        edge = stage.width * 0.5 * (1 - 0.92 * stage.light)
        draw_marker(canvas, cloth.slot, edge, stage.horizon + stage.floor * 0.34, radius)


def draw_slot(canvas: Image.Image, stage: Stage, slot: int, at: tuple[float, float]) -> None:
    """Number one spot of the set."""
    draw_marker(canvas, slot, at[0], at[1], _radius(stage))


def _radius(stage: Stage) -> float:
    return max(7.0, stage.unit * 0.017)
