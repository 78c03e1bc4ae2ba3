"""``approvals.yaml`` beside the manifest: what was decided about a campaign's pictures.

It is kept in Git: sorted, an entry per reviewer, picture and take below the picture's label, written whole. A picture
is found by its key, so that labels may be renamed; a label is for people. Entries of other campaigns, and of labels
and pictures that are gone, stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.approvals.file import locked, read_campaigns, write_campaigns
from pipeline.decisions import LONGEST_LABEL, parse_decisions, read_decisions
from pipeline.errors import PipelineError
from pipeline.expand import Expansion
from pipeline.former import settled
from pipeline.ledger import Ledger
from pipeline.types import Manifest
from pipeline.votes import Decision, Key, counting, differing, entry, joined, merged, moment

__all__ = [
    "APPROVALS",
    "NONE",
    "Approvals",
    "Decision",
    "Disagreement",
    "Merge",
    "adopt",
    "approvals_file",
    "parse_decisions",
    "read_approvals",
    "read_decided",
    "read_decisions",
]

APPROVALS = "approvals.yaml"


@dataclass(frozen=True)
class Approvals:
    """What was decided about one campaign's pictures.

    ``said``: picture key → every reviewer's entry on every take; ``by_key``: picture key → the one of them that counts.
    Withdrawn decisions are among them, and decide nothing.
    """

    said: Mapping[str, tuple[Decision, ...]] = field(default_factory=lambda: MappingProxyType({}))
    by_key: Mapping[str, Decision] = field(default_factory=lambda: MappingProxyType({}))


NONE = Approvals()
"""Nothing was decided yet."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One take of a picture that reviewers decide differently about. The newest, the last one, counts."""

    label: str
    sayings: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of decisions that came in, and what is in the file now. ``adopted`` and ``withdrawn`` hold only what
    is new of each reviewer's entry.
    """

    approvals: Approvals
    adopted: tuple[Decision, ...] = ()
    withdrawn: tuple[Decision, ...] = ()
    older: tuple[Decision, ...] = ()  # than what the same reviewer said
    same: int = 0  # as what is there
    unknown: tuple[Decision, ...] = ()  # about pictures that this campaign never had: kept out
    disagreements: tuple[Disagreement, ...] = ()


def approvals_file(manifest: Manifest) -> Path:
    """Where a manifest's decisions lie."""
    return Path(manifest.file).parent / APPROVALS


def read_approvals(manifest: Manifest) -> Approvals:
    """The decisions beside a manifest; none when there is no such file.

    Raises:
        ManifestError: with what is wrong in it, each with its place.
    """
    return _approvals(merged(read_campaigns(approvals_file(manifest)).get(_section(manifest), ())))


def read_decided(file: str, manifest: Manifest) -> list[Decision]:
    """What another ``approvals.yaml``, as of another branch, holds of a manifest's campaign.

    Raises:
        ManifestError: with what is wrong in it.
    """
    if not os.path.lexists(file):
        raise PipelineError(f"{file}: there is no such file")
    return read_campaigns(Path(file)).get(_section(manifest), [])


def adopt(expansion: Expansion, ledger: Ledger | None, decisions: Iterable[Decision]) -> Merge:
    """Merge decisions into the file beside the manifest: of each reviewer the newest vote on each field counts.

    Reading and writing it is one step, also between processes.

    Raises:
        ManifestError: when the file is broken; then it stays as it is.
        StorageError: when it can't be written.
    """
    file = approvals_file(expansion.manifest)
    name = _section(expansion.manifest)
    with locked(Path(os.path.realpath(file)).parent):  # of the file itself: several folders may link to one
        campaigns = read_campaigns(file)
        before = merged(campaigns.get(name, ()))
        merge, after = _adopted(before, expansion, ledger, list(decisions))
        if after != before:
            write_campaigns(file, {**campaigns, name: after.values()})
    return merge


# ── merging ─────────────────────────────────────────────────────────────────────────────────────


