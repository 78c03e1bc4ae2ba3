"""A manifest as values: defaults, providers, images, names, and what one key can get wrong."""

from __future__ import annotations

import dataclasses

import pytest
from kit import MUG, TABLE, cells, complaints, failure, manifest, png, told, write

from pipeline.errors import ManifestError, Mark, Problem
from pipeline.manifest import load


def loaded(folder, chosen=None, /, **changes):
    """Load a manifest that must have no problems, with the providers ``chosen`` by the command line."""
    made = load(manifest(folder, **changes), providers=chosen)
    assert made.problems == ()
    return made


def test_defaults(tmp_path):
    """What a manifest leaves out: one proof per product and prompt, square, 1K, PNG, beside the manifest."""
    made = loaded(tmp_path, products={"s": [{"id": "mug"}]})
    outputs = made.outputs
    assert (outputs.resolution, outputs.aspect_ratio, outputs.format) == (("1K",), ("1:1",), ("png",))
    assert (outputs.variants, outputs.native, outputs.exclude, outputs.include) == (1, False, (), ())
    assert outputs.quality == {"jpeg": 90, "webp": 85}
    assert outputs.folder == tmp_path / "out/c"
    assert [provider.name for provider in made.providers] == ["local"]
    assert made.proof
    assert (made.model.name, made.vars, made.references) == ("kling-image-o1", {}, {})
    assert (made.budget.total, made.budget.run) == (None, None)
    product = made.products["s"][0]
    assert (product.name, product.images, product.vars, product.tags) == ("mug", {}, {}, ())
    assert made.prompts[0].sets == ("s",)
    assert made.prompts[0].images is None


def test_values_are_read(tmp_path):
    """Everything that is written arrives."""
    made = loaded(
        tmp_path,
        vars={"season": "autumn"},
        budget={"usd": 40, "run_usd": 0.5},
        references={"linen": "mug.png", "light": {"image": "mug.png", "role": "style"}},
        outputs={
            "resolution": "2K",
            "aspect_ratio": ["1:1", "9:16"],
            "format": ["webp"],
            "variants": 3,
            "native": True,
            "quality": {"webp": 50},
            "folder": "made",
            "path": "{{ product.id }}.{{ ext }}",
        },
    )
    assert (made.budget.total, made.budget.run) == (40_000_000, 500_000)
    assert made.references == {
        "linen": (str(tmp_path / "mug.png"), None),
        "light": (str(tmp_path / "mug.png"), "style"),
    }
    assert (made.outputs.resolution, made.outputs.variants, made.outputs.native) == (("2K",), 3, True)
    assert made.outputs.quality == {"jpeg": 90, "webp": 50}
    assert (made.outputs.folder, made.outputs.file) == (tmp_path / "made", "{{ product.id }}.{{ ext }}")
    assert made.vars == {"season": "autumn"}


def test_a_manifest_is_frozen(tmp_path):
    """No one changes a loaded manifest."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded(tmp_path).campaign = "x"


def test_the_output_folder_is_relative_to_the_file_that_names_it(tmp_path):
    """A folder in a parent stands beside the parent; the default beside the manifest."""
    write(tmp_path / "brand/brand.yaml", "outputs: {folder: made}")
    assert loaded(tmp_path, extends="brand/brand.yaml").outputs.folder == tmp_path / "brand/made"


# ── providers ───────────────────────────────────────────────────────────────────────────────────


def test_providers_have_settings(tmp_path):
    """A provider is a gateway's name, or a gateway with settings of its own."""
    own = {"name": "second", "gateway": "fal", "concurrency": 7, "usd": 0.02, "base_url": "http://127.0.0.1:1"}
    runware, second = loaded(tmp_path, providers=["runware", own]).providers
    assert (runware.name, runware.usd, runware.concurrency, runware.base_url) == ("runware", 28_000, 4, None)
    assert (second.name, second.offer.gateway, second.usd) == ("second", "fal", 20_000)
    assert (second.concurrency, second.base_url, second.path) == (7, "http://127.0.0.1:1", ("providers", 1))
    assert not second.proof


