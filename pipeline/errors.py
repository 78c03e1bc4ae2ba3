"""Everything that can go wrong, as one tree; the exit code stands on the class.

::

    PipelineError (exit 1)
    ├── ManifestError         problems found by reading: every one of them, located
    ├── UsageError (exit 2)   a command line that can't be obeyed
    ├── PlanChanged           a saved plan whose inputs changed since
    ├── StorageError          a file that can't be written: the run ends before anything more is paid
    │   └── LedgerError       damaged, foreign, newer, gone, or not writable
    │       └── LedgerLocked  another runner holds the campaign
    ├── MediaError            bytes that are no acceptable picture
    │   ├── DownloadError     a picture that couldn't be fetched
    │   ├── ForeignFile       a file of another kind: a HEIC photo, a web page
    │   └── WrongPicture      a whole picture, but not the one that was asked for: kept aside for people
    ├── KeepError             a picture that this machine can't encode or write: its request stays open
    └── RequestError          a request that made no picture; its disposition says what follows
        ├── TryLater          nothing paid: the same request again, later
        ├── Refused           the vendor refuses this picture: fail it, don't try again by itself
        ├── LaneStopped       bad key, no credit: the lane's pictures stay pending
        └── LostAnswer        the paid call may or may not have been accepted
            └── Forgotten     accepted once, and the gateway doesn't know it any more
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

MOST_PROBLEMS = 100
"""Problems that are told one by one; what is wrong a hundred times is often wrong for one reason."""
_MOST_SIGNS = 600
"""Signs of a fact, a hint or a key path, at most."""


class PipelineError(Exception):
    """Anything this project reports to its user; never a bug in itself."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file: 1-based line and column, as editors count them.

    ``written``: how a number or a truth value is spelled there, where a program would spell it in another way.
    """

    file: str
    line: int
    column: int
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        """``file:line:column``."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, the key path, the fact, and the next step."""

    mark: Mark | None
    path: str
    fact: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """``manifest.yaml:12:9: products.mugs[0].id: fact; hint``."""
        place = f"{self.mark}: " if self.mark else ""
        path = f"{_short(self.path)}: " if self.path else ""
        kind = "warning: " if self.warning else ""
        return printable(f"{place}{kind}{path}{_short(self.fact)}" + (f"; {_short(self.hint)}" if self.hint else ""))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SIGNS else text[: _MOST_SIGNS - 1] + "…"


def printable(text: str) -> str:
    """A text as one line that does nothing to a terminal: control signs, line breaks and signs that turn the
    direction of writing come out as escapes.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


class ManifestError(PipelineError):
    """The problems of a manifest in reading order, a hundred at most; ``count`` is of all of them.

    ``more``: how many more there are than are given; None: nobody knows, as reading stopped there.
    """

    def __init__(self, problems: Iterable[Problem], more: int | None = 0) -> None:
        found = sorted(
            dict.fromkeys(problems),
            key=lambda p: (
                p.mark is None,
                (p.mark.file, p.mark.line, p.mark.column) if p.mark else ("", 0, 0),
            ),
        )
        self.problems = found[:MOST_PROBLEMS]
        self.count = len(found) + (more or 0)
        rest = self.count - len(self.problems)
        if rest or more is None:
            fact = "… and perhaps more" if more is None else f"… and {rest:,} more"
            self.problems.append(Problem(None, "", fact, "mend these first"))
        super().__init__("\n".join(map(str, self.problems)))


class UsageError(PipelineError):
    """A command line that can't be obeyed."""

    exit_code = 2


class PlanChanged(PipelineError):
    """A saved plan is not the plan that the inputs give today."""


class StorageError(PipelineError):
    """A file can't be written: the run ends, and nothing more is submitted."""


class LedgerError(StorageError):
    """The ledger can't be trusted: nothing is started, nothing is paid."""


class LedgerLocked(LedgerError):
    """Another runner holds this campaign."""


class MediaError(PipelineError):
    """Bytes that are no acceptable picture: broken, of another format or shape, or too large."""


class DownloadError(MediaError):
    """A picture could not be fetched; ``gone`` when its link has expired (403, 404, 410), ``final`` when no other try
    can help while this machine is as it is (a certificate that it doesn't trust).
    """

    def __init__(self, message: str, *, gone: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        self.final = final

    def __reduce__(self) -> tuple[type[DownloadError], tuple[str], dict[str, bool]]:
        """Survive the way back from a worker process."""
        return type(self), (str(self),), {"gone": self.gone, "final": self.final}


class ForeignFile(MediaError):
    """Bytes of a known kind that is none of ours.

    ``hint`` is what to do with the file, ``extension`` what such files are called; empty for what is no picture at all,
    and may be in a picture's place only for now: a web page, a text.
    """

    def __init__(self, message: str, hint: str = "", extension: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.extension = extension

    def __reduce__(self) -> tuple[type[ForeignFile], tuple[str, str, str]]:
        """Survive the way back from a worker process."""
        return type(self), (str(self), self.hint, self.extension)


class WrongPicture(MediaError):
    """A whole picture whose size, shape or number of frames is not what was asked for. Its bytes are kept aside."""


class KeepError(PipelineError):
    """This machine failed, not the picture: no codec, no memory, a name that its file system can't hold.

    The picture may be whole and is paid, so its request stays open and a later run fetches it again, free.
    """


class RequestError(PipelineError):
    """A request that made no picture. Subclasses are the dispositions. A vendor's words do nothing to a terminal."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class TryLater(RequestError):
    """Nothing paid: not accepted, or accepted and failed without being billed."""


class Refused(RequestError):
    """The vendor refuses this picture (validation, moderation): trying again by itself is useless.

    ``usd``: what it cost all the same, in micro-dollars; None: unknown, and then an accepted request counts at
    its price.
    """

    def __init__(self, message: str, *, usd: int | None = None) -> None:
        super().__init__(message)
        self.usd = usd


class LaneStopped(RequestError):
    """The account can't be used now (bad key, no credit): its pictures stay pending."""


class LostAnswer(RequestError):
    """The paid call left and no answer came: it may have been accepted, and may be billed."""


class Forgotten(LostAnswer):
    """The gateway doesn't know a request any more that it had accepted: it may have been billed."""


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups, as task groups raise them."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
