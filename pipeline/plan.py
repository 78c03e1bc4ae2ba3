"""What is owed: the cells held against the ledger and the files on disk, with a reason and a price for each.

A plan reads and decides; it changes nothing and calls nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from pipeline.approvals import NONE, Approvals
from pipeline.budget import Cap, midnight
from pipeline.expand import PRIVATE, Expansion, provider_lacks
from pipeline.ledger import EMPTY, FileRow, Ledger, PictureRow, RequestRow, Snapshot
from pipeline.types import Cell, Json, Manifest, Picture, Provider, Reference, Spec
from pipeline.verdicts import BEFORE, UNDECIDED, Verdicts, changes, lost_words, reach_verdicts

REJECTED = "rejected"
"""What ``--retake`` takes instead of a glob: the pictures whose current take is rejected."""

Action: TypeAlias = Literal["done", "rebuild", "make", "failed", "uncertain"]
"""done: nothing to do · rebuild: from the kept original, free · make: owed · failed: refused before, not asked
again by itself, or approved and lost · uncertain: perhaps paid, answer lost, not asked again by itself."""


class Step(NamedTuple):
    """One cell with what is to be done for it, and why. ``selected``: whether this run is to do it."""

    cell: Cell
    action: Action
    reason: str
    selected: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cells a run is about: label globs, tags, and the most pictures to make; ``pictures``: only cells of these
    (keys).
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    limit: int | None = None
    pictures: frozenset[str] | None = None

    def __contains__(self, cell: object) -> bool:
        """Whether a cell is selected (the limit is counted elsewhere)."""
        if not isinstance(cell, Cell):
            return False
        if self.pictures is not None and cell.picture.key not in self.pictures:
            return False
        if self.only and not any(label_matches(cell.label, glob) for glob in self.only):
            return False
        if any(label_matches(cell.label, glob) for glob in self.exclude):
            return False
        return not self.tags or any(tag in cell.place.product.tags for tag in self.tags)


def label_matches(label: str, glob: str) -> bool:
    """Whether a glob names a label: whole, or a leading part of it (``enamel-blue`` is all its cells)."""
    return fnmatchcase(label, glob) or fnmatchcase(label, f"{glob.rstrip('/')}/*")


def named_by(cells: Iterable[Cell], globs: Sequence[str]) -> set[str]:
    """The pictures (keys) of all cells that a glob names."""
    return {cell.picture.key for cell in cells if any(label_matches(cell.label, glob) for glob in globs)}


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A paid job still to be done: pictures of one spec and take that differ only in variant.

    ``providers``: who can make it, in order of preference; ``resume``: the open request that this continues, ``pool``
    who can make it should that turn out never to have been accepted.
    """

    spec: Spec
    pictures: tuple[Picture, ...]
    take: int
    label: str
    providers: tuple[Provider, ...]
    resume: RequestRow | None = None
    pool: tuple[Provider, ...] = ()
    wanted: bool = True
    product: str = ""
    product_set: str = ""

    @property
    def usd(self) -> int:
        """What it will cost, in micro-dollars: nothing more when it was accepted; at most its price when an earlier
        run may not have reached the gateway.
        """
        if self.resume is not None:
            return self.resume.reserved if self.resume.state == "intent" and self.wanted else 0
        return self.providers[0].usd * len(self.pictures)

    @property
    def most(self) -> int:
        """The most that it can cost, in micro-dollars, whoever of its pool makes it in the end."""
        if self.resume is not None and not self.usd:
            return 0
        makers = self.providers if self.resume is None else self.pool
        return max([self.usd, *(provider.usd * len(self.pictures) for provider in makers)])


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of all cells and the requests of the selected ones.

    ``held``: approved pictures that a retake asked for, and leaves out; ``lost``: approved pictures that are not here.
    """

    expansion: Expansion
    snapshot: Snapshot
    steps: tuple[Step, ...]
    requests: tuple[PlannedRequest, ...]
    takes: dict[str, int]  # the take that is owed, of each picture to make
    gone: tuple[FileRow, ...] = ()  # files of cells that the manifest no longer has
    selection: Selection = Selection()
    verdicts: Verdicts = UNDECIDED
    held: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    @property
    def manifest(self) -> Manifest:
        """The manifest it was made from."""
        return self.expansion.manifest

    @property
    def usd(self) -> int:
        """The price now, in micro-dollars."""
        return sum(request.usd for request in self.requests)

    def caps(self, budget: int | None = None) -> list[Cap]:
        """What every cap has left for a run, in micro-dollars; ``budget`` is one more cap of this run."""
        wanted, committed = self.manifest.budget, self.snapshot.committed
        found = []
        if wanted.total is not None:
            found.append(Cap("budget.usd", wanted.total, wanted.total - sum(committed.values())))
        if wanted.day is not None:
            left = wanted.day - sum(usd for (_, today), usd in committed.items() if today)
            found.append(Cap("budget.day_usd", wanted.day, left, since=midnight(), until=midnight(1)))
        for name, usd in wanted.sets.items():
            left = usd - committed.get((name, True), 0) - committed.get((name, False), 0)
            found.append(Cap(f"budget.set_usd.{name}", usd, left, product_set=name))
        for name, run in (("budget.run_usd", wanted.run), ("--budget", budget)):
            if run is not None:
                found.append(Cap(name, run, run, run=True))
        return found

    def price_of(self, cap: Cap) -> int:
        """How much of the price now falls under a cap, in micro-dollars, beyond what it holds already."""
        return sum(request.usd for request in self._under(cap) if cap.run or request.resume is None)

    def most(self, budget: int | None = None) -> int:
        """The most that a run can add to the bill, in micro-dollars: as far as its caps let it go."""
        caps = self.caps(budget)
        prices: Counter[str] = Counter()
        for request in self.requests:
            prices[request.product_set] += request.most
        for cap in caps:
            if cap.product_set is not None and cap.product_set in prices:
                prices[cap.product_set] = min(prices[cap.product_set], self._room(cap))
        return min([prices.total(), *(self._room(cap) for cap in caps if cap.product_set is None)])

    def keys_under(self, caps: Iterable[Cap]) -> frozenset[str]:
        """The pictures that are still to be paid, and fall under any of these caps."""
        paid = (request for cap in caps for request in self._under(cap) if request.usd)
        return frozenset(picture.key for request in paid for picture in request.pictures)

    def _room(self, cap: Cap) -> int:
        """How much a run can add to the bill under a cap: what it holds of earlier runs' calls may come to it too."""
        held = sum(request.usd for request in self._under(cap) if request.resume is not None and not cap.run)
        return cap.left + held if cap.left >= 0 else 0

    def _under(self, cap: Cap) -> Iterator[PlannedRequest]:
        return (request for request in self.requests if cap.covers(request.product_set))

    @property
    def work(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.requests) or any(step.selected and step.action == "rebuild" for step in self.steps)

    def counted(self, action: Action) -> int:
        """How many selected cells have this action."""
        return sum(step.selected and step.action == action for step in self.steps)

    # ── what reviewers decided ──────────────────────────────────────────────────────────────────

    @property
    def stale(self) -> Mapping[str, str]:
        """Label without format → what differs from the picture that was approved there."""
        return self.verdicts.stale

    def word(self, step: Step) -> str:
        """What was decided about a cell's picture, where its reason doesn't say so."""
        key, label = step.cell.picture.key, step.cell.label.rpartition(".")[0]
        found = ""
        if key in self.verdicts.frozen and key not in self.lost:
            found = f"frozen: {self.verdicts.frozen[key].words()}"
        elif key in self.verdicts.rejected:
            found = self.verdicts.rejected[key].words()
        elif label in self.stale:
            found = f"{BEFORE}: {self.stale[label]}"
        return "" if found in step.reason else found

    @property
    def frozen(self) -> int:
        """How many selected pictures are approved, here, and so never made again."""
        keys = {step.cell.picture.key for step in self.steps if step.selected}
        return len((keys & self.verdicts.frozen.keys()) - self.lost)

    @property
    def stale_approvals(self) -> int:
        """How many approvals are of another picture than is owed, or shown, at selected labels now."""
        labels = {step.cell.label.rpartition(".")[0] for step in self.steps if step.selected}
        return len({self.verdicts.against[label].picture for label in labels & self.stale.keys()})

    @property
    def rejected(self) -> tuple[str, ...]:
        """The selected pictures (keys) whose current take is rejected, and which this plan doesn't make anew."""
        if not self.verdicts.rejected:
            return ()
        keys = (step.cell.picture.key for step in self.steps if step.selected and step.action in ("done", "rebuild"))
        return tuple(key for key in dict.fromkeys(keys) if key in self.verdicts.rejected)

    def price_anew(self, keys: Iterable[str]) -> int:
        """What it would cost to make these pictures once more, in micro-dollars."""
        specs = (self.expansion.pictures[key].spec for key in keys)
        return sum(able_providers(self.manifest, spec)[0].usd for spec in specs)


