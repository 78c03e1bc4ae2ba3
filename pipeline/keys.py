"""Gateway keys: from the environment or a ``.env`` file, and never anywhere else.

A key is read where a run starts, goes into the headers of one lane's connections, and into nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from pipeline.errors import PipelineError
from pipeline.gateways import DIALECTS
from pipeline.types import Provider


def key_name(provider: Provider) -> str:
    """The environment variable that holds a provider's key; empty where none is needed."""
    return provider.key_env or DIALECTS[provider.offer.gateway].key


def find_keys(providers: tuple[Provider, ...], beside: Path) -> dict[str, str]:
    """Provider name → its key. The environment comes before ``.env`` here, and that before ``.env`` ``beside``.

    Raises:
        PipelineError: when one is missing.
    """
    files = [dotenv_values(folder / ".env", interpolate=False) for folder in (Path(), beside)]
    found: dict[str, str] = {}
    missing = []
    for provider in providers:
        name = key_name(provider)
        if not name:
            continue
        key = next((value.strip() for value in (os.environ.get(name), *(f.get(name) for f in files)) if value), "")
        if not key or not key.isprintable() or not key.isascii():
            missing.append(f"provider {provider.name}: {name} is {'not set' if not key else 'no key'}")
        found[provider.name] = key
    if missing:
        raise PipelineError("; ".join(missing) + ": put it into the environment or into a .env file")
    return found


def key_headers(provider: Provider, key: str) -> dict[str, str]:
    """The headers that authorise a provider's calls."""
    return DIALECTS[provider.offer.gateway].headers(key, provider.options)
