"""Reading files: ``extends``, product files, and problems that point at the right one."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import cells, complaints, failure, manifest, png, told, write

from pipeline.errors import ManifestError
from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.sources import merge, read_products, read_text, read_tree
from pipeline.strict_yaml import mark_of, parse


def place(folder, tree, *path):
    """Return where a value of a tree was written, relative to ``folder``."""
    return str(mark_of(tree, path)).replace(f"{folder}/", "")


def products(folder, name, content):
    """Read a product file of this content as plain lists."""
    return json.loads(json.dumps(read_products(name, write(folder / name, content))))


def wrong(folder, name, content):
    """Return what a product file of this content is refused for."""
    path = write(folder / name, content)
    return told(folder, lambda: read_products(name, path))


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def test_text_is_utf_8_with_or_without_a_byte_order_mark(tmp_path):
    """A BOM is no part of the text."""
    assert read_text(write(tmp_path / "a", b"\xef\xbb\xbfgr\xc3\xbcn"), "a") == "grün"


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("latin.yaml", "latin.yaml:1:1: is not UTF-8 text"),
        ("utf16.yaml", "utf16.yaml:1:1: is not UTF-8 text"),
        ("latn.yaml", "latn.yaml:1:1: there is no such file; did you mean 'latin.yaml'?"),
        ("no/latin.yaml", "no/latin.yaml:1:1: there is no such file; there is no folder 'no'"),
        ("folder", "folder:1:1: is a folder, not a file"),
        (
            "\0",
            r"\x00:1:1: there is no such file; in double quotes \ starts an escape (\t is a tab): write folders with /",
        ),
    ],
)
def test_files_that_can_not_be_read(tmp_path, name, fact):
    """Each reason names the file, and a missing file its nearest neighbour."""
    write(tmp_path / "latin.yaml", "grün".encode("latin-1") + b" ")
    write(tmp_path / "utf16.yaml", "a: 1".encode("utf-16"))
    (tmp_path / "folder").mkdir()
    (line,) = told(tmp_path, lambda: read_text(tmp_path / name, name))
    assert line.startswith(fact)


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    """A file beyond the limit is refused by its size."""
    monkeypatch.setattr("pipeline.sources.MAX_BYTES", 10)
    assert read_text(write(tmp_path / "a", "x" * 10), "a") == "x" * 10
    (line,) = told(tmp_path, lambda: read_text(write(tmp_path / "b", "x" * 11), "b"))
    assert "is larger than" in line


@pytest.mark.parametrize("text", ["- a", "just text", "12"])
def test_a_manifest_is_a_mapping(tmp_path, text):
    """Anything else is no manifest."""
    (line,) = told(tmp_path, lambda: read_tree(str(write(tmp_path / "m.yaml", text))))
    assert line == "m.yaml:1:1: is no manifest: a mapping is expected; start with `version: 1`"


# ── extends ─────────────────────────────────────────────────────────────────────────────────────


def tree_of(folder, **files):
    """Write files and read the manifest ``m``."""
    for name, text in files.items():
        write(folder / f"{name}.yaml", text)
    return read_tree(str(folder / "m.yaml"))


def test_maps_merge_and_lists_replace(tmp_path):
    """Mappings merge on every level; lists and plain values of the extending file replace."""
    tree = tree_of(
        tmp_path,
        brand="vars: {a: 1, b: {c: 1, d: 1}}\nlist: [1, 2]\nkind: {x: 1}\nonly: 1\n",
        m="extends: brand.yaml\nvars: {b: {c: 2}, e: 3}\nlist: [3]\nkind: text\n",
    )
    assert tree == {
        "vars": {"a": 1, "b": {"c": 2, "d": 1}, "e": 3},
        "list": [3],
        "kind": "text",
        "only": 1,
        "extends": "brand.yaml",
    }


def test_order_is_the_base_first(tmp_path):
    """Keys of the base come first, in its order: that is the order of products and prompts."""
    assert list(tree_of(tmp_path, base="b: 1\na: 1\n", m="extends: base.yaml\nc: 1\na: 2\n")) == [
        "b",
        "a",
        "extends",
        "c",
    ]


def test_merged_values_keep_their_file(tmp_path):
    """Every value knows the file, line and column it was written at."""
    tree = tree_of(tmp_path, brand="vars:\n  a: 1\n  b: 1\n", m="extends: brand.yaml\nvars:\n  b: 2\n  c: [x, y]\n")
    assert [place(tmp_path, tree, "vars", key) for key in "abc"] == ["brand.yaml:2:6", "m.yaml:3:6", "m.yaml:4:6"]
    assert place(tmp_path, tree, "vars", "c", 1) == "m.yaml:4:10"


def test_merging_changes_neither_side():
    """A merge makes a new mapping: files that are extended twice stay what they are."""
    base, over = parse("a: {x: 1}", "b"), parse("a: {y: 2}", "o")
    assert merge(base, over) == {"a": {"x": 1, "y": 2}}
    assert (base, over) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_chains_and_several_parents(tmp_path):
    """The nearest wins: own, then later parents, then earlier ones, then their parents."""
    tree = tree_of(
        tmp_path,
        root="a: root\nb: root\nc: root\nd: root\n",
        one="extends: root.yaml\nb: one\nc: one\nd: one\n",
        two="c: two\nd: two\n",
        m="extends: [one.yaml, two.yaml]\nd: m\n",
    )
    assert [tree[key] for key in "abcd"] == ["root", "one", "two", "m"]


def test_paths_are_relative_to_the_file_that_wrote_them(tmp_path):
    """A reference of a parent is found beside the parent, a product file too."""
    write(tmp_path / "brand/linen.png", png())
    write(tmp_path / "brand/more.csv", "id\nbowl\n")
    write(tmp_path / "brand/brand.yaml", "references: {linen: linen.png}\nproducts: {bowls: {from: more.csv}}\n")
    found = cells(
        tmp_path, extends="brand/brand.yaml", prompts={"t": {"text": "x @Image1", "images": ["references.linen"]}}
    )
    assert [cell.place.product.id for cell in found.cells] == ["bowl", "mug"]
    assert found.cells[0].picture.spec.references[0].source == str(tmp_path / "brand/linen.png")


@pytest.mark.parametrize(
    "files",
    [
        {"m": "extends: m.yaml\n"},
        {"m": "extends: ./m.yaml\n"},
        {"m": "extends: a.yaml\n", "a": "extends: b.yaml\n", "b": "extends: m.yaml\n"},
        {"m": "extends: [ok.yaml, a.yaml]\n", "ok": "a: 1\n", "a": "extends: a.yaml\n"},
        {"m": "extends: sub/../m.yaml\n"},
    ],
)
def test_a_loop_of_extends_is_refused(tmp_path, files):
    """A file that extends itself, also through others, is one located problem."""
    (tmp_path / "sub").mkdir()
    (line,) = told(tmp_path, lambda: tree_of(tmp_path, **files))
    assert "extends itself" in line
    assert ".yaml:1:1" in line


def test_one_file_may_be_extended_twice(tmp_path):
    """A diamond is no loop."""
    assert (
        tree_of(tmp_path, r="a: 1\n", x="extends: r.yaml\n", y="extends: r.yaml\n", m="extends: [x.yaml, y.yaml]\n")[
            "a"
        ]
        == 1
    )


def test_diamonds_are_read_once(tmp_path, monkeypatch):
    """Each file is read once, however many ways lead to it."""
    read = []
    monkeypatch.setattr("pipeline.sources.read_text", lambda path, file: read.append(file) or read_text(path, file))
    files = {f"f{n}": f"extends: [f{n + 1}.yaml, f{n + 1}.yaml]\n" for n in range(6)} | {"f6": "a: 1\n"}
    tree_of(tmp_path, m="extends: f0.yaml\n", **files)
    assert len(read) == 8


def test_a_missing_parent_is_located_with_a_suggestion(tmp_path):
    """The problem stands where the parent is named, in the file that names it."""
    write(tmp_path / "brand.yaml", "a: 1")
    assert told(tmp_path, lambda: tree_of(tmp_path, m="version: 1\nextends: brnd.yaml\n")) == [
        "m.yaml:2:10: extends: there is no file 'brnd.yaml'; did you mean 'brand.yaml'?"
    ]
    assert told(tmp_path, lambda: tree_of(tmp_path, m="extends: [brand.yaml, x/y.yaml]\n")) == [
        "m.yaml:1:23: extends[1]: there is no file 'x/y.yaml'; there is no folder 'x'"
    ]


def test_mistakes_in_a_parent_point_at_the_parent(tmp_path):
    """A syntax error, a wrong key and a missing file of a parent are reported there."""
    write(tmp_path / "brand.yaml", "references:\n  linen: lost.png\nvrs: {}\n")
    assert complaints(
        tmp_path, "extends: brand.yaml\nversion: 1\ncampaign: c\nproducts: {a: [{id: a}]}\nprompts: {t: {text: x}}\n"
    ) == [
        "brand.yaml:2:10: references.linen: there is no file 'lost.png'; there is brand.yaml, m.yaml, mug.png",
        "brand.yaml:3:1: vrs: unknown key 'vrs'; did you mean 'vars'?",
    ]
    write(tmp_path / "brand.yaml", "a: [")
    (line,) = complaints(tmp_path, extends="brand.yaml")
    assert "not valid YAML" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"extends": "a" * 5000},
        {"products": {"m": {"from": "a" * 1900 + ".csv"}}},
        {"model": "a" * 1900 + ".yaml"},
        {"products": {"m": [{"id": "a", "images": {"x": "a" * 1900}}]}},
        {"products": {"m": [{"id": "a", "images": {"x": "a\0b"}}]}},
        {"extends": "a\0b"},
        {"products": {"m": {"from": "a\0b.csv"}}},
    ],
    ids=["extends", "from", "model", "image", "nul image", "nul extends", "nul from"],
)
def test_impossible_file_names_are_missing_files(tmp_path, changes):
    """A name that no file can have is reported as any other that isn't there."""
    assert "there is no file" in complaints(tmp_path, **changes)[0]


