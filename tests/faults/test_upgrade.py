"""A campaign that was made with commit 998f339 has nothing to pay with today's version.

The fixture is its whole folder: 18 pictures of 1×16 pixels from fal (an emulator), in two formats, with prices,
editions and sizes that version 1 of the keys spelled in another way, a spreadsheet with CRLF, and a name in NFD.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, run, start, write_campaign
from fakes.gateway import Faults, serving
from faults.test_gateway_faults import wait_for_submits

FIXTURE = Path(__file__).parent.parent / "golden/campaign-998f339.zip"
NOWHERE = {"FAL_KEY": "a:b", "FAL_BASE_URL": "http://127.0.0.1:9"}
"""A gateway that nobody can reach: whatever asks it for a picture fails."""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """The campaign as it lay there after its last run."""
    zipfile.ZipFile(FIXTURE).extractall(tmp_path)
    return tmp_path / "campaign.yaml"


BEFORE = {"KEYS_VERSION": "1"}


def lines(manifest: Path) -> list[dict[str, Any]]:
    """The lines of the campaign's results."""
    text = (manifest.parent / "out/upgrade/results.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_an_upgraded_campaign_has_nothing_to_pay(campaign: Path) -> None:
    """Not for numbers, line breaks and Unicode forms that are read in another way now; and again after that run."""
    keys = {line["key"] for line in lines(campaign)}
    for _ in range(2):
        document = json.loads(pipeline("plan", campaign, "--json", env=NOWHERE).stdout)
        assert (document["to_make"], document["usd"], document["pictures"]) == (0, 0, 18)
        done = run(campaign, env=NOWHERE)
        assert (done["made"], done["usd"], done["done"], done["exit_code"]) == (0, 0, 40, 0)
        assert {line["key"] for line in lines(campaign)} == keys


def test_the_records_say_what_the_pictures_were_made_from(campaign: Path) -> None:
    """A sidecar of an upgraded campaign doesn't claim the number as it is written now."""
    run(campaign, env=NOWHERE)
    sidecars = (campaign.parent / "out/upgrade").glob("mug/tag/*.json")
    prompts = {json.loads(path.read_text("utf-8"))["prompt"].partition(", for")[2] for path in sidecars}
    assert prompts == {" € 19.9"}


def test_a_retake_gets_the_numbers_of_the_manifest(campaign: Path) -> None:
    """It is one picture, at its price, and the note of `plan` says how to ask for it."""
    said = pipeline("plan", campaign, env=NOWHERE).stderr
    assert "16 pictures made by an earlier version" in said
    assert "--retake mug/tag/0.50/1x1/1K/v1" in said
    document = json.loads(pipeline("plan", campaign, "--json", "--retake", "mug/tag/12", env=NOWHERE).stdout)
    assert (document["to_make"], document["usd"]) == (2, pytest.approx(0.056))


def test_an_upgraded_folder_without_its_ledger_is_adopted_not_paid(campaign: Path) -> None:
    """By its sidecars alone, too."""
    shutil.rmtree(campaign.parent / "out/upgrade/.pipeline")
    assert "18 pictures made here before" in pipeline("run", campaign, env=NOWHERE, expect=1).stderr
    pipeline("restore", campaign, env=NOWHERE)
    assert run(campaign, env=NOWHERE)["usd"] == 0


def test_an_approval_of_before_freezes_its_picture(campaign: Path) -> None:
    """Decisions name pictures by their keys, and these are kept."""
    line = next(line for line in lines(campaign) if line["label"] == "mug/tag/0.5/1x1/1K/v1.png")
    said = f"decision: approved, file: {line['sha256']}, when: '2026-11-20T10:00:00Z', who: ana"
    approvals = f"version: 1\ncampaigns:\n  upgrade:\n    mug: {{picture: {line['key']}, {said}}}\n"
    (campaign.parent / "approvals.yaml").write_text(approvals)
    document = json.loads(pipeline("plan", campaign, "--json", env=NOWHERE).stdout)
    assert (document["frozen"], document["stale"], document["to_make"]) == (1, 0, 0)


def test_a_request_that_was_in_flight_is_continued(tmp_path: Path) -> None:
    """A run of an earlier version was killed: its picture is fetched, and billed once."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = write_campaign(tmp_path, count=1, outputs={}, provider={"name": "fake", "base_url": gateway.url})
        with start(manifest, env=BEFORE) as process:
            wait_for_submits(gateway, 1, process)
            process.kill()
        gateway.faults.polls = 0
        assert run(manifest)["made"] == 1
    assert sum(gateway.state.billed.values()) == 1


def test_a_lost_answer_of_before_stays_uncertain(tmp_path: Path) -> None:
    """An earlier version may have paid for it: today's doesn't ask again by itself."""
    with serving(Faults(submit=lambda n: "drop-after")) as gateway:
        provider = {"name": "fake-none", "base_url": gateway.url}
        manifest = write_campaign(tmp_path, count=1, outputs={}, provider=provider)
        first = run(manifest, env=BEFORE, expect=3)
        again = run(manifest, expect=3)
    assert first["uncertain"] == 1
    assert (again["made"], again["uncertain_cells"], gateway.state.submits) == (0, 1, 1)


def test_a_version_that_forgets_the_keys_of_before_would_pay_again(tmp_path: Path) -> None:
    """The broken variant of the rule above: with version 1 of the keys made unknown, the campaign is owed once more."""
    with serving() as gateway:
        manifest = write_campaign(tmp_path, count=1, outputs={}, provider={"name": "fake", "base_url": gateway.url})
        run(manifest, env=BEFORE)
        assert run(manifest)["made"] == 0
        assert run(manifest, env={"KEYS_VERSION": "of nobody", "KEYS_BEFORE": "forgotten"})["made"] == 1
