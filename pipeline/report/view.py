"""What a contact sheet shows: plain values, ready to be drawn.

The report knows neither the manifest nor the engine nor the ledger's tables: whoever holds those
(``pipeline.cli``) fills these values in, and ``pipeline.report.render`` turns them into one HTML file.
Every string may be hostile (it comes from manifests and vendors) and is escaped when drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["done", "failed", "missing", "uncertain", "stopped"]
"""done: bytes on disk, verified · failed: with a reason · missing: not made yet ·
uncertain: perhaps paid, answer lost · stopped: by the budget."""


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """One reference image: its name (``product.front``), where it came from and a small picture of it."""

    name: str
    source: str
    digest: str
    role: str | None
    thumb: str | None  # data: URI, or None when there is nothing to show (a URL)


@dataclass(frozen=True, slots=True)
class CellView:
    """One output file: a place on the sheet."""

    label: str
    format: str
    path: str | None  # relative to the sheet, forward slashes; None when the file is not there
    bytes: int | None
    state: State


@dataclass(frozen=True, slots=True)
class TakeView:
    """One earlier take of a picture, kept."""

    take: int
    path: str  # of the kept original, relative to the sheet
    made_at: str


@dataclass(frozen=True, slots=True)
class TileView:
    """One picture in one place: its cells share a label up to the format."""

    label: str  # without the format; unique on the sheet
    product: str
    product_name: str
    product_set: str
    tags: tuple[str, ...]
    prompt: str
    vary: tuple[tuple[str, str], ...]
    resolution: str
    aspect_ratio: str
    variant: int
    take: int
    width: int  # pixels; of the original, or as expected while it is not made
    height: int
    state: State
    reason: str  # why failed, missing, uncertain or stopped; empty when done
    thumb: str | None  # data: URI
    cells: tuple[CellView, ...]
    text: str  # the rendered prompt
    references: tuple[int, ...]  # slot N is SheetView.references[references[N - 1]]
    key: str
    model: str
    provider: str | None
    proof: bool
    cost_usd: float | None
    seconds: float | None
    made_at: str | None  # ISO 8601
    earlier: tuple[TakeView, ...]
    nsfw: bool = False  # flagged by the gateway's own check


@dataclass(frozen=True, slots=True)
class SheetView:
    """A whole contact sheet. Tiles come in the manifest's order: by product, then prompt."""

    campaign: str
    manifest: str
    made_at: str  # ISO 8601, UTC
    commit: str | None  # short Git commit of the manifest's repository, with "+" when it has local changes
    version: str
    pictures: int  # distinct ones; cells and states are counted from the tiles
    spent_usd: float
    saved_usd: float
    references: tuple[ReferenceView, ...]
    tiles: tuple[TileView, ...]
    rehearsal: bool = False  # the pictures are an emulator's
