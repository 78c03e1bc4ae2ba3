"""The ``pipeline`` command: the only part that prints, and the one place where an error becomes an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from pipeline.cli.parser import parse_arguments
from pipeline.cli.show import Console, problem_json
from pipeline.errors import ManifestError, PipelineError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 error, 2 bad command line, 3 something is missing,
    4 stopped by the budget, 5 there is work (``plan --detailed-exitcode``), 130 interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    console = Console(quiet=arguments.quiet, verbose=arguments.verbose)
    try:
        if arguments.directory:
            try:
                os.chdir(arguments.directory)
            except OSError as error:
                raise PipelineError(f"-C {arguments.directory}: {error.strerror}") from None
        code: int = arguments.command(arguments, console)
        sys.stdout.flush()
    except ManifestError as error:
        if getattr(arguments, "json", False):
            print(json.dumps({"ok": False, "problems": [problem_json(p) for p in error.problems]}, indent=2))
        for problem in error.problems:
            console.error(str(problem))
        console.note(f"{len(error.problems)} problem{'s' * (len(error.problems) != 1)}; nothing was started")
        return error.exit_code
    except PipelineError as error:
        console.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.error("interrupted; run again to continue")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough: end as other tools do, without a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code
