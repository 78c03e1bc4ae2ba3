"""File systems that lack something which local disks have: shares, shared folders and file systems in FUSE.

In this process only: what the operating system is asked for is answered as such a file system answers.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

_Usage = namedtuple("_Usage", "total used free")  # noqa: PYI024  # as shutil's own


def _refuse(code: int, path: object = None) -> OSError:
    return OSError(code, os.strerror(code), path)


def no_sync(patch: pytest.MonkeyPatch, code: int, *, files: bool = False) -> None:
    """``fsync`` of folders (of ``files`` too) answers so: CIFS, vboxsf, some in FUSE."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if files or stat.S_ISDIR(os.fstat(handle).st_mode):
            raise _refuse(code)
        real(handle)

    patch.setattr(os, "fsync", fsync)


def no_locks(patch: pytest.MonkeyPatch, code: int, *, files: bool = True) -> None:
    """``flock`` of folders (of ``files`` too) answers so: NFS asks for a file that is open for writing."""
    real = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if files or stat.S_ISDIR(os.fstat(handle).st_mode):
            raise _refuse(code)
        real(handle, how)

    patch.setattr(fcntl, "flock", flock)


def no_permissions(patch: pytest.MonkeyPatch) -> None:
    """Modes and times can't be set: CIFS without Unix extensions, exFAT."""

    def refuse(path: object, *_: object, **__: object) -> None:
        raise _refuse(errno.EPERM, path)

    for name in ("chmod", "fchmod", "lchmod", "utime", "chown"):
        if hasattr(os, name):
            patch.setattr(os, name, refuse)


def no_links(patch: pytest.MonkeyPatch) -> None:
    """Neither hard nor symbolic links."""

    def refuse(path: object, *_: object, **__: object) -> None:
        raise _refuse(errno.EPERM, path)

    patch.setattr(os, "link", refuse)
    patch.setattr(os, "symlink", refuse)


def unknown_space(patch: pytest.MonkeyPatch, answer: OSError | None) -> None:
    """Free space that is said to be nothing of nothing, or not said at all."""

    def disk_usage(_: object) -> Any:  # as shutil's own
        if answer:
            raise answer
        return _Usage(0, 0, 0)

    patch.setattr(shutil, "disk_usage", disk_usage)


def open_elsewhere(patch: pytest.MonkeyPatch, times: int) -> list[Path]:
    """Each file that is there can't be replaced for so many tries, as a viewer has it open; returns the refused."""
    real, refused = Path.replace, list[Path]()

    def replace(self: Path, target: Path) -> Path:
        if Path(target).is_file() and refused.count(Path(target)) < times:
            refused.append(Path(target))
            raise _refuse(errno.EACCES, target)
        return real(self, target)

    patch.setattr(Path, "replace", replace)
    return refused
