"""The colours of a proof: curated palettes, and the words of a prompt that call for one of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

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
