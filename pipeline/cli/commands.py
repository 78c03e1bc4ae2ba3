"""What each command does. Heavy modules are imported where they are needed, so that the others start fast."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.addresses import Reach
from pipeline.cli.rehearsal import Places, called_at, check_reach, environment_places, forget_open
from pipeline.cli.saved import check_inputs, read_plan, save_plan
from pipeline.cli.show import Console, count, plan_json, plan_lines, problem_json, table
from pipeline.errors import ManifestError, PipelineError, UsageError
from pipeline.executors import default_workers, find_executor, open_executor
from pipeline.expand import PRIVATE, Expansion, expand
from pipeline.ledger import Ledger, open_ledger, read_ledger
from pipeline.manifest import load
from pipeline.plan import Action, Plan, Selection, make_plan
from pipeline.schema import did_you_mean, schema_text
from pipeline.types import dollars, micro_usd

if TYPE_CHECKING:
    from pipeline.engine.hints import Hints
    from pipeline.webhooks import Place

MISSING, BUDGET, WORK, INTERRUPTED = 3, 4, 5, 130


def init(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline init``."""
    target = Path(arguments.folder)
    if (target / "campaign.yaml").exists():
        raise PipelineError(f"{target / 'campaign.yaml'}: is there already; choose another folder")
    try:
        with as_file(files("pipeline").joinpath("template")) as template:
            shutil.copytree(template, target, dirs_exist_ok=True)
        (target / "manifest.schema.json").write_text(schema_text("manifest"), "utf-8")
        if not (target / ".gitignore").exists():
            (target / ".gitignore").write_text("/out/\n", "utf-8")
    except OSError as error:
        raise PipelineError(f"{error.filename or target}: {error.strerror or error}") from None
    console.result(f"made {target / 'campaign.yaml'} and its assets")
    console.note(f"next: pipeline run {shlex.quote(str(target / 'campaign.yaml'))}")
    return 0


