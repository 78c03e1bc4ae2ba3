"""Matrices, rules and globs that multiply."""

from __future__ import annotations

from fakes.hostile_manifests.kit import GOOD, Case, crowd, good, numbered

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
        lambda: crowd(50_000, more="outputs: {exclude: [" + numbered(1000, "{product: 'x#*'}", ", ") + "]}\n"),
        "take more than 3,000,000 comparisons",
    ),
    Case(
        "many globs, many places",
        lambda: crowd(50_000, more="outputs: {exclude: [{product: [" + numbered(1000, "'*x#*'", ", ") + "]}]}\n"),
        "take more than 3,000,000 comparisons",
    ),
    Case(
        "many rules for nothing",
        lambda: GOOD + "outputs: {exclude: [" + numbered(1000, "{product: x#}", ", ") + "]}\n",
        "the rule matches nothing",
    ),
    Case(
        "many rules for nothing of much",
        lambda: crowd(20_000, more="outputs: {exclude: [" + numbered(20, "{product: px#}", ", ") + "]}\n"),
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
