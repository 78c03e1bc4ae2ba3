"""``approvals.yaml`` beside the manifest: what was decided about a campaign's pictures.

It is kept in Git: sorted, an entry per label, written whole. A picture is found by its key, so that labels may be
renamed; an entry's label is for people. Entries of other campaigns, and of labels that are gone, stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.approvals.file import locked, read_campaigns, write_campaigns
from pipeline.decisions import LONGEST_LABEL, Decision, parse_decisions, read_decisions
from pipeline.errors import PipelineError
from pipeline.expand import Expansion
from pipeline.ledger import Ledger
from pipeline.types import Json, Manifest

__all__ = [
    "APPROVALS",
    "NONE",
    "Approvals",
    "Decision",
    "Disagreement",
    "Merge",
    "adopt",
    "approvals_file",
    "for_sheet",
    "parse_decisions",
    "read_approvals",
    "read_decided",
    "read_decisions",
]

APPROVALS = "approvals.yaml"


@dataclass(frozen=True)
class Approvals:
    """What was decided about one campaign's pictures.

    ``by_key``: picture key → the newest decision; ``by_label``: label without its format → the entry that stands there,
    whichever picture it is about. Withdrawn decisions are among them, and decide nothing.
    """

    by_key: Mapping[str, Decision] = field(default_factory=lambda: MappingProxyType({}))
    by_label: Mapping[str, Decision] = field(default_factory=lambda: MappingProxyType({}))


NONE = Approvals()
"""Nothing was decided yet."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One take of a picture that reviewers decide differently about. The newest, the last one, counts."""

    label: str
    sayings: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """What became of decisions that came in, and what stands in the file now."""

    approvals: Approvals
    adopted: tuple[Decision, ...] = ()
    withdrawn: tuple[Decision, ...] = ()
    older: tuple[Decision, ...] = ()  # than what is there
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
    return _approvals(read_campaigns(approvals_file(manifest)).get(_section(manifest), {}))


def read_decided(file: str, manifest: Manifest) -> list[Decision]:
    """What another ``approvals.yaml``, as of another branch, holds of a manifest's campaign.

    Raises:
        ManifestError: with what is wrong in it.
    """
    if not os.path.lexists(file):
        raise PipelineError(f"{file}: there is no such file")
    return list(read_campaigns(Path(file)).get(_section(manifest), {}).values())


def for_sheet(approvals: Approvals, keys: Iterable[str]) -> dict[str, dict[str, Json]]:
    """The decisions on these pictures as the contact sheet holds them: key → its decision."""
    found = ((key, approvals.by_key[key]) for key in dict.fromkeys(keys) if key in approvals.by_key)
    return {
        key: {
            "sha": decision.file,
            "decision": decision.decision,
            "stars": decision.stars,
            "note": decision.note,
            "who": decision.who,
            "when": decision.when,
        }
        for key, decision in found
    }


def adopt(expansion: Expansion, ledger: Ledger | None, decisions: Iterable[Decision]) -> Merge:
    """Merge decisions into the file beside the manifest; the newest on each picture counts.

    Reading and writing it is one step, also between processes.

    Raises:
        ManifestError: when the file is broken; then it stays as it is.
        StorageError: when it can't be written.
    """
    file = approvals_file(expansion.manifest)
    name = _section(expansion.manifest)
    with locked(Path(os.path.realpath(file)).parent):  # of the file itself: several folders may link to one
        campaigns = read_campaigns(file)
        merge, entries = _merged(campaigns.get(name, {}), expansion, ledger, decisions)
        if merge.adopted or merge.withdrawn:
            write_campaigns(file, {**campaigns, name: entries})
    return merge


# ── merging ─────────────────────────────────────────────────────────────────────────────────────