# ── product files: CSV ──────────────────────────────────────────────────────────────────────────

FULL = {
    "id": "bowl",
    "name": "Ochre bowl",
    "tags": ["hero", "new"],
    "images": {"front": "b.png"},
    "vars": {"colour": "ochre", "ml": 350},
}


@pytest.mark.parametrize(
    "text",
    [
        "id,name,tags,images.front,vars.colour,vars.ml\nbowl,Ochre bowl,hero new,b.png,ochre,350\n",
        "id;name;tags;images.front;vars.colour;vars.ml\nbowl;Ochre bowl;hero new;b.png;ochre;350\n",
        "id\tname\ttags\timages.front\tvars.colour\tvars.ml\nbowl\tOchre bowl\thero new\tb.png\tochre\t350\n",
        "\ufeffid,name,tags,images.front,vars.colour,vars.ml\r\nbowl,Ochre bowl,hero;new,b.png,ochre,350\r\n",
        'id,"name",tags,images.front,vars.colour,vars.ml\n"bowl","Ochre bowl","hero, new","b.png",ochre,350',
        " id , name ,tags,images.front,vars.colour,vars.ml\n bowl , Ochre bowl , hero  new ,b.png, ochre , 350 \n",
        "id,name,tags,images.front,vars.colour,vars.ml\n\n,,,,,\nbowl,Ochre bowl,hero new,b.png,ochre,350\n   \n",
    ],
    ids=["comma", "semicolon", "tab", "bom", "quotes", "spaces", "blank lines"],
)
def test_csv_dialects(tmp_path, text):
    """A spreadsheet's CSV is read whatever separates it; blank lines and spaces around fields don't count."""
    assert products(tmp_path, "b.csv", text) == [FULL]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("350", 350),
        ("1.5", 1.5),
        ("007", "007"),
        ("16:9", "16:9"),
        ("true", True),
        ("no", "no"),
        ("a b", "a b"),
        ("1e3", 1000.0),
    ],
)
def test_csv_variables_are_read_as_yaml_would(tmp_path, written, value):
    """A variable in CSV means what it would mean in the manifest."""
    (row,) = products(tmp_path, "b.csv", f"id,vars.x\na,{written}\n")
    assert row["vars"]["x"] == value
    assert type(row["vars"]["x"]) is type(value)


