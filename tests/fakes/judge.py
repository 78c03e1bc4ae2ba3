"""A judge of hostile input: runs the command line on it in a process of its own, and measures what that took.

One child imports the pipeline once and forks for every trial, so that a trial costs milliseconds, starts from the same
idle memory, and can be killed when it hangs. Seconds are processor time (reading waits for nothing, and other
programs on the machine don't count), megabytes the peak above the idle level.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]
HANGS = 20.0
"""Wall seconds after which a trial is killed and counted as hanging."""
MOST_BYTES = 4 * 2**30
"""Address space of a trial: a bomb must not take the machine with it."""
SHOWN = 200_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a command did: exit code (None: it hung or died), its words, processor seconds, MB above idle."""

    code: int | None
    said: str
    seconds: float
    megabytes: float
    crash: str  # the traceback, or how it died; empty when all is well

    @property
    def cost(self) -> str:
        """For a note: ``0.8 s, +120 MB``."""
        return f"{self.seconds:.2f} s, +{self.megabytes:.0f} MB"


class Judge:
    """The child that runs trials; a context manager."""

    def __enter__(self) -> Judge:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "fakes.judge"]
        self.child = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.close()
        self.child.wait(HANGS)
        self.child.stdout.close()

    def judge(self, folder: Path, *argv: str) -> Verdict:
        """Run ``pipeline …`` in a folder."""
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(json.dumps([str(folder), argv]) + "\n")
        return Verdict(**json.loads(self.child.stdout.readline()))


def _serve() -> None:
    import pipeline.cli.app
    import pipeline.publish
    import pipeline.run  # noqa: F401  # all that a command imports later, now

    for line in sys.stdin:
        folder, argv = json.loads(line)
        print(json.dumps(_trial(folder, argv)), flush=True)


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
            "seconds": usage.ru_utime + usage.ru_stime,
            "megabytes": (usage.ru_maxrss - told.get("idle", 0)) / 1024,
            "crash": told.get("crash", "") or crash or ("" if status == 0 else f"died with status {status}"),
        }


def _child(folder: str, argv: Sequence[str], said: int, answer: int) -> None:
    from pipeline.cli import main

    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    code, crash = None, ""
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
        os.write(answer, json.dumps({"code": code, "idle": idle, "crash": crash}).encode())
        os._exit(0)


if __name__ == "__main__":
    _serve()
