"""A judge of hostile input: runs the command line on it in a process of its own, and measures what that took.

One child imports the pipeline once and forks for every trial, so that a trial costs milliseconds, starts from the same
idle memory, and can be killed when it hangs. Work is counted in calls (see :mod:`fakes.work`), as seconds depend on the
machine; megabytes are the peak above the idle level.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fakes import work
from fakes.work import HANGS

ROOT = Path(__file__).parents[2]
MOST_CALLS = 20_000_000
"""Work of a trial: two or three seconds of an idle machine. The hardest of the corpus needs 12 million."""
MOST_BYTES = 4 * 2**30
"""Address space of a trial: a bomb must not take the machine with it."""
SHOWN = 200_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a command did: exit code (None: it hung or died), its words, calls of functions, MB above idle."""

    code: int | None
    said: str
    calls: int
    megabytes: float
    crash: str  # the traceback, or how it died; empty when all is well

    def faults(self, *codes: int) -> list[str]:
        """What is wrong with it: too much work, more than 300 MB, a crash, another exit code than these."""
        found = []
        if self.crash:
            found.append(self.crash)
        if self.code not in codes:
            found.append(f"exit code {self.code}")
        if "Traceback" in self.said:
            found.append("a traceback")
        if self.calls > MOST_CALLS:
            found.append(f"{self.calls:,} calls")
        if self.megabytes > 300:
            found.append(f"{self.megabytes:.0f} MB")
        return found


class Judge:
    """The child that runs trials."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def judge(self, folder: Path, *argv: str) -> Verdict:
        """Run ``pipeline …`` in a folder."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps([str(folder), argv]) + "\n")
        return Verdict(**json.loads(self.child.stdout.readline()))


@contextlib.contextmanager
def judging() -> Iterator[Judge]:
    """A judge, for as long as it is needed."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "fakes.judge"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as child:
        yield Judge(child)


def _serve() -> None:
    import pipeline.cli.running
    import pipeline.publish
    import pipeline.run  # noqa: F401  # as a command imports it later
    from pipeline.cli.app import run_command

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the pipeline prints is no answer
    with tempfile.TemporaryDirectory() as folder:  # what is compiled once is compiled now
        manifest = Path(folder, "m.yaml")
        manifest.write_text("version: 1\ncampaign: c\nproducts: {a: [{id: a}]}\nprompts: {b: {text: 'c'}}\n")
        with contextlib.redirect_stdout(io.StringIO()):
            run_command(["validate", str(manifest)])
    for line in sys.stdin:
        folder, argv = json.loads(line)
        answers.write(json.dumps(_trial(folder, argv)) + "\n")
        answers.flush()


def _trial(folder: str, argv: Sequence[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as said:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(folder, argv, said.fileno(), write)
        os.close(write)
        crash = ""
        if not select.select([read], [], [], HANGS)[0]:
            crash = f"hung for {HANGS:g} s"
            os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        told = json.loads(os.read(read, 65536) or b"{}")
        os.close(read)
        said.seek(0)
        return {
            "code": told.get("code"),
            "said": said.read(SHOWN).decode("utf-8", "replace"),
            "calls": told.get("calls", 0),
            "megabytes": (usage.ru_maxrss - told.get("idle", 0)) / 1024,
            "crash": told.get("crash", "") or crash or ("" if status == 0 else f"died with status {status}"),
        }


def _child(folder: str, argv: Sequence[str], said: int, answer: int) -> NoReturn:
    from pipeline.cli import main

    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    code, crash = None, ""
    with work.calls() as done:
        try:
            os.chdir(folder)
            os.dup2(said, 1)
            os.dup2(said, 2)
            code = main(list(argv))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:  # whatever it is, it is the verdict
            crash = traceback.format_exc()[-3000:]
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        told = {"code": code, "idle": idle, "crash": crash, "calls": done.calls}
        os.write(answer, json.dumps(told).encode())
        os._exit(0)


if __name__ == "__main__":
    _serve()
