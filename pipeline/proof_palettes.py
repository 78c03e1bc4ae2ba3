"""What a proof is painted and written with.

Curated palettes and the words of a prompt that call for one of them; the slot markers, the PROOF mark
with its label, and the caption of an empty set.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one set: wall, table, the accent of the set piece, the tints of light and shade."""

    wall: RGB
    table: RGB
    accent: RGB
    light: RGB
    shade: RGB


def _rgb(hexes: str) -> Palette:
    wall, table, accent, light, shade = ((v >> 16, v >> 8 & 255, v & 255) for v in _numbers(hexes))
    return Palette(wall, table, accent, light, shade)


def _numbers(hexes: str) -> list[int]:
    return [int(word, 16) for word in hexes.split()]


# wall, table, accent, light, shade
PALETTES: dict[str, Palette] = {
    "plaster": _rgb("d8c6b1 c3a88b c9b096 fff0d8 5a4434"),
    "sage": _rgb("b7c0aa d9d3c3 9dac92 fff9e4 3b4536"),
    "dusk": _rgb("97a4b8 c3bdbb 7f8fa9 ffe3cb 2c3549"),
    "terracotta": _rgb("cc9378 e2c6ad b87b5f ffe7cd 55301f"),
    "linen": _rgb("e4dccd d5c8b3 d4c6af fff8e8 5c5243"),
    "slate": _rgb("868d91 a9aaa7 71797e f6f5ee 22272b"),
    "blush": _rgb("e2c6ba eee0d5 d2aa9b fff2e6 61413a"),
    "ochre": _rgb("d9b878 e9d7b0 c89d57 fff0c8 5b4018"),
    "oak": _rgb("e2d8c8 bb9469 cdbda4 fff3dc 4f3a25"),
    "walnut": _rgb("cbbca9 7d5b42 b8a58d ffe9cf 33221a"),
    "olive": _rgb("a6a681 d2caa9 8d8f68 fff6d2 36381f"),
    "sea": _rgb("a8c5c8 e6decb 8bb1b7 fffbea 2a464c"),
    "snow": _rgb("dde4e8 f0f2f2 c6d2da ffffff 46545f"),
    "night": _rgb("39445c 4a5066 4a5977 ffdca6 0d111d"),
    "meadow": _rgb("c9d3b4 91a673 acbd92 fffbd9 33411f"),
    "cobalt": _rgb("7f9bc4 d3d6dc 5f80b3 fff6e8 1f2d4a"),
    "berry": _rgb("b4706a e0bcae 984f4e ffe5d6 431c1e"),
    "lilac": _rgb("bdb2c7 e0d8de a496b3 fff3ee 3d3349"),
}

# The hour says more about a set than the scene does, and that more than colours, mostly the product's.
_HOURS = {
    "night": "night midnight moonlight candlelight candle",
    "dusk": "dusk evening twilight",
    "plaster": "morning dawn sunrise",
    "terracotta": "sunset evening",
}
_SCENES = {
    "linen": "linen cotton cloth napkin towel textile bedroom white cream minimal breakfast brunch",
    "plaster": "plaster kitchen clay warm bakery cafe café",
    "oak": "wood wooden oak timber board kitchen breakfast nordic scandinavian",
    "walnut": "walnut dark autumn fall library coffee whisky cabin harvest",
    "slate": "slate stone concrete grey gray industrial studio urban rain steel",
    "snow": "snow winter ice frost marble christmas bathroom spa clean",
    "night": "dark moon bar cinema evening",
    "dusk": "rain winter dawn fog mist",
    "terracotta": "sunset terracotta autumn desert mediterranean tuscan clay harvest",
    "ochre": "autumn summer golden sunset honey harvest sun straw mustard",
    "meadow": "picnic garden grass meadow spring park lawn orchard terrace outdoor",
    "sage": "garden spring herb herbs balcony plant botanical leaves greenhouse eucalyptus",
    "olive": "olive forest moss camping picnic grove",
    "sea": "sea beach ocean coast coastal summer sand pool lake harbour harbor",
    "blush": "spring romantic wedding rose petal petals valentine beauty",
    "lilac": "lavender lilac provence violet dream perfume",
    "berry": "berry berries festive christmas velvet wine",
    "cobalt": "greek santorini sky tiles majolica",
}
_COLOURS = {
    "berry": "red crimson scarlet burgundy",
    "cobalt": "blue cobalt indigo navy",
    "sage": "green mint",
    "olive": "khaki",
    "ochre": "yellow gold amber",
    "terracotta": "orange rust copper brick",
    "blush": "pink rosé peach",
    "lilac": "purple plum mauve",
    "sea": "teal turquoise aqua",
    "slate": "black charcoal silver",
    "walnut": "brown chocolate",
    "linen": "beige ivory natural",
}


def _votes() -> dict[str, tuple[tuple[str, int], ...]]:
    votes: dict[str, tuple[tuple[str, int], ...]] = {}
    for table, weight in ((_HOURS, 4), (_SCENES, 3), (_COLOURS, 1)):
        for name, words in table.items():
            for word in words.split():
                votes[word] = (*votes.get(word, ()), (name, weight))
    return votes


_VOTES = _votes()


def choose(prompt: str, turn: int) -> Palette:
    """Choose the palette for a prompt; ``turn`` 0, 1, 2 … walks through all that its words allow.

    A prompt with none of the known words takes one of the quiet palettes by its hash.
    """
    scores: dict[str, int] = {}
    for word in re.findall(r"\w+", prompt.lower()):
        for name, weight in _VOTES.get(word, ()):
            scores[name] = scores.get(name, 0) + weight
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass"))
    order = sorted(PALETTES, key=lambda name: hashlib.sha256(digest.digest() + name.encode()).digest())
    if not scores:
        order = [name for name in order if name not in ("night", "berry", "cobalt")]
        return PALETTES[order[turn % len(order)]]
    # The best match first; then the other matches, and at least two that are near it in colour.
    ranked = sorted(scores, key=lambda name: (-scores[name], order.index(name)))
    best = PALETTES[ranked[0]].wall
    near = sorted(order, key=lambda name: sum(abs(a - b) for a, b in zip(best, PALETTES[name].wall, strict=True)))
    ranked += [name for name in near if name not in scores][: max(0, 3 - len(ranked))]
    return PALETTES[ranked[turn % len(ranked)]]


# --- ink -------------------------------------------------------------------------------------------

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
