"""The ``pipeline`` command: the only part that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pipeline.cli.streams import prepare, write_document

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 error, 2 bad command line, 3 something is missing,
    4 stopped by the budget, 5 there is work (``plan --detailed-exitcode``), 130 interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    prepare()
    try:
        from pipeline.cli.app import run_command  # an interrupt while this loads ends as cleanly as later

        code = run_command(words)
    except KeyboardInterrupt:
        print("interrupted; run again to continue", file=sys.stderr)
        if "--json" in words:
            write_document({"ok": False, "exit_code": INTERRUPTED, "kind": "Interrupted", "error": "interrupted"})
        code = INTERRUPTED
    if code == INTERRUPTED:
        # All that matters is on disk; a download that drips must not keep anyone waiting.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
