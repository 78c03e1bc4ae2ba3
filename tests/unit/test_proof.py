from __future__ import annotations

import hashlib
import os
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from pipeline.proof import Proof, render
from pipeline.proof.images import load
from pipeline.proof.ink import contrast, draw_caption, excerpt, font, plain, shorten
from pipeline.proof.layout import cast
from pipeline.proof.palettes import PALETTES, choose

SIZES = [
    *[
        (1024, 1024),
        (1248, 832),
        (832, 1248),
        (1168, 880),
        (880, 1168),
        (1360, 768),
        (768, 1360),
        (1552, 656),
    ],
    *[(2048, 2048), (2496, 1664), (1664, 2496), (2336, 1760), (1760, 2336), (2720, 1536), (1536, 2720)],
    (3104, 1312),
]  # gateways.md §5.2
MAGENTA = (230, 10, 200)


def make_cutout(path: Path, colour: tuple[int, int, int] = MAGENTA, size: tuple[int, int] = (120, 160)) -> Path:
    """Save a block of one colour in the middle of a transparent picture."""
    image = Image.new("RGBA", (size[0] + 60, size[1] + 80))
    image.paste((*colour, 255), (30, 40, 30 + size[0], 40 + size[1]))
    image.save(path)
    return path


def make_photo(path: Path) -> Path:
    """Save a picture whose four corners can be told apart."""
    image = Image.new("RGB", (160, 90), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 60, 40), fill=(200, 30, 40))
    draw.rectangle((100, 50, 159, 89), fill=(30, 60, 190))
    image.save(path)
    return path


def make_cloth(path: Path, colour: tuple[int, int, int] = (40, 190, 60)) -> Path:
    """Save an even surface."""
    Image.new("RGB", (200, 200), colour).save(path)
    return path


@pytest.fixture
def proof(tmp_path: Path) -> Proof:
    """Make a small proof with an object and a photo."""
    sources = (str(make_cutout(tmp_path / "mug.png")), str(make_photo(tmp_path / "photo.png")))
    return Proof("Place @Image1 beside @Image2, calm", sources, 416, 240, variant=1, take=1, label="mug/table/v1")


def same(first: Image.Image, second: Image.Image) -> bool:
    """Compare every pixel."""
    return first.size == second.size and first.tobytes() == second.tobytes()


def worst(first: Image.Image, second: Image.Image) -> int:
    """Measure the largest difference of any channel of any pixel."""
    return max(high for _, high in ImageChops.difference(first, second).getextrema())


def share_changed(first: Image.Image, second: Image.Image) -> float:
    """Which part of the pixels differs visibly."""
    difference = ImageChops.difference(first, second).convert("L")
    return sum(difference.histogram()[6:]) / (first.width * first.height)


