"""The real command line in real processes, forked from one that has imported everything: a start costs milliseconds.

`python -m soak.forks` is that process. It has no threads and no event loop; it reads a task per line, forks, says the
child's pid, waits for its end and says the exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from fakes.campaign import HERE, environment

from pipeline.gateways.aimlapi import Aimlapi
from pipeline.gateways.eachlabs import Eachlabs
from soak.points import Trip, lay_seams

LONGEST = 120.0
"""Seconds that a run of a few pictures may take, on a machine that does other things too."""


class Child:
    """A process that was forked; ended or not, its pid is never mistaken for another's."""

    def __init__(self, pid: int, server: subprocess.Popen[str]) -> None:
        self._server = server
        self._lock = threading.Lock()  # a handle that is closed may be another file's a moment later
        self._handle: int | None = None
        with contextlib.suppress(ProcessLookupError):  # it was fast
            self._handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """`kill -9`, and it is dead when this returns."""
        with self._lock:
            if self._handle is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                self.ended(None)

    def ended(self, seconds: float | None) -> bool:
        """Whether it ends within so many seconds."""
        return self._handle is None or bool(select.select([self._handle], [], [], seconds)[0])

    def code(self) -> int:
        """Wait for its end: its exit code, or minus the signal that ended it."""
        if not self.ended(LONGEST):
            self.kill()
            raise TimeoutError(f"a run of a few pictures took longer than {LONGEST:g} s")
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
        return int(_line(self._server))


class Forks:
    """A process to fork from. ``log`` gets what the last child printed."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        paths = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
        self.log = log
        self._server = subprocess.Popen(
            [sys.executable, "-m", "soak.forks", str(log)],
            env=environment() | env | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(self, argv: Sequence[str], passages: Iterable[str] = (), nth: int = 0) -> Child:
        """Run a command; it kills itself at the n-th of these passages."""
        assert self._server.stdin is not None
        task = {"argv": list(argv), "passages": list(passages), "nth": nth, "seed": random.randrange(2**32)}
        self._server.stdin.write(json.dumps(task) + "\n")
        self._server.stdin.flush()
        return Child(int(_line(self._server)), self._server)


def _line(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise RuntimeError("the process to fork from is gone")
    return line


# ── the process that is forked ──────────────────────────────────────────────────────────────────


def serve(log: str) -> None:
    """Fork a child per line of the standard input."""
    _warm()
    for line in sys.stdin:
        task = json.loads(line)
        pid = os.fork()
        if not pid:
            _be(task, log)
        print(pid, flush=True)  # noqa: T201  # that is its answer
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201  # likewise


def _warm() -> None:
    """Import, once for all, what a run imports late, and read what it reads of this machine."""
    for late in (
        "fakes.runner",
        "pipeline.cli.commands",
        "pipeline.cli.running",
        "pipeline.cli.progress",
        "pipeline.run",
        "pipeline.publish",
    ):
        importlib.import_module(late)  # the first for its short waits
    ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]  # the same, once
    ssl.create_default_context()
    # Before a run goes on after a kill, the gateway has dealt with all that reached it: nothing comes later.
    Aimlapi.patience = Eachlabs.patience = 0.3  # type: ignore[misc]
    gc.collect()
    gc.freeze()


def _be(task: dict[str, Any], log: str) -> None:
    """The child: the command line, then the end; it never returns."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        random.seed(task["seed"])
        if task["passages"]:
            trip = Trip(task["passages"], task["nth"], lambda: os.kill(os.getpid(), signal.SIGKILL))
            lay_seams(trip.passing)
        from pipeline.cli import main

        code = main(task["argv"])
        sys.stdout.flush()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
