"""What stood at a place before: earlier takes of its picture, and pictures that its label showed until it changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.expand import PRIVATE
from pipeline.ledger import FileRow, Ledger, PictureRow
from pipeline.ledger.rows import ShownRow
from pipeline.plan import Plan, Step
from pipeline.report.view import PastView
from pipeline.types import Json, Picture
from pipeline.verdicts import changes


@dataclass(frozen=True, slots=True)
class Standing:
    """The picture that is still there where another one is owed."""

    row: PictureRow

    def holds(self, file: FileRow | None) -> bool:
        """Whether an output file, as it was written, is of it."""
        return file is not None and (file.key, file.take) == (self.row.key, self.row.take)


class Past:
    """All that a ledger remembers of what its labels showed."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        provider: Callable[[PictureRow], str | None],
        thumb: Callable[[PictureRow], str],
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.provider = provider
        self.thumb = thumb
        self.folder = plan.manifest.outputs.folder
        self.takes: dict[str, list[PictureRow]] = {}
        for row in ledger.pictures():
            self.takes.setdefault(row.key, []).append(row)
        self.shown: dict[str, dict[str, ShownRow]] = {}  # by label without format: that is no other picture
        for label, rows in ledger.shown().items():
            here = self.shown.setdefault(label.rpartition(".")[0], {})
            here.update((row.key, row) for row in rows if row.key not in here or here[row.key].at < row.at)
        self.files: dict[tuple[str, int], list[str]] = {}  # of a take: looked for when an original is gone
        self.described: dict[str, dict[str, Json]] = {}
        self.changed: dict[tuple[str, str], tuple[str, ...]] = {}

    def standing(self, label: str, step: Step, row: PictureRow | None) -> Standing | None:
        """What a place still shows while another picture, or another take, is owed there; None where that isn't so."""
        if step.action == "done":
            return None
        if row is not None:
            owed = max(self.plan.takes.get(row.key, 0), self.plan.snapshot.wishes.get(row.key, 0))
            return Standing(row) if step.action == "make" and owed > row.take and self.is_there(row) else None
        before = self.shown.get(label, {})
        for shown in sorted(before.values(), key=lambda shown: shown.at, reverse=True):
            if shown.key != step.cell.picture.key and shown.key in self.takes:
                last = self.takes[shown.key][-1]
                return Standing(last) if self.is_there(last) else None
        return None

    def is_there(self, row: PictureRow) -> bool:
        """Whether a picture's kept original, or an output file of it, is still there."""
        if self.original(row) is not None:
            return True
        if not self.files:
            for file in self.plan.snapshot.files.values():
                self.files.setdefault((file.key, file.take), []).append(file.path)
        files = self.files.get((row.key, row.take), ())
        return any(os.path.isfile(f"{self.folder}/{path}") for path in files)  # noqa: PTH113  # as below

    def original(self, row: PictureRow) -> str | None:
        """Where a picture's kept original lies in the output folder; None where it is gone."""
        path = f"{PRIVATE}/{row.original}"
        return path if os.path.isfile(f"{self.folder}/{path}") else None  # noqa: PTH113  # thousands of them

    def history(self, label: str, picture: Picture, row: PictureRow | None) -> tuple[PastView, ...]:
        """What a tile showed before, oldest first."""
        before = [old for old in self.takes.get(picture.key, ()) if row is None or old.take != row.take]
        for shown in self.shown.get(label, {}).values():
            if shown.key != picture.key:
                before += self.takes.get(shown.key, ())
        return tuple(self.view(old, picture) for old in sorted(before, key=lambda old: (old.at, old.key, old.take)))

    def view(self, old: PictureRow, picture: Picture) -> PastView:
        """One picture of before, beside the one that is shown or owed now."""
        other = old.key != picture.key
        text = self.parts(old.spec).get("prompt") if other else None
        return PastView(
            take=old.take,
            key=old.key,
            sha=old.sha256,
            path=self.original(old),
            thumb=self.thumb(old),
            made=int(old.at),
            changes=self.changes(old.spec, picture) if other else (),
            text=text if isinstance(text, str) and text != picture.spec.prompt else None,
            provider=self.provider(old),
        )

    def changes(self, before: str, picture: Picture) -> tuple[str, ...]:
        """What differs between a spec of before and a picture's."""
        pair = before, picture.spec.key
        if pair not in self.changed:
            parts = self.parts(before)
            self.changed[pair] = tuple(changes(parts, picture.spec)) if parts else ()
        return self.changed[pair]

    def parts(self, spec: str) -> dict[str, Json]:
        """A spec's parts, as they were."""
        if spec not in self.described:
            self.described[spec] = self.ledger.described(spec) or {}
        return self.described[spec]
