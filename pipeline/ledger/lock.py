"""Who holds a campaign: one writer at a time, by a lock that the kernel frees when its holder ends, however it ends.

The lock is on the private folder itself, which nobody removes by mistake, and on the file in it that says who holds it:
some network shares lock only files that are open for writing, and only those for all of their machines.
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
    with contextlib.ExitStack() as stack:
        why = _taken(folder, _opened(folder, os.O_RDONLY, stack, "opened"))
        file = _opened(folder / HOLDER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, stack, "written")
        if _taken(folder, file) and why:
            raise LedgerError(
                f"{folder}: can't be locked ({why}), and two runs at once could pay for one picture: keep the output "
                "folder on a local disk (`outputs: {folder: …}`), and copy to the share what was made"
            )
        me = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"), _start(os.getpid()))
        try:
            os.ftruncate(file, 0)
            os.write(file, json.dumps(asdict(me)).encode() + b"\n")
        except OSError as error:
            raise LedgerError(f"{folder / HOLDER}: can't be written: {error.strerror}") from None
        yield


def _opened(path: Path, flags: int, stack: contextlib.ExitStack, verb: str) -> int:
    """A folder or file, open until the stack is closed."""
    try:
        handle = os.open(path, flags | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise LedgerError(f"{path}: can't be {verb}: {error.strerror}") from None
    stack.callback(os.close, handle)
    return handle


def _taken(folder: Path, handle: int) -> str:
    """Lock what is open; returns why its file system can't, if it can't.

    Raises:
        LedgerLocked: while another process holds it.
    """
    try:
        _take(handle)
    except BlockingIOError:
        raise _locked(folder) from None
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _take(handle: int) -> None:
    """Lock what is open, waiting no longer than others may glance at it."""
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
    return _is_locked(folder) or _is_locked(folder / HOLDER)


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
