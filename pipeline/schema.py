"""JSON Schemas: reading the published ones, and turning their complaints into located problems."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, ValidationError

from pipeline.errors import MOST_PROBLEMS, Problem
from pipeline.misfits import Misfits
from pipeline.strict_yaml import Value, key_path, mark_of
from pipeline.written import spelled

_WORDS = re.compile(r"\^\(([A-Za-z0-9|]+)\)\$")
"""A pattern that is a list of words."""
_RATIO = re.compile(r"([1-9][0-9]{0,4}(?:\.[0-9]{1,4})?)[:x/×]([1-9][0-9]{0,4}(?:\.[0-9]{1,4})?)")
_LIKE = 0.35
"""How far the logarithms of two ratios may be apart for one to be meant by the other: 1:1 and 7:5."""
_LONG_WORD = 100
_MANY_NAMES = 1000


def schema_text(name: str) -> str:
    """The published schema ``name`` (``manifest``, ``model``, ``result``, ``decisions``, ``approvals``): from the
    installed package, or from the top of the source tree.
    """
    packaged = files("pipeline").joinpath("schemas", f"{name}.schema.json")
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return (Path(__file__).parent.parent / "schemas" / f"{name}.schema.json").read_text("utf-8")


@cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_text(name))
    return schema


@cache
def _part(name: str, definition: str) -> dict[str, Any]:
    """A whole schema, or one of its ``$defs``."""
    schema = _schema(name)
    return {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]} if definition else schema


@cache
def validator(name: str, definition: str = "") -> Draft202012Validator:
    """A validator of a whole schema, or of one of its ``$defs``; built once, as building costs milliseconds."""
    return Draft202012Validator(_part(name, definition))


@cache
def quick(name: str, definition: str = "") -> jsonschema_rs.Draft202012Validator:
    """The same schema for a look at many values: it says whether and where in a hundredth of the time."""
    return jsonschema_rs.Draft202012Validator(_part(name, definition))


@cache
def _misfits(name: str) -> Misfits:
    return Misfits(_schema(name))


@cache
def definitions(name: str) -> frozenset[str]:
    """The names of a schema's ``$defs``."""
    return frozenset(_schema(name).get("$defs", ()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'prompts'?``, or what there is to choose from."""
    if (near := _nearest_ratio(word, known)) is not None:
        return f"did you mean {near!r}?"
    every = known if isinstance(known, set | frozenset | dict) else set(known)
    if len(every) > _MANY_NAMES:  # likeness is dear: only with those that begin alike
        alike = (name for name in every if name[:1] == word[:1] and abs(len(name) - len(word)) < 3)
        every = set(itertools.islice(alike, _MANY_NAMES // 5)) or set(itertools.islice(every, 13))
    word, names = word[:_LONG_WORD], sorted(every)
    close = [name for name in names if name.casefold() == word.casefold()]
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or [name for name in names if word and name.startswith(word)]
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there is none"
    return "there is " + ", ".join(names[:12]) + (" …" if len(names) > 12 else "")


def _nearest_ratio(word: str, known: Iterable[str]) -> str | None:
    """The ratio whose shape is most like that of ``word``, where that is a ratio and one is like it at all."""
    shape = _shape(word)
    if shape is None:
        return None
    shapes = {name: found for name in known if (found := _shape(name)) is not None}
    near = min(shapes, key=lambda name: abs(shapes[name] - shape), default=None)
    return near if near is not None and abs(shapes[near] - shape) <= _LIKE else None


def _shape(word: str) -> float | None:
    """The logarithm of width by height, of ``16:9`` and its like; None for anything else."""
    found = _RATIO.fullmatch(word)
    return math.log(float(found[1]) / float(found[2])) if found else None


def problems(
    value: Value, name: str, *, definition: str = "", at: tuple[str | int, ...] = (), root: Value = None
) -> Iterator[Problem]:
    """Every way in which ``value`` differs from the schema, located in ``root`` (default: the value) below ``at``.

    After a hundred mistakes nobody looks for more.
    """
    whole = value if root is None else root
    errors = list(itertools.islice(_errors(value, name, definition), MOST_PROBLEMS + 1))
    # A misspelt key is one mistake, not also the lack of the right one.
    misspelt = {
        (key_path(tuple(error.absolute_path)), close)
        for error in errors
        if error.validator == "additionalProperties"
        for key in itertools.islice(
            (key for key in error.instance if key not in error.schema["properties"]), MOST_PROBLEMS
        )
        for close in difflib.get_close_matches(key[:_LONG_WORD], error.schema["properties"], n=1)
    }
    for error in errors:
        lacks = (key_path(tuple(error.absolute_path)), error.message.partition("'")[2].partition("'")[0])
        if error.validator != "required" or lacks not in misspelt:
            yield from _explain(error, whole, at)


def _errors(value: Value, name: str, definition: str) -> Iterator[Any]:
    """What ``jsonschema`` says, asked only about the places and keywords where the quick look found something."""
    for schema, part, path, found in _misfits(name).find(value, _part(name, definition)):
        *way, keyword = found.schema_path
        rules, instance = _at(schema, way), _at(part, found.instance_path)
        if isinstance(found.kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
            way, instance = ["propertyNames", *way], found.kind.error.instance  # of one key
        limit = [found.kind.property] if keyword == "required" else rules[keyword]  # type: ignore[attr-defined]  # not in its stub
        only = {keyword: limit, "properties": dict.fromkeys(rules.get("properties", ()), True)}
        errors: list[Any] = list(validator(name, definition).evolve(schema=only).iter_errors(instance))
        # In a pattern, `$` is the very end of the text; Python's stands before a last line break as well.
        for error in errors or [ValidationError(found.message, str(keyword), instance=instance)]:
            error.schema, error.validator_value = rules, rules[keyword]
            error.path.extendleft(reversed([*path, *found.instance_path]))
            error.schema_path.extendleft(reversed(way))
            yield error


def _at(tree: Any, path: Iterable[str | int]) -> Any:  # noqa: ANN401  # any JSON
    for part in path:
        tree = tree[part]
    return tree


def _explain(  # noqa: C901  # one short case per keyword of the schema
    error: Any,  # noqa: ANN401  # jsonschema's errors are loosely typed
    root: Value,
    at: tuple[str | int, ...],
) -> Iterator[Problem]:
    path = (*at, *error.absolute_path)
    here = key_path(path)
    mark = mark_of(root, path)
    limit, value = error.validator_value, error.instance
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            for key in value:
                if key not in known:
                    place = mark_of(root, (*path, key), key=True)
                    yield Problem(place, key_path((*path, key)), f"unknown key {key!r}", did_you_mean(key, known))
        case "required":
            missing = [key for key in limit if key not in value]
            # jsonschema reports each missing key by itself; the message names it.
            key = next((key for key in missing if error.message.startswith(repr(key))), missing[0])
            what = error.schema.get("properties", {}).get(key, {}).get("examples", ["…"])[0]
            yield Problem(mark, here, f"the key {key!r} is missing", f"add `{key}: {_short(what)}`")
        case "type":
            written = (mark.written if mark else "") or _short(value)
            fact = "is empty" if value is None else f"{written} is {_kind(value)}"
            hint = _type_hint(value, limit, path, mark.written if mark else "")
            yield Problem(mark, here, f"{fact}, not {_kinds(limit)}", hint)
        case "enum":
            same = isinstance(value, str) and value in map(str, limit) and value not in limit
            hint = "write it without quotes" if same else did_you_mean(str(value), map(str, limit))
            yield Problem(mark, here, f"{_short(value)} is not allowed", hint)
        case "pattern":
            if "propertyNames" in error.absolute_schema_path:
                mark = mark_of(root, (*path, value), key=True)
                if _is_empty(root, path, value):
                    hint = "if a comma before it belongs to a text, quote the whole text"
                    yield Problem(mark, key_path((*path, value)), f"the key {value!r} has no value", hint)
                    return
            if (words := _WORDS.fullmatch(str(limit))) is not None:
                yield Problem(mark, here, f"{_short(value)} is not allowed", did_you_mean(value, words[1].split("|")))
                return
            example = error.schema.get("examples", [""])[0]
            example = example[0] if isinstance(example, list) else example
            rule = error.schema.get("description", f"it must match {limit}").rstrip(".")
            rule = rule[0].lower() + rule[1:]
            yield Problem(mark, here, f"{_short(value)} is not allowed here", f"{rule} (for example {example})")
        case "uniqueItems":
            twice = sorted(item for item, number in Counter(map(str, value)).items() if number > 1)
            yield Problem(mark, here, f"{', '.join(twice)} is listed twice", "remove one")
        case "minItems" | "minProperties" | "minLength":
            fact = f"has only {len(value)} of {limit}" if value else "is empty"
            yield Problem(mark, here, fact, f"for example {_short(error.schema.get('examples', ['…'])[0])}")
        case "maxItems" | "maxProperties" | "maxLength":
            things = "characters" if isinstance(value, str) else "keys" if isinstance(value, dict) else "items"
            yield Problem(mark, here, f"has {len(value):,} {things}", f"the most is {limit:,}")
        case "minimum" | "maximum":
            word = "least" if error.validator == "minimum" else "most"
            yield Problem(mark, here, f"{_short(value)} is out of range", f"the {word} is {limit}")
        case _:
            yield Problem(mark, here, _short(error.message))


def _is_empty(root: Value, path: tuple[str | int, ...], key: str) -> bool:
    """Whether a mapping holds this key without a value, as a stray comma in ``{…}`` makes it."""
    node = _at(root, path)
    return key in node and node[key] is None


_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def _kind(value: object) -> str:
    for kind, types in (
        ("null", type(None)),
        ("boolean", bool),
        ("number", (int, float)),
        ("string", str),
        ("array", list),
        ("object", dict),
    ):
        if isinstance(value, types):
            return _KINDS[kind]
    return "something else"


def _kinds(limit: str | list[str]) -> str:
    names = [limit] if isinstance(limit, str) else limit
    return " or ".join(_KINDS[name] for name in names)


def _type_hint(value: object, limit: str | list[str], path: tuple[str | int, ...], written: str) -> str:
    if value is None:
        return "indent what belongs to it below it"
    if isinstance(value, list) and path == ("products",):
        return "give the list a name: `mugs:`, and indent the list below it"
    if isinstance(value, int | float) and "string" in limit:
        return f'quote it: "{written or spelled(value)}"'
    return ""


def _short(value: object, most: int = 80) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= most else text[: most - 1] + "…"
