"""The command line, held at one place: it says that it is there, and goes on when it is told to, or never.

``pausing.py PLACE READY GO …``: a byte goes to the file descriptor READY; the end of GO lets it go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from pipeline import media, publish, restore
from pipeline.cli import main
from pipeline.ledger import Ledger

PLACES: dict[str, tuple[Any, str]] = {
    "planning": (Ledger, "snapshot"),
    "writing": (media, "write"),
    "adopting": (restore, "check_shape"),
    "publishing": (publish.Publisher, "publish"),
}
"""Name → the function that waits before it begins."""


def _pause(place: str, ready: int, go: int) -> None:
    module, name = PLACES[place]
    function: Callable[..., Any] = getattr(module, name)

    def waits(*arguments: Any, **keys: Any) -> Any:
        os.write(ready, b".")
        os.read(go, 1)
        return function(*arguments, **keys)

    setattr(module, name, waits)


if __name__ == "__main__":
    import fakes.runner  # noqa: F401  # the fake dialects, and short waits: of this process only

    _pause(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
