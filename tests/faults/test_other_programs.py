"""What other programs say in another encoding, or not at all, never ends a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.campaign import command, environment, pipeline, run, write_campaign

from pipeline.ledger import Holder
from pipeline.publish import showing


def git(folder: Path, *words: str | bytes) -> None:
    """Run Git in a folder."""
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A manifest in a repository of somebody whose name is in Latin-1."""
    manifest = write_campaign(tmp_path, count=1)
    git(tmp_path, "init", "-q")
    with (tmp_path / ".git/config").open("ab") as config:
        config.write(b"[user]\n\tname = Jos\xe9\n\temail = jose@example.com\n[core]\n\tquotePath = false\n")
    return manifest


def test_a_name_that_is_not_utf_8_is_none(campaign: Path) -> None:
    """The run ends as always, with its sheet; so do all who ask for the name."""
    assert run(campaign)["done"] == 4
    assert (campaign.parent / "out/test/report.html").is_file()
    pipeline("report", campaign)
    assert showing.git_user(campaign.parent) == ""


def test_a_changed_file_whose_name_is_not_utf_8_is_a_change(campaign: Path) -> None:
    """The sheet says that the commit is not what was run."""
    folder = campaign.parent
    odd = os.fsencode(folder) + b"/caf\xe9.txt"
    with open(odd, "wb") as file:  # noqa: PTH123  # bytes are no path
        file.write(b"one")
    git(folder, "add", campaign.name, odd)
    git(folder, "commit", "-qm", "all")
    commit = showing.git_commit(campaign)
    assert commit is not None
    assert not commit.endswith("+")
    with open(odd, "wb") as file:  # noqa: PTH123  # as above
        file.write(b"two")
    assert showing.git_commit(campaign) == f"{commit}+"


@pytest.mark.parametrize(("said", "name"), [(b"Jos\xc3\xa9", "José"), (b"A\x1b[31m", r"A\x1b[31m"), (b"\xff", "")])
def test_a_name_does_nothing_to_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, name: str
) -> None:
    """UTF-8 is read, control characters come out as escapes."""
    fake = tmp_path / "git"
    fake.write_bytes(b"#!" + os.fsencode(sys.executable) + b"\nimport os\nos.write(1, " + repr(said).encode() + b")\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert showing.git_user(tmp_path) == name


def test_a_program_that_fails_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Git, or one that can't be run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (showing.git_user(tmp_path), showing.git_commit(tmp_path / "m.yaml")) == ("", None)


def test_a_host_whose_name_is_not_utf_8_can_be_named() -> None:
    """Python gives its bytes as lone surrogates, which no output takes."""
    assert str(Holder(1, "caf\udce9", "today")) == r"pid 1 on caf\udce9 since today"


def test_a_campaign_in_a_folder_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """It is made, reported and sent like any other."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    manifest = write_campaign(folder, count=1)
    for words in (["run"], ["report"], ["report", "-o", tmp_path / "sheet.zip"], ["verify"]):
        line = command(words[0], manifest, *words[1:])
        done = subprocess.run(line, env=environment(), capture_output=True, check=False)  # its path comes as bytes
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
