"""The four gateways, emulated on this machine: their wire protocols over real sockets, strict as their documents.

Nothing here is the vendors' code, and no picture is a model's. What it is for: seeing a whole campaign run, with its
failures, without an account, and testing a client against every way in which a paid answer can get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from pipeline.emulator.account import Account, Job
from pipeline.emulator.aimlapi import Aimlapi
from pipeline.emulator.control import Emulator, running
from pipeline.emulator.core import Fault, Gateway, Reply, Request, Settings
from pipeline.emulator.eachlabs import EachLabs
from pipeline.emulator.fal import Fal
from pipeline.emulator.runware import Runware

__all__ = ["GATEWAYS", "Account", "Emulator", "Fault", "Gateway", "Job", "Reply", "Request", "Settings", "serve"]

GATEWAYS: Mapping[str, Callable[[Account, Settings], Gateway]] = {
    "fal": Fal,
    "aimlapi": Aimlapi,
    "eachlabs": EachLabs,
    "runware": Runware,
}
"""Name → the class that speaks this vendor's dialect."""


def serve(settings: Settings | None = None) -> AbstractContextManager[Emulator]:
    """Run the emulator for as long as the ``with`` block lasts."""
    return running(settings or Settings(), GATEWAYS)
