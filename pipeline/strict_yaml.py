"""Strict YAML: text in, plain values out, each with the place where it was written.

PyYAML reads YAML 1.1: ``16:9`` is 969, ``no`` is False, the last of two equal keys wins, and eighty
aliases can stand for 10^9 nodes. This loader walks libyaml's parse events once and builds dicts and
lists itself, so that scalars follow the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema),
duplicate keys and foreign tags are refused, and bombs are found by their *expanded* size before anything
walks them. Two readings are kinder than the core schema: a number with leading zeros (an article number)
and ``.inf``/``.nan`` stay text. The mark of a number keeps its spelling (``19.90``), as prompts need it.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import yaml

from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, Problem
from pipeline.written import spelled

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = "Scalar | Map | Seq"

MAX_BYTES = 32 * 1024 * 1024
"""Larger files are refused unread."""
MAX_DEPTH = 50
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
"""What libyaml says of more than 1,000 levels since PyYAML 6.0.4; it reads ahead, so this may come before ours."""
MAX_NODES = 300_000
"""Expanded nodes that one manifest may have, with all the files it is made of: what a reader that follows every
alias would walk. Some 15,000 products with pictures, variables and tags; reading them takes a second.
"""
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROLS = {"\0": "a null", "\x0b": "a vertical tab", "\x0c": "a form feed", "\x7f": "a delete"}
MAX_KEY = 1000
MAX_DIGITS = 300

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE: list[tuple[re.Pattern[str], Callable[[str], Scalar]]] = [
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
]
_NOT_PLAIN = frozenset("abcdghijklmopqrsuvwyzABCDGHIJKLMOPQRSUVWYZ")  # first letters that start no core scalar
_KINDS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "null": type(None)}
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


class Map(dict[str, "Value"]):
    """A mapping that knows where it and each of its keys and values were written."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.marks: dict[str, tuple[Mark, Mark]] = {}

    def put(self, key: str, value: Value, key_mark: Mark, value_mark: Mark) -> None:
        """Set a key together with its place."""
        self[key] = value
        self.marks[key] = (key_mark, value_mark)


class Seq(list["Value"]):
    """A sequence that knows where it and each of its items were written."""

    __slots__ = ("mark", "marks")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.marks: list[Mark] = []

    def put(self, value: Value, mark: Mark) -> None:
        """Append an item together with its place."""
        self.append(value)
        self.marks.append(mark)


