"""How little the command line imports before it knows what to do: modules are counted, as time tells of the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fakes.campaign import environment

OURS = {"pipeline", "pipeline.errors", *(f"pipeline.cli{name}" for name in ("", ".app", ".parser", ".streams"))}
"""All that may be imported of this package until the command line is read."""
HINTS = {"pipeline.cli.hints"}
"""Imported only for a command line that can't be read."""
SLOW = {"asyncio", "concurrent", "csv", "email", "http", "multiprocessing", "socket", "sqlite3", "ssl", "urllib", "xml"}
"""Parts of the standard library that are slow to import."""
STARTED = """
import atexit, sys
before = set(sys.modules)
atexit.register(lambda: print("imported:", *(set(sys.modules) - before), file=sys.stderr))
from pipeline.cli import main
main()
"""


@pytest.mark.parametrize(
    "words", ["--version", "--help", "plan --help", "run --help", "verify --help", "emulate --help", "no-such-command"]
)
def test_the_parser_imports_nothing_slow(words: str) -> None:
    """What the parser answers by itself loads no other package, none of the rooms, and little of Python's own."""
    command = [sys.executable, "-P", "-c", STARTED, *words.split()]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == (2 if words == "no-such-command" else 0)
    imported = answer.stderr.partition("imported: ")[2].split()
    assert {name for name in imported if name.startswith("pipeline")} <= OURS | HINTS
    assert answer.returncode or not HINTS & set(imported)
    assert {name.partition(".")[0] for name in imported} <= {"pipeline", *sys.stdlib_module_names} - SLOW
