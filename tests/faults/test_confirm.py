"""``confirm_above``: a dear run asks on a terminal, fails with a hint without one, and calls nobody before a yes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import command, edit, environment, write_campaign
from fakes.gateway import Faults
from fakes.till import PRICE, Office, Till
from fakes.work import HANGS

from pipeline.emulator import GATEWAYS

OUTPUTS = {"aspect_ratio": ["1:1"], "format": ["png"]}
QUESTION = "this run may cost $0.084, more than budget.confirm_above ($0.08). Go on? [y/N] "
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Where runs without a terminal are run from."""
    with Office(tmp_path_factory.mktemp("office")) as office:
        yield office


def campaign(folder: Path, till: Till, **keys: Any) -> Path:
    """Three pictures, $0.084, where more than $0.08 is to be confirmed."""
    pool = [{"name": "fake", "base_url": till.url}]
    given = {"providers": pool, "outputs": OUTPUTS, "budget": {"confirm_above": 0.08}} | keys
    return write_campaign(folder, count=3, **given)


def answered(manifest: Path, answer: bytes) -> tuple[int, str]:
    """``pipeline run`` on a terminal of its own, where this is typed at the question: exit code and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *command("run", manifest)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while (part := _read(ours)) != b"":
            shown += part
            if answer and QUESTION.encode() in shown:
                os.write(ours, answer)
                answer = b""
    finally:
        os.close(ours)
    return process.wait(HANGS), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: nobody is at the other end any more
        return b""


@pytest.mark.parametrize(
    ("answer", "code", "last"),
    [
        (b"y\n", 0, "3 pictures made"),
        (b"\n", 1, "not confirmed: nothing was started, nothing was paid"),
        (b"\x04", 1, "not confirmed"),  # end of file
        (b"\x03", 130, "interrupted; run again to continue"),  # Ctrl-C
    ],
)
def test_the_question_on_a_terminal(tmp_path: Path, office: Office, answer: bytes, code: int, last: str) -> None:
    """Only a yes goes on; whatever else is said, nobody was called, and the campaign is free for the next run."""
    with office.till() as till:
        manifest = campaign(tmp_path, till)
        ended, shown = answered(manifest, answer)
        assert (ended, till.bill) == (code, 0 if code else 3 * PRICE), shown
        assert last in shown
        assert shown.count(QUESTION) == 1
        assert till.state.submits == (0 if code else 3)
        if code:
            assert office.run(manifest, "--yes").code == 0


@pytest.mark.parametrize("terminal", ["none", "open pipe", "only standard error"])
def test_without_a_terminal_it_fails_with_a_hint(tmp_path: Path, office: Office, terminal: str) -> None:
    """Exit 1 with what to say instead, nothing called; it waits for nobody: whoever could answer says nothing."""
    ours, theirs = pty.openpty()
    with office.till() as till:
        manifest = campaign(tmp_path, till)
        process = subprocess.Popen(
            command("run", manifest),
            stdin=subprocess.DEVNULL if terminal == "none" else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=theirs if terminal == "only standard error" else subprocess.PIPE,
            env=environment(),
        )
        assert process.wait(HANGS) == 1
        said = _read(ours) if process.stderr is None else process.stderr.read()
        for end in (process.stdin, process.stdout, process.stderr):
            if end:
                end.close()
        os.close(ours)
        os.close(theirs)
        assert b"may cost $0.084, more than budget.confirm_above ($0.08): say --yes, or --budget USD for less" in said
        assert b"nothing was started" in said
        assert till.state.submits == 0


@pytest.mark.parametrize(
    ("budget", "options", "code"),
    [
        ({"confirm_above": 0.084}, [], 0),
        ({"confirm_above": 0}, ["--yes"], 0),
        ({"confirm_above": 0.08}, ["--budget", "0.08"], 4),
        ({"confirm_above": 0.08}, ["--budget", "0.081"], 1),
        ({"confirm_above": 0.08, "run_usd": 0.06}, [], 4),
        ({"confirm_above": 0.08, "set_usd": {"things": 0.06}}, [], 4),
        ({"confirm_above": 0.08}, ["--limit", "2"], 0),
    ],
)
def test_what_is_asked(tmp_path: Path, office: Office, budget: dict[str, Any], options: list[str], code: int) -> None:
    """Only what may really cost more than that, after all caps and choices."""
    with office.till() as till:
        done = office.run(campaign(tmp_path, till, budget=budget), *options)
        assert done.code == code, done.text
        assert ("say --yes" in done.text) == (code == 1) == (till.bill == 0)


def test_a_saved_plan_asks_too(tmp_path: Path, office: Office) -> None:
    """It is what `plan` prices and a machine runs at night."""
    with office.till() as till:
        manifest = campaign(tmp_path, till)
        assert office.tell("plan", manifest, "-o", tmp_path / "plan.json").code == 0
        stopped = office.run(tmp_path / "plan.json")
        assert (stopped.code, till.bill) == (1, 0)
        assert "say --yes" in stopped.text
        assert office.run(tmp_path / "plan.json", "--yes").code == 0


def test_what_is_free_is_never_asked(tmp_path: Path, office: Office) -> None:
    """Proofs and rehearsals cost nothing; neither does what an earlier run has paid."""
    with office.till(Faults(polls=10**9)) as till:
        manifest = campaign(tmp_path, till, budget={"confirm_above": 0})
        edit(manifest, providers=["local"])
        assert office.run(manifest, "--only", "p0").code == 0
        edit(manifest, providers=["runware"], model="kling-image-o1", campaign="rehearsed")
        assert "runware" in GATEWAYS
        assert office.tell("run", manifest, "--emulate", "--emulate-speed", "100").code == 0
        paid = campaign(tmp_path / "paid", till, budget={"confirm_above": 0})
        assert office.killed(paid, ["polled"], 3, "--yes", "--only", "p0")
        till.faults.polls = 0
        assert office.run(paid, "--only", "p0").code == 0
        assert till.bill == PRICE


def test_the_dearest_of_a_pool_is_what_it_may_cost(tmp_path: Path, office: Office) -> None:
    """The first provider would be below it, the one that may take over isn't."""
    with office.till() as till:
        cheap = {"name": "cheap", "gateway": "fake", "base_url": till.url}
        dear = {"name": "dear", "gateway": "fake-none", "base_url": till.url, "usd": 0.05}
        manifest = campaign(tmp_path, till, providers=[cheap, dear], budget={"confirm_above": 0.1})
        assert "may cost $0.15, more than" in office.run(manifest).text
        edit(manifest, budget={"confirm_above": 0.15})
        assert office.run(manifest).code == 0