def magenta_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Find the block of ``make_cutout`` in a proof."""
    red, green, _ = image.split()
    box = ImageChops.subtract(red, green).point([255 if v > 110 else 0 for v in range(256)]).getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_size_is_exact(proof: Proof, size: tuple[int, int]):
    """Every size that a gateway makes is drawn to the pixel, in RGB."""
    image = render(replace(proof, width=size[0], height=size[1]))
    assert (image.size, image.mode) == (size, "RGB")


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (40, 40)])
def test_tiny_sizes(proof: Proof, size: tuple[int, int]):
    """A picture too small to show anything is still drawn."""
    assert render(replace(proof, width=size[0], height=size[1])).size == size


def test_no_pixels_is_refused(proof: Proof):
    """A size without pixels is named in the error."""
    with pytest.raises(ValueError, match="0x240"):
        render(replace(proof, width=0))


def test_same_in_another_process(proof: Proof):
    """Another process with another hash seed draws the same pixels from the pickled proof."""
    code = (
        "import sys, pickle, hashlib; from pipeline.proof import render;"
        "print(hashlib.sha256(render(pickle.load(sys.stdin.buffer)).tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=pickle.dumps(proof),
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
        for seed in ("1", "2")
    }
    assert digests == {hashlib.sha256(render(proof).tobytes()).hexdigest()}


def test_same_from_many_threads(proof: Proof):
    """Threads that share the decoded references draw what one thread draws."""
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(render, [replace(proof, variant=n % 2 + 1) for n in range(12)]))
    alone = [render(replace(proof, variant=n)).tobytes() for n in (1, 2)]
    assert [image.tobytes() for image in images] == alone * 6


def test_label_changes_only_the_mark(proof: Proof):
    """The label is drawn in the strip at the bottom and influences nothing above it."""
    left, top, right, bottom = ImageChops.difference(
        render(proof), render(replace(proof, label="bowl/shelf/v2"))
    ).getbbox() or (0, 0, 0, 0)
    assert right > left
    assert top > proof.height * 0.85
    assert bottom < proof.height


def test_long_label_fits(proof: Proof):
    """A label that is too long loses its middle and stays inside the picture, its end still there."""
    short, long = render(replace(proof, label="")), render(replace(proof, label="x" * 5000))
    box = ImageChops.difference(short, long).getbbox()
    assert box is not None
    assert proof.width * 0.8 < box[2] < proof.width
    text = shorten("PROOF · enamel-blue/table/breakfast-table/16x9/1K/v1", 200, font(15))
    assert text.startswith("PROOF · ")
    assert text.endswith("/1K/v1")
    assert "…" in text
    assert font(15).getlength(text) <= 200


def test_plain_text_has_only_known_letters():
    """Accents are dropped, line breaks are spaces, and what the font has not becomes a question mark."""
    assert plain("Crème\n brûlée \x00中\u00d72…") == "Creme brulee ?x2…"


@pytest.mark.parametrize("change", [{"variant": 2}, {"variant": 3}, {"take": 2}, {"prompt": "A night in autumn"}])
def test_determinants_change_the_picture(proof: Proof, change: dict[str, object]):
    """Another variant, take or prompt is another picture at first sight."""
    assert share_changed(render(proof), render(replace(proof, **change))) > 0.3


def test_variants_move_the_light(proof: Proof):
    """The next variant is lit from the other side."""

    def brighter_on_the_left(image: Image.Image) -> bool:
        half = image.width // 2
        left, right = image.crop((0, 0, half, 60)), image.crop((half, 0, image.width, 60))
        return sum(left.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))) > sum(
            right.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )

    bare = replace(proof, references=())
    sides = [brighter_on_the_left(render(replace(bare, variant=n))) for n in (1, 2, 3, 4)]
    assert sides in ([True, False] * 2, [False, True] * 2)


def test_reference_bytes_change_the_picture(proof: Proof, tmp_path: Path):
    """A reference overwritten in place is drawn anew, not from the cache."""
    before = render(proof)
    make_cutout(tmp_path / "mug.png", colour=(20, 200, 210), size=(121, 160))
    assert share_changed(before, render(proof)) > 0.02


def test_reference_path_does_not_matter(proof: Proof, tmp_path: Path):
    """The same bytes under another name give the same pixels."""
    other = tmp_path / "renamed.png"
    other.write_bytes((tmp_path / "mug.png").read_bytes())
    assert same(render(proof), render(replace(proof, references=(str(other), proof.references[1]))))


def test_without_references_the_prompt_is_the_caption(proof: Proof):
    """An empty set shows the first words of the prompt; the words beyond do not fit and are not drawn."""
    bare = replace(proof, references=(), prompt="")
    captioned = replace(bare, prompt="One two three")
    assert same(render(bare), render(bare))
    assert share_changed(render(bare), render(captioned)) > 0.01


@pytest.mark.parametrize("size", [(416, 240), (240, 416), (640, 272), (300, 300)])
@pytest.mark.parametrize("kinds", ["cutouts", "photos", "urls", "mixed"])
def test_ten_references(tmp_path: Path, size: tuple[int, int], kinds: str):
    """Ten references of any kind are all drawn, in any shape of picture: leaving one out shows."""
    cutout, photo = str(make_cutout(tmp_path / "a.png")), str(make_photo(tmp_path / "b.png"))
    cloth, url = str(make_cloth(tmp_path / "c.png")), "https://cdn.example/d.png"
    sources = {
        "cutouts": (cutout,) * 10,
        "photos": (photo,) * 10,
        "urls": (url,) * 10,
        "mixed": (cutout, photo, cloth, url, cutout, photo, cloth, url, cutout, photo),
    }[kinds]
    ten = Proof("ten things", sources, *size, variant=1, take=1, label="x")
    image = render(ten)
    assert image.size == size
    assert not same(image, render(replace(ten, references=sources[:9])))


@pytest.mark.parametrize("block", [(400, 100), (100, 400), (200, 200)])
@pytest.mark.parametrize("size", [(768, 1360), (1552, 656)])
def test_aspect_ratio_is_kept(tmp_path: Path, block: tuple[int, int], size: tuple[int, int]):
    """A reference is never stretched, and its transparent margin is not drawn."""
    source = str(make_cutout(tmp_path / "block.png", size=block))
    left, top, right, bottom = magenta_box(render(Proof("plain", (source,), *size, variant=1, take=1, label="")))
    assert (right - left) / (bottom - top) == pytest.approx(block[0] / block[1], rel=0.03)
    assert max((right - left) / size[0], (bottom - top) / size[1]) > 0.35


def test_texture_covers_the_table(tmp_path: Path):
    """A surface without features lies under the object from edge to edge."""
    mug, cloth = make_cutout(tmp_path / "mug.png"), make_cloth(tmp_path / "cloth.png")
    image = render(Proof("plain", (str(mug), str(cloth)), 416, 240, variant=1, take=1, label=""))
    for x in (3, 120, 412):
        red, green, blue = image.getpixel((x, 215))
        assert green > red + 60
        assert green > blue + 60


def with_reference(proof: Proof, image: Image.Image, path: Path, **options: object) -> Image.Image:
    """Draw a proof of one image, saved as ``path``."""
    image.save(path, **options)
    return render(replace(proof, references=(str(path),)))


def test_sixteen_bits(proof: Proof, tmp_path: Path):
    """A 16-bit greyscale picture looks like its 8-bit version."""
    grey = Image.linear_gradient("L")
    deep = Image.frombytes("I;16", grey.size, b"".join(bytes((v, v)) for v in grey.tobytes()))
    expected = with_reference(proof, grey, tmp_path / "8.png")
    assert worst(expected, with_reference(proof, deep, tmp_path / "16.png")) <= 2
    assert share_changed(expected, with_reference(proof, Image.new("L", (256, 256)), tmp_path / "black.png")) > 0.05


def test_grey_palette_and_bilevel(proof: Proof, tmp_path: Path):
    """Greyscale, palette and bilevel pictures look like the same picture in RGB."""
    grey = Image.new("L", (90, 60), 0)
    grey.paste(255, (10, 10, 50, 30))
    expected = with_reference(proof, grey.convert("RGB"), tmp_path / "rgb.png")
    for mode in ("L", "P", "1"):
        assert same(expected, with_reference(proof, grey.convert(mode), tmp_path / f"{mode}.png"))


def test_transparency_of_every_kind(proof: Proof, tmp_path: Path):
    """Grey with alpha and a palette with a transparent index are cut-outs like RGBA."""
    grey = Image.new("LA", (90, 60), (0, 0))
    grey.paste((140, 255), (10, 10, 50, 50))
    expected = with_reference(proof, grey.convert("RGBA"), tmp_path / "rgba.png")
    assert same(expected, with_reference(proof, grey, tmp_path / "la.png"))
    indexed = Image.new("P", (90, 60), 0)
    indexed.putpalette([0, 0, 0, 140, 140, 140])
    indexed.paste(1, (10, 10, 50, 50))
    assert same(expected, with_reference(proof, indexed, tmp_path / "p.png", transparency=0))
    assert not same(expected, with_reference(proof, indexed, tmp_path / "opaque.png"))


def test_nothing_visible_is_a_blank_card(proof: Proof, tmp_path: Path):
    """A reference that is transparent all over is shown as an empty print."""
    clear = with_reference(proof, Image.new("RGBA", (90, 60)), tmp_path / "clear.png")
    assert same(clear, with_reference(proof, Image.new("RGB", (90, 60), "white"), tmp_path / "white.png"))


def test_cmyk(proof: Proof, tmp_path: Path):
    """A CMYK picture is drawn in the colours Pillow converts it to."""
    ink = Image.new("CMYK", (90, 60), (0, 200, 180, 10))
    expected = with_reference(proof, ink.convert("RGB"), tmp_path / "rgb.png")
    assert same(expected, with_reference(proof, ink, tmp_path / "cmyk.tif"))
    jpeg = with_reference(proof, ink, tmp_path / "cmyk.jpg", quality=100)
    assert worst(expected, jpeg) <= 6


def test_exif_orientation(proof: Proof, tmp_path: Path):
    """A picture stored lying on its side is drawn upright."""
    with Image.open(make_photo(tmp_path / "upright.png")) as photo:
        photo.load()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90° clockwise to view
    lying = photo.transpose(Image.Transpose.ROTATE_90)
    expected = render(replace(proof, references=(str(tmp_path / "upright.png"),)))
    assert same(expected, with_reference(proof, lying, tmp_path / "exif.png", exif=exif))
    assert not same(expected, with_reference(proof, lying, tmp_path / "lying.png"))


def test_huge_reference_is_made_small_first(proof: Proof, tmp_path: Path):
    """A photo of 24 megapixels is drawn much like a small copy of it."""
    small = Image.radial_gradient("L").convert("RGB")
    expected = with_reference(proof, small, tmp_path / "small.jpg", quality=95)
    big = with_reference(proof, small.resize((6000, 4000)).resize((4900, 4900)), tmp_path / "big.jpg", quality=90)
    assert share_changed(expected, big) < 0.02


def test_missing_reference_raises(proof: Proof, tmp_path: Path):
    """A reference that is gone is an error that names its path."""
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        render(replace(proof, references=(str(tmp_path / "gone.png"),)))


@pytest.mark.parametrize("cut", [0, 20, 300])
def test_broken_reference_raises(proof: Proof, tmp_path: Path, cut: int):
    """An empty, a garbled and a half-written file are errors, never half a proof."""
    path = tmp_path / "broken.png"
    Image.effect_noise((64, 64), 40).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises((OSError, ValueError)):
        render(replace(proof, references=(str(path),)))


def test_format_that_is_no_picture_raises(proof: Proof, tmp_path: Path):
    """A document is not taken for a picture, whatever decoders Pillow has."""
    path = tmp_path / "page.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(OSError, match="cannot identify"):
        render(replace(proof, references=(str(path),)))


def test_decompression_bomb_raises(proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """More pixels than Pillow allows is a ValueError that names the file."""
    path = make_photo(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb\.png"):
        render(replace(proof, references=(str(path),)))


def test_url_is_never_fetched(proof: Proof, monkeypatch: pytest.MonkeyPatch):
    """A URL becomes a card with its file name on it, and no socket is opened."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a proof opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    first = render(replace(proof, references=("https://cdn.example/a/mug-front.png?token=secret",)))
    assert same(first, render(replace(proof, references=("HTTPS://cdn.example/b/mug-front.png",))))
    assert not same(first, render(replace(proof, references=("https://cdn.example/a/bowl.png",))))


