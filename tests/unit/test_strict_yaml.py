"""Strict YAML: what each scalar means, where everything stands, and what is refused."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from fakes import work
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import failure, told

from pipeline.errors import ManifestError, Mark
from pipeline.strict_yaml import MAX_DEPTH, MAX_NODES, key_path, mark_of, parse, plain


def problems(text):
    """Return what is wrong with a document: (line, column, path, fact) each."""
    with pytest.raises(ManifestError) as caught:
        parse(text, "f.yaml")
    return [(p.mark.line, p.mark.column, p.path, p.fact) for p in caught.value.problems]


def place(value, *path, key=False):
    """Return line and column of what stands at a key path."""
    mark = mark_of(value, path, key=key)
    return mark.line, mark.column


SCALARS = [
    ("16:9", "16:9"),
    ("1:1", "1:1"),
    ("12:30:45", "12:30:45"),
    *[(word, word) for word in ("no", "yes", "on", "off", "n", "y", "NO", "Yes", "tRue", "nUll")],
    *[(word, True) for word in ("true", "True", "TRUE")],
    *[(word, False) for word in ("false", "False", "FALSE")],
    *[(word, None) for word in ("~", "null", "Null", "NULL", "")],
    ("0", 0),
    ("-12", -12),
    ("+12", 12),
    ("0o17", 15),
    ("0x1f", 31),
    ("0xFF", 255),
    ("0b11", "0b11"),
    ("012", "012"),
    ("0012", "0012"),
    ("01.5", "01.5"),
    ("1_000", "1_000"),
    ("1e3", 1000.0),
    ("1E-2", 0.01),
    (".5", 0.5),
    ("1.", 1.0),
    ("-1.50", -1.5),
    ("0.0", 0.0),
    (".", "."),
    ("1.2.3", "1.2.3"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("2026-11-21", "2026-11-21"),
    ("2026-11-21T03:00:00Z", "2026-11-21T03:00:00Z"),
    ("=", "="),
    ("1K", "1K"),
    ("'12'", "12"),
    ('"no"', "no"),
    ('"~"', "~"),
    ('""', ""),
    ("'true'", "true"),
    ("!!str 12", "12"),
    ('!!int "12"', 12),
    ('!!float "1.5"', 1.5),
    ("٣", "٣"),
    ("9" * 300, int("9" * 300)),
    ("9" * 301, "9" * 301),
    ("1e999", "1e999"),
    ("-1e999", "-1e999"),
    ("! 12", "12"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    """Each scalar has the value and the type of the core schema."""
    got = parse(f"a: {text}", "f.yaml")["a"]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize("text", ["| \n  12", ">\n  12", "'12'"])
def test_only_plain_scalars_are_numbers(text):
    """Block and quoted scalars stay text."""
    assert parse(f"a: {text}\n", "f")["a"].strip() == "12"


def test_block_scalars_keep_their_lines():
    """A literal block keeps its line breaks, a folded one joins them."""
    assert parse("a: |\n  x\n  y\nb: >\n  x\n  y\n", "f") == {"a": "x\ny\n", "b": "x y\n"}


def test_keys_are_always_text():
    """A key that looks like a number or a boolean is a word."""
    assert parse("1: a\nno: b\n16:9: c\n", "f") == {"1": "a", "no": "b", "16:9": "c"}


TREE = parse("a: 1\nbb:\n  - x\n  -  {k: v, other: [1, 2]}\nt: |\n  text\n", "f.yaml")


@pytest.mark.parametrize(
    ("path", "key", "where"),
    [
        ((), False, (1, 1)),
        (("a",), True, (1, 1)),
        (("a",), False, (1, 4)),
        (("bb",), True, (2, 1)),
        (("bb",), False, (3, 3)),
        (("bb", 0), False, (3, 5)),
        (("bb", 1), False, (4, 6)),
        (("bb", 1, "k"), True, (4, 7)),
        (("bb", 1, "k"), False, (4, 10)),
        (("bb", 1, "other", 1), False, (4, 24)),
        (("t",), False, (5, 4)),
        (("a", "not", "there"), False, (1, 4)),
        (("bb", 7), False, (3, 3)),
        (("nowhere",), False, (1, 1)),
    ],
)
def test_everything_knows_its_line_and_column(path, key, where):
    """Keys, values and items have places; what isn't there has its parent's."""
    assert place(TREE, *path, key=key) == where


def test_a_mark_reads_as_editors_write_it():
    """A place is file:line:column."""
    assert str(mark_of(TREE, ("bb", 1))) == "f.yaml:4:6"
    assert Mark("b", 1, 1) > Mark("a", 9, 9)


def test_key_paths_read_like_code():
    """Items are in brackets, keys after dots."""
    assert key_path(("products", "mugs", 0, "images", "front")) == "products.mugs[0].images.front"


def test_every_duplicate_key_is_reported():
    """All duplicates of a file are found, on every level, each with the line of the first."""
    with pytest.raises(ManifestError) as caught:
        parse("a: 1\nb:\n  x: 1\n  y: 2\n  x: 3\na: 2\na: 3\n", "f")
    assert [(p.mark.line, p.mark.column, p.path, p.fact, p.hint) for p in caught.value.problems] == [
        (5, 3, "b.x", "duplicate key 'x'", "it is on line 3 already: remove one"),
        (6, 1, "a", "duplicate key 'a'", "it is on line 1 already: remove one"),
        (7, 1, "a", "duplicate key 'a'", "it is on line 1 already: remove one"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [x]",
        "a: !!python/name:os.system ''",
        "a: !!set {x}",
        "a: !!binary aGk=",
        "a: !!timestamp 2026-01-01",
        "a: !mine x",
        "a: !<tag:example.com,2026:x> y",
        "- !!omap [a: 1]",
        "!!python/name:os.system key: 1",
    ],
)
def test_tags_are_refused(text):
    """A tag that isn't one of the core schema's is a problem at its place, never obeyed."""
    assert any("tag" in fact for *_, fact in problems(text))


def test_a_refused_tag_has_a_place():
    """The problem of a tag points at the tag."""
    assert problems("a: 1\nb: !mine x") == [(2, 4, "b", "the tag !mine is not allowed")]


def test_aliases_share_their_anchor():
    """An alias is the anchored value itself, with its own place; a later anchor of a name replaces the first."""
    tree = parse("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n", "f")
    assert tree == {"a": [1, 2], "b": [1, 2], "c": 3, "d": 3}
    assert tree["b"] is tree["a"]
    assert place(tree, "b") == (2, 4)


MERGES = [
    ("a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2}", {"x": 1, "y": 2}),
    ("a: &a {x: 1, y: 1}\nb: {y: 2, <<: *a}", {"x": 1, "y": 2}),
    ("a: &a {x: 1}\nc: &c {x: 2, z: 2}\nb: {<<: [*a, *c]}", {"x": 1, "z": 2}),
    ("a: &a {x: 1}\nc: &c {x: 2, z: 2}\nb:\n  <<: *a\n  <<: *c", {"x": 1, "z": 2}),
    ("a: &a {x: 1}\nc: &c {<<: *a, z: 2}\nb: {<<: *c, w: 3}", {"x": 1, "z": 2, "w": 3}),
    ("b: {<<: {x: 1}, y: 2}", {"x": 1, "y": 2}),
    ("a: &a {x: 1}\nb: {'<<': *a}", {"<<": {"x": 1}}),
]


@pytest.mark.parametrize(("text", "value"), MERGES)
def test_merge_keys_fill_in(text, value):
    """What a mapping says itself wins, then the first of what it merges; a quoted << is a plain key."""
    assert parse(text, "f")["b"] == value


def test_merged_keys_keep_their_place():
    """A merged key was written at the anchor, an own key where it stands."""
    tree = parse("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n", "f")
    assert (place(tree, "b", "x"), place(tree, "b", "y")) == ((2, 6), (5, 6))


@pytest.mark.parametrize("text", ["a: {<<: 3}", "a: {<<: [3]}", "a: {<<: [[1]]}"])
def test_only_mappings_can_be_merged(text):
    """Merging something else is a problem."""
    assert [fact for *_, fact in problems(text)] == ["`<<` merges mappings only"]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("a: &a [*a]", "the alias *a contains itself"),
        ("a: &a {b: {c: *a}}", "the alias *a contains itself"),
        ("a: &a {<<: *a}", "the alias *a contains itself"),
        ("x: &a 1\na: &a [*a]", "the alias *a contains itself"),
        ("a: *b", "the alias *b has no anchor &b before it"),
        ("a: *b\nb: &b 1", "the alias *b has no anchor &b before it"),
    ],
)
def test_loops_and_lost_anchors_are_refused(text, fact):
    """An alias to what isn't finished or isn't there is located and named."""
    assert [each[3] for each in problems(text)] == [fact]


def alias_bomb(levels=9, width=10):
    """Return a file whose aliases stand for width**levels values."""
    lines = [f"l0: &l0 [{', '.join(['x'] * width)}]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(levels=9, width=10):
    """Return a file that hides an alias bomb in the values of merged mappings."""
    lines = ["l0: &l0 {a: [x, x, x, x, x, x, x, x, x, x]}"]
    lines += [f"l{n}: &l{n} {{<<: *l{n - 1}, k{n}: [{', '.join([f'*l{n - 1}'] * width)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def doubling_bomb(levels=60):
    """Return a file in which every line merges and holds the line before: 2**levels values."""
    lines = ["l0: &l0 {x: 1}"]
    lines += [f"l{n}: &l{n} {{<<: *l{n - 1}, k{n}: *l{n - 1}}}" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "aliases": alias_bomb(),
    "many levels": alias_bomb(40, 2),
    "merge keys": merge_bomb(),
    "doubling merges": doubling_bomb(),
    "wide merge": "a: &a {"
    + ", ".join(f"k{n}: 1" for n in range(2000))
    + "}\nb: {<<: ["
    + ", ".join(["*a"] * 2000)
    + "]}",
}
MANY_MERGES = (
    "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\n" + "\n".join(f"b{n}: {{<<: *a}}" for n in range(2000))
)


@pytest.mark.parametrize("text", [*BOMBS.values(), MANY_MERGES], ids=[*BOMBS, "many merges"])
def test_bombs_are_refused_with_little_work(text):
    """What expands to millions of values is one located problem, found before they are counted."""
    with work.calls() as done:
        found = problems(text)
    assert [fact for *_, fact in found] == [f"the manifest expands to more than {MAX_NODES:,} values"]
    assert done.calls < 2 * MAX_NODES


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_take_little_memory(text):
    """A bomb is never built."""
    with work.memory() as done:
        problems(text)
    assert done.peak < 20_000_000


def test_a_harmless_number_of_aliases_is_fine():
    """Aliases as such are allowed, also hundreds of them."""
    tree = parse("a: &a {x: 1}\nb: [" + ", ".join(["*a"] * 500) + "]", "f")
    assert tree["b"] == [{"x": 1}] * 500


def test_the_count_of_values_is_exact(monkeypatch):
    """Every key, value and collection counts one, an alias as much as it stands for."""
    text = "a: &a [1, 2]\nb: *a\n"  # the mapping, two keys, and twice a list of two
    monkeypatch.setattr("pipeline.strict_yaml.MAX_NODES", 9)
    assert parse(text, "f")["b"] == [1, 2]
    monkeypatch.setattr("pipeline.strict_yaml.MAX_NODES", 8)
    assert "expands" in problems(text)[0][3]


def test_a_merge_counts_as_a_copy(monkeypatch):
    """Merged keys count on top of the alias that names them, as they are copied."""
    text = "a: &a {x: 1}\nb: {<<: *a}\n"
    monkeypatch.setattr("pipeline.strict_yaml.MAX_NODES", 12)
    assert parse(text, "f")["b"] == {"x": 1}
    monkeypatch.setattr("pipeline.strict_yaml.MAX_NODES", 11)
    assert "expands" in problems(text)[0][3]


def test_depth_is_limited():
    """Nesting has a longest depth, and one level less is fine."""
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f")
    deep = MAX_DEPTH + 1
    assert problems("[" * deep + "]" * deep)[0][3] == f"nested deeper than {MAX_DEPTH} levels"
    assert "nested deeper" in problems("{a: " * 100_000)[0][3]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 999, 1000, 1001, 100_000])
@pytest.mark.parametrize(
    ("before", "line", "column", "path"),
    [
        ("", 1, 1, ""),
        ("a: ", 1, 4, "a"),
        ("a:\n- ", 2, 3, "a[0]"),
        ("\ufeffé: \U0001f600\r\na: &x ", 2, 7, "a"),
    ],
)
def test_every_depth_is_reported_alike(before, line, column, path, depth):
    """What is too deep for libyaml too (1,000 levels, since PyYAML 6.0.4) has the same place and words."""
    inside = MAX_DEPTH - len(re.findall(r"\w+", path))
    assert problems(before + "[" * depth + "]" * depth) == [
        (line, column + inside, path + "[0]" * inside, f"nested deeper than {MAX_DEPTH} levels")
    ]


@pytest.mark.parametrize("deep", ["a: " + "[" * 5000, "a:\n" + "".join(" " * n + "- \n" for n in range(1, 3000))])
def test_what_comes_before_too_deep_a_place_is_reported(deep):
    """Problems above a place that is too deep for libyaml are reported together with it."""
    facts = [fact for *_, fact in problems("x: 1\nx: 2\n" + deep)]
    assert sorted(facts) == ["duplicate key 'x'", f"nested deeper than {MAX_DEPTH} levels"]


def test_depth_through_aliases_is_limited():
    """A chain of aliases counts as deep as what it stands for."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]
    assert "nested deeper" in problems("\n".join(lines))[0][3]