def make_plan(  # what a plan depends on
    expansion: Expansion,
    ledger: Ledger | None,
    *,
    selection: Selection | None = None,
    retake: tuple[str, ...] = (),
    retry_failed: bool = False,
    retry_uncertain: bool = False,
    takes: dict[str, int] | None = None,
    approvals: Approvals = NONE,
) -> Plan:
    """Hold the cells against the ledger (None: never run), the files, and what was decided about pictures.

    ``retake``: label globs of pictures to make once more, or :data:`REJECTED`; ``retry_uncertain``: ask anew, and pay,
    for what may have been paid already; ``takes``: of a saved plan, the only pictures that may be made, each with the
    take that is wanted.
    """
    chosen = selection or Selection()
    return _Planner(expansion, ledger, chosen, retake, retry_failed, retry_uncertain, takes, approvals).plan()


@dataclass(frozen=True, slots=True)
class _State:
    """What the ledger says of a picture: the action for all of its cells, or the row their files derive from."""

    action: Action
    reason: str
    take: int
    row: PictureRow | None = None
    request: RequestRow | None = None


class _Planner:
    def __init__(  # what a plan depends on
        self,
        expansion: Expansion,
        ledger: Ledger | None,
        selection: Selection,
        retake: tuple[str, ...],
        retry_failed: bool,
        retry_uncertain: bool,
        takes: dict[str, int] | None,
        approvals: Approvals,
    ) -> None:
        self.expansion = expansion
        self.manifest = expansion.manifest
        self.ledger = ledger
        self.snapshot = ledger.snapshot() if ledger else EMPTY
        self.selection = selection
        self.verdicts = reach_verdicts(expansion, ledger, self.snapshot, approvals)
        self.lost = set(self.verdicts.lost)
        self.wanted = takes or {}
        asked = named_by(expansion.cells, [glob for glob in retake if glob != REJECTED])
        more = {key for key, take in self.wanted.items() if take > self.have(key)}
        self.held = frozenset((asked | more) & (self.verdicts.frozen.keys() | self.lost))
        self.retake = asked - self.held
        if any(self.wished(key) for key in self.retake):
            self.retake = set()  # an earlier retake of these was cut short: it is continued, none is made twice
        self.retake |= self.verdicts.rejected.keys() if REJECTED in retake else set()
        self.retry_failed = retry_failed
        self.retry_uncertain = retry_uncertain
        self.turn = 0  # of the providers, where they take turns
        self.only_keys = None if takes is None else frozenset(takes)
        self.open = {key: row for row in self.snapshot.open_requests for key, _ in row.pictures}
        self.states: dict[str, _State] = {}
        self.described: dict[str, dict[str, Json] | None] = {}
        self.folder = str(self.manifest.outputs.folder)
        self.copies = copies_of(self.snapshot)

    def have(self, key: str) -> int:
        """The take that is there; 0 when there is none."""
        row = self.snapshot.pictures.get(key)
        return row.take if row else 0

    def plan(self) -> Plan:
        steps = [self.step(cell) for cell in self.expansion.cells]
        # A picture is made whole: one lost original makes all cells of it owed.
        made = {step.cell.picture.key for step in steps if step.action == "make"}
        steps = [
            step._replace(action="make", reason="original lost")
            if step.action == "rebuild" and step.cell.picture.key in made
            else step
            for step in steps
        ]
        steps = self.limited(steps)
        requests, takes = self.requests(steps)
        return Plan(
            *(self.expansion, self.snapshot, tuple(steps), tuple(requests), takes, self.gone()),
            *(self.selection, self.verdicts, self.held, frozenset(self.lost)),
        )

    def gone(self) -> tuple[FileRow, ...]:
        """Files that were written for cells which the manifest no longer has, and still lie there."""
        wanted = {cell.file for cell in self.expansion.cells}
        left = (row for path, row in self.snapshot.files.items() if path not in wanted)
        return tuple(row for row in left if os.path.exists(f"{self.folder}/{row.path}"))  # noqa: PTH110  # as below

    def wished(self, key: str) -> bool:
        """Whether a retake of this picture is owed already."""
        row = self.snapshot.pictures.get(key)
        return row is not None and self.snapshot.wishes.get(key, 0) > row.take

    def step(self, cell: Cell) -> Step:
        selected = cell in self.selection
        state = self.states.get(cell.picture.key)
        if state is None:
            state = self.states[cell.picture.key] = self.state(cell.picture)
        if state.action == "make" and state.reason == "new":
            return Step(cell, "make", self.history(cell), selected)
        if state.row is None or state.action != "done":
            return Step(cell, state.action, state.reason, selected)
        reason = self.file_reason(cell, state.row)
        if not reason:
            return Step(cell, "done", "", selected)
        if self.original_there(state.row):
            return Step(cell, "rebuild", reason, selected)
        approval = self.verdicts.frozen.get(cell.picture.key)
        if approval is not None:
            self.lost.add(cell.picture.key)
            return Step(cell, "failed", lost_words(approval, cell.picture, state.row), selected)
        return Step(cell, "make", "original lost", selected)

    def state(self, picture: Picture) -> _State:
        key = picture.key
        row = self.snapshot.pictures.get(key)
        have = row.take if row else 0
        more = have + 1 if key in self.retake and have else 0
        wanted = max(self.snapshot.wishes.get(key, 0), self.wanted.get(key, 0), more, 1)
        request = self.open.get(key)
        if key in self.verdicts.lost:
            reason = lost_words(self.verdicts.lost[key], picture, row, max(self.snapshot.wishes.get(key, 1), 1))
            return _State("failed", reason, have, row)
        if key in self.verdicts.frozen and not (request and request.take > have and request.state == "accepted"):
            return _State("done", "", have, row)  # never again; but what was paid already is fetched
        if request is not None and request.take > have:
            if request.state == "uncertain" and self.retry_uncertain:
                return _State("make", "uncertain before: asked for anew", request.take, row)
            if request.state == "uncertain":
                reason = "the answer to the paid call was lost: it may have been made, and paid"
                return _State("uncertain", reason, request.take, row, request)
            return _State("make", "in flight", request.take, row, request)
        if row is not None and have >= wanted:
            return _State("done", "", have, row)
        if row is not None:
            rejection = self.verdicts.rejected.get(key)
            return _State("make", f"retake: {rejection.words()}" if rejection else "retake", wanted, row)
        failure = self.snapshot.failures.get(key)
        if failure is not None and failure.permanent and not self.retry_failed:
            return _State("failed", failure.reason, wanted, row)
        if failure is not None:
            return _State("make", f"failed before: {failure.reason}", wanted)
        return _State("make", "new", 1)

    def history(self, cell: Cell) -> str:
        """Why a picture of an unknown key is owed: what its label showed before, and what changed."""
        words = self.verdicts.stale.get(cell.label.rpartition(".")[0])
        if words is not None:
            return f"{BEFORE}: {words}"
        before = self.ledger.cell_spec(cell.label) if self.ledger else None
        if before is None:
            return "new"
        if before not in self.described and self.ledger:
            self.described[before] = self.ledger.described(before)
        return ", ".join(changes(self.described.get(before) or {}, cell.picture.spec)) or "new"

    def file_reason(self, cell: Cell, row: PictureRow) -> str:
        """What is wrong with a cell's file; empty when it is there and untouched."""
        known = self.snapshot.files.get(cell.file)
        encoding = encoding_of(self.manifest, cell.format)
        if known is None:
            return "file not written yet"
        if (known.key, known.take) != (row.key, row.take):
            return "kept picture comes back"
        if known.encoding != encoding:
            return f"encoding changed: {known.encoding} → {encoding}"
        return file_damage(f"{self.folder}/{cell.file}", known)

    def original_there(self, row: PictureRow) -> bool:
        paths = [f"{self.folder}/{PRIVATE}/{row.original}"]
        paths += [f"{self.folder}/{path}" for path in self.copies.get(row.sha256, ())]
        for path in paths:
            try:
                if os.stat(path).st_size == row.bytes:  # noqa: PTH116  # see file_damage
                    return True
            except OSError:
                continue
        return False

    def limited(self, steps: list[Step]) -> list[Step]:
        """Deselect what goes beyond ``--limit``, and what a saved plan doesn't hold."""
        if self.selection.limit is None and self.only_keys is None:
            return steps
        making: dict[str, bool] = {}
        result = []
        for step in steps:
            key = step.cell.picture.key
            if step.selected and step.action == "make":
                if key not in making:
                    planned = self.only_keys is None or key in self.only_keys
                    room = self.selection.limit is None or sum(making.values()) < self.selection.limit
                    making[key] = planned and room
                step = step._replace(selected=making[key])  # noqa: PLW2901  # the same step, deselected
            result.append(step)
        return result

    def requests(self, steps: Iterable[Step]) -> tuple[list[PlannedRequest], dict[str, int]]:
        """Group what is owed by spec and take, and cut it by what one request may make."""
        takes: dict[str, int] = {}
        groups: dict[tuple[str, int], list[Cell]] = {}
        resumed: dict[str, tuple[RequestRow, list[tuple[Picture, str]]]] = {}
        for step in steps:
            picture = step.cell.picture
            if step.action != "make" or not step.selected or picture.key in takes:
                continue
            state = self.states[picture.key]
            take = state.take if state.action == "make" else (state.take or 0) + 1
            takes[picture.key] = take
            if state.request is not None:
                resumed.setdefault(state.request.id, (state.request, []))[1].append((picture, step.cell.label))
            else:
                groups.setdefault((picture.spec.key, take), []).append(step.cell)
        result = [self.resumed(row, owed) for row, owed in resumed.values()]
        result += [
            self.unwanted(row)
            for row in self.snapshot.open_requests
            if row.state != "uncertain" and row.id not in resumed
        ]
        for (_, take), owed in groups.items():
            spec, product = owed[0].picture.spec, owed[0].place.product
            providers = self.routed(spec)
            most = min(provider.offer.count for provider in providers)  # whoever of the pool makes it
            for start in range(0, len(owed), most):
                part = owed[start : start + most]
                pictures = tuple(cell.picture for cell in part)
                planned = PlannedRequest(spec, pictures, take, part[0].label, providers)
                result.append(replace(planned, product=product.id, product_set=product.set))
        return result, takes

    def routed(self, spec: Spec) -> tuple[Provider, ...]:
        """Who can make a spec, in the order of who is to be asked first."""
        able = able_providers(self.manifest, spec)
        if self.manifest.routing == "spread":
            turns = [index for index, provider in enumerate(able) for _ in range(provider.concurrency)]
            first = turns[self.turn % len(turns)]
            self.turn += 1
            able = able[first:] + able[:first]
        return tuple(able)

    def unwanted(self, row: RequestRow) -> PlannedRequest:
        """A request for a picture that nobody wants any more: what was accepted is paid, so it is fetched and kept."""
        parts: dict[str, Any] = (self.ledger.described(row.spec) if self.ledger else None) or {}
        references = tuple(Reference(name, "", digest) for name, digest in parts.get("references", []))
        words = (str(parts.get(name, "")) for name in ("resolution", "aspect_ratio", "format"))
        spec = Spec(row.spec, str(parts.get("model")), False, str(parts.get("prompt", "")), references, *words)
        planned = self.resumed(row, [(Picture(key, spec, variant), row.label) for key, variant in row.pictures])
        return replace(planned, wanted=False, pool=())

    def resumed(self, row: RequestRow, owed: list[tuple[Picture, str]]) -> PlannedRequest:
        # The same account at the same place, not only the same name.
        at = (row.provider, row.gateway, row.model, row.address)
        providers = tuple(
            p for p in self.manifest.providers if (p.name, p.offer.gateway, p.offer.id, p.base_url or "") == at
        )
        pictures = tuple(picture for picture, _ in owed)
        pool = self.routed(pictures[0].spec) if row.state == "intent" else ()
        planned = PlannedRequest(pictures[0].spec, pictures, row.take, owed[0][1], providers, row, pool)
        return replace(planned, product=row.product, product_set=row.product_set)


