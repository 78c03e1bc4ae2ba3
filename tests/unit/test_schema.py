"""The published schemas: complete, valid, and their complaints explained."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from kit import schemas

from pipeline.schema import did_you_mean, problems, schema_text, validator
from pipeline.strict_yaml import parse

SCHEMAS = schemas()


def resolved(name, node):
    """Follow a subschema's ``$ref`` inside its schema."""
    while "$ref" in node:
        target = SCHEMAS[name]
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def properties(name, node, path=()):
    """Every property of a schema, at every level: (its path, its subschema)."""
    for key, inner in node.items():
        if key in ("properties", "$defs"):
            for word, subschema in inner.items():
                yield (*path, key, word), subschema
                yield from properties(name, subschema, (*path, key, word))
        elif key in ("items", "additionalProperties") and isinstance(inner, dict):
            yield from properties(name, inner, (*path, key))


EVERY = [(name, path, node) for name, schema in SCHEMAS.items() for path, node in properties(name, schema)]
IDS = [f"{name}:{'/'.join(path)}" for name, path, _ in EVERY]


def test_the_schemas_are_the_published_ones():
    """All schemas are looked at, and the walk finds what is in them."""
    assert list(SCHEMAS) == ["approvals", "decisions", "manifest", "model", "result"]
    assert len(EVERY) > 80
    assert {"manifest:$defs/prompt/properties/text", "manifest:properties/budget/properties/usd"} <= set(IDS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_2020_12(name):
    """Each schema is a valid schema of the draft it names, describes itself, and is what the program reads."""
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["description"]
    assert json.loads(schema_text(name)) == SCHEMAS[name]


@pytest.mark.parametrize(("name", "path", "node"), EVERY, ids=IDS)
def test_every_key_is_described_with_an_example(name, path, node):
    """Every key has a description and an example, of its own or of what it refers to."""
    whole = resolved(name, node)
    assert whole.get("description"), path
    assert whole.get("examples"), path


EXAMPLES = [
    pytest.param(name, node, example, id=f"{label}={index}")
    for label, (name, _, node) in zip(IDS, EVERY, strict=True)
    for index, example in enumerate(resolved(name, node).get("examples", ()))
]


@pytest.mark.parametrize(("name", "node", "example"), EXAMPLES)
def test_every_example_is_valid(name, node, example):
    """An example can be pasted: it fits the key it stands at."""
    schema = {**node, "$defs": SCHEMAS[name].get("$defs", {})}
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
    assert errors == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_example_of_a_whole_file_is_valid(name):
    """The example of a whole document fits its schema."""
    for example in SCHEMAS[name].get("examples", ()):
        assert [error.message for error in Draft202012Validator(SCHEMAS[name]).iter_errors(example)] == []


@pytest.mark.parametrize(("name", "path", "node"), EVERY, ids=IDS)
def test_defaults_are_valid(name, path, node):
    """A default fits its own key."""
    if "default" in node:
        schema = {**node, "$defs": SCHEMAS[name].get("$defs", {})}
        assert Draft202012Validator(schema).is_valid(node["default"]), path


@pytest.mark.parametrize("name", SCHEMAS)
def test_objects_are_closed(name):
    """Where keys are listed, no others are accepted: a typo is never silent."""

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("properties"), dict) and "object" in str(node.get("type")):
                assert node.get("additionalProperties") is False, node.get("description")
            for inner in node.values():
                walk(inner)

    walk(SCHEMAS[name])


def test_a_validator_is_built_once():
    """Building a validator costs milliseconds, so it is kept."""
    assert validator("manifest") is validator("manifest")
    assert validator("manifest", "product") is not validator("manifest")


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("promts", ["prompts", "products"], "did you mean 'prompts'?"),
        ("zzz", ["b", "a"], "there is a, b"),
        ("zzz", [], "there is none"),
        ("zzz", map(str, range(13)), "there is 0, 1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8 …"),
        ("zzz", ["a", "a"], "there is a"),
        ("x", ["x1"], "did you mean 'x1'?"),
    ],
)
def test_did_you_mean(word, known, hint):
    """A near name is suggested, else what there is, sorted and no more than twelve."""
    assert did_you_mean(word, known) == hint


def explained(text, definition=""):
    """Return what the manifest schema says of a YAML text: (line, column, path, fact, hint) each."""
    found = problems(parse(text, "f"), "manifest", definition=definition)
    return [(p.mark.line, p.mark.column, p.path, p.fact, p.hint) for p in found]


