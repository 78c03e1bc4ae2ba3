"""Contact sheets that never were: values for ``SheetView`` with pictures made by Pillow, to test and look at.

``PYTHONPATH=. python tests/browser/fake_sheet.py FOLDER [--products N]`` writes one to look at in a browser.
"""

from __future__ import annotations

import argparse
import base64
import colorsys
import hashlib
import io
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from pipeline.report.view import CellView, ReferenceView, SheetView, State, TakeView, TileView

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


@cache
def thumb(width: int, height: int, seed: int) -> str:
    """Return a 320-pixel JPEG of a picture as a data: URI."""
    image = picture(width, height, seed).copy()
    image.thumbnail((320, 320))
    into = io.BytesIO()
    image.save(into, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(into.getvalue()).decode("ascii")


def references() -> tuple[ReferenceView, ...]:
    """Return three references: a product, a style, and an address without a picture."""
    return (
        ReferenceView("product.front", "assets/front.png", "sha256:5f1d", None, thumb(1024, 1024, 900)),
        ReferenceView("references.linen", "assets/linen.png", "sha256:77aa", "style", thumb(1360, 768, 901)),
        ReferenceView("references.logo", "https://example.com/logo.png", "sha256:1c2e", "logo", None),
    )


def tile(number: int, product: int, prompt: str, ratio: str, state: State = "done", proof: bool = False) -> TileView:
    """Return one tile of two or three formats."""
    width, height = RATIOS[ratio]
    scene = SCENES[number % len(SCENES)]
    label = f"product-{product:03}/{prompt}/{scene.replace(' ', '-')}_{ratio.replace(':', 'x')}_1K_v{number}"
    formats = ("png", "webp", "jpeg") if number % 3 == 0 else ("png", "webp")
    made = state == "done"
    text = (
        f"Place @Image1, a cobalt {NAMES[product % len(NAMES)]}, on a {scene} dressed like @Image2, autumn "
        "light from the left, long soft shadows, a crumb of bread; the mark of @Image3 stays legible. "
        * (1 + number % 3)
    )
    cells = tuple(
        CellView(
            f"{label}.{kind}",
            kind,
            f"out/{label}.{kind}" if made else None,
            812_345 + number if made else None,
            state,
        )
        for kind in formats
    )
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
        take=2 if number == 2 else 1,
        width=width,
        height=height,
        state=state,
        reason=REASONS[state],
        thumb=thumb(width, height, product * 7 + number % 7) if made else None,
        cells=cells,
        text=text,
        references=(0, 1, 2),
        key=hashlib.sha256(label.encode()).hexdigest(),
        model="kling-image-o1",
        provider=None if not made else "local" if proof else "runware",
        proof=proof,
        cost_usd=(0.0 if proof else 0.028) if made else None,
        seconds=12.34 if made else None,
        made_at="2026-11-20T22:10:03+00:00" if made else None,
        earlier=(TakeView(1, f"out/.takes/{label}.png", "2026-11-19T22:00:00+00:00"),) if number == 2 else (),
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
        spent_usd=sum(each.cost_usd or 0 for each in tiles),
        saved_usd=0.0 if all(each.proof for each in tiles) else 0.84,
        references=references(),
        tiles=tiles,
    )


def campaign(products: int = 4, troubled: bool = True, proof: bool = False) -> SheetView:
    """Return a sheet of ``products`` products, two prompts each, all ratios and, if ``troubled``, states."""
    states: tuple[State, ...] = ("failed", "missing", "uncertain", "stopped")
    tiles: list[TileView] = []
    for product in range(products):
        for prompt, ratios in (("table", ("1:1", "16:9", "9:16", "4:5")), ("banner", ("21:9", "9:16"))):
            for number, ratio in enumerate(ratios, 1):
                trouble = troubled and product % 4 == 1 and prompt == "table"
                tiles.append(tile(number, product, prompt, ratio, states[number - 1] if trouble else "done", proof))
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
                            key=hashlib.sha256(label.encode()).hexdigest(),
                            text=f"A mug on a {scene}.",
                            cells=(replace(each.cells[0], label=f"{label}.png"),),
                        )
                    )
    return sheet(tuple(tiles))


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
        made_at=HOSTILE,
        cells=tuple(
            CellView(f"{number}{HOSTILE}", HOSTILE, path, 1, "done")
            for number, path in enumerate((*HOSTILE_LINKS, HOSTILE))
        ),
        earlier=(TakeView(1, HOSTILE_LINKS[0], HOSTILE),),
    )
    failed = replace(attacked, label=HOSTILE + "2", state="failed", thumb=base.thumb, cells=())
    reference = ReferenceView(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    attacks = replace(sheet((attacked, failed)), references=(reference,) * 3)
    return replace(attacks, campaign=HOSTILE, manifest=HOSTILE, made_at=HOSTILE, commit=HOSTILE, version=HOSTILE)


def write(folder: Path, shown: SheetView, files: bool = True) -> Path:
    """Write the sheet, and its originals if ``files``, into ``folder``; return the sheet's path."""
    from pipeline.report.render import render

    folder.mkdir(parents=True, exist_ok=True)
    for each in shown.tiles if files else ():
        for cell in each.cells:
            if cell.path and cell.state == "done":
                path = folder / cell.path
                path.parent.mkdir(parents=True, exist_ok=True)
                seed = int(each.product.removeprefix("product-")) * 7 + each.variant % 7  # as in its thumb
                picture(each.width, each.height, seed).save(path)
    path = folder / "report.html"
    path.write_text(render(shown), encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--products", type=int, default=8)
    wanted = parser.parse_args()
    write(wanted.folder, campaign(wanted.products))
