"""System calls of a run: which of them write, how to let one fail, and in which order they came."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakes.order import Event

WRITES = ("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate", "mkdir", "chmod")
"""The calls by which Python and SQLite change a disk."""
BY_NAME = frozenset({"openat", "rename", "unlink", "mkdir", "chmod"})
_LINE = re.compile(r"^(?:(\d+) +)?(\d+\.\d+) (\w+)\((.*)$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CALLED = re.compile(rf'"{{\\"id\\":\\"({_ID.pattern})|"GET /jobs/({_ID.pattern})')
_FILE = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Line:
    """One call: which thread, when (Unix seconds), on which files, and whether it was made to fail."""

    thread: int
    at: float
    call: str
    paths: tuple[str, ...]  # the last one is what it makes
    text: str

    @property
    def injected(self) -> bool:
        """Whether strace let it fail, or killed it."""
        return "(INJECTED)" in self.text

    @property
    def failed(self) -> bool:
        """Whether it failed of itself."""
        return " = -1 " in self.text and not self.injected

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.call in WRITES and (self.call != "openat" or "O_WRONLY" in self.text or "O_RDWR" in self.text)


@dataclass(frozen=True, slots=True)
class Place:
    """The n-th call of a kind on a file, in one thread."""

    call: str
    path: str
    number: int
    main: bool  # the thread that began
    to: str = ""  # the new name, where it is renamed

    def __str__(self) -> str:
        return f"{self.call} {self.number} of {Path(self.to or self.path).name}"


def available() -> bool:
    """Whether strace is installed."""
    return shutil.which("strace") is not None


def read(trace: Path) -> list[Line]:
    """The calls of a trace, in order; a call that was interrupted by another thread's stands where it began."""
    lines = []
    for text in trace.read_text("utf-8", "replace").splitlines():
        if found := _LINE.match(text):
            thread, at, call, rest = found.groups()
            lines.append(Line(int(thread or 0), float(at), call, _paths(call, rest), rest))
    return lines


def _paths(call: str, rest: str) -> tuple[str, ...]:
    if call in BY_NAME:
        return tuple(_STRING.findall(rest))[:2]
    found = _FILE.match(rest)
    return (found.group(1),) if found else ()


def places(lines: list[Line], folder: Path) -> list[Place]:
    """Every call that changes something in a folder."""
    inside, seen = f"{folder}/", Counter[tuple[int, str, str]]()
    found = []
    for line in lines:
        if not line.paths:
            continue
        path, to = line.paths[0], "".join(line.paths[1:])  # strace finds a rename by its first name
        seen[line.thread, line.call, path] += 1
        if line.writes and not line.failed and f"{path}/".startswith(inside):
            number = seen[line.thread, line.call, path]
            found.append(Place(line.call, path, number, line.thread == lines[0].thread, to))
    return found


def tracer(pid: int, trace: Path, *options: str) -> subprocess.Popen[bytes]:
    """strace, attached to a process that waits for it."""
    command = ["strace", "-qq", "-y", "-ttt", "-o", str(trace), "-e", "signal=none", *options, "-p", str(pid)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{pid}/status")
    while "TracerPid:\t0" in status.read_text():
        if process.poll() is not None:
            raise RuntimeError("strace can't attach to a process here: is tracing allowed?")
    return process


def everything() -> list[str]:
    """Options to see all that writes, with what it writes, and all that is sent, in every thread."""
    return ["-f", "-s", "5000", "-e", f"trace={','.join((*WRITES, 'sendto'))}"]


def failing(place: Place, how: str) -> list[str]:
    """Options that let one call fail. ``how``: an error's name, with ``+`` for good, or ``kill``."""
    what = "signal=KILL" if how == "kill" else f"error={how.rstrip('+')}"
    when = f"{place.number}{'+' if how.endswith('+') else ''}"
    only = [] if place.main else ["-f"]
    return [*only, "-e", f"trace={place.call}", "-e", f"inject={place.call}:{what}:when={when}", "-P", place.path]


def events(lines: list[Line], folder: Path) -> Iterator[Event]:
    """What a trace says of the order of things. The fake gateway's paid call names its request, and so do its polls."""
    inside = f"{folder}/"
    for line in lines:
        if line.call == "sendto" and (found := _CALLED.search(line.text)):
            yield Event("post" if found.group(1) else "poll", found.group(1) or found.group(2))
        if line.failed or not line.paths or not f"{line.paths[-1]}/".startswith(inside):
            continue
        if line.call in ("write", "pwrite64", "ftruncate") or (line.call == "openat" and "O_TRUNC" in line.text):
            yield Event("write", line.paths[-1], ids=frozenset(_ID.findall(line.text)))
        elif line.call in ("fsync", "fdatasync"):
            yield Event("sync", line.paths[-1])
        elif line.call == "rename":
            yield Event("rename", line.paths[0], line.paths[-1])