def test_csv_ids_and_names_are_text(tmp_path):
    """An id or a name that looks like a number stays text; an empty field is left out."""
    assert products(tmp_path, "b.csv", "id,name,images.front\n12,34,\n") == [{"id": "12", "name": "34"}]


def test_csv_places_are_exact(tmp_path):
    """Every field of a plain line knows its column."""
    rows = read_products("b.csv", write(tmp_path / "b.csv", "id,name,tags,vars.x\na,b,t1 t2,1\n\ncc,dd,,2\n"))
    places = [
        str(mark_of(rows, path))
        for path in [(0, "id"), (0, "tags", 1), (0, "vars", "x"), (1,), (1, "name"), (1, "vars", "x")]
    ]
    assert places == ["b.csv:2:1", "b.csv:2:5", "b.csv:2:11", "b.csv:4:1", "b.csv:4:4", "b.csv:4:8"]


def test_csv_places_with_quotes_are_the_line(tmp_path):
    """Where quotes make columns unclear, the line is enough."""
    rows = read_products("b.csv", write(tmp_path / "b.csv", 'id,name\na,"b, c"\n'))
    assert str(mark_of(rows, (0, "name"))) == "b.csv:2:1"


CSV_MISTAKES = [
    (
        "id,colour\na,b\n",
        ["b.csv:1:4: colour: unknown column 'colour'; did you mean 'vars.colour' or 'images.colour'?"],
    ),
    ("id,nme\na,b\n", ["b.csv:1:4: nme: unknown column 'nme'; did you mean 'name'?"]),
    ("id,vars.a-b\na,b\n", ["b.csv:1:4: vars.a-b: unknown column 'vars.a-b'; write it vars.a_b"]),
    ("id,name,name\na,b,c\n", ["b.csv:1:4: name: the column 'name' is listed twice; remove one"]),
    ("id,\na,b\n", ["b.csv:2:1: 2 fields, but the header names 1; put a text with ',' in quotes"]),
    ("name\nb\n", ["b.csv:1:1: there is no column 'id'; the first line names the columns"]),
    ("", ["b.csv:1:1: there is no column 'id'; the first line names the columns"]),
    ("id,name\na,b,c\n", ["b.csv:2:1: 3 fields, but the header names 2; put a text with ',' in quotes"]),
    ('id,name\na,"b\n', ["b.csv:2:1: not valid CSV: unexpected end of data; check the quotes"]),
    ('id,name\na,"b"c\n', ["b.csv:2:1: not valid CSV: ',' expected after '\"'; check the quotes"]),
    ("id,zzz\na,b,c\nd,e,f\n", 3),
]


