"""``pipeline run``: from the plan to the last line on the terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.addresses import Reach
from pipeline.approvals import Approvals, read_approvals
from pipeline.budget import Cap
from pipeline.cli.adopt import tell_of_aside
from pipeline.cli.console import Console, failure_json
from pipeline.cli.ending import failures, say_end, say_review
from pipeline.cli.rehearsal import Places, called_at, check_reach, environment_places, forget_open
from pipeline.cli.saved import check_inputs, read_plan
from pipeline.cli.shared import (
    BUDGET,
    INTERRUPTED,
    MISSING,
    check_known,
    micro,
    planned,
    private_folder,
    read_manifest,
    warn_of,
)
from pipeline.cli.sheets import tell_of_thumbs
from pipeline.cli.show import caps_json, count, held_words, review_json, spent_words
from pipeline.errors import ManifestError, PipelineError
from pipeline.executors import default_workers, find_executor, open_executor
from pipeline.expand import Expansion, expand
from pipeline.files import sweep
from pipeline.former import known_to, settled
from pipeline.ledger import EMPTY, Ledger, Money, check_free, open_ledger, read_ledger
from pipeline.plan import Plan, make_plan
from pipeline.precheck import check_machine, check_room
from pipeline.types import Json, Manifest, dollars, micro_usd
from pipeline.unread import read_kept

if TYPE_CHECKING:
    from pipeline.engine.hints import Hints
    from pipeline.webhooks import Place


_MOST_LISTED = 40
"""Files that --prune lists by itself."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline run``."""
    saved = read_plan(arguments)
    with called_at(arguments, console) as places:
        return _run(arguments, console, saved, places)


def try_out(arguments: argparse.Namespace, console: Console) -> None:
    """All that a run checks, and asks, before it pays: of several manifests, each is tried before the first is run.

    Raises:
        PipelineError: for what would end the run before anything is paid.
    """
    from pipeline.run import check_way, keys_for

    saved = read_plan(arguments)
    places = Places(emulated=True) if arguments.emulate else environment_places()
    expansion, approvals, _ = _read(arguments, saved, places)
    console.campaign = expansion.manifest.campaign
    with read_ledger(private_folder(expansion.manifest)) as ledger:
        plan = planned(expansion, ledger, arguments, console, saved, approvals)
    check_room(plan)
    if plan.work:
        check_way(plan)
        if not (places.emulated or plan.manifest.proof):
            _confirm(plan, arguments, console)
            keys_for(plan)


def _read(
    arguments: argparse.Namespace, saved: dict[str, Any] | None, places: Places, *, free: bool = False
) -> tuple[Expansion, Approvals, Reach]:
    """What a run is about, checked as far as that goes without the ledger; ``free``: and that no other run holds it."""
    manifest = read_manifest(arguments, places)
    if free:
        check_free(private_folder(manifest))
    expansion = expand(manifest)
    approvals = read_approvals(manifest)
    if saved is not None:
        with read_ledger(private_folder(manifest)) as known:
            check_inputs(saved, settled(expansion, known_to(known.snapshot() if known else EMPTY, approvals.by_key)))
    reach = places.reach(private=arguments.allow_private)
    check_reach(manifest, reach)
    check_machine(expansion)
    find_executor(arguments.executor)
    check_known(expansion, arguments)
    return expansion, approvals, reach