def able_providers(manifest: Manifest, spec: Spec) -> list[Provider]:
    """Who can make a spec: in the manifest's order, or the cheapest first."""
    able = [
        provider
        for provider in manifest.providers
        if spec.provider in ("", provider.name) and not provider_lacks(provider.offer, spec)
    ]
    return sorted(able, key=lambda provider: provider.usd) if manifest.routing == "cheapest" else able


def encoding_of(manifest: Manifest, kind: str) -> str:
    """How a format is encoded, as the ledger remembers it: ``png``, ``jpeg:90``."""
    quality = manifest.outputs.quality.get(kind)
    return f"{kind}:{quality}" if quality else kind


def file_damage(path: str, known: FileRow) -> str:
    """``file missing``, ``file damaged`` or nothing. A file that looks untouched (size, time) isn't read again."""
    try:
        stat = os.stat(path)  # noqa: PTH116  # once per cell: a Path costs more than the call
    except OSError:
        return "file missing"
    if stat.st_size != known.bytes:
        return "file damaged"
    if stat.st_mtime_ns == known.mtime_ns:
        return ""
    try:
        return "" if hashlib.sha256(Path(path).read_bytes()).hexdigest() == known.sha256 else "file damaged"
    except OSError:
        return "file damaged"


def copies_of(snapshot: Snapshot) -> dict[str, list[str]]:
    """Hash → output files that hold these bytes: a lost original can be had back from one."""
    originals = {row.sha256 for row in snapshot.pictures.values()}
    result: dict[str, list[str]] = {}
    for row in snapshot.files.values():
        if row.sha256 in originals:
            result.setdefault(row.sha256, []).append(row.path)
    return result
