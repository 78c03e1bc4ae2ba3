"""Contact sheets that never were: values for ``SheetView`` with pictures made by Pillow, to test and look at.

``PYTHONPATH=. python tests/browser/fake_sheet.py FOLDER [--products N | --tiles N] [--out FILE]`` writes one to look
at in a browser: a campaign with its originals, or a large one of N tiles without them.
"""

from __future__ import annotations

import argparse
import base64
import colorsys
import hashlib
import io
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipeline.report.data import lesser, pictured
from pipeline.report.thumbs import INLINE
from pipeline.report.view import CellView, DecisionView, PastView, ReferenceView, SheetView, State, TileView

RATIOS = {
    "1:1": (1024, 1024),
    "16:9": (1360, 768),
    "9:16": (768, 1360),
    "4:5": (912, 1144),
    "21:9": (1560, 664),
}
NAMES = ("Blue enamel mug", "Stoneware bowl", "Walnut serving board", "Linen napkin, set of four", "Carafe")
SCENES = ("breakfast table", "picnic blanket", "window sill in the rain")
REASONS: dict[State, str] = {
    "done": "",
    "failed": "fal refused the prompt (content_policy_violation): reword prompts.table, then run again.",
    "missing": "Not made yet: the picture is in the plan.",
    "uncertain": "The answer to the paid call was lost (read timeout): perhaps paid. See --uncertain.",
    "stopped": "The budget of $40.00 was reached; raise budget.usd or run tomorrow.",
    "stale": "prompt changed",
}
HOSTILE = '"\'><img src=x onerror="window.pwned=1"></script><script>window.pwned=1</script>{{7*7}}<!--'
HOSTILE_LINKS = ("javascript:window.pwned=1", "//evil.example/x.png", "C:\\x.png", "data:text/html,<script>1")


