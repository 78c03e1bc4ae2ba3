"""Files written so that their final name never holds half of them."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path

_TEMPORARY = re.compile(r"\.\d+-\d+-\d+\.part")


def write_whole(target: Path, data: bytes, *, mode: int = 0o666) -> os.stat_result:
    """Write under a temporary name, sync, rename, and sync the folder; ``mode`` as for ``open``, before the umask.

    Raises:
        OSError: when it can't be written, of the file that was meant; then nothing has changed.
    """
    temporary = target.with_name(f".{os.getpid()}-{time.monotonic_ns()}-{threading.get_ident()}.part")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as out:  # noqa: PTH123  # with a mode
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
            stat = os.fstat(out.fileno())
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # where nothing can be written, it isn't there either
            temporary.unlink()
        if isinstance(error, OSError):  # of the file that was meant, not of the temporary one
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    sync_folder(target.parent)
    return stat


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left half written. Only for who holds the folder."""
    for path in folder.rglob(".*.part"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(handle)
