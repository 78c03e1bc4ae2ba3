"""The pure parts of planning: which cells are meant, and what changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kit import cells

from pipeline.plan import Selection, encoding_of, label_matches
from pipeline.types import Reference, Spec
from pipeline.verdicts import changes


@pytest.mark.parametrize(
    ("label", "glob", "matches"),
    [
        ("mug/table/1x1/1K/v1.png", "mug", True),
        ("mug/table/1x1/1K/v1.png", "mug/", True),
        ("mug/table/1x1/1K/v1.png", "mug/table", True),
        ("mug/table/1x1/1K/v1.png", "mug/table/1x1/1K/v1.png", True),
        ("mug/table/1x1/1K/v1.png", "*/table", True),
        ("mug/table/1x1/1K/v1.png", "*.png", True),
        ("mug/table/1x1/1K/v1.png", "*/v[12].*", True),
        ("mug/table/1x1/1K/v1.png", "m?g", True),
        ("mug-blue/table/1x1/1K/v1.png", "mug", False),
        ("mug/table/1x1/1K/v1.png", "table", False),
        ("mug/table/1x1/1K/v1.png", "MUG", False),
        ("mug/table/1x1/1K/v1.png", "mu", False),
        ("mug/table/1x1/1K/v1.png", "", False),
        ("mug/table/1x1/1K/v1.png", "*.webp", False),
    ],
)
def test_a_glob_names_a_label_or_its_start(label, glob, matches):
    """A glob is the whole label or whole leading parts of it."""
    assert label_matches(label, glob) is matches


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({}, ["a 1", "a 2", "b 1", "b 2"]),
        ({"only": ("a",)}, ["a 1", "a 2"]),
        ({"only": ("a", "b/*/v2.png")}, ["a 1", "a 2", "b 2"]),
        ({"exclude": ("a",)}, ["b 1", "b 2"]),
        ({"only": ("a",), "exclude": ("*/v1.png",)}, ["a 2"]),
        ({"tags": ("hero",)}, ["b 1", "b 2"]),
        ({"tags": ("hero", "new")}, ["a 1", "a 2", "b 1", "b 2"]),
        ({"tags": ("nope",)}, []),
        ({"only": ("a",), "tags": ("hero",)}, []),
    ],
)
def test_a_selection_chooses_cells(tmp_path, selection, chosen):
    """Globs choose, globs leave out, and any of the tags is needed."""
    products = {"s": [{"id": "a", "tags": ["new"]}, {"id": "b", "tags": ["hero"]}]}
    found = cells(tmp_path, products=products, prompts={"t": {"text": "x"}}, outputs={"variants": 2}).cells
    assert [f"{c.place.product.id} {c.picture.variant}" for c in found if c in Selection(**selection)] == chosen


def test_only_cells_can_be_selected():
    """Anything else is in no selection."""
    assert "mug" not in Selection()


SPEC = Spec("k", "kling", False, "x", (Reference("a", "/a", "d1"), Reference("b", "/b", "d2")), "1K", "1:1", "png")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        ({"prompt": "y"}, ["prompt changed"]),
        ({"references": (Reference("a", "/a", "d1"), Reference("b", "/b", "new"))}, ["reference changed: b"]),
        ({"references": (Reference("z", "/z", "d1"), Reference("y", "/y", "d2"))}, []),
        ({"references": SPEC.references[:1]}, ["reference changed: 2 → 1"]),
        ({"references": SPEC.references[::-1]}, ["reference changed: b, a"]),
        ({"model": "other"}, ["parameter changed: model kling → other"]),
        ({"resolution": "2K"}, ["parameter changed: resolution 1K → 2K"]),
        ({"aspect_ratio": "9:16"}, ["parameter changed: aspect_ratio 1:1 → 9:16"]),
        ({"format": "webp"}, ["parameter changed: format png → webp"]),
        ({"proof": True}, ["made by the model before"]),
        ({"prompt": "y", "resolution": "2K"}, ["prompt changed", "parameter changed: resolution 1K → 2K"]),
    ],
)
def test_what_changed_between_two_specs(now, said):
    """Each part that determines a picture is named when it differs, and nothing else is."""
    assert list(changes(SPEC.described(), replace(SPEC, **now))) == said


def test_a_proof_that_is_now_paid():
    """The step from a proof to the model's picture is said as such."""
    assert list(changes(replace(SPEC, proof=True).described(), SPEC)) == ["made as a proof before"]


@pytest.mark.parametrize(("kind", "encoding"), [("png", "png"), ("jpeg", "jpeg:92"), ("webp", "webp:85")])
def test_an_encoding_names_its_quality(tmp_path, kind, encoding):
    """A lossy format's quality is part of its name, with its default where none is given."""
    assert encoding_of(cells(tmp_path, outputs={"quality": {"jpeg": 92}}).manifest, kind) == encoding
