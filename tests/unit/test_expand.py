"""From a manifest to its cells: the matrix and its rules, slots, paths, keys, and what no provider can make."""

from __future__ import annotations

import base64
import json
import unicodedata

import pytest
from fakes import work
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import MUG, TABLE, cells, complaints, failure, labels, manifest, png, warnings, write

from pipeline.errors import ManifestError
from pipeline.expand import MAX_CELLS, expand
from pipeline.former import settled
from pipeline.manifest import load

HERO = MUG | {"tags": ["hero"]}
BOWL = {"id": "bowl", "name": "Bowl", "images": {"front": "mug.png"}, "tags": ["new"]}
TWO = {"mugs": [HERO], "bowls": [BOWL]}
SCENES = {"table": TABLE | {"text": "Put @Image1 on a {{ scene }}.", "vary": {"scene": ["oak table", "blanket"]}}}


def prompt(text, **more):
    """Return the prompts of a manifest that has one."""
    return {"prompts": {"table": {"text": text, **more}}}


def texts(folder, **changes):
    """Return the rendered prompts of a manifest's pictures, in order."""
    return [picture.spec.prompt for picture in cells(folder, **changes).pictures.values()]


def files(folder, path, **changes):
    """Return the files that an output path gives."""
    outputs = changes.pop("outputs", {}) | {"path": path}
    return [cell.file for cell in cells(folder, outputs=outputs, **changes).cells]


# ── the matrix ──────────────────────────────────────────────────────────────────────────────────


def test_cells_stand_in_the_manifests_order(tmp_path):
    """Products, then prompts, then vary values as written; then ratio, resolution, variant and format."""
    found = cells(
        tmp_path,
        products={"z": [{"id": "z1"}, {"id": "a1"}], "a": [{"id": "m1"}]},
        prompts={"p": {"text": "x"}, "b": {"text": "y {{ s }}", "vary": {"s": ["q", "c"]}}},
    )
    assert [cell.place.label for cell in found.cells] == [
        *("z1/p", "z1/b/q", "z1/b/c", "a1/p", "a1/b/q", "a1/b/c", "m1/p", "m1/b/q", "m1/b/c")
    ]
    outputs = {"resolution": ["2K", "1K"], "aspect_ratio": ["9:16", "1:1"], "variants": 2, "format": ["webp", "jpeg"]}
    expected = [
        f"{a}/{r}/v{v}.{f}" for a in ("9x16", "1x1") for r in ("2K", "1K") for v in (1, 2) for f in ("webp", "jpg")
    ]
    assert labels(tmp_path, outputs=outputs) == expected


def test_a_label_names_every_part(tmp_path):
    """A label is product, prompt, vary values, ratio, resolution, variant and extension, slugged."""
    found = cells(tmp_path, prompts=SCENES, outputs={"aspect_ratio": "16:9", "format": "jpeg"}).cells
    assert [cell.label for cell in found] == ["mug/table/oak-table/16x9/1K/v1.jpg", "mug/table/blanket/16x9/1K/v1.jpg"]
    assert found[0].place.vary == (("scene", "oak table"),)


def test_prompts_apply_to_their_sets(tmp_path):
    """A prompt names its product sets, or applies to all."""
    prompts = {"a": {"text": "x @Image1", "products": ["bowls"]}, "b": TABLE}
    found = cells(tmp_path, products=TWO, prompts=prompts).cells
    assert [cell.place.label for cell in found] == ["mug/b", "bowl/a", "bowl/b"]


def test_several_axes_multiply(tmp_path):
    """Vary axes multiply; numbers and long values have labels."""
    vary = {"n": [1, 2], "scene": {"day": "in the sun", "night": "at night"}}
    assert texts(tmp_path, **prompt("@Image1 {{ n }} {{ scene }}", vary=vary)) == [
        *("@Image1 1 in the sun", "@Image1 1 at night", "@Image1 2 in the sun", "@Image1 2 at night")
    ]
    found = cells(tmp_path, **prompt("@Image1 {{ n }} {{ scene }}", vary=vary)).cells
    assert [cell.place.label for cell in found][1] == "mug/table/1/night"


def test_one_picture_has_many_formats(tmp_path):
    """Formats share one PNG original; variants share one spec; every other axis is another spec."""
    found = cells(tmp_path, outputs={"format": ["png", "jpeg", "webp"], "variants": 2, "resolution": ["1K", "2K"]})
    assert (len(found.cells), len(found.pictures)) == (12, 4)
    assert len({cell.picture.spec.key for cell in found.cells}) == 2
    assert {cell.picture.spec.format for cell in found.cells} == {"png"}
    assert [cell.format for cell in found.cells][:3] == ["png", "jpeg", "webp"]
    assert len({cell.picture.key for cell in found.cells[:3]}) == 1


def test_native_formats_are_pictures_of_their_own(tmp_path):
    """native: true asks the gateway for each format."""
    found = cells(tmp_path, outputs={"format": ["png", "jpeg", "webp"], "native": True})
    assert (len(found.cells), len(found.pictures)) == (3, 3)
    assert [cell.picture.spec.format for cell in found.cells] == ["png", "jpeg", "webp"]


def test_equal_pictures_are_one(tmp_path):
    """Two products of the same prompt and reference bytes share one picture."""
    found = cells(tmp_path, products={"s": [MUG, MUG | {"id": "other", "name": "Other"}]})
    assert (len(found.cells), len(found.pictures)) == (2, 1)


# ── include and exclude ─────────────────────────────────────────────────────────────────────────

