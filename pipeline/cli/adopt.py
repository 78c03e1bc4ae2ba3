"""``pipeline adopt``: files that a person made or accepted become takes of their pictures."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path

from pipeline.approvals import read_approvals
from pipeline.cli.console import Console
from pipeline.cli.rehearsal import environment_places
from pipeline.cli.shared import check_known, private_folder, read_cells
from pipeline.errors import UsageError, printable
from pipeline.former import known_to, settled
from pipeline.ledger import check_free, open_ledger
from pipeline.plan import make_plan
from pipeline.sidecars import BY_HAND


def adopt(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline adopt``."""
    from pipeline.byhand import Taken, belongs, take_in
    from pipeline.publish import Publisher

    if arguments.label is not None and len(arguments.files) > 1:
        raise UsageError("--as names the picture of one file: give the others one by one")
    expansion = read_cells(arguments, environment_places())
    manifest = expansion.manifest
    check_known(expansion, arguments)
    check_free(private_folder(manifest))
    taken: list[tuple[str, str, Taken]] = []
    with open_ledger(private_folder(manifest), manifest.campaign) as ledger:
        approvals = read_approvals(manifest)
        expansion = settled(expansion, known_to(ledger.snapshot(), approvals.by_key))
        meant = [(file, *belongs(expansion, Path(file), arguments.label)) for file in arguments.files]
        for file, picture, word in meant:
            taken.append((file, BY_HAND[word], take_in(expansion, ledger, Path(file), picture, word)))
        after = make_plan(expansion, ledger, approvals=approvals)
        publisher = Publisher(after, ledger, approvals=approvals)
        publisher.publish()
    if arguments.json:
        tell_of_aside(publisher.aside, arguments.manifest, console)
        document = [
            {
                "file": file,
                "label": each.label,
                "take": each.take,
                "by_hand": words,
                "already": each.already,
                "differs": each.differs or None,
                "set_aside": list(each.aside),
            }
            for file, words, each in taken
        ]
        console.answer = document
        return 0
    for file, words, each in taken:
        if each.already:
            console.result(f"{file}: is take {each.take} of {each.label} already")
            continue
        console.result(f"{file}: is take {each.take} of {each.label} now, {words}, for $0.00")
        if each.differs:
            console.warn(f"{file}: {each.differs}")
        if each.label in after.stale:
            console.warn(f"{each.label}: approved before, but {after.stale[each.label]}: decide on this take")
        tell_of_aside(each.aside, arguments.manifest, console)
    tell_of_aside(publisher.aside, arguments.manifest, console)
    return 0


def tell_of_aside(files: Iterable[str], manifest: str, console: Console) -> None:
    """Say where files lie now that a person had made or changed in the place of ours."""
    for file in files:
        command = f"pipeline adopt {shlex.quote(manifest)} {shlex.quote(file)}"
        keep = "" if file.endswith(".json") else f"; `{command}` keeps it as a take of its picture"
        console.warn(f"set aside: {printable(file)} (edited by hand){keep}")
