"""Gateway keys: from the environment or a ``.env`` file, and never anywhere else.

A key is read where a run starts, goes into the headers of one lane's connections, and into nothing else.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from dotenv import dotenv_values

from pipeline.errors import PipelineError
from pipeline.gateways import DIALECTS
from pipeline.types import Provider

logging.getLogger("dotenv.main").disabled = True  # it tells of each line that is none, without the file's name


def key_name(provider: Provider) -> str:
    """The environment variable that holds a provider's key; empty where none is needed."""
    return provider.key_env or DIALECTS[provider.offer.gateway].key


def find_keys(providers: tuple[Provider, ...], beside: Path) -> dict[str, str]:
    """Provider name → its key. The environment comes before ``.env`` here, and that before ``.env`` ``beside``.

    Raises:
        PipelineError: when one is missing.
    """
    found: dict[str, str] = {}
    missing = []
    for provider in providers:
        name = key_name(provider)
        if not name:
            continue
        key = os.environ.get(name, "").strip() or _from_file(name, Path()) or _from_file(name, beside)
        if not key or not key.isprintable() or not key.isascii():
            missing.append(f"provider {provider.name}: {name} is {'no key' if key else 'not set'}")
        found[provider.name] = key
    if missing:
        raise PipelineError(
            "; ".join(missing) + ": put it into the environment or into a .env file here or "
            "beside the manifest; --provider NAME uses only some of the pool, --emulate needs no key"
        )
    return found


def _from_file(name: str, folder: Path) -> str:
    """A variable from a folder's ``.env``; empty when it isn't there."""
    path = folder / ".env"
    if not path.is_file():
        return ""
    try:
        return (dotenv_values(path, interpolate=False).get(name) or "").strip()
    except (OSError, UnicodeError):
        raise PipelineError(f"{path}: can't be read; write it as UTF-8 text, NAME=value a line") from None