@pytest.mark.parametrize(("text", "expected"), CSV_MISTAKES)
def test_csv_mistakes(tmp_path, text, expected):
    """Each mistake of a table is located in it and says what to do; all are reported."""
    found = wrong(tmp_path, "b.csv", text)
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_csv_fields_may_have_several_lines(tmp_path):
    """A quoted field keeps its line breaks."""
    assert products(tmp_path, "b.csv", 'id,name\na,"Blue\nmug"\n') == [{"id": "a", "name": "Blue\nmug"}]


@pytest.mark.parametrize("sign", list("\u2028\x0c\x85"))
def test_only_line_breaks_end_a_row(tmp_path, sign):
    """An unusual separator inside a field is a part of it."""
    assert products(tmp_path, "b.csv", f"id,name\na,Blue{sign}mug\n") == [{"id": "a", "name": f"Blue{sign}mug"}]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(alphabet='id,nmevars.x;\t"\n\r a1é', max_size=60) | st.text(max_size=30))
def test_any_csv_is_read_or_refused(tmp_path_factory, text):
    """No table raises anything but ManifestError."""
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(text, "utf-8", newline="")
    error = failure(ManifestError, lambda: read_products("any.csv", path))
    assert error is None or error.problems


# ── product files: JSON and YAML ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["b.yaml", "b.yml", "b.json", "B.JSON"])
def test_product_files_hold_a_list(tmp_path, name):
    """JSON and YAML files hold what the manifest would hold inline."""
    assert products(tmp_path, name, json.dumps([FULL])) == [FULL]


