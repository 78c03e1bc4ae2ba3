"""What a contact sheet shows: plain values, ready to be drawn.

The report knows neither the manifest nor the engine nor the ledger's tables: whoever holds those
(``pipeline.publish``) fills these values in, and ``pipeline.report.render`` turns them into one HTML file.
Every string may be hostile (it comes from manifests, vendors and reviewers) and is escaped when drawn.

Thumbnails go by name here; where each of them is found, ``pipeline.report.thumbs`` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["done", "failed", "uncertain", "stopped", "stale", "missing"]
"""done: bytes on disk, verified · failed: with a reason · uncertain: perhaps paid, answer lost ·
stopped: by the budget · stale: not made yet, but what stood here before is still there · missing: not made yet."""

STATES: tuple[State, ...] = ("done", "failed", "uncertain", "stopped", "stale", "missing")
"""Every state, in the order in which the sheet lists them."""


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """One reference image: its name (``product.front``), where it came from and a small picture of it."""

    name: str
    source: str
    digest: str
    role: str | None
    thumb: str | None  # the thumbnail's name, or None when there is nothing to show (a URL)


@dataclass(frozen=True, slots=True)
class CellView:
    """One output file: a place on the sheet."""

    format: str
    path: str | None  # relative to the sheet, forward slashes; None when the file is not there
    bytes: int | None
    state: State


@dataclass(frozen=True, slots=True)
class PastView:
    """What a tile showed before: an earlier take of the same picture, or a picture of another key."""

    take: int
    key: str
    sha: str
    path: str | None  # of the kept original, relative to the sheet
    thumb: str | None
    made: int  # Unix seconds
    changes: tuple[str, ...] = ()  # what came to differ since then: "prompt changed"
    text: str | None = None  # the prompt of then, where it was another one
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What one reviewer said about a picture, and about which file. ``times``: as in ``pipeline.votes.Decision``."""

    sha: str
    decision: str  # approved, rejected, or nothing
    stars: int
    note: str
    who: str
    when: str  # ISO 8601
    times: tuple[tuple[str, str], ...] = ()


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
    reason: str  # why failed, missing, uncertain, stopped or stale; what a person did with it when done
    thumb: str | None
    cells: tuple[CellView, ...]
    text: str  # the rendered prompt
    references: tuple[int, ...]  # slot N is SheetView.references[references[N - 1]]
    key: str
    sha: str  # SHA-256 of the kept original; empty when it is not made
    model: str
    provider: str | None
    proof: bool
    usd: int | None  # micro-dollars
    seconds: float | None
    made: int | None  # Unix seconds
    history: tuple[PastView, ...] = ()  # oldest first
    stale: str = ""  # what changed since it was approved
    nsfw: bool = False  # flagged by the gateway's own check
    blank: str = ""  # "one colour" or "transparent", of one that shows nothing


@dataclass(frozen=True, slots=True)
class SheetView:
    """A whole contact sheet. Tiles come in the manifest's order: by product, then prompt."""

    campaign: str
    manifest: str
    made_at: str  # ISO 8601, UTC
    commit: str | None  # short Git commit of the manifest's repository, with "+" when it has local changes
    version: str
    pictures: int  # distinct ones; cells and states are counted from the tiles
    spent_usd: float  # without what was perhaps billed for refusals
    saved_usd: float
    references: tuple[ReferenceView, ...]
    tiles: tuple[TileView, ...]
    rehearsal: bool = False  # the pictures are an emulator's
    serial: int = 0  # of the ledger that it was made from
    decisions: Mapping[str, tuple[DecisionView, ...]] = field(default_factory=dict)  # by the key of a picture
    retake: str = ""  # the command that makes pictures once more, up to their labels
    refusals_usd: float = 0.0  # perhaps billed for refusals
    reviewer: str = ""  # whoever looks at it on this machine, as Git knows them
