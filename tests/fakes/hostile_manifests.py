"""Hostile manifests: a corpus of what somebody may have put into a pull request, and what is said of each.

Every case is refused: with exit code 1, in the words that stand here, and with nothing written. Texts are made when
they are asked for, as some are large.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

GOOD = """\
version: 1
campaign: c
products:
  mugs:
    - {id: mug, name: Blue mug, images: {front: mug.png}, vars: {colour: blue}, tags: [hero]}
prompts:
  table: {text: "Place @Image1, a {{ product.name }}, on a table."}
"""
"""A good manifest; a case that starts with it adds what is wrong below."""
MANY = 290_000  # values, just under what a manifest may have
HUGE = 31 * 2**20  # bytes, just under what a file may have


@dataclass(frozen=True, slots=True)
class Case:
    """``text``: the manifest, or what makes it; ``words``: what must be said; ``files``: makes what lies beside it."""

    name: str
    text: str | bytes | Callable[[], str | bytes]
    words: str
    files: Callable[[Path], object] = lambda _: None

    def write(self, folder: Path) -> None:
        """Write ``m.yaml``, the picture that it names, and what else belongs to it."""
        (folder / "mug.png").write_bytes(png())
        text = self.text() if callable(self.text) else self.text
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        (folder / "m.yaml").write_bytes(data)
        self.files(folder)


def png(width: int = 320, height: int = 320) -> bytes:
    """A plain picture."""
    data = io.BytesIO()
    Image.new("RGB", (width, height), "blue").save(data, "PNG")
    return data.getvalue()


def bomb_png(side: int) -> bytes:
    """A small file that says it is an enormous picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def good(**changes: str) -> str:
    """The good manifest with some of its lines changed: the products, the prompts, or ``more`` below."""
    text = GOOD
    if "products" in changes:
        text = text.replace(
            text[text.index("products:") : text.index("prompts:")], f"products: {changes['products']}\n"
        )
    if "prompts" in changes:
        text = text[: text.index("prompts:")] + f"prompts: {changes['prompts']}\n"
    return text + changes.get("more", "")


def prompt(text: str, more: str = "") -> str:
    """The good manifest with another prompt."""
    return good(prompts="{table: {text: " + json.dumps(text) + more + "}}")


def path(written: str, more: str = "") -> str:
    """The good manifest with another output path."""
    return good(more=f"outputs: {{path: {json.dumps(written, ensure_ascii=False)}{more}}}\n")


def product(**keys: object) -> str:
    """The good manifest with one other product."""
    return good(products=json.dumps({"mugs": [{"id": "mug", "images": {"front": "mug.png"}} | keys]}))


def numbered(count: int, each: str, joint: str = "\n") -> str:
    """``each`` so many times, with its number in it."""
    return joint.join(each.replace("#", str(number)) for number in range(count))


def beside(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Makes a file beside the manifest."""
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def sparse(name: str, size: int) -> Callable[[Path], object]:
    """Makes a file of a size that takes no room."""

    def make(folder: Path) -> None:
        with (folder / name).open("wb") as out:
            out.truncate(size)

    return make


def fifo(name: str) -> Callable[[Path], object]:
    """Makes a pipe that nobody writes to: whoever opens it waits for ever."""
    return lambda folder: os.mkfifo(folder / name)


def link(name: str, to: str) -> Callable[[Path], object]:
    """Makes a link."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(to)

    return make


def from_file(name: str) -> str:
    """The good manifest with its products in a file of their own."""
    return good(products="{mugs: {from: " + json.dumps(name) + "}}")


ALIAS_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 40)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: *a{n - 1}}}\n" for n in range(1, 40))
MUCH = "expands to more than 300,000 values"