def _run(arguments: argparse.Namespace, console: Console, saved: dict[str, Any] | None, places: Places) -> int:
    started = time.monotonic()
    expansion, approvals, reach = _read(arguments, saved, places, free=True)
    manifest = expansion.manifest
    warn_of(expansion, console)
    console.campaign = manifest.campaign
    for provider in () if places.emulated else manifest.providers:
        if provider.base_url:
            console.note(f"{provider.name} is called at {provider.base_url}")
    with open_ledger(private_folder(manifest), manifest.campaign) as ledger:
        _tidy(ledger, manifest, console, emulated=places.emulated)
        before = planned(expansion, ledger, arguments, console, saved, approvals)
        for words in (*check_room(before), *([held_words(before)] if before.held else [])):
            console.warn(words)
        files = _confirm_prune(before, arguments, console) if arguments.prune else []
        code, document = _carry_out(before, ledger, arguments, console, places, reach)
        if files:
            _prune(before, ledger, files, console)
        if ledger.cut_short():  # by an earlier run, or this one comes to its end here
            ledger.commit([Ledger.end_run])
        approvals = _decided(manifest, approvals)
        after = make_plan(expansion, ledger, selection=replace(before.selection, limit=None), approvals=approvals)
        from pipeline.publish import THUMBS, Publisher

        budget = micro(arguments.budget)
        reached = [cap for cap in before.caps(budget) if cap.name in document["reached"]]
        stopped = before.keys_under(reached)
        publisher = Publisher(after, ledger, stopped=stopped, approvals=approvals)
        sheet = publisher.publish()
        code = _final_code(code, document, before, after, limited=arguments.limit is not None or saved is not None)
        money = ledger.money()
    if ledger.not_backed_up:
        console.warn(ledger.not_backed_up)
    if publisher.thumbs is not None:
        tell_of_thumbs(publisher.thumbs, f"{publisher.folder / THUMBS}", console)
    document["set_aside"] += publisher.aside
    tell_of_aside(document["set_aside"], arguments.manifest, console)
    counted = micro_usd(document["usd"] + document["run_refusals_usd"]) + _held(before, after)
    wanted = [step for step in after.steps if step.selected]
    document |= {
        "campaign": manifest.campaign,
        "manifest": arguments.manifest,
        "budget": _budget_words(reached or before.caps(budget), money),
        "caps": _caps(after, budget, counted, document["reached"]),
        "counted_usd": counted / 1e6,
        "exit_code": code,
        "cells": len(after.steps),
        "selected": len(wanted),
        "done": after.counted("done"),
        "missing": len(wanted) - after.counted("done"),
        "failed_cells": after.counted("failed"),
        "lost_cells": sum(step.action == "failed" and step.cell.picture.key in after.lost for step in wanted),
        **review_json(after),
        "uncertain_cells": after.counted("uncertain"),
        "gone_files": len(after.gone),
        "spent_usd": money.spent / 1e6,
        "refusals_usd": money.refusals / 1e6,
        "seconds": round(time.monotonic() - started, 3),
        "sheet": str(sheet),
        "failures": failures(before, after, stopped, document),
    }
    del document["told"]
    console.facts = document
    if arguments.json:
        console.answer = document
    else:
        say_end(document, console, arguments)
        say_review(after, console)
    return code


def _caps(after: Plan, budget: int | None, counted: int, reached: list[str]) -> list[dict[str, Json]]:
    """What the caps have left after a run that has counted so much, in micro-dollars, against those of its own."""
    caps = after.caps(budget)
    for cap in caps:
        cap.left -= counted if cap.run else 0
    return [{**cap, "reached": cap["name"] in reached} for cap in caps_json(caps)]


def _held(before: Plan, after: Plan) -> int:
    """What requests of this run still hold, in micro-dollars: what was uncertain or accepted before is not of it."""
    known = {row.id for row in before.snapshot.open_requests if row.state != "intent"}
    return sum(row.reserved for row in after.snapshot.open_requests if row.id not in known)


def _tidy(ledger: Ledger, manifest: Manifest, console: Console, *, emulated: bool) -> None:
    """Settle what earlier runs left, as far as that is free."""
    ledger.settle_finished()
    if ledger.cut_short():
        sweep(manifest.outputs.folder)
    if emulated:
        forget_open(ledger)
    for label in read_kept(manifest.providers, ledger):
        console.note(f"{label}: the answer that was kept can be read now: it is continued, and not paid again")


def _decided(manifest: Manifest, before: Approvals) -> Approvals:
    """What reviewers have decided by the end of a run."""
    try:
        return read_approvals(manifest)
    except ManifestError:  # edited in the meantime: the next command tells what is wrong with it
        return before


