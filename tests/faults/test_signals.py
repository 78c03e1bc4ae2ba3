"""A run that is told to leave: no more paid calls, no longer wait than it has to, and nothing that was paid is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.campaign import wait_for_line, write_campaign
from fakes.leaving import MOMENTS, PATIENCE, PIPES, Gateway, Left, command, holding, leave
from fakes.work import HANGS
from soak.signals import judged

from pipeline.engine.core import LEAVE_SECONDS

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def check(folder: Path, moment: str, sign: signal.Signals, *, twice: bool = False) -> Left:
    """A run that gets this signal at this moment keeps every promise; how it left."""
    left = leave(folder, MOMENTS[moment], sign, twice=twice)
    trial = judged((MOMENTS[moment], sign, twice), left)
    assert trial.fine, str(trial)
    return left


@pytest.mark.parametrize(
    ("moment", "sign"),
    [
        ("planning", INT),
        ("planning", TERM),
        ("waiting for its turn", INT),
        ("an answer that comes late", TERM),
        ("polling", HUP),
        ("writing pictures", INT),
        ("publishing", INT),
        ("publishing", HUP),
    ],
)
def test_a_signal_at_any_stage_loses_nothing(tmp_path: Path, moment: str, sign: signal.Signals) -> None:
    """Out without waiting for anything, no paid call after it, and the next run completes it without paying again."""
    check(tmp_path, moment, sign)


def test_what_never_ends_is_left_when_its_time_is_up(tmp_path: Path) -> None:
    """A paid call without an answer, a download that drips and a disk that hangs: all three are left."""
    assert LEAVE_SECONDS < 10
    stuck = {"an answer that never comes": INT, "a download that drips": TERM, "a disk that hangs": HUP}

    def one(moment: str) -> Left:
        return check(tmp_path / moment, moment, stuck[moment])

    with ThreadPoolExecutor(len(stuck)) as pool:
        assert [left.code for left in pool.map(one, stuck)] == [130, 130, 130]


@pytest.mark.parametrize(
    ("moment", "sign"),
    [("an answer that never comes", TERM), ("a download that drips", HUP), ("a disk that hangs", INT)],
)
def test_a_second_signal_leaves_at_once(tmp_path: Path, moment: str, sign: signal.Signals) -> None:
    """Whatever is under way, nothing is waited for any more, and what was paid is found again."""
    check(tmp_path, moment, sign, twice=True)


def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    """Where SIGHUP is ignored from the start, as under nohup, it stays ignored."""
    with holding(Gateway("end")) as gateway:
        provider = {"name": "fake", "base_url": gateway.url}
        manifest = write_campaign(tmp_path, count=1, provider=provider, outputs={"format": ["png"]})
        shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command(manifest, "runner.py")]
        process = subprocess.Popen(shell, **PIPES)
        try:
            while not gateway.state.polls:
                assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGHUP)
            seen = gateway.state.polls + 3
            while process.poll() is None and gateway.state.polls < seen:
                os.sched_yield()
            gateway.faults.polls = 0
            _, said = process.communicate(timeout=HANGS)
        finally:
            process.kill()
    assert process.returncode == 0, said


@pytest.mark.parametrize("sign", [TERM, HUP])
def test_a_signal_to_the_whole_group_is_one_to_the_run(tmp_path: Path, sign: signal.Signals) -> None:
    """A service manager and a closing terminal tell the worker processes too: it is an interrupted run all the same."""
    with holding(Gateway("image")) as gateway:
        provider = {"name": "fake", "base_url": gateway.url, "concurrency": 2}
        manifest = write_campaign(tmp_path, count=4, provider=provider, outputs={"format": ["png"]})
        words = [*command(manifest, "pausing.py", "", 0, 0, PATIENCE), "--executor", "processes"]
        process = subprocess.Popen(words, **PIPES, start_new_session=True)
        try:
            while not gateway.reached():
                assert process.poll() is None, process.communicate()
                os.sched_yield()
            os.killpg(process.pid, sign)
            code = process.wait(HANGS)
            said = wait_for_line(process, "interrupted: run again")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert code == 130, said
