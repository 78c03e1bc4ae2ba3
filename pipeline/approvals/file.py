"""The file itself: campaigns, their labels, and at each what every reviewer said."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.decisions import is_moment, times_of
from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, PipelineError, Problem, StorageError
from pipeline.files import write_whole
from pipeline.schema import problems
from pipeline.sources import exists, read_text
from pipeline.strict_yaml import MAX_BYTES, Map, Room, key_path, mark_of, parse, without_collector
from pipeline.votes import Decision, entry

MAX_NODES = 3_000_000
"""Values in the file: decisions on more than 100,000 pictures."""
VERSION = 2
"""A file of version 1 has one entry at a label, whoever it is from; it is read, and never written."""
_HEAD = "# Decisions on pictures, written by `pipeline review`. Keep it in Git beside the manifest.\n"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NO_WORD = re.compile(r"true|false|null|yes|no|on|off|y|n", re.IGNORECASE)
_UNDECIDED = "undecided"  # stars or a note only; or withdrawn, which an older decision must not bring back
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|={7})(?: |$)", re.MULTILINE)


@without_collector()
def read_campaigns(path: Path) -> dict[str, list[Decision]]:
    """Campaign → every entry; none when there is no such file.

    Raises:
        ManifestError: with what is wrong in it, each with its place.
    """
    if not os.path.lexists(path):
        return {}
    file = str(path)
    if not path.is_dir() and not exists(path):
        fact = "is a link that leads to no file" if path.is_symlink() else "is no file"
        raise ManifestError([Problem(Mark(file, 1, 1), "", fact, "mend or remove it")])
    text = read_text(path, file)
    try:
        tree = parse(text, file, Room(MAX_NODES))
    except ManifestError:
        conflict = _CONFLICT.search(text)
        if conflict is None:
            raise
        mark = Mark(file, text.count("\n", 0, conflict.start()) + 1, 1)
        hint = "take one side, and bring in the other: `git show MERGE_HEAD:./approvals.yaml > theirs.yaml`, then "
        hint += "`pipeline review MANIFEST --import theirs.yaml`"
        raise ManifestError([Problem(mark, "", "Git left a conflict here", hint)]) from None
    if not isinstance(tree, Map):
        raise ManifestError([Problem(Mark(file, 1, 1), "", "is no mapping", "start with `version: 1`")])
    version = tree.get("version")
    if isinstance(version, int) and version > VERSION:
        fact = f"the file is of version {version}, and this program reads {VERSION} at most"
        hint = "install a newer campaign-pipeline"
        raise ManifestError([Problem(mark_of(tree, ("version",)), "version", fact, hint)])
    definition = "version_1" if version == 1 else ""
    found = list(itertools.islice(problems(tree, "approvals", definition=definition), MOST_PROBLEMS + 1))
    if found:
        raise ManifestError(found[:MOST_PROBLEMS], len(found) - MOST_PROBLEMS if len(found) > MOST_PROBLEMS else 0)
    campaigns: Any = tree["campaigns"]
    wrong = [
        Problem(mark_of(tree, at), key_path(at), "there is no such moment", 'for example "2026-11-21T14:03:00Z"')
        for campaign, labels in campaigns.items()
        for _, path, said in _entries(labels)
        for key, time in times_of(said)
        if not is_moment(time)
        for at in (("campaigns", campaign, *path, *key.split(".")),)
    ]
    if wrong:
        raise ManifestError(wrong)
    return {
        campaign: [_decision(label, said) for label, _, said in _entries(labels)]
        for campaign, labels in campaigns.items()
    }


def _entries(labels: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str | int, ...], Mapping[str, Any]]]:
    """Label, path and entry, of a file of any version."""
    for label, said in labels.items():
        if isinstance(said, Map):
            yield label, (label,), said
        else:
            yield from ((label, (label, index), each) for index, each in enumerate(said))


def _decision(label: str, said: Mapping[str, Any]) -> Decision:
    decision = "" if said["decision"] == _UNDECIDED else said["decision"]
    stars = int(said.get("stars", 0))  # 2.0 is a whole number too
    times = tuple(said.get("times", {}).items())
    who, note = said.get("who", ""), said.get("note", "")
    found = Decision(said["picture"], said["file"], label, decision, stars, note, who, said["when"], times)
    return entry(found, found.votes) if times else found


def write_campaigns(path: Path, campaigns: Mapping[str, Iterable[Decision]]) -> None:
    """Write the file whole.

    Raises:
        StorageError: when it can't be written; then it stays as it is.
    """
    data = "".join(_lines(campaigns)).encode()
    if len(data) > MAX_BYTES:  # nobody could read it again
        raise StorageError(
            f"{path}: can't be written: it would have {len(data) / 2**20:,.0f} MiB, and no more than "
            f"{MAX_BYTES // 2**20} are read; shorten the notes, or remove campaigns that are over"
        )
    try:
        target = path.resolve() if path.is_symlink() else path
        write_whole(target, data)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{path}: can't be written: {getattr(error, 'strerror', None) or error}") from None


def _lines(campaigns: Mapping[str, Iterable[Decision]]) -> Iterator[str]:
    """The file, line by line: the same decisions are always the same bytes."""
    yield f"{_HEAD}version: {VERSION}\ncampaigns:{'' if campaigns else ' {}'}\n"
    for campaign, decisions in sorted(campaigns.items()):
        entries = sorted(decisions, key=lambda decision: (decision.label, decision.key))
        yield f"  {_scalar(campaign)}:{'' if entries else ' {}'}\n"
        for label, several in itertools.groupby(entries, key=lambda decision: decision.label):
            yield f"    {_scalar(label)}:\n"
            for decision in several:
                yield from _entry_lines(decision)


def _entry_lines(decision: Decision) -> Iterator[str]:
    yield f"      - decision: {decision.decision or _UNDECIDED}\n"
    yield f'        picture: "{decision.picture}"\n        file: "{decision.file}"\n'
    yield f"        stars: {decision.stars}\n" if decision.stars else ""
    yield f"        who: {_scalar(decision.who)}\n" if decision.who else ""
    yield f'        when: "{decision.when}"\n'
    times = ", ".join(f'{field}: "{time}"' for field, time in decision.times)
    yield f"        times: {{{times}}}\n" if times else ""
    yield f"        note: {_quoted(decision.note)}\n" if decision.note else ""


def _scalar(text: str) -> str:
    """A text as YAML: in quotes, unless it is a plain word for every reader of YAML."""
    return text if _PLAIN.fullmatch(text) and not _NO_WORD.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """A text in double quotes, on one line, as YAML and JSON write it alike."""
    signs = json.dumps(text, ensure_ascii=False)
    if signs.isprintable():
        return signs
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in signs)


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For as long as the file is read and written again, no other process does. Held by a folder, as a file that is
    written whole is another one afterwards.

    Where a file system locks no folders (a share), nothing is held: only a vote of the same moment could be lost.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PipelineError(f"{folder}: can't be read: {error.strerror}") from None
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
