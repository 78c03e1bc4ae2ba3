"""Ids, paths and links that would leave the output folder, or take each other's place."""

from __future__ import annotations

import json

from fakes.hostile_manifests.kit import GOOD, Case, good, link, path

INSIDE = "is no path inside the output folder"
PATHS = [
    *(
        Case(f"path {name}", path(written), words)
        for name, written, words in [
            ("upwards", "../{{ product.id }}.{{ ext }}", INSIDE),
            ("upwards in the middle", "a/../../{{ product.id }}.{{ ext }}", INSIDE),
            ("through here", "./{{ product.id }}.{{ ext }}", INSIDE),
            ("absolute", "/srv/{{ product.id }}.{{ ext }}", INSIDE),
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
            ("Unicode form", ["é", "e\u0301"], "is listed twice"),
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
        path(
            "{% if (ext == 'png') == (variant == 1) %}a{% else %}b{% endif %}.{{ ext }}",
            ", variants: 2, format: [png, webp]",
        ),
        "two cells have the path 'a.json'",
    ),
]

LINKS = [
    *(
        Case(
            f"link {name} to {to}",
            GOOD,
            f"{shown!r} is a link that leads out of the output folder",
            link(f"out/c/{name}", to),
        )
        for name, to, shown in [
            ("mug", "../../..", "mug"),
            ("mug/table", "/srv", "mug/table"),
            ("mug", "/nowhere/at/all", "mug"),
            (".pipeline", "/srv", ".pipeline"),
            (".pipeline/originals", "/srv", ".pipeline/originals"),
            (".pipeline/thumbs", "/srv", ".pipeline/thumbs"),
        ]
    ),
]