GRID = {"resolution": ["1K", "2K"], "aspect_ratio": ["1:1", "9:16"]}
ALL = ["1x1/1K/v1.png", "1x1/2K/v1.png", "9x16/1K/v1.png", "9x16/2K/v1.png"]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({}, ALL),
        ({"exclude": [{"resolution": "2K"}]}, [ALL[0], ALL[2]]),
        ({"exclude": [{"resolution": "2K", "aspect_ratio": "9:16"}]}, ALL[:3]),
        ({"exclude": [{"aspect_ratio": ["9:16", "3:2"]}]}, ALL[:2]),
        ({"exclude": [{"aspect_ratio": "9:*"}]}, ALL[:2]),
        ({"exclude": [{"resolution": "?K", "aspect_ratio": "[1-8]:1"}]}, ALL[2:]),
        ({"exclude": [{"resolution": "1K"}, {"aspect_ratio": "1:1"}]}, ALL[3:]),
        ({"exclude": [{"product": "m*", "resolution": "2K"}]}, [ALL[0], ALL[2]]),
        ({"exclude": [{"set": "mugs", "resolution": "2K"}]}, [ALL[0], ALL[2]]),
        ({"exclude": [{"tag": "hero", "resolution": "2K"}]}, [ALL[0], ALL[2]]),
        ({"exclude": [{"prompt": "table", "variant": 1, "resolution": "2K"}]}, [ALL[0], ALL[2]]),
        ({"include": [{"resolution": "2K", "aspect_ratio": "21:9"}]}, [*ALL, "21x9/2K/v1.png"]),
        ({"include": [{"aspect_ratio": "21:9"}]}, [*ALL, "21x9/1K/v1.png", "21x9/2K/v1.png"]),
        (
            {"include": [{"aspect_ratio": ["21:9", "3:2"], "resolution": "1K"}]},
            [*ALL, "21x9/1K/v1.png", "3x2/1K/v1.png"],
        ),
        ({"include": [{"format": "webp", "resolution": "1K", "aspect_ratio": "1:1"}]}, [*ALL, "1x1/1K/v1.webp"]),
        ({"include": [{"variant": 3, "resolution": "1K", "aspect_ratio": "1:1"}]}, [*ALL, "1x1/1K/v3.png"]),
        (
            {"include": [{"format": "webp", "resolution": "*", "aspect_ratio": "1:1"}]},
            [*ALL, "1x1/1K/v1.webp", "1x1/2K/v1.webp"],
        ),
        ({"include": [{"resolution": "1K"}]}, ALL),
        (
            {"include": [{"aspect_ratio": "21:9"}], "exclude": [{"resolution": "2K"}]},
            [ALL[0], ALL[2], "21x9/1K/v1.png"],
        ),
        (
            {"include": [{"aspect_ratio": "21:9"}], "exclude": [{"aspect_ratio": "21:9", "resolution": "2K"}]},
            [*ALL, "21x9/1K/v1.png"],
        ),
        (
            {"include": [{"aspect_ratio": "21:9"}, {"aspect_ratio": "21:9", "resolution": "1K"}]},
            [*ALL, "21x9/1K/v1.png", "21x9/2K/v1.png"],
        ),
    ],
)
def test_rules_add_and_remove(tmp_path, rules, left):
    """Include adds what it names and takes the rest from the matrix; exclude removes, also what was included."""
    assert labels(tmp_path, products={"mugs": [HERO]}, outputs=GRID | rules) == left


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ({"product": "mug"}, {"mug/table/oak-table", "mug/table/blanket", "mug/wall"}),
        ({"product": ["mug", "bowl"], "prompt": "wall"}, {"mug/wall", "bowl/wall"}),
        ({"set": "bowls"}, {"bowl/table/oak-table", "bowl/table/blanket", "bowl/wall"}),
        ({"tag": ["hero", "nothing"]}, {"mug/table/oak-table", "mug/table/blanket", "mug/wall"}),
        ({"prompt": "w*"}, {"mug/wall", "bowl/wall"}),
        ({"scene": "oak table"}, {"mug/table/oak-table", "bowl/table/oak-table"}),
        ({"scene": "*"}, {"mug/table/oak-table", "mug/table/blanket", "bowl/table/oak-table", "bowl/table/blanket"}),
        ({"scene": "b*", "tag": "new"}, {"bowl/table/blanket"}),
        ({"scene": "blanket", "product": "mug", "format": "png"}, {"mug/table/blanket"}),
    ],
)
def test_rules_match_places(tmp_path, rule, gone):
    """A rule matches product, prompt, set, tag and vary values, all of them at once, with globs and lists."""
    prompts = SCENES | {"wall": TABLE}
    every = {c.place.label for c in cells(tmp_path, products=TWO, prompts=prompts).cells}
    left = {c.place.label for c in cells(tmp_path, products=TWO, prompts=prompts, outputs={"exclude": [rule]}).cells}
    assert every - left == gone


def test_an_include_is_for_the_places_it_names(tmp_path):
    """An include rule adds cells to its own product only."""
    outputs = {"include": [{"product": "bowl", "aspect_ratio": "21:9"}]}
    found = cells(tmp_path, products=TWO, outputs=outputs).cells
    assert [cell.label for cell in found] == [
        "mug/table/1x1/1K/v1.png",
        "bowl/table/1x1/1K/v1.png",
        "bowl/table/21x9/1K/v1.png",
    ]


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ({"product": "mgu"}, "no product is 'mgu': did you mean 'mug'?"),
        ({"prompt": "tabel"}, "no prompt is 'tabel': did you mean 'table'?"),
        ({"set": "bowl"}, "no set is 'bowl': did you mean 'bowls'?"),
        ({"tag": "heros"}, "no tag is 'heros': did you mean 'hero'?"),
        ({"resolution": "4K"}, "no resolution is '4K': there is 1K"),
        ({"variant": 2}, "no variant is '2': there is 1"),
        ({"format": "webp"}, "no format is 'webp': there is png"),
        ({"scene": "oak"}, "no scene is 'oak': "),
        ({"product": "MUG"}, "no product is 'MUG': "),
        ({"product": "mug", "set": "bowls"}, "its parts exist, but never together"),
        ({"product": "x*"}, "no product is 'x*': there is bowl, mug"),
    ],
)
def test_a_rule_that_matches_nothing_is_an_error(tmp_path, rule, hint):
    """Each useless rule says which of its values nothing has."""
    found = complaints(
        tmp_path, products=TWO, prompts=SCENES, outputs={"exclude": [{"prompt": "table", "product": "bowl"}, rule]}
    )
    assert len(found) == 1
    assert found[0].startswith(f"outputs.exclude[1]: the rule matches nothing; {hint}")


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (
            {"product": "mgu", "aspect_ratio": "21:9"},
            "outputs.include[0]: the rule matches nothing; no product is 'mgu': did you mean 'mug'?",
        ),
        (
            {"aspect_ratio": "2*:9"},
            "outputs.include[0]: the rule matches nothing; no aspect_ratio is '2*:9': there is 1:1",
        ),
        ({"format": "gif"}, "outputs.include[0].format: 'gif' is no format; there is jpeg, png, webp"),
        ({"variant": 0}, "outputs.include[0].variant: '0' is no variant; variants are 1 to 100"),
        ({"variant": 101}, "outputs.include[0].variant: '101' is no variant; variants are 1 to 100"),
        ({"variant": "x"}, "outputs.include[0].variant: 'x' is no variant; variants are 1 to 100"),
        pytest.param(
            *(
                {"aspect_ratio": "21:9", "product": "mgu"},
                "outputs.include[0]: the rule matches nothing; no product is 'mgu': did you mean 'mug'?",
            )
        ),
    ],
)
def test_mistakes_in_an_include_rule(tmp_path, rule, line):
    """An include that adds nothing, or what can't be, is an error."""
    assert line in complaints(tmp_path, outputs={"include": [rule]})


