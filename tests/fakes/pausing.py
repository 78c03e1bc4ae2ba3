"""The command line, held at one place: it says that it is there, and goes on when it is told to, or never.

``pausing.py PLACE READY GO PATIENCE …``: a byte goes to the file descriptor READY; the end of GO lets it go on. With an
empty place it is not held. PATIENCE: the seconds that what is under way has to end, after a signal. A paid call that
leaves after the signal is reported on standard error.
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
from pipeline.engine import Engine, core
from pipeline.engine.wire import Wire
from pipeline.ledger import Ledger
from pipeline.network import Departure
from pipeline.types import Answer, Call

LATE = "a paid call left after the signal"

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


def _witness() -> None:
    """Report each paid call that leaves after the engine was told to stop: both happen in one thread, in this order."""
    stop, send, stopped = Engine.stop, Wire.send, []

    def stopping(engine: Engine) -> None:
        stopped.append(True)
        stop(engine)

    async def sending(wire: Wire, call: Call, departure: Departure | None = None) -> Answer:
        if stopped and call.paid:
            sys.stderr.write(f"{LATE}\n")
        return await send(wire, call, departure)

    Engine.stop, Wire.send = stopping, sending  # type: ignore[method-assign]


if __name__ == "__main__":
    import fakes.runner  # noqa: F401  # the fake dialects, and short waits: of this process only

    place, ready, go, patience, *words = sys.argv[1:]
    if place:
        _pause(place, int(ready), int(go))
    core.LEAVE_SECONDS = float(patience)
    _witness()
    sys.exit(main(words))
