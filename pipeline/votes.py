"""What one reviewer says about one take of a picture, and how the votes of several people and files come together.

A decision, stars and a note are three votes, each with its own time. Of one person's votes on one field the newest
counts; an empty field without a time is no vote, and an empty field with a time takes an earlier vote back. So merging
is the same in any order, and no vote is lost except by a newer one of the same person. ``report/script/votes.js`` does
the same on the contact sheet; a test holds the two against each other.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from pipeline.errors import printable

FIELDS = ("decision", "stars", "note")
_SPACE = re.compile(r"[\s\ufeff]+")
_EDGES = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+$")

Key: TypeAlias = tuple[str, str, str]
"""Picture, file and person: what there is one entry of."""


class Vote(NamedTuple):
    """One field as somebody said it. The greater one counts; where two are of one moment, the same for everybody."""

    moment: tuple[str, str]
    value: str | int
    when: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer said about one take of a picture. ``picture`` is its key, ``file`` the SHA-256 of the kept
    original of the take, ``label`` the picture's label without its format, ``when`` the newest time, ISO 8601 in UTC.

    ``decision`` is ``approved``, ``rejected`` or empty. ``times`` holds (field, time) of every vote whose time does not
    follow from ``when``: a field with a value and no time of its own was said at ``when``, an empty one was never said.
    An entry that is empty and holds no times takes everything back.
    """

    picture: str
    file: str
    label: str
    decision: str
    stars: int
    note: str
    who: str
    when: str
    times: tuple[tuple[str, str], ...] = ()

    @property
    def withdrawn(self) -> bool:
        """Whether it says nothing any more."""
        return not (self.decision or self.stars or self.note)

    @property
    def approved(self) -> bool:
        """Whether the picture was approved."""
        return self.decision == "approved"

    @property
    def rejected(self) -> bool:
        """Whether the picture was rejected."""
        return self.decision == "rejected"

    @property
    def votes(self) -> dict[str, Vote]:
        """Field → vote; without the fields on which this reviewer never said anything."""
        times = dict(self.times)
        all_back = self.withdrawn and not times
        found = {}
        values: tuple[str | int, ...] = (self.decision, self.stars, self.note)
        for field, value in zip(FIELDS, values, strict=True):
            if value or all_back or field in times:
                when = times.get(field, self.when)
                found[field] = Vote(moment(when), value, when)
        return found

    @property
    def decided(self) -> str:
        """When ``decision`` was said."""
        return dict(self.times).get("decision", self.when)

    @property
    def key(self) -> Key:
        """What there is one entry of."""
        return self.picture, self.file, person(self)

    def words(self) -> str:
        """``rejected by Ana: too dark``, on one line that does nothing to a terminal."""
        said = f"{self.decision or 'noted'} by {self.who or 'somebody'}"
        return printable(said + (f": {' '.join(self.note.split())}" if self.note else ""))


def moment(when: str) -> tuple[str, str]:
    """A time as it is compared: a fraction of a second is later than none."""
    whole, _, fraction = when.removesuffix("Z").partition(".")
    return whole, fraction.ljust(9, "0")


def person(decision: Decision) -> str:
    """Who said it: a name is the same in any case, spacing and Unicode composition.

    Nobody knows whether two entries without a name are of one person. So each is a person of its own, and none of them
    is lost.
    """
    name = unicodedata.normalize("NFC", plain_name(decision.who)).lower()
    if name:
        return unicodedata.normalize("NFC", name)
    said = [decision.when, decision.decision, decision.stars, decision.note, sorted(decision.times)]
    return "\n" + json.dumps(said)


def plain_name(who: str) -> str:
    """A name with single spaces, and none around it."""
    return _SPACE.sub(" ", who).strip(" ")


def plain_note(note: str) -> str:
    """A note without space around it."""
    return _EDGES.sub("", note)


def entry(base: Decision, votes: Mapping[str, Vote]) -> Decision:
    """These votes as ``base``'s reviewer's entry; the same votes are always the same entry."""
    when = max((vote.moment, vote.when) for vote in votes.values())[1]
    all_back = len(votes) == len(FIELDS) and all(not vote.value and vote.when == when for vote in votes.values())
    told = () if all_back else [field for field in FIELDS if field in votes]
    times = tuple((field, votes[field].when) for field in told if votes[field].when != when or not votes[field].value)
    decision, stars, note = (votes[field].value if field in votes else "" for field in FIELDS)
    said = replace(base, decision=str(decision), stars=int(stars or 0), note=str(note))
    return replace(said, when=when, times=times)


def joined(one: Decision, other: Decision) -> Decision:
    """Two entries of one reviewer about one take as one: of each field the newest vote."""
    votes = one.votes
    for field, vote in other.votes.items():
        votes[field] = max(votes.get(field, vote), vote)
    newer = max(one, other, key=lambda each: (moment(each.when), each.when, each.who, each.label))
    return entry(newer, votes)


def merged(decisions: Iterable[Decision]) -> dict[Key, Decision]:
    """One entry per reviewer, picture and file, whatever the order of what came."""
    found: dict[Key, Decision] = {}
    for decision in decisions:
        key = decision.key
        before = found.get(key)
        found[key] = decision if before is None else joined(before, decision)
    return found


def rank(decision: Decision) -> tuple[bool, bool, tuple[str, str], str, str, str, str]:
    """The greatest counts: the newest decision, or else the newest that says anything."""
    when = decision.decided if decision.decision else decision.when
    first = bool(decision.decision), not decision.withdrawn
    return *first, moment(when), decision.decision, when, decision.who, decision.note


def counting(said: Iterable[Decision]) -> Decision:
    """The entry that counts among those of several reviewers. It is one person's own, with their own note."""
    return max(said, key=rank)


def differing(said: Iterable[Decision]) -> tuple[Decision, ...]:
    """Who decided on one take, the one that counts last, when they don't agree; else nothing."""
    decided = sorted((each for each in said if each.decision), key=rank)
    return tuple(decided) if len({each.decision for each in decided}) > 1 else ()
