"""Paths that others chose: what is read is a file, and what is written stays inside the output folder.

A folder inside the output folder that is a link out of it is refused: whoever can put one there (a shared drive, an
unpacked archive, a pull request) could else have pictures and ledgers written anywhere. The output folder itself may
be a link.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bytes(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file. Only of a real one: a pipe or a device has no end, and may never answer;
    and not by the size that it says it has, which for the files of a kernel is a lie.

    Raises:
        OSError: when it can't be read, or is no regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as opened:  # noqa: PTH123  # a handle
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is no file", str(path))
        return opened.read(most)


def is_inside(root: str, path: str) -> bool:
    """Whether a path, all links followed, lies in a folder or is that folder."""
    top, real = os.path.realpath(root), os.path.realpath(path)
    return real == top or real.startswith(top.rstrip(os.sep) + os.sep)


def check_inside(root: str, file: str) -> None:
    """Make sure that a file about to be written lies inside the output folder.

    Raises:
        OSError: when a link on the way leads out.
    """
    if not is_inside(root, os.path.dirname(file)):  # noqa: PTH120  # thousands of them
        raise OSError(errno.ELOOP, "a link on the way leads out of the output folder", file)


class Links:
    """The links among the folders of an output folder; each folder is looked at once."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.links: dict[str, str] = {}
        self.absent = set() if root.is_dir() else {""}

    def out(self, folder: str) -> str:
        """The first folder on the way to this one (relative to the root) that is a link and leads out, or nothing."""
        if not folder:
            return ""
        if folder not in self.links:
            above = folder.rpartition("/")[0]
            self.links[folder] = self.out(above) or self.link(above, folder)
        return self.links[folder]

    def link(self, above: str, folder: str) -> str:
        """The folder, when it is itself a link that leads out."""
        path = f"{self.root}/{folder}"
        if above in self.absent or not os.path.lexists(path):
            self.absent.add(folder)
            return ""
        return folder if os.path.islink(path) and not is_inside(self.root, path) else ""  # noqa: PTH114  # as above
