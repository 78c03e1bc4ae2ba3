"""One command from its arguments to its exit code: the one place where an error becomes one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from pipeline.cli.parser import parse_arguments
from pipeline.errors import ManifestError, PipelineError


def find_command(name: str) -> Callable[..., int]:
    """The function behind a command, which the parser names as "module.function" of this package."""
    module, _, function = name.partition(".")
    found: Callable[..., int] = getattr(import_module(f"pipeline.cli.{module}"), function)
    return found


def run_command(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    arguments = parse_arguments(argv)  # `--version` and `--help` end here, with nothing heavy imported
    from pipeline.cli.show import Console, count, problem_json

    command = find_command(arguments.command)
    console = Console(quiet=arguments.quiet, verbose=arguments.verbose)
    try:
        if arguments.directory:
            try:
                os.chdir(arguments.directory)
            except OSError as error:
                raise PipelineError(f"-C {arguments.directory}: {error.strerror}") from None
        code = command(arguments, console)
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
