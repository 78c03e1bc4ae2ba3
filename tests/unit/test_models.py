"""Models as data: what comes with the project, and files of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kit import cells, told, write

from pipeline.models import load_model, model_names
from pipeline.types import Offer

SHIPPED = Path(__file__).parents[2] / "pipeline/models/kling-image-o1.yaml"


def own(folder, **changes):
    """Write a model file of the user's: the shipped one with changes."""
    document = yaml.safe_load(SHIPPED.read_text()) | {"name": "mine"} | changes
    return write(folder / "mine.yaml", yaml.safe_dump(document, default_style='"'))


def offer(**changes):
    """Return how some gateway offers a model."""
    least = {"id": "x", "usd": 0.01, "prompt": [1, 100], "references": [0, 2], "count": 4}
    return least | {"resolution": ["1K"], "aspect_ratio": ["1:1"], "format": ["png"]} | changes


def test_kling_image_o1_comes_with_the_project():
    """The first model and its five gateways are there, and a second one beside it."""
    assert model_names() == ["kling-image-o1", "nano-banana-edit"]
    model = load_model("kling-image-o1")
    assert (model.name, model.title) == ("kling-image-o1", "Kling Image O1")
    assert list(model.offers) == ["local", "fal", "aimlapi", "eachlabs", "runware"]


@pytest.mark.parametrize(
    ("gateway", "usd", "prompt", "references", "count", "auto"),
    [
        ("local", 0, (1, 20_000), (0, 10), 9, True),
        ("fal", 28_000, (1, 2500), (1, 10), 9, True),
        ("aimlapi", 29_400, (1, 2500), (1, 10), 9, False),
        ("eachlabs", 28_000, (1, 2500), (1, 10), 9, True),
        ("runware", 28_000, (3, 2500), (0, 10), 20, True),
    ],
)
def test_the_limits_of_each_gateway(gateway, usd, prompt, references, count, auto):
    """Prices and limits are the vendors'; a change of them is a decision."""
    found = load_model("kling-image-o1").offers[gateway]
    assert (found.usd, found.prompt, found.references, found.count) == (usd, prompt, references, count)
    assert ("auto" in found.aspect_ratio) is auto
    assert found.resolution == ("1K", "2K")
    assert found.format == ("png", "jpeg", "webp")
    assert found.source


def test_nano_banana_edit_comes_with_the_project():
    """The second model: fal's price and limits, and proofs of it in the same shapes."""
    model = load_model("nano-banana-edit")
    assert (list(model.offers), list(model.sizes)) == (["local", "fal"], ["1K"])
    fal = model.offers["fal"]
    assert (fal.id, fal.usd, fal.references, fal.count) == ("fal-ai/nano-banana/edit", 39_000, (1, 3), 4)
    assert set(fal.aspect_ratio) == {"auto", *model.sizes["1K"]} == set(model.offers["local"].aspect_ratio)
    assert "resolution" not in fal.fields


@pytest.mark.parametrize(("name", "ratios", "off"), [("kling-image-o1", 8, 0.02), ("nano-banana-edit", 10, 0.03)])
def test_every_ratio_has_a_size_near_it(name, ratios, off):
    """The pixel table is what its names say, in multiples of 16."""
    for sizes in load_model(name).sizes.values():
        assert len(sizes) == ratios
        for ratio, (width, height) in sizes.items():
            across, down = map(int, ratio.split(":"))
            assert width / height == pytest.approx(across / down, rel=off)
            assert width % 16 == height % 16 == 0


def test_an_offer_has_defaults(tmp_path):
    """What a gateway's entry leaves out has a default."""
    path = own(tmp_path, gateways={"local": offer()})
    assert load_model(str(path)).offers["local"] == Offer(
        gateway="local",
        id="x",
        usd=10_000,
        prompt=(1, 100),
        references=(0, 2),
        resolution=("1K",),
        aspect_ratio=("1:1",),
        format=("png",),
        count=4,
        concurrency=2,
        source="",
        fields={},
    )


def test_a_model_of_your_own(tmp_path):
    """A manifest can name a model file beside it."""
    own(tmp_path / "models", title="Mine")
    assert cells(tmp_path, model="models/mine.yaml").manifest.model.title == "Mine"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("kling-image-01", "model: there is no model 'kling-image-01'; did you mean 'kling-image-o1'?"),
        ("", "model: there is no model ''; there is kling-image-o1, nano-banana-edit"),
        (
            "../models/kling-image-o1",
            "model: there is no model '../models/kling-image-o1'; did you mean 'kling-image-o1'?",
        ),
        ("mne.yaml", "model: there is no file 'mne.yaml'; did you mean 'mine.yaml'?"),
    ],
)
def test_an_unknown_model_is_named_with_a_suggestion(tmp_path, name, line):
    """A model that isn't there says what is."""
    own(tmp_path)
    assert told(tmp_path, lambda: load_model(name, tmp_path)) == [line]


def test_a_mistake_about_the_model_points_at_the_manifest(tmp_path):
    """The place of an unknown model is where it was written."""
    (line,) = told(
        tmp_path,
        lambda: cells(
            tmp_path, "version: 1\ncampaign: c\nmodel: kling\nproducts: {a: [{id: a}]}\nprompts: {t: {text: x}}"
        ),
    )
    assert line == "m.yaml:3:8: model: there is no model 'kling'; did you mean 'kling-image-o1'?"


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        (
            {"gateways": {"local": offer(aspect_ratio=["auto", "1:1", "5:4"])}},
            "gateways.local: 1K 5:4 is offered but has no size",
        ),
        ({"gateways": {"local": offer(resolution=["1K", "8K"])}}, "gateways.local: 8K 1:1 is offered but has no size"),
        ({"gateways": {"local": offer(count=0)}}, "gateways.local.count: 0 is out of range"),
        ({"gateways": {"local": {"id": "x"}}}, "gateways.local: the key 'usd' is missing"),
        ({"gateways": {}}, "gateways: is empty"),
        ({"colour": "red"}, "colour: unknown key 'colour'"),
        ({"gateways": {"local": offer(prompt=[1])}}, "gateways.local.prompt: has only 1 of 2"),
    ],
)
def test_mistakes_in_a_model_file(tmp_path, changes, fact):
    """A model file is held to its schema, and its offers to its sizes."""
    path = own(tmp_path, **changes)
    lines = told(tmp_path, lambda: load_model(str(path)))
    assert [line for line in lines if fact in line and line.startswith("mine.yaml:")], lines
