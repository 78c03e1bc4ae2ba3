"""What decisions mean for the pictures that a ledger holds: frozen, lost, rejected, or no longer the approved one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.approvals import Approvals, Decision
from pipeline.expand import PRIVATE, Expansion
from pipeline.ledger import Ledger, PictureRow, Snapshot
from pipeline.types import EXTENSION, Json, Picture, Spec

BEFORE = "approved as it was before"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The decisions that matter to a plan.

    ``frozen``: picture key → the approval of its current take, which no run makes again; ``lost``: → the approval of a
    picture that isn't here; ``rejected``: → the rejection of its current take; ``stale``: label without format → what
    differs from what was approved there, and ``against`` which approval that is.
    """

    frozen: Mapping[str, Decision] = field(default_factory=dict)
    lost: Mapping[str, Decision] = field(default_factory=dict)
    rejected: Mapping[str, Decision] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)
    against: Mapping[str, Decision] = field(default_factory=dict)


UNDECIDED = Verdicts()
"""Where nothing was decided."""


def reach_verdicts(expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot, approvals: Approvals) -> Verdicts:
    """Hold decisions against the pictures that are there."""
    if not approvals.by_key:
        return UNDECIDED
    judge = _Judge(expansion, ledger, snapshot, approvals)
    for key, picture in expansion.pictures.items():
        if key in approvals.by_key:
            judge.picture(picture, approvals.by_key[key])
    judge.labels()
    return Verdicts(judge.frozen, judge.lost, judge.rejected, judge.stale, judge.against)


def lost_words(approval: Decision, picture: Picture, row: PictureRow | None, take: int = 1) -> str:
    """Why an approved picture that isn't here is not made anew, and what to do."""
    withdraw = "withdraw the approval (`pipeline review`)"
    if row is not None and row.sha256 == approval.file:
        place = f"{PRIVATE}/{row.original}"
        return f"the approved picture is lost (sha256 {approval.file}): put {place} back, or {withdraw}"
    place = f"{PRIVATE}/originals/{picture.key}.t{take}.{EXTENSION[picture.spec.format]}"
    return (
        f"the approved picture is not here (sha256 {approval.file}): put it back as {place} "
        f"and run `pipeline restore`, or {withdraw}"
    )


class _Judge:
    def __init__(self, expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot, approvals: Approvals) -> None:
        self.expansion = expansion
        self.ledger = ledger
        self.snapshot = snapshot
        self.approvals = approvals
        paid = (row for row in snapshot.open_requests if row.state == "accepted")
        self.coming = {key for row in paid for key, _ in row.pictures}  # will be fetched
        self.frozen: dict[str, Decision] = {}
        self.lost: dict[str, Decision] = {}
        self.rejected: dict[str, Decision] = {}
        self.other: dict[str, Decision] = {}  # approvals of another take than the current one
        self.stale: dict[str, str] = {}
        self.against: dict[str, Decision] = {}
        self.made: dict[str, int] | None = None  # the last take that was ever made, of each picture
        self.known: dict[str, list[PictureRow]] | None = None  # all takes that are here, of each picture

    def picture(self, picture: Picture, decision: Decision) -> None:
        key, row = picture.key, self.snapshot.pictures.get(picture.key)
        current = row is not None and row.sha256 == decision.file
        if decision.rejected and row is not None and current:
            if not self.answered(row, decision):
                self.rejected[key] = decision
        elif decision.approved and current:
            self.frozen[key] = decision
        elif decision.approved and self.is_lost(picture, row, decision):
            self.lost[key] = decision
        elif decision.approved and row is not None:
            self.other[key] = decision

    def is_lost(self, picture: Picture, row: PictureRow | None, approval: Decision) -> bool:
        """Whether the approved take isn't here any more, or never was; what is a proof is drawn alike anew."""
        if picture.key in self.coming or approval.file in {take.sha256 for take in self.takes(picture.key)}:
            return False
        return (row is None and not picture.spec.proof) or self.last(picture.key) > (row.take if row else 0)

    def last(self, key: str) -> int:
        """The last take that was made of a picture, also when it was lost since."""
        if self.made is None:
            self.made = {}
            for request in self.ledger.requests("state = 'made'") if self.ledger else ():
                for other, _ in request.pictures:
                    self.made[other] = max(self.made.get(other, 0), request.take)
        return self.made.get(key, 0)

    def answered(self, row: PictureRow, rejection: Decision) -> bool:
        """Whether a rejected take was made anew since, and the gateway gave the same bytes again."""
        made = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        if row.take == 1 or rejection.when[: len(made)] > made:
            return False
        return any(take.take < row.take and take.sha256 == row.sha256 for take in self.takes(row.key))

    def takes(self, key: str) -> list[PictureRow]:
        """All takes of a picture that are here."""
        if self.known is None:
            self.known = {}
            for row in self.ledger.pictures() if self.ledger else ():
                self.known.setdefault(row.key, []).append(row)
        return self.known.get(key, [])

    def labels(self) -> None:
        """Which labels show something else than what was approved there."""
        shown: set[str] = set()
        for cell in self.expansion.cells:
            label, picture = cell.label.rpartition(".")[0], cell.picture
            if label in shown:
                continue
            shown.add(label)
            entry, own = self.approvals.by_label.get(label), self.approvals.by_key.get(picture.key)
            if picture.key in self.other:
                self.stale[label], self.against[label] = "another take was approved", self.other[picture.key]
            elif (
                entry is not None
                and entry.approved
                and entry.picture not in self.expansion.pictures  # else only the label has changed
                and (own is None or own.withdrawn)
            ):
                self.stale[label], self.against[label] = self.words(entry, picture.spec), entry

    def words(self, entry: Decision, spec: Spec) -> str:
        row = self.snapshot.pictures.get(entry.picture)
        before = self.ledger.described(row.spec) if self.ledger and row else None
        return ", ".join(changes(before, spec) if before else ()) or "another picture was approved"


def changes(before: dict[str, Json], spec: Spec) -> Iterator[str]:
    """What differs between a spec of before and one of now: ``prompt changed``, ``reference changed: …``."""
    now = spec.described()
    if before.get("prompt") != now["prompt"]:
        yield "prompt changed"
    old, new = before.get("references") or [], now["references"]
    if isinstance(old, list) and isinstance(new, list) and [r[1] for r in old] != [r[1] for r in new]:  # type: ignore[index]  # pairs
        names = [n[0] for o, n in zip(old, new, strict=False) if o[1] != n[1]]  # type: ignore[index]  # pairs
        yield "reference changed" + (f": {', '.join(map(str, names))}" if names else f": {len(old)} → {len(new)}")
    for what in ("model", "resolution", "aspect_ratio", "format", "proof"):
        if before.get(what) != now[what]:
            if what == "proof":
                yield "made as a proof before" if before.get(what) else "made by the model before"
            else:
                yield f"parameter changed: {what} {before.get(what)} → {now[what]}"
