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


class Guarded(io.TextIOWrapper):
    """A stream that takes all that is written: the first error is remembered in ``lost``, and the rest is dropped.

    It is guarded here and not below its buffer: that is C, so that no signal can come between a write and the news
    of it, after which the same would be written again.
    """

    lost: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write, or drop."""
        if self.lost is None:
            try:
                return super().write(text)
            except OSError as error:
                self.lost = error
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        if self.lost is None:
            try:
                super().flush()
            except OSError as error:
                self.lost = error

    def write_bytes(self, data: bytes) -> None:
        """Write what is encoded already."""
        self.flush()
        if self.lost is None:
            try:
                self.buffer.write(data)
                self.buffer.flush()
            except OSError as error:
                self.lost = error


class _Waiting(io.FileIO):
    """A descriptor that another program made one that doesn't wait (a pipe of Node, say): it is waited for here."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write when there is room."""
        import select

        while (written := super().write(data)) is None:
            select.select([], [self.fileno()], [])
        return written


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
        sys.stdout = guarded(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = guarded(2, sys.stderr)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def guarded(descriptor: int, before: object) -> Guarded:
    """A stream that never raises, in the place of Python's own (None: it was closed)."""
    kind = io.FileIO if os.get_blocking(descriptor) else _Waiting
    encoding, lines = "utf-8", True
    if isinstance(before, io.TextIOWrapper):
        encoding, lines = before.encoding, descriptor == 2 or before.line_buffering or before.write_through
    buffer = io.BufferedWriter(kind(descriptor, "w", closefd=False))
    stream = Guarded(buffer, encoding, "plain", line_buffering=lines)
    if before is None:
        stream.lost = OSError(errno.EBADF, "it is closed")
    return stream


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """What an encoding can't write: our own characters in ASCII, anything else as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in text), error.end


def lost() -> OSError | None:
    """Why standard output could not be written, if so."""
    sys.stdout.flush()
    return sys.stdout.lost if isinstance(sys.stdout, Guarded) else None


def write_document(document: object) -> None:
    """Write one JSON document: in UTF-8, or with escapes where the encoding of standard output is another.

    Half a surrogate pair (of a file name that is no UTF-8) is written as its escape, which is JSON too.
    """
    import json

    ascii_only = not _is_utf8(getattr(sys.stdout, "encoding", None))
    text = json.dumps(document, indent=2, ensure_ascii=ascii_only) + "\n"
    data = text.encode("utf-8", "backslashreplace")
    if isinstance(sys.stdout, Guarded):
        sys.stdout.write_bytes(data)
    else:  # a stream that is not ours, in a test
        sys.stdout.write(data.decode())


def _is_utf8(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "utf-8").name == "utf-8"
    except LookupError:
        return False