def _final_code(code: int, document: dict[str, Any], before: Plan, after: Plan, *, limited: bool) -> int:
    """The exit code, when nothing else has decided it: whether what was selected is all there."""
    missing = sum(step.selected for step in after.steps) - after.counted("done")
    held = after.counted("failed") or after.counted("uncertain") or document["pending"]
    if code == 0 and missing and (not limited or held):  # what a limit or a saved plan leaves out is not missing
        return MISSING
    if code == 0 and document["failed"] and any(take > 1 for take in before.takes.values()):
        return MISSING  # a retake was refused: the take before it stays, so nothing is missing
    return code


def _budget_words(caps: list[Cap], money: Money) -> str | None:
    """The caps that stopped a run, or all there are, and what counts against them."""
    if not caps:
        return None
    limits = ", ".join(f"{cap.name} {dollars(cap.usd)}" for cap in caps)
    held = money.reserved + money.uncertain
    return f"{limits}; {spent_words(money)}" + (f", {dollars(held)} held by what is open" if held else "")


def _carry_out(
    plan: Plan, ledger: Ledger, arguments: argparse.Namespace, console: Console, places: Places, reach: Reach
) -> tuple[int, dict[str, Any]]:
    """Do the plan's work; the exit code so far, and the facts of it."""
    document: dict[str, Any] = {"made": 0, "rebuilt": 0, "failed": 0, "uncertain": 0, "pending": 0, "usd": 0.0}
    document["asked"] = pictures = sum(len(request.pictures) for request in plan.requests)
    document |= {"run_refusals_usd": 0.0, "reached": [], "set_aside": [], "blank": []}
    document |= {"stopped_providers": [], "told": {}}
    hook = _hook(arguments)
    if not plan.work:
        return 0, document
    from pipeline.cli.progress import Progress  # the engine and its HTTP client are slow to import
    from pipeline.run import carry_out, check_way, keys_for

    check_way(plan)
    if not (places.emulated or plan.manifest.proof):
        _confirm(plan, arguments, console)
    keys = places.keys(plan.manifest.providers) if places.emulated else keys_for(plan)
    rebuild = plan.counted("rebuild")
    work = [f"{count(pictures, 'picture')} to make ({dollars(plan.usd)})"] if pictures else []
    console.note(", ".join(work + ([f"{count(rebuild, 'file')} to rebuild, free"] if rebuild else [])))
    kept = {step.cell.picture.key for step in plan.steps if step.selected and step.action in ("done", "rebuild")}
    ledger.commit([lambda ledger: ledger.begin_run(sum(plan.snapshot.pictures[key].usd for key in kept))])
    arguments.begun = True
    budget = micro(arguments.budget)
    workers = arguments.workers or default_workers()

    def interrupted(first: bool) -> None:
        progress.interrupted(first)
        if not first and arguments.json:  # the process ends here
            console.answer = failure_json(KeyboardInterrupt(), INTERRUPTED)
            console.deliver(INTERRUPTED)

    with (
        _hints(hook, plan, console, reach) as hints,
        open_executor(find_executor(arguments.executor), workers) as executor,
        Progress(console, pictures) as progress,
    ):
        report = carry_out(
            plan,
            ledger,
            executor,
            budget=budget,
            keys=keys,
            hints=hints,
            reach=reach,
            events=progress.event,
            interrupted=interrupted,
        )
    outcome = report.outcome
    document |= {
        "made": outcome.made,
        "rebuilt": report.rebuilt,
        "failed": outcome.failed,
        "uncertain": outcome.uncertain,
        "pending": outcome.pending,
        "usd": outcome.usd / 1e6,
        "run_refusals_usd": outcome.refusals / 1e6,
        "reached": sorted(outcome.reached),
        "stopped_providers": [{"provider": name, "reason": why} for name, why in outcome.lanes.items()],
        "told": progress.told,
    }
    if report.lost:
        then = "run again to draw the picture again" if plan.manifest.proof else "not made again without --retry-failed"
        console.warn(f"{count(report.lost, 'kept original')} lost or damaged: {then}")
    document["set_aside"] = report.aside
    document["blank"] = sorted(outcome.blank)
    if outcome.blank:
        console.warn(_blank_words(outcome.blank))
    return {None: 0, "budget": BUDGET, "interrupted": INTERRUPTED}[outcome.stopped], document


