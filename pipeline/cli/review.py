"""``pipeline review``: decisions on pictures, brought in from files or taken on the served sheet."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from typing import Any

from pipeline.approvals import Merge, adopt, approvals_file, read_decided, read_decisions
from pipeline.cli.console import Console
from pipeline.cli.rehearsal import environment_places
from pipeline.cli.shared import check_known, private_folder, read_cells
from pipeline.cli.show import count
from pipeline.errors import ManifestError, UsageError, printable
from pipeline.ledger import read_ledger

_TOLD = 10
"""Pictures that are named one by one."""
_LEAVE = 8.0  # seconds: whoever ended it does not wait for a sheet that is still being drawn


def review(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline review``."""
    if not arguments.files:
        return serve(arguments, console)
    if arguments.port:
        raise UsageError("--port is for serving the sheet: leave it out, or --import")
    return bring_in(arguments, console)


def serve(arguments: argparse.Namespace, console: Console) -> int:
    """Serve the contact sheet on this machine until Ctrl-C, and write what is decided on it."""
    from pipeline.review import Sheets, serve

    places = environment_places()
    check_known(read_cells(arguments, places), arguments)
    sheets = Sheets(lambda: read_cells(arguments, places), console.warn)
    ways = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    ways = {way for way in ways if signal.getsignal(way) != signal.SIG_IGN}  # as by nohup
    signal.pthread_sigmask(signal.SIG_BLOCK, ways)  # before there are threads: they take it over
    with serve(sheets, arguments.port) as url:
        if arguments.json:
            console.result(json.dumps({"url": url}))  # one line, which a script reads while this goes on
            console.answered = True
        else:
            console.result(url)
        sys.stdout.flush()
        console.note("open it in a browser; decisions go into approvals.yaml beside the manifest. Ctrl-C ends")
        signal.sigwait(ways)
        bound = threading.Timer(_LEAVE, os._exit, (0,))
        bound.daemon = True
        bound.start()
        if sys.stderr.isatty():
            console.note("")  # the terminal has written ^C
    manifest = shlex.quote(arguments.manifest)
    if sheets.written:
        console.note(f"{count(sheets.written, 'decision')} written; next: pipeline plan {manifest}")
        console.note(f"pipeline report {manifest} brings the contact sheet up to date")
    return 0


def bring_in(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline review --import``."""
    expansion = read_cells(arguments, environment_places())
    campaign, problems, decisions = expansion.manifest.campaign, [], []
    for file in arguments.files:
        try:
            if file.endswith((".yaml", ".yml")):
                decisions += read_decided(file, expansion.manifest)
            else:
                decisions += read_decisions(file, campaign)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems)
    with read_ledger(private_folder(expansion.manifest)) as ledger:
        merge = adopt(expansion, ledger, decisions)
    if arguments.json:
        console.answer = _document(merge, str(approvals_file(expansion.manifest)))
        return 0
    _say(merge, str(approvals_file(expansion.manifest)), arguments, console)
    return 0


def _say(merge: Merge, file: str, arguments: argparse.Namespace, console: Console) -> None:
    approved = sum(decision.approved for decision in merge.adopted)
    rejected = sum(decision.rejected for decision in merge.adopted)
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (approved, "approved"),
            (rejected, "rejected"),
            (len(merge.adopted) - approved - rejected, "with stars or a note only"),
            (len(merge.withdrawn), "withdrawn"),
        )
        if number
    ]
    changed = len(merge.adopted) + len(merge.withdrawn)
    what = f"{count(changed, 'decision')} adopted ({', '.join(parts)})" if changed else "nothing new"
    console.result(f"{file}: {what}")
    if merge.same:
        console.note(f"{count(merge.same, 'decision')} there already")
    if merge.older:
        console.note(f"{count(len(merge.older), 'decision')} older than what is there: left out")
    if merge.unknown:
        labels = ", ".join(decision.label for decision in merge.unknown[:_TOLD])
        more = ", …" if len(merge.unknown) > _TOLD else ""
        console.warn(
            printable(
                f"{count(len(merge.unknown), 'decision')} on pictures that are not of this campaign: {labels}{more}"
            )
        )
    for one in merge.disagreements:
        said = ", ".join(decision.words() for decision in one.sayings)
        console.warn(printable(f"{one.label}: {said}; the newest counts"))
    manifest = shlex.quote(arguments.manifest)
    if any(decision.rejected for decision in merge.approvals.by_key.values()):
        console.note(f"next: pipeline plan {manifest} --retake rejected")
    elif changed:
        console.note(f"next: pipeline plan {manifest}")


def _document(merge: Merge, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "adopted": len(merge.adopted),
        "withdrawn": len(merge.withdrawn),
        "same": merge.same,
        "older": len(merge.older),
        "unknown": [{"picture": decision.picture, "label": decision.label} for decision in merge.unknown],
        "disagreements": [
            {
                "label": one.label,
                "sayings": [
                    {"who": said.who, "decision": said.decision, "note": said.note, "when": said.when}
                    for said in one.sayings
                ],
            }
            for one in merge.disagreements
        ],
    }
