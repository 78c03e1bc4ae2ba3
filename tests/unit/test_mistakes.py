"""The classic mistakes, through the real command line: one clear located line each, fast, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.work import HANGS
from kit import png, write

ROOT = Path(__file__).parents[2]
GOOD = """\
version: 1
campaign: c
references:
  linen: linen.png
products:
  mugs:
    - id: mug
      images: {front: mug.png}
prompts:
  table:
    images: [product.front, references.linen]
    text: >
      Place @Image1 on a
      table dressed like @Image2.
outputs:
  aspect_ratio: [1:1, 16:9]
"""


def validate(folder, text, *more):
    """Run ``pipeline validate m.yaml`` in a folder with two pictures: exit code and the lines of standard error."""
    write(folder / "mug.png", png())
    write(folder / "linen.png", png("white"))
    write(folder / "m.yaml", text)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "validate", "m.yaml", *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=HANGS,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def changed(old, new, *more):
    """Return the good manifest with a mistake in it."""
    assert old in GOOD
    return GOOD.replace(old, new) + "".join(more)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: *a{n - 1}}}\n" for n in range(1, 40))
CLASSICS = {
    "duplicate key": (
        changed("campaign: c\n", "campaign: c\nversion: 1\n"),
        "m.yaml:3:1: version: duplicate key 'version'; it is on line 1 already: remove one",
    ),
    "unknown key": (
        changed("prompts:\n", "promts: {}\nprompts:\n"),
        "m.yaml:9:1: promts: unknown key 'promts'; did you mean 'prompts'?",
    ),
    "missing file": (
        changed("front: mug.png", "front: mgu.png"),
        "m.yaml:8:23: products.mugs[0].images.front: there is no file 'mgu.png'; did you mean 'mug.png'?",
    ),
    "undefined variable": (
        changed("on a\n", "on a {{ product.nmae }}\n"),
        "m.yaml:13:37: prompts.table.text: 'nmae' is not defined (product mug); did you mean 'name'?",
    ),
    "slot without reference": (
        changed("like @Image2", "like @Image2 and @Image4"),
        (
            "m.yaml:14:38: prompts.table.text: @Image4 names no reference: there are 2 references (product mug); "
            "use @Image1 to @Image2, or add an image"
        ),
    ),
    "auto ratio": (
        changed("[1:1, 16:9]", "[1:1, auto]", "providers: [aimlapi]\n"),
        (
            "m.yaml:16:23: outputs.aspect_ratio[1]: provider aimlapi: aspect_ratio 'auto' is not offered; "
            "there is 16:9, 1:1, 21:9, 2:3, 3:2, 3:4, 4:3, 9:16"
        ),
    ),
    "rule without match": (
        GOOD + "  exclude: [{product: mugg}]\n",
        "m.yaml:17:13: outputs.exclude[0]: the rule matches nothing; no product is 'mugg': did you mean 'mug'?",
    ),
    "one path for two cells": (
        GOOD + '  path: "{{ product.id }}.{{ ext }}"\n',
        (
            "m.yaml:17:9: outputs.path: two cells have the path 'mug.png': mug/table/1x1/1K/v1.png and "
            "mug/table/16x9/1K/v1.png; "
        ),
    ),
    "alias bomb": (
        BOMB + GOOD,
        "m.yaml:6:15: a5[1]: the manifest expands to more than 300,000 values; remove aliases",
    ),
    "merge bomb": (MERGE_BOMB + GOOD, ": the manifest expands to more than 300,000 values; remove aliases"),
    "tab": (changed("  mugs:", "\tmugs:"), "m.yaml:6:1: not valid YAML: "),
    "unclosed quote": (changed("campaign: c", "campaign: 'c"), "m.yaml:17:1: not valid YAML: "),
    "python tag": (
        changed("campaign: c", "campaign: !!python/object/apply:os.getcwd []"),
        "m.yaml:2:11: campaign: the tag ",
    ),
    "empty file": ("", "m.yaml:1:1: the file is empty; start with `version: 1`"),
}


@pytest.mark.parametrize(("text", "line"), CLASSICS.values(), ids=CLASSICS)
def test_a_classic_mistake_is_one_clear_located_line(tmp_path, text, line):
    """One mistake is one line with place, fact and next step, plus the count; exit code 1, in under two seconds."""
    code, said = validate(tmp_path, text)
    assert code == 1
    assert len(said) == 2, said
    assert line in said[0]
    assert said[0].startswith("m.yaml:")
    assert said[1] == "1 problem in 1 manifest"


def test_the_good_manifest_is_valid(tmp_path):
    """Unquoted 16:9 is fine, and nothing is said about it."""
    assert validate(tmp_path, GOOD) == (0, [])


MANY = """\
version: 1
campaign: c
references:
  linen: lost.png
