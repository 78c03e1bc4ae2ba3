"""What is written on a proof: the PROOF mark with its label, the slot markers, the caption of an empty set."""

from __future__ import annotations

import functools
import math
import re
import unicodedata

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pipeline.proof.palettes import RGB, Palette

Box = tuple[int, int, int, int]
_INK = (28, 27, 26)
_PAPER = (252, 250, 247)


@functools.lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Load Pillow's own font, the same everywhere (basic layout: Raqm depends on the system's FriBiDi)."""
    built_in = ImageFont.load_default(size)
    if not isinstance(built_in, ImageFont.FreeTypeFont):
        raise ImportError("drawing a proof needs a Pillow with FreeType, as in its wheels")
    return built_in.font_variant(layout_engine=ImageFont.Layout.BASIC)


def plain(text: str) -> str:
    """Write the text in one line and in letters that the built-in font has (it knows no accents)."""
    apart = unicodedata.normalize("NFD", text.replace("\u00d7", "x").replace("ß", "ss").replace("—", "-"))
    letters = "".join(c for c in apart if not unicodedata.combining(c))
    known = "".join(c if c.isascii() or c in "·…\u2019“”" else "?" for c in letters)
    return " ".join("".join(c if c.isprintable() else " " for c in known).split())


def shorten(text: str, width: float, face: ImageFont.FreeTypeFont) -> str:
    """Leave out the middle of a text until it is at most ``width`` pixels long; may end up empty."""
    if face.getlength(text) <= width:
        return text
    low, high = 0, min(len(text), 400)  # how many characters may stay
    while low < high:
        keep = (low + high + 1) // 2
        low, high = (keep, high) if face.getlength(_middle_cut(text, keep)) <= width else (low, keep - 1)
    return _middle_cut(text, low) if low else ""


def _middle_cut(text: str, keep: int) -> str:
    head = keep // 2
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"


def draw_mark(canvas: Image.Image, label: str) -> None:
    """Draw a quiet pill at the lower left: PROOF and the label, shortened in its middle so that it fits."""
    unit = math.sqrt(canvas.width * canvas.height)
    face = font(max(9, round(unit * 0.0195)))
    size, margin = face.size, max(2, round(unit * 0.02))
    inside = canvas.width - 2 * margin - 1.6 * size
    name = plain(label)
    text = shorten(f"PROOF · {name}" if name else "PROOF", inside, face)
    width, height = round(face.getlength(text) + 1.6 * size), round(size * 2)
    pill = Image.new("L", (width * 2, height * 2), 0)
    ImageDraw.Draw(pill).rounded_rectangle((0, 0, width * 2 - 1, height * 2 - 1), height, fill=150)
    top = canvas.height - margin - height
    canvas.paste(_INK, (margin, top, margin + width, top + height), pill.resize((width, height)))
    ImageDraw.Draw(canvas).text((margin + 0.8 * size, top + height / 2), text, _PAPER, face, anchor="lm")


def draw_marker(canvas: Image.Image, slot: int, x: float, y: float, radius: float) -> None:
    """Draw a small numbered disc, legible on light and on dark, and kept on the canvas."""
    x = min(max(x, radius + 1), canvas.width - radius - 1)
    y = min(max(y, radius + 1), canvas.height - radius - 1)
    side = round(radius * 2)
    disc = Image.new("L", (side * 4, side * 4), 0)
    rim = disc.copy()
    ImageDraw.Draw(rim).ellipse((0, 0, side * 4 - 1, side * 4 - 1), fill=120)
    ImageDraw.Draw(disc).ellipse((4, 4, side * 4 - 5, side * 4 - 5), fill=225)
    box = (round(x - radius), round(y - radius), round(x - radius) + side, round(y - radius) + side)
    canvas.paste(_INK, box, rim.resize((side, side), Image.Resampling.BOX))
    canvas.paste(_PAPER, box, disc.resize((side, side), Image.Resampling.BOX))
    face = font(max(8, round(radius * 1.2)))
    ImageDraw.Draw(canvas).text((box[0] + side / 2, box[1] + side / 2), str(slot), _INK, face, anchor="mm")


def excerpt(text: str, most: int = 20) -> str:
    """Take the beginning of a text, at most so many words: whole sentences, else clauses, else words and a …."""
    words = text.split()
    if len(words) <= most:
        return text
    start = " ".join(words[:most])
    sentences = [found.end() for found in re.finditer(r"[.!?](?= |$)", start)]
    if sentences:
        return start[: sentences[-1]]
    clauses = [found.start() for found in re.finditer(r"[,;:](?= |$)| - ", start) if found.start() > len(start) // 4]
    return f"{start[: clauses[-1]] if clauses else start} …".replace(" …", "…")


def draw_caption(canvas: Image.Image, prompt: str, horizon: int, palette: Palette) -> None:
    """Write the beginning of a prompt without references, legibly, on the wall."""
    unit = math.sqrt(canvas.width * canvas.height)
    face = font(max(9, round(unit * 0.03)))
    for most in (22, 16, 12, 8):
        lines = _lines(excerpt(plain(prompt), most), canvas.width * 0.66, face)
        if len(lines) <= 4:
            break
    lines = [shorten(line, canvas.width * 0.8, face) for line in lines][:4]
    if not any(lines):
        return
    pitch, middle = face.size * 1.5, (canvas.width / 2, horizon * 0.5)
    wide, tall = max(face.getlength(line) for line in lines) / 2, len(lines) * pitch / 2
    box = (round(middle[0] - wide), round(middle[1] - tall), round(middle[0] + wide), round(middle[1] + tall))
    ink = _legible(canvas, box, round(face.size * 1.6), palette)
    for index, line in enumerate(lines):
        y = middle[1] + (index - (len(lines) - 1) / 2) * pitch
        ImageDraw.Draw(canvas).text((middle[0], y), line, ink, face, anchor="mm")


def _lines(text: str, width: float, face: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if face.getlength(longer) < width else [*lines, word]
    return [line for line in lines if line]


def _legible(canvas: Image.Image, box: Box, feather: int, palette: Palette) -> RGB:
    """Find an ink with a contrast of 4.5:1 all over a box; lay a soft veil there if none has."""
    left, top = max(0, box[0]), max(0, box[1])
    box = (left, top, max(left + 1, min(canvas.width, box[2])), max(top + 1, min(canvas.height, box[3])))
    red, green, blue = ((5 * shade + wall) // 6 for shade, wall in zip(palette.shade, palette.wall, strict=True))
    spots = _spots(canvas, box)
    tone = _PAPER if sum(luminance(spot) for spot in spots) > 0.18 * len(spots) else _INK
    wide, tall = box[2] - box[0] + 8 * feather, box[3] - box[1] + 8 * feather
    mask = Image.new("L", (-(-wide // 8), -(-tall // 8)), 0)
    edge = max(1, feather * 5 // 16)
    mask.paste(255, (edge, edge, mask.width - edge, mask.height - edge))
    mask = mask.filter(ImageFilter.GaussianBlur(feather / 9)).resize((wide, tall), Image.Resampling.BICUBIC)
    for veil in range(0, 256, 32):
        under = canvas.copy() if veil else canvas
        if veil:
            part = mask.point([v * veil // 255 for v in range(256)])
            under.paste(tone, (box[0] - 4 * feather, box[1] - 4 * feather), part)
            spots = _spots(under, box)
        for ink in ((red, green, blue), _PAPER, _INK):
            if all(contrast(ink, spot) >= 4.6 for spot in spots):
                if veil:
                    canvas.paste(under)
                return ink
    return _INK


def _spots(picture: Image.Image, box: Box) -> list[RGB]:
    """Sample the colours of 24 by 12 spots in a box."""
    raw = picture.resize((24, 12), Image.Resampling.BOX, box=box).tobytes()
    return [(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 3)]


def luminance(colour: RGB) -> float:
    """How bright a colour is, as WCAG counts it: 0 to 1."""
    red, green, blue = ((v / 255 / 12.92) if v < 11 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: RGB, other: RGB) -> float:
    """The contrast of two colours, as WCAG counts it: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
