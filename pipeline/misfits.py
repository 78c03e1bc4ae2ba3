"""Where a value doesn't fit a JSON schema, found fast and one after the other.

``jsonschema_rs`` makes a list of all mistakes before it tells of the first. So a large value is looked at part by part:
who wants a hundred mistakes needn't wait for a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jsonschema_rs

KeyPath: TypeAlias = tuple[str | int, ...]

_INNER = ("items", "properties", "additionalProperties", "propertyNames")
_SMALL = 500  # values that are checked at once: all mistakes in them are found, at 3 kB each


class _Piece(NamedTuple):
    """A part of a schema, with the definitions that it refers to, and ready to check."""

    schema: Mapping[str, Any]
    validator: jsonschema_rs.Draft202012Validator


class Misfit(NamedTuple):
    """A mistake: the ``part`` of the value and the part of the schema in which it was found, and where that part is."""

    schema: Mapping[str, Any]
    part: Any
    path: KeyPath
    error: jsonschema_rs.ValidationError


class Misfits:
    """Finds where values don't fit the parts of one schema, each of which is made ready once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = schema.get("$defs", {})
        self._known: dict[tuple[int, str], tuple[Any, _Piece]] = {}

    def find(self, value: Any, node: Any) -> Iterator[Misfit]:  # noqa: ANN401  # any JSON
        """Every mistake of a value, by this node of the schema."""
        for piece, part, path in self._pieces(value, node, ()):
            for error in piece.validator.iter_errors(part):
                yield Misfit(piece.schema, part, path, error)

    def _pieces(
        self,
        value: Any,  # noqa: ANN401  # any JSON
        node: Any,  # noqa: ANN401  # any JSON
        path: KeyPath,
    ) -> Iterator[tuple[_Piece, Any, KeyPath]]:
        """The parts of a value that don't fit, each with the part of the schema that it doesn't fit, and its path."""
        while str(node.get("$ref")).startswith("#/$defs/"):
            node = self._definitions[node["$ref"].removeprefix("#/$defs/")]
        if self._piece(node).validator.is_valid(value):
            return
        if not _is_large(value):
            yield self._piece(node), value, path
            return
        yield self._piece(node, "itself"), value, path
        if isinstance(value, list):
            for index, item in enumerate(value if "items" in node else ()):
                yield from self._pieces(item, node["items"], (*path, index))
            return
        named, other = node.get("properties", {}), node.get("additionalProperties")
        for key, item in value.items():
            inner = named.get(key, other)
            if isinstance(inner, dict):
                yield from self._pieces(item, inner, (*path, key))
            if "propertyNames" in node and not self._piece(node, "keys").validator.is_valid({key: None}):
                yield self._piece(node, "keys"), {key: item}, path

    def _piece(self, node: Any, kind: Literal["whole", "itself", "keys"] = "whole") -> _Piece:  # noqa: ANN401  # any JSON
        """A node of the schema: all of it, what it says of a value itself, or what it says of its keys."""
        key = id(node), kind
        if key not in self._known:  # the node is kept beside its piece, so that no other can have its id
            schema = {"$defs": self._definitions, **node}
            if kind == "keys":
                schema = {"$defs": self._definitions, "propertyNames": node["propertyNames"]}
            elif kind == "itself":
                schema = {word: rule for word, rule in schema.items() if word not in _INNER}
                if node.get("additionalProperties") is False:
                    named = dict.fromkeys(node.get("properties", ()), True)
                    schema |= {"properties": named, "additionalProperties": False}
            self._known[key] = node, _Piece(schema, jsonschema_rs.Draft202012Validator(schema))
        return self._known[key][1]


def _is_large(value: Any) -> bool:  # noqa: ANN401  # any JSON
    waiting, count = [value], 0
    while waiting and count < _SMALL:
        inner = waiting.pop()
        count += 1
        if isinstance(inner, dict | list):
            count += len(inner)
            waiting += (inner.values() if isinstance(inner, dict) else inner) if len(inner) < _SMALL else ()
    return count >= _SMALL and isinstance(value, dict | list)
