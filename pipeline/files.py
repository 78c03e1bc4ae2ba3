"""Files written so that their final name never holds half of them, as far as their file system can promise it.

Network shares and shared folders (CIFS, vboxsf, FUSE) lack some of what a local disk has: what they don't offer is
passed over, a real failure (no space, a broken disk) is not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import time
from pathlib import Path

NOT_OFFERED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY}
"""What a file system answers when it has no such thing."""
_NOT_FOR_FOLDERS = NOT_OFFERED | {errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR}
_BUSY = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}
BUSY_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait for a program that has a file open which is to be replaced, where that matters (a share)."""
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
            sync_file(out.fileno())
            stat = os.fstat(out.fileno())
        rename_over(temporary, target)
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


def rename_over(source: Path, target: Path) -> None:
    """Rename a file over another, which a viewer or a program that syncs may have open for a moment.

    Raises:
        OSError: when it can't be done.
    """
    for wait in BUSY_WAITS:
        try:
            source.replace(target)
        except OSError as error:
            if error.errno not in _BUSY or not target.is_file():
                raise
            time.sleep(wait)
        else:
            return
    source.replace(target)


def sync_file(handle: int) -> None:
    """Make the content of an open file durable, where its file system can."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where its file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
        return  # a folder that may be written and not read
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(handle)
