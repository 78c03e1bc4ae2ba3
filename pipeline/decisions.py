"""What reviewers decided about pictures, and the ``decisions.json`` in which a contact sheet sends it.

Such a file comes by mail from anybody: it is read with a size limit, checked against its schema, and what is wrong with
it is told with its place.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, PipelineError, Problem
from pipeline.paths import read_bytes
from pipeline.schema import problems, quick
from pipeline.strict_yaml import Room, Value, parse
from pipeline.votes import Decision, entry, plain_name, plain_note

MAX_BYTES = 64 * 1024 * 1024
"""Larger files are refused unread: decisions on 100,000 pictures have some 40 MB."""
_AGAIN = "export the decisions from the contact sheet again"
LONGEST_LABEL = 500
"""Characters; YAML takes no key of more than a thousand."""


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
    wrong = [
        Problem(Mark(file, 1, 1), f"decisions[{index}].{path}", f"{time!r} is no moment", _AGAIN)
        for index, said in enumerate(value["decisions"])
        for path, time in times_of(said)
        if not is_moment(time)
    ]
    if wrong:
        raise ManifestError(wrong)

    def timed(when: str) -> str:
        """A clock that is years ahead would else win over everything that is decided from now on."""
        return today if when > latest else when

    return [_decision(said, value["reviewer"], timed) for said in value["decisions"]]


def times_of(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The times in an entry of a file, each with the path to it."""
    yield "when", said["when"]
    for field, time in said.get("times", {}).items():
        yield f"times.{field}", time


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


def _decision(said: dict[str, Any], reviewer: str, timed: Callable[[str], str]) -> Decision:
    label = "".join(sign for sign in said["label"] if sign.isprintable())[:LONGEST_LABEL]
    found = Decision(
        picture=said["picture"],
        file=said["file"],
        label=label or said["picture"],
        decision=said["decision"],
        stars=int(said.get("stars", 0)),  # 2.0 is a whole number too
        note=plain_note(said.get("note", "")),
        who=plain_name(said["who"]) or plain_name(reviewer),
        when=timed(said["when"]),
        times=tuple((field, timed(time)) for field, time in said.get("times", {}).items()),
    )
    return entry(found, found.votes) if found.times else found
