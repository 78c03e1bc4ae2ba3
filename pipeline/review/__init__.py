"""The contact sheet, served on this machine: it follows a run as it goes on, and what is decided on it goes straight
into ``approvals.yaml``.

Whoever knows the address may decide, and nobody else: it holds a token, the port is open to this machine only, and a
page of another origin can neither read the sheet nor send decisions. ``sheets`` keeps the sheet up to date, ``server``
speaks HTTP.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from pipeline.errors import PipelineError
from pipeline.review.server import HOST, MOST, Server
from pipeline.review.sheets import Sheets

__all__ = ["HOST", "MOST", "Sheets", "serve"]

_POLL = 0.05  # seconds until the server notices that it is to stop


@contextlib.contextmanager
def serve(sheets: Sheets, port: int = 0) -> Iterator[str]:
    """Serve a sheet while a ``with`` block lasts; gives the address to open, which holds the token.

    ``port``: 0 for any free one.

    Raises:
        PipelineError: when the port can't be had.
    """
    try:
        server = Server(sheets, port)
    except OSError as error:
        where = f"port {port}" if port else "a free port"
        raise PipelineError(
            f"can't listen on {where} of {HOST}: {error.strerror or error}; choose another --port, or none for any "
            "free one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="review", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        sheets.close()
