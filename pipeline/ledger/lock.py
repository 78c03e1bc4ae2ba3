"""Who holds a campaign: one writer at a time, by a lock that the kernel frees when its holder ends, however it ends.

The lock is on the private folder itself, which nobody removes by mistake; the file in it only says who holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import LedgerError, LedgerLocked, printable
from pipeline.ledger.seal import PRIVATE_FILE

HOLDER = "lock"
ENDS = 10.0
"""Seconds that a holder has to leave cleanly."""
GLANCE = 0.2
"""Seconds after which a lock is no glance of another process at whether there is one (see :func:`held`)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a campaign. ``start``: when it began, as its kernel counts; 0 where that isn't known."""

    pid: int
    host: str
    since: str
    start: int = 0

    def __str__(self) -> str:
        """``pid 123 on studio-7 since 2026-11-21 03:00:12``."""
        return printable(f"pid {self.pid} on {self.host} since {self.since}")

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine that still runs."""
        return self.host == socket.gethostname() and self.start != 0 and _start(self.pid) == self.start


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the campaign of a private folder.

    Raises:
        LedgerLocked: while another process holds it.
        LedgerError: where nothing can be locked.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LedgerError(f"{folder}: can't be opened: {error.strerror}") from None
    try:
        try:
            _take(handle)
        except BlockingIOError:
            raise _locked(folder) from None
        except OSError as error:
            text = f"{folder}: can't be locked ({error.strerror}): keep the output folder on a local disk"
            raise LedgerError(text) from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        me = Holder(os.getpid(), socket.gethostname(), since, _start(os.getpid()))
        try:
            file = os.open(
                folder / HOLDER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE
            )
            with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123  # with a mode
                out.write(json.dumps(asdict(me)) + "\n")
        except OSError as error:
            raise LedgerError(f"{folder / HOLDER}: can't be written: {error.strerror}") from None
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    """Lock an open folder, waiting no longer than others may glance at it."""
    until = time.monotonic() + GLANCE
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
        time.sleep(0.005)


def check_free(folder: Path) -> None:
    """Whether nobody holds the campaign now: asked early, before any work is done in vain.

    Raises:
        LedgerLocked: when somebody does.
    """
    if held(folder):
        raise _locked(folder)


def _locked(folder: Path) -> LedgerLocked:
    who = holder(folder) or "a process that didn't say who it is"
    return LedgerLocked(f"another run holds this campaign ({who}): wait for it, stop it, or see `pipeline unlock`")


def held(folder: Path) -> bool:
    """Whether a process holds the campaign now."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(handle)
    return False


def holder(folder: Path) -> Holder | None:
    """Who holds the campaign, or held it last; None when nobody said so."""
    try:
        said = json.loads((folder / HOLDER).read_text("utf-8"))
        return Holder(int(said["pid"]), str(said["host"]), str(said["since"]), int(said["start"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def end(holder: Holder, folder: Path) -> bool:
    """Ask a process of this machine to leave, then make it; whether the campaign is free now.

    What it was in the middle of is on disk, as always: nothing that was paid is lost. One that was stopped goes on, so
    that it can leave.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if holder.here:
            try:
                os.kill(holder.pid, sign)
                os.kill(holder.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
            except PermissionError:
                return False
        until = time.monotonic() + ENDS
        while held(folder) and time.monotonic() < until:
            time.sleep(0.05)
        if not held(folder):
            return True
    return False


def _start(pid: int) -> int:
    """When a process began, in ticks since boot (proc(5), field 22 of stat): a pid alone is used again; 0: unknown."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
