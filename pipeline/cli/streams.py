"""The standard streams, so that nothing a program says can end it: closed, full, a broken pipe, or of any encoding.

:func:`prepare` puts this in place once, before anything else; after that ``print``, progress bars and libraries may
write as they like. What was lost is remembered, and :func:`lost` gives it to whoever decides the exit code.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PLAIN = {
    "…": "...", "·": "-", "→": "->", "←": "<-", "×": "x", "–": "-", "—": "-", "≈": "~", "’": "'",
    "“": '"', "”": '"', "✓": "ok", "✕": "x", "█": "#",
}  # fmt: skip
"""What we say ourselves beyond ASCII, and how it is said in it."""


class _Descriptor(io.FileIO):
    """A file descriptor that takes all that is written, and remembers the first error in ``lost``."""

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write; what can't be written is dropped. A pipe that doesn't wait (another's choice) is waited for."""
        while self.lost is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.lost = error
            else:
                if written is not None:
                    return written
                import select

                select.select([], [self.fileno()], [])
        return memoryview(data).nbytes


def prepare() -> None:
    """Open what is closed and guard what is open; in a process whose streams are replaced already, do nothing.

    A closed descriptor is opened on the null device: else the next file that is opened would get its number, and with
    it whatever a library or a child process prints.
    """
    codecs.register_error("plain", _plain)
    closed = [descriptor for descriptor in range(3) if not _is_open(descriptor)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for the life of the process
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(2, sys.stderr)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _guarded(descriptor: int, before: object) -> io.TextIOWrapper:
    """A stream that never raises, in the place of Python's own (None: it was closed)."""
    raw = _Descriptor(descriptor, "w", closefd=False)
    encoding, lines = "utf-8", True
    if isinstance(before, io.TextIOWrapper):
        encoding, lines = before.encoding, descriptor == 2 or before.line_buffering or before.write_through
    else:
        raw.lost = OSError(errno.EBADF, "it is closed")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "plain", line_buffering=lines)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What an encoding can't write: our own signs in ASCII, anything else as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in text), error.end


def lost() -> OSError | None:
    """Why standard output could not be written, if so."""
    try:
        sys.stdout.flush()
    except OSError as error:  # a stream that is not ours
        return error
    return getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "lost", None)


def write_document(document: object) -> None:
    """Write one JSON document: in UTF-8, or with escapes where the encoding of standard output is another.

    Half a surrogate pair (of a file name that is no UTF-8) is written as its escape, which is JSON too.
    """
    import json

    ascii_only = not _is_utf8(getattr(sys.stdout, "encoding", None))
    text = json.dumps(document, indent=2, ensure_ascii=ascii_only) + "\n"
    data = text.encode("utf-8", "backslashreplace")
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream that is not ours
        sys.stdout.write(data.decode())
        return
    sys.stdout.flush()
    buffer.write(data)
    buffer.flush()


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "utf-8").name == "utf-8"
    except LookupError:
        return False
