"""``pipeline report``: the contact sheet again, and one to send."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.approvals import read_approvals
from pipeline.cli.console import Console
from pipeline.cli.rehearsal import environment_places
from pipeline.cli.shared import check_known, private_folder, read_cells
from pipeline.cli.show import count
from pipeline.errors import PipelineError, UsageError
from pipeline.ledger import read_ledger
from pipeline.plan import make_plan

if TYPE_CHECKING:
    from pipeline.report.thumbs import Thumbs
    from pipeline.report.view import SheetView


def report(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline report``."""
    for option, named in (("-o", arguments.output), ("--pdf", arguments.pdf)):
        if named == "":
            raise UsageError(f"{option} names no file: an empty variable, perhaps")
    expansion = read_cells(arguments, environment_places())
    with read_ledger(private_folder(expansion.manifest)) as ledger:
        if ledger is None:
            check_known(expansion, arguments)
            raise PipelineError(f"{arguments.manifest}: this campaign was never run; `pipeline run` it first")
        from pipeline.publish import sheet_view

        approvals = read_approvals(expansion.manifest)
        view = sheet_view(make_plan(expansion, ledger, approvals=approvals), ledger, approvals=approvals)
    _deliver(view, expansion.manifest.outputs.folder, arguments, console)
    return 0


def _deliver(view: SheetView, folder: Path, arguments: argparse.Namespace, console: Console) -> None:
    """Write the sheet, and its PDF, to where they are wanted, and say how its thumbnails travel."""
    from pipeline.publish import deliver, deliver_pdf
    from pipeline.report.pdf import find_chromium
    from pipeline.report.thumbs import INLINE

    if arguments.pdf:
        find_chromium()  # before anything is written
    inline = INLINE if arguments.inline is None else round(arguments.inline * 1e6)
    done = deliver(view, folder, arguments.output, inline=inline, originals=arguments.originals)
    tell_of_thumbs(done.thumbs, done.beside, console)
    files = f", with {count(done.originals, 'picture file')}" if arguments.originals else ""
    size = f" ({done.path.stat().st_size / 1e6:,.1f} MB)" if done.path.is_file() else ""
    console.result(f"contact sheet: {done.path}{size}{files}")
    if arguments.pdf:
        pages = deliver_pdf(view, folder, Path(arguments.pdf))
        console.result(f"PDF: {arguments.pdf}, {count(pages, 'page')}")


def tell_of_thumbs(thumbs: Thumbs, beside: str, console: Console) -> None:
    """Say how the thumbnails of a sheet travel, where they don't simply travel inside it."""
    size = f"{count(thumbs.count, 'thumbnail')} ({thumbs.bytes / 1e6:,.1f} MB)"
    if thumbs.how == "beside" and beside:
        told = f"stand beside the sheet in {beside}: to send it, `report -o sheet.zip`; --inline MB embeds them"
        console.warn(f"{size} {told}")
    elif thumbs.how == "smaller":
        console.warn(f"{size} were made smaller to fit into the sheet; `pipeline report M --inline MB` makes room")
