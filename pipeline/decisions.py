"""What reviewers decided about pictures, and the ``decisions.json`` in which a contact sheet sends it.

Such a file comes by mail from anybody: it is read with a size limit, checked against its schema, and what is wrong with
it is told with its place.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, PipelineError, Problem, printable
from pipeline.paths import read_bytes
from pipeline.schema import problems, quick
from pipeline.strict_yaml import Room, Value, parse

MAX_BYTES = 64 * 1024 * 1024
"""Larger files are refused unread: decisions on 100,000 pictures have some 40 MB."""
_AGAIN = "export the decisions from the contact sheet again"
LONGEST_LABEL = 500
"""Signs; YAML takes no key of more than a thousand."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about one picture. ``picture`` is its key, ``file`` the SHA-256 of the kept original of the
    take that was looked at, ``label`` the picture's label without its format, ``when`` ISO 8601 in UTC.

    ``decision`` is ``approved``, ``rejected`` or empty: then there are stars or a note only; or nothing at all, when an
    earlier decision was withdrawn.
    """

    picture: str
    file: str
    label: str
    decision: str
    stars: int
    note: str
    who: str
    when: str

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
    def rank(self) -> tuple[str, str, str, str, str, int, str]:
        """What wins among decisions on one picture: the newest; where two are of one moment, the same for everybody."""
        whole, _, fraction = self.when.removesuffix("Z").partition(".")
        return whole, fraction.ljust(9, "0"), self.who, self.decision, self.file, self.stars, self.note

    def words(self) -> str:
        """``rejected by Ana: too dark``, on one line that does nothing to a terminal."""
        said = f"{self.decision or 'noted'} by {self.who or 'somebody'}"
        return printable(said + (f": {' '.join(self.note.split())}" if self.note else ""))


def read_decisions(file: str, campaign: str) -> list[Decision]:
    """The decisions in a file that a contact sheet of this campaign exported.

    Raises:
        PipelineError: when it can't be read, is too large, or is of another campaign.
        ManifestError: with what is wrong in it.
    """
    try:
        data = read_bytes(Path(file), MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PipelineError(f"{file}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    return parse_decisions(data, file, campaign)


def parse_decisions(data: bytes, file: str, campaign: str) -> list[Decision]:
    """As :func:`read_decisions`, of bytes that came from ``file``, or by another way that is called so."""
    if len(data) > MAX_BYTES:
        raise PipelineError(f"{file}: is larger than {MAX_BYTES // 2**20} MiB: no sheet exports so much; {_AGAIN}")
    value, text = _json(data, file)
    if not quick("decisions").is_valid(value):
        raise ManifestError(_wrong(value, text, file))
    if value["campaign"] != campaign:
        raise PipelineError(
            f"{file}: holds decisions on the campaign {value['campaign']!r}, not {campaign!r}: "
            "name the manifest that its contact sheet was made from"
        )
    now = datetime.now(UTC)
    latest, today = ((now + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in (1, 0))
    found = [_decision(entry, value["reviewer"]) for entry in value["decisions"]]
    wrong = [
        Problem(Mark(file, 1, 1), f"decisions[{index}].when", f"{decision.when!r} is no moment", _AGAIN)
        for index, decision in enumerate(found)
        if not is_moment(decision.when)
    ]
    if wrong:
        raise ManifestError(wrong)
    # A clock that is years ahead would else win over everything that is decided from now on.
    return [replace(decision, when=today) if decision.when > latest else decision for decision in found]


def is_moment(when: str) -> bool:
    """Whether a text of the right shape names a moment that there is."""
    try:
        datetime.strptime(when[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def _json(data: bytes, file: str) -> tuple[Any, str]:
    """The JSON in a file, and its text."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, parse_constant=refuse)
        if "\\ud" in text.lower():  # halves of characters, which no file can hold
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return value, text
    except UnicodeDecodeError as error:
        mark, fact = Mark(file, error.object[: error.start].count(b"\n") + 1, 1), "is not UTF-8 text"
    except json.JSONDecodeError as error:
        mark, fact = Mark(file, error.lineno, error.colno), f"not valid JSON: {error.msg}"
    except RecursionError:
        mark, fact = Mark(file, 1, 1), "not valid JSON: nested too deeply"
    except ValueError as error:
        told = "a number is too long" if "int_max_str_digits" in str(error) else str(error)
        mark, fact = Mark(file, 1, 1), f"not valid JSON: {told}"
    raise ManifestError([Problem(mark, "", fact, _AGAIN)])


def _wrong(value: Any, text: str, file: str) -> list[Problem]:  # noqa: ANN401  # any JSON
    """What is wrong with it, located where YAML reads the same JSON."""
    tree: Value = value
    try:
        placed = parse(text.replace("\t", " "), file, Room(2_000_000))
        tree = placed if placed == value else value
    except ManifestError:
        pass
    start = Mark(file, 1, 1)
    found = itertools.islice(problems(tree, "decisions"), MOST_PROBLEMS)
    told = [Problem(problem.mark or start, problem.path, problem.fact, problem.hint or _AGAIN) for problem in found]
    return told or [Problem(start, "", "holds no decisions of a contact sheet", _AGAIN)]


def _decision(entry: dict[str, Any], reviewer: str) -> Decision:
    label = "".join(sign for sign in entry["label"] if sign.isprintable())[:LONGEST_LABEL]
    return Decision(
        picture=entry["picture"],
        file=entry["file"],
        label=label or entry["picture"],
        decision=entry["decision"],
        stars=int(entry.get("stars", 0)),  # 2.0 is a whole number too
        note=entry.get("note", "").strip(),
        who=" ".join((entry["who"] or reviewer).split()),
        when=entry["when"],
    )
