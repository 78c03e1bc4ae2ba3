"""A plan and its ledger as the plain values of a contact sheet."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.approvals import Approvals, read_approvals
from pipeline.decoding import decode
from pipeline.errors import printable
from pipeline.expand import PRIVATE
from pipeline.ledger import Ledger, PictureRow
from pipeline.media import MAX_BYTES, THUMB_BOX, thumbnail, write
from pipeline.paths import read_bytes
from pipeline.plan import Plan, Step
from pipeline.publish.past import Past, Standing
from pipeline.report.view import CellView, DecisionView, ReferenceView, SheetView, State, TileView
from pipeline.run import expected_size, thumb_name
from pipeline.types import Manifest, Reference

SHEET = "report.html"
THUMBS = f"{PRIVATE}/thumbs"
"""Where the thumbnails lie in the output folder; their names are the sheet's."""
_REFERENCE_BOX = (200, 200)


def sheet_view(
    plan: Plan, ledger: Ledger, *, stopped: frozenset[str] = frozenset(), approvals: Approvals | None = None
) -> SheetView:
    """The whole contact sheet as plain values; thumbnails that are gone are made again from kept originals.

    ``stopped``: keys of the pictures that a cap did not let a run make; ``approvals``: those beside the manifest, when
    they were read already.
    """
    decided = read_approvals(plan.manifest) if approvals is None else approvals
    return _Showing(plan, ledger, stopped, decided).sheet()


def result_state(plan: Plan, step: Step, stopped: frozenset[str]) -> State:
    """What results.jsonl says of a cell."""
    if step.action == "done":
        return "done"
    if step.action in ("failed", "uncertain"):
        return "failed" if step.action == "failed" else "uncertain"
    if step.cell.picture.key in plan.snapshot.failures:
        return "failed"
    return "stopped" if step.cell.picture.key in stopped else "missing"


def source(manifest: Manifest, reference: Reference) -> str:
    """Where a reference came from, without a path of this machine where that can be."""
    if "://" in reference.source:
        return reference.source
    try:
        return Path(os.path.relpath(reference.source, Path(manifest.file).absolute().parent)).as_posix()
    except ValueError:
        return reference.name


