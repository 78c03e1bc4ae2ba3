"""What the commands share: reading a manifest, selecting cells, planning."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from pipeline.approvals import Approvals, read_approvals
from pipeline.cli.console import Console
from pipeline.cli.rehearsal import Places
from pipeline.cli.saved import saved_named
from pipeline.cli.selecting import NothingSelected, check_some, check_words, how_labels_are_built, look_up
from pipeline.cli.show import count
from pipeline.errors import PipelineError
from pipeline.expand import PRIVATE, Expansion, expand
from pipeline.former import known_to, settled
from pipeline.ledger import EMPTY, LEDGER, Ledger, Snapshot, read_ledger
from pipeline.manifest import load
from pipeline.plan import REJECTED, Plan, Selection, make_plan, named_by
from pipeline.plan.selectors import Named
from pipeline.sidecars import unadopted
from pipeline.types import Manifest, dollars, micro_usd
from pipeline.verdicts import reach_verdicts

MISSING, BUDGET, WORK, INTERRUPTED = 3, 4, 5, 130
"""Exit codes beside 0, 1 and 2."""


def read_manifest(arguments: argparse.Namespace, places: Places, file: str | None = None) -> Manifest:
    """A manifest, as these options read it."""
    manifest = load(
        file or arguments.manifest, providers=arguments.provider, places=places.urls, rehearsal=arguments.emulate
    )
    return places.paced(manifest) if places.emulated else manifest


def read_cells(arguments: argparse.Namespace, places: Places, file: str | None = None) -> Expansion:
    """The cells of a manifest, as these options read it."""
    return expand(read_manifest(arguments, places, file))


def private_folder(manifest: Manifest) -> Path:
    """Where a campaign's ledger lies."""
    return manifest.outputs.folder / PRIVATE


def warn_of(expansion: Expansion, console: Console) -> None:
    """Tell of what may be a mistake."""
    for problem in expansion.warnings:
        console.warn(str(problem))


def selected(arguments: argparse.Namespace, named: Named, pictures: frozenset[str] | None = None) -> Selection:
    """Which cells the options select; ``pictures``: those that a retake of the rejected ones is about."""
    return Selection(
        tuple(arguments.only or (arguments.retake if pictures is None else ()) or ()),
        tuple(arguments.exclude or ()),
        tuple(arguments.tag or ()),
        arguments.limit,
        pictures,
        named,
    )


def _rejected(
    expansion: Expansion,
    ledger: Ledger | None,
    arguments: argparse.Namespace,
    approvals: Approvals,
    named: Named,
    console: Console,
) -> frozenset[str]:
    """The pictures of ``--retake rejected``, and of the globs beside it. None is no mistake, but told."""
    snapshot = ledger.snapshot() if ledger else EMPTY
    expansion = settled(expansion, known_to(snapshot, approvals.by_key))
    now = reach_verdicts(expansion, ledger, snapshot, approvals).rejected if ledger else {}
    others = named_by(expansion.cells, [word for word in arguments.retake if word != REJECTED], named)
    if not now:
        before = sum(decision.rejected for decision in approvals.by_key.values())
        console.warn(
            f"no picture is rejected as it is now ({before:,} before): review the newest takes"
            if before
            else "no picture is rejected: decide on the contact sheet, export the decisions, "
            f"and bring them in with `pipeline review {arguments.manifest} --import decisions.json`"
        )
    return frozenset(now) | others


def planned(
    expansion: Expansion,
    ledger: Ledger | None,
    arguments: argparse.Namespace,
    console: Console,
    saved: dict[str, Any] | None = None,
    approvals: Approvals | None = None,
) -> Plan:
    """The plan that the options ask for. ``approvals``: those beside the manifest, when they were read already.

    Raises:
        UsageError: when they select nothing that is there.
    """
    approvals = read_approvals(expansion.manifest) if approvals is None else approvals
    if saved is None:
        check_words(arguments, expansion)
    named = look_up(arguments, expansion, ledger, approvals) if saved is None else saved_named(saved)
    pictures = None
    if REJECTED in (arguments.retake or ()):
        pictures = (
            _rejected(expansion, ledger, arguments, approvals, named, console)
            if saved is None
            else frozenset(saved["takes"])
        )
    made = make_plan(
        expansion,
        ledger,
        selection=selected(arguments, named, pictures),
        retake=() if saved else tuple(arguments.retake or ()),
        retry_failed=arguments.retry_failed,
        retry_uncertain=arguments.uncertain == "retry",
        takes=saved["takes"] if saved else None,
        approvals=approvals,
    )
    _check_adopted(expansion, ledger, made.snapshot, arguments)
    if respelled := _respelled_words(made):
        console.note(respelled)
    if saved is None:
        check_some(arguments, made)
    if arguments.retake and pictures != frozenset() and not saved and not _makes_again(made, expansion, approvals):
        raise NothingSelected(_no_retake(made))
    return made