def test_markers_show_the_slot(proof: Proof):
    """The same picture in another slot carries another number."""
    mug, photo = proof.references
    two, three = (photo, mug, photo), (photo, photo, mug)
    images = [render(replace(proof, references=slots)) for slots in (two, three)]
    assert 0 < share_changed(*images) < 0.05


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A bottle on a picnic blanket in the garden", "meadow"),
        ("The desk at night", "night"),
        ("Snow on marble in winter", "snow"),
        ("By the sea", "sea"),
        ("A mug on a sunlit terrace before dinner", "straw"),
        ("Sunset on the terrace, morning glory in a pot", "terracotta"),
    ],
)
def test_words_choose_the_palette(prompt: str, name: str):
    """What the prompt names is what the set is painted in."""
    assert choose(prompt, 0) == PALETTES[name]


def walls(prompt: str) -> set[str]:
    """Name the palettes of the first six variants, whatever their accent."""
    by_wall = {palette.wall: name for name, palette in PALETTES.items()}
    return {by_wall[choose(prompt, turn).wall] for turn in range(6)}


NIGHT, DUSK = {"night", "ember", "charcoal"}, {"dusk", "gloam", "indigo"}
MORNING, STUDIO = {"plaster", "linen", "straw"}, {"chalk", "stone", "fog", "linen"}