SHAPE = [
    Case("nothing", "", "the file is empty"),
    Case("one byte", "\x01", "not valid YAML"),
    Case("alias bomb", ALIAS_BOMB + GOOD, MUCH),
    Case("merge bomb", MERGE_BOMB + GOOD, MUCH),
    Case("wide merge", "a: &a {" + numbered(2000, "k#: 1", ", ") + "}\nb: {<<: [" + "*a, " * 2000 + "]}", MUCH),
    Case("alias to itself", GOOD + "vars: &a {b: *a}\n", "the alias *a contains itself"),
    Case("alias to nothing", GOOD + "vars: *nothing\n", "has no anchor &nothing"),
    Case("deep flow", "[" * 1_000_000, "nested deeper than 50 levels"),
    Case("deep flow maps", "{a: " * 1_000_000, "nested deeper than 50 levels"),
    Case("many equal keys below each other", numbered(3000, "a:", "\n" + " " * 9), "duplicate key 'a'"),
    Case("deep block maps", "".join(" " * n + "a:\n" for n in range(3000)), "nested deeper than 50 levels"),
    Case("deep dashes", "- " * 1_000_000 + "a", "nested deeper than 50 levels"),
    Case("deep questions", "? " * 1_000_000 + "a", "a key must be a plain word"),
    Case(
        "deep aliases", "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200)), "nested deeper"
    ),
    Case("many values", lambda: GOOD + "vars: {a: [" + "1," * 10**6 + "1]}\n", MUCH),
    Case("just few enough values", lambda: GOOD + "vars: {a: [" + "1," * MANY + "1]}\n", "is a list, not text"),
    Case("many empty lists", lambda: GOOD + "x: [" + "[]," * (MANY // 2) + "[]]\n", "unknown key 'x'"),
    Case("many anchors", lambda: GOOD + "x: [" + numbered(MANY, "&a# 1", ",") + "]", "unknown key 'x'"),
    Case("huge text", lambda: "x" * HUGE, "is no manifest: a mapping is expected"),
    Case("huge quoted text", lambda: GOOD + "campaign2: '" + "x" * HUGE + "'\n", "unknown key 'campaign2'"),
    Case("huger quoted text", lambda: GOOD + "campaign2: '" + "x" * 2**25 + "'\n", "is larger than 32 MiB"),
    Case("huge file of nothing", "", "m.yaml:1:1: is larger than 32 MiB", sparse("m.yaml", 2**40)),
    Case("only line breaks", lambda: "\n" * HUGE, "the file is empty"),
    Case("only comments", lambda: "#\n" * (HUGE // 2), "the file is empty"),
    Case("only quotes", lambda: '"' * HUGE, "not valid YAML"),
    Case("only tabs", lambda: "\t" * HUGE, "not valid YAML"),
    Case("only anchors", lambda: "&a " * 1_000_000, "not valid YAML"),
    Case("only commas", lambda: "[" + "," * 1_000_000, "not valid YAML"),
    Case("only directives", lambda: "%YAML 1.2\n" * 100_000, "not valid YAML"),
    Case("many documents", lambda: "---\n" * 1_000_000, "a second document starts here"),
    Case("two manifests", GOOD + "---\n" + GOOD, "a second document starts here"),
    Case(
        "huge value",
        lambda: GOOD + "vars: {a: '" + "x" * 20_000_000 + "'}\n",
        "has 20,000,000 characters; the most is 5,000",
    ),
    Case(
        "huge key",
        lambda: GOOD + "? " + "k" * 10_000_000 + "\n: 1\n",
        "a key has 10,000,000 characters; the most is 1,000",
    ),
    Case("long plain key", lambda: GOOD + "k" * 1_000_000 + ": 1\n", "not valid YAML"),
    Case("huge id", lambda: product(id="x" * 1_000_000), "is not allowed here"),
    Case(
        "python object",
        GOOD + "vars: !!python/object/apply:os.system ['touch pwned']\n",
        "the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
    ),
    Case("python name", GOOD + "vars: {a: !!python/name:os.system x}\n", "is not allowed; write a plain value"),
    Case("binary", GOOD + "vars: {a: !!binary aGVsbG8=}\n", "the tag tag:yaml.org,2002:binary is not allowed"),
    Case("set", GOOD + "vars: !!set {a}\n", "the tag tag:yaml.org,2002:set is not allowed"),
    Case(
        "timestamp tag",
        GOOD + "vars: {a: !!timestamp 2001-01-01}\n",
        "the tag tag:yaml.org,2002:timestamp is not allowed",
    ),
    Case("own tag", GOOD + "vars: {a: !secret x}\n", "the tag !secret is not allowed"),
    Case("float tag", GOOD + "vars: {a: !!float .inf}\n", "'.inf' is no float"),
    Case("many tags", lambda: GOOD + "x: [" + "!!python/name:os.system 1," * 100_000 + "1]", "… and 99,900 more"),
    Case("duplicate keys", lambda: GOOD + "vars:\n" + "  a: 1\n" * 140_000, "… and 139,899 more"),
    Case("duplicate top key", GOOD + "campaign: d\n", "duplicate key 'campaign'"),
    Case("key of null", GOOD + "~: 1\n", "unknown key '~'"),
    Case("key of a list", GOOD + "? [a]\n: 1\n", "a key must be a plain word"),
    Case("no utf-8", GOOD.encode() + b"vars: {a: \xff\xfe}\n", "is not UTF-8 text"),
    Case("latin-1", (GOOD + "vars: {a: grün}\n").encode("latin-1"), "is not UTF-8 text"),
    Case("utf-16", GOOD.encode("utf-16"), "is not UTF-8 text"),
    Case("utf-16 without mark", GOOD.encode("utf-16-le"), "m.yaml:1:"),
    Case("utf-32", GOOD.encode("utf-32"), "is not UTF-8 text"),
    Case("surrogate bytes", GOOD + "vars: {a: \ud800}\n", "is not UTF-8 text"),
    Case("surrogate escape", GOOD + 'vars: {a: "\\ud800"}\n', "not valid YAML"),
    Case("NUL", GOOD + "vars: {a: \0}\n", "not valid YAML"),
    Case("escape sign", GOOD + "vars: {a: \x1b[2J}\n", "not valid YAML"),
    Case("escape sign in a key", GOOD + '"\\e[2J\\e]0;pwned\\a": 1\n', "\\x1b[2J"),
    Case(
        "line break in a key", GOOD + '"a\\nm.yaml:1:1: all is well": 1\n', "a\\nm.yaml:1:1: all is well: unknown key"
    ),
    Case("three byte order marks", "\ufeff\ufeff\ufeff" + GOOD, "not valid YAML"),
    Case("not a number", GOOD + "budget: {usd: .nan}\n", "'.nan' is text, not a number"),
    Case("infinite", GOOD + "budget: {usd: .inf}\n", "'.inf' is text, not a number"),
    Case("too large for a float", GOOD + "budget: {usd: 1e999}\n", "is text, not a number"),
    Case("many digits", GOOD + "budget: {usd: 1" + "0" * 299 + "}\n", "is out of range"),
    Case("a million digits", lambda: GOOD + "budget: {usd: 1" + "0" * 1_000_000 + "}\n", "is text, not a number"),
    Case("hexadecimal", GOOD + "outputs: {variants: 0xffffffffffff}\n", "281474976710655 is out of range"),
    Case("octal", GOOD + "outputs: {variants: 0o777}\n", "511 is out of range"),
    Case("negative", GOOD + "outputs: {variants: -1}\n", "-1 is out of range"),
    Case("timestamp", GOOD.replace("campaign: c", "campaign: 2001-12-14 21:59:43"), "is not allowed here"),
    Case("line break in an id", GOOD.replace("id: mug,", 'id: "mug\\n",'), "is not allowed here"),
    Case("line break in a campaign", GOOD.replace("campaign: c", 'campaign: "c\\n"'), "is not allowed here"),
]

MANY_MISTAKES = [
    Case(
        "many products with a mistake",
        lambda: good(products="{mugs: [" + numbered(90_000, "{idd: a}", ",") + "]}"),
        "unknown key 'idd'",
    ),
    Case(
        "many numbers for products",
        lambda: good(products="{mugs: [" + "1," * (MANY - 100) + "1]}"),
        "… and perhaps more",
    ),
    Case(
        "one bad product of many",
        lambda: good(products="{mugs: [" + numbered(96_000, "{id: p#}", ",") + ",{id: a b}]}"),
        "products.mugs[96000].id: 'a b' is not allowed here",
    ),
    Case("many unknown keys", lambda: GOOD + numbered(140_000, "k#: 1"), "… and perhaps more"),
    Case("many like keys", lambda: GOOD + numbered(140_000, "product#: 1"), "… and perhaps more"),
    Case(
        "many variables",
        lambda: GOOD + "vars: {" + numbered(140_000, "v#: 1", ", ") + "}",
        "has 140,000 keys; the most is 200",
    ),
    Case(
        "many references",
        lambda: GOOD + "references: {" + numbered(10_000, "r#: r#.png", ", ") + "}",
        "there is no file 'r0.png'",
    ),
    Case(
        "many missing pictures",
        lambda: good(products="{mugs: [" + numbered(40_000, "{id: p#, images: {a: p#.png}}", ",") + "]}"),
        "there is no file 'p0.png'",
    ),
    Case("many equal ids", lambda: good(products="{mugs: [" + "{id: a}," * 90_000 + "]}"), "the id 'a' is taken by"),
    Case(
        "many prompts",
        lambda: good(prompts="{" + numbered(60_000, "t#: {text: 'a {{ b }}'}", ", ") + "}"),
        "has 60,000 keys; the most is 1,000",
    ),
    Case(
        "many broken prompts",
        lambda: good(prompts="{" + numbered(1000, "t#: {text: 'a {{ b }}'}", ", ") + "}"),
        "'b' is not defined",
    ),
    Case(
        "many unreadable prompts",
        lambda: good(prompts="{" + numbered(1000, "t#: {text: 'a {{ b'}", ", ") + "}"),
        "the template can't be read",
    ),
    Case(
        "many unknown sets",
        lambda: prompt("a", ", products: [" + numbered(1000, "s#", ", ") + "]"),
        "there is no product set 's0'",
    ),
    Case(
        "many undefined names",
        lambda: good(
            products="{mugs: [" + numbered(96_000, "{id: p#}", ",") + "]}", prompts="{t: {text: 'a {{ b }}'}}"
        ),
        "'b' is not defined (product p0 and at least 99 more)",
    ),
    Case(
        "many lacking images",
        lambda: good(
            products="{mugs: [" + numbered(96_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: 'a @Image1', images: [product.front]}}",
        ),
        "there is no image 'product.front' here",
    ),
    Case(
        "many empty slots",
        lambda: good(
            products="{mugs: [" + numbered(96_000, "{id: p#}", ",") + "]}", prompts="{t: {text: 'a @Image1'}}"
        ),
        "@Image1 names no reference",
    ),
    Case("many equal values", lambda: GOOD + "outputs: {resolution: [" + "a," * MANY + "a]}", "stands twice"),
    Case(
        "many resolutions",
        lambda: GOOD + "outputs: {resolution: [" + numbered(140_000, "r#", ", ") + "]}",
        "has 140,000 items; the most is 100",
    ),
    Case(
        "many unoffered ratios",
        lambda: good(
            products="{mugs: [" + numbered(50_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more="providers: [aimlapi]\noutputs: {aspect_ratio: auto}\n",
        ),
        "aspect_ratio 'auto' is not offered",
    ),
    Case(
        "many equal paths",
        lambda: good(
            products="{mugs: [" + numbered(90_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more='outputs: {path: "a.{{ ext }}"}\n',
        ),
        "two cells have the path 'a.png'",
    ),
    Case(
        "many bad paths",
        lambda: good(
            products="{mugs: [" + numbered(90_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more='outputs: {path: "../{{ product.id }}.{{ ext }}"}\n',
        ),
        "is no path inside the output folder",
    ),
    Case(
        "many undefined paths",
        lambda: good(
            products="{mugs: [" + numbered(90_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more='outputs: {path: "{{ x }}.{{ ext }}"}\n',
        ),
        "'x' is not defined",
    ),
    Case(
        "many tags of a product",
        lambda: product(tags=[f"t{n}" for n in range(100_000)]),
        "has 100,000 items; the most is 100",
    ),
]

MATRIX = [
    Case(
        "a billion cells",
        good(
            prompts="{t: {text: a, vary: {"
            + ", ".join(f"a{n}: [{', '.join(map(str, range(10)))}]" for n in range(9))
            + "}}}"
        ),
        "the matrix has 1,000,000,000 cells, and the most is 200,000",
    ),
    Case(
        "many axes",
        lambda: good(prompts="{t: {text: a, vary: {" + numbered(20_000, "a#: [1, 2]", ", ") + "}}}"),
        "has 20,000 keys; the most is 20",
    ),
    Case(
        "cells beyond counting",
        lambda: good(
            prompts="{t: {text: a, vary: {"
            + ", ".join(f"a{n}: [{', '.join(map(str, range(1000)))}]" for n in range(20))
            + "}}}"
        ),
        "the matrix has more than 1,000,000,000,000,000 cells",
    ),
    Case(
        "one cell too many",
        lambda: good(
            prompts="{t: {text: a, vary: {x: [" + numbered(2001, "#", ", ") + "]}}}", more="outputs: {variants: 100}\n"
        ),
        "the matrix has 200,100 cells",
    ),
    Case(
        "include all",
        lambda: good(
            more="outputs: {include: ["
            + numbered(1000, "{variant: '*', resolution: [" + numbered(1, "1K") + ", r#]}", ", ")
            + "]}\n"
        ),
        "is not offered",
    ),
    Case(
        "include multiplies",
        lambda: good(
            more="outputs: {include: [{resolution: ["
            + numbered(1000, "r#", ", ")
            + "], aspect_ratio: ["
            + numbered(1000, "'1:#'", ", ")
            + "]}]}\n"
        ),
        "the rule makes more than 200,000 cells",
    ),
    Case(
        "includes add up",
        lambda: good(
            more="outputs: {include: ["
            + numbered(
                50,
                "{resolution: ["
                + ", ".join(f"r{n}x#" for n in range(100))
                + "], aspect_ratio: ["
                + ", ".join(f"'1:{n}'" for n in range(100))
                + "]}",
                ", ",
            )
            + "]}\n"
        ),
        "the include rules make more than 200,000 cells",
    ),
    Case(
        "includes say the same",
        lambda: good(
            more="outputs: {include: ["
            + numbered(
                1000,
                "{resolution: ["
                + ", ".join(f"r{n}" for n in range(100))
                + "], aspect_ratio: ["
                + ", ".join(f"'1:{n}'" for n in range(100))
                + "]}",
                ", ",
            )
            + "]}\n"
        ),
        "take more than 3,000,000 comparisons",
    ),
    Case(
        "many rules, many places",
        lambda: good(
            products="{mugs: [" + numbered(50_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more="outputs: {exclude: [" + numbered(1000, "{product: 'x#*'}", ", ") + "]}\n",
        ),
        "take more than 3,000,000 comparisons",
    ),
    Case(
        "many globs, many places",
        lambda: good(
            products="{mugs: [" + numbered(50_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more="outputs: {exclude: [{product: [" + numbered(1000, "'*x#*'", ", ") + "]}]}\n",
        ),
        "take more than 3,000,000 comparisons",
    ),
    Case(
        "many rules for nothing",
        lambda: GOOD + "outputs: {exclude: [" + numbered(1000, "{product: x#}", ", ") + "]}\n",
        "the rule matches nothing",
    ),
    Case(
        "many rules for nothing of much",
        lambda: good(
            products="{mugs: [" + numbered(30_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: a}}",
            more="outputs: {exclude: [" + numbered(20, "{product: px#}", ", ") + "]}\n",
        ),
        "the rule matches nothing",
    ),
    Case(
        "too many rules",
        lambda: GOOD + "outputs: {exclude: [" + "{product: mug}," * 70_000 + "]}\n",
        "has 70,000 items; the most is 1,000",
    ),
    Case(
        "glob that backtracks",
        GOOD + "outputs: {exclude: [{product: '" + "*a" * 140 + "'}]}\n",
        "the rule matches nothing",
    ),
    Case(
        "glob of brackets", GOOD + "outputs: {exclude: [{product: '" + "[" * 299 + "'}]}\n", "the rule matches nothing"
    ),
    Case(
        "huge glob",
        lambda: GOOD + "outputs: {exclude: [{product: '" + "[" * 1_000_000 + "'}]}\n",
        "has 1,000,000 characters; the most is 300",
    ),
    Case("unknown dimension", GOOD + "outputs: {exclude: [{__class__: x}]}\n", "there is no dimension '__class__'"),
]

TEMPLATES = [
    Case("class", prompt("{{ ''.__class__.__mro__[1].__subclasses__() }}"), "templates can't use 'call'"),
    Case("class without a call", prompt("{{ ''.__class__.__mro__ }}"), "'__class__' is not defined"),
    Case("globals", prompt("{{ product.__init__.__globals__ }}"), "'__init__' is not defined"),
    Case("self", prompt("{{ self._TemplateReference__context }}"), "templates can't use 'self'"),
    Case("config", prompt("{{ config }}"), "'config' is not defined"),
    Case("attr filter", prompt("{{ product|attr('__class__') }}"), "the filter 'attr' is not available"),
    Case("cycler", prompt("{{ cycler.__init__ }}"), "'cycler' is not defined"),
    Case("import", prompt("{% import 'os' as os %}"), "templates can't use 'import'"),
    Case("include", prompt("{% include '/etc/passwd' %}"), "templates can't use 'include'"),
    Case("extends", prompt("{% extends 'x' %}"), "templates can't use 'extends'"),
    Case("loop", prompt("{% for a in b %}{% endfor %}"), "templates can't use 'for'"),
    Case(
        "macro that calls itself",
        prompt("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        "templates can't use 'macro'",
    ),
    Case("set", prompt("{% set a = 1 %}"), "templates can't use 'assign'"),
    Case("range", prompt("{{ range(10 ** 9) }}"), "templates can't use 'call'"),
    Case("multiplied text", prompt("{{ 'a' * 10 ** 9 }}"), "templates can't use 'mul'"),
    Case("power", prompt("{{ 9 ** 9 ** 9 }}"), "templates can't use 'pow'"),
    Case("added text", prompt("{{ 'a' + 'b' }}"), "templates can't use 'add'"),
    Case("percent", prompt("{{ '%1000000000s' % 'a' }}"), "templates can't use 'mod'"),
    Case("format", prompt("{{ '%1000000000s'|format('a') }}"), "the filter 'format' is not available"),
    Case("center", prompt("{{ 'a'|center(10000000000) }}"), "the filter 'center' is not available"),
    Case("indent", prompt("{{ 'a'|indent(1000000000) }}"), "the filter 'indent' is not available"),
    Case("join", prompt("{{ 'a'|join('b') }}"), "the filter 'join' is not available"),
    Case("batch", prompt("{{ 'a'|batch(1000000000) }}"), "the filter 'batch' is not available"),
    Case(
        "replace that grows",
        prompt("{{ 'a'|replace('a', 'aaaaaaaaaa')" + "|replace('a', 'aaaaaaaaaa')" * 9 + " }}"),
        "`replace` makes more than 20,000 characters",
    ),
    Case(
        "replace nothing",
        prompt("{{ 'aaaaaaaaaa'|replace('', 'aaaaaaaaaa')" + "|replace('', 'aaaaaaaaaa')" * 9 + " }}"),
        "`replace` makes more than 20,000 characters",
    ),
    Case(
        "joined texts",
        prompt("{% if " + "~".join(["a"] * 900) + " == 1 %}{% endif %}", ", vary: {a: ['" + "x" * 4000 + "']}"),
        "`~` makes more than 20,000 characters",
    ),
    Case("long text", prompt("{{ a }}" * 10, ", vary: {a: ['" + "x" * 4000 + "']}"), "renders to too long a text"),
    Case("chain of filters", prompt("{{ 'a'" + "|upper" * 2000 + " }}"), "the template is nested too deeply"),
    Case("nested ifs", prompt("{% if a %}" * 900 + "{% endif %}" * 900), "the template is nested too deeply"),
    Case(
        "nested parentheses", prompt("{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}"), "the template is nested too deeply"
    ),
    Case("nested not", prompt("{{ " + "not " * 4000 + "a }}"), "the template is nested too deeply"),
    Case("many parts", prompt("{{ a }}" * 2800), "the template has more than 2,000 parts"),
    Case(
        "many templates",
        lambda: good(
            prompts="{" + ", ".join(f't{n}: {{text: "' + "{{ product.id }}" * 600 + '"}' for n in range(50)) + "}"
        ),
        "the templates up to here have more than 30,000 parts",
    ),
    Case(
        "rendered often",
        lambda: good(
            products="{mugs: [" + numbered(96_000, "{id: p#}", ",") + "]}",
            prompts='{t: {text: "' + "{{ product.id }}" * 400 + '"}}',
        ),
        "takes more than 20,000,000 steps",
    ),
    Case(
        "long texts often",
        lambda: good(
            products="{mugs: [" + numbered(20_000, "{id: p#}", ",") + "]}",
            prompts="{t: {text: '" + "x" * 19_000 + "'}}",
        ),
        "the prompts up to here render to more than 150 MB",
    ),
    Case("huge number", prompt("{{ " + "9" * 5000 + " }}"), "a number in the template can't be read"),
    Case("huge hexadecimal number", prompt("{{ 0x" + "f" * 15_000 + " }}"), "templates can't use 'inf'"),
    Case("infinite number", prompt("{{ 1e999 }}"), "templates can't use 'inf'"),
    Case("unclosed", prompt("{{" * 9000), "the template"),
    Case("unclosed comments", prompt("{#" * 9000), "the template can't be read"),
    Case("half a character", prompt("{{ '\\ud800' }}"), "half of a character"),
    Case("wrong arguments", prompt("{{ 'a'|upper(1, 2, 3) }}"), "the template can't be rendered"),
    Case("stars", prompt("{{ 'a'|default(*'abc') }}"), "the template can't be rendered"),
    Case("unhashable name", prompt("{{ product[[]] }}"), "the template can't be rendered"),
    Case("too long a prompt", lambda: prompt("x" * 20_001), "has 20,001 characters; the most is 20,000"),
    Case("huge prompt", lambda: prompt("x" * 10_000_000), "has 10,000,000 characters"),
    Case("slots that backtrack", prompt("@Image2" * 2000 + "@image" * 100 + "@Image2"), "@Image2 names no reference"),
    Case("slot number of many digits", prompt("@Image1 @Image" + "9" * 5000), "names no reference"),
    Case("nearly a slot", prompt("@image 1" * 2000), "is no slot"),
    Case(
        "template in an image's name",
        prompt("@Image1", ", images: ['{{ product.__class__ }}']"),
        "'__class__' is not defined",
    ),
]

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
        "is a folder",
        "",
        "m.yaml:1:1: is a folder, not a file",
        lambda folder: ((folder / "m.yaml").unlink(), (folder / "m.yaml").mkdir()),
    ),
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
        lambda folder: beside("a.json", "[" + "[]," * 10**7 + "[]]")(folder),
    ),
    Case(
        "many json maps",
        from_file("a.json"),
        "products.mugs[0]: ",
        lambda folder: beside("a.json", "[" + "{}," * 200_000 + "{}]")(folder),
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
        lambda folder: beside("a.json", '[{"' + "k" * 10_000_000 + '": 1}]')(folder),
    ),
    Case(
        "json with bad rows",
        from_file("a.json"),
        "… and 49,900 more",
        lambda folder: beside("a.json", json.dumps([{"idd": "a"}] * 50_000))(folder),
    ),
    Case(
        "csv with bad rows",
        from_file("a.csv"),
        "… and 99,900 more",
        lambda folder: beside("a.csv", "id\n" + "a b\n" * 100_000)(folder),
    ),
    Case(
        "csv of line breaks",
        from_file("a.csv"),
        MUCH,
        lambda folder: beside("a.csv", "id\n" + "\n" * 30_000_000)(folder),
    ),
    Case("csv of commas", from_file("a.csv"), MUCH, lambda folder: beside("a.csv", "id" + "," * 30_000_000)(folder)),
    Case(
        "csv with many columns",
        from_file("a.csv"),
        "has 100,001 columns; the most is 500",
        lambda folder: beside("a.csv", "id" + ",id" * 100_000)(folder),
    ),
    Case(
        "csv with a huge field",
        from_file("a.csv"),
        "field larger than field limit",
        lambda folder: beside("a.csv", "id\n" + "a" * 10_000_000)(folder),
    ),
    Case(
        "csv with an open quote",
        from_file("a.csv"),
        "not valid CSV",
        lambda folder: beside("a.csv", 'id\n"' + "a\n" * 20_000)(folder),
    ),
    Case(
        "csv with wide rows",
        from_file("a.csv"),
        "2 fields, but the header names 1",
        lambda folder: beside("a.csv", "id\n" + "a,b\n" * 90_000)(folder),
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

IMAGES = [
    Case("image is a pipe", product(images={"front": "pipe"}), "there is no file 'pipe'", fifo("pipe")),
    Case(
        "image is a link to a pipe",
        product(images={"front": "a.png"}),
        "there is no file 'a.png'",
        lambda folder: (fifo("pipe")(folder), link("a.png", "pipe")(folder)),
    ),
    Case("image of zeros", product(images={"front": "/dev/zero"}), "there is no file '/dev/zero'"),
    Case("image of chance", product(images={"front": "/dev/random"}), "there is no file '/dev/random'"),
    Case("image of memory", product(images={"front": "/proc/self/mem"}), "can't be read"),
    Case("image of a page map", product(images={"front": "/proc/self/pagemap"}), "is larger than 64 MiB"),
    Case("image is a folder", product(images={"front": "."}), "there is no file '.'"),
    Case(
        "image of nothing", product(images={"front": "a.png"}), "is no PNG, JPEG or WebP picture", beside("a.png", "")
    ),
    Case(
        "image of one byte",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "\x89"),
    ),
    Case("huge image", product(images={"front": "a.png"}), "is larger than 64 MiB", sparse("a.png", 2**40)),
    Case(
        "image that is a page",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "<html></html>"),
    ),
    Case(
        "image that is a drawing",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ),
    Case(
        "image that is PostScript",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    ),
    Case(
        "half an image", product(images={"front": "a.png"}), "is damaged: it ends early", beside("a.png", png()[:-20])
    ),
    Case(
        "image of too many pixels",
        product(images={"front": "a.png"}),
        "has too many pixels",
        beside("a.png", bomb_png(30_000)),
    ),
    Case(
        "image of far too many pixels",
        product(images={"front": "a.png"}),
        "has too many pixels",
        beside("a.png", bomb_png(2**31 - 1)),
    ),
    Case(
        "image of no pixels",
        product(images={"front": "a.png"}),
        "is no PNG, JPEG or WebP picture",
        beside("a.png", bomb_png(0)),
    ),
    Case("image at a file address", product(images={"front": "file:///etc/passwd"}), "can't be fetched by a gateway"),
    Case("image at a data address", product(images={"front": "data://text/plain,a"}), "can't be fetched by a gateway"),
    Case("image with a NUL", product(images={"front": "a\0.png"}), "there is no file"),
    Case("image of a long name", product(images={"front": "a" * 2000}), "there is no file"),
    Case(
        "image of too long a name",
        lambda: product(images={"front": "a" * 2001}),
        "has 2,001 characters; the most is 2,000",
    ),
    Case("image with control signs", product(images={"front": "a\x1b[2J.png"}), "there is no file 'a\\x1b[2J.png'"),
]

INSIDE = "is no path inside the output folder"
PATHS = [
    *(
        Case(f"path {name}", path(written), words)
        for name, written, words in [
            ("upwards", "../{{ product.id }}.{{ ext }}", INSIDE),
            ("upwards in the middle", "a/../../{{ product.id }}.{{ ext }}", INSIDE),
            ("through here", "./{{ product.id }}.{{ ext }}", INSIDE),
            ("absolute", "/tmp/{{ product.id }}.{{ ext }}", INSIDE),
            ("of a drive", "C:/{{ product.id }}.{{ ext }}", INSIDE),
            ("of a drive, relative", "C:{{ product.id }}.{{ ext }}", INSIDE),
            ("of a share", "//host/share/{{ product.id }}.{{ ext }}", INSIDE),
            ("with backslashes", "..\\..\\{{ product.id }}.{{ ext }}", INSIDE),
            ("of a stream", "a.png:b.{{ ext }}", INSIDE),
            ("with a NUL", "a\0.{{ ext }}", INSIDE),
            ("with a line break", "a\n.{{ ext }}", INSIDE),
            ("with a backspace", "a\b.{{ ext }}", INSIDE),
            ("empty in the middle", "a//{{ product.id }}.{{ ext }}", INSIDE),
            ("CON", "CON/{{ product.id }}.{{ ext }}", INSIDE),
            ("nul.png", "nul.{{ ext }}", INSIDE),
            ("aux with a space", "aux .{{ ext }}", INSIDE),
            ("COM1", "com1.x.{{ ext }}", INSIDE),
            ("COM¹", "COM¹.{{ ext }}", INSIDE),
            ("CONIN$", "conin$.{{ ext }}", INSIDE),
            ("with a dot at the end", "a./{{ product.id }}.{{ ext }}", INSIDE),
            ("with a space at the end", "a /{{ product.id }}.{{ ext }}", INSIDE),
            ("with a fullwidth slash", "..／..／{{ product.id }}.{{ ext }}", INSIDE),
            ("of one-dot leaders", "․․/{{ product.id }}.{{ ext }}", INSIDE),
            ("of a two-dot leader", "‥/{{ product.id }}.{{ ext }}", INSIDE),
            ("with a fullwidth colon", "C：/{{ product.id }}.{{ ext }}", INSIDE),
            ("turned around", "a\u202egnp.{{ ext }}", INSIDE),
            ("with an invisible sign", "a\u200b.{{ ext }}", INSIDE),
            ("of a private sign", "a\ue000.{{ ext }}", INSIDE),
            ("of the ledger", ".pipeline/ledger.{{ ext }}", INSIDE),
            ("of the ledger in capitals", ".PIPELINE/originals/a.{{ ext }}", INSIDE),
            ("of the ledger, fullwidth", "．pipeline/a.{{ ext }}", INSIDE),
            ("of the ledger, invisibly", ".pipe\u200cline/a.{{ ext }}", INSIDE),
            ("of the ledger, as Windows calls it", "PIPELI~1/a.{{ ext }}", INSIDE),
            ("of the sheet, as Windows calls it", "REPORT~1.{{ ext }}", INSIDE),
            ("below the sheet", "report.html/{{ product.id }}.{{ ext }}", "two cells have the path"),
            ("below the results", "Results.JSONL/{{ product.id }}.{{ ext }}", "two cells have the path"),
            ("of another type", "{{ product.id }}.html", "doesn't end in .png"),
            ("of the sheet", "report.html", "doesn't end in .png"),
            ("too long a part", "a" * 300 + ".{{ ext }}", INSIDE),
            ("too deep", "a/" * 25 + "{{ product.id }}.{{ ext }}", INSIDE),
            ("of too many bytes", "語" * 80 + ".{{ ext }}", INSIDE),
        ]
    ),
    Case("path too long", lambda: path("a" * 1001), "has 1,001 characters; the most is 1,000"),
    *(
        Case(
            f"paths that differ in {name}",
            good(
                prompts="{t: {text: '@Image1', vary: {x: " + json.dumps(values, ensure_ascii=False) + "}}}",
                more='outputs: {path: "{{ x }}.{{ ext }}"}\n',
            ),
            words,
        )
        for name, values, words in [
            ("Unicode form", ["é", "e\u0301"], "two cells have the"),
            ("case", ["abc", "ABC"], "two cells have the path"),
            ("fold", ["straße", "STRASSE"], "two cells have the path"),
            ("width", ["abc", "ａｂｃ"], "two cells have the path"),
            ("ligature", ["ﬁn", "fin"], "two cells have the path"),
            ("dots at the end", ["a", "a..."], "two cells have the"),
            ("signs that are left out", ["a b", "a/b"], "two cells have the"),
            ("a sign that isn't seen", ["a-b", "a\u200bb"], "two cells have the"),
        ]
    ),
    *(
        Case(f"id {name!r}", good(products=json.dumps({"mugs": [{"id": name, "images": {"front": "mug.png"}}]})), words)
        for name, words in [
            ("../x", "is not allowed here"),
            ("..", "is not allowed here"),
            (".", "is not allowed here"),
            ("", "is not allowed here"),
            ("/etc/passwd", "is not allowed here"),
            ("C:\\x", "is not allowed here"),
            ("a\0b", "is not allowed here"),
            ("x" * 300, "is not allowed here"),
            (".pipeline", "is not allowed here"),
            ("CON", INSIDE),
            ("nul", INSIDE),
            ("aux.txt", INSIDE),
            ("LPT9.tar.gz", INSIDE),
            ("report.html", "two cells have the path"),
            ("results.jsonl", "two cells have the path"),
            ("REPORT.html", "two cells have the path"),
            ("mug ", "is not allowed here"),
            ("mug\n", "is not allowed here"),
            ("mug\u202e", "is not allowed here"),
            ("mug\u200b", "is not allowed here"),
            ("mսg", "is not allowed here"),
            ("ｍug", "is not allowed here"),
        ]
    ),
    Case(
        "ids that differ in case",
        good(products="{mugs: [{id: mug}, {id: MUG}]}", prompts="{t: {text: a}}"),
        "the id 'MUG' is taken",
    ),
    Case(
        "ids that differ in a dot",
        good(products="{mugs: [{id: mug}, {id: mug.}]}", prompts="{t: {text: a}}"),
        "two cells have the path",
    ),
    Case("folder with a NUL", good(more='outputs: {folder: "a\\0b"}\n'), "is not allowed here"),
    Case("folder with a line break", good(more='outputs: {folder: "a\\nb"}\n'), "is not allowed here"),
    Case(
        "sidecars of one name",
        good(
            prompts="{t: {text: '@Image1'}}",
            more="outputs: {format: [png, webp], native: false, variants: 2, path: \"{% if ext == 'png' %}v{{ variant }}{% else %}w{% if variant == 1 %}2{% else %}1{% endif %}{% endif %}/../x.{{ ext }}\"}\n",
        ),
        INSIDE,
    ),
]

LINKS = [
    *(
        Case(
            f"link {name}", GOOD, f"{shown!r} is a link that leads out of the output folder", link(f"out/c/{name}", to)
        )
        for name, to, shown in [
            ("mug", "../../..", "mug"),
            ("mug/table", "/tmp", "mug/table"),
            ("mug", "/nowhere/at/all", "mug"),
            (".pipeline", "/tmp", ".pipeline"),
            (".pipeline/originals", "/tmp", ".pipeline/originals"),
            (".pipeline/thumbs", "/tmp", ".pipeline/thumbs"),
        ]
    ),
]

CASES = [*SHAPE, *MANY_MISTAKES, *MATRIX, *TEMPLATES, *FILES, *IMAGES, *PATHS, *LINKS]

HEAVY = frozenset(
    ["many undefined paths", "rendered often", "long texts often", "many bad paths", "many product files"]
    + ["many templates", "many lacking images", "many undefined names", "many like keys", "many json maps"]
    + ["one bad product of many", "many equal ids", "includes say the same", "too many rules", "many axes"]
    + ["many numbers for products", "many anchors", "many globs, many places", "many equal paths", "many empty slots"]
    + ["extends half a bomb often", "many prompts", "many missing pictures", "many unknown keys", "many resolutions"]
    + ["many rules, many places", "many unoffered ratios", "csv with wide rows", "duplicate keys", "many empty lists"]
    + ["just few enough values", "csv with bad rows", "many rules for nothing of much", "many variables"]
    + ["many products with a mistake", "json with bad rows", "many values", "many equal values", "many tags"]
    + ["many tags of a product", "json with a huge key", "many broken prompts", "huge value"]
)
"""Cases that take a quarter of a second or more, as they are just under what is refused at once."""
SAMPLE = frozenset(
    [
        "many undefined paths",
        "many lacking images",
        "many json maps",
        "one bad product of many",
        "many globs, many places",
    ]
    + ["csv with bad rows", "duplicate keys", "many variables", "many equal values", "json with a huge key"]
)
"""The heavy cases that the test suite runs; the soak runs them all."""
