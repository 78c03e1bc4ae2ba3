"""What is written on a proof: the PROOF mark with its label, the slot markers, the caption of an empty set."""

from __future__ import annotations

import functools
import math
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from pipeline.proof.palettes import Palette

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
    face = font(max(9, round(unit * 0.0145)))
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


def draw_caption(canvas: Image.Image, prompt: str, horizon: int, palette: Palette) -> None:
    """Write the first words of a prompt without references, quietly, on the wall."""
    unit = math.sqrt(canvas.width * canvas.height)
    face = font(max(9, round(unit * 0.03)))
    words, lines = plain(prompt).split()[:14], [""]
    cut = len(plain(prompt).split()) > len(words)
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if face.getlength(longer) < canvas.width * 0.6 else [*lines, word]
    lines = [shorten(line, canvas.width * 0.8, face) for line in lines if line][:4]
    if not lines:
        return
    lines[-1] += "…" if cut else ""
    ink = tuple((3 * shade + wall) // 4 for shade, wall in zip(palette.shade, palette.wall, strict=True))
    pitch = face.size * 1.5
    for index, line in enumerate(lines):
        y = horizon * 0.5 + (index - (len(lines) - 1) / 2) * pitch
        ImageDraw.Draw(canvas).text((canvas.width / 2, y), line, ink, face, anchor="mm")
