"""The examples a newcomer learns from: every one is planned here, and the README's is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.expand import expand
from pipeline.manifest import load
from pipeline.plan import make_plan
from pipeline.schema import problems
from pipeline.strict_yaml import parse

REPOSITORY = Path(__file__).parent.parent.parent
EXAMPLES = sorted(
    path
    for path in [*(REPOSITORY / "manifests").rglob("*.yaml"), REPOSITORY / "pipeline/template/campaign.yaml"]
    if "\ncampaign:" in path.read_text("utf-8") and "out" not in path.relative_to(REPOSITORY).parts
)


UNNAMED = {"aimlapi-t-rex": 2, "runware-volcanic-choir": 3, "runware-reading-nook": 1}
"""The vendors' own examples whose prompts name no slots, with how many references they send."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_example_plans_without_a_warning(path: Path) -> None:
    """Each example expands, has work to do at first, and points its editor at the schema.

    Without a warning, but for what the vendors' own wording deserves.
    """
    expansion = expand(load(str(path)))
    facts = [warning.fact for warning in expansion.warnings]
    unnamed = UNNAMED.get(path.stem, 0) if path.parent.name == "vendor" else 0
    assert facts == [f"reference {n} is sent but the prompt never says @Image{n}" for n in range(1, unnamed + 1)]
    assert make_plan(expansion, None).work
    first = path.read_text("utf-8").splitlines()[0]
    schema = first.partition("$schema=")[2]
    assert first.startswith("# yaml-language-server: $schema=")
    if path.parent.name != "template":  # `init` writes the schema beside it
        assert json.loads((path.parent / schema).read_text("utf-8"))["title"] == "campaign-pipeline manifest"


def test_there_are_examples() -> None:
    """The demo of about 12 cells, the realistic campaign of about 600 cells and 250 pictures, and features."""
    sizes = {path.parent.name + "/" + path.name: expand(load(str(path))) for path in EXAMPLES}
    assert len(sizes["manifests/demo.yaml"].cells) == 12
    realistic = sizes["autumn-tableware/campaign.yaml"]
    assert 500 <= len(realistic.cells) <= 700
    assert 200 <= len(realistic.pictures) <= 300
    assert len(sizes) >= 15
    assert sum(name.startswith("vendor/") for name in sizes) == 8


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_example_is_in_the_readme_with_its_size(path: Path) -> None:
    """The table of examples links each, with the cells and pictures that it really has."""
    if path.parent.name == "template":
        return  # `init` writes it: it is none of the examples
    readme = (REPOSITORY / "manifests/README.md").read_text("utf-8")
    (row,) = [
        line for line in readme.splitlines() if f"]({path.relative_to(REPOSITORY / 'manifests').as_posix()})" in line
    ]
    expansion = expand(load(str(path)))
    told = [int(cell) for cell in row.strip("| ").split("|")[-2:]]
    assert told == [len(expansion.cells), len(expansion.pictures)]


def test_the_readme_shows_a_valid_manifest() -> None:
    """The YAML in the README fits the schema."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    block = text.partition("```yaml\n")[2].partition("```")[0]
    assert list(problems(parse(block, "README.md"), "manifest")) == []
