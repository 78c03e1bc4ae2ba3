"""Gateway keys: from the environment or a ``.env`` file, and never anywhere else.

A key is read where a run starts, goes into the headers of one lane's connections, and into nothing else.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import select
import stat
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from dotenv import dotenv_values

from pipeline.errors import PipelineError
from pipeline.gateways import DIALECTS
from pipeline.types import Provider

MAX_BYTES = 2**20
"""Bytes of a ``.env`` file, at most."""
PIPE_SECONDS = 60.0
"""That a pipe may take: somebody may have to unlock what writes it."""

logging.getLogger("dotenv.main").disabled = True  # it tells of each line that is none, without the file's name


def key_name(provider: Provider) -> str:
    """The environment variable that holds a provider's key; empty where none is needed."""
    return provider.key_env or DIALECTS[provider.offer.gateway].key


def find_keys(providers: tuple[Provider, ...], beside: Path) -> dict[str, str]:
    """Provider name → its key. The environment comes before ``.env`` here, and that before ``.env`` ``beside``.

    Raises:
        PipelineError: when one is missing, or a file that may hold it can't be read.
    """
    found: dict[str, str] = {}
    missing = []
    files = _Files([Path(), beside])
    for provider in providers:
        name = key_name(provider)
        if not name:
            continue
        key = os.environ.get(name, "").strip() or files.value(name)
        if not key or not key.isprintable() or not key.isascii():
            missing.append(f"provider {provider.name}: {name} is {'no key' if key else 'not set'}")
        found[provider.name] = key
    if missing:
        raise PipelineError(
            "; ".join(missing) + ": put it into the environment or into a .env file here or "
            "beside the manifest; --provider NAME uses only some of the pool, --emulate needs no key"
            + "".join(f"; {path} is no file, and was not read" for path in files.others)
        )
    return found


class _Files:
    """The ``.env`` files of some folders. Each is read once, when it is needed: a pipe has its content one time."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._left = deque({os.path.realpath(folder / ".env"): folder / ".env" for folder in folders}.values())
        self._read: list[dict[str, str | None]] = []
        self.others: list[Path] = []

    def value(self, name: str) -> str:
        """A variable of the first file that has it; empty when none does.

        Raises:
            PipelineError: when a file can't be read.
        """
        for values in self._read:
            if found := (values.get(name) or "").strip():
                return found
        while self._left:
            path = self._left.popleft()
            content = _content(path)
            if content is None:
                self.others.append(path)
                continue
            self._read.append(dotenv_values(stream=io.StringIO(_text(content)), interpolate=False))
            if found := (self._read[-1].get(name) or "").strip():
                return found
        return ""


def _text(content: bytes) -> str:
    """A file's text, as editors write it on any system. What can't be read becomes no key: those are ASCII."""
    return content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig", "replace")


def _content(path: Path) -> bytes | None:
    """What a file holds, or what is written into a pipe; nothing where there is none, None for what is neither.

    Raises:
        PipelineError: when it can't be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer holds nobody
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            return None
        raise PipelineError(f"{path}: can't be read: {error.strerror}") from None
    try:
        mode = os.fstat(handle).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            return None
        content = _arriving(handle, path) if stat.S_ISFIFO(mode) else _whole(handle)
    except OSError as error:
        raise PipelineError(f"{path}: can't be read: {error.strerror}") from None
    finally:
        os.close(handle)
    if len(content) > MAX_BYTES:
        raise PipelineError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB, so it is no file of variables")
    return content


def _whole(file: int) -> bytes:
    """A file's bytes, to its end or to more than may be there."""
    content = b""
    while len(content) <= MAX_BYTES and (piece := os.read(file, MAX_BYTES + 1)):
        content += piece
    return content


def _arriving(pipe: int, path: Path) -> bytes:
    """What is written into a pipe, to its end or to more than may come.

    A writer may still be on its way: a password manager first asks its user.
    """
    content, until = b"", time.monotonic() + PIPE_SECONDS
    while len(content) <= MAX_BYTES:
        ready = select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]
        piece = os.read(pipe, 65536) if ready else None
        if piece == b"" and content:
            break
        if time.monotonic() >= until:
            raise PipelineError(
                f"{path}: is a pipe, and its content did not come within {PIPE_SECONDS:g} s: unlock the password "
                "manager that writes it, or put the key into the environment"
            )
        if not piece:  # no writer yet, or one that wrote nothing
            time.sleep(0.02)
            continue
        content += piece
    return content