def test_the_command_line_chooses_providers(tmp_path):
    """Chosen providers replace the listed ones and keep the settings listed under their names."""
    listed = ["runware", {"name": "fal", "concurrency": 9}]
    made = load(manifest(tmp_path, providers=listed), providers=["fal", "eachlabs"])
    assert [(provider.name, provider.concurrency) for provider in made.providers] == [("fal", 9), ("eachlabs", 10)]


def test_proofs_of_a_paid_campaign_have_their_own_folder(tmp_path):
    """Proofs never take the place of paid pictures; a campaign of proofs only needs no second folder."""
    assert loaded(tmp_path, ["local"], providers=["fal"]).outputs.folder == tmp_path / "out/c-proofs"
    assert loaded(tmp_path, ["local"]).outputs.folder == tmp_path / "out/c"
    assert loaded(tmp_path, providers=["fal"]).outputs.folder == tmp_path / "out/c"


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        (["fall"], ["providers[0]: no gateway 'fall' offers kling-image-o1; did you mean 'fal'?"]),
        (
            [{"name": "x", "gateway": "flux"}],
            ["providers[0]: no gateway 'flux' offers kling-image-o1; there is aimlapi, eachlabs, fal, local, runware"],
        ),
        (["fal", "local"], ["providers: `local` makes proofs: it can't share a pool with paid providers; remove it"]),
        (
            ["fal", {"name": "fal", "usd": 1}],
            ["providers[1]: the provider 'fal' is listed twice; give one another `name`"],
        ),
        ([], ['providers: is empty; for example ["local"]']),
        ([{"gateway": "fal"}], ["providers[0]: the key 'name' is missing; add `name: 'fal'`"]),
        (
            [{"name": "fal", "key": "s3cret"}],
            ["providers[0].key: unknown key 'key'; did you mean 'key_env'?"],
        ),
        pytest.param(
            *(["fal", "runware", "fal"], ["providers[2]: the provider 'fal' is listed twice; give one another `name`"])
        ),
    ],
)
def test_mistakes_in_providers(tmp_path, providers, expected):
    """Each mistake about a provider is located and says what to do."""
    assert complaints(tmp_path, providers=providers) == expected


def test_an_unknown_provider_of_the_command_line(tmp_path):
    """A provider that only the command line names is checked too."""
    (line,) = told(tmp_path, lambda: load(manifest(tmp_path), providers=["fall"]))
    assert line.endswith(": no gateway 'fall' offers kling-image-o1; did you mean 'fal'?")


# ── images ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("mgu.png", "there is no file 'mgu.png'; did you mean 'mug.png'?"),
        ("assets/mug.png", "there is no file 'assets/mug.png'; there is no folder 'assets'"),
        (".", "there is no file '.'; "),
        ("http://x/a.png", "'http://x/a.png' can't be fetched by a gateway; use an https URL or a file's path"),
        ("ftp://x/a.png", "'ftp://x/a.png' can't be fetched by a gateway; use an https URL or a file's path"),
        ("file:///etc/passwd", "'file:///etc/passwd' can't be fetched by a gateway; use an https URL or a file's path"),
        ("https://x/a b.png", "'https://x/a b.png' can't be fetched by a gateway; use an https URL or a file's path"),
        ('https://x/"a.png', "can't be fetched by a gateway"),
        pytest.param("https://", "can't be fetched by a gateway"),
        (
            "https://127.0.0.1/a.png",
            "can't be fetched by a gateway: 127.0.0.1 is in a private network; use an https URL or a file's path",
        ),
        ("https://0x7f.1/a.png", "can't be fetched by a gateway: 0x7f.1 is in a private network"),
        ("https://127。0。0。1/a.png", "can't be fetched by a gateway: 127.0.0.1 is in a private network"),
        ("https://[::1]/a.png", "can't be fetched by a gateway: ::1 is in a private network"),
        ("https://localhost:8080/a.png", "can't be fetched by a gateway: localhost is in a private network"),
        ("https://nas.local/a.png", "can't be fetched by a gateway: nas.local is in a private network"),
        ("https://assets.corp.internal/a.png", "assets.corp.internal is in a private network"),
        ("https://me:word@x.example/a.png", "can't be fetched by a gateway: it holds a user name or a password"),
        ("https://x.example:99999/a.png", "can't be fetched by a gateway: it is no web address"),
        ("https://x%2eexample/a.png", "can't be fetched by a gateway: it is no web address"),
        ("", "is empty"),
    ],
)
def test_images_that_can_not_be_used(tmp_path, image, line):
    """An image is a file that is there, or an https URL."""
    assert any(
        found.startswith("products.s[0].images.front: ") and line in found
        for found in complaints(tmp_path, products={"s": [{"id": "a", "images": {"front": image}}]})
    )