@pytest.mark.parametrize("rule", [{"format": "gif"}, {"variant": 101}])
def test_a_mistake_in_an_include_rule_is_one_line(tmp_path, rule):
    """A value that can't be is one problem."""
    assert len(complaints(tmp_path, outputs={"include": [rule]})) == 1


def test_nothing_left_is_an_error(tmp_path):
    """Excluding every cell is a mistake, not an empty campaign."""
    assert complaints(tmp_path, outputs={"exclude": [{"product": "mug"}]}) == [
        "outputs: no cell is left; check the exclude rules"
    ]


# ── too much ────────────────────────────────────────────────────────────────────────────────────


def test_a_huge_matrix_is_refused_before_it_is_built(tmp_path):
    """A matrix of 10^12 cells is counted, not made."""
    vary = {f"a{n}": list(range(10)) for n in range(12)}
    with work.calls() as done:
        found = complaints(tmp_path, **prompt("x", vary=vary))
    assert found == [
        (
            "outputs: the matrix has 1,000,000,000,000 cells, and the most is 200,000; "
            "shorten an axis, or split the campaign into several manifests"
        )
    ]
    assert done.calls < 200_000


def test_not_even_the_output_axes_are_built(tmp_path, monkeypatch):
    """The product of the output axes alone can be huge, so it is counted first."""
    monkeypatch.setattr("pipeline.expand.matrix._whole", lambda _: pytest.fail("built"))
    complaints(tmp_path, outputs={"resolution": [str(n) for n in range(3000)], "variants": 100})


def test_the_cap_is_exact(tmp_path, monkeypatch):
    """As many cells as the limit are made, one more are refused; include rules count too."""
    monkeypatch.setattr("pipeline.expand.matrix.MAX_CELLS", 4)
    assert len(labels(tmp_path, outputs=GRID)) == 4
    assert "the matrix has 8 cells" in complaints(tmp_path, outputs=GRID | {"variants": 2})[0]
    outputs = GRID | {"include": [{"aspect_ratio": "21:9"}]}
    assert complaints(tmp_path, outputs=outputs)[0].startswith("outputs.include: the include rules make more than ")
    assert MAX_CELLS == 200_000


def test_every_part_counts_for_the_cap(tmp_path, monkeypatch):
    """Products, prompts, vary values and each output axis multiply."""
    monkeypatch.setattr("pipeline.expand.matrix.MAX_CELLS", 1)
    outputs = {
        "resolution": ["1K", "2K"],
        "aspect_ratio": ["1:1", "9:16", "3:2"],
        "format": ["png", "webp"],
        "variants": 5,
    }
    changes = {"products": TWO, "prompts": SCENES | {"b": TABLE | {"products": ["mugs"]}}, "outputs": outputs}
    assert f"the matrix has {(2 * 2 + 1) * 2 * 3 * 2 * 5} cells" in complaints(tmp_path, **changes)[0]


# ── prompts and slots ───────────────────────────────────────────────────────────────────────────


def test_what_a_prompt_can_name(tmp_path):
    """Product, set, tags, prompt, campaign, variables (also under vars) and axes are there; ends are trimmed."""
    text = "  {{ product.id }}|{{ product.name }}|{{ product.set }}|{{ set }}|{{ product.tags }}|{{ product.vars.x }}|"
    text += "{{ prompt.id }}|{{ campaign }}|{{ season }}|{{ vars.season }}|{{ scene }}|@Image1\n"
    products = {"mugs": [HERO | {"vars": {"x": 1.5}, "tags": ["a", "b"]}]}
    assert texts(tmp_path, products=products, vars={"season": "autumn"}, **prompt(text, vary={"scene": ["s"]})) == [
        "mug|Blue mug|mugs|mugs|a b|1.5|table|c|autumn|autumn|s|@Image1"
    ]


@pytest.mark.parametrize("name", ["resolution", "aspect_ratio", "variant", "format"])
def test_a_prompt_can_not_name_an_output_axis(tmp_path, name):
    """A prompt is rendered once for all outputs, and says so."""
    assert complaints(tmp_path, **prompt(f"@Image1 {{{{ {name} }}}}")) == [
        (
            f"prompts.table.text: {name!r} is not defined (product mug); "
            "a prompt is rendered once for all outputs: it can't name an output axis"
        )
    ]


def test_one_mistake_at_many_products_is_one_line(tmp_path):
    """The same problem at many products names the first and counts the others."""
    products = {"s": [MUG | {"id": f"p{n}"} for n in range(5)]}
    assert complaints(tmp_path, products=products, **prompt("@Image1 {{ x }}"))[0].startswith(
        "prompts.table.text: 'x' is not defined (product p0 and 4 more); "
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("text: Put {{ colr }} here", "m.yaml:6:18"),
        ("text: >\n      Put @Image1 on\n      the {{ colr }} table", "m.yaml:8:14"),
        ("text: 'colrs {{ colr }}'", "m.yaml:6:21"),
        ("text: put {{ text }}", "m.yaml:6:18"),
        ("text: Put @Image4 here", "m.yaml:6:15"),
        ("text: Put @Image40 and @Image4", "m.yaml:6:28"),
        ("text: x {{ season | uper }}", "m.yaml:6:25"),
    ],
)
def test_a_word_in_a_text_is_located(tmp_path, text, place):
    """A problem of a template points at the word, not at the start of the text."""
    whole = f"version: 1\ncampaign: c\nproducts: {{a: [{{id: a}}]}}\nprompts:\n  t:\n    {text}\nvars: {{season: x}}\n"
    assert place in [line.split(": ")[0] for line in complaints(tmp_path, whole)]