@pytest.mark.parametrize(
    ("definition", "text", "expected"),
    [
        ("product", "id: a\nnmae: b", (2, 1, "nmae", "unknown key 'nmae'", "did you mean 'name'?")),
        (
            *("product", "id: a\nzzz: b"),
            (2, 1, "zzz", "unknown key 'zzz'", "there is id, images, name, tags, vars"),
        ),
        ("product", "name: b", (1, 1, "", "the key 'id' is missing", "add `id: 'enamel-blue'`")),
        ("product", "id: 12", (1, 5, "id", "12 is a number, not text", 'quote it: "12"')),
        ("product", "id: true", (1, 5, "id", "true is true or false, not text", 'quote it: "true"')),
        ("product", "id: [a]", (1, 5, "id", '["a"] is a list, not text', "")),
        ("product", "id: {a: b}", (1, 5, "id", '{"a": "b"} is a mapping, not text', "")),
        ("product", "id: ~", (1, 5, "id", "is empty, not text", "indent what belongs to it below it")),
        ("product", "- a", (1, 1, "", '["a"] is a list, not a mapping', "")),
        (
            *("product", "id: a b"),
            (
                *(1, 5, "id", "'a b' is not allowed here"),
                (
                    "letters, digits, `.`, `_` and `-`, starting with a letter or digit: "
                    "it becomes part of file names (for example enamel-blue)"
                ),
            ),
        ),
        (
            *("product", "id: a\nimages: {a-b: c}"),
            (
                *(2, 10, "images", "'a-b' is not allowed here"),
                (
                    "letters, digits and `_`, starting with a letter: "
                    "it is used as a name inside templates (for example front)"
                ),
            ),
        ),
        ("product", "id: a\nname: ''", (2, 7, "name", "is empty", "for example 'Blue enamel mug'")),
        (
            "outputs",
            "exclude: [{}]",
            (1, 11, "exclude[0]", "is empty", 'for example {"resolution": "2K", "aspect_ratio": "9:16"}'),
        ),
        ("outputs", "variants: 0", (1, 11, "variants", "0 is out of range", "the least is 1")),
        ("outputs", "variants: 101", (1, 11, "variants", "101 is out of range", "the most is 100")),
        ("outputs", "variants: two", (1, 11, "variants", "'two' is text, not a whole number", "")),
        ("outputs", "variants: 1.5", (1, 11, "variants", "1.5 is a number, not a whole number", "")),
        ("outputs", "native: 'yes'", (1, 9, "native", "'yes' is text, not true or false", "")),
        ("outputs", "format: [JPEG]", (1, 10, "format[0]", "'JPEG' is not allowed", "did you mean 'jpeg'?")),
        ("outputs", "resolution: [1K, 2K, 1K]", (1, 13, "resolution", "1K is listed twice", "remove one")),
        ("outputs", "resolution: 5", (1, 13, "resolution", "5 is a number, not text or a list", 'quote it: "5"')),
        ("outputs", "resolution: []", (1, 13, "resolution", "is empty", "for example '1K'")),
    ],
)
def test_each_complaint_is_explained(definition, text, expected):
    """Each keyword of the schema has its own words, a place and, where there is one, a next step."""
    assert explained(text, definition) == [expected]


def test_everything_is_said_at_once():
    """All mistakes of a tree are explained, not only the first."""
    text = "version: 2\ncampaign: a b\nproducts: {}\nzzz: {}\noutputs: {variants: 0, colour: red}\n"
    facts = [fact for *_, fact, _ in explained(text)]
    assert sorted(facts) == [
        "'a b' is not allowed here",
        "0 is out of range",
        "2 is not allowed",
        "is empty",
        "the key 'prompts' is missing",
        "unknown key 'colour'",
        "unknown key 'zzz'",
    ]


def test_every_missing_key_is_named():
    """Each required key that is missing is a line of its own, with an example to paste."""
    facts = [(fact, hint) for *_, fact, hint in explained("campaign: c\nprompts: {t: {text: x}}")]
    assert [fact for fact, _ in facts] == ["the key 'version' is missing", "the key 'products' is missing"]
    assert facts[0][1] == "add `version: 1`"


def test_long_values_are_cut():
    """A long value doesn't flood the line."""
    ((*_, fact, _),) = explained("id: [" + ", ".join(["x"] * 200) + "]", "product")
    assert fact.endswith("… is a list, not text")
    assert len(fact) < 120


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ("outputs", "aspect_ratio: [16/9]"),
        ("outputs", "aspect_ratio: 16/9"),
        ("outputs", "format: PNG"),
        ("product", "id: a\nname: " + "x" * 301),
        ("product", "id: a b"),
    ],
)
def test_hints_are_for_people(definition, text):
    """No hint shows a regular expression, an empty example or a Python list, and a fact says what is wrong."""
    ((*_, fact, hint),) = explained(text, definition)
    assert "^" not in hint
    assert "example )" not in hint
    assert "['" not in hint
    assert not fact.endswith("…")
