"""Commands about what a campaign may be trusted with: ``verify``, ``restore``, ``unlock``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from pipeline.cli.console import Console
from pipeline.cli.rehearsal import environment_places
from pipeline.cli.shared import MISSING, check_known, private_folder, read_cells, read_manifest
from pipeline.cli.show import count, spent_words
from pipeline.errors import LedgerLocked, PipelineError
from pipeline.executors import default_workers
from pipeline.former import settled
from pipeline.gateways import DIALECTS
from pipeline.ledger import RequestRow, end, held, holder, make_private, newest, open_ledger, put_back, read_ledger
from pipeline.sidecars import read_all
from pipeline.types import dollars
from pipeline.verify import Damage, Verified

_SETTLED = {
    "id": "the next run finds it by its id and continues it",
    "trace": "the next run looks for it in the account's log",
    "none": "look for it in the account's history; `pipeline run --uncertain retry` asks anew, and may pay again",
}


def verify(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline verify``."""
    from pipeline.verify import repair, verify

    manifest = read_manifest(arguments, environment_places())
    folder, private = manifest.outputs.folder, private_folder(manifest)
    started = time.monotonic()
    with read_ledger(private) as ledger:
        if ledger is None:
            check_known(read_cells(arguments, environment_places()), arguments)
            raise PipelineError(f"{arguments.manifest}: this campaign was never run; there is nothing to verify")
        found = verify(ledger, folder, arguments.subset, default_workers())
        open_requests, backup = ledger.open_requests(), newest(private)
    if found.ledger:
        raise PipelineError(f"{private / 'ledger.sqlite'}: {found.ledger}: `pipeline restore` brings a backup back")
    back = 0
    if found.damaged:
        try:
            with open_ledger(private, manifest.campaign) as ledger:
                back = repair(ledger, folder, found.damaged)
        except LedgerLocked:
            console.warn("a run holds this campaign: verify again when it has ended, so that the next one mends this")
    code = MISSING if found.damaged else 0
    if arguments.json:
        console.answer = _document(found, open_requests, code)
        return code
    for damage in found.damaged:
        console.result(console.style(f"{damage.path}: {damage.fact}{_mended(damage, back)}", "red"))
    for row in open_requests:
        console.result(console.style(_open_line(row), "yellow"))
    edited = sum(damage.edited for damage in found.damaged)
    saved = f"backup of commit {backup.serial:,}" if backup else "no backup yet"
    console.note(
        f"{count(found.files, 'file')} read ({found.bytes / 1e6:,.1f} MB), {len(found.damaged) - edited} damaged"
        f"{f', {edited} edited by hand' if edited else ''} · "
        f"ledger whole, {saved} · {count(len(open_requests), 'open request')} · {time.monotonic() - started:.1f} s"
    )
    if len(found.damaged) > edited:
        console.note("the next run makes what is damaged again: free, where the kept original or a copy of it is whole")
    return code


def _mended(damage: Damage, back: int) -> str:
    """What becomes of a damaged file, where it isn't made anew for free."""
    if damage.file and damage.edited:
        return ": the next run sets it aside; keep it with `pipeline adopt`"
    if damage.file:
        return ""
    if damage.copy:
        return " (put back from a copy)" if back else ""
    if damage.lost and not getattr(damage.row, "usd", 0):
        return ": nothing whole is left of this picture, so it is owed again where it is wanted"
    if damage.lost:
        return ": nothing whole is left of this picture; --retry-failed makes it again, and pays"
    return ": no copy of it is left, though files of the picture are whole; --retake LABEL makes it anew, and pays"


def _open_line(row: RequestRow) -> str:
    """An open request, and what becomes of it."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.created))
    fate = "the next run continues it"
    if row.state != "accepted":
        dialect = DIALECTS.get(row.gateway)
        fate = _SETTLED["none" if row.state == "uncertain" or dialect is None else dialect.settles]
    theirs = f", there {row.remote}" if row.remote else ""
    return (
        f"{row.state}: {row.label} at {row.provider}, {dollars(row.reserved)}, asked for at {when}, "
        f"request {row.id}{theirs}: {fate}"
    )


def _document(found: Verified, open_requests: tuple[RequestRow, ...], code: int) -> dict[str, Any]:
    return {
        "files": found.files,
        "bytes": found.bytes,
        "damaged": [
            {"path": d.path, "fact": d.fact, "copy": d.copy or None, "lost": d.lost, "edited": d.edited}
            for d in found.damaged
        ],
        "open_requests": [
            {"id": r.id, "label": r.label, "provider": r.provider, "state": r.state, "usd": r.reserved / 1e6}
            for r in open_requests
        ],
        "exit_code": code,
    }


def restore(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline restore``."""
    from pipeline.restore import adopt

    expansion = read_cells(arguments, environment_places())
    manifest, private = expansion.manifest, private_folder(expansion.manifest)
    if not private.is_dir():
        told = read_all(manifest.outputs.folder)
        if not told.keys() & settled(expansion, told.keys()).pictures.keys():
            raise PipelineError(f"{arguments.manifest}: this campaign was never run; there is nothing to restore")
        make_private(private)
    source = Path(arguments.source) if arguments.source else None
    with put_back(private, manifest.campaign, source) as (ledger, done):
        adopted = adopt(expansion, ledger)
        money = ledger.money()
    what = f"the backup {done.backup.name}" if done.backup else "an empty ledger (there was no whole backup)"
    console.result(f"put back: {what}; {spent_words(money)}")
    if adopted.pictures:
        lossy = f"; {adopted.renditions:,} from a rendition, as the original is gone" if adopted.renditions else ""
        console.result(
            f"adopted: {count(adopted.pictures, 'picture')} found here and unknown to it; none is paid again{lossy}"
        )
    if adopted.gone:
        gone = (
            f"{count(adopted.gone, 'picture')} made before and gone: not made again without --retry-failed, which pays"
        )
        console.warn(gone)
    if not manifest.proof and done.lost != 0:
        after = count(done.lost, "commit") if done.lost else "what came"
        console.warn(
            f"{after} after it can't be brought back: a request that was in flight then would be asked for, and "
            "paid, again; compare with the gateway's own bill before the next run"
        )
    stood = f"what stood there lies in {done.aside}; " if done.aside else ""
    console.note(f"{stood}next: pipeline verify, then pipeline run")
    return 0


def unlock(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline unlock``."""
    private = private_folder(read_manifest(arguments, environment_places()))
    if not held(private):
        console.result("nothing holds this campaign: the lock of a run that ended, however it did, is free at once")
        return 0
    who = holder(private)
    if who is None or not who.here:
        raise LedgerLocked(f"held by {who or 'a process that did not say who it is'}: end it where it runs")
    if not arguments.force:
        raise LedgerLocked(f"held by {who}, which runs: wait for it, or end it with --force; nothing paid is lost")
    if not end(who, private):
        raise LedgerLocked(f"{who} could not be ended: end it as its own user")
    console.result(f"ended {who}: the campaign is free, and the next run continues")
    return 0