IMAGES = {
    "references": {"linen": "linen.png", "oak": {"image": "oak.png", "role": "style"}},
    "products": {"mugs": [MUG | {"images": {"front": "mug.png", "detail": "detail.png"}}]},
}


def slots(folder, text, images=None):
    """Render a prompt over two product images and two references: its text, and the names of its references."""
    for name in ("linen", "oak", "detail"):
        write(folder / f"{name}.png", png(size=(320, 300 + len(name))))
    more = {} if images is None else {"images": images}
    (picture,) = cells(folder, **IMAGES, **prompt(text, **more)).pictures.values()
    return picture.spec.prompt, [reference.name for reference in picture.spec.references]


def test_without_images_all_of_the_products_are_sent(tmp_path):
    """The default is every image of the product, in its order, with slots of their names."""
    assert slots(tmp_path, "{{ slot.front }} {{ slot.detail }} {{ slot.product }}") == (
        "@Image1 @Image2 @Image1",
        ["product.front", "product.detail"],
    )


def test_a_list_of_images_is_numbered(tmp_path):
    """The first of a list is @Image1; slots have the last part of each name; product is the product's first."""
    text = "{{ slot.linen }} {{ slot.detail }} {{ slot.front }} {{ slot.product }}"
    assert slots(tmp_path, text, ["references.linen", "product.detail", "product.front"]) == (
        "@Image1 @Image2 @Image3 @Image2",
        ["references.linen", "product.detail", "product.front"],
    )


def test_a_map_of_images_names_its_slots(tmp_path):
    """Slots of a map have its keys."""
    assert slots(
        tmp_path, "{{ slot.cloth }} under {{ slot.mug }}", {"mug": "product.front", "cloth": "references.linen"}
    ) == (
        "@Image2 under @Image1",
        ["product.front", "references.linen"],
    )


def test_an_image_twice_has_two_slots(tmp_path):
    """A name that is taken, or that is no word, is numbered."""
    assert (
        slots(tmp_path, "{{ slot.front }} {{ slot.image2 }}", ["product.front", "product.front"])[0]
        == "@Image1 @Image2"
    )


def test_images_can_be_templates(tmp_path):
    """What fills a slot can depend on the product and the axes."""
    changes = IMAGES | prompt(
        "@Image1 {{ cloth }}", images=["references.{{ cloth }}"], vary={"cloth": ["linen", "oak"]}
    )
    for name in ("linen", "oak", "detail"):
        write(tmp_path / f"{name}.png", png(size=(320, 300 + len(name))))
    found = cells(tmp_path, **changes)
    assert [picture.spec.references[0].name for picture in found.pictures.values()] == [
        "references.linen",
        "references.oak",
    ]
    assert found.warnings == ()
    assert found.cells[1].picture.spec.references[0].role == "style"
    assert (found.cells[0].picture.spec.references[0].width, found.cells[0].picture.spec.references[0].height) == (
        320,
        305,
    )


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (
            ["references.linnen"],
            "prompts.table.images[0]: there is no image 'references.linnen'; did you mean 'references.linen'?",
        ),
        (
            ["product.frnt"],
            "prompts.table.images[0]: there is no image 'product.frnt' here (product mug); did you mean 'product.",
        ),
        (["mug.png"], "prompts.table.images[0]: there is no image 'mug.png'; "),
        (["references.{{ x }}"], "prompts.table.images: 'x' is not defined (product mug); "),
        (["references.{{ 1 + 1 }}"], "prompts.table.images: templates can't use 'add'; "),
        (["references.{{ prompt.id }}"], "prompts.table.images[0]: there is no image 'references.table'; "),
        pytest.param(
            *(
                {"mug": "product.frnt"},
                "prompts.table.images.mug: there is no image 'product.frnt' here (product mug); ",
            )
        ),
    ],
)
def test_images_that_are_not_there(tmp_path, images, line):
    """An unknown image is one problem at its slot, with a suggestion."""
    write(tmp_path / "linen.png", png())
    (found,) = complaints(tmp_path, references={"linen": "linen.png"}, **prompt("@Image1", images=images))
    assert found.startswith(line)


def test_a_slot_that_is_not_there(tmp_path):
    """A slot of another name says which there are."""
    (line,) = complaints(tmp_path, **prompt("{{ slot.frnt }}"))
    assert line == "prompts.table.text: 'frnt' is not defined (product mug); did you mean 'front'?"


def test_slots_are_checked_for_every_product(tmp_path):
    """A product with too few images is found among others."""
    products = {"s": [MUG | {"images": {"a": "mug.png", "b": "mug.png"}}, BOWL]}
    assert complaints(tmp_path, products=products, **prompt("@Image1 @Image2")) == [
        (
            "prompts.table.text: @Image2 names no reference: there is 1 reference (product bowl); "
            "use @Image1, or add an image"
        )
    ]


def test_warnings_do_not_stop(tmp_path):
    """Unused references and slots that aren't mentioned are warnings."""
    found = warnings(tmp_path, references={"linen": "mug.png"}, **prompt("nothing"))
    assert sorted(found) == [
        "prompts.table.text: reference 1 is sent but the prompt never says @Image1",
        "references.linen: the reference is used by no prompt",
    ]


def test_a_reference_of_a_similar_name_is_unused(tmp_path):
    """`linen` being used doesn't make `lin` used."""
    references = {"lin": "mug.png", "linen": "mug.png"}
    found = warnings(tmp_path, references=references, **prompt("@Image1", images=["references.linen"]))
    assert found == ["references.lin: the reference is used by no prompt"]


