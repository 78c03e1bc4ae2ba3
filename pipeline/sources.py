"""Reading the files a manifest is made of: YAML, JSON and CSV, ``extends`` and product files.

What comes out is one merged tree in which every value still knows the file, line and column it was
written at; a path in it is therefore relative to the file that wrote it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Self

from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, Problem
from pipeline.paths import read_bytes
from pipeline.schema import did_you_mean
from pipeline.strict_yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    Map,
    Room,
    Scalar,
    Seq,
    Value,
    key_path,
    mark_of,
    parse,
    plain,
    too_many,
)
from pipeline.types import KeyPath

_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_HALF = re.compile("[\ud800-\udfff]")
_SEPARATORS = re.compile(r"[\s;,]+")
_ALIKE = 2000  # names in a folder that a missing one is compared with
MAX_FILES = 50
"""Files that a manifest may extend, directly or not."""
MAX_COLUMNS = 500
_LONGEST = 2000  # signs of a path


def read_text(path: Path, file: str) -> str:
    """The text of a UTF-8 file.

    Raises:
        ManifestError: when it is missing, too large, no file, or no UTF-8.
    """
    try:
        if path.is_dir():
            raise _cannot(file, "is a folder, not a file")
        if not exists(path):
            raise _cannot(file, "there is no such file", similar_file(path))
        data = read_bytes(path, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _cannot(file, f"is larger than {MAX_BYTES // 2**20} MiB", "split it, or move products into CSV files")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        hint = 'save it as UTF-8 (in Excel: "CSV UTF-8")'
        raise ManifestError([Problem(Mark(file, line, 1), "", "is not UTF-8 text", hint)]) from None
    except (OSError, ValueError) as error:
        raise _cannot(file, f"can't be read: {getattr(error, 'strerror', None) or error}") from None


def _cannot(file: str, fact: str, hint: str = "") -> ManifestError:
    return ManifestError([Problem(Mark(file, 1, 1), "", fact, hint)])


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def similar_file(path: Path) -> str:
    """A did-you-mean for a file that isn't there: a neighbour of a similar name, or the missing folder."""
    try:
        parent = path.parent
        if "\\" in path.name:
            return "write folders with /"
        if not path.name.isprintable():
            return "in double quotes \\ starts an escape (\\t is a tab): write folders with /"
        if path.is_symlink():
            return f"it is a link to {str(path.readlink())!r}, and there is no such file: copy the file here"
        if path.is_dir():
            return "that is a folder"
        if not parent.is_dir():
            return f"there is no folder {parent.name!r}"
        with os.scandir(parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _ALIKE)]
        if any(unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", path.name) for name in names):
            return "there is one with the same letters in another Unicode form: rename it"
        return did_you_mean(path.name, names)
    except (OSError, ValueError):
        return ""


def resolve(file: str, written: str) -> Path:
    """The absolute path of ``written`` in ``file``: in the Unicode form of the file that is there, as a Mac and Git may
    hold a name in another form than an editor does.
    """
    path = Path(Path(file).parent, written).absolute()
    if written.isascii() or exists(path):
        return path
    forms = (Path(Path(file).parent, unicodedata.normalize(form, written)).absolute() for form in ("NFC", "NFD"))
    return next(filter(exists, forms), path)


def read_tree(file: str, room: Room | None = None) -> Map:
    """A manifest with everything it ``extends`` merged in: maps merge, lists and plain values are replaced.

    Raises:
        ManifestError: for what can't be read or parsed.
    """
    return _read_tree(file, (), {}, room or Room(MAX_NODES))


def _read_tree(file: str, chain: tuple[Path, ...], known: dict[Path, Map], room: Room) -> Map:
    """``chain``: the files that led here; ``known``: what was read already, as many may extend one file."""
    here = Path(file).resolve()
    if here in known:
        return known[here]
    if len(known) + len(chain) > MAX_FILES:
        raise _cannot(file, f"extends more than {MAX_FILES} files", "merge some of them")
    tree = parse(read_text(Path(file), file), file, room)
    if not isinstance(tree, Map):
        raise _cannot(file, "is no manifest: a mapping is expected", "start with `version: 1`")
    parents = tree.get("extends")
    names = [parents] if isinstance(parents, str) else parents if isinstance(parents, Seq) else []
    if len(names) > MAX_FILES:
        raise _cannot(file, f"extends more than {MAX_FILES} files", "merge some of them")
    chain = (*chain, here)
    merged: Map | None = None
    for index, name in enumerate(names):
        path: KeyPath = ("extends", index) if isinstance(parents, Seq) else ("extends",)
        mark = mark_of(tree, path)
        if not isinstance(name, str):
            continue  # the schema says so
        try:
            parent = resolve(file, name[:_LONGEST]).resolve()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a sign that no name can have
            raise ManifestError([Problem(mark, key_path(path), f"there is no file {name!r}")]) from None
        shown = str(Path(Path(file).parent, name))
        if parent in chain:
            raise ManifestError([Problem(mark, key_path(path), f"{name!r} extends itself")])
        if not exists(parent):
            raise ManifestError([Problem(mark, key_path(path), f"there is no file {name!r}", similar_file(parent))])
        base = _read_tree(shown, chain, known, room)
        merged = base if merged is None else merge(merged, base, room)
    known[here] = tree if merged is None else merge(merged, tree, room)
    return known[here]


def merge(base: Map, over: Map, room: Room | None = None) -> Map:
    """``over`` laid on ``base``; every value keeps the place it was written at. The copy takes up room, too."""
    if room is not None and not room.take(len(base) + len(over)):
        raise ManifestError([too_many(over.mark)])
    result = Map(over.mark)
    for key in [*base, *(key for key in over if key not in base)]:
        if key not in over:
            result.put(key, base[key], *base.marks[key])
            continue
        below, above = base.get(key), over[key]
        value = merge(below, above, room) if isinstance(below, Map) and isinstance(above, Map) else above
        result.put(key, value, *over.marks[key])
    return result


def read_products(file: str, path: Path, room: Room | None = None) -> Seq:
    """The list of products in a .csv, .yaml, .yml or .json file, as the manifest would hold them inline.

    Raises:
        ManifestError: for an unknown kind of file, or one that can't be read.
    """
    readers: dict[str, Callable[[str, str, Room], Value]] = {
        ".csv": _read_csv,
        ".yaml": parse,
        ".yml": parse,
        ".json": _read_json,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise _cannot(
            file,
            f"products can't be read from {path.suffix or 'this kind of file'!r}",
            "use .csv, .yaml or .json",
        )
    value = reader(read_text(path, file), file, room or Room(MAX_NODES))
    if not isinstance(value, Seq):
        raise _cannot(file, "a list of products is expected", "start each product with `- id: …`")
    return value


def _read_json(text: str, file: str, room: Room) -> Value:
    """JSON, with places where YAML reads it the same (it does, but for a few odd characters and line breaks)."""
    start = Mark(file, 1, 1)
    if sum(map(text.count, ",[{")) > 2 * room.left:  # about as many values, and some commas in texts
        raise ManifestError([too_many(start)])

    def refuse(word: str) -> Value:
        raise ValueError(f"{word} is no number")

    twice: list[str] = []

    def pairs(items: list[tuple[str, Value]]) -> Map:
        result = Map(start)
        for key, value in items:
            if key in result:
                twice.append(key)
            result.put(key, value, start, start)
        return result

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=_Spelled, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ManifestError(
            [Problem(Mark(file, error.lineno, error.colno), "", f"not valid JSON: {error.msg}")]
        ) from None
    except (RecursionError, ValueError) as error:
        raise _cannot(file, f"not valid JSON: {error}") from None

    def joined(pair: re.Match[str]) -> str:
        high, low = int(pair[2], 16), int(pair[3], 16)
        return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:08x}"

    try:
        tree = parse(_SURROGATES.sub(joined, text.replace("\t", " ")), file, room)
    except ManifestError:
        if twice:
            raise
        tree = None
    return tree if tree == value else _placed(value, start)


class _Spelled(float):
    """A number of a JSON file that knows how it is spelled there."""

    def __new__(cls, text: str) -> Self:
        """The number that a text says."""
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def _placed(value: object, mark: Mark, depth: int = 0) -> Value:
    """A value as JSON reads it, all of it at one place.

    Raises:
        ManifestError: for a text with half of a character in it, and for a tree that is too deep.
    """
    if depth > MAX_DEPTH:
        raise ManifestError([Problem(mark, "", f"nested deeper than {MAX_DEPTH} levels")])
    if isinstance(value, str) and _HALF.search(value):
        raise ManifestError([Problem(mark, "", f"{value!r} has half of a character", "write the character itself")])
    if isinstance(value, list):
        seq = Seq(mark)
        for item in value:
            seq.put(_placed(item, mark, depth + 1), _spelled(mark, item))
        return seq
    if isinstance(value, Map):
        result = Map(mark)
        for key, item in value.items():
            _placed(key, mark)
            result.put(key, _placed(item, mark, depth + 1), mark, _spelled(mark, item))
        return result
    if isinstance(value, _Spelled):
        return float(value)
    return value  # type: ignore[return-value]  # a scalar


def _spelled(mark: Mark, value: object) -> Mark:
    return replace(mark, written=value.text) if isinstance(value, _Spelled) else mark


def _read_csv(text: str, file: str, room: Room) -> Seq:
    """Columns ``id``, ``name``, ``tags`` (separated by ``;``, commas or spaces), ``images.NAME``, ``vars.NAME``."""
    if not room.take(max(map(text.count, ",;\t")) + text.count("\n") + text.count("\r")):  # fields, about
        raise ManifestError([too_many(Mark(file, 1, 1))])
    lines = list(io.StringIO(text, newline=""))
    skip = 1 if lines and lines[0].lower().startswith("sep=") else 0  # a line that Excel writes for itself
    header_line = lines[skip] if len(lines) > skip else ""
    delimiter = max(",;\t", key=header_line.count)
    rows = csv.reader(lines[skip:], delimiter=delimiter, strict=True)
    problems: list[Problem] = []
    more = 0
    products = Seq(Mark(file, 1, 1))
    try:
        header = [name.strip() for name in next(rows, [])]
        while header and not header[-1]:  # columns that Excel adds
            header.pop()
        if len(header) > MAX_COLUMNS:
            raise _cannot(file, f"has {len(header):,} columns", f"the most is {MAX_COLUMNS}")
        problems += _bad_columns(header, Mark(file, 1 + skip, 1), header_line)
        first = rows.line_num + 1
        for row in rows:
            mark, first = Mark(file, first + skip, 1), rows.line_num + 1
            if not any(field.strip() for field in row):
                continue
            if any(field.strip() for field in row[len(header) :]):
                fact = f"{len(row)} fields, but the header names {len(header)}"
                more += 1
                if len(problems) < MOST_PROBLEMS:
                    problems.append(Problem(mark, "", fact, f"put a text with {delimiter!r} in quotes"))
                    more -= 1
            places = _columns(lines[mark.line - 1], delimiter, mark)
            products.put(_csv_product(header, row, mark, places), mark)
    except csv.Error as error:
        problems.append(
            Problem(Mark(file, (rows.line_num or 1) + skip, 1), "", f"not valid CSV: {error}", "check the quotes")
        )
    if problems:
        raise ManifestError(problems, more)
    return products


def _bad_columns(header: list[str], mark: Mark, line: str) -> list[Problem]:
    found = []
    for name in header:
        place = Mark(mark.file, mark.line, line.find(name) + 1)
        if name not in ("id", "name", "tags") and not re.fullmatch(r"(images|vars)\.\w+", name):
            hint = did_you_mean(name, ["id", "name", "tags"])
            if re.fullmatch(r"(images|vars)\..*", name, re.IGNORECASE):
                group, _, key = name.partition(".")
                hint = f"write it {group.lower()}.{re.sub(r'[^A-Za-z0-9_]+', '_', key).lower() or 'name'}"
            elif not hint.startswith("did"):
                hint = f"did you mean 'vars.{name}' or 'images.{name}'?" if name.isidentifier() else "name every column"
            found.append(Problem(place, name, f"unknown column {name!r}", hint))
        elif header.count(name) > 1:
            found.append(Problem(place, name, f"the column {name!r} is listed twice", "remove one"))
    if "id" not in header:
        found.append(Problem(mark, "", "there is no column 'id'", "the first line names the columns"))
    return found


def _columns(line: str, delimiter: str, mark: Mark) -> list[Mark]:
    """Where each field of a plain line starts; the line's start where quotes make that unclear."""
    if '"' in line:
        return []
    starts = [0] + [index + 1 for index, sign in enumerate(line) if sign == delimiter]
    return [Mark(mark.file, mark.line, start + 1) for start in starts]


def _csv_product(header: list[str], row: list[str], mark: Mark, places: list[Mark]) -> Map:
    product = Map(mark)
    for index, (column, raw) in enumerate(zip(header, row, strict=False)):
        text = raw.strip()
        if not text:
            continue
        place = places[index] if index < len(places) else mark
        group, _, name = column.partition(".")
        if name:
            inner = product.setdefault(group, Map(place))
            product.marks.setdefault(group, (place, place))
            value: Scalar = plain(text) if group == "vars" else text
            if isinstance(inner, Map):
                inner.put(name, value, place, place if isinstance(value, str) else replace(place, written=text))
        elif column == "tags":
            tags = Seq(place)
            for tag in filter(None, _SEPARATORS.split(text)):
                tags.put(tag, place)
            split = any(len(part.split()) > 1 for part in re.split("[;,]", text))
            product.put(column, tags, place, replace(place, written=text) if split else place)
        else:
            product.put(column, text, place, place)
    return product