def test_json_may_use_tabs_and_emoji(tmp_path):
    """Tabs between tokens and characters written as surrogate pairs are read; an escaped backslash is none."""
    text = '[\n\t{"id":\t"a",\t"name": "\\ud83d\\ude00\\ud83c\\uDF3F \\\\ud83d\\\\ude00 \\u00fc \\/"}\n]'
    assert products(tmp_path, "b.json", text) == [{"id": "a", "name": "😀🌿 \\ud83d\\ude00 ü /"}]


def test_json_knows_its_places(tmp_path):
    """A value in a JSON file has its line and column, also after tabs."""
    rows = read_products("b.json", write(tmp_path / "b.json", '[\n\t{"id":\t"a"},\n {"id": "b"}]'))
    assert (str(mark_of(rows, (0, "id"))), str(mark_of(rows, (1, "id")))) == ("b.json:2:9", "b.json:3:9")
    rows = read_products("c.json", write(tmp_path / "c.json", '\t[{"id":\t"a"}]'))
    assert str(mark_of(rows, (0, "id"))) == "c.json:1:10"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"id": }]', "b.json:1:9: not valid JSON: Expecting value"),
        ("[{'id': 'a'}]", "b.json:1:3: not valid JSON: Expecting property name enclosed in double quotes"),
        ("- id: a", "b.json:1:1: not valid JSON: Expecting value"),
        (
            '[{"id": "a",\n"id": "b"}]',
            "b.json:2:1: [0].id: duplicate key 'id'; it is on line 1 already: remove one",
        ),
        ('{"id": "a"}', "b.json:1:1: a list of products is expected; start each product with `- id: …`"),
        ('"a"', "b.json:1:1: a list of products is expected; start each product with `- id: …`"),
        ("[" * 100_000, "b.json:1:1: not valid JSON: "),
        ('[{"id": "a", "vars": {"x": NaN}}]', "b.json:1:1: not valid JSON: NaN is no number"),
    ],
)
def test_json_mistakes(tmp_path, text, expected):
    """A JSON file is held to JSON, strictly, and its mistakes are located."""
    (line,) = wrong(tmp_path, "b.json", text)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        '[{"id"\n: "a"}]',
        '[{"id": "a", "name": "x\x7fy"}]',
        '[{"id": "a", "name": "x\x85y"}]',
        '[{"id":"a","tags":["b"]}]',
        '[{"id":"https://x:1#2","n":-1.5e3}]',
        '{"a":{},"b":[],"c":[[],{}]}',
        '[{"<<": "a", "": "b"}]',
    ],
)
def test_all_of_json_is_read(tmp_path, text):
    """Whatever JSON allows, a JSON file may hold."""
    assert products(tmp_path, "b.json", f"[{text}]")[0] == json.loads(text)


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("b.xlsx", "b.xlsx:1:1: products can't be read from '.xlsx'; use .csv, .yaml or .json"),
        ("b", "b:1:1: products can't be read from 'this kind of file'; use .csv, .yaml or .json"),
    ],
)
def test_other_kinds_of_files_are_refused(tmp_path, name, fact):
    """The kind of a file is its extension."""
    assert wrong(tmp_path, name, "id\na\n") == [fact]


