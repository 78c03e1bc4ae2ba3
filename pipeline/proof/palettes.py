"""The colours of a proof: curated palettes, and the words of a prompt that call for one of them.

The hour decides, then a wall that is given a colour, then a neutral studio, then the scene. Any other colour is
taken for the product's: it tints the accent of an otherwise undecided set.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

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
    "chalk": _rgb("e3e1dc d3d0ca cfccc6 fffdf7 4c4945"),
    "stone": _rgb("cbc6be b7b1a8 b9b3a9 fff8ec 47413a"),
    "fog": _rgb("c1c7ca b3b6b6 adb5b9 f7fafb 3a4247"),
    "straw": _rgb("e8d8b6 d0b990 d9c398 fff3d0 5c4828"),
    "dawn": _rgb("d2c8cf d9cdc6 bfb3bf ffe6d2 443b4b"),
    "apricot": _rgb("dcab88 e6cbb0 c8906b ffe4bd 5a3522"),
    "gloam": _rgb("9590a6 b9b2b4 817b95 ffdfc4 2d2a3d"),
    "indigo": _rgb("72809d a5a6ae 606f8f ffddb8 202a40"),
    "ember": _rgb("55443a 63503f 6b5444 ffd09a 150d08"),
    "charcoal": _rgb("46464a 57544f 58585e ffe0b4 111113"),
}

# An hour (or a light): its palettes; the words that name it; the words that only suggest it.
_HOURS = {
    "dawn": ("dawn blush plaster", "dawn,daybreak,sunrise,first light", ""),
    "morning": ("plaster linen straw", "morning", "breakfast,brunch"),
    "noon": ("chalk linen straw sage stone", "noon,midday", "lunch,sunlit,sunny"),
    "afternoon": ("straw plaster oak", "afternoon", "teatime"),
    "sunset": ("terracotta apricot ochre", "sunset,sundown,golden hour", ""),
    "dusk": ("dusk gloam indigo", "dusk,evening,twilight,nightfall,blue hour", "dinner"),
    "night": (
        "night ember charcoal",
        "night,midnight,moonlight,moonlit,candlelight,candlelit,after dark",
        "supper,candle,darkness,lamplight,moon,cinema",
    ),
    "rain": ("fog slate stone", "", "rain,rainy,fog,foggy,mist,misty,overcast,drizzle"),
}
_NEUTRAL = ("chalk stone fog linen", "studio,neutral,seamless,catalogue,catalog,packshot,softbox,infinity cove")
_SCENES = {
    "linen": "linen,cotton,cloth,napkin,towel,textile,bedroom,minimal,laundry",
    "plaster": "plaster,kitchen,clay,warm,bakery,cafe,café,terrace,courtyard",
    "oak": "wood,wooden,oak,timber,board,boards,kitchen,nordic,scandinavian",
    "walnut": "walnut,autumn,fall,library,coffee,whisky,cabin,harvest,mantelpiece,hearth,dark wood,dark wooden",
    "slate": "slate,stone,concrete,industrial,urban,steel",
    "snow": "snow,snowy,winter,ice,frost,marble,christmas,bathroom,spa,clean",
    "terracotta": "terracotta,autumn,desert,mediterranean,tuscan,clay,harvest,terrace",
    "ochre": "autumn,summer,golden,honey,harvest,sun,straw,mustard",
    "meadow": "picnic,garden,grass,meadow,spring,park,lawn,orchard",
    "sage": "garden,spring,herb,herbs,balcony,plant,botanical,leaves,greenhouse,eucalyptus",
    "olive": "olive,forest,moss,camping,picnic,grove",
    "sea": "sea,beach,ocean,coast,coastal,summer,pool,lake,harbour,harbor",
    "straw": "sand,terrace,dune,wheat",
    "blush": "spring,romantic,wedding,rose,petal,petals,valentine,beauty",
    "lilac": "lavender,lilac,provence,violet,dream,perfume",
    "berry": "berry,berries,festive,christmas,velvet,wine",
    "cobalt": "greek,santorini,sky,tiles,majolica",
}
# The palettes of a wall in that colour.
_COLOURS = {
    "berry": "red,crimson,scarlet,burgundy",
    "cobalt dusk": "blue,cobalt,indigo,navy",
    "sage olive": "green,mint,khaki",
    "ochre straw": "yellow,gold,amber,ochre",
    "terracotta apricot": "orange,rust,copper,brick,terracotta",
    "blush": "pink,rosé,peach",
    "lilac": "purple,plum,mauve,lilac",
    "sea": "teal,turquoise,aqua",
    "slate fog": "grey,gray,silver",
    "charcoal": "black,charcoal",
    "walnut oak": "brown,chocolate",
    "chalk linen": "white,cream,beige,ivory",
}
# What a prompt without any of these words is painted in, by its hash.
_QUIET = "plaster sage linen oak stone blush chalk straw fog walnut"

_COLOUR = {word: names.split() for names, words in _COLOURS.items() for word in words.split(",")}
_ANY = "|".join(_COLOUR)
_WALL = "wall|background|backdrop|room"
_WALLS = re.compile(
    rf"\b({_ANY})(?:[ -]\w+)? (?:{_WALL})s?\b"
    rf"|\b(?:{_WALL})s?(?: (?:is|are|in|of|painted|an?|deep|pale|dark|light|soft|warm|cool|muted))* ({_ANY})\b"
)


def choose(prompt: str, turn: int) -> Palette:
    """Choose the palette for a prompt; ``turn`` 0, 1, 2 … walks through all that fit it, and no others."""
    text = " ".join(prompt.lower().split())
    wall = [name for found in _WALLS.findall(text) for name in _COLOUR[found[0] or found[1]]]
    scenes = {name: _count(text, words) for name, words in _SCENES.items()}
    hour = _hour(text)
    if hour or (not wall and _count(text, _NEUTRAL[1])):
        fitting = sorted((hour or _NEUTRAL[0]).split(), key=lambda name: (name not in wall, -scenes.get(name, 0)))
    elif wall:
        fitting = list(dict.fromkeys(wall))
    elif any(scenes.values()):
        fitting = _of_scene(scenes)
    else:
        digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
        fitting = sorted(_QUIET.split(), key=lambda name: hashlib.sha256(digest + name.encode()).digest())
        wall = [names[0] for word, names in _COLOUR.items() if _count(text, word)]  # the product's colour
    palette = PALETTES[fitting[turn % len(fitting)]]
    if not wall or set(wall) & set(fitting):
        return palette
    red, green, blue = ((2 * a + b) // 3 for a, b in zip(palette.accent, PALETTES[wall[0]].accent, strict=True))
    return replace(palette, accent=(red, green, blue))


def _count(text: str, words: str) -> int:
    """How often any of the words stands in the text, in the singular or the plural."""
    return len(re.findall(rf"\b(?:{words.replace(',', '|')})s?\b", text)) if words else 0


def _hour(text: str) -> str:
    """Name the palettes of the hour that is named most often (the first of equals), else of one suggested."""
    for kind in (1, 2):
        counts = {hour[0]: _count(text, hour[kind]) for hour in _HOURS.values()}
        if most := max(counts.values()):
            words = {hour[0]: hour[kind].replace(",", "|") for hour in _HOURS.values() if counts[hour[0]] == most}
            found = {names: re.search(rf"\b(?:{any_of})s?\b", text) for names, any_of in words.items()}
            return min(found, key=lambda names: match.start() if (match := found[names]) else len(text))
    return ""


def _of_scene(scenes: dict[str, int]) -> list[str]:
    """Order the palettes of a scene: the best match, then what is as bright, first of those that match too."""
    named = sorted((name for name in scenes if scenes[name]), key=lambda name: -scenes[name])
    best = PALETTES[named[0]].wall
    apart = {name: [abs(a - b) for a, b in zip(best, PALETTES[name].wall, strict=True)] for name in _QUIET.split()}
    near = sorted((name for name in _QUIET.split() if sum(apart[name]) < 130), key=lambda name: sum(apart[name]))
    also = [name for name in named if abs(sum(best) - sum(PALETTES[name].wall)) < 150]
    return list(dict.fromkeys([*also, *near]))[: max(3, len(also))]
