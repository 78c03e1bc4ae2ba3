"""Who holds a campaign, and how it is had back from one that doesn't let go."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fakes.campaign import pipeline, write_campaign
from fakes.holding import holding
from fakes.ledgers import filled, made, make
from fakes.virtual import Clock, Time
from fakes.work import HANGS

from pipeline.errors import LedgerLocked
from pipeline.ledger import Holder, check_free, end, held, holder, lock, open_ledger, put_back, read_ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The private folder of a campaign that was run."""
    write_campaign(tmp_path, count=1)
    return filled(tmp_path / "out/test/.pipeline")


def say(folder: Path, text: str) -> None:
    """What the file in the lock's folder says."""
    (folder / "lock").write_text(text)


def test_a_second_one_leaves_at_once_and_says_who_holds_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second of waiting, with pid, host and since when, whether it runs, restores or asks; reading is free."""
    clock = Clock()
    monkeypatch.setattr(sys.modules["pipeline.ledger.lock"], "time", Time(clock))
    with holding(folder) as process:
        who = holder(folder)
        assert who is not None
        assert (who.pid, who.host, who.here) == (process.pid, socket.gethostname(), True)
        words = f"another run holds this campaign (pid {process.pid} on {who.host} since {who.since})"
        for ask in (open_ledger(folder, "test"), put_back(folder, "test")):
            started = clock.now
            with pytest.raises(LedgerLocked) as refused, ask:
                pass
            assert words in str(refused.value)
            assert 0 < clock.now - started < 1
        with pytest.raises(LedgerLocked, match="`pipeline unlock`"):
            check_free(folder)
        assert made(folder) == {0, 1, 100}


def test_a_killed_holder_holds_nothing(folder: Path) -> None:
    """The kernel frees its lock; that its file still names it means nothing."""
    with holding(folder) as process:
        pid = process.pid
    who = holder(folder)
    assert who is not None
    assert (who.pid, who.here) == (pid, False)
    assert not held(folder)
    check_free(folder)
    with open_ledger(folder, "test") as ledger:
        ledger.commit([make(3)])


def test_a_pid_that_is_used_again_is_not_the_holder(folder: Path) -> None:
    """A process is known by when it began, too: nobody else is ended in its place."""
    mine = Holder(os.getpid(), socket.gethostname(), "2026-01-01 00:00:00", 1)
    say(folder, json.dumps(asdict(mine)))
    with holding(folder):
        say(folder, json.dumps(asdict(mine)))
        assert not mine.here
        assert "end it where it runs" in unlock(folder, "--force", expect=1)
        assert held(folder)
    assert "nothing holds this campaign" in unlock(folder, "--force")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 100_000, '{"pid": 1}', '{"pid": "x", "host": "", "since": "", "start": 0}', "\xff"],
)
def test_a_garbled_holder_file_names_nobody(folder: Path, text: str) -> None:
    """The lock holds without it, and is freed without it."""
    with holding(folder):
        say(folder, text)
        assert holder(folder) is None
        with pytest.raises(LedgerLocked, match="a process that didn't say who it is"):
            check_free(folder)
        (folder / "lock").unlink()
        assert held(folder)
        assert "held by a process that did not say who it is" in unlock(folder, "--force", expect=1)
    assert not held(folder)


def unlock(folder: Path, *options: str, expect: int = 0) -> str:
    """``pipeline unlock`` and what it says."""
    done = pipeline("unlock", folder.parent.parent.parent / "campaign.yaml", *options, expect=expect)
    said: str = done.stdout + done.stderr
    assert len(said.splitlines()) == 1
    return said


def test_unlock_where_nothing_is_held(folder: Path) -> None:
    """It says so, though a holder's file lies there."""
    assert (folder / "lock").is_file()
    assert "nothing holds this campaign" in unlock(folder)
    assert "nothing holds this campaign" in unlock(folder, "--force")


def test_unlock_ends_a_stopped_holder_by_force_only(folder: Path) -> None:
    """A process that is stopped (^Z) holds the campaign for ever; --force lets it leave as by Ctrl-C, or kills it."""
    with holding(folder) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert f"held by pid {process.pid}" in unlock(folder, expect=1)
        assert held(folder)
        assert f"ended pid {process.pid}" in unlock(folder, "--force")
        assert process.wait(HANGS) == -signal.SIGTERM
    assert made(folder) == {0, 1, 100}
    with open_ledger(folder, "test"):
        pass


def test_unlock_ends_a_holder_that_does_not_listen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ignores to be asked is killed."""
    monkeypatch.setattr(lock, "ENDS", 0.2)
    script = (
        "import signal, sys; from pathlib import Path; from pipeline.ledger import open_ledger\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with open_ledger(Path(sys.argv[1]), 'test'): print('holding', flush=True); sys.stdin.readline()\n"
    )
    command: Any = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        who = holder(folder)
        assert who is not None
        assert end(who, folder)
        assert process.wait(HANGS) == -signal.SIGKILL


def test_nobody_is_ended_on_another_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pid means something on its own machine only, and a process of somebody else can't be ended."""
    with holding(folder) as process:
        who = holder(folder)
        assert who is not None
        say(folder, json.dumps(asdict(replace(who, host="elsewhere"))))
        assert f"held by pid {process.pid} on elsewhere" in unlock(folder, "--force", expect=1)

        def refuse(pid: int, sign: int) -> None:
            raise PermissionError

        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", refuse)
            assert not end(who, folder)
        assert process.poll() is None
        with read_ledger(folder) as ledger:
            assert ledger is not None
