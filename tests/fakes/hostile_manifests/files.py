"""Files that a manifest names: loops, devices, pipes, bombs."""

from __future__ import annotations

import json

from fakes.hostile_manifests.kit import (
    ALIAS_BOMB,
    GOOD,
    MUCH,
    Case,
    beside,
    fifo,
    from_file,
    good,
    link,
    numbered,
    sparse,
)

FILES = [
    Case("extends itself", GOOD + "extends: m.yaml\n", "'m.yaml' extends itself"),
    Case("extends in a circle", GOOD + "extends: a.yaml\n", "extends itself", beside("a.yaml", "extends: m.yaml\n")),
    Case(
        "extends itself through a link", GOOD + "extends: a.yaml\n", "'a.yaml' extends itself", link("a.yaml", "m.yaml")
    ),
    Case("a circle of links", GOOD + "extends: a.yaml\n", "there is no file 'a.yaml'", link("a.yaml", "a.yaml")),
    Case("extends zeros", GOOD + "extends: /dev/zero\n", "there is no file '/dev/zero'"),
    Case("extends memory", GOOD + "extends: /proc/self/mem\n", "can't be read"),
    Case("extends a page map", GOOD + "extends: /proc/self/pagemap\n", "is larger than 32 MiB"),
    Case("extends a terminal", GOOD + "extends: /dev/tty\n", "there is no file '/dev/tty'"),
    Case("extends a pipe", GOOD + "extends: pipe\n", "there is no file 'pipe'", fifo("pipe")),
    Case("extends a folder", GOOD + "extends: .\n", "there is no file '.'"),
    Case(
        "extends a huge file",
        GOOD + "extends: huge.yaml\n",
        "huge.yaml:1:1: is larger than 32 MiB",
        sparse("huge.yaml", 2**40),
    ),
    Case("extends a bomb", GOOD + "extends: bomb.yaml\n", MUCH, beside("bomb.yaml", ALIAS_BOMB)),
    Case(
        "extends half a bomb often",
        GOOD + "extends: [" + numbered(20, "b#.yaml", ", ") + "]\n",
        MUCH,
        lambda folder: [beside(f"b{n}.yaml", "x: [" + "1," * 100_000 + "]")(folder) for n in range(20)],
    ),
    Case("extends many", lambda: GOOD + "extends: [" + "a.yaml, " * 60 + "]\n", "extends more than 50 files"),
    Case(
        "extends a long chain",
        GOOD + "extends: a0.yaml\n",
        "extends more than 50 files",
        lambda folder: [beside(f"a{n}.yaml", f"extends: a{n + 1}.yaml\n")(folder) for n in range(500)],
    ),
    Case("extends a NUL", GOOD + 'extends: "a\\0b"\n', "there is no file"),
    Case("extends a long name", lambda: GOOD + "extends: " + "a/" * 100_000 + "b\n", "there is no file"),
    Case("extends a password file", GOOD + "extends: /etc/passwd\n", "/etc/passwd:1:"),
    Case(
        "is a pipe",
        "",
        "m.yaml:1:1: there is no such file",
        lambda folder: ((folder / "m.yaml").unlink(), fifo("m.yaml")(folder)),
    ),
    Case("model of zeros", GOOD + "model: /dev/zero\n", "there is no model '/dev/zero'"),
    Case("model is a pipe", GOOD + "model: a.yaml\n", "there is no file 'a.yaml'", fifo("a.yaml")),
    Case("model is a bomb", GOOD + "model: a.yaml\n", MUCH, beside("a.yaml", ALIAS_BOMB)),
    Case("model of nothing", GOOD + "model: a.yaml\n", "the file is empty", beside("a.yaml", "")),
    Case("products of zeros", from_file("/dev/zero"), "there is no file '/dev/zero'"),
    Case("products from a pipe", from_file("a.csv"), "there is no file 'a.csv'", fifo("a.csv")),
    Case("products of no kind", from_file("mug.png"), "products can't be read from '.png'"),
    Case("huge products", from_file("a.csv"), "a.csv:1:1: is larger than 32 MiB", sparse("a.csv", 2**40)),
    Case(
        "products that are a bomb", from_file("a.yaml"), MUCH, beside("a.yaml", "- " + ALIAS_BOMB.replace("\n", "\n  "))
    ),
    Case("products that are no list", from_file("a.json"), "a list of products is expected", beside("a.json", "{}")),
    Case("deep json", from_file("a.json"), "a.json:1:1: ", beside("a.json", "[" * 1_000_000)),
    Case("deep whole json", from_file("a.json"), "a.json:1:", beside("a.json", "[" * 900 + "]" * 900)),
    Case(
        "many json lists",
        from_file("a.json"),
        MUCH,
        beside("a.json", lambda: "[" + "[]," * 10**7 + "[]]"),
    ),
    Case(
        "many json maps",
        from_file("a.json"),
        "products.mugs[0]: ",
        beside("a.json", lambda: "[" + "{}," * 200_000 + "{}]"),
    ),
    Case(
        "json with twice one key",
        from_file("a.json"),
        "duplicate key 'id'",
        beside("a.json", '[{"id": "a", "id": "b"}]'),
    ),
    Case("json that is no number", from_file("a.json"), "not valid JSON", beside("a.json", '[{"id": NaN}]')),
    Case(
        "json with a huge number",
        from_file("a.json"),
        "not valid JSON",
        beside("a.json", '[{"id": ' + "9" * 5000 + "}]"),
    ),
    Case(
        "json with half a character",
        from_file("a.json"),
        "half of a character",
        beside("a.json", '[{"id": "a", "name": "\\ud800"}]'),
    ),
    Case(
        "json with a huge key",
        from_file("a.json"),
        "a.json:1:",
        beside("a.json", lambda: '[{"' + "k" * 10_000_000 + '": 1}]'),
    ),
    Case(
        "json with bad rows",
        from_file("a.json"),
        "… and 49,900 more",
        beside("a.json", lambda: json.dumps([{"idd": "a"}] * 50_000)),
    ),
    Case(
        "csv with bad rows",
        from_file("a.csv"),
        "… and 99,900 more",
        beside("a.csv", lambda: "id\n" + "a b\n" * 100_000),
    ),
    Case(
        "csv of line breaks",
        from_file("a.csv"),
        MUCH,
        beside("a.csv", lambda: "id\n" + "\n" * 30_000_000),
    ),
    Case("csv of commas", from_file("a.csv"), MUCH, beside("a.csv", lambda: "id" + "," * 30_000_000)),
    Case(
        "csv with many columns",
        from_file("a.csv"),
        "has 100,001 columns; the most is 500",
        beside("a.csv", lambda: "id" + ",id" * 100_000),
    ),
    Case(
        "csv with a huge field",
        from_file("a.csv"),
        "field larger than field limit",
        beside("a.csv", lambda: "id\n" + "a" * 10_000_000),
    ),
    Case(
        "csv with an open quote",
        from_file("a.csv"),
        "not valid CSV",
        beside("a.csv", lambda: 'id\n"' + "a\n" * 20_000),
    ),
    Case(
        "csv with wide rows",
        from_file("a.csv"),
        "2 fields, but the header names 1",
        beside("a.csv", lambda: "id\n" + "a,b\n" * 90_000),
    ),
    Case("csv with NULs", from_file("a.csv"), "a.csv:", beside("a.csv", "id\n\0\0\n")),
    Case("csv of one byte", from_file("a.csv"), "there is no column 'id'", beside("a.csv", "\x01")),
    Case("csv of nothing", from_file("a.csv"), "there is no column 'id'", beside("a.csv", "")),
    Case(
        "many product files",
        lambda: good(products="{" + numbered(900, "s#: {from: a.csv}", ", ") + "}"),
        MUCH,
        beside("a.csv", "id,name,vars.a\n" + "a,b,c\n" * 2000),
    ),
]
