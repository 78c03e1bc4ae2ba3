"""Saved plans travel: with the manifest to another checkout, and between folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fakes.campaign import inside, run, write_campaign

OUTPUTS = {"format": ["png"]}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a campaign and a plan of one product, saved beside it in another folder."""
    manifest = write_campaign(tmp_path / "one" / "campaigns" / "autumn", count=2, outputs=OUTPUTS)
    plans = tmp_path / "one" / "plans"
    plans.mkdir()
    inside("-C", manifest.parent, "plan", "--only", "p1", "-o", plans / "plan.json")
    return tmp_path / "one"


def test_a_plan_moves_with_its_manifest(checkout: Path, tmp_path: Path) -> None:
    """Nothing in it is of the machine it was made on."""
    text = (checkout / "plans/plan.json").read_text()
    assert json.loads(text)["manifest"] == "../campaigns/autumn/campaign.yaml"
    assert str(tmp_path) not in text
    shutil.move(checkout, tmp_path / "elsewhere")
    assert run(tmp_path / "elsewhere/plans/plan.json")["made"] == 1
    assert (tmp_path / "elsewhere/campaigns/autumn/out/test/report.html").is_file()


@pytest.mark.parametrize("here", [".", "plans", "campaigns/autumn", ".."])
def test_a_plan_is_run_from_any_folder(checkout: Path, here: str) -> None:
    """Its way to the manifest begins at the plan, not where the command is typed."""
    folder = (checkout / here).resolve()
    done = inside("-C", folder, "run", checkout / "plans/plan.json", "--json")
    assert json.loads(done.stdout)["made"] == 1


def test_a_plan_behind_a_link_finds_its_manifest(checkout: Path, tmp_path: Path) -> None:
    """Also where the folder of the plan is reached by a link."""
    (tmp_path / "link").symlink_to(checkout / "plans")
    assert run(tmp_path / "link/plan.json")["made"] == 1


def test_a_plan_of_before_with_an_absolute_path_is_run(checkout: Path) -> None:
    """As earlier versions wrote it: with the absolute path, and without what is named by state."""
    file = checkout / "plans/plan.json"
    saved = json.loads(file.read_text())
    saved["manifest"] = str(checkout / "campaigns/autumn/campaign.yaml")
    del saved["named"]
    file.write_text(json.dumps(saved))
    assert run(file)["made"] == 1


def test_a_plan_of_what_is_missing_stays_that_plan(checkout: Path) -> None:
    """What a state named is saved: run twice, the plan is done, not empty."""
    manifest = checkout / "campaigns/autumn/campaign.yaml"
    inside("plan", manifest, "--only", "state:missing", "-o", checkout / "all.json")
    first, second = run(checkout / "all.json"), run(checkout / "all.json")
    assert (first["made"], second["made"], second["done"]) == (2, 0, 2)


@pytest.mark.parametrize("wrong", [{"named": 3}, {"named": {"state:done": [[]]}}, {"only": [1]}, {"manifest": 1}])
def test_a_plan_that_was_meddled_with_is_refused(checkout: Path, wrong: dict[str, object]) -> None:
    """One clear line."""
    file = checkout / "plans/plan.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    assert "is no saved plan" in inside("run", file, expect=1).stderr