def _merged(
    entries: Mapping[str, Decision], expansion: Expansion, ledger: Ledger | None, decisions: Iterable[Decision]
) -> tuple[Merge, dict[str, Decision]]:
    """What comes of decisions, and the campaign's entries after it."""
    homes = _homes(expansion)
    known = set(homes) | {row.key for row in (ledger.pictures() if ledger else ())}
    standing = dict(_approvals(entries).by_key)
    came: dict[str, list[Decision]] = {}
    unknown = []
    for decision in decisions:
        if decision.picture in known:
            came.setdefault(decision.picture, []).append(decision)
        else:
            unknown.append(decision)
    adopted: list[Decision] = []
    withdrawn: list[Decision] = []
    older: list[Decision] = []
    disagreements = []
    same = 0
    for key, told in came.items():
        before = standing.get(key)
        label = homes.get(key) or (before.label if before else told[0].label)
        told = [replace(decision, label=label) for decision in told]  # noqa: PLW2901  # the same, by its own label
        disagreements += _disagreement(label, [*([before] if before else []), *told])
        newest = max(told, key=lambda decision: decision.rank)
        older += [decision for decision in told if decision.rank < newest.rank]
        if before is not None and newest.rank <= before.rank:
            same += newest.rank == before.rank
            older += [newest] if newest.rank < before.rank else []
            continue
        standing[key] = newest
        (withdrawn if newest.withdrawn else adopted).append(newest)
    after = _placed(standing, homes)
    lists = (tuple(adopted), tuple(withdrawn), tuple(older))
    return Merge(_approvals(after), *lists, same, tuple(unknown), tuple(disagreements)), after


def _homes(expansion: Expansion) -> dict[str, str]:
    """Picture key → the first label that shows it, without its format; its key, where that is too long for a name."""
    homes: dict[str, str] = {}
    for cell in expansion.cells:
        label = cell.label.rpartition(".")[0]
        homes.setdefault(cell.picture.key, label if len(label) <= LONGEST_LABEL else cell.picture.key)
    return homes


def _disagreement(label: str, told: list[Decision]) -> list[Disagreement]:
    """Whether somebody approves the take that somebody else rejects; each by what they said last."""
    last: dict[tuple[str, str], Decision] = {}
    for decision in sorted(told, key=lambda decision: decision.rank):
        last[decision.file, decision.who] = decision
    found = []
    for file in {decision.file for decision in last.values()}:
        here = [decision for decision in last.values() if decision.file == file and decision.decision]
        if len({decision.decision for decision in here}) > 1:
            found.append(Disagreement(label, tuple(sorted(here, key=lambda decision: decision.rank))))
    return found


def _placed(standing: Mapping[str, Decision], homes: Mapping[str, str]) -> dict[str, Decision]:
    """The entries by label: those of pictures that are shown at their first label, all others where they are, unless
    a picture that is shown now has taken that place, or a newer one of the same kind.
    """
    placed: dict[str, Decision] = {}
    for decision in sorted(standing.values(), key=lambda decision: (decision.picture in homes, decision.rank)):
        label = homes.get(decision.picture, decision.label)
        placed[label] = decision if decision.label == label else replace(decision, label=label)
    return placed


def _approvals(entries: Mapping[str, Decision]) -> Approvals:
    by_key: dict[str, Decision] = {}
    for decision in entries.values():
        before = by_key.get(decision.picture)
        if before is None or decision.rank > before.rank:
            by_key[decision.picture] = decision
    return Approvals(MappingProxyType(by_key), MappingProxyType(dict(entries)))


def _section(manifest: Manifest) -> str:
    """The name in the file: proofs of a paid campaign, and rehearsals, are decided about apart from the real pictures,
    as they lie in folders of their own.
    """
    listed: Any = manifest.source.get("providers") or ["local"]
    own = [entry if isinstance(entry, str) else entry.get("gateway", entry.get("name")) for entry in listed]
    proofs = " (proofs)" if manifest.proof and any(gateway != "local" for gateway in own) else ""
    return f"{manifest.campaign}{proofs}{' (rehearsal)' if manifest.rehearsal else ''}"