# ── labels and files ────────────────────────────────────────────────────────────────────────────


def test_the_default_path(tmp_path):
    """Product and prompt are folders; vary values stand in the name only where there are some."""
    outputs = {"aspect_ratio": "16:9", "format": ["jpeg"]}
    assert [c.file for c in cells(tmp_path, outputs=outputs).cells] == ["mug/table/16x9_1K_v1.jpg"]
    vary = {"scene": ["oak table"], "n": [2]}
    assert [c.file for c in cells(tmp_path, outputs=outputs, **prompt("@Image1", vary=vary)).cells] == [
        "mug/table/oak-table_2_16x9_1K_v1.jpg"
    ]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("{{ product.id }}.{{ ext }}", "mug.jpg"),
        ("{{ product.name }}.{{ ext }}", "Blue-mug.jpg"),
        ("{{ product.id }}.jpeg", "mug.jpeg"),
        ("{{ product.id }}.{{ format }}", "mug.jpeg"),
        ("a b/{{ set }}/{{ season }}.{{ ext }}", "a b/mugs/late-autumn.jpg"),
        (
            "{{ campaign }}/{{ prompt.id }}_{{ aspect_ratio }}_{{ resolution }}_v{{ variant }}.{{ ext }}",
            "c/table_1x1_1K_v1.jpg",
        ),
        ("{{ scene }}/{{ vary }}.{{ ext }}", "oak-table/oak-table.jpg"),
        ("{{ product.vars.evil }}.{{ ext }}", "etc-passwd.jpg"),
    ],
)
def test_path_templates(tmp_path, path, file):
    """A path names what it likes, slugged; an axis by its label."""
    changes = prompt("@Image1 {{ scene }}", vary={"scene": ["oak table"]})
    products = {"mugs": [MUG | {"vars": {"evil": "../../etc/passwd"}}]}
    assert files(
        tmp_path, path, outputs={"format": "jpeg"}, products=products, vars={"season": "late autumn"}, **changes
    ) == [file]


def test_a_path_names_an_axis_by_its_label(tmp_path):
    """Long values have short names in paths."""
    changes = prompt("@Image1 {{ scene }}", vary={"scene": {"day": "in the bright sun"}})
    assert files(tmp_path, "{{ scene }}.{{ ext }}", **changes) == ["day.png"]
    assert texts(tmp_path, **changes) == ["@Image1 in the bright sun"]


INSIDE = "use plain names and `/`, without `..`, and no reserved name"


@pytest.mark.parametrize(
    "path",
    [
        *("../x.png", "a/../x.png", "./x.png", "/x.png", "//x.png", "a//x.png", "a/./x.png", "..png/../x.png"),
        *("a\\x.png", "C:/x.png", "a:b.png", "a*.png", "a?.png", 'a".png', "a<b>.png", "a|b.png", "x\x07.png"),
        *("con/x.png", "CON.png", "a/nul.png", "lpt1.png", "com9.txt/x.png", "aux.png", "prn/x.png"),
        *("a./x.png", "a /x.png", "x.png.", "x.png "),
        *(".pipeline/x.png", ".PIPELINE/x.png", ".pipeline.png"),
        *("a" * 201 + ".png", "/".join(["a"] * 21) + ".png"),
    ],
)
def test_paths_stay_inside_the_output_folder(tmp_path, path):
    """No path leaves the folder, enters the private one, or is a name that some system can't have."""
    assert complaints(tmp_path, outputs={"path": path}) == [
        f"outputs.path: {path!r} is no path inside the output folder; {INSIDE}"
    ]


@pytest.mark.parametrize(
    "path",
    [
        "..x.png",
        "a..b.png",
        ".hidden.png",
        "console/x.png",
        "icon.png",
        "a b.png",
        "é/漢.png",
        "/".join(["a"] * 20) + ".png",
    ],
)
def test_ordinary_paths_are_fine(tmp_path, path):
    """Names that only look like forbidden ones are allowed."""
    assert files(tmp_path, path) == [path]


@pytest.mark.parametrize(
    ("path", "kind"), [("x.jpg", "png"), ("x", "png"), ("x.png.txt", "png"), ("x.png", "jpeg"), ("x.PNG", "png")]
)
def test_a_path_ends_in_the_formats_extension(tmp_path, path, kind):
    """A file is what it is called."""
    extension = {"jpeg": "jpg"}.get(kind, kind)
    assert complaints(tmp_path, outputs={"path": path, "format": kind}) == [
        f"outputs.path: {path!r} doesn't end in .{extension}; end the path in .{{{{ ext }}}}"
    ]


def test_a_file_name_fits_a_file_system(tmp_path):
    """A name of many bytes is refused before anything is paid."""
    product = MUG | {"name": "漢" * 90}
    complaints(tmp_path, products={"s": [product]}, outputs={"path": "{{ product.name }}_{{ product.name }}.{{ ext }}"})


def test_a_file_is_no_folder(tmp_path):
    """One cell's file can't be another's folder."""
    path = "{% if variant == 1 %}a.png{% else %}a.png/b.png{% endif %}"
    complaints(tmp_path, outputs={"variants": 2, "path": path})


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("{{ product.id }}.{{ ext }}", {"outputs": {"variants": 2}}),
        ("{{ product.id }}.{{ ext }}", {"outputs": {"resolution": ["1K", "2K"]}}),
        ("{{ prompt.id }}.{{ ext }}", {"products": TWO, "prompts": SCENES | {"wall": TABLE}}),
        ("{% if variant == 1 %}Mug{% else %}mUG{% endif %}.{{ ext }}", {"outputs": {"variants": 2}}),
        ("{% if variant == 1 %}caf\u00e9{% else %}cafe\u0301{% endif %}.{{ ext }}", {"outputs": {"variants": 2}}),
        ("{% if variant == 1 %}stra\u00dfe{% else %}STRASSE{% endif %}.{{ ext }}", {"outputs": {"variants": 2}}),
        ("x.{% if variant == 1 %}jpg{% else %}jpeg{% endif %}", {"outputs": {"variants": 2, "format": "jpeg"}}),
    ],
    ids=["variant", "resolution", "product", "case", "nfc", "sharp s", "sidecar"],
)
def test_two_cells_never_share_a_file(tmp_path, path, changes):
    """Equal paths are refused, also where only case, Unicode form or the sidecar is equal."""
    outputs = changes.get("outputs", {}) | {"path": path}
    found = complaints(tmp_path, **{**changes, "outputs": outputs})
    assert found[0].startswith("outputs.path: two cells have the path ")
    assert "product.id, prompt.id, vary, aspect_ratio, resolution, variant and ext" in found[0]


