"""Holding the cells against the ledger, the files and what was decided: an action and a reason for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pipeline.approvals import NONE, Approvals
from pipeline.expand import PRIVATE, Expansion
from pipeline.former import known_to, settled
from pipeline.ledger import EMPTY, FileRow, Ledger, PictureRow, RequestRow
from pipeline.plan.selectors import named_by
from pipeline.plan.there import EDITED, copies_of, encoding_of, file_damage, gone_words, holds_picture
from pipeline.plan.values import REJECTED, Action, Plan, PlannedRequest, Selection, Step, able_providers
from pipeline.types import Cell, Json, Picture, Provider, Reference, Spec
from pipeline.verdicts import BEFORE, changes, lost_words, reach_verdicts


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
        self.ledger = ledger
        self.snapshot = ledger.snapshot() if ledger else EMPTY
        globs = [glob for glob in retake if glob != REJECTED]
        known = known_to(self.snapshot, approvals.by_key)
        expansion = settled(expansion, known, again=named_by(expansion.cells, globs, selection.named) if globs else ())
        self.expansion = expansion
        self.manifest = expansion.manifest
        self.selection = selection
        self.verdicts = reach_verdicts(expansion, ledger, self.snapshot, approvals)
        self.lost = set(self.verdicts.lost)
        self.retry_failed = retry_failed
        self.wanted = takes or {}
        asked = named_by(expansion.cells, globs, selection.named)
        more = {key for key, take in self.wanted.items() if take > self.have(key)}
        self.held = frozenset((asked | more) & (self.verdicts.frozen.keys() | self.lost))
        self.retake = asked - self.held
        if any(self.wished(key) for key in self.retake):
            self.retake = set()  # an earlier retake of these was cut short: it is continued, none is made twice
        self.retake |= self.verdicts.rejected.keys() if REJECTED in retake else set()
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
            *(self.selection, self.verdicts, self.held, frozenset(self.lost), frozenset(self.strange(steps))),
        )

    def gone(self) -> tuple[FileRow, ...]:
        """Files that were written for cells which the manifest no longer has, and still lie there."""
        wanted = {cell.file for cell in self.expansion.cells}
        left = (row for path, row in self.snapshot.files.items() if path not in wanted)
        return tuple(row for row in left if os.path.exists(f"{self.folder}/{row.path}"))  # noqa: PTH110  # as below

    def strange(self, steps: Iterable[Step]) -> Iterator[str]:
        """The files that this plan would write over and that are a person's: they will be set aside."""
        for step in steps:
            path = f"{self.folder}/{step.cell.file}"
            if not step.selected or step.action not in ("make", "rebuild") or not os.path.lexists(path):
                continue
            known = self.snapshot.files.get(step.cell.file)
            if holds_picture(path) if known is None else file_damage(path, known) == EDITED:
                yield step.cell.file

    def wished(self, key: str) -> bool:
        """Whether a retake of this picture is owed already."""
        row = self.snapshot.pictures.get(key)
        return row is not None and self.snapshot.wishes.get(key, 0) > row.take and not self.given_up(key)

    def given_up(self, key: str) -> bool:
        """Whether asking for a picture again is left to the user."""
        failure = self.snapshot.failures.get(key)
        return failure is not None and failure.permanent and not self.retry_failed

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
        if cell.picture.spec.proof or self.retry_failed:
            return Step(cell, "make", "original lost", selected)
        return Step(cell, "failed", gone_words(state.row), selected)

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
                fate = "could not be read, and is kept" if request.unread else "was lost"
                reason = f"the answer to the paid call {fate}: it may have been made, and paid"
                return _State("uncertain", reason, request.take, row, request)
            return _State("make", "in flight", request.take, row, request)
        if row is not None and have >= wanted:
            return _State("done", "", have, row)
        failure = self.snapshot.failures.get(key)
        if failure is not None and self.given_up(key) and (row is None or key not in self.retake):
            return _State("failed", failure.reason, wanted, row)
        if row is not None:
            rejection = self.verdicts.rejected.get(key)
            return _State("make", f"retake: {rejection.words()}" if rejection else "retake", wanted, row)
        if failure is not None:
            return _State("make", f"failed before: {failure.reason}", wanted)
        return _State("make", "new", wanted)

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
        damage = file_damage(f"{self.folder}/{cell.file}", known)
        if damage == EDITED:  # whatever else is to be done with it
            return f"{EDITED}: will be set aside; keep it with `pipeline adopt`"
        if (known.key, known.take) != (row.key, row.take):
            return "kept picture comes back"
        if known.encoding != encoding:
            return f"encoding changed: {known.encoding} → {encoding}"
        return damage

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