def _adopted(
    before: Mapping[Key, Decision], expansion: Expansion, ledger: Ledger | None, decisions: Sequence[Decision]
) -> tuple[Merge, dict[Key, Decision]]:
    """What comes of decisions, and the campaign's entries after it."""
    here = {row.key for row in (ledger.pictures() if ledger else ())}
    homes = _homes(settled(expansion, here | {decision.picture for decision in (*before.values(), *decisions)}))
    known = here | homes.keys()
    came: dict[Key, list[Decision]] = {}
    unknown = []
    for decision in decisions:
        if decision.picture in known:
            came.setdefault(decision.key, []).append(decision)
        else:
            unknown.append(decision)
    after = dict(before)
    for key, said in came.items():
        after[key] = reduce(joined, said, after.get(key, said[0]))
    after = _labelled(after, homes)
    adopted: list[Decision] = []
    withdrawn: list[Decision] = []
    older: list[Decision] = []
    same = 0
    for key, said in came.items():
        had, now = before[key].votes if key in before else {}, after[key].votes
        news = {field: vote for field, vote in now.items() if had.get(field) != vote}
        if news:
            (adopted if any(vote.value for vote in news.values()) else withdrawn).append(entry(after[key], news))
        for decision in said:
            if not decision.votes.items() & news.items():
                lost = decision.votes.items() - now.items()
                older += [replace(decision, label=after[key].label)] if lost else []
                same += not lost
    merge = Merge(
        _approvals(after),
        *(tuple(adopted), tuple(withdrawn), tuple(older)),
        *(same, tuple(unknown), tuple(_disagreements(after.values(), {key[:2] for key in came}))),
    )
    return merge, after


def _homes(expansion: Expansion) -> dict[str, str]:
    """Picture key → the first label that shows it, without its format; its key, where that is too long for a name."""
    homes: dict[str, str] = {}
    for cell in expansion.cells:
        label = cell.label.rpartition(".")[0]
        homes.setdefault(cell.picture.key, label if len(label) <= LONGEST_LABEL else cell.picture.key)
    return homes


def _labelled(said: Mapping[Key, Decision], homes: Mapping[str, str]) -> dict[Key, Decision]:
    """All entries of a picture with one label: the first that shows it now, else the one that was said last."""
    labels: dict[str, tuple[tuple[str, str], str]] = {}
    for decision in said.values():
        last = moment(decision.when), decision.label
        labels[decision.picture] = max(labels.get(decision.picture, last), last)
    return {
        key: decision if decision.label == label else replace(decision, label=label)
        for key, decision in said.items()
        for label in (homes.get(decision.picture, labels[decision.picture][1]),)
    }


def _disagreements(said: Iterable[Decision], touched: set[tuple[str, str]]) -> list[Disagreement]:
    """Where somebody approves the take that somebody else rejects, among these pictures and files."""
    takes: dict[tuple[str, str], list[Decision]] = {}
    for decision in said:
        if (decision.picture, decision.file) in touched:
            takes.setdefault((decision.picture, decision.file), []).append(decision)
    found = (Disagreement(each[0].label, differing(each)) for each in takes.values())
    return sorted((one for one in found if one.sayings), key=lambda one: (one.label, one.sayings[0].file))


def _approvals(entries: Mapping[Key, Decision]) -> Approvals:
    said: dict[str, list[Decision]] = {}
    for _, decision in sorted(entries.items()):
        said.setdefault(decision.picture, []).append(decision)
    by_key = {key: counting(each) for key, each in said.items()}
    return Approvals(MappingProxyType({key: tuple(each) for key, each in said.items()}), MappingProxyType(by_key))


def _section(manifest: Manifest) -> str:
    """The name in the file: proofs of a paid campaign, and rehearsals, are decided about apart from the real pictures,
    as they lie in folders of their own.
    """
    listed: Any = manifest.source.get("providers") or ["local"]
    own = [entry if isinstance(entry, str) else entry.get("gateway", entry.get("name")) for entry in listed]
    proofs = " (proofs)" if manifest.proof and any(gateway != "local" for gateway in own) else ""
    return f"{manifest.campaign}{proofs}{' (rehearsal)' if manifest.rehearsal else ''}"
