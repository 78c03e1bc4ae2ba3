"""Which manifest a command is about when none is named, and what the parser says of words that it doesn't know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes.campaign import inside, results, write_campaign

COMMANDS = ["plan", "run", "status", "validate", "report", "verify", "cancel", "restore", "unlock"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A campaign that was run, its house rules, a product file and another program's YAML."""
    manifest = write_campaign(tmp_path, count=1, outputs={"format": ["png"]})
    inside("run", manifest)
    (tmp_path / "house.yaml").write_text("prompts: {other: {text: Put it on a shelf.}}\n")
    (tmp_path / "bowls.yaml").write_text("[{id: a}]\n")
    (tmp_path / "compose.yml").write_text("services: {web: {image: nginx}}\n")
    (tmp_path / "approvals.yaml").write_text("version: 2\ncampaign: test\npictures: {}\n")
    (tmp_path / "broken.yaml").write_text("a: [1\nb: 2\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_campaign_yaml_is_taken_without_being_named(folder: Path, command: str) -> None:
    """Every command about a campaign takes it, whatever else lies there, and says nothing of it."""
    (folder / "approvals.yaml").unlink()
    assert "manifest:" not in inside("-C", folder, command).stderr


@pytest.mark.parametrize("name", ["autumn.yaml", "autumn.yml"])
def test_the_only_manifest_is_taken_and_named(folder: Path, name: str) -> None:
    """House rules that it extends, product files and other programs' files are no manifests."""
    (folder / "approvals.yaml").unlink()
    text = (folder / "campaign.yaml").read_text()
    (folder / "campaign.yaml").unlink()
    (folder / name).write_text(text.replace("{", '{"extends": "house.yaml",', 1))
    assert f"manifest: {name}\n" in inside("-C", folder, "plan").stderr
    assert str(folder / name) in inside("validate", folder).stdout, "a folder stands for its only manifest"


def test_several_manifests_are_listed(folder: Path) -> None:
    """With how to choose; for commands that take several, also that."""
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(folder / "campaign.yaml", folder / name)
    (folder / "campaign.yaml").unlink()
    (folder / "house.yaml").unlink()
    told = "which manifest? There are 2 here: a.yaml, b.yaml; name one: `pipeline {} a.yaml`"
    assert inside("-C", folder, "verify", expect=2).stderr == told.format("verify") + "\n"
    also = ", or several: `pipeline run a.yaml b.yaml`\n"
    assert inside("-C", folder, "run", expect=2).stderr == told.format("run") + also


def test_where_there_is_none_the_next_step_is_named(tmp_path: Path) -> None:
    """`init`, or the manifest in a folder below."""
    assert inside("-C", tmp_path, "plan", expect=2).stderr == (
        "there is no manifest here (a .yaml file with products and prompts); `pipeline init` makes one\n"
    )
    write_campaign(tmp_path / "my campaign", count=1)
    told = inside("-C", tmp_path, "plan", expect=2).stderr
    assert told.endswith("did you mean `pipeline plan 'my campaign/campaign.yaml'`?\n")


def test_adopt_knows_a_manifest_from_a_picture(folder: Path) -> None:
    """The manifest may be named or not, also with options between the words."""
    (folder / "approvals.yaml").unlink()
    picture = f"out/test/{results(folder / 'campaign.yaml')[0]['path']}"
    assert "already" in inside("-C", folder, "adopt", picture).stdout
    assert "already" in inside("-C", folder, "adopt", "campaign.yaml", picture).stdout
    assert "already" in inside("-C", folder, "adopt", "campaign.yaml", "-v", picture).stdout
    assert "which file is missing" in inside("-C", folder, "adopt", "campaign.yaml", expect=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "there is no command 'rnu'; did you mean `pipeline run`?"),
        ("-q valdate m.yaml", "did you mean `pipeline validate m.yaml`?"),
        ("generate m.yaml", "did you mean `pipeline run m.yaml`?"),
        ("-C . campaign.yaml --limit 3", "name the command first: `pipeline run campaign.yaml --limit 3`"),
        ("xyzzy", "there are init, validate, plan, run,"),
        ("run --dry-run", "there is no option --dry-run; `pipeline plan` shows what a run would make"),
        ("run m.yaml --dryrun=1", "`pipeline plan` shows what a run would make"),
        ("run --force", "`--retake GLOB` makes pictures once more"),
        ("run --resume", "`pipeline run` continues by itself"),
        ("run --parallel 8", "`--workers N` is for pictures in work"),
        ("run --output out", "`outputs.folder` in the manifest says where pictures go"),
        ("plan --output plan.json", "there is no option --output; write `-o`"),
        ("run --config m.yaml", "the manifest needs no option: `pipeline run campaign.yaml`"),
        ("run --bugdet 4", "did you mean --budget?"),
        ("run --xyzzy", "there is no option --xyzzy; see `pipeline run --help`"),
        ("verify a.yaml b.yaml", "pipeline verify: 'b.yaml' is one word too many"),
    ],
)
def test_what_people_type_is_answered_with_what_they_meant(words: str, said: str) -> None:
    """One line, exit 2."""
    told = inside(*words.split(), expect=2).stderr
    assert said in told
    assert told.count("\n") == 1
