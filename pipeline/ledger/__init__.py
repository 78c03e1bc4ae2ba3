"""The ledger: a campaign's SQLite checkpoint of intents, receipts, pictures, files and money.

It lies at ``<output folder>/.pipeline/ledger.sqlite``. One writer at a time, held by a lock that the kernel frees
when the holder dies. Every write is durable when :meth:`Ledger.commit` returns (WAL, ``synchronous=FULL``), so that
an intent is on disk before a paid call leaves. What is not as it was left is refused (``seal``), and the last few
states are kept (``backup``).
"""

from pipeline.ledger.book import HAND, Ledger
from pipeline.ledger.lock import Holder, check_free, end, held, holder
from pipeline.ledger.opening import make_private, open_ledger, read_ledger
from pipeline.ledger.restoring import Restored, newest, put_back
from pipeline.ledger.rows import (
    EMPTY,
    Account,
    FailureRow,
    FileRow,
    Money,
    PictureRow,
    RequestRow,
    Snapshot,
)
from pipeline.ledger.seal import LEDGER

__all__ = [
    "EMPTY",
    "HAND",
    "LEDGER",
    "Account",
    "FailureRow",
    "FileRow",
    "Holder",
    "Ledger",
    "Money",
    "PictureRow",
    "RequestRow",
    "Restored",
    "Snapshot",
    "check_free",
    "end",
    "held",
    "holder",
    "make_private",
    "newest",
    "open_ledger",
    "put_back",
    "read_ledger",
]