class _Showing:
    """One sheet in the making: ``lacking`` are the thumbnails that are to be made before it is drawn."""

    def __init__(self, plan: Plan, ledger: Ledger, stopped: frozenset[str], approvals: Approvals) -> None:
        self.plan = plan
        self.manifest = plan.manifest
        self.folder = plan.manifest.outputs.folder
        self.stopped = stopped
        self.approvals = approvals
        self.files = plan.snapshot.files
        self.providers = ledger.providers()
        self.by_hand = ledger.by_hand()
        self.blank = ledger.blank()
        self.serial = ledger.serial()
        self.lacking: dict[str, tuple[Path, tuple[int, int]]] = {}
        self.past = Past(plan, ledger, self.provider, self.thumb)

    def sheet(self) -> SheetView:
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
        self.make_lacking()
        money = self.plan.snapshot.money
        return SheetView(
            campaign=self.manifest.campaign,
            manifest=self.manifest.file,
            made_at=iso(datetime.now(UTC).timestamp()),
            commit=git_commit(Path(self.manifest.file).absolute()),
            version=__version__,
            pictures=len(self.plan.expansion.pictures),
            spent_usd=money.spent / 1e6,
            refusals_usd=money.refusals / 1e6,
            saved_usd=self.saved(tiles) / 1e6,
            references=tuple(views),
            tiles=tiles,
            rehearsal=self.manifest.rehearsal,
            serial=self.serial,
            decisions=self.decisions(tiles),
            retake=f"{command(self.manifest)} --retake",
            reviewer=git_user(Path(self.manifest.file).absolute().parent),
        )

    def saved(self, tiles: Iterable[TileView]) -> int:
        """What it would have cost more if every file were a picture of its own, in micro-dollars."""
        price = self.manifest.providers[0].usd
        return price * (sum(len(tile.cells) for tile in tiles) - len(self.plan.expansion.pictures))

    def decisions(self, tiles: Iterable[TileView]) -> dict[str, tuple[DecisionView, ...]]:
        """What was decided about the pictures that are on the sheet, now or before."""
        said = self.approvals.said
        if not said:
            return {}
        keys = dict.fromkeys(key for tile in tiles for key in (tile.key, *(past.key for past in tile.history)))
        return {
            key: tuple(DecisionView(d.file, d.decision, d.stars, d.note, d.who, d.when, d.times) for d in said[key])
            for key in keys
            if key in said
        }

    def tile(self, label: str, steps: list[Step], references: dict[tuple[str, str], int]) -> TileView:
        """One picture in one place, with its cells."""
        cell = steps[0].cell
        spec, place, key = cell.picture.spec, cell.place, cell.picture.key
        row = self.plan.snapshot.pictures.get(key)
        worst = max(steps, key=lambda step: step.action != "done")
        standing = self.past.standing(label, worst, row)
        shown = row or (standing.row if standing else None)
        size = (shown.width, shown.height) if shown else expected_size(self.manifest, spec)
        failure = self.plan.snapshot.failures.get(key)
        reason = worst.reason if failure is None or worst.action == "done" else failure.reason
        reason = "not made yet" if reason == "new" else reason
        if worst.action == "done" and row:
            reason = self.by_hand.get(row.request, "")
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
            state=self.state(worst, standing),
            reason=reason,
            thumb=self.thumb(shown) if shown else None,
            cells=tuple(self.cell(step, standing) for step in steps),
            text=spec.prompt,
            references=tuple(references[r.name, r.digest] for r in spec.references),
            key=key,
            sha=row.sha256 if row else "",
            model=spec.model,
            provider=(self.provider(row) if row else None) or spec.provider or None,
            proof=spec.proof,
            usd=row.usd if row else None,
            seconds=row.seconds if row else None,
            made=int(row.at) if row else None,
            history=self.past.history(label, cell.picture, row),
            stale=self.plan.stale.get(label, ""),
            nsfw=bool(row and row.nsfw),
            blank=self.blank.get((row.key, row.take), "") if row else "",
        )

    def state(self, step: Step, standing: Standing | None) -> State:
        """What the sheet says of a cell: what is not made, but of which an earlier picture stands there, is stale."""
        state = result_state(self.plan, step, self.stopped)
        return "stale" if standing and state in ("missing", "failed", "stopped") else state

    def cell(self, step: Step, standing: Standing | None) -> CellView:
        """One output file."""
        file = self.files.get(step.cell.file)
        if step.action != "done":
            file = file if standing and standing.holds(file) else None
        return CellView(
            format=step.cell.label.rpartition(".")[2],
            path=step.cell.file if file else None,
            bytes=file.bytes if file else None,
            state=self.state(step, standing),
        )

    def provider(self, row: PictureRow) -> str | None:
        """Who made a picture."""
        return self.providers.get(row.request, (None,))[0]

    # ── thumbnails ──────────────────────────────────────────────────────────────────────────────

    def thumb(self, row: PictureRow) -> str:
        """The name of a picture's thumbnail."""
        name = thumb_name(row.key, row.take).rpartition("/")[2]
        self.check(name, self.folder / PRIVATE / row.original, THUMB_BOX)
        return name

    def reference(self, reference: Reference) -> ReferenceView:
        """A reference image, small."""
        name = None
        if "://" not in reference.source:
            name = f"reference-{reference.digest}.webp"
            self.check(name, Path(reference.source), _REFERENCE_BOX)
        return ReferenceView(reference.name, source(self.manifest, reference), reference.digest, reference.role, name)

    def check(self, name: str, original: Path, box: tuple[int, int]) -> None:
        """Note a thumbnail that isn't there."""
        try:
            found = os.lstat(f"{self.folder}/{THUMBS}/{name}")  # once per picture
            there = found.st_size and stat.S_ISREG(found.st_mode)
        except OSError:
            there = False
        if not there:
            self.lacking[name] = original, box

    def make_lacking(self) -> None:
        """Make the thumbnails that are gone, as far as their originals are there."""
        if self.lacking:
            with ThreadPoolExecutor() as pool:  # Pillow works outside of the interpreter's lock
                list(pool.map(lambda item: self.make(item[0], *item[1]), self.lacking.items()))

    def make(self, name: str, original: Path, box: tuple[int, int]) -> None:
        try:
            small = thumbnail(decode(read_bytes(original, MAX_BYTES), still=False), box)
            write(f"{self.folder}/{THUMBS}/{name}", small, str(self.folder))
        except Exception:  # whatever it is, the run's work is done: the sheet is drawn without this thumbnail
            return


def command(manifest: Manifest) -> str:
    """The command line that runs a campaign as it was read: its manifest, and the providers it was told to use."""
    listed: Any = manifest.source.get("providers") or ["local"]
    own = [str(each if isinstance(each, str) else each.get("name", each.get("gateway"))) for each in listed]
    names = [provider.name for provider in manifest.providers]
    words = ["pipeline", "run", shlex.quote(manifest.file)]
    words += [f"--provider {shlex.quote(name)}" for name in names] if names != own else []
    return " ".join([*words, *(["--emulate"] if manifest.rehearsal else [])])


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def git_commit(file: Path) -> str | None:
    """The short commit of the repository that keeps a file, with ``+`` when it has local changes; None without one."""
    folder = file.parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "--", file.name)
        head = _git(folder, "rev-parse", "--short", "HEAD").decode("ascii")
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return head + ("+" if dirty else "")


def git_user(folder: Path) -> str:
    """Who commits there; empty where Git doesn't know, or knows it in another encoding than UTF-8."""
    try:
        return printable(_git(folder, "config", "user.name").decode())
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *words: str) -> bytes:
    """What Git says, in bytes: names of people and files have whatever encoding they were typed in."""
    line = ["git", "-C", str(folder), *words]
    return subprocess.run(line, capture_output=True, timeout=5, check=True).stdout.strip()  # noqa: S603  # fixed words
