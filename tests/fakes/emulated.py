"""Campaigns against the emulated gateways: real sockets, small pictures, a fast clock, and the emulator's own bill."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakes.campaign import REPOSITORY
from pipeline.emulator import Emulator, Settings, serve
from pipeline.gateways import DIALECTS

KEYS = {dialect.key: f"canary-{dialect.name}:0123456789/+abc=" for dialect in DIALECTS.values() if dialect.key}
"""Environment variable → a key that nothing may ever show."""
GATEWAYS = ("fal", "aimlapi", "eachlabs", "runware")
FREE = {"eachlabs": {"creates_per_minute": 10**6, "concurrent": 10**6}}
"""No limits, where they are not what a test is about."""


@contextlib.contextmanager
def emulating(**settings: Any) -> Iterator[Emulator]:
    """The emulated gateways with jobs of some milliseconds, for the length of a test."""
    given = {"pictures": "tiny", "speed": 100.0, "latency": (1.0, 5.0), "limits": FREE} | settings
    with serve(Settings(**given)) as emulator:
        yield emulator


def addresses(emulator: Emulator) -> dict[str, str]:
    """The environment of a run that calls the emulator."""
    return KEYS | {f"{gateway.upper()}_BASE_URL": url for gateway, url in emulator.urls.items()}


def provider(gateway: str, **settings: Any) -> dict[str, Any]:
    """A provider that polls fast and has no published limit to keep."""
    fast = {"poll": {"first": 0.03, "every": 0.03}, "concurrency": 8, "per_minute": 100_000}
    return {"name": gateway, **fast, **settings}


def realistic(folder: Path, *providers: dict[str, Any], **keys: Any) -> Path:
    """The realistic example campaign at these providers."""
    example = REPOSITORY / "manifests/autumn-tableware/campaign.yaml"
    manifest = {
        "version": 1,
        "campaign": "test",
        "extends": str(example),
        "providers": list(providers),
        "budget": {"usd": 1000, "run_usd": 1000},
        "outputs": {"folder": "out/test"},
        **keys,
    }
    path = folder / "campaign.yaml"
    path.write_text(json.dumps(manifest, indent=2))
    return path


def billed(emulator: Emulator) -> tuple[int, int]:
    """Pictures and micro-dollars that all emulated gateways billed."""
    bills = [emulator.bill(gateway) for gateway in emulator.urls]
    return sum(bill["pictures"] for bill in bills), sum(bill["usd_micro"] for bill in bills)
