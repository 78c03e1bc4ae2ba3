"""Models are data: a second one, fal's ``fal-ai/nano-banana/edit``, is a YAML file and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fakes.campaign import pipeline, plan, write_campaign
from PIL import Image

import pipeline as package

FAST = {"name": "fal", "poll": {"first": 0.05, "every": 0.05}}
RATIOS = {"4x5": 896 / 1152, "auto": 1.0}
"""Ratio in a label → width ÷ height of its picture; ``auto`` follows the reference, a square."""


def campaign(folder: Path, **keys: object) -> Path:
    """Five variants of one product in two shapes, in two formats each: ten pictures."""
    outputs = {"aspect_ratio": ["4:5", "auto"], "format": ["png", "webp"], "variants": 5}
    given = {"model": "nano-banana-edit", "provider": FAST, "outputs": outputs} | keys
    return write_campaign(folder, count=1, **given)


def rehearse(manifest: Path) -> tuple[dict[str, object], str]:
    """``run --emulate``: what it says, and what the emulator says that it would have billed."""
    done = pipeline("run", manifest, "--emulate", "--emulate-speed", 500, "--json")
    (bill,) = re.findall(r"would have billed (.+)", done.stderr)
    return json.loads(done.stdout), bill


def test_a_campaign_with_it_runs_by_its_yaml_alone(tmp_path: Path) -> None:
    """Ten pictures at $0.039 in four requests of four at most, of the asked shapes; a second run bills nothing."""
    manifest = campaign(tmp_path)
    planned = plan(manifest)
    first, bill = rehearse(manifest)
    again, nothing = rehearse(manifest)
    assert (planned["to_make"], planned["requests"], planned["usd"]) == (10, 4, pytest.approx(0.39))
    assert (first["made"], first["done"], first["usd"]) == (10, 20, pytest.approx(0.39))
    assert bill == "$0.39 for 10 pictures"
    assert (again["made"], again["done"], nothing) == (0, 20, "$0.00 for 0 pictures")
    lines = [json.loads(line) for line in (tmp_path / "out/test-rehearsal/results.jsonl").read_text().splitlines()]
    assert {(line["model"], line["provider"]) for line in lines} == {("nano-banana-edit", "fal")}
    for line in lines:
        with Image.open(tmp_path / "out/test-rehearsal" / line["path"]) as image:
            asked = RATIOS[line["label"].split("/")[2]]
            assert image.width / image.height == pytest.approx(asked, rel=0.05), line["path"]
            assert image.format == ("PNG" if line["path"].endswith("png") else "WEBP")


def test_its_limits_are_its_own(tmp_path: Path) -> None:
    """It has neither Kling's 2K nor its ten references, and Kling has not its 5:4."""
    two = campaign(tmp_path, outputs={"resolution": "2K", "aspect_ratio": "5:4"})
    assert "provider fal: resolution '2K' is not offered" in pipeline("plan", two, expect=1).stderr
    kling = campaign(tmp_path, outputs={"aspect_ratio": "5:4"}, model="kling-image-o1")
    assert "provider fal: aspect_ratio '5:4' is not offered" in pipeline("plan", kling, expect=1).stderr
    prompt = {"images": ["product.front"] * 4, "text": "@Image1, @Image2, @Image3 and @Image4 on a table."}
    many = campaign(tmp_path, prompts={"table": prompt})
    assert "the prompt has 4 references (product p0); it takes 1 to 3" in pipeline("plan", many, expect=1).stderr


def test_no_code_knows_of_it() -> None:
    """No module but the emulator, which stands for fal, names it."""
    modules = [path for path in Path(package.__file__).parent.rglob("*.py") if "emulator" not in path.parts]
    assert len(modules) > 40
    assert [path.name for path in modules if "nano" in path.read_text("utf-8").lower()] == []