@pytest.mark.parametrize(
    "text", ["a: !!int foo", "a: !!int 1.5", "a: !!bool 1", "a: !!null x", "a: !!float true", "a: !!int true"]
)
def test_core_tags_are_held_to_their_kind(text):
    """A tag on a value it can't be is a problem."""
    ((line, column, path, fact),) = problems(text)
    assert (line, column, path) == (1, 4, "a")
    assert " is no " in fact


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n# nothing\n"])
def test_an_empty_file_says_so(text):
    """Nothing in a file is a problem, or nothing."""
    if text.startswith("---"):
        assert parse(text, "f") is None
    else:
        assert problems(text) == [(1, 1, "", "the file is empty")]


def test_a_second_document_is_refused_where_it_starts():
    """One file holds one document; an end marker alone is fine."""
    assert problems("a: 1\n---\nb: 2\n") == [(2, 1, "", "a second document starts here")]
    assert parse("---\na: 1\n...\n", "f") == {"a": 1}


SYNTAX = [
    ("a:\n\tb: 1", 2),
    ("a: [1, 2", 1),
    ("a: 'x", 1),
    ("a: b: c", 1),
    ("a: 1\n b: 2", 2),
    ("ok: 1\n- x", 2),
    ("a: x\n\0", 1),
    ("a: \x07", 1),
    ("? [1]\n: x", 1),
    ("{[1]: x}", 1),
    ("%YAML 9.9\n---\na: 1", 1),
]


