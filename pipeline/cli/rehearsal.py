"""Where gateways are called: at their own addresses, at those of the environment, or at an emulator of ours."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.addresses import Reach, origin, refusal
from pipeline.cli.console import Console
from pipeline.cli.show import count
from pipeline.errors import ManifestError
from pipeline.gateways import DIALECTS
from pipeline.ledger import Ledger
from pipeline.types import KeyPath, Manifest, Provider, dollars

KEY = "rehearsal"
"""The emulator takes any key; a real one is not asked for, and not sent."""


@dataclass(frozen=True)
class Places:
    """Gateway → address, where it isn't the vendor's own. ``speed``: how much faster than real ones they work."""

    urls: dict[str, str] = field(default_factory=dict)
    emulated: bool = False
    speed: float = 1.0

    def keys(self, providers: tuple[Provider, ...]) -> dict[str, str]:
        """Provider name → key, for a rehearsal."""
        return {provider.name: KEY for provider in providers}

    def reach(self, *, private: bool) -> Reach:
        """What a run may call: the public internet, these addresses, and any other, if ``private``."""
        return Reach(tuple(filter(None, map(origin, self.urls.values()))), private)

    def paced(self, manifest: Manifest) -> Manifest:
        """The manifest with waits and limits for gateways of this speed."""
        return replace(manifest, providers=tuple(replace(p, speed=self.speed) for p in manifest.providers))


def environment_places() -> Places:
    """``FAL_BASE_URL`` and its like."""
    names = {gateway: f"{gateway.upper()}_BASE_URL" for gateway in DIALECTS}
    return Places({gateway: os.environ[name] for gateway, name in names.items() if os.environ.get(name)})


@contextlib.contextmanager
def called_at(arguments: argparse.Namespace, console: Console) -> Iterator[Places]:
    """For the length of a run: an emulator for ``--emulate``, which tells its bill in the end."""
    if not arguments.emulate:
        yield environment_places()
        return
    from pipeline.emulator import Settings, serve

    with serve(Settings(speed=arguments.emulate_speed)) as emulator:
        yield Places(dict(emulator.urls), emulated=True, speed=arguments.emulate_speed)
        bills = [emulator.bill(gateway) for gateway in emulator.urls]
        pictures, usd = sum(bill["pictures"] for bill in bills), sum(bill["usd_micro"] for bill in bills)
        console.note(f"rehearsed: the emulator would have billed {dollars(usd)} for {count(pictures, 'picture')}")


def check_reach(manifest: Manifest, reach: Reach) -> None:
    """Whether every address that the manifest gives to a provider may be called, as far as it shows.

    Raises:
        ManifestError: with those that may not; nothing is paid then.
    """
    found = []
    for provider in manifest.providers:
        url = provider.base_url
        if url and not reach.allows(url) and (why := refusal(url)):
            hint = "--allow-private permits it, for an emulator or a proxy of your own"
            found.append(manifest.problem(_base_url(manifest, provider.name), why, hint))
    if found:
        raise ManifestError(found)


def _base_url(manifest: Manifest, name: str) -> KeyPath:
    """Where the manifest says at which address a provider is called."""
    listed: Any = manifest.source.get("providers") or ()
    for index, entry in enumerate(listed):
        if isinstance(entry, dict) and entry.get("name") == name:
            return ("providers", index, "base_url")
    return ("providers",)


def forget_open(ledger: Ledger) -> None:
    """What an earlier rehearsal left open: its emulator is gone, and nothing was ever paid."""
    rows = ledger.open_requests()
    if rows:
        ledger.commit([_forget(row.id) for row in rows])


def _forget(request: str) -> Callable[[Ledger], None]:
    return lambda ledger: ledger.settle(request, "failed", 0, "the emulator of that rehearsal is gone")