@pytest.mark.parametrize(
    ("prompt", "fitting"),
    [
        ("Dusk. White bowl, natural linen cloth, cloth napkin, marble, snow, a garden in spring", DUSK),
        ("An evening in November, breakfast bowl, green garden", DUSK),
        ("Supper, an hour after dark: one candle, the night in the window; white cotton cloth", NIGHT),
        ("Two candles on a blue wall, summer on the beach", NIGHT),
        ("A clear morning, a candle beside the dark walnut box, grey stone in the rain", MORNING),
        ("A studio at supper, seamless", NIGHT),
    ],
)
def test_the_hour_wins(prompt: str, fitting: set[str]):
    """Every variant stays within the hour, whatever else the prompt is full of."""
    assert walls(prompt) == fitting


@pytest.mark.parametrize(
    ("prompt", "fitting"),
    [
        ("The flared ink-blue bowl in a neutral studio", STUDIO),
        ("Catalogue picture of the red mug, a seamless wall behind the blue bowl, oak slab", STUDIO),
        ("A bowl against a deep green background in a studio", {"sage", "olive"}),
        ("A mug before a blue stone wall", {"cobalt", "dusk"}),
        ("A mug on a red backdrop", {"berry"}),
        ("A bottle, the background a pale green", {"sage", "olive"}),
    ],
)
def test_colours_are_the_products(prompt: str, fitting: set[str]):
    """A colour paints the wall only when the wall is said to have it."""
    assert walls(prompt) == fitting