def key_path(parts: tuple[str | int, ...]) -> str:
    """``("products", "mugs", 0, "id")`` → ``products.mugs[0].id``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def mark_of(root: Value, parts: tuple[str | int, ...], *, key: bool = False) -> Mark | None:
    """Where the value at this key path was written (``key``: where its key was), or its nearest parent."""
    mark = root.mark if isinstance(root, Map | Seq) else None
    node = root
    for index, part in enumerate(parts):
        if isinstance(node, Map) and isinstance(part, str) and part in node:
            marks = node.marks[part]
            mark = marks[0 if key and index == len(parts) - 1 else 1]
            node = node[part]
        elif isinstance(node, Seq) and isinstance(part, int) and part < len(node):
            mark = node.marks[part]
            node = node[part]
        else:
            break
    return mark


def plain(text: str) -> Scalar:
    """Read one plain (unquoted) scalar by the YAML 1.2 core schema."""
    if text[:1] in _NOT_PLAIN or len(text) > MAX_DIGITS:
        return text
    for pattern, read in _CORE:
        if pattern.fullmatch(text):
            value = read(text)
            return text if value in (float("inf"), float("-inf")) else value
    return text


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's collector of cycles pauses: what is read makes none, and walking it again and again is a third of the
    time of reading.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@dataclass(slots=True)
class Room:
    """How many values may still be read: shared by all the files of a manifest."""

    left: int

    def take(self, count: int) -> bool:
        """Take up room for so many values; whether there was any."""
        self.left -= count
        return self.left >= 0


def parse(text: str, file: str, room: Room | None = None) -> Value:
    """Read one YAML document; ``room``: what is left of the manifest that it is a part of.

    Raises:
        ManifestError: for every duplicate key, tag, bomb or syntax error found.
    """
    room = room or Room(MAX_NODES)
    if control := _CONTROL.search(text):
        raise ManifestError([_control_problem(text, control.start(), file)])
    stand_ins = _stand_ins(text)
    composer = _Composer(file, max(room.left, 0), {ord(str(other)): sign for sign, other in stand_ins.items()})
    source = text.translate(str.maketrans(stand_ins)) if stand_ins else text
    try:
        value = composer.document(yaml.parse(source, Loader=_LOADER))
    except yaml.YAMLError as error:
        if isinstance(error, yaml.MarkedYAMLError) and error.problem == _LIBYAML_TOO_DEEP and error.problem_mark:
            # What comes before libyaml's limit is deeper than ours, so reading it ends in our own problem.
            return parse(text[: error.problem_mark.index], file, room)
        composer.problems.append(_syntax_problem(error, file, text))
        raise ManifestError(composer.problems) from None
    except RecursionError:
        raise ManifestError([Problem(Mark(file, 1, 1), "", "nested too deeply")]) from None
    except UnicodeError:
        raise ManifestError([Problem(Mark(file, 1, 1), "", "holds characters that are no text")]) from None
    finally:
        room.take(composer.nodes)
    if composer.problems:
        raise ManifestError(composer.problems, composer.more)
    return value


def _stand_ins(text: str) -> dict[str, str | int | None]:
    """For each line break of YAML 1.1 that is an ordinary character in YAML 1.2 and is in the text: a character that is
    not, and that libyaml leaves alone (https://yaml.org/spec/1.2.2/#54-line-break-characters).
    """
    used = [sign for sign in "\x85\u2028\u2029" if sign in text]
    free = (chr(code) for code in range(0xE000, 0xF900)) if used else iter(())
    return dict(zip(used, (sign for sign in free if sign not in text), strict=False))


def too_many(mark: Mark, path: str = "") -> Problem:
    """The problem of a manifest that there is no more room for."""
    fact = f"the manifest expands to more than {MAX_NODES:,} values"
    return Problem(mark, path, fact, "remove aliases that multiply each other, or split the campaign")


def _control_problem(text: str, index: int, file: str) -> Problem:
    """The problem of a character that no YAML file may hold (https://yaml.org/spec/1.2.2/#51-character-set)."""
    before = re.split("\r\n|\r|\n", text[:index])
    what = _CONTROLS.get(text[index], "a control")
    fact = f"not valid YAML: there is {what} character here (U+{ord(text[index]):04X})"
    hint = "remove it; texts copied from slides and documents have it for a line break"
    return Problem(Mark(file, len(before), len(before[-1]) + 1), "", fact, hint)


def _syntax_problem(error: yaml.YAMLError, file: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 1, 1)
    fact = getattr(error, "problem", None) or getattr(error, "reason", None) or "can't be read"
    line = text.split("\n")[mark.line] if mark and mark.line < text.count("\n") + 1 else ""
    sign = line[mark.column : mark.column + 1] if mark is not None else ""
    opened = getattr(error, "context_mark", None)
    hint = "check the indentation and quotes here"
    if sign == "\t":
        hint = "indent with spaces, not tabs"
    elif "escape" in fact or "hexdecimal" in fact:
        hint = "in double quotes \\ starts an escape: write folders with /, or use single quotes"
    elif sign and sign in "@`%":
        hint = f"a text can't start with {sign}: put it in quotes, or write it below `>`"
    elif "mapping values" in fact:
        hint = "a text with `: ` in it belongs in quotes; and a key's colon needs a space after it"
    elif opened is not None and "quoted scalar" in str(getattr(error, "context", "")):
        hint = f"the quote opened on line {opened.line + 1} is never closed"
    return Problem(place, "", f"not valid YAML: {fact}", hint)


class _Composer:
    """Builds values from parse events, counting what every alias would expand to."""

    def __init__(self, file: str, most: int, stand_ins: dict[int, str]) -> None:
        self.file = file
        self.most = most
        self.stand_ins = stand_ins
        self.problems: list[Problem] = []
        self.more = 0  # problems that are only counted
        self.anchors: dict[str, tuple[Value, int, int, str]] = {}  # value, expanded nodes, levels below it, spelling
        self.open: set[str] = set()  # anchors whose node isn't finished: an alias to one is a loop
        self.path: list[str | int] = []
        self.nodes = 0
        self.depth = 0  # the deepest level reached, aliases followed

    def document(self, events: Iterator[yaml.Event]) -> Value:
        next(events)  # stream start
        if isinstance(next(events), yaml.StreamEndEvent):
            self.complain(Mark(self.file, 1, 1), "the file is empty", "start with `version: 1`")
            return None
        value, _ = self.node(next(events), events)
        next(events)  # document end
        after = next(events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.complain(self.mark(after), "a second document starts here", "keep one document per file")
        return value

    def mark(self, event: Any) -> Mark:  # noqa: ANN401  # untyped events
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def complain(self, mark: Mark, fact: str, hint: str = "") -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(mark, key_path(tuple(self.path)), fact, hint))
        else:
            self.more += 1

    def stop(self, mark: Mark, fact: str, hint: str = "") -> ManifestError:
        return ManifestError([Problem(mark, key_path(tuple(self.path)), fact, hint), *self.problems], self.more)

    def node(self, event: Any, events: Iterator[Any]) -> tuple[Value, Mark]:  # noqa: ANN401  # untyped events
        mark = self.mark(event)
        if isinstance(event, yaml.AliasEvent):
            value, written = self.alias(str(event.anchor), mark)
            return value, replace(mark, written=written) if written else mark
        self.count(1, mark)
        before, deepest, self.depth = self.nodes, self.depth, len(self.path)
        if event.anchor:
            self.open.add(event.anchor)
        self.check_tag(event, mark)
        if isinstance(event, yaml.ScalarEvent):
            value = self.scalar(event)
            if not isinstance(value, str) and value is not None and event.value != spelled(value):
                mark = replace(mark, written=event.value)
        elif len(self.path) >= MAX_DEPTH:
            raise self.stop(mark, f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self.sequence(mark, events)
        else:
            value = self.mapping(mark, events)
        if event.anchor:
            self.open.discard(event.anchor)
            self.anchors[event.anchor] = (value, self.nodes - before + 1, self.depth - len(self.path), mark.written)
        self.depth = max(self.depth, deepest)
        return value, mark

    def check_tag(self, event: Any, mark: Mark) -> None:  # noqa: ANN401  # untyped events
        if event.tag and event.tag != "!" and event.tag not in _TAGS:
            self.complain(mark, f"the tag {event.tag} is not allowed", "write a plain value")

    def count(self, more: int, mark: Mark) -> None:
        self.nodes += more
        if self.nodes > self.most:
            problem = too_many(mark)
            raise self.stop(mark, problem.fact, problem.hint)

    def alias(self, anchor: str, mark: Mark) -> tuple[Value, str]:
        if anchor in self.open:
            raise self.stop(mark, f"the alias *{anchor} contains itself")
        if anchor not in self.anchors:
            raise self.stop(mark, f"the alias *{anchor} has no anchor &{anchor} before it")
        value, size, levels, written = self.anchors[anchor]
        self.count(size, mark)
        self.depth = max(self.depth, len(self.path) + levels)
        if self.depth > MAX_DEPTH:
            raise self.stop(mark, f"nested deeper than {MAX_DEPTH} levels, aliases followed")
        return value, written

    def scalar(self, event: Any) -> Scalar:  # noqa: ANN401  # untyped events
        text = self.text(event)
        if event.tag is None and event.implicit[0]:
            return plain(text)
        kind = (event.tag or "").rpartition(":")[2]
        if kind not in _KINDS:
            return text
        value = plain(text)
        if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
            self.complain(self.mark(event), f"{text!r} is no {kind}", "write a plain value")
        return value

    def text(self, event: Any) -> str:  # noqa: ANN401  # untyped events
        """The characters of a scalar, as they are in the file."""
        text: str = event.value
        return text.translate(self.stand_ins) if self.stand_ins else text

    def sequence(self, mark: Mark, events: Iterator[Any]) -> Seq:
        seq = Seq(mark)
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            self.path.append(len(seq))
            seq.put(*self.node(event, events))
            self.path.pop()
        return seq

    def mapping(self, mark: Mark, events: Iterator[Any]) -> Map:
        own = Map(mark)
        merges: list[tuple[Value, Mark]] = []
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key_mark = self.mark(event)
            if not isinstance(event, yaml.ScalarEvent):
                hint = "quote it if it contains special characters"
                if isinstance(event, yaml.MappingStartEvent):
                    hint = 'a text that starts with {{ belongs in quotes: "{{ … }}"'
                raise self.stop(key_mark, "a key must be a plain word", hint)
            self.count(1, key_mark)
            self.check_tag(event, key_mark)
            key = self.text(event)
            if len(key) > MAX_KEY:
                raise self.stop(key_mark, f"a key has {len(key):,} characters", f"the most is {MAX_KEY:,}")
            self.path.append(key)
            value, value_mark = self.node(next(events), events)
            if key == "<<" and event.implicit[0]:
                merges.append((value, value_mark))
            elif key in own:
                first = own.marks[key][0]
                self.complain(key_mark, f"duplicate key {key!r}", f"it is on line {first.line} already: remove one")
            else:
                own.put(key, value, key_mark, value_mark)
            self.path.pop()
        return self.merged(own, merges) if merges else own

    def merged(self, own: Map, merges: list[tuple[Value, Mark]]) -> Map:
        """Fill in the keys of ``<<`` (https://yaml.org/type/merge.html): what is written here wins."""
        for value, mark in merges:
            for source in value if isinstance(value, Seq) else [value]:
                if not isinstance(source, Map):
                    self.complain(mark, "`<<` merges mappings only", "point it at an anchor of a mapping")
                    continue
                self.count(len(source), mark)
                for key, item in source.items():
                    if key not in own:
                        own.put(key, item, *source.marks[key])
        return own