def test_formats_of_one_picture_share_a_stem(tmp_path):
    """Two formats beside each other share one sidecar, and that is no collision."""
    assert files(tmp_path, "x.{{ ext }}", outputs={"format": ["png", "webp"]}) == ["x.png", "x.webp"]
    assert files(tmp_path, "x.{{ ext }}", outputs={"format": ["png", "webp"], "native": True}) == ["x.png", "x.webp"]


def test_a_path_collision_names_both_cells(tmp_path):
    """The first owner of a path and the second are told."""
    assert complaints(tmp_path, outputs={"aspect_ratio": ["1:1", "9:16"], "path": "{{ product.id }}.{{ ext }}"})[
        0
    ].startswith(
        "outputs.path: two cells have the path 'mug.png': mug/table/1x1/1K/v1.png and mug/table/9x16/1K/v1.png; "
    )


def test_many_collisions_are_found_with_little_work(tmp_path):
    """A path that forgets an axis collides in every cell: twice as many cells are twice the work, not four times."""

    def done(products):
        path = {"variants": 2, "path": "{{ product.id }}.png"}
        with work.calls() as done:
            complaints(
                tmp_path, products={"s": [{"id": f"p{n}"} for n in range(products)]}, **prompt("x"), outputs=path
            )
        return done.calls

    assert done(1600) < 2.5 * done(800)


def test_two_labels_of_one_slug_are_refused(tmp_path):
    """Vary values that differ only in signs would be one label."""
    found = complaints(tmp_path, **prompt("@Image1", vary={"scene": ["a b", "a-b"]}))
    assert found == [
        "prompts.table.vary: two cells have the label mug/table/a-b/1x1/1K/v1.png; give the values other labels"
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("Mug", "mUG"),
        pytest.param(("caf\u00e9", "cafe\u0301")),
        pytest.param(("stra\u00dfe", "STRASSE")),
    ],
)
def test_a_folded_collision_names_both_cells(tmp_path, names):
    """Where only case or Unicode form is equal, both cells are told too."""
    path = f"{{% if variant == 1 %}}{names[0]}{{% else %}}{names[1]}{{% endif %}}.{{{{ ext }}}}"
    assert (
        "mug/table/1x1/1K/v1.png and mug/table/1x1/1K/v2.png"
        in complaints(tmp_path, outputs={"variants": 2, "path": path})[0]
    )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("{{ produkt.id }}.{{ ext }}", "outputs.path: 'produkt' is not defined; did you mean 'product'?"),
        ("{{ product.id }}.{{ extension }}", "outputs.path: 'extension' is not defined; "),
        ("{{ slot.front }}.{{ ext }}", "outputs.path: 'slot' is not defined; "),
        ("{{ product.id", "outputs.path: the template can't be read: "),
        ("{% for x in y %}{% endfor %}", "outputs.path: templates can't use 'for'; "),
    ],
)
def test_mistakes_in_a_path_template(tmp_path, path, line):
    """A path template's mistakes are told once."""
    (found,) = complaints(tmp_path, outputs={"path": path})
    assert found.startswith(line)


# ── what a provider can make ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"providers": ["aimlapi"], "outputs": {"aspect_ratio": ["1:1", "auto"]}},
            ["outputs.aspect_ratio[1]: provider aimlapi: aspect_ratio 'auto' is not offered; there is 16:9"],
        ),
        (
            {"outputs": {"aspect_ratio": "7:5"}},
            ["outputs.aspect_ratio[0]: provider local: aspect_ratio '7:5' is not offered; "],
        ),
        (
            {"outputs": {"resolution": ["1K", "4K"]}},
            ["outputs.resolution[1]: provider local: resolution '4K' is not offered; there is 1K, 2K"],
        ),
        (
            {"outputs": {"include": [{"aspect_ratio": "7:5"}]}},
            ["outputs.include[0].aspect_ratio: provider local: aspect_ratio '7:5' is not offered; "],
        ),
        (
            {"providers": ["fal", "runware"], **prompt("@Image1 " + "x" * 2493)},
            [
                "prompts.table.text: provider fal: the prompt has 2,501 characters (product mug); the most is 2,500",
                "prompts.table.text: provider runware: the prompt has 2,501 characters (product mug); ",
            ],
        ),
        (
            {"providers": ["runware"], **prompt("ab", images=[])},
            ["prompts.table.text: provider runware: the prompt has 2 characters (product mug); the least is 3"],
        ),
        (
            {"providers": ["fal"], **prompt("abc", images=[])},
            ["prompts.table.images: provider fal: the prompt has 0 references (product mug); it takes 1 to 10"],
        ),
        (
            {"providers": ["runware"], "outputs": {"aspect_ratio": "auto"}, **prompt("abc", images=[])},
            ["outputs.aspect_ratio[0]: provider runware: auto needs a reference image; name a ratio"],
        ),
        (
            {"products": {"s": [MUG | {"images": {f"i{n}": "mug.png" for n in range(11)}}]}},
            ["prompts.table: provider local: the prompt has 11 references (product mug); it takes 0 to 10"],
        ),
    ],
)
def test_what_no_provider_can_make(tmp_path, changes, lines):
    """A cell that no provider can make names each provider and its limit, where it was written."""
    found = complaints(tmp_path, **changes)
    assert len(found) == len(lines)
    assert all(got.startswith(line) for got, line in zip(found, lines, strict=True)), found