def _blank_words(blank: Mapping[str, str]) -> str:
    """What is said of pictures that show nothing: they are paid, and count as done."""
    first, word = min(blank.items())
    what = "all of one colour" if word == "one colour" else "fully transparent"
    more = f", and {len(blank) - 1:,} more show nothing" if len(blank) > 1 else ""
    return f"{first} is {what}{more}: look at the sheet; --retake LABEL pays for another take"


def _confirm(plan: Plan, arguments: argparse.Namespace, console: Console) -> None:
    """Ask before a run that may cost more than the manifest's ``confirm_above``.

    Raises:
        PipelineError: when the answer is no, or nobody can give one.
    """
    above, price = plan.manifest.budget.confirm_above, plan.most(micro(arguments.budget))
    if above is None or price <= above or arguments.yes or arguments.confirmed:
        return
    campaign = "" if arguments.unmatched is None else f"{plan.manifest.campaign}: "  # one of several
    fact = f"{campaign}this run may cost {dollars(price)}, more than budget.confirm_above ({dollars(above)})"
    _ask(fact, "say --yes, or --budget USD for less", console)


def _ask(fact: str, otherwise: str, console: Console) -> None:
    """Ask whether to go on.

    Raises:
        PipelineError: when the answer is no, or nobody can give one.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PipelineError(f"{fact}: {otherwise}; nothing was started")
    console.ask(f"{fact}. Go on? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PipelineError("not confirmed: nothing was started, nothing was paid")


def _hook(arguments: argparse.Namespace) -> Place | None:
    """Where to listen for webhooks, if anywhere."""
    if arguments.webhook_url is None and arguments.webhook_listen is None:
        return None
    from pipeline.webhooks import place

    return place(arguments.webhook_url, arguments.webhook_listen, rehearsal=arguments.emulate)


@contextlib.contextmanager
def _hints(hook: Place | None, plan: Plan, console: Console, reach: Reach) -> Iterator[Hints | None]:
    """What gateways tell by webhook during a run, where that is wanted."""
    if hook is None:
        yield None
        return
    from pipeline.engine.hints import Hints
    from pipeline.webhooks import Listener

    hints = Hints()
    with Listener(hook, plan.manifest.providers, hints.tell, reach=reach) as listener:
        hints.address = listener.address
        console.note(f"listening for webhooks at {hook.host}:{listener.port}")
        yield hints
    if listener.refused:
        what = "webhook delivery was" if listener.refused == 1 else "webhook deliveries were"
        console.warn(f"{listener.refused:,} {what} refused: forged, or late for an earlier run; nothing changed")


def _confirm_prune(plan: Plan, arguments: argparse.Namespace, console: Console) -> list[str]:
    """List what ``--prune`` will remove, and ask; the files that may be removed.

    Raises:
        PipelineError: when the answer is no, or nobody can give one.
    """
    from pipeline.run import prunable

    files, changed = prunable(plan)
    for path in changed:
        console.warn(f"--prune keeps {path}: it was changed since it was written")
    if not files:
        return []
    shown = files if console.verbose else files[:_MOST_LISTED]
    lines = ["--prune removes the files of cells that are gone:", *(f"  {path}" for path in shown)]
    if len(shown) < len(files):
        lines.append(f"  … and {len(files) - len(shown):,} more (-v lists all)")
    for line in lines:
        if arguments.yes:
            console.note(line)
        else:  # also with -q: nobody should have to answer what they can't read
            console.ask(f"{line}\n")
    if not arguments.yes:
        fact = f"--prune removes {count(len(files), 'file')} of cells that are gone"
        _ask(fact, "say --yes, or leave out --prune", console)
    return files


def _prune(plan: Plan, ledger: Ledger, files: list[str], console: Console) -> None:
    from pipeline.run import prune

    removed = prune(plan, ledger, files)
    console.note(f"{count(len(removed), 'file')} of cells that are gone removed")