def test_images_are_found_beside_the_manifest(tmp_path, monkeypatch):
    """A relative path is relative to its file, not to where the command runs; absolute paths and URLs stay."""
    write(tmp_path / "sub/b.png", png())
    monkeypatch.chdir(tmp_path / "sub")
    images = {"a": "mug.png", "b": str(tmp_path / "sub/b.png"), "c": "https://x/c.png", "d": "./sub/b.png"}
    assert loaded(tmp_path, products={"s": [{"id": "a", "images": images}]}).products["s"][0].images == {
        "a": str(tmp_path / "mug.png"),
        "b": str(tmp_path / "sub/b.png"),
        "c": "https://x/c.png",
        "d": str(tmp_path / "sub/b.png"),
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_within_the_limits_are_silent(tmp_path, kind):
    """A reference that the model takes is neither an error nor a warning."""
    write(tmp_path / "x", png(kind=kind))
    products = {"s": [{"id": "a", "images": {"front": "x"}}]}
    assert cells(tmp_path, products=products, providers=["fal"]).warnings == ()


def test_a_reference_the_model_does_not_take(tmp_path):
    """Outside the limits is an error where it would be paid for, a warning on a proof; garbage is always an error."""
    write(tmp_path / "small.png", png(size=(100, 100)))
    products = {"s": [{"id": "a", "images": {"front": "small.png"}}]}
    fact = "products.s[0].images.front: is 100×100, and the model takes no side under 300 pixels"
    (line,) = complaints(tmp_path, products=products, providers=["fal"])
    assert line.startswith(fact)
    assert "Kling Image O1" in line
    assert [f"{p.path}: {p.fact}" for p in cells(tmp_path, products=products).warnings] == [fact]
    write(tmp_path / "small.png", b"garbage")
    assert complaints(tmp_path, products=products) == [
        (
            "products.s[0].images.front: is no PNG, JPEG or WebP picture, but text; save the picture itself: this is "
            "what a server or a program wrote in its place"
        )
    ]


# ── names ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["product", "prompt", "slot", "variant", "format", "vary", "ext", "vars", "resolution"]
)
def test_reserved_names(tmp_path, name):
    """No variable and no axis may take a name that templates give a meaning."""
    says = f": {name!r} has a meaning of its own in templates; rename it"
    assert f"vars.{name}{says}" in complaints(tmp_path, vars={name: 1})
    assert f"prompts.t.vary.{name}{says}" in complaints(tmp_path, prompts={"t": TABLE | {"vary": {name: ["a"]}}})


def test_an_axis_can_not_be_a_variable_too(tmp_path):
    """One name has one meaning."""
    assert complaints(tmp_path, vars={"scene": "x"}, prompts={"t": TABLE | {"vary": {"scene": ["a"]}}}) == [
        "prompts.t.vary.scene: 'scene' is also a variable in `vars`; rename one"
    ]


@pytest.mark.parametrize("values", [["a", "b", "a"], [1, 2, "1"]])
def test_an_axis_has_each_value_once(tmp_path, values):
    """A value that is listed twice would be two cells of one label."""
    lines = complaints(tmp_path, prompts={"t": TABLE | {"vary": {"scene": values}}})
    assert lines == [f"prompts.t.vary.scene[2]: {values[2]!r} is listed twice; remove one"]


