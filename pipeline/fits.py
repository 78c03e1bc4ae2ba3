"""Whether a value fits a JSON Schema, and nothing more: ten times as fast as finding out why it doesn't.

A schema is compiled to nested closures once. ``jsonschema`` remains the authority and says what is wrong; what
fits, as nearly everything does, it isn't asked about (:func:`keywords`): it takes 20 µs for a value, which is
seconds for a big catalogue and minutes for a hostile one. Only the keywords of the published schemas are known
here; where another stands, nothing fits, so that the authority is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator, ValidationError

Check: TypeAlias = Callable[[Any], bool]

_SILENT = frozenset(["$schema", "title", "description", "examples", "default", "$defs", "type"])
_HANDLED = frozenset(["additionalProperties"])  # together with `properties`


def ends_at_the_end(pattern: str) -> str:
    """A pattern whose ``$`` is the very end, as in JavaScript; Python's also stands before a last line break."""
    return pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern


def compiled(schema: Any, definitions: Mapping[str, Any]) -> Check:  # noqa: ANN401  # any JSON
    """A check of values against a schema; ``definitions`` are what its ``$ref`` may name."""
    return _Compiler(definitions).check(schema)


class _Compiler:
    """Checks by definition, so that each is compiled once."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.known: dict[str, Check] = {}

    def check(self, schema: Any) -> Check:  # noqa: ANN401  # any JSON
        if isinstance(schema, bool):
            return lambda _: schema
        tests: list[Check] = []
        kinds = schema.get("type")
        if kinds is not None:
            names = [kinds] if isinstance(kinds, str) else kinds
            tests.append(_any_of([_KINDS[name] for name in names]))
        if "properties" in schema or "additionalProperties" in schema:
            tests.append(self.members(schema))
        for word, limit in schema.items():
            if word in _SILENT or word in _HANDLED or word == "properties":
                continue
            make = getattr(self, f"_{word.removeprefix('$')}", None)
            tests.append(make(limit) if make else lambda _: False)
        return _all_of(tests)

    def members(self, schema: Mapping[str, Any]) -> Check:
        own = {name: self.check(inner) for name, inner in schema.get("properties", {}).items()}
        other = self.check(schema.get("additionalProperties", True))

        def fits(value: Any) -> bool:  # noqa: ANN401  # any JSON
            if not isinstance(value, dict):
                return True
            return all(own[key](inner) if key in own else other(inner) for key, inner in value.items())

        return fits

    def _ref(self, ref: str) -> Check:
        if not ref.startswith("#/$defs/"):
            return lambda _: False
        if ref not in self.known:
            self.known[ref] = lambda value: self.known[ref](value)  # noqa: PLW0108  # of a schema that names itself
            self.known[ref] = self.check(self.definitions[ref.removeprefix("#/$defs/")])
        return self.known[ref]

    def _items(self, schema: Any) -> Check:  # noqa: ANN401  # any JSON
        fits = self.check(schema)
        return lambda value: not isinstance(value, list) or all(map(fits, value))

    def _propertyNames(self, schema: Any) -> Check:  # noqa: ANN401, N802  # any JSON; as it is written
        fits = self.check(schema)
        return lambda value: not isinstance(value, dict) or all(map(fits, value))

    def _required(self, names: Sequence[str]) -> Check:
        return lambda value: not isinstance(value, dict) or all(name in value for name in names)

    def _enum(self, words: Sequence[Any]) -> Check:
        plain = frozenset(word for word in words if isinstance(word, str))
        numbers = [word for word in words if isinstance(word, int) and not isinstance(word, bool)]
        return lambda value: value in plain if isinstance(value, str) else _number(value) and value in numbers

    def _pattern(self, pattern: str) -> Check:
        search = re.compile(ends_at_the_end(pattern)).search
        return lambda value: not isinstance(value, str) or search(value) is not None

    def _minLength(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, str) or len(value) >= limit

    def _maxLength(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, str) or len(value) <= limit

    def _minItems(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, list) or len(value) >= limit

    def _maxItems(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, list) or len(value) <= limit

    def _minProperties(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, dict) or len(value) >= limit

    def _maxProperties(self, limit: int) -> Check:  # noqa: N802  # as it is written
        return lambda value: not isinstance(value, dict) or len(value) <= limit

    def _minimum(self, limit: float) -> Check:
        return lambda value: not _number(value) or value >= limit

    def _maximum(self, limit: float) -> Check:
        return lambda value: not _number(value) or value <= limit

    def _exclusiveMinimum(self, limit: float) -> Check:  # noqa: N802  # as it is written
        return lambda value: not _number(value) or value > limit

    def _uniqueItems(self, wanted: bool) -> Check:  # noqa: N802  # as it is written
        def fits(value: Any) -> bool:  # noqa: ANN401  # any JSON
            if not wanted or not isinstance(value, list):
                return True
            return all(isinstance(item, str) for item in value) and len(set(value)) == len(value)

        return fits


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: dict[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _any_of(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    return lambda value: any(check(value) for check in checks)


def _all_of(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


# ── the keywords that jsonschema is slow with ───────────────────────────────────────────────────

_SLOWLY: Mapping[str, Any] = Draft202012Validator.VALIDATORS
_FEW = 100
Errors: TypeAlias = Iterator[ValidationError]


def keywords(definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Faster keywords for a ``jsonschema`` validator: the same errors, but what fits is passed over at once.

    Stricter in one point: in a pattern ``$`` is the very end.
    """
    fast = _Keywords(definitions)
    return {
        "$ref": fast.ref,
        "items": fast.items,
        "additionalProperties": fast.others,
        "propertyNames": fast.names,
        "pattern": fast.pattern,
        "uniqueItems": fast.unique,
    }


