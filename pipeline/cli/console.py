"""What a command says, and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import TextIO

from pipeline.cli.streams import lost, write_document
from pipeline.errors import ManifestError, Problem
from pipeline.types import Json

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Console:
    """Results go to standard output, everything else to standard error; colours only where they are wanted.

    ``campaign``: set by a run, whose lines carry the time and this name where no terminal shows them. ``answer``: the
    one JSON document of a command, which is written when it has come to its end; ``facts``: its numbers, for a summary.
    ``bare``: the document is written without ``ok`` and ``exit_code``, as it tells no outcome.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.campaign = ""
        self.facts: dict[str, Json] = {}
        self.answer: object = None
        self.answered = self.bare = False

    def result(self, text: str = "") -> None:
        """What was asked for."""
        print(text)

    def note(self, text: str) -> None:
        """What is good to know; silent with ``-q``."""
        if not self.quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """What may be a mistake; silent with ``-q``."""
        if not self.quiet:
            self._say(text, "yellow")

    def urge(self, text: str) -> None:
        """Why something was left undone: a warning that is said also with ``-q``."""
        self._say(text, "yellow")

    def error(self, text: str) -> None:
        """What is wrong."""
        self._say(text, "red")

    def ask(self, text: str) -> None:
        """A question, on the terminal."""
        print(self.style(text, "bold", sys.stderr), end="", file=sys.stderr, flush=True)

    def _say(self, text: str, style: str = "") -> None:
        if self.campaign and not sys.stderr.isatty():
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            text = "\n".join(f"{now} {self.campaign}: {line}" for line in text.splitlines())
        print(self.style(text, style, sys.stderr) if style else text, file=sys.stderr)

    def style(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """The text in a style, where the stream is a terminal and NO_COLOR is not set (https://no-color.org)."""
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not (stream or sys.stdout).isatty():
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def deliver(self, code: int) -> None:
        """Write the command's JSON document, if it has one and it isn't written yet, with its exit code."""
        if self.answer is None or self.answered:
            return
        self.answered = True
        if isinstance(self.answer, dict) and not self.bare:
            self.answer = {"ok": code in _WELL, **self.answer, "exit_code": code}
        write_document(self.answer)

    def closed(self, code: int, *, matters: bool) -> int:
        """The exit code after standard output could not be written.

        ``matters``: what a command is for is what it writes there. Else its work is done, and its own code stays.
        """
        why = lost()
        if why is None:
            return code
        document = self.answer is not None
        if isinstance(why, BrokenPipeError) and not document:
            return 128 + _SIGPIPE if matters else code  # its reader has had enough: no word about it
        what = "the JSON document" if document else "the result"
        deliberate = why.errno == _EBADF and not document
        (self.note if deliberate else self.error)(f"{what} can't be written to standard output: {why.strerror or why}")
        return code or int(document or (matters and not deliberate))


_WELL = (0, 5)
"""Exit codes of what went well: 5 is `plan --detailed-exitcode` with work to do."""
_SIGPIPE = 13
_EBADF = 9


def problem_json(problem: Problem) -> dict[str, Json]:
    """A problem for scripts."""
    mark = problem.mark
    return {
        "file": mark.file if mark else None,
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
        "path": problem.path,
        "fact": problem.fact,
        "hint": problem.hint,
        "warning": problem.warning,
    }


def failure_json(error: BaseException, code: int) -> dict[str, Json]:
    """An error for scripts: its kind (the class, see :mod:`pipeline.errors`), its words, and located problems."""
    found = error.problems if isinstance(error, ManifestError) else []
    words = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
    return {
        "ok": False,
        "exit_code": code,
        "kind": "Interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__,
        "error": words,
        "problems": [problem_json(problem) for problem in found],
    }
