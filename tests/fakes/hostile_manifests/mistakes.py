"""As many mistakes as a manifest can have, each said a hundred times at most."""

from __future__ import annotations

from fakes.hostile_manifests.kit import GOOD, MANY, Case, crowd, good, numbered, product, prompt

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
        lambda: crowd(96_000, "'a {{ b }}'"),
        "'b' is not defined (product p0 and at least 99 more)",
    ),
    Case(
        "many lacking images",
        lambda: crowd(96_000, "'a @Image1', images: [product.front]"),
        "there is no image 'product.front' here",
    ),
    Case(
        "many empty slots",
        lambda: crowd(96_000, "'a @Image1'"),
        "@Image1 names no reference",
    ),
    Case("many equal values", lambda: GOOD + "outputs: {resolution: [" + "a," * MANY + "a]}", "is listed twice"),
    Case(
        "many resolutions",
        lambda: GOOD + "outputs: {resolution: [" + numbered(140_000, "r#", ", ") + "]}",
        "has 140,000 items; the most is 100",
    ),
    Case(
        "many unoffered ratios",
        lambda: crowd(50_000, more="providers: [aimlapi]\noutputs: {aspect_ratio: auto}\n"),
        "aspect_ratio 'auto' is not offered",
    ),
    Case(
        "many equal paths",
        lambda: crowd(90_000, more='outputs: {path: "a.{{ ext }}"}\n'),
        "two cells have the path 'a.png'",
    ),
    Case(
        "many bad paths",
        lambda: crowd(90_000, more='outputs: {path: "../{{ product.id }}.{{ ext }}"}\n'),
        "is no path inside the output folder",
    ),
    Case(
        "many undefined paths",
        lambda: crowd(90_000, more='outputs: {path: "{{ x }}.{{ ext }}"}\n'),
        "'x' is not defined",
    ),
    Case(
        "many tags of a product",
        lambda: product(tags=[f"t{n}" for n in range(100_000)]),
        "has 100,000 items; the most is 100",
    ),
]
