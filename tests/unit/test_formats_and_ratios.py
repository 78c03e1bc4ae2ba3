"""Formats and ratios as people write them: jpg is jpeg, and a ratio that is not offered is answered by its shape."""

from __future__ import annotations

import pytest
from kit import cells, complaints, labels, write

from pipeline.models import load_model
from pipeline.schema import did_you_mean


@pytest.mark.parametrize(
    "outputs",
    [
        {"format": "jpg"},
        {"format": ["jpg"]},
        {"format": ["png", "jpg"], "exclude": [{"format": "png"}]},
        {"format": ["png", "jpeg"], "include": [{"format": "jpg"}], "exclude": [{"format": ["png", "webp*"]}]},
        {"format": "png", "include": [{"format": "jpg"}], "exclude": [{"format": "png"}]},
        {"format": ["jpg"], "quality": {"jpg": 50}},
    ],
)
def test_jpg_is_jpeg_wherever_a_format_is_written(tmp_path, outputs):
    """In the matrix, in rules and as a key of quality; inside it has one name."""
    found = cells(tmp_path, outputs=outputs)
    assert [(cell.format, cell.label) for cell in found.cells] == [("jpeg", "mug/table/1x1/1K/v1.jpg")]
    assert found.manifest.outputs.quality["jpeg"] == outputs.get("quality", {}).get("jpg", 90)
    assert "jpg" not in found.manifest.outputs.quality


def test_jpg_and_jpeg_share_a_picture_and_a_key(tmp_path):
    """Which of the two is written determines nothing."""
    keys = {
        cells(tmp_path, outputs={"format": [name], "native": True}).cells[0].picture.key for name in ("jpg", "jpeg")
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"format": ["jpg", "jpeg"]}, "outputs.format: jpg and jpeg are one format; remove one"),
        ({"quality": {"jpg": 1, "jpeg": 2}}, "outputs.quality.jpg: jpg and jpeg are one format; remove one"),
        ({"format": ["PNG"]}, "outputs.format[0]: 'PNG' is not allowed; did you mean 'png'?"),
        ({"format": "JPEG"}, "outputs.format: 'JPEG' is not allowed; did you mean 'jpeg'?"),
        ({"quality": {"WebP": 3}}, "outputs.quality.WebP: unknown key 'WebP'; did you mean 'webp'?"),
        ({"include": [{"format": "WEBP"}]}, "outputs.include[0].format: 'WEBP' is no format; did you mean 'webp'?"),
        (
            {"resolution": "2k"},
            "outputs.resolution: provider local: resolution '2k' is not offered; did you mean '2K'?",
        ),
        (
            {"exclude": [{"resolution": "1k"}]},
            "outputs.exclude[0]: the rule matches nothing; no resolution is '1k': did you mean '1K'?",
        ),
    ],
)
def test_another_spelling_is_answered_exactly(tmp_path, outputs, told):
    """One problem, with the word as it is written here."""
    assert [line.replace("[0]: provider", ": provider") for line in complaints(tmp_path, outputs=outputs)] == [told]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("4:5", "3:4"),
        ("5:4", "4:3"),
        ("1.91:1", "16:9"),
        ("1920:1080", "16:9"),
        ("10:16", "2:3"),
        ("9:18", "9:16"),
        ("100:99", "1:1"),
        ("2.35:1", "21:9"),
    ],
)
def test_the_nearest_ratio_goes_by_shape(tmp_path, written, meant):
    """Of those that this provider makes."""
    (told,) = complaints(tmp_path, outputs={"aspect_ratio": written})
    assert told.endswith(f"provider local: aspect_ratio {written!r} is not offered; did you mean {meant!r}?")


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("4:5", ["1:1", "3:4", "auto"], "did you mean '3:4'?"),
        ("4:5", ["1:1", "16:9"], "did you mean '1:1'?"),
        ("32:9", ["1:1", "2:3"], "there is 1:1, 2:3"),
        ("9:16", ["16:9"], "there is 16:9"),
        ("16x9", ["9:16", "16:9"], "did you mean '16:9'?"),
        ("auto", ["1:1"], "there is 1:1"),
        ("99999:1", [], "there is none"),
    ],
)
def test_only_what_can_be_used_is_offered(word, known, hint):
    """A shape that is far from all of them is answered with the list."""
    assert did_you_mean(word, known) == hint


def test_a_ratio_in_a_rule_goes_by_shape_too(tmp_path):
    """An exclude rule that matches nothing."""
    outputs = {"aspect_ratio": ["1:1", "3:4"], "exclude": [{"aspect_ratio": "4:5"}]}
    (told,) = complaints(tmp_path, outputs=outputs)
    assert told.endswith("no aspect_ratio is '4:5': did you mean '3:4'?")
    assert labels(tmp_path, outputs=outputs | {"exclude": [{"aspect_ratio": "3:4"}]}) == ["1x1/1K/v1.png"]


def test_a_model_table_may_say_jpg(tmp_path):
    """In formats, offers and the gateway's words for them."""
    text = """
name: m
sizes: {1K: {"1:1": [1024, 1024]}}
reference: {formats: [jpg, png], max_bytes: 1000, min_side: 1, max_ratio: 2}
gateways:
  fal:
    id: x
    usd: 1
    prompt: [1, 10]
    references: [0, 1]
    resolution: [1K]
    aspect_ratio: ["1:1"]
    format: [jpg]
    count: 1
    values: {format: {jpg: JPG}}
"""
    write(tmp_path / "m.yaml", text)
    model = load_model("m.yaml", tmp_path)
    offer = model.offers["fal"]
    assert (model.reference.formats, offer.format, offer.values) == (
        ("jpeg", "png"),
        ("jpeg",),
        {"format": {"jpeg": "JPG"}},
    )