class _Keywords:
    """The keywords, each as ``jsonschema`` calls it: validator, the keyword's value, the value to check, the schema."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.compiler = _Compiler(definitions)
        self.checks: dict[int, tuple[Any, Check]] = {}

    def check(self, schema: Any) -> Check:  # noqa: ANN401  # any JSON
        """Compiled once; the schema is kept beside its check, so that no other can have its id."""
        if id(schema) not in self.checks:
            self.checks[id(schema)] = schema, self.compiler.check(schema)
        return self.checks[id(schema)][1]

    def ref(self, validator: Any, target: str, value: Any, schema: Any) -> Errors:  # noqa: ANN401
        if not self.compiler._ref(target)(value):  # noqa: SLF001  # its sibling
            yield from _SLOWLY["$ref"](validator, target, value, schema)

    def items(self, validator: Any, inner: Any, value: Any, schema: Any) -> Errors:  # noqa: ANN401
        if not isinstance(value, list) or "prefixItems" in schema:
            yield from _SLOWLY["items"](validator, inner, value, schema)
            return
        fits = self.check(inner)
        for index, item in enumerate(value):
            if not fits(item):
                yield from validator.descend(item, inner, path=index)

    def others(self, validator: Any, inner: Any, value: Any, schema: Any) -> Errors:  # noqa: ANN401
        if not isinstance(inner, dict) or not isinstance(value, dict) or "patternProperties" in schema:
            yield from _SLOWLY["additionalProperties"](validator, inner, value, schema)
            return
        own, fits = schema.get("properties", {}), self.check(inner)
        for key, item in value.items():
            if key not in own and not fits(item):
                yield from validator.descend(item, inner, path=key)

    def names(self, validator: Any, inner: Any, value: Any, _: Any) -> Errors:  # noqa: ANN401
        if isinstance(value, dict):
            fits = self.check(inner)
            for key in value:
                if not fits(key):
                    yield from validator.descend(key, inner)

    def pattern(self, validator: Any, limit: str, value: Any, schema: Any) -> Errors:  # noqa: ANN401
        yield from _SLOWLY["pattern"](validator, ends_at_the_end(limit), value, schema)

    def unique(self, validator: Any, wanted: bool, value: Any, schema: Any) -> Errors:  # noqa: ANN401, FBT001
        if not isinstance(value, list):
            return
        if all(isinstance(item, str) for item in value):  # in linear time
            if wanted and len(set(value)) < len(value):
                yield ValidationError("has items that are not unique")
        elif len(value) <= _FEW:  # of another kind than it should be, and so an error anyway
            yield from _SLOWLY["uniqueItems"](validator, wanted, value, schema)
