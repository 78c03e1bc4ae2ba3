"""Previews of a mailed sheet: the largest that fit into its budget, found by weighing them."""

from __future__ import annotations

import base64
import io
import random
import re
from dataclasses import replace
from pathlib import Path

from browser import fake_sheet
from PIL import Image, ImageFilter

from pipeline.media import thumbnail
from pipeline.publish.delivery import deliver
from pipeline.report.view import SheetView

COUNT = 263
SIZES = ((400, 225), (225, 400), (320, 320), (380, 300))


def photograph(seed: int) -> Image.Image:
    """Soft forms with grain, more or less of it from picture to picture: by a fixed seed."""
    dice = random.Random(seed)
    width, height = SIZES[seed % len(SIZES)]
    small = Image.frombytes("RGB", (width // 40, height // 40), dice.randbytes(width // 40 * (height // 40) * 3))
    soft = small.resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    grain = Image.frombytes("L", (width, height), dice.randbytes(width * height)).convert("RGB")
    return Image.blend(soft, grain, dice.choice((0.02, 0.05, 0.12)))


def campaign(folder: Path, count: int = COUNT, kinds: int = 12) -> SheetView:
    """A sheet of so many pictures with their originals and thumbnails: a few distinct ones, under many names."""
    places = folder / ".pipeline/originals", folder / ".pipeline/thumbs"
    for place in places:
        place.mkdir(parents=True)
    made = []
    for seed in range(kinds):
        image, out = photograph(seed), io.BytesIO()
        image.save(out, "JPEG", quality=92)
        made.append((image.size, out.getvalue(), thumbnail(image, (120, 80))))
    tiles = []
    for at in range(count):
        size, original, small = made[at % kinds]
        each = fake_sheet.tile(1 + at % 4, at // 4, "table", "1:1")
        name = f"{at:032x}.t1"
        (places[0] / f"{name}.jpg").write_bytes(original)
        (places[1] / f"{name}.webp").write_bytes(small)
        tiles.append(replace(each, thumb=f"{name}.webp", width=size[0], height=size[1], history=(), references=()))
    return replace(fake_sheet.sheet(tuple(tiles)), references=())


def previews(sheet: Path) -> list[Image.Image]:
    """The pictures that are in a sheet."""
    found = re.findall(r'<figure><img src="data:image/webp;base64,([^"]*)"', sheet.read_text())
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_a_mailed_sheet_uses_its_budget(tmp_path: Path) -> None:
    """Of 263 pictures at least four fifths are used and not a byte too much; none is larger than its original."""
    folder, budget = tmp_path / "out", 3_500_000
    shown = campaign(folder)
    place = tmp_path / "mailed.html"
    deliver(shown, folder, str(place), inline=budget)
    assert 0.8 * budget <= place.stat().st_size <= budget
    found = previews(place)
    assert len(found) == COUNT
    for image, tile in zip(found, shown.tiles, strict=True):
        assert image.width <= tile.width
        assert image.height <= tile.height
    assert 240 < min(max(image.size) for image in found) <= max(max(image.size) for image in found) < 400
    before = {path: path.stat().st_mtime_ns for path in (folder / ".pipeline/thumbs/large").iterdir()}
    assert len(before) == COUNT, "one size of each is kept"
    again = tmp_path / "again.html"
    deliver(shown, folder, str(again), inline=budget)
    assert again.read_bytes() == place.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in (folder / ".pipeline/thumbs/large").iterdir()} == before


def test_with_room_to_spare_they_are_as_large_as_they_are(tmp_path: Path) -> None:
    """Every preview has all of its original's pixels."""
    shown = campaign(tmp_path / "out", count=24)
    place = tmp_path / "mailed.html"
    deliver(shown, tmp_path / "out", str(place), inline=400_000_000)
    assert [image.size for image in previews(place)] == [(tile.width, tile.height) for tile in shown.tiles]


def test_a_larger_original_comes_down_to_what_a_window_shows(tmp_path: Path) -> None:
    """1,600 pixels are the most."""
    shown = campaign(tmp_path / "out", count=1, kinds=1)
    out = io.BytesIO()
    photograph(0).resize((2400, 1350)).save(out, "JPEG")
    (tmp_path / f"out/.pipeline/originals/{0:032x}.t1.jpg").write_bytes(out.getvalue())
    deliver(shown, tmp_path / "out", str(tmp_path / "mailed.html"))
    assert [image.size for image in previews(tmp_path / "mailed.html")] == [(1600, 900)]


def test_the_budget_holds_to_the_byte(tmp_path: Path) -> None:
    """Whatever it is, from the sheet with its thumbnails on; and more room never makes the pictures smaller."""
    shown = campaign(tmp_path / "out", count=8, kinds=8)
    least = tmp_path / "least.html"
    deliver(shown, tmp_path / "out", str(least), inline=100_000)
    small = least.stat().st_size
    assert max(max(image.size) for image in previews(least)) <= 120
    before = 0
    for budget in (small, small + 1, small + 20_000, small + 40_000, small + 60_000, small + 200_000):
        place = tmp_path / "mailed.html"
        deliver(shown, tmp_path / "out", str(place), inline=budget)
        assert place.stat().st_size <= budget
        pixels = sum(image.width * image.height for image in previews(place))
        assert pixels >= before
        before = pixels


def test_a_damaged_original_keeps_its_thumbnail(tmp_path: Path) -> None:
    """The others are sharp."""
    shown = campaign(tmp_path / "out", count=6, kinds=6)
    (tmp_path / f"out/.pipeline/originals/{2:032x}.t1.jpg").write_bytes(b"damaged")
    deliver(shown, tmp_path / "out", str(tmp_path / "mailed.html"))
    sides = [max(image.size) for image in previews(tmp_path / "mailed.html")]
    assert sides[2] <= 120
    assert min(side for at, side in enumerate(sides) if at != 2) >= 320