def _respelled_words(plan: Plan) -> str:
    """What is said of pictures whose prompts an earlier version wrote with other numbers; empty where none are."""
    here = set(plan.expansion.respelled)
    pictures = {step.cell.picture.key for step in plan.steps if step.selected and step.cell.label in here}
    if not pictures:
        return ""
    one = next(label for label in plan.expansion.respelled).rpartition(".")[0]
    return (
        f"{count(len(pictures), 'picture')} made by an earlier version, which wrote numbers in another way (19.9 for "
        f"19.90): kept, and nothing is paid; to make one with the numbers of the manifest: --retake {shlex.quote(one)}"
    )


def _makes_again(plan: Plan, expansion: Expansion, approvals: Approvals) -> bool:
    """Whether a plan makes a picture that is made already; ``expansion``: as the manifest has it."""
    respelled = settled(expansion, known_to(plan.snapshot, approvals.by_key)).respelled
    owed = (step.cell.label for step in plan.steps if step.selected and step.action == "make")
    return any(take > 1 for take in plan.takes.values()) or not set(respelled).isdisjoint(owed)


def _no_retake(plan: Plan) -> str:
    """Why a retake makes nothing."""
    if plan.held:
        if len(plan.held) == 1:
            return "the picture is approved, and so frozen: withdrawing the approval (`pipeline review`) frees it"
        what = f"{len(plan.held):,} pictures are approved, and so frozen"
        return f"{what}: withdrawing the approvals (`pipeline review`) frees them"
    if plan.selection.pictures is not None:
        return "none of the rejected pictures can be made anew now: `pipeline plan -v` says why"
    return f"--retake matches no picture that is made already. {how_labels_are_built(plan.expansion)}"


def check_known(expansion: Expansion, arguments: argparse.Namespace) -> None:
    """Make sure that a campaign without a ledger has no pictures that were paid, before it is given one.

    Raises:
        PipelineError: when it has, or its ledger is gone.
    """
    private = private_folder(expansion.manifest)
    if (private / LEDGER).exists():
        return  # it is asked when it is open
    with read_ledger(private) as ledger:
        if ledger is None:
            _check_adopted(expansion, None, EMPTY, arguments)


def _check_adopted(
    expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot, arguments: argparse.Namespace
) -> None:
    if words := unadopted_words(expansion, ledger, snapshot, arguments):
        raise PipelineError(words)


def unadopted_words(
    expansion: Expansion, ledger: Ledger | None, snapshot: Snapshot, arguments: argparse.Namespace
) -> str:
    """What is said of paid pictures that lie here and that no ledger knows; empty where there are none."""
    told = unadopted(expansion, ledger, snapshot)
    if not told:
        return ""
    days = sorted(time.strftime("%Y-%m-%d", time.localtime(each.at)) for each in told if each.at is not None)
    when = " to ".join(dict.fromkeys(days[:1] + days[-1:]))
    paid = ", ".join(filter(None, (when, dollars(sum(each.usd or 0 for each in told)))))
    fact = "the ledger knows nothing of them" if ledger else f"the ledger that knew them ({PRIVATE}/) is gone"
    return (
        f"{expansion.manifest.outputs.folder}: {count(len(told), 'picture')} made here before ({paid}), as the "
        f"files beside them say, and {fact}: `{same_command('restore', arguments)}` adopts them and pays nothing; to "
        "pay for them again, move the folder away first"
    )


def same_command(name: str, arguments: argparse.Namespace) -> str:
    """Another command for the manifest of this one, as it is read here."""
    words = ["pipeline", name, shlex.quote(arguments.manifest)]
    words += [f"--provider {shlex.quote(provider)}" for provider in arguments.provider or ()]
    return " ".join([*words, *(["--emulate"] if arguments.emulate else [])])


def micro(amount: float | None) -> int | None:
    """Dollars of an option → micro-dollars."""
    return None if amount is None else micro_usd(amount)
