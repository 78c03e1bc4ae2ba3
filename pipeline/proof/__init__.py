"""Proofs: what the offline ``local`` provider makes instead of a generated picture.

A proof is a calm set-design mock-up of the real reference images, for judging layout, crops, naming and
the contact sheet before anything is spent. It says PROOF in a corner and never pretends to be more.
The same :class:`Proof` gives the same pixels on every machine with the same Pillow.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from itertools import zip_longest

from PIL import Image

from pipeline.proof.backdrop import Stage, draw_set, light_set
from pipeline.proof.cloth import draw_cloth, lay
from pipeline.proof.images import load
from pipeline.proof.ink import draw_caption, draw_mark
from pipeline.proof.layout import arrange, cast, hang, zones
from pipeline.proof.objects import draw_markers, draw_print, draw_slot, draw_standing
from pipeline.proof.palettes import choose

__all__ = ["Proof", "render"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything a proof is drawn from; picklable."""

    prompt: str  # the rendered prompt, with @Image1 … slots in it
    references: tuple[str, ...]  # slot N is references[N-1]: absolute paths, or URLs (never fetched)
    width: int  # pixels of the picture, exactly
    height: int
    variant: int  # 1, 2, …: another variant has another light, arrangement and palette
    take: int
    label: str  # drawn beside the PROOF mark; influences nothing else
    roles: tuple[str | None, ...] = ()  # parallel to references: "surface", "fabric", …; () when none is known


def render(proof: Proof) -> Image.Image:
    """Draw a proof: RGB, exactly ``width`` by ``height`` pixels.

    Raises ``OSError`` for a reference that is missing or cannot be decoded, ``ValueError`` for one that
    Pillow refuses (too many pixels, a colour space it cannot convert) and for a size without pixels.
    """
    if proof.width < 1 or proof.height < 1:
        raise ValueError(f"a proof needs at least one pixel, not {proof.width}x{proof.height}")
    named = zip_longest(proof.references, proof.roles[: len(proof.references)])
    references = [load(source, slot, role) for slot, (source, role) in enumerate(named, 1)]
    stage = _stage(proof)
    ground, napkin, standing, prints = cast(references, proof.variant)
    hero_zone, wall_zone = zones(stage, len(prints))
    on_table = arrange(stage, standing, hero_zone)
    laid = lay(stage, napkin, on_table[-1]) if napkin else None
    canvas = draw_set(stage, ground)
    if laid:
        draw_cloth(canvas, stage, laid)
    canvas = light_set(canvas, stage)
    on_wall = hang(stage, prints, wall_zone)
    for piece in on_wall:
        draw_print(canvas, stage, piece)
    standing_at = [(piece, draw_standing(canvas, stage, piece)) for piece in on_table]
    draw_markers(canvas, stage, on_wall, standing_at, ground)
    if laid:
        draw_slot(canvas, stage, *laid.mark)
    if not references:
        draw_caption(canvas, proof.prompt, stage.horizon, stage.palette)
    draw_mark(canvas, proof.label)
    return canvas


def _stage(proof: Proof) -> Stage:
    seed = f"{proof.prompt}\0{proof.variant}\0{proof.take}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(seed).digest()
    steady = hashlib.sha256(proof.prompt.encode("utf-8", "surrogatepass")).digest()[0]
    turn = max(0, proof.variant - 1) + 3 * max(0, proof.take - 1)
    dice = random.Random(digest)  # noqa: S311  # a repeatable choice, not a secret
    upright = proof.height / proof.width
    horizon = 0.60 + 0.04 * min(1.0, max(0.0, upright - 1)) + dice.uniform(-0.02, 0.02)
    return Stage(
        width=proof.width,
        height=proof.height,
        horizon=round(proof.height * horizon),
        light=-1 if (steady + turn) % 2 else 1,
        palette=choose(proof.prompt, turn),
        dice=dice,
    )