def test_a_colour_alone_is_an_accent():
    """A colour in a prompt that says nothing of the set leaves its walls quiet."""
    assert not walls("A red thing") & {"berry", "terracotta"}
    assert choose("A red thing", 0) not in PALETTES.values()


@pytest.mark.parametrize("prompt", ["Summer on the beach", "A picnic in the park", "Old walnut in a library"])
def test_variants_of_a_scene_are_alike(prompt: str):
    """The variants of a scene are about as bright as its first."""
    bright = [sum(choose(prompt, turn).wall) for turn in range(4)]
    assert max(abs(bright[0] - other) for other in bright) < 150


def test_palette_turns():
    """Three variants have three palettes, whether the prompt names an hour, a scene or nothing."""
    for prompt in ("A red thing", "nothing in particular", "Autumn picnic in the garden, morning, oak", "By the sea"):
        assert len({choose(prompt, turn).wall for turn in range(3)}) == 3


def test_roles_give_out_the_parts(tmp_path: Path):
    """A surface covers the table and a fabric lies on it; without roles the first texture covers the table."""
    cloth, board = str(make_cloth(tmp_path / "a.png")), str(make_cloth(tmp_path / "b.png", (150, 90, 40)))
    mug = str(make_cutout(tmp_path / "mug.png"))

    def parts(*roles: str | None) -> tuple[int | None, int | None, list[int]]:
        sources = zip((mug, cloth, board), roles, strict=True)
        ground, napkin, _, prints = cast([load(one, slot, role) for slot, (one, role) in enumerate(sources, 1)], 1)
        return ground and ground.slot, napkin and napkin.slot, [one.slot for one in prints]

    assert parts(None, "fabric", "surface") == (3, 2, [])
    assert parts(None, "surface", "fabric") == (2, 3, [])
    assert parts(None, None, "surface") == (3, None, [2])
    assert parts(None, None, None) == parts(None, "fabric", "fabric") == (2, None, [3])


def test_fabric_lies_on_the_surface(tmp_path: Path):
    """Both can be seen on the table, the wall stays empty, and roles may be fewer than references."""
    mug, cloth = str(make_cutout(tmp_path / "mug.png")), str(make_cloth(tmp_path / "cloth.png"))
    board = str(make_cloth(tmp_path / "board.png", (190, 60, 40)))
    bare = Proof("plain", (mug, cloth, board), 416, 416, variant=1, take=1, label="", roles=(None, "fabric", "surface"))
    image = render(bare)
    table = image.crop((0, 290, 416, 390))
    green = sum(1 for red, green, _ in zip(*[iter(table.tobytes())] * 3, strict=True) if green > red + 40)
    assert 0.05 < green / (table.width * table.height) < 0.6
    assert all(g < r for r, g, _ in (image.getpixel((x, 405)) for x in (3, 412)))
    assert same(render(replace(bare, roles=(None,))), render(replace(bare, roles=())))
    assert not same(image, render(replace(bare, roles=())))


def test_caption_ends_where_a_sentence_does():
    """A long prompt is cut at the end of a sentence, else of a clause, else of a word."""
    assert excerpt("One two. Three four five, six.", 4) == "One two."
    assert excerpt("One two three, four five six seven", 5) == "One two three…"
    assert excerpt("One two three four five", 3) == "One two three…"
    assert excerpt("At f/2.8 one two", 9) == "At f/2.8 one two"


@pytest.mark.parametrize("name", PALETTES)
def test_caption_is_legible(name: str):
    """The ink of a caption has a contrast of 4.5:1 on walls of every palette, in half light too."""
    palette = PALETTES[name]
    wall = Image.new("RGB", (416, 416), palette.wall)
    wall.paste(tuple(v * 2 // 3 for v in palette.wall), (0, 0, 208, 416))
    captioned = wall.copy()
    draw_caption(captioned, "One two three four five six", 240, palette)
    box = ImageChops.difference(wall, captioned).getbbox()
    assert box is not None
    colours = captioned.crop((100, 105, 316, 135)).getcolors(216 * 30) or []
    under = sorted(colours, reverse=True)[:2]
    assert max(min(contrast(ink, ground) for _, ground in under) for _, ink in colours) >= 4.5
