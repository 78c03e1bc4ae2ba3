"""One command from its arguments to its exit code: the one place where an error becomes one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence

from pipeline.cli.parser import parse_arguments
from pipeline.cli.show import Console, count, problem_json
from pipeline.errors import ManifestError, PipelineError


def run_command(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    arguments = parse_arguments(argv)
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
        console.note(f"{count(error.count, 'problem')}; nothing was started")
        return error.exit_code
    except PipelineError as error:
        console.error(str(error))
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has had enough: end as other tools do, without a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code