@pytest.mark.parametrize(("text", "line"), SYNTAX)
def test_broken_yaml_is_one_located_problem(text, line):
    """A syntax error is one problem on the line where it shows, or the next."""
    (found,) = problems(text)
    assert found[0] in (line, line + 1)


def test_problems_before_a_syntax_error_are_kept():
    """What was found before the file broke off is reported too."""
    facts = [fact for *_, fact in problems("a: 1\na: 2\nb: [")]
    assert facts[0] == "duplicate key 'a'"
    assert facts[1].startswith("not valid YAML")


def test_a_tab_is_called_a_tab(tmp_path):
    """Indenting with a tab gets the hint to use spaces."""
    (line,) = told(tmp_path, lambda: parse("a:\n\tb: 1", "f"))
    assert "spaces" in line


def test_surrogates_are_refused():
    """Half a character is a problem of the file, not of the program."""
    assert problems("a: \ud800")


JSONABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**200), 10**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["16:9", "no", "012", "~", "<<", "- x", "a: b", "# x", " x ", "!!str", "&a", "*a"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.just("<<"), inner, max_size=4)
    ),
    max_leaves=20,
)


def same(got, value):
    """Whether two values are equal, and of equal types all the way down."""
    if isinstance(value, dict):
        return isinstance(got, dict) and list(got) == list(value) and all(same(got[k], value[k]) for k in value)
    if isinstance(value, list):
        return isinstance(got, list) and len(got) == len(value) and all(map(same, got, value))
    return type(got) is type(value) and got == value


