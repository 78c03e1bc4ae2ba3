"""What decisions mean for the pictures that a ledger holds: frozen, lost, rejected, or no longer the approved one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.approvals import Approvals
from pipeline.expand import PRIVATE, Expansion
from pipeline.ledger import Ledger, PictureRow, Snapshot
from pipeline.types import EXTENSION, Json, Picture, Spec
from pipeline.votes import Decision, counting, differing, rank

BEFORE = "approved as it was before"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The decisions that matter to a plan.

    ``frozen``: picture key → the approval of its current take, which no run makes again; ``lost``: → the approval of a
    picture that isn't here; ``rejected``: → the rejection of its current take; ``differing``: → what reviewers who
    don't agree on the current take say, the one that counts last; ``stale``: label without format → what differs from
    what was approved there, and ``against`` which approval that is.
    """

    frozen: Mapping[str, Decision] = field(default_factory=dict)
    lost: Mapping[str, Decision] = field(default_factory=dict)
    rejected: Mapping[str, Decision] = field(default_factory=dict)
    differing: Mapping[str, tuple[Decision, ...]] = field(default_factory=dict)
    stale: Mapping[str, str] = field(default_factory=dict)
    against: Mapping[str, Decision] = field(default_factory=dict)


UNDECIDED = Verdicts()
"""Where nothing was decided."""


def reach_verdicts(expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot, approvals: Approvals) -> Verdicts:
    """Hold decisions against the pictures that are there."""
    if not approvals.said:
        return UNDECIDED
    judge = _Judge(expansion, ledger, snapshot, approvals)
    for key, picture in expansion.pictures.items():
        if key in approvals.said:
            judge.picture(picture, approvals.by_key[key], approvals.said[key])
    judge.labels()
    return Verdicts(judge.frozen, judge.lost, judge.rejected, judge.differing, judge.stale, judge.against)


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
        self.differing: dict[str, tuple[Decision, ...]] = {}
        self.other: dict[str, Decision] = {}  # approvals of another take than the current one
        self.stale: dict[str, str] = {}
        self.against: dict[str, Decision] = {}
        self.made: dict[str, int] | None = None  # the last take that was ever made, of each picture
        self.known: dict[str, list[PictureRow]] | None = None  # all takes that are here, of each picture

    def picture(self, picture: Picture, newest: Decision, said: tuple[Decision, ...]) -> None:
        """What was said about a picture, ``newest`` of it the decision that counts."""
        key, row = picture.key, self.snapshot.pictures.get(picture.key)
        here = [each for each in said if row is not None and each.file == row.sha256]
        own = counting(here) if here else None  # on the take that is shown now
        if newest.approved and newest is not own and self.is_lost(picture, row, newest):
            self.lost[key] = newest
        elif row is not None and own is not None and (own.approved or (own.rejected and not newest.approved)):
            if disagreement := differing(here):
                self.differing[key] = disagreement
            if own.approved:
                self.frozen[key] = own
            elif not self.answered(row, own):
                self.rejected[key] = own
        elif newest.approved and row is not None:
            self.other[key] = newest

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
        if row.take == 1 or rejection.decided[: len(made)] > made:
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
        gone: dict[str, Decision] = {}  # label → what counts of the pictures that it showed before
        for decision in self.approvals.by_key.values():
            if decision.decision and decision.picture not in self.expansion.pictures:
                gone[decision.label] = max(gone.get(decision.label, decision), decision, key=rank)
        shown: set[str] = set()
        for cell in self.expansion.cells:
            label, picture = cell.label.rpartition(".")[0], cell.picture
            if label in shown:
                continue
            shown.add(label)
            before, own = gone.get(label), self.approvals.by_key.get(picture.key)
            if picture.key in self.other:
                self.stale[label], self.against[label] = "another take was approved", self.other[picture.key]
            elif before is not None and before.approved and (own is None or not own.decision):
                self.stale[label], self.against[label] = self.words(before, picture.spec), before

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
