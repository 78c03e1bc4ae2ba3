"""One command from its arguments to its exit code: the one place where an error becomes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.cli.parser import parse_arguments
from pipeline.errors import ManifestError, PipelineError, UsageError

if TYPE_CHECKING:
    import argparse

    from pipeline.cli.console import Console


def find_command(name: str) -> Callable[..., int]:
    """The function behind a command, which the parser names as "module.function" of this package."""
    module, _, function = name.partition(".")
    found: Callable[..., int] = getattr(import_module(f"pipeline.cli.{module}"), function)
    return found


def run_command(argv: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Raises:
        SystemExit: after ``--help`` and ``--version``, and (2) for a command line that can't be read.
    """
    arguments = _read(argv)  # nothing heavy is imported before
    from pipeline.cli.console import Console

    console = Console(quiet=arguments.quiet, verbose=arguments.verbose)
    as_json = getattr(arguments, "json", False)
    code = _carry_out(arguments, console, as_json=as_json)
    console.deliver(code)
    return console.closed(code, matters=arguments.shows)


def _read(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, when they can be read."""
    try:
        return parse_arguments(argv)
    except UsageError as error:
        print(error, file=sys.stderr)
        if "--json" in argv:
            from pipeline.cli.streams import write_document

            document = {"ok": False, "exit_code": 2, "kind": "UsageError", "error": str(error), "problems": []}
            write_document(document)
        raise SystemExit(error.exit_code) from None
    except SystemExit as end:  # --help, --version
        from pipeline.cli.streams import lost

        why = lost()
        if why is not None and not isinstance(why, BrokenPipeError):
            print(f"this can't be written to standard output: {why.strerror or why}", file=sys.stderr)
            raise SystemExit(1) from None
        raise SystemExit(end.code) from None


def _carry_out(arguments: argparse.Namespace, console: Console, *, as_json: bool) -> int:
    from pipeline.cli.console import failure_json
    from pipeline.cli.show import count

    try:
        if arguments.directory:
            try:
                os.chdir(arguments.directory)
            except OSError as error:
                raise PipelineError(f"-C {arguments.directory}: {error.strerror}") from None
        command = find_command(arguments.command)
        if not getattr(arguments, "needs_manifest", False):
            return command(arguments, console)
        from pipeline.cli.which import choose

        choose(arguments, console)
        if len(arguments.manifests) > 1 and arguments.name != "validate":  # which has words for several of its own
            from pipeline.cli.several import run_several

            return run_several(command, arguments, console)
        return command(arguments, console)
    except PipelineError as error:
        if isinstance(error, ManifestError):
            console.campaign = ""  # editors read these lines
            for problem in error.problems:
                console.error(str(problem))
            console.note(f"{count(error.count, 'problem')}; nothing was started")
        else:
            console.error(str(error))
        console.answer = failure_json(error, error.exit_code) if as_json else None
        return error.exit_code
    except KeyboardInterrupt as error:
        console.error("interrupted; run again to continue")
        console.answer = failure_json(error, 130) if as_json else None
        return 130
    except Exception as error:
        if as_json:  # a bug: its traceback follows, and a script still has its document
            console.answer = failure_json(error, 1)
            console.deliver(1)
        raise