@pytest.mark.parametrize(
    "changes",
    [
        {"providers": ["aimlapi", "fal"], "outputs": {"aspect_ratio": "auto"}},
        {"providers": ["fal", "runware"], **prompt("abc", images=[])},
        {"providers": ["fal"], **prompt("@Image1 " + "x" * 2492)},
        {"providers": ["runware"], **prompt("abc", images=[])},
        {"providers": ["runware"], "outputs": {"aspect_ratio": "auto"}},
        {"providers": ["aimlapi"], "outputs": {"aspect_ratio": ["1:1", "auto"], "exclude": [{"aspect_ratio": "auto"}]}},
        {
            "providers": ["fal"],
            "outputs": {"format": ["png", "jpeg", "webp"], "native": True, "resolution": ["1K", "2K"]},
        },
        {"products": {"s": [MUG | {"images": {f"i{n}": "mug.png" for n in range(10)}}]}},
    ],
)
def test_one_capable_provider_is_enough(tmp_path, changes):
    """Limits are met exactly at their edge, and one provider of a pool is enough."""
    assert cells(tmp_path, **changes).cells


# ── keys ────────────────────────────────────────────────────────────────────────────────────────

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def keys(folder, **changes):
    """Return the keys of a manifest's pictures, in order."""
    return list(cells(folder, **changes).pictures)


def golden(folder, **changes):
    """Expand the campaign of the golden keys."""
    write(folder / "dot.png", DOT)
    images = {"front": "dot.png", "side": "https://example.com/mug.png"}
    return cells(
        folder,
        products={"mugs": [{"id": "mug", "name": "Blaue Tasse ☕", "images": images}]},
        prompts={"table": {"text": "@Image1 and @Image2: {{ product.name }}"}},
        outputs={"resolution": ["1K", "2K"], "variants": 2},
        **changes,
    )


@pytest.mark.parametrize("provider", ["local", "fal"])
def test_golden_keys(tmp_path, provider):
    """The key recipe never changes by accident: every picture ever paid for would be paid again."""
    expansion = golden(tmp_path, providers=[provider], model=own_model(tmp_path, provider))
    assert list(expansion.pictures) == GOLDEN[2][provider]
    assert list(settled(expansion, GOLDEN[1][provider]).pictures) == GOLDEN[1][provider]


def own_model(folder, gateway="fal"):
    """Write a model that takes references of one pixel, under the shipped model's name."""
    offer = {"id": "x", "usd": 0, "prompt": [1, 999], "references": [0, 9], "count": 1, "resolution": ["1K", "2K"]}
    document = {
        "name": "kling-image-o1",
        "sizes": {"1K": {"1:1": [16, 16]}, "2K": {"1:1": [32, 32]}},
        "reference": {"formats": ["png"], "max_bytes": 999, "min_side": 1, "max_ratio": 9},
        "gateways": {gateway: offer | {"aspect_ratio": ["1:1"], "format": ["png"]}},
    }
    write(folder / "model.yaml", json.dumps(document))
    return "model.yaml"


GOLDEN = {
    1: {
        "local": [
            "cef858541971efeafea255f60e22a1eb",
            "d1beef8f35deaaa9e52e026aae4c520c",
            "65218b1c4673049017cc3ddcd2bc6bbf",
            "9723b4b80fd160178e8a84ba1d197ef7",
        ],
        "fal": [
            "f10ba114b4e9a77ef6921020d3ab3476",
            "85075ad3efc3db1c4ff4736e5051b1b1",
            "b65a8463cb24e6a3957584d48a418992",
            "ba40cf95e4f23f46a188cd9dc64135f3",
        ],
    },
    2: {
        "local": [
            "9cfe8887d76ec328956d36112adab0c9",
            "9fd1551f412631aa299258c8436ae731",
            "95179aac33acac9089b0160798aad163",
            "16d519f9a0ab7694a13b09be9050a6d0",
        ],
        "fal": [
            "02dbe3a2739bb6324421c1382f60b430",
            "87e685a0e79ab6ca8b0fcd53e74e813b",
            "ad5e960b5b8a32d45c49e5cd86c40f15",
            "6f9ae55ef062601088a87087fa8721cb",
        ],
    },
}
"""Version of the keys → provider → the keys of the same pictures."""


def test_keys_are_short_hashes(tmp_path):
    """A key is 32 hexadecimal digits; a spec's key is a whole SHA-256."""
    (picture,) = cells(tmp_path).pictures.values()
    assert (len(picture.key), len(picture.spec.key)) == (32, 64)
    assert int(picture.key + picture.spec.key, 16)
    assert cells(tmp_path).pictures[picture.key] == picture


@pytest.mark.parametrize(
    "changes",
    [
        prompt("Put @Image1 on a table!"),
        {"outputs": {"resolution": "2K"}},
        {"outputs": {"aspect_ratio": "9:16"}},
        {"outputs": {"native": True, "format": "webp"}},
        {"outputs": {"include": [{"variant": 2}], "exclude": [{"variant": 1}]}},
        {"providers": ["fal"]},
        {"products": {"mugs": [MUG | {"images": {"front": "other.png"}}]}},
        {"products": {"mugs": [MUG | {"images": {"front": "mug.png", "side": "mug.png"}}]}},
        {"products": {"mugs": [MUG | {"images": {"front": "https://x/mug.png"}}]}},
        {"model": "other.yaml"},
    ],
    ids=["prompt", "resolution", "ratio", "native format", "variant", "paid", "bytes", "count", "url", "model"],
)
def test_what_changes_a_key(tmp_path, changes):
    """Prompt, reference bytes, model, parameters, variant and proof or paid are in the key."""
    write(tmp_path / "other.png", png("red"))
    shipped = load(manifest(tmp_path)).model
    offer = {"id": "x", "usd": 0, "prompt": [1, 999], "references": [0, 9], "count": 1, "resolution": ["1K"]}
    document = {
        "name": "other",
        "sizes": {"1K": {"1:1": list(shipped.sizes["1K"]["1:1"])}},
        "reference": {"formats": ["png"], "max_bytes": 99999, "min_side": 1, "max_ratio": 9},
        "gateways": {"local": offer | {"aspect_ratio": ["1:1"], "format": ["png"]}},
    }
    write(tmp_path / "other.yaml", json.dumps(document))
    assert set(keys(tmp_path)).isdisjoint(keys(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"products": {"mugs": [MUG | {"name": "Another name"}]}},
        {"products": {"cups": [MUG | {"id": "cup", "tags": ["hero"], "vars": {"colour": "red"}}]}},
        {"products": {"mugs": [MUG | {"images": {"back": "./mug.png"}}]}},
        {"products": {"mugs": [MUG | {"images": {"front": "copy.png"}}]}},
        {
            "references": {"linen": {"image": "copy.png", "role": "x"}},
            **prompt(TABLE["text"], images=["references.linen"]),
        },
        {"prompts": {"other": {"text": " Put @Image1 on a {{ 'table' }}.\n"}}},
        {"campaign": "other"},
        {"vars": {"season": "winter"}},
        {"budget": {"usd": 1}},
        {"outputs": {"path": "{{ product.id }}.{{ ext }}", "folder": "elsewhere"}},
        {"outputs": {"format": ["png", "jpeg", "webp"], "quality": {"jpeg": 10}}},
        {"outputs": {"format": "webp"}},
        {"providers": ["local"]},
    ],
    ids=[
        *("name", "id, tags and vars", "image name", "file path", "reference name and role", "prompt name", "campaign"),
        *("unused variable", "budget", "output path", "more formats", "another format", "said default"),
    ],
)
def test_what_never_changes_a_key(tmp_path, changes):
    """Names, tags, paths, unused variables, added formats and quality are not."""
    write(tmp_path / "copy.png", png())
    assert keys(tmp_path, **changes) == keys(tmp_path)


