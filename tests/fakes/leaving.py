"""A run that is told to leave at a certain moment, how it left, and what the next run made of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fakes.at_work import at_work
from fakes.campaign import HERE, environment, results, wait_for_line, write_campaign
from fakes.gateway import FakeGateway, Faults, _Handler
from fakes.pausing import LATE
from fakes.work import HANGS

PICTURES = 12
AT_ONCE = 4
PATIENCE, ENDLESS = 1.0, 1e6
"""Seconds that what is under way gets to end: where it never does; and where the run must end without waiting."""
Held = Literal["turn", "answer", "end", "image"]


@dataclass(frozen=True, slots=True)
class Moment:
    """When the signal comes: while the gateway holds something back, while the command line is held at a place, or so
    many seconds ``after`` its start. ``released``: what is held goes on once the signal was given.
    """

    holds: Held | None = None
    pause: str = ""
    released: bool = False
    after: float | None = None

    @property
    def engaged(self) -> bool:
        """Whether the engine is at work: then the first signal lets it end what it has begun."""
        return self.holds is not None or self.pause == "writing"

    @property
    def endless(self) -> bool:
        """Whether what is under way never ends, so that the run leaves when its patience is over."""
        return self.engaged and self.holds not in ("turn", "end") and not self.released


MOMENTS: dict[str, Moment] = {
    "planning": Moment(pause="planning"),
    "waiting for its turn": Moment(holds="turn"),
    "an answer that comes late": Moment(holds="answer", released=True),
    "an answer that never comes": Moment(holds="answer"),
    "polling": Moment(holds="end"),
    "a download that drips": Moment(holds="image"),
    "writing pictures": Moment(pause="writing", released=True),
    "a disk that hangs": Moment(pause="writing"),
    "publishing": Moment(pause="publishing"),
}


@dataclass(frozen=True, slots=True)
class Left:
    """How a run left, and what came after. Money in pictures."""

    code: int
    late: int  # paid calls that left after the (first) signal
    said: str
    next_code: int
    next_said: str
    done: int
    billed: Counter[str]

    @property
    def complete(self) -> bool:
        """Whether the next run made what was left, and nothing was paid twice."""
        return self.next_code == 0 and self.done == PICTURES and set(self.billed.values()) == {1}


class _Holding(_Handler):
    server: Gateway

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        if self.command == "POST":
            self.server.hold("answer")
        with contextlib.suppress(OSError):
            super().answer(status, value, headers)

    def raw(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        if kind != "image/png" or self.server.holds != "image":
            super().raw(status, data, kind, headers)
            return
        self.server.held["image"] += 1
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.server.release.wait(0.2)


class Gateway(FakeGateway):
    """The fake gateway, which holds back answers, the end of its jobs, or images."""

    def __init__(self, holds: Held | None) -> None:
        super().__init__(Faults(polls=10**9 if holds == "end" else 0))
        if holds == "turn":
            self.faults.submit = lambda n: (429, {"retry-after": "2"})
        self.RequestHandlerClass = _Holding
        self.holds = holds
        self.held: Counter[str] = Counter()
        self.release = threading.Event()

    def hold(self, what: str) -> None:
        """Wait, if this is held back."""
        if self.holds == what:
            self.held[what] += 1
            self.release.wait(HANGS)

    def reached(self) -> bool:
        """Whether it holds enough back."""
        if self.holds == "turn":
            return self.state.submits >= AT_ONCE
        return self.state.polls >= AT_ONCE if self.holds == "end" else self.held[str(self.holds)] >= 1


def leave(folder: Path, moment: Moment, sign: signal.Signals, *, twice: bool = False) -> Left:
    """A run that gets a signal at a moment, or two of them, and the run after it."""
    with holding(Gateway(moment.holds)) as gateway:
        provider = {"name": "fake", "base_url": gateway.url, "concurrency": AT_ONCE}
        outputs = {"aspect_ratio": ["1:1"], "format": ["png"]}
        manifest = write_campaign(folder, count=PICTURES, provider=provider, outputs=outputs)
        patience = PATIENCE if moment.endless and not twice else ENDLESS
        with _held_at(moment, manifest, gateway, patience) as (process, go):
            process.send_signal(sign)
            said = ""
            if moment.released or twice:
                said = wait_for_line(process, "stopping")
            if twice:
                process.send_signal(sign)
            elif moment.released:
                gateway.release.set()
                go()
            try:
                said += process.communicate(timeout=HANGS)[1]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # and it says where it hangs
                said += process.communicate()[1]
        gateway.release.set()
        gateway.holds, gateway.faults = None, Faults(polls=0)
        after = subprocess.run(command(manifest, "runner.py"), **PIPES, timeout=HANGS, check=False)
        done = 0
        with contextlib.suppress(FileNotFoundError):
            done = sum(cell["state"] == "done" for cell in results(manifest))
        billed = Counter(gateway.state.billed)
    return Left(process.returncode, said.count(LATE), said, after.returncode, after.stderr, done, billed)


PIPES: dict[str, Any] = {
    "env": environment() | {"PYTHONFAULTHANDLER": "1"},
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def command(manifest: Path, program: object, *words: object) -> list[str]:
    """A run of a manifest by one of the programs of this folder."""
    return [sys.executable, str(HERE / str(program)), *map(str, words), "run", str(manifest), "--allow-private"]


@contextlib.contextmanager
def _held_at(
    moment: Moment, manifest: Path, gateway: Gateway, patience: float
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], None]]]:
    """A run that has come to where something is held, and what lets it go on."""
    told, ready = os.pipe()
    wait, go = os.pipe()
    with contextlib.ExitStack() as ends:
        ends.callback(os.close, told)
        let_go = contextlib.ExitStack()
        let_go.callback(os.close, go)
        ends.push(let_go)
        words = command(manifest, "pausing.py", moment.pause, ready, wait, patience)
        process = subprocess.Popen(words, **PIPES, pass_fds=(ready, wait))
        os.close(ready)
        os.close(wait)
        if moment.after is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment.after)
        elif moment.pause:
            assert os.read(told, 1) == b".", process.communicate()
        else:
            while not gateway.reached():
                assert process.poll() is None, process.communicate()
                os.sched_yield()
        yield process, let_go.close


@contextlib.contextmanager
def holding(gateway: Gateway) -> Iterator[Gateway]:
    """This gateway at work; in the end it lets go of what it holds."""
    with at_work(gateway):
        try:
            yield gateway
        finally:
            gateway.release.set()
