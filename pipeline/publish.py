"""What a run leaves beside its pictures: sidecars, ``results.jsonl`` and the contact sheet.

All of it follows from the plan and the ledger, and can be made again at any time, without the engine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pipeline import __version__
from pipeline.errors import MediaError, StorageError
from pipeline.expand import PRIVATE
from pipeline.ledger import FileRow, Ledger, PictureRow
from pipeline.media import MAX_BYTES, decode, thumbnail, write
from pipeline.paths import read_bytes
from pipeline.plan import Plan, Step
from pipeline.report.render import render
from pipeline.report.view import CellView, ReferenceView, SheetView, State, TakeView, TileView
from pipeline.run import expected_size, thumb_name
from pipeline.types import Cell, Json, Manifest, Reference, Spec

SHEET = "report.html"
RESULTS = "results.jsonl"
_REFERENCE_BOX = (200, 200)


class Publisher:
    """Writes what follows from one plan and its ledger into the output folder.

    ``stopped``: keys of the pictures that a cap did not let the run make.
    """

    def __init__(self, plan: Plan, ledger: Ledger, *, stopped: frozenset[str] = frozenset()) -> None:
        self.plan = plan
        self.manifest: Manifest = plan.manifest
        self.folder = plan.manifest.outputs.folder
        self.stopped = stopped
        self.pictures = plan.snapshot.pictures
        self.files = plan.snapshot.files
        self.providers = ledger.providers()
        self.earlier = ledger.takes()
        self.guard = "\n".join(
            (
                *(__version__, plan.expansion.fingerprint(), str(ledger.meta("serial"))),
                hashlib.sha256(" ".join(sorted(stopped)).encode()).hexdigest(),
                *(str(plan.counted(action)) for action in ("done", "make", "failed", "uncertain")),
            )
        )

    def publish(self) -> Path:
        """Write everything, unless it stands there already as it would be written; returns the sheet's path.

        Raises:
            StorageError: when a file can't be written.
        """
        sheet, results = self.folder / SHEET, self.folder / RESULTS
        guard = self.folder / PRIVATE / "published"
        try:
            if guard.is_file() and guard.read_text("utf-8") == self.stamped(sheet, results) and not self.lacking():
                return sheet
            self.sidecars()
            lines = (json.dumps(self.result(step), ensure_ascii=False) for step in self.plan.steps)
            write(str(results), ("\n".join(lines) + "\n").encode(), str(self.folder))
            self.write_sheet(None)
            write(str(guard), self.stamped(sheet, results).encode(), str(self.folder))
        except OSError as error:
            raise StorageError(f"{error.filename}: can't be written: {error.strerror}") from None
        return sheet

    def write_sheet(self, target: str | None) -> Path:
        """Write the contact sheet alone, to its place in the output folder or to ``target``."""
        sheet = Path(target) if target else self.folder / SHEET
        try:
            write(str(sheet), render(self.sheet()).encode())
        except OSError as error:
            raise StorageError(f"{sheet}: can't be written: {error.strerror}") from None
        return sheet

    # ── one cell, one picture ───────────────────────────────────────────────────────────────────

    def state(self, step: Step) -> State:
        """What the sheet and results say of a cell."""
        if step.action == "done":
            return "done"
        if step.action in ("failed", "uncertain"):
            return "failed" if step.action == "failed" else "uncertain"
        if step.cell.picture.key in self.plan.snapshot.failures:
            return "failed"
        return "stopped" if step.cell.picture.key in self.stopped else "missing"

    def row(self, cell: Cell) -> PictureRow | None:
        """The picture behind a cell, when it was made."""
        return self.pictures.get(cell.picture.key)

    def result(self, step: Step) -> dict[str, Json]:
        """The cell's line in results.jsonl (schemas/result.schema.json)."""
        cell, row = step.cell, self.row(step.cell)
        spec, done = cell.picture.spec, step.action == "done"
        file = self.files.get(cell.file) if done else None
        return {
            "label": cell.label,
            "product": cell.place.product.id,
            "set": cell.place.product.set,
            "prompt": cell.place.prompt,
            "vary": dict(cell.place.vary),
            "resolution": spec.resolution,
            "aspect_ratio": spec.aspect_ratio,
            "format": cell.format,
            "variant": cell.picture.variant,
            "take": row.take if row else None,
            "key": cell.picture.key,
            "state": self.state(step),
            "reason": step.reason,
            "path": cell.file,
            "sha256": file.sha256 if file else None,
            "bytes": file.bytes if file else None,
            "width": row.width if row and done else None,
            "height": row.height if row and done else None,
            "model": spec.model,
            "provider": self.provider(row),
            "proof": spec.proof,
            "usd": row.usd / 1e6 if row else None,
            "nsfw": bool(row.nsfw) if row and row.nsfw is not None else None,
            "made_at": iso(row.at) if row else None,
        }

    def maker(self, spec: Spec) -> str:
        """Who or what made a picture, for people."""
        if spec.proof:
            return "the offline proof renderer, not the model"
        return "an emulator of the gateways, not the model" if self.manifest.rehearsal else spec.model

    def provider(self, row: PictureRow | None) -> str | None:
        """Who made a picture."""
        return self.providers.get(row.request, (None,))[0] if row else None

    def stamped(self, *files: Path) -> str:
        """The guard, with the size and time of the files that it guards."""
        stats = [file.stat() for file in files if file.is_file()]
        return "\n".join((self.guard, *(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)))

    def made(self) -> Iterator[tuple[Path, PictureRow, list[Cell]]]:
        """Every picture that is there: its sidecar's path, its row, and the cells that show it."""
        groups: dict[str, list[Cell]] = {}
        for step in self.plan.steps:
            if step.action == "done":
                groups.setdefault(step.cell.picture.key, []).append(step.cell)
        for key, cells in groups.items():
            first = cells[0].file
            name = first if self.manifest.outputs.native else first.rpartition(".")[0]
            yield self.folder / f"{name}.json", self.pictures[key], cells

    def lacking(self) -> bool:
        """Whether a sidecar was removed."""
        return not all(path.is_file() for path, _, _ in self.made())

    def sidecars(self) -> None:
        """One ``….json`` beside the first file of every picture that is there."""
        for path, row, cells in self.made():
            text = json.dumps(self.sidecar(row, cells), indent=2, ensure_ascii=False) + "\n"
            if not path.is_file() or path.read_bytes() != text.encode():
                write(str(path), text.encode(), str(self.folder))

    def sidecar(self, row: PictureRow, cells: list[Cell]) -> dict[str, Json]:
        """All there is to know of one picture."""
        spec = cells[0].picture.spec
        provider, model_id, remote = self.providers.get(row.request, (None, None, ""))
        files = [(cell, self.files.get(cell.file)) for cell in cells]
        return {
            "key": row.key,
            "take": row.take,
            "variant": row.variant,
            "proof": spec.proof,
            "made_by": self.maker(spec),
            "prompt": spec.prompt,
            "references": [
                {
                    "slot": f"@Image{number}",
                    "name": reference.name,
                    "role": reference.role,
                    "source": self.source(reference),
                    "sha256": None if "://" in reference.source else reference.digest,
                }
                for number, reference in enumerate(spec.references, 1)
            ],
            "model": spec.model,
            "provider": provider,
            "model_id": model_id,
            "parameters": {
                "resolution": spec.resolution,
                "aspect_ratio": spec.aspect_ratio,
                "format": spec.format,
            },
            "width": row.width,
            "height": row.height,
            "seed": row.seed,
            "usd": row.usd / 1e6,
            "seconds": row.seconds,
            "made_at": iso(row.at),
            "nsfw": None if row.nsfw is None else bool(row.nsfw),
            "request": row.request,
            "request_at_gateway": remote or None,
            "original": {"path": f"{PRIVATE}/{row.original}", "sha256": row.sha256, "bytes": row.bytes},
            "cells": [
                {"label": cell.label, "path": cell.file, "sha256": file.sha256, "bytes": file.bytes}
                for cell, file in files
                if isinstance(file, FileRow)
            ],
        }

    def source(self, reference: Reference) -> str:
        """Where a reference came from, without a path of this machine where that can be."""
        if "://" in reference.source:
            return reference.source
        try:
            return Path(os.path.relpath(reference.source, Path(self.manifest.file).absolute().parent)).as_posix()
        except ValueError:
            return reference.name

    # ── the contact sheet ───────────────────────────────────────────────────────────────────────

    def sheet(self) -> SheetView:
        """The whole sheet as plain values."""
        references: dict[tuple[str, str], int] = {}
        views: list[ReferenceView] = []
        for picture in self.plan.expansion.pictures.values():
            for reference in picture.spec.references:
                if (reference.name, reference.digest) not in references:
                    references[reference.name, reference.digest] = len(views)
                    views.append(self.reference(reference))
        groups: dict[str, list[Step]] = {}
        for step in self.plan.steps:
            groups.setdefault(step.cell.label.rpartition(".")[0], []).append(step)
        tiles = tuple(self.tile(label, steps, references) for label, steps in groups.items())
        money = self.plan.snapshot.money
        return SheetView(
            campaign=self.manifest.campaign,
            manifest=self.manifest.file,
            made_at=iso(datetime.now(UTC).timestamp()),
            commit=git_commit(Path(self.manifest.file).absolute().parent),
            version=__version__,
            pictures=len(self.plan.expansion.pictures),
            spent_usd=money.spent / 1e6,
            saved_usd=self.saved(tiles) / 1e6,
            references=tuple(views),
            tiles=tiles,
            rehearsal=self.manifest.rehearsal,
        )

    def saved(self, tiles: Iterable[TileView]) -> int:
        """What it would have cost more if every file were a picture of its own, in micro-dollars."""
        price = self.manifest.providers[0].usd
        return price * (sum(len(tile.cells) for tile in tiles) - len(self.plan.expansion.pictures))

    def tile(self, label: str, steps: list[Step], references: dict[tuple[str, str], int]) -> TileView:
        """One picture in one place, with its cells."""
        cell = steps[0].cell
        row, spec, place = self.row(cell), cell.picture.spec, cell.place
        worst = max(steps, key=lambda step: step.action != "done")
        size = (row.width, row.height) if row else expected_size(self.manifest, spec)
        failure = self.plan.snapshot.failures.get(cell.picture.key)
        reason = worst.reason if failure is None or worst.action == "done" else failure.reason
        return TileView(
            label=label,
            product=place.product.id,
            product_name=place.product.name,
            product_set=place.product.set,
            tags=place.product.tags,
            prompt=place.prompt,
            vary=place.vary,
            resolution=spec.resolution,
            aspect_ratio=spec.aspect_ratio,
            variant=cell.picture.variant,
            take=row.take if row else 1,
            width=size[0],
            height=size[1],
            state=self.state(worst),
            reason=reason,
            thumb=self.thumb(row) if row else None,
            cells=tuple(self.cell(step) for step in steps),
            text=spec.prompt,
            references=tuple(references[r.name, r.digest] for r in spec.references),
            key=cell.picture.key,
            model=spec.model,
            provider=self.provider(row) or spec.provider or None,
            proof=spec.proof,
            cost_usd=row.usd / 1e6 if row else None,
            seconds=row.seconds if row else None,
            made_at=iso(row.at) if row else None,
            earlier=tuple(
                TakeView(old.take, f"{PRIVATE}/{old.original}", iso(old.at))
                for old in self.earlier.get(cell.picture.key, ())
            ),
            nsfw=bool(row and row.nsfw),
        )

    def cell(self, step: Step) -> CellView:
        """One output file."""
        file = self.files.get(step.cell.file) if step.action == "done" else None
        return CellView(
            label=step.cell.label,
            format=step.cell.format,
            path=step.cell.file if file else None,
            bytes=file.bytes if file else None,
            state=self.state(step),
        )

    def thumb(self, row: PictureRow) -> str | None:
        """A picture's thumbnail; made again from the kept original when it is gone."""
        path = self.folder / PRIVATE / thumb_name(row.key, row.take)
        if not path.is_file() or not path.stat().st_size:
            try:
                small = thumbnail(decode((self.folder / PRIVATE / row.original).read_bytes()))
                write(str(path), small, str(self.folder))
            except (OSError, MediaError):
                return None
        return data_uri(path.read_bytes())

    def reference(self, reference: Reference) -> ReferenceView:
        """A reference image, small."""
        thumb = None
        if "://" not in reference.source:
            path = self.folder / PRIVATE / "thumbs" / f"reference-{reference.digest}.webp"
            try:
                if not path.is_file():
                    small = thumbnail(decode(read_bytes(Path(reference.source), MAX_BYTES)), _REFERENCE_BOX)
                    write(str(path), small, str(self.folder))
                thumb = data_uri(path.read_bytes())
            except (OSError, MediaError):
                thumb = None
        return ReferenceView(reference.name, self.source(reference), reference.digest, reference.role, thumb)


def data_uri(webp: bytes) -> str:
    """A WebP picture as a ``data:`` URI."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def git_commit(folder: Path) -> str | None:
    """The short commit of the repository around a folder, with ``+`` when it has local changes; None without one."""
    try:
        head = _git(folder, "rev-parse", "--short", "HEAD")
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if dirty else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603  # fixed words
    return done.stdout.strip()