def test_order_and_comments_never_change_a_key(tmp_path):
    """The same manifest in another order and with comments makes the same pictures."""
    head = "version: 1\ncampaign: c\n"
    one = (
        head
        + "products: {a: [{id: x, name: X}, {id: y, name: Y}]}\n"
        + "prompts: {p: {text: 'hi {{ product.name }}'}, q: {text: ho}}\n"
    )
    two = (
        "# note\nprompts:\n  q: {text: ho}  # ho\n  p: {text: 'hi {{ product.name }}'}\n"
        "products: {a: [{name: Y, id: y}, {id: x, name: X}]}\n" + head
    )
    assert set(cells(tmp_path, one).pictures) == set(cells(tmp_path, two).pictures)
    assert len(cells(tmp_path, one).pictures) == 3


def test_more_variants_keep_the_first(tmp_path):
    """Raising variants adds pictures and changes none."""
    assert keys(tmp_path, outputs={"variants": 3})[:2] == keys(tmp_path, outputs={"variants": 2})


def test_paid_keys_are_the_same_at_every_gateway(tmp_path):
    """A pool's pictures are the model's: who makes them is no part of the key."""
    assert keys(tmp_path, providers=["fal"]) == keys(tmp_path, providers=["runware", "eachlabs"])


def test_reference_order_is_in_the_key(tmp_path):
    """@Image1 and @Image2 exchanged are another picture."""
    write(tmp_path / "b.png", png("red"))
    products = {"s": [MUG | {"images": {"a": "mug.png", "b": "b.png"}}]}
    one = keys(tmp_path, products=products, **prompt("@Image1 @Image2", images=["product.a", "product.b"]))
    assert one != keys(tmp_path, products=products, **prompt("@Image1 @Image2", images=["product.b", "product.a"]))


def test_the_fingerprint_changes_with_labels_keys_and_files(tmp_path):
    """What a saved plan compares holds everything that decides what is made and where."""
    whole = cells(tmp_path).fingerprint()
    assert whole == cells(tmp_path, budget={"usd": 1}).fingerprint()
    changed = [
        cells(tmp_path, outputs={"path": "x.png"}).fingerprint(),
        cells(tmp_path, **prompt("@Image1 new")).fingerprint(),
        cells(tmp_path, prompts={"renamed": TABLE}, outputs={"path": "mug/table/1x1_1K_v1.png"}).fingerprint(),
    ]
    assert len({whole, *changed}) == 4


# ── any manifest ────────────────────────────────────────────────────────────────────────────────

RULE = st.dictionaries(
    st.sampled_from(["product", "resolution", "aspect_ratio", "format", "variant", "scene"]),
    st.sampled_from(["*", "mug", "b*", "1K", "2K", "1:1", "21:9", "png", "webp", 1, 2, ["1K", "2K"], ["a", "b"]]),
    min_size=1,
    max_size=3,
)
OUTPUTS = st.fixed_dictionaries(
    {},
    optional={
        "resolution": st.sampled_from([["1K"], ["2K", "1K"]]),
        "aspect_ratio": st.lists(st.sampled_from(["1:1", "9:16", "auto"]), min_size=1, max_size=3, unique=True),
        "format": st.lists(st.sampled_from(["png", "jpeg", "webp"]), min_size=1, max_size=3, unique=True),
        "variants": st.integers(1, 3),
        "native": st.booleans(),
        "exclude": st.lists(RULE, max_size=2),
        "include": st.lists(RULE, max_size=2),
    },
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(OUTPUTS)
def test_cells_are_consistent_whatever_the_matrix(tmp_path_factory, outputs):
    """Labels and files are unique, pictures are those of the cells, and formats never multiply what is paid."""
    folder = tmp_path_factory.getbasetemp()
    prompts = {"t": {"text": "x {{ scene }}", "vary": {"scene": ["a", "b"]}}}
    path = manifest(folder, products={"s": [MUG, BOWL]}, prompts=prompts, outputs=outputs)
    if failure(ManifestError, lambda: expand(load(path))):
        return
    found = expand(load(path))
    assert len({cell.label for cell in found.cells}) == len(found.cells)
    assert len({unicodedata.normalize("NFC", cell.file).casefold() for cell in found.cells}) == len(found.cells)
    assert {cell.picture.key for cell in found.cells} == set(found.pictures)
    native = outputs.get("native", False)
    parts = {
        (
            c.picture.spec.prompt,
            c.picture.spec.references,
            c.picture.spec.resolution,
            c.picture.spec.aspect_ratio,
            c.picture.variant,
        )
        + ((c.format,) if native else ())
        for c in found.cells
    }
    assert len(parts) == len(found.pictures)