@cache
def picture(width: int, height: int, seed: int) -> Image.Image:
    """Return a soft still life: a table, light from one side, a vessel."""
    dice = random.Random(seed)
    hue = dice.random()
    small = Image.new("RGB", (width // 4, height // 4))
    draw = ImageDraw.Draw(small)
    w, h = small.size

    def colour(shift: float, saturation: float, value: float) -> tuple[int, int, int]:
        red, green, blue = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        return int(255 * red), int(255 * green), int(255 * blue)

    for y in range(h):
        draw.line([(0, y), (w, y)], fill=colour(0.02, 0.16, 0.88 - 0.3 * y / h))
    draw.rectangle([0, int(h * 0.66), w, h], fill=colour(0.06, 0.3, 0.62))
    side = min(w, h) * (0.22 + 0.12 * dice.random())
    x, y = w * (0.35 + 0.3 * dice.random()), h * 0.7
    draw.ellipse([x - side * 0.4, y - side * 0.1, x + side * 2.2, y + side * 0.25], fill=colour(0.06, 0.4, 0.42))
    small = small.filter(ImageFilter.GaussianBlur(3))
    draw = ImageDraw.Draw(small)
    draw.rounded_rectangle(
        [x - side, y - side * 1.4, x + side, y + side * 0.2], side * 0.3, fill=colour(0.5, 0.6, 0.55)
    )
    draw.ellipse([x - side, y - side * 1.6, x + side, y - side * 1.1], fill=colour(0.5, 0.45, 0.75))
    return small.resize((width, height), Image.Resampling.BICUBIC)


NAME = re.compile(r"(?P<width>\d+)x(?P<height>\d+)-(?P<seed>\d+)(?:-(?P<side>\d+))?(?:~.*)?")
"""A thumbnail's name says what it shows: ``1024x1024-7``, ``1024x1024-7-150~t00012`` (of a side, of one tile alone)."""


@cache
def thumb(width: int, height: int, seed: int, side: int = 320) -> str:
    """Return a small WebP of a picture as a data: URI, with the grain of a photograph when it is very small."""
    image = picture(width, height, seed).copy()
    image.thumbnail((side, side))
    if side < 300:
        grain = Image.frombytes("L", image.size, random.Random(seed).randbytes(image.width * image.height))
        image = ImageChops.overlay(image, grain.point([118 + value // 13 for value in range(256)]).convert("RGB"))
    into = io.BytesIO()
    image.save(into, "WEBP", quality=78)
    return "data:image/webp;base64," + base64.b64encode(into.getvalue()).decode("ascii")


def thumbs(shown: SheetView) -> Mapping[str, str]:
    """Return the address of every thumbnail that a sheet of this module names."""
    found = ((name, NAME.fullmatch(name)) for name in (*pictured(shown), *lesser(shown)))
    return {
        name: thumb(int(it["width"]), int(it["height"]), int(it["seed"]), int(it["side"] or 320)) if it else name
        for name, it in found
    }


def page(shown: SheetView) -> str:
    """Return a sheet as HTML, its thumbnails inside."""
    from pipeline.report.render import render

    return render(shown, thumbs(shown))


def references() -> tuple[ReferenceView, ...]:
    """Return three references: a product, a style, and an address without a picture."""
    return (
        ReferenceView("product.front", "assets/front.png", "sha256:5f1d", None, "1024x1024-900"),
        ReferenceView("references.linen", "assets/linen.png", "sha256:77aa", "style", "1360x768-901"),
        ReferenceView("references.logo", "https://example.com/logo.png", "sha256:1c2e", "logo", None),
    )


def digest(text: str) -> str:
    """Return the SHA-256 of a text: what stands for a file's, or a key's."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def tile(number: int, product: int, prompt: str, ratio: str, state: State = "done", proof: bool = False) -> TileView:
    """Return one tile of two or three formats."""
    width, height = RATIOS[ratio]
    scene = SCENES[number % len(SCENES)]
    label = f"product-{product:03}/{prompt}/{scene.replace(' ', '-')}_{ratio.replace(':', 'x')}_1K_v{number}"
    formats = ("png", "webp", "jpg") if number % 3 == 0 else ("png", "webp")
    made = state == "done"
    seed = product * 7 + number % 7
    text = (
        f"Place @Image1, a cobalt {NAMES[product % len(NAMES)]}, on a {scene} dressed like @Image2, autumn "
        "light from the left, long soft shadows, a crumb of bread; the mark of @Image3 stays legible. "
        * (1 + number % 3)
    )
    cells = tuple(
        CellView(kind, f"out/{label}.{kind}" if made else None, 812_345 + number if made else None, state)
        for kind in formats
    )
    past: tuple[PastView, ...] = ()
    if state == "stale":
        before = text.replace("autumn", "summer")
        past = (
            _past(label, 1, f"{width}x{height}-{seed + 50}", key="before", changes=("prompt changed",), text=before),
        )
    elif number == 2 and made:
        past = (_past(label, 1, f"{width}x{height}-{seed + 51}"),)
    return TileView(
        label=label,
        product=f"product-{product:03}",
        product_name=NAMES[product % len(NAMES)],
        product_set="mugs",
        tags=("hero",) if product % 3 == 0 else (),
        prompt=prompt,
        vary=(("scene", scene),),
        resolution="1K",
        aspect_ratio=ratio,
        variant=number,
        take=2 if number == 2 and made else 1,
        width=width,
        height=height,
        state=state,
        reason=REASONS[state],
        thumb=f"{width}x{height}-{seed}" if made else past[0].thumb if past else None,
        cells=cells,
        text=text,
        references=(0, 1, 2),
        key=digest(label)[:32],
        sha=digest(f"file of {label}") if made else "",
        model="kling-image-o1",
        provider=None if not made else "local" if proof else ("runware", "fal")[product % 2],
        proof=proof,
        usd=(0 if proof else 28_000) if made else None,
        seconds=12.34 if made else None,
        made=1_795_212_603 if made else None,
        history=past,
    )


def _past(
    label: str, take: int, shown: str, key: str = "", changes: tuple[str, ...] = (), text: str | None = None
) -> PastView:
    return PastView(
        take=take,
        key=digest(label + key)[:32],
        sha=digest(f"earlier file of {label}"),
        path=f"out/.takes/{label}.png",
        thumb=shown,
        made=1_795_125_600,
        changes=changes,
        text=text,
        provider="runware",
    )


def decided(shown: SheetView) -> SheetView:
    """Return a sheet with decisions on its first pictures: approved, rejected with a note, starred, of an old file."""
    first, second, third, fourth = [tile for tile in shown.tiles if tile.state == "done"][:4]
    when = "2026-11-21T08:00:00Z"
    return replace(
        shown,
        decisions={
            first.key: (DecisionView(first.sha, "approved", 4, "", "Ana", when),),
            second.key: (DecisionView(second.sha, "rejected", 0, "too dark, and the mark is cut off", "Ana", when),),
            third.key: (DecisionView(third.sha, "", 3, "", "Ben", when),),
            fourth.key: (DecisionView(digest("an earlier take"), "rejected", 0, "blurred", "Ben", when),),
        },
        tiles=tuple(
            replace(tile, stale="prompt changed") if tile.label == fourth.label else tile for tile in shown.tiles
        ),
    )


def sheet(tiles: tuple[TileView, ...], campaign: str = "Autumn tableware") -> SheetView:
    """Return a sheet of ``tiles`` with totals that fit them."""
    return SheetView(
        campaign=campaign,
        manifest="campaigns/autumn.yaml",
        made_at="2026-11-21T04:34:00+00:00",
        commit="4be1f02+",
        version="0.1.0",
        pictures=len(tiles),
        spent_usd=sum(each.usd or 0 for each in tiles) / 1e6,
        saved_usd=0.0 if all(each.proof for each in tiles) else 0.84,
        references=references(),
        tiles=tiles,
        serial=42,
        retake="pipeline run campaigns/autumn.yaml --retake",
    )


def campaign(products: int = 4, troubled: bool = True, proof: bool = False) -> SheetView:
    """Return a sheet of ``products`` products, two prompts each, all ratios and, if ``troubled``, states."""
    states: tuple[State, ...] = ("failed", "missing", "uncertain", "stopped")
    more: tuple[State, ...] = ("stale", "done")
    tiles: list[TileView] = []
    for product in range(products):
        for prompt, ratios in (("table", ("1:1", "16:9", "9:16", "4:5")), ("banner", ("21:9", "9:16"))):
            for number, ratio in enumerate(ratios, 1):
                troubles = states if prompt == "table" else more
                trouble = troubled and product % 4 == 1
                tiles.append(tile(number, product, prompt, ratio, troubles[number - 1] if trouble else "done", proof))
    return sheet(tuple(tiles))


def matrix(scenes: tuple[str, ...] = SCENES[:2], variants: int = 2) -> SheetView:
    """Return a sheet of one product whose one prompt has a whole matrix: scene, resolution, ratio, variant."""
    tiles = []
    for scene in scenes:
        for resolution in ("1K", "2K"):
            for ratio in ("1:1", "16:9", "9:16"):
                for variant in range(1, variants + 1):
                    label = (
                        f"product-000/table/{scene.replace(' ', '-')}_{ratio.replace(':', 'x')}_{resolution}_v{variant}"
                    )
                    each = tile(variant, 0, "table", ratio)
                    tiles.append(
                        replace(
                            each,
                            label=label,
                            vary=(("scene", scene),),
                            resolution=resolution,
                            key=digest(label)[:32],
                            sha=digest(f"file of {label}"),
                            text=f"A mug on a {scene}.",
                            cells=(replace(each.cells[0], path=f"out/{label}.png"),),
                        )
                    )
    return sheet(tuple(tiles))


def large(count: int, side: int = 190) -> SheetView:
    """Return a sheet of ``count`` tiles: products, prompts, scenes, ratios, variants, two providers, some trouble.

    Each has a thumbnail of its own with few distinct pictures among them, of some 1.8 kB each.
    """
    dice = random.Random(5)
    states: tuple[State, ...] = ("failed", "missing", "uncertain", "stopped", "stale")
    ratios = tuple(RATIOS)
    tiles = []
    for index in range(count):
        rest, variant = divmod(index, 2)
        rest, ratio = divmod(rest, len(ratios))
        rest, scene = divmod(rest, len(SCENES))
        product, prompt = divmod(rest, 2)
        state: State = states[dice.randrange(len(states))] if dice.random() < 0.02 else "done"
        each = tile(variant + 1, product, ("table", "banner")[prompt], ratios[ratio], state)
        short = SCENES[scene].replace(" ", "-")
        label = f"product-{product:04}/{each.prompt}/{short}/{ratios[ratio].replace(':', 'x')}/1K/v{variant + 1}"
        shown = f"{each.width}x{each.height}-{dice.randrange(24)}-{side}~t{index:06}" if state == "done" else None
        tiles.append(
            replace(
                each,
                label=label,
                product=f"product-{product:04}",
                product_name=f"{NAMES[product % len(NAMES)]} {product}",
                vary=(("scene", SCENES[scene]),),
                take=1,
                thumb=shown,
                cells=tuple(
                    replace(cell, path=f"{label}.{cell.format}" if cell.path else None) for cell in each.cells[:2]
                ),
                text=f"Product {product} on a {SCENES[scene]}, {each.text}",
                key=digest(label)[:32],
                sha=digest(f"file of {label}") if state == "done" else "",
                history=(),
            )
        )
    return sheet(tuple(tiles), campaign=f"{count:,} tiles")


def hostile() -> SheetView:
    """Return a sheet with an attack in every text field that a sheet has."""
    base = tile(2, 0, HOSTILE, "1:1")
    attacked = replace(
        base,
        label=HOSTILE,
        product=HOSTILE,
        product_name=HOSTILE,
        product_set=HOSTILE,
        tags=(HOSTILE,),
        vary=((HOSTILE, HOSTILE),),
        resolution=HOSTILE,
        aspect_ratio=HOSTILE,
        reason=HOSTILE,
        thumb=HOSTILE,
        text=f"@Image1 {HOSTILE} @Image9",
        key=HOSTILE,
        model=HOSTILE,
        provider=HOSTILE,
        prompt=HOSTILE,
        sha=HOSTILE,
        stale=HOSTILE,
        cells=tuple(CellView(HOSTILE, path, 1, "done") for path in (*HOSTILE_LINKS, HOSTILE)),
        history=(
            PastView(1, HOSTILE, HOSTILE, HOSTILE_LINKS[0], HOSTILE, 1, (HOSTILE,), HOSTILE, HOSTILE),
            PastView(2, HOSTILE, HOSTILE, HOSTILE, base.thumb, 1, (HOSTILE,), HOSTILE, HOSTILE),
        ),
    )
    failed = replace(attacked, label=HOSTILE + "2", state="failed", thumb=base.thumb, cells=())
    reference = ReferenceView(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    attacks = replace(
        sheet((attacked, failed)),
        references=(reference,) * 3,
        retake=HOSTILE,
        decisions={HOSTILE: (DecisionView(HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE),)},
    )
    return replace(attacks, campaign=HOSTILE, manifest=HOSTILE, made_at=HOSTILE, commit=HOSTILE, version=HOSTILE)


def write(folder: Path, shown: SheetView, files: bool = True, out: str = "report.html") -> Path:
    """Write the sheet, and its originals if ``files``, into ``folder``; return the sheet's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in shown.tiles if files else ():
        seed = int(each.product.removeprefix("product-")) * 7 + each.variant % 7  # as in its thumb
        for cell in each.cells:
            if cell.path and cell.state == "done":
                _save(folder / cell.path, each.width, each.height, seed)
        for past in each.history:
            if past.path:
                _save(folder / past.path, each.width, each.height, seed + 51)
    from pipeline.report.render import render

    found = thumbs(shown)
    if sum(map(len, found.values())) > INLINE:
        found = _beside(folder, found)
    path = folder / out
    path.write_text(render(shown, found), encoding="utf-8")
    return path


def _beside(folder: Path, found: Mapping[str, str]) -> Mapping[str, str]:
    """Write the distinct thumbnails into ``thumbs/`` and return the address of every one there."""
    (folder / "thumbs").mkdir(exist_ok=True)
    places = {uri: f"thumbs/{digest(uri)[:12]}.webp" for uri in set(found.values())}
    for uri, place in places.items():
        (folder / place).write_bytes(base64.b64decode(uri.partition(",")[2]))
    return {name: places[uri] for name, uri in found.items()}


def _save(path: Path, width: int, height: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(width, height, seed).save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--products", type=int, default=8)
    parser.add_argument("--tiles", type=int, metavar="N", help="a large sheet of N tiles instead, without originals")
    parser.add_argument("--side", type=int, default=190, metavar="PIXELS", help="of the thumbnails of a large sheet")
    parser.add_argument("--decided", action="store_true", help="with decisions on some of its pictures")
    parser.add_argument("--out", default="report.html", metavar="FILE", help="the sheet's name in the folder")
    wanted = parser.parse_args()
    made = large(wanted.tiles, wanted.side) if wanted.tiles else campaign(wanted.products)
    written = write(wanted.folder, decided(made) if wanted.decided else made, not wanted.tiles, wanted.out)
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")  # noqa: T201  # a command of its own
