"""Standard streams that are closed, full, broken or of another encoding: nothing that is only said ends a command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from fakes.campaign import command, edit, environment, pipeline, results, write_campaign
from fakes.work import HANGS
from tqdm import tqdm

from pipeline.cli.streams import guarded


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """One product in a kitchen with an umlaut, one picture."""
    prompts = {"table": {"vary": {"scene": ["Küche → Flur"]}, "text": "Place @Image1 in a {{ scene }}."}}
    return write_campaign(tmp_path, count=1, prompts=prompts, outputs={"format": ["png"]})


def shell(words: list[object], streams: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a shell with streams as written there; never a traceback."""
    line = f"set -o pipefail; {shlex.join(command(*words))} {streams}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment() | env, timeout=HANGS, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize(
    "streams",
    ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| true", "2>&1 | true"],
)
def test_a_run_that_is_done_ends_well_though_nobody_listens(manifest: Path, streams: str) -> None:
    """Everything is made and recorded, exit 0, and the ledger holds nothing that was printed."""
    done = shell(["run", manifest], streams)
    assert done.returncode == 0, done.stderr
    assert [line["state"] for line in results(manifest)] == ["done"]
    pipeline("verify", manifest)


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        (">/dev/full", 1, "the result can't be written to standard output: No space left on device\n"),
        (">&-", 0, "the result can't be written to standard output: it is closed\n"),
        ("--detailed-exitcode >&-", 5, "the result can't be written to standard output: it is closed\n"),
        ("--json >/dev/full", 1, "the JSON document can't be written to standard output: No space left on device\n"),
        ("--json >&-", 1, "the JSON document can't be written to standard output: it is closed\n"),
        ("| true", 128 + 13, ""),
    ],
)
def test_a_result_that_cant_be_written_is_one_clear_line(manifest: Path, streams: str, code: int, said: str) -> None:
    """What `plan` is for is what it prints: exit 1, but for who closed the stream to get the exit code only."""
    if streams.startswith("|"):
        manifest = write_campaign(manifest.parent, count=8, outputs={"variants": 50})
    done = shell(["plan", manifest, *(["-v"] if streams.startswith("|") else [])], streams)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_lost_document_of_a_run_is_an_error(manifest: Path) -> None:
    """The pictures are made, and a script learns from the exit code that its document is not there."""
    done = shell(["run", manifest, "--json"], ">/dev/full")
    assert done.returncode == 1
    assert "the JSON document can't be written" in done.stderr
    assert [line["state"] for line in results(manifest)] == ["done"]


def test_help_that_cant_be_written_is_an_error() -> None:
    """Also what the parser itself prints."""
    done = shell(["plan", "--help"], ">/dev/full")
    assert (done.returncode, done.stderr) == (1, "this can't be written to standard output: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16", "utf-8", "ascii:strict"])
def test_a_document_is_json_in_any_encoding(manifest: Path, encoding: str) -> None:
    """UTF-8 or escapes, whatever the terminal has, so that any reader of JSON gets the same."""
    done = subprocess.run(
        command("plan", manifest, "--json"),
        capture_output=True,
        env=environment() | {"PYTHONIOENCODING": encoding},
        timeout=HANGS,
        check=True,
    )
    label = json.loads(done.stdout.decode("utf-8"))["steps"][0]["label"]
    assert label == "p0/table/Küche-Flur/1x1/1K/v1.png"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_text_comes_out_in_a_poor_encoding(manifest: Path, encoding: str) -> None:
    """Our own signs are said in ASCII, a name as escapes; a run ends as it does anywhere."""
    poor = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    shown = subprocess.run(
        command("plan", manifest, "-v"), capture_output=True, env=environment() | poor, timeout=HANGS, check=True
    ).stdout.decode(encoding)
    assert ("K\\xfcche" if encoding == "ascii" else "Küche") in shown
    assert (" - " if encoding == "ascii" else " · ") in shown
    subprocess.run(command("run", manifest), capture_output=True, env=environment() | poor, timeout=HANGS, check=True)


def test_a_c_locale_is_no_reason_to_fail(manifest: Path) -> None:
    """As in cron and small containers."""
    assert json.loads(pipeline("run", manifest, "--json", env={"LC_ALL": "C"}).stdout)["made"] == 1
    assert [line["state"] for line in results(manifest)] == ["done"]


def test_a_progress_bar_outlives_its_terminal() -> None:
    """What a bar draws on a terminal that is gone is dropped, and the first error is remembered."""
    far, near = os.openpty()
    stream = guarded(near, None)
    stream.lost = None  # it was open until now
    os.close(far)
    for _ in tqdm(range(3), file=stream, mininterval=0):
        stream.write("· a line\n")
    stream.flush()
    assert isinstance(stream.lost, OSError)
    os.close(near)


def test_a_pipe_that_does_not_wait_is_waited_for(manifest: Path) -> None:
    """Another program's choice, as of Node: a long document arrives whole."""
    edit(manifest, outputs={"variants": 100, "format": ["png", "webp", "jpeg"]})
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    process = subprocess.Popen(command("plan", manifest, "--json"), env=environment(), stdout=theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as told:
        assert len(json.loads(told.read())["steps"]) == 300
    assert process.wait(HANGS) == 0