# ── product files in a manifest ─────────────────────────────────────────────────────────────────


def from_file(folder, name, content, **more):
    """Write a product file and a manifest that reads its set from it."""
    if content is not None:
        write(folder / name, content)
    return {"products": {"bowls": {"from": name, **more}}, "prompts": {"t": {"text": "x"}}}


def test_a_set_adds_its_variables_and_tags(tmp_path):
    """A set's variables and tags are every product's; a product's own win, and no tag is listed twice."""
    csv = "id,tags,vars.colour\na,hero,\nb,b,red\n"
    changes = from_file(tmp_path, "b.csv", csv, vars={"colour": "grey", "kind": "bowl"}, tags=["hero", "set"])
    a, b = cells(tmp_path, **changes).manifest.products["bowls"]
    assert (a.vars, a.tags) == ({"colour": "grey", "kind": "bowl"}, ("hero", "set"))
    assert (b.vars, b.tags) == ({"colour": "red", "kind": "bowl"}, ("hero", "set", "b"))


FILE_MISTAKES = [
    ("b.csv", "id,name\na b,x\n", "b.csv:2:1: products.bowls[0].id: 'a b' is not allowed here"),
    ("b.csv", "id,name\nok,x\n,y\n", "b.csv:3:1: products.bowls[1]: the key 'id' is missing"),
    (
        "b.csv",
        "id,images.front\na,lost.png\n",
        "b.csv:2:3: products.bowls[0].images.front: there is no file 'lost.png'",
    ),
    ("b.csv", "id\na\nb\nA\n", "b.csv:4:1: products.bowls[2].id: the id 'A' is taken by b.csv:2:1"),
    ("b.yaml", "- id: a\n  nmae: x\n", "b.yaml:2:3: products.bowls[0].nmae: unknown key 'nmae'; did you mean 'name'?"),
    ("b.yaml", "- a\n", "b.yaml:1:3: products.bowls[0]: 'a' is text, not a mapping"),
    ("b.json", '[{"id": 12}]', 'b.json:1:9: products.bowls[0].id: 12 is a number, not text; quote it: "12"'),
    ("b.json", "[", "b.json:1:2: not valid JSON: Expecting value"),
    ("b.csv", None, "m.yaml:1:64: products.bowls.from: there is no file 'b.csv'; did you mean"),
    ("b.csv", "id\n", "m.yaml:1:55: products.bowls: the product set is empty"),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILE_MISTAKES)
def test_mistakes_in_a_product_file_point_at_it(tmp_path, name, content, expected):
    """A problem of a product is located in the file and line it was written in."""
    write(tmp_path / "bb.csv", "id\n")
    path = manifest(tmp_path, **from_file(tmp_path, name, content))
    assert told(tmp_path, lambda: expand(load(path)))[0].startswith(expected)


def test_product_files_are_read_even_when_the_manifest_is_wrong(tmp_path):
    """A mistake in the manifest's shape doesn't hide those in the files it names."""
    changes = from_file(tmp_path, "b.csv", "id,images.front\na b,\n")
    lines = complaints(tmp_path, **changes, outputs={"variants": 0}, references={"linen": "lost.png"})
    assert sorted(line.split(":")[0] for line in lines) == [
        "outputs.variants",
        "products.bowls[0].id",
        "references.linen",
    ]


def test_relative_manifests_report_relative_places(tmp_path, monkeypatch):
    """Places are written as the command line named the manifest."""
    manifest(tmp_path, products={"b": {"from": "sub/b.csv"}})
    write(tmp_path / "sub/b.csv", "id\na b\n")
    monkeypatch.chdir(tmp_path)
    assert told(tmp_path, lambda: expand(load("m.yaml")))[0].startswith(f"sub{os.sep}b.csv:2:1: products.b[0].id")