@settings(max_examples=150, deadline=None, derandomize=True)
@given(JSONABLE)
def test_what_yaml_writes_is_read_back(value):
    """Any value written by PyYAML with every scalar quoted comes back the same."""
    assert same(parse(yaml.safe_dump(value, default_style='"', sort_keys=False), "f"), value)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(JSONABLE, st.sampled_from([None, 2]))
def test_what_json_writes_is_read_back(value, indent):
    """JSON is YAML: any value written as JSON comes back the same, but for characters beyond the BMP."""
    text = json.dumps(value, indent=indent)
    if "\\ud8" not in text and "\\ud9" not in text and "\\uda" not in text and "\\udb" not in text:
        assert same(parse(text, "f"), value)


SNIPPETS = st.lists(
    st.sampled_from(
        [*"[]{}:-,&*!|>'\"%@`#? \n\t~=ab1", "<<", "<<: *a", "&a ", "*a", "---", "...", "!!", "- ", ": ", "\n  ", "? "]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.text() | SNIPPETS)
def test_any_text_is_read_or_refused(text):
    """No text raises anything but ManifestError, and every problem has a place."""
    error = failure(ManifestError, lambda: parse(text, "f"))
    if error is not None:
        assert error.problems
        assert all(p.mark and p.mark.line >= 1 and p.mark.column >= 1 for p in error.problems)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789abcdefxXoOeE+-._: ~nulTRUE", max_size=12))
def test_a_plain_scalar_never_fails(text):
    """Any plain word is a scalar; those that PyYAML and JSON call decimal integers are integers."""
    value = plain(text)
    assert value is None or isinstance(value, str | int | float | bool)
    if text.isdecimal() and not (text.startswith("0") and len(text) > 1):
        assert value == int(text)
