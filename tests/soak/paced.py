"""The command line in a process of its own, with its long waits as short as a campaign wants them.

`paced.py` is what runs: it sets constants that its environment names, and lets the calls of a run say which refusals
it had heard of when they left, so that a gateway can tell a call that came too early from one that was on its way.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from fakes.campaign import environment

PACE = "SOAK_PACE"
"""Environment variable: JSON of what is set, as {"pipeline.engine.lane.MAX_WAIT": 6}."""
REFUSAL, HEARD = "x-refusal", "x-heard"
"""A refusal's number, in its header; the numbers that a call's sender had heard, the last ones."""
LONGEST = 240.0
"""Seconds that one run of a campaign may take."""


def pace(speed: float, **more: float) -> dict[str, str]:
    """The environment of runs whose waits are so many times as short as the real ones; ``more``: constants as they
    are, dots as double underscores.
    """
    lane = "pipeline.engine.lane"
    waits = {"FIRST_WAIT": 0.5, "LONGEST_WAIT": 30.0, "MAX_WAIT": 120.0, "OUTAGE": 600.0, "NEVER": 60.0}
    patience = {"pipeline.gateways.aimlapi.Aimlapi": 900.0, "pipeline.gateways.eachlabs.Eachlabs": 20.0}
    found = {f"{lane}.{name}": seconds / speed for name, seconds in waits.items()}
    found |= {f"{owner}.patience": seconds / speed for owner, seconds in patience.items()}
    found |= {name.replace("__", "."): value for name, value in more.items()}
    return {PACE: json.dumps(found)}


def start(manifest: Path, *arguments: object, env: Mapping[str, str], log: Path | None = None) -> subprocess.Popen[str]:
    """``pipeline run --json``; what it says besides goes to ``log``, or nowhere."""
    command = [sys.executable, __file__, "run", str(manifest), "--json", *map(str, arguments)]
    with Path(log or os.devnull).open("a") as said:
        return subprocess.Popen(command, env=environment() | dict(env), stdout=subprocess.PIPE, stderr=said, text=True)


def end(process: subprocess.Popen[str], log: Path | None = None) -> dict[str, Any]:
    """What a run says in the end."""
    try:
        out, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise TimeoutError(f"a run hangs: {_tail(log)}") from None
    assert process.returncode in (0, 3), f"exit {process.returncode}: {_tail(log)}"
    document: dict[str, Any] = json.loads(out)
    return document


def run(manifest: Path, *arguments: object, env: Mapping[str, str], log: Path | None = None) -> dict[str, Any]:
    """A run to its end, and what it says."""
    return end(start(manifest, *arguments, env=env, log=log), log)


def status(manifest: Path, env: Mapping[str, str]) -> str:
    """What ``pipeline status`` says."""
    command = [sys.executable, __file__, "status", str(manifest)]
    env = environment() | dict(env)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=LONGEST, check=True).stdout


def _tail(log: Path | None) -> str:
    return log.read_text()[-3000:] if log else "(nothing was kept of what it said)"


# ── the process that runs ───────────────────────────────────────────────────────────────────────


def _set(name: str, value: float) -> None:
    """Set a constant of a module, or of a class in it."""
    owner, _, attribute = name.rpartition(".")
    place, _, inner = owner.rpartition(".")
    where: Any = (
        getattr(importlib.import_module(place), inner) if inner[0].isupper() else importlib.import_module(owner)
    )
    assert hasattr(where, attribute), name
    setattr(where, attribute, value)


def _witness() -> None:
    """Let every call of a run say which refusals were heard before it left."""
    from dataclasses import replace

    from pipeline.engine.wire import Wire

    send, heard = Wire.send, deque[str](maxlen=200)

    async def told(wire: Wire, call: Any, departure: Any = None) -> Any:
        if heard:
            call = replace(call, headers={**call.headers, HEARD: ",".join(heard)})
        answer = await send(wire, call, departure)
        if REFUSAL in answer.headers:
            heard.append(answer.headers[REFUSAL])
        return answer

    Wire.send = told  # type: ignore[method-assign]


def _main() -> int:
    import fakes.runner  # noqa: F401  # the fake dialects, and short waits

    from pipeline.cli import main

    for name, value in json.loads(os.environ[PACE]).items():
        _set(name, value)
    _witness()
    return main()


if __name__ == "__main__":
    sys.exit(_main())
