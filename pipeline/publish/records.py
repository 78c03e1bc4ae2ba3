"""The records in the output folder: sidecars, ``results.jsonl``, and the campaign's own contact sheet."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline import __version__
from pipeline.approvals import Approvals, approvals_file
from pipeline.aside import belongs_to, set_aside
from pipeline.errors import StorageError
from pipeline.expand import PRIVATE
from pipeline.ledger import FileRow, Ledger, PictureRow
from pipeline.media import write
from pipeline.paths import check_inside
from pipeline.plan import Plan, Step
from pipeline.publish.showing import SHEET, THUMBS, iso, result_state, sheet_view, source
from pipeline.report.render import render
from pipeline.report.thumbs import Thumbs, choose
from pipeline.run import expected_size
from pipeline.sidecars import RESULTS, is_ours, sealed
from pipeline.types import Cell, Json, Manifest, Spec


class Publisher:
    """Writes what follows from one plan and its ledger into the output folder.

    ``stopped``: keys of the pictures that a cap did not let the run make; ``approvals``: those beside the manifest,
    when they were read already. ``thumbs`` is how the thumbnails of the sheet travel, once one was written.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        *,
        stopped: frozenset[str] = frozenset(),
        approvals: Approvals | None = None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.manifest: Manifest = plan.manifest
        self.folder = plan.manifest.outputs.folder
        self.stopped = stopped
        self.approvals = approvals
        self.pictures = plan.snapshot.pictures
        self.files = plan.snapshot.files
        self.providers = ledger.providers()
        self.thumbs: Thumbs | None = None
        self.aside: list[str] = []  # sidecars that a person changed
        self.by_hand = ledger.by_hand()
        self.blank = ledger.blank()
        self.beside = _set_aside(self.folder, (step.cell.file for step in plan.steps))
        self.guard = "\n".join(
            (
                *(__version__, plan.expansion.fingerprint(), str(ledger.meta("serial"))),
                hashlib.sha256(" ".join(sorted(stopped)).encode()).hexdigest(),
                _digest(approvals_file(plan.manifest)),
                *(str(plan.counted(action)) for action in ("done", "make", "failed", "uncertain")),
                hashlib.sha256(repr(sorted(self.beside.items())).encode()).hexdigest(),
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
            self.write_sheet()
            write(str(guard), self.stamped(sheet, results).encode(), str(self.folder))
        except OSError as error:
            raise StorageError(f"{error.filename}: can't be written: {error.strerror}") from None
        return sheet

    def write_sheet(self) -> None:
        """Write the campaign's own contact sheet; thumbnails that have no room in it stay where they are."""
        view = sheet_view(self.plan, self.ledger, stopped=self.stopped, approvals=self.approvals)
        self.thumbs = choose(view, self.folder / THUMBS, THUMBS)
        write(str(self.folder / SHEET), render(view, self.thumbs.sources).encode(), str(self.folder))

    def result(self, step: Step) -> dict[str, Json]:
        """The cell's line in results.jsonl (schemas/result.schema.json)."""
        cell, row = step.cell, self.pictures.get(step.cell.picture.key)
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
            "state": result_state(self.plan, step, self.stopped),
            "reason": step.reason,
            "path": cell.file,
            "sha256": file.sha256 if file else None,
            "bytes": file.bytes if file else None,
            "width": row.width if row and done else None,
            "height": row.height if row and done else None,
            "model": spec.model,
            "provider": self.providers.get(row.request, (None,))[0] if row else None,
            "proof": spec.proof,
            "usd": row.usd / 1e6 if row else None,
            "nsfw": bool(row.nsfw) if row and row.nsfw is not None else None,
            "blank": self.blank.get((row.key, row.take)) if row else None,
            "made_at": iso(row.at) if row else None,
            "by_hand": self.by_hand.get(row.request) if row else None,
            "set_aside": self.beside.get(cell.file, []),
        }

    def maker(self, spec: Spec) -> str:
        """Who or what made a picture, for people."""
        if spec.proof:
            return "the offline proof renderer, not the model"
        return "an emulator of the gateways, not the model" if self.manifest.rehearsal else spec.model

    def original(self, row: PictureRow) -> dict[str, Json]:
        """The kept original; ``blank``: what is strange about one that shows nothing."""
        facts: dict[str, Json] = {"path": f"{PRIVATE}/{row.original}", "sha256": row.sha256, "bytes": row.bytes}
        word = self.blank.get((row.key, row.take))
        return facts | {"blank": word} if word else facts

    def difference(self, row: PictureRow, spec: Spec) -> str | None:
        """How a picture's size differs from what was asked for, where the model's table names that."""
        if spec.aspect_ratio == "auto" or not self.manifest.model.areas(spec.resolution, spec.aspect_ratio):
            return None
        asked = expected_size(self.manifest, spec)
        return None if (row.width, row.height) == asked else f"{asked[0]}×{asked[1]} was asked for"

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
            data, there = sealed(self.sidecar(row, cells)), path.read_bytes() if path.is_file() else None
            if there and there != data and not is_ours(there):
                check_inside(str(self.folder), str(path))
                self.aside.append(str(set_aside(path, "edited")))
            if there != data:
                write(str(path), data, str(self.folder))

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
            "made_by": ", ".join(filter(None, (self.maker(spec), self.by_hand.get(row.request)))),
            "prompt": spec.prompt,
            "references": [
                {
                    "slot": f"@Image{number}",
                    "name": reference.name,
                    "role": reference.role,
                    "source": source(self.manifest, reference),
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
            "differs": self.difference(row, spec),
            "seed": row.seed,
            "usd": row.usd / 1e6,
            "seconds": row.seconds,
            "made_at": iso(row.at),
            "nsfw": None if row.nsfw is None else bool(row.nsfw),
            "request": row.request,
            "request_at_gateway": remote or None,
            "original": self.original(row),
            "by_hand": self.by_hand.get(row.request),
            "cells": [
                {
                    "label": cell.label,
                    "path": cell.file,
                    "sha256": file.sha256,
                    "bytes": file.bytes,
                    "encoding": file.encoding,
                }
                for cell, file in files
                if isinstance(file, FileRow)
            ],
        }


def _set_aside(folder: Path, files: Iterable[str]) -> dict[str, list[Json]]:
    """File of a cell → the files that lie aside beside it, all relative to the output folder."""
    found: dict[str, list[Json]] = {}
    for parent in {file.rpartition("/")[0] for file in files}:
        with contextlib.suppress(OSError), os.scandir(folder / parent) as entries:
            for name in sorted(entry.name for entry in entries if ".edited" in entry.name or ".wrong" in entry.name):
                if (belongs := belongs_to(Path(parent, name))) is not None:
                    found.setdefault(belongs[0].as_posix(), []).append(Path(parent, name).as_posix())
    return found


def _digest(path: Path) -> str:
    """The SHA-256 of a file; nothing where there is none."""
    if not os.path.lexists(path):
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unread"
