"""The command line, imported once and forked for every run: cheap to start, and the same files every time.

The names of temporary files hold the time, the process and the thread; here they are numbered, so that a fault can be
aimed at the n-th of them. A run may be held until a tracer has attached to it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.campaign import HERE, environment

PATIENCE = 60.0
"""Seconds after which a run hangs."""


class Steady:
    """The child that forks; a context manager. ``run`` is one run of the command line to its end."""

    def __enter__(self) -> Self:
        self.child = subprocess.Popen(
            [sys.executable, str(HERE / "steady.py")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.close()
        self.child.wait(PATIENCE)
        self.child.stdout.close()

    def run(self, said: Path, *argv: object, attach: Callable[[int], None] | None = None) -> tuple[int, str]:
        """Exit code (negative: the signal it died of) and what was said; ``attach`` is called before it starts.

        A run that nobody attaches to has temporary files of other names.
        """
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write(json.dumps([str(said), [str(word) for word in argv], 1 if attach else 2]) + "\n")
        pid = int(self.child.stdout.readline() or 0)
        if not pid:
            raise RuntimeError("the command line can't be imported")
        hanging = threading.Timer(PATIENCE, os.kill, (pid, 9))
        hanging.start()
        try:
            if attach is not None:
                attach(pid)
            self.child.stdin.write("go\n")
            code = int(self.child.stdout.readline())
        finally:
            hanging.cancel()
        return code, said.read_text("utf-8", "replace")


class _Numbered(ModuleType):
    """A module, some of whose functions answer the same in every run."""

    def __init__(self, module: ModuleType, **functions: Callable[[], int]) -> None:
        super().__init__(module.__name__)
        self._module = module
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)


def _number(run: int) -> None:
    """Number the temporary files: ``.1-N-1.part`` where ``run`` is 1."""
    from pipeline import files, media

    numbers = itertools.count(1)
    for module in (files, media):
        steady = {
            "time": _Numbered(time, monotonic_ns=lambda: next(numbers)),
            "threading": _Numbered(threading, get_ident=lambda: 1),
            "os": _Numbered(os, getpid=lambda: run),
        }
        vars(module).update({name: value for name, value in steady.items() if name in vars(module)})


def _serve() -> None:
    import httpx

    import fakes.runner  # noqa: F401  # the fake dialects
    from pipeline import publish  # noqa: F401  # all that a command imports later, now
    from pipeline.cli import commands, main, progress, running, trust  # noqa: F401

    httpx.AsyncClient()  # imports what it needs

    def tell(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    while line := sys.stdin.readline():
        said, argv, run = json.loads(line)
        wait, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.read(wait, 1)
            _number(run)
            sys.exit(main(argv))
        os.close(wait)
        tell(child)
        sys.stdin.readline()
        os.close(go)
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    _serve()
