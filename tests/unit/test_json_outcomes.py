"""With --json every outcome is exactly one JSON document; and what a failed night says with -q, and in a log."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import command, edit, environment, pipeline, run, write_campaign
from fakes.gateway import FakeGateway, Faults, serving
from fakes.work import HANGS

PNG = {"aspect_ratio": ["1:1"], "format": ["png"]}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """A gateway at $0.028 a picture, which refuses prompts about swans."""
    with serving(Faults(refuse=lambda prompt: "swan" in prompt)) as gateway:
        yield gateway


def paid(folder: Path, gateway: FakeGateway, *, count: int = 2, text: str = "a table", **keys: Any) -> Path:
    """A campaign at the gateway."""
    provider = {"name": "fake", "base_url": gateway.url, "concurrency": 2}
    prompts = {"table": {"text": f"Place @Image1 on {text}."}}
    return write_campaign(folder, count=count, provider=provider, outputs=PNG, prompts=prompts, **keys)


def outcome(*arguments: object, expect: int) -> dict[str, Any]:
    """The document of a command that ends so."""
    document: dict[str, Any] = json.loads(pipeline(*arguments, "--json", expect=expect).stdout)
    assert document["exit_code"] == expect
    assert document["ok"] is (expect in (0, 5))
    return document


def test_mistakes_of_a_manifest(tmp_path: Path) -> None:
    """Each with its file, line and column, whatever the command."""
    manifest = write_campaign(tmp_path, count=1, campaign="not a name!")
    for name in ("run", "plan", "status", "verify"):
        document = outcome(name, manifest, expect=1)
        assert document["kind"] == "ManifestError"
        (problem,) = document["problems"]
        assert (problem["file"], problem["line"], problem["path"]) == (str(manifest), 3, "campaign")
        assert problem["fact"] in document["error"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["--limit", "-1"], "UsageError"),
        (["--dry-run"], "UsageError"),
        (["--only", "p9"], "NothingSelected"),
        (["--executor", "nope"], "UsageError"),
        (["nowhere.yaml", "twice.json"], None),
    ],
)
def test_bad_command_lines(tmp_path: Path, words: list[str], kind: str | None) -> None:
    """Also those that the parser itself refuses, and a folder without a manifest."""
    manifest = write_campaign(tmp_path, count=1)
    if kind is None:
        outcome("-C", tmp_path, "run", *words, expect=1)
        return
    document = outcome("run", manifest, *words, expect=2)
    assert (document["kind"], document["problems"]) == (kind, [])
    manifest.unlink()
    assert "no manifest here" in outcome("-C", tmp_path, "plan", expect=2)["error"]


def test_a_folder_and_a_ledger_that_cant_be_used(tmp_path: Path) -> None:
    """Storage and ledger errors by their kind."""
    manifest = write_campaign(tmp_path, count=1, outputs=PNG)
    run(manifest)
    ledger = tmp_path / "out/test/.pipeline/ledger.sqlite"
    ledger.write_bytes(b"x" * 5000)
    assert outcome("run", manifest, expect=1)["kind"] == "LedgerError"
    never = write_campaign(tmp_path / "never", count=1)
    (never.parent / "out").write_text("in the way")
    assert "out" in outcome("run", never, expect=1)["error"]
    assert outcome("-C", tmp_path / "nope", "plan", expect=1)["kind"] == "PipelineError"
    assert outcome("verify", write_campaign(tmp_path / "new", count=1), expect=1)["error"].endswith("nothing to verify")


def test_a_plan_that_cant_be_saved_is_one_document(tmp_path: Path) -> None:
    """Not the plan and then the error."""
    manifest = write_campaign(tmp_path, count=1, outputs=PNG)
    document = outcome("plan", manifest, "-o", tmp_path / "nowhere/plan.json", expect=1)
    assert "can't be written" in document["error"]


def test_failures_are_listed_with_their_reasons(tmp_path: Path, gateway: FakeGateway) -> None:
    """Labels, states and reasons of all that is not done, and money as numbers."""
    document = outcome("run", paid(tmp_path, gateway, text="a swan"), expect=3)
    assert [each["label"] for each in document["failures"]] == ["p0/table/1x1/1K/v1.png", "p1/table/1x1/1K/v1.png"]
    assert {each["state"] for each in document["failures"]} == {"failed"}
    assert all(each["reason"] for each in document["failures"])
    assert all(isinstance(value, int | float) for name, value in document.items() if name.endswith("usd"))


def test_a_budget_stop_names_the_cap_and_what_is_left(tmp_path: Path, gateway: FakeGateway) -> None:
    """Numbers, not words."""
    manifest = paid(tmp_path, gateway, count=3, budget={"usd": 0.03})
    document = outcome("run", manifest, "--budget", "10", expect=4)
    assert document["reached"] == ["budget.usd"]
    assert document["caps"] == [
        {"name": "budget.usd", "usd": 0.03, "left_usd": pytest.approx(0.002), "reached": True},
        {"name": "--budget", "usd": 10.0, "left_usd": pytest.approx(9.972), "reached": False},
    ]
    assert [each["state"] for each in document["failures"]] == ["stopped", "stopped"]
    assert document["failures"][0]["reason"] == "no room within budget.usd"


def test_nothing_to_do_and_work_to_do(tmp_path: Path) -> None:
    """Both went well."""
    manifest = write_campaign(tmp_path, count=1, outputs=PNG)
    assert outcome("plan", manifest, "--detailed-exitcode", expect=5)["to_make"] == 1
    outcome("run", manifest, expect=0)
    assert outcome("run", manifest, expect=0)["failures"] == []
    assert outcome("status", manifest, expect=0)["manifest"] == str(manifest)


@pytest.mark.parametrize("signals", [1, 2])
def test_an_interrupted_run_says_so(tmp_path: Path, signals: int) -> None:
    """Left cleanly or at once: one document with 130."""
    with serving(Faults(polls=10**9)) as gateway:
        manifest = paid(tmp_path, gateway)
        given = command("run", manifest, "--json")
        pipe = subprocess.PIPE
        with subprocess.Popen(given, env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
            while gateway.state.polls < 2:
                assert process.poll() is None, process.communicate()
            assert process.stderr is not None
            process.send_signal(signal.SIGINT)
            while "stopping" not in (line := process.stderr.readline()):
                assert line
            if signals == 2:  # it may have left before this comes
                process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=HANGS)
    document = json.loads(out)
    assert (process.returncode, document["exit_code"], document["ok"]) == (130, 130, False)


def test_a_quiet_night_that_failed_says_what_failed(tmp_path: Path, gateway: FakeGateway) -> None:
    """One line each, only so many, and the next step; nothing at all when all went well."""
    manifest = paid(tmp_path, gateway, count=25, text="a swan")
    done = pipeline("run", manifest, "-q", expect=3)
    lines = done.stderr.splitlines()
    assert all(re.match(f"{STAMP} test: ", line) for line in lines)
    told = [re.sub(f"{STAMP} test: ", "", line) for line in lines]
    assert told[0].startswith("0 of 25 cells done · 25 failed")
    assert sum(line.startswith("failed: p") for line in told) == 20
    assert told[1].startswith("failed: p0/table/1x1/1K/v1.png: ")
    assert told[-2] == "… and 5 more pictures: results.jsonl lists all"
    assert told[-1] == f"next: `pipeline run {manifest} --retry-failed` asks again for what failed"
    edit(manifest, prompts={"table": {"text": "Place @Image1 on a table."}})
    assert pipeline("run", manifest, "-q").stderr == ""


def test_a_quiet_night_that_the_budget_stopped_says_so(tmp_path: Path, gateway: FakeGateway) -> None:
    """The cap, and what to do."""
    told = pipeline("run", paid(tmp_path, gateway), "-q", "--budget", "0.03", expect=4).stderr
    assert "stopped: p1/table/1x1/1K/v1.png: no room within --budget" in told
    assert "stopped by the budget (--budget $0.03" in told


def test_a_log_says_when_and_which_campaign(tmp_path: Path) -> None:
    """Every line of a run that no terminal shows; mistakes stay as editors read them."""
    manifest = write_campaign(tmp_path, count=2, outputs=PNG)
    lines = pipeline("run", manifest).stderr.splitlines()
    assert lines
    assert all(re.match(f"{STAMP} test: .", line) for line in lines), lines
    assert "%|" not in "".join(lines), "no bar"
    (tmp_path / "p1.png").unlink()
    assert pipeline("run", manifest, expect=1).stderr.startswith(f"{manifest}:")