def validate(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline validate``."""
    documents: list[dict[str, Any]] = []
    for file in arguments.manifest:
        try:
            expansion = _expansion(arguments, environment_places(), file)
        except ManifestError as error:
            documents.append({"manifest": file, "ok": False, "problems": [problem_json(p) for p in error.problems]})
            for problem in error.problems:
                console.error(str(problem))
            continue
        problems = [problem_json(p) for p in expansion.warnings]
        documents.append({"manifest": file, "ok": True, "problems": problems})
        _warn(expansion, console)
        if not arguments.json:
            console.result(
                f"{file}: {count(len(expansion.cells), 'cell')}, {count(len(expansion.pictures), 'picture')}: valid"
            )
    if arguments.json:
        console.result(json.dumps(documents, indent=2, ensure_ascii=False))
    wrong = [document for document in documents if not document["ok"]]
    if wrong:
        number = sum(len(document["problems"]) for document in wrong)
        console.note(f"{count(number, 'problem')} in {count(len(wrong), 'manifest')}")
    return 1 if wrong else 0


def plan(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline plan``."""
    expansion = _expansion(arguments, environment_places())
    _warn(expansion, console)
    with read_ledger(expansion.manifest.outputs.folder / PRIVATE) as ledger:
        made = _planned(expansion, ledger, arguments)
        if arguments.json:
            console.result(json.dumps(plan_json(made), indent=2, ensure_ascii=False))
        else:
            for line in plan_lines(made, console, ledger):
                console.result(line)
    if arguments.output:
        save_plan(made, arguments)
        console.note(f"saved: pipeline run {arguments.output} runs exactly this plan")
    return WORK if arguments.detailed_exitcode and made.work else 0


def run(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline run``."""
    saved = read_plan(arguments)
    with called_at(arguments, console) as places:
        return _run(arguments, console, saved, places)


def _run(arguments: argparse.Namespace, console: Console, saved: dict[str, Any] | None, places: Places) -> int:
    expansion = _expansion(arguments, places)
    if saved is not None:
        check_inputs(saved, expansion)
    reach = places.reach(private=arguments.allow_private)
    check_reach(expansion.manifest, reach)
    _warn(expansion, console)
    folder = expansion.manifest.outputs.folder
    find_executor(arguments.executor)
    for provider in () if places.emulated else expansion.manifest.providers:
        if provider.base_url:
            console.note(f"{provider.name} is called at {provider.base_url}")
    started = time.monotonic()
    with open_ledger(folder / PRIVATE, expansion.manifest.campaign) as ledger:
        ledger.settle_finished()
        if places.emulated:
            forget_open(ledger)
        before = _planned(expansion, ledger, arguments, saved)
        code, document = _carry_out(before, ledger, arguments, console, places, reach)
        if arguments.prune:
            _prune(before, ledger, console)
        after = make_plan(expansion, ledger, selection=replace(_selection(arguments), limit=None))
        sheet = _publish(after, ledger, stopped=code == BUDGET)
        selected = sum(step.selected for step in after.steps)
        missing = selected - after.counted("done")
        limited = arguments.limit is not None or saved is not None  # what they leave out is not missing
        held = after.counted("failed") or after.counted("uncertain") or document["pending"]
        if code == 0 and missing and (not limited or held):
            code = MISSING
        if code == 0 and document["failed"] and any(take > 1 for take in before.takes.values()):
            code = MISSING  # a retake was refused: the take before it stays, so nothing is missing
        money = ledger.money()
    caps = expansion.manifest.budget
    named = {"budget.usd": caps.total, "budget.run_usd": caps.run, "--budget": _micro(arguments.budget)}
    limits = ", ".join(f"{name} {dollars(cap)}" for name, cap in named.items() if cap is not None)
    held = f"{dollars(money.spent)} spent, {dollars(money.reserved + money.uncertain)} held by what is open"
    document |= {
        "budget": f"{limits}; {held}" if limits else None,
        "campaign": expansion.manifest.campaign,
        "exit_code": code,
        "cells": len(after.steps),
        "selected": selected,
        "done": after.counted("done"),
        "missing": missing,
        "failed_cells": after.counted("failed"),
        "uncertain_cells": after.counted("uncertain"),
        "gone_files": len(after.gone),
        "spent_usd": money.spent / 1e6,
        "seconds": round(time.monotonic() - started, 3),
        "sheet": str(sheet),
    }
    if arguments.json:
        console.result(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _say_end(document, console)
    return code


def _carry_out(
    plan: Plan, ledger: Ledger, arguments: argparse.Namespace, console: Console, places: Places, reach: Reach
) -> tuple[int, dict[str, Any]]:
    """Do the plan's work; the exit code so far, and the facts of it."""
    document: dict[str, Any] = {"made": 0, "rebuilt": 0, "failed": 0, "uncertain": 0, "pending": 0, "usd": 0.0}
    hook = _hook(arguments)
    if not plan.work:
        return 0, document
    from pipeline.cli.progress import Progress  # the engine and its HTTP client are slow to import
    from pipeline.run import carry_out, keys_for

    keys = places.keys(plan.manifest.providers) if places.emulated else keys_for(plan)
    pictures = sum(len(request.pictures) for request in plan.requests)
    rebuild = plan.counted("rebuild")
    console.note(
        f"{count(pictures, 'picture')} to make ({dollars(plan.usd)})"
        + (f", {count(rebuild, 'file')} to rebuild, free" if rebuild else "")
    )
    budget = _micro(arguments.budget)
    workers = arguments.workers or default_workers()
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
            interrupted=progress.interrupted,
        )
    outcome = report.outcome
    document |= {
        "made": outcome.made,
        "rebuilt": report.rebuilt,
        "failed": outcome.failed,
        "uncertain": outcome.uncertain,
        "pending": outcome.pending,
        "usd": outcome.usd / 1e6,
    }
    if report.lost:
        console.warn(f"{count(report.lost, 'kept original')} lost or damaged: run again to make the picture anew")
    return {None: 0, "budget": BUDGET, "interrupted": INTERRUPTED}[outcome.stopped], document


def _micro(amount: float | None) -> int | None:
    return None if amount is None else micro_usd(amount)


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


def _prune(plan: Plan, ledger: Ledger, console: Console) -> None:
    from pipeline.run import prune

    removed, kept = prune(plan, ledger)
    console.note(
        f"{count(removed, 'file')} of cells that are gone removed" + (f", {kept} changed since: kept" if kept else "")
    )


def _say_end(document: dict[str, Any], console: Console) -> None:
    selected = "" if document["selected"] == document["cells"] else " selected"
    of = f"{document['selected']:,}{selected} cell{'' if document['selected'] == 1 else 's'}"
    parts = [f"{document['done']:,} of {of} done"]
    if not document["made"] and not document["rebuilt"] and not document["missing"]:
        parts.append("nothing to do")
    if document["made"]:
        parts.append(f"{count(document['made'], 'picture')} made")
    if document["rebuilt"]:
        parts.append(f"{count(document['rebuilt'], 'file')} rebuilt")
    if document["failed"]:
        parts.append(console.style(f"{document['failed']} failed", "red"))
    elif document["failed_cells"]:
        parts.append(console.style(f"{count(document['failed_cells'], 'cell')} failed before (--retry-failed)", "red"))
    if document["uncertain_cells"]:
        held = (
            f"{count(document['uncertain_cells'], 'cell')} uncertain: perhaps paid (pipeline status; --uncertain retry)"
        )
        parts.append(console.style(held, "yellow"))
    parts += [f"{dollars(micro_usd(document['usd']))} this run", f"{document['seconds']:.1f} s"]
    console.note(" · ".join(parts))
    if document["gone_files"]:
        console.note(
            f"{count(document['gone_files'], 'file')} of cells that are gone lie there still: --prune removes them"
        )
    if document["exit_code"] == BUDGET:
        console.warn(f"stopped by the budget ({document['budget']}): raise it and run again to continue")
    if document["exit_code"] == INTERRUPTED:
        console.warn("interrupted: run again to continue; nothing is paid twice")
    console.result(f"contact sheet: {document['sheet']}")


_CANCELLED = {
    "asked": "asked to stop",
    "finished": "finished already",
    "impossible": "this gateway has no way to stop it",
}


def cancel(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline cancel``."""
    places = environment_places()
    expansion = _expansion(arguments, places)
    reach = places.reach(private=arguments.allow_private)
    check_reach(expansion.manifest, reach)
    with open_ledger(expansion.manifest.outputs.folder / PRIVATE, expansion.manifest.campaign) as ledger:
        ledger.settle_finished()
        plan = make_plan(expansion, ledger)
        if not any(request.resume and request.resume.state == "accepted" for request in plan.requests):
            console.result("nothing is in flight")
            return 0
        from pipeline.run import cancel, keys_for

        with open_executor(find_executor("threads"), 1) as executor:
            told = cancel(plan, ledger, executor, keys_for(plan), reach)
    for label, said in told:
        console.result(f"{label}: {_CANCELLED.get(said, said)}")
    console.note("the next run asks what came of it; what was stopped is not made again without --retry-failed")
    return 0


_WORDS: dict[Action, str] = {
    "done": "done",
    "rebuild": "to rebuild",
    "make": "to make",
    "failed": "failed",
    "uncertain": "uncertain",
}


def status(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline status``."""
    expansion = _expansion(arguments, environment_places())
    with read_ledger(expansion.manifest.outputs.folder / PRIVATE) as ledger:
        now = make_plan(expansion, ledger)
    requests = now.snapshot.open_requests
    money = now.snapshot.money
    document: dict[str, Any] = {
        "campaign": expansion.manifest.campaign,
        "folder": str(expansion.manifest.outputs.folder),
        "cells": len(now.steps),
        "pictures": len(expansion.pictures),
        **{action: now.counted(action) for action in _WORDS},
        "spent_usd": money.spent / 1e6,
        "reserved_usd": money.reserved / 1e6,
        "uncertain_usd": money.uncertain / 1e6,
        "open_requests": [{"id": r.id, "label": r.label, "provider": r.provider, "state": r.state} for r in requests],
    }
    if arguments.json:
        console.result(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    rows = [
        (
            "campaign",
            f"{document['campaign']} ({count(document['cells'], 'cell')}, {count(document['pictures'], 'picture')})",
        ),
        ("folder", document["folder"]),
        *((word, count(now.counted(action), "cell")) for action, word in _WORDS.items() if now.counted(action)),
        ("spent", dollars(money.spent)),
    ]
    if money.reserved or money.uncertain:
        rows.append(("reserved", f"{dollars(money.reserved)} in flight, {dollars(money.uncertain)} uncertain"))
    for line in table(rows):
        console.result(line)
    for row in requests:
        theirs = f", there {row.remote}" if row.remote else ""
        console.result(
            f"  {row.state}: {row.label} at {row.provider}, request {row.id}{theirs}, {dollars(row.reserved)}"
        )
    if any(row.state == "uncertain" for row in requests):
        console.note("uncertain: perhaps made and paid; held until `pipeline run --uncertain retry` asks anew")
    return 0


def report(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline report``."""
    expansion = _expansion(arguments, environment_places())
    private = expansion.manifest.outputs.folder / PRIVATE
    with read_ledger(private) as ledger:
        if ledger is None:
            raise PipelineError(f"{arguments.manifest}: this campaign was never run; `pipeline run` it first")
        from pipeline.publish import Publisher

        if arguments.output and Path(arguments.output).is_dir():
            raise UsageError(f"-o {arguments.output}: is a folder; name a file, such as sheet.html")
        sheet = Publisher(make_plan(expansion, ledger), ledger).write_sheet(arguments.output)
    console.result(f"contact sheet: {sheet}")
    return 0


# ── what the commands share ─────────────────────────────────────────────────────────────────────


def _expansion(arguments: argparse.Namespace, places: Places, file: str | None = None) -> Expansion:
    """The cells of a manifest, as these options read it."""
    manifest = load(
        file or arguments.manifest, providers=arguments.provider, places=places.urls, rehearsal=arguments.emulate
    )
    return expand(places.paced(manifest) if places.emulated else manifest)


def _warn(expansion: Expansion, console: Console) -> None:
    for problem in expansion.warnings:
        console.warn(str(problem))


def _selection(arguments: argparse.Namespace) -> Selection:
    return Selection(
        tuple(arguments.only or arguments.retake or ()),
        tuple(arguments.exclude or ()),
        tuple(arguments.tag or ()),
        arguments.limit,
    )


def _planned(
    expansion: Expansion,
    ledger: Ledger | None,
    arguments: argparse.Namespace,
    saved: dict[str, Any] | None = None,
) -> Plan:
    tags = {tag for cell in expansion.cells for tag in cell.place.product.tags}
    for tag in arguments.tag or ():
        if tag not in tags:
            raise UsageError(f"no product has the tag {tag!r}; {did_you_mean(tag, tags)}")
    made = make_plan(
        expansion,
        ledger,
        selection=_selection(arguments),
        retake=() if saved else tuple(arguments.retake or ()),
        retry_failed=arguments.retry_failed,
        retry_uncertain=arguments.uncertain == "retry",
        takes=saved["takes"] if saved else None,
    )
    nothing = not any(step.selected for step in made.steps)
    if nothing and (arguments.only or arguments.exclude or arguments.tag):
        words = [*(arguments.only or ()), *(arguments.exclude or ())]
        ids = {cell.place.product.id for cell in expansion.cells}
        hint = did_you_mean(words[0].split("/")[0], ids) if words else ""
        raise UsageError(f"the selection matches no cell; {hint}; labels look like {expansion.cells[0].label}")
    if arguments.retake and not any(take > 1 for take in made.takes.values()) and not saved:
        raise UsageError("--retake matches no picture that is made already")
    return made


def _publish(plan: Plan, ledger: Ledger, *, stopped: bool) -> Path:
    from pipeline.publish import Publisher

    return Publisher(plan, ledger, stopped=stopped).publish()