products:
  mugs:
    - id: mug
      images: {front: mgu.png}
      vars: {colour: red}
    - id: MUG
  more: {from: more.csv}
vars: {format: x}
prompts:
  table:
    products: [mugz]
    text: a
  scene:
    products: [mugs]
    images: [product.front]
    vary: {light: [day, day]}
    text: |
      @Image1 is {{ product.vars.color }}
providers: [aimlapi]
outputs:
  aspect_ratio: [1:1, auto]
  exclude: [{product: nothing}, {colour: red}]
"""


def test_many_mistakes_are_reported_at_once_in_reading_order(tmp_path):
    """Mistakes of every stage and file are reported together, sorted by place, and counted."""
    write(tmp_path / "more.csv", "id,images.front\nok,mug.png\nbad one,mug.png\n")
    code, said = validate(tmp_path, MANY)
    assert code == 1
    places = [line.split(": ")[0].split(":") for line in said[:-1]]
    keys = [(file, int(row), int(column)) for file, row, column in places]
    assert keys == sorted(keys)
    assert said[-1] == f"{len(keys)} problems in 1 manifest"
    text = "\n".join(said)
    for part in [
        "m.yaml:4:10: references.linen: there is no file 'lost.png'",
        "m.yaml:8:23: products.mugs[0].images.front: there is no file 'mgu.png'; did you mean 'mug.png'?",
        "m.yaml:10:11: products.mugs[1].id: the id 'MUG' is taken by m.yaml:7:11",
        "m.yaml:12:8: vars.format: 'format' has a meaning of its own",
        "m.yaml:15:16: prompts.table.products[0]: there is no product set 'mugz'; did you mean 'mugs'?",
        "m.yaml:20:25: prompts.scene.vary.light[1]: 'day' is listed twice",
        "m.yaml:22:34: prompts.scene.text: 'color' is not defined",
        "m.yaml:26:13: outputs.exclude[0]: the rule matches nothing; no product is 'nothing'",
        "m.yaml:26:34: outputs.exclude[1].colour: there is no dimension 'colour'",
        "more.csv:3:1: products.more[1].id: 'bad one' is not allowed here",
    ]:
        assert part in text


def test_mistakes_of_shape_are_reported_at_once(tmp_path):
    """Several keys of the wrong kind are several lines."""
    code, said = validate(tmp_path, "version: 1\ncampaign: [c]\nproducts: 3\nprompts: {t: {text: 5}}\nzzz: {}\n")
    assert code == 1
    assert [line.split(": ")[0] for line in said[:-1]] == [*("m.yaml:2:11", "m.yaml:3:11", "m.yaml:4:21", "m.yaml:5:1")]


def test_several_manifests_are_counted_together(tmp_path):
    """Each manifest is checked, and the last line counts them."""
    write(tmp_path / "other.yaml", "")
    code, said = validate(tmp_path, GOOD, "other.yaml", "lost.yaml")
    assert code == 1
    assert said[-1] == "2 problems in 2 manifests"


def test_warnings_do_not_fail(tmp_path):
    """A reference that no prompt mentions is a warning: located, and exit code 0."""
    code, said = validate(tmp_path, changed("like @Image2", "like linen"))
    assert code == 0
    assert said == [
        (
            "m.yaml:12:11: warning: prompts.table.text: reference 2 is sent but the prompt never says @Image2; "
            "mention it, or remove it from images"
        )
    ]