@pytest.mark.parametrize(("first", "second"), [("mug", "mug"), ("mug", "MUG"), ("Straße", "x")])
def test_product_ids_are_unique_over_all_sets(tmp_path, first, second):
    """An id is taken whatever its case and whichever set it stands in, and the problem names the first place."""
    if first == "Straße":
        assert "is not allowed here" in complaints(tmp_path, products={"a": [{"id": first}]})[0]
        return
    lines = complaints(
        tmp_path,
        f"version: 1\ncampaign: c\nproducts:\n  a:\n    - id: {first}\n  b:\n    - id: x\n    - id: {second}\n"
        "prompts: {t: {text: x}}",
    )
    assert f"m.yaml:8:11: products.b[1].id: the id {second!r} is taken by m.yaml:5:11; ids are unique" in lines


def test_a_double_id_is_one_problem(tmp_path):
    """That its cells collide too goes without saying."""
    products = {"a": [{"id": "mug"}], "b": [{"id": "MUG"}]}
    assert len(complaints(tmp_path, products=products, prompts={"t": {"text": "x"}})) == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"prompts": {"t": TABLE | {"products": ["mug"]}}},
            "prompts.t.products[0]: there is no product set 'mug'; did you mean 'mugs'?",
        ),
        (
            {"products": {"mugs": [MUG], "none": []}},
            "products.none: the product set is empty; add a product, or remove the set",
        ),
        (
            {"outputs": {"exclude": [{"aspct_ratio": "1:1"}]}},
            "outputs.exclude[0].aspct_ratio: there is no dimension 'aspct_ratio'; did you mean 'aspect_ratio'?",
        ),
        ({"outputs": {"include": [{"scene": "x"}]}}, "outputs.include[0].scene: there is no dimension 'scene'; "),
        ({"version": 2}, "version: 2 is not allowed; there is 1"),
        ({"campaign": "a/b"}, "campaign: 'a/b' is not allowed here; letters"),
        ({"budget": {}}, "budget: is empty"),
        ({"budget": {"usd": -1}}, "budget.usd: -1 is out of range; the least is 0"),
        ({"outputs": {"aspect_ratio": "16/9"}}, "outputs.aspect_ratio: '16/9' is not allowed here"),
    ],
)
def test_mistakes_of_one_key(tmp_path, changes, line):
    """Each mistake names its key path, the fact and the next step."""
    assert any(found.startswith(line) for found in complaints(tmp_path, **changes)), complaints(tmp_path, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param("outputs: {variants: 2.0}"),
        "budget: {usd: 1e999}",
        "providers: [{name: fal, usd: 1e999}]",
        "vars: *deep",
    ],
)
def test_odd_numbers_and_shapes_never_end_in_a_traceback(tmp_path, changes):
    """Whatever fits YAML is read or refused."""
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 1500)).replace("&a1499", "&deep")
    text = (
        (deep if "deep" in changes else "")
        + "version: 1\ncampaign: c\nproducts: {a: [{id: a, images: {b: mug.png}}]}\n"
        + f"prompts: {{t: {{text: x}}}}\n{changes}\n"
    )
    error = failure(ManifestError, lambda: cells(tmp_path, text))
    assert error is None or error.problems


def test_problems_are_in_reading_order_and_said_once():
    """Problems are sorted by file, line and column; those without a place come last; equal ones are one."""
    marks = [Mark("b", 1, 1), Mark("a", 10, 1), Mark("a", 2, 9), None, Mark("a", 2, 1), Mark("a", 2, 1)]
    error = ManifestError([Problem(mark, "p", "f") for mark in marks])
    assert [str(problem) for problem in error.problems] == [
        *("a:2:1: p: f", "a:2:9: p: f", "a:10:1: p: f", "b:1:1: p: f", "p: f")
    ]
    assert str(error).splitlines()[0] == "a:2:1: p: f"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(Mark("m", 1, 2), "a.b", "fact", "hint"), "m:1:2: a.b: fact; hint"),
        (Problem(Mark("m", 1, 2), "", "fact"), "m:1:2: fact"),
        (Problem(None, "a", "fact", "", warning=True), "warning: a: fact"),
    ],
)
def test_a_problem_as_a_line(problem, text):
    """A problem is place, key path, fact and next step."""
    assert str(problem) == text
