"""Whether the ledger on disk is the one that was left there.

SQLite notices a damaged page only when it meets one, takes a flipped bit in a row for data, and forgets its last
commits without a word when its write-ahead log is gone or cut. So two things are kept beside it. The *seal*, in
``campaign.json``, is the SHA-256 of the database file: that file changes at checkpoints only, which are made when we
say so, and the seal is broken before one and set again after. The *serial* is the number of the last commit: a ledger
that knows fewer has lost some. (The log's own frames have checksums, and a bad one ends the log: the serial tells.)
An empty file opens as a valid empty SQLite database, and ``campaign.json`` remembers that there was a ledger.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pipeline.errors import LedgerError
from pipeline.files import write_whole
from pipeline.ledger.schema import APPLICATION_ID, VERSION

LEDGER, MARKER, SERIAL, BACKUPS = "ledger.sqlite", "campaign.json", "serial", "backup"
PRIVATE_FILE = 0o600
MOST_COMMITS = 10**15
"""A serial that is larger is damaged; SQLite counts as far as 9·10^18."""
_HEAD = b"SQLite format 3\0"


class Seal:
    """The seal and the serial of the ledger in a private folder."""

    def __init__(self, folder: Path, marker: dict[str, str] | None = None) -> None:
        """``marker``: what is remembered of the ledger; None: what the folder says.

        Raises:
            LedgerError: when the folder's marker is damaged.
        """
        self.folder = folder
        self.path = folder / LEDGER
        self.marker = _read_marker(folder / MARKER) if marker is None else marker
        self._serial: int | None = None  # the open file

    @property
    def existed(self) -> bool:
        """Whether this campaign has, or had, a ledger: nothing else in its folder comes before that."""
        if self.marker or self._size() > 0 or (self.folder / SERIAL).exists():
            return True
        return any(next((self.folder / name).glob("*"), None) for name in (BACKUPS, "originals"))

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def check_restored(self) -> None:
        """Whether no restore was cut short here: its ledger looks whole, and lacks what was not adopted yet.

        Raises:
            LedgerError: when one was.
        """
        if self.marker.get("restoring"):
            raise LedgerError(f"{self.path}: a restore was cut short: run `pipeline restore MANIFEST` again")

    def check_file(self) -> bool:
        """Whether the database file is as it was left; False when no seal says so, as a crash came in between.

        Raises:
            LedgerError: when it is gone, foreign, of a newer version, or not as it was left.
        """
        if not self._size():
            raise LedgerError(f"{self.path}: the ledger is gone, though this campaign had one: {self.help()}")
        if self.path.is_symlink():
            raise LedgerError(f"{self.path}: is a link: put the ledger itself there")
        try:
            with self.path.open("rb") as file:
                head = file.read(100)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise LedgerError(f"{self.path}: can't be read: {error.strerror}") from None
        if not head.startswith(_HEAD) or int.from_bytes(head[68:72], "big") != APPLICATION_ID:
            raise LedgerError(f"{self.path}: this is no ledger of campaign-pipeline: {self.help()}")
        if (version := int.from_bytes(head[60:64], "big")) > VERSION and self.marker.get("seal") in (None, digest):
            raise newer(self.path, version)
        if self.marker.get("seal") not in (None, digest) and not self._log_brought_in():
            raise LedgerError(
                f"{self.path}: is not as it was left: damaged, or changed by another program: {self.help()}"
            )
        return self.marker.get("seal") == digest

    def _log_brought_in(self) -> bool:
        """Whether another program may have brought the log of a killed run into the file, as SQLite does when the
        last connection closes, even one that only reads: then the log is empty, and there were commits since the seal.
        """
        try:
            log = self.path.with_name(f"{LEDGER}-wal")
            left = log.stat().st_size if log.exists() else 0
            return not left and int(self.marker["serial"]) < (self.last_serial() or 0)
        except (OSError, KeyError, ValueError):
            return False

    def check_contents(self, identity: str, serial: int, last: int | None) -> None:
        """Whether an open ledger is this campaign's, with all of its commits up to the ``last`` that was noted.

        Raises:
            LedgerError: when it isn't.
        """
        if self.marker and self.marker.get("ledger") != identity:
            raise LedgerError(f"{self.path}: this ledger belongs to another campaign folder: {self.help()}")
        if last is not None and last > serial:
            raise LedgerError(
                f"{self.path}: the last {last - serial} of its {last} commits are gone (was {LEDGER}-wal "
                f"removed or damaged?): {self.help()}"
            )

    def last_serial(self) -> int | None:
        """The number of the last commit as it was noted outside of the database."""
        path = self.folder / SERIAL
        try:
            if not 0 <= (last := int(path.read_text("ascii"))) < MOST_COMMITS:
                raise ValueError(last)
            return last
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise LedgerError(f"{path}: is damaged: {self.help()}") from None

    def note(self, serial: int) -> None:
        """A commit is durable: remember its number. Not synced, except for the first time, so that a power cut leaves
        no half of a file: an older number in it does no harm.
        """
        path, text = self.folder / SERIAL, b"%020d\n" % serial
        try:
            if self._serial is None:
                if not path.is_file() or path.stat().st_size != len(text):
                    write_whole(path, text, mode=PRIVATE_FILE)
                self._serial = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.pwrite(self._serial, text, 0)
        except OSError as error:
            raise LedgerError(f"{self.folder / SERIAL}: can't be written: {error.strerror}") from None

    def break_(self) -> None:
        """Before the database file changes."""
        self._write(self._without("seal"))

    def set(self, serial: int) -> None:
        """After it has changed; ``serial``: the number of the last commit."""
        with self.path.open("rb") as file:
            seal = hashlib.file_digest(file, "sha256").hexdigest()
        self._write(self.marker | {"seal": seal, "serial": str(serial)})

    def begin(self, campaign: str, identity: str) -> None:
        """Remember that this campaign has a ledger."""
        kept = {"restoring": self.marker["restoring"]} if "restoring" in self.marker else {}
        self._write({"campaign": campaign, "ledger": identity} | kept)

    def restoring(self) -> None:
        """From here on the ledger is not to be used, until :meth:`restored`."""
        self._write(self._without("seal") | {"restoring": "yes"})

    def restored(self) -> None:
        """All that there was to restore is in the ledger."""
        self._write(self._without("restoring"))

    def close(self) -> None:
        """Close the open file."""
        if self._serial is not None:
            os.close(self._serial)
            self._serial = None

    def help(self) -> str:
        """What to do about a ledger that can't be trusted."""
        return "`pipeline restore MANIFEST` brings back its last backup and every picture that lies here"

    def _without(self, name: str) -> dict[str, str]:
        return {other: value for other, value in self.marker.items() if other != name}

    def _write(self, marker: dict[str, str]) -> None:
        try:
            write_whole(self.folder / MARKER, json.dumps(marker, indent=1).encode() + b"\n", mode=PRIVATE_FILE)
        except OSError as error:
            raise LedgerError(f"{self.folder / MARKER}: can't be written: {error.strerror}") from None
        self.marker = marker


def newer(path: Path, version: int) -> LedgerError:
    """What to say of a ledger of a later version."""
    return LedgerError(f"{path}: made by a newer campaign-pipeline (ledger version {version}): update this one")


def _read_marker(path: Path) -> dict[str, str]:
    try:
        marker = json.loads(path.read_text("utf-8"))
        return {str(name): str(value) for name, value in marker.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        text = f"{path}: is damaged: `pipeline restore MANIFEST` makes it anew"
        raise LedgerError(text) from None
