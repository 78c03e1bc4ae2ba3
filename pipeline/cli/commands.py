"""What each command does. Heavy modules are imported where they are needed, so that the others start fast."""

from __future__ import annotations

import argparse
import shlex
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pipeline.approvals import read_approvals
from pipeline.cli.console import Console, problem_json
from pipeline.cli.money import show_money
from pipeline.cli.rehearsal import check_reach, environment_places
from pipeline.cli.saved import save_plan
from pipeline.cli.shared import (
    WORK,
    check_known,
    micro,
    planned,
    private_folder,
    read_cells,
    read_manifest,
    unadopted_words,
    warn_of,
)
from pipeline.cli.show import (
    count,
    differing_words,
    plan_json,
    plan_lines,
    refusals_words,
    rejected_words,
    review_json,
    table,
)
from pipeline.errors import ManifestError, PipelineError, StorageError, UsageError
from pipeline.executors import find_executor, open_executor
from pipeline.expand import PRIVATE
from pipeline.ledger import open_ledger, read_ledger
from pipeline.plan import Action, Plan, make_plan
from pipeline.precheck import check_machine, check_room
from pipeline.schema import schema_text
from pipeline.types import dollars


def init(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline init``."""
    target = Path(arguments.folder)
    if (target / "campaign.yaml").exists():
        raise PipelineError(f"{target / 'campaign.yaml'}: is there already; choose another folder")
    try:
        with as_file(files("pipeline").joinpath("template")) as template:
            for path in sorted(template.rglob("*")):  # without times and permissions, which a share may not take
                if path.is_file() and path.suffix != ".pyc":
                    (target / path.relative_to(template)).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target / path.relative_to(template))
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
    number = 0
    for file in arguments.manifests:
        try:
            expansion = read_cells(arguments, environment_places(), file)
            read_approvals(expansion.manifest)
            check_machine(expansion)
        except ManifestError as error:
            documents.append({"manifest": file, "ok": False, "problems": [problem_json(p) for p in error.problems]})
            number += error.count
            for problem in error.problems:
                console.error(str(problem))
            continue
        problems = [problem_json(p) for p in expansion.warnings]
        documents.append({"manifest": file, "ok": True, "problems": problems})
        warn_of(expansion, console)
        if not arguments.json:
            console.result(
                f"{file}: {count(len(expansion.cells), 'cell')}, {count(len(expansion.pictures), 'picture')}: valid"
            )
    if arguments.json:
        console.answer = documents
    wrong = [document for document in documents if not document["ok"]]
    if wrong:
        console.note(f"{count(number, 'problem')} in {count(len(wrong), 'manifest')}")
    return 1 if wrong else 0


def plan(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline plan``."""
    expansion = read_cells(arguments, environment_places())
    warn_of(expansion, console)
    check_machine(expansion)
    with read_ledger(expansion.manifest.outputs.folder / PRIVATE) as ledger:
        made = planned(expansion, ledger, arguments, console)
        _warn_of_room(made, console)
        budget = micro(arguments.budget)
        document = plan_json(made, budget)
        console.facts = document
        if arguments.json:
            console.answer = document
        else:
            for line in plan_lines(made, console, ledger, budget):
                console.result(line)
    if arguments.output:
        save_plan(made, arguments)
        console.note(f"saved: pipeline run {arguments.output} runs exactly this plan")
    return WORK if arguments.detailed_exitcode and made.work else 0


def _warn_of_room(plan: Plan, console: Console) -> None:
    """A plan is shown also where it can't be carried out yet."""
    try:
        for words in check_room(plan):
            console.warn(words)
    except StorageError as error:
        console.warn(f"run would stop before anything is paid: {error}")


_CANCELLED = {
    "asked": "asked to stop",
    "finished": "finished already",
    "impossible": "this gateway has no way to stop it",
}


def cancel(arguments: argparse.Namespace, console: Console) -> int:
    """``pipeline cancel``."""
    places = environment_places()
    expansion = read_cells(arguments, places)
    reach = places.reach(private=arguments.allow_private)
    check_reach(expansion.manifest, reach)
    check_known(expansion, arguments)
    with open_ledger(expansion.manifest.outputs.folder / PRIVATE, expansion.manifest.campaign) as ledger:
        ledger.settle_finished()
        plan = make_plan(expansion, ledger)
        if not any(request.resume and request.resume.state == "accepted" for request in plan.requests):
            console.result("nothing is in flight")
            return 0
        from pipeline.run import cancel, check_way, keys_for

        check_way(plan)
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
    if arguments.csv and arguments.json:
        raise UsageError("--csv and --json are two forms of the same: leave one out")
    if arguments.money or arguments.csv:
        with read_ledger(private_folder(read_manifest(arguments, environment_places()))) as ledger:
            show_money(ledger, console, as_csv=arguments.csv, as_json=arguments.json)
        return 0
    expansion = read_cells(arguments, environment_places())
    with read_ledger(expansion.manifest.outputs.folder / PRIVATE) as ledger:
        now = make_plan(expansion, ledger, approvals=read_approvals(expansion.manifest))
        unknown = unadopted_words(expansion, ledger, now.snapshot, arguments)
    if unknown:
        console.warn(unknown)
    requests = now.snapshot.open_requests
    money = now.snapshot.money
    document: dict[str, Any] = {
        "campaign": expansion.manifest.campaign,
        "manifest": arguments.manifest,
        "folder": str(expansion.manifest.outputs.folder),
        "cells": len(now.steps),
        "pictures": len(expansion.pictures),
        **{action: now.counted(action) for action in _WORDS},
        **review_json(now),
        "spent_usd": money.spent / 1e6,
        "reserved_usd": money.reserved / 1e6,
        "uncertain_usd": money.uncertain / 1e6,
        "refusals_usd": money.refusals / 1e6,
        "open_requests": [{"id": r.id, "label": r.label, "provider": r.provider, "state": r.state} for r in requests],
    }
    console.facts = document
    if arguments.json:
        console.answer = document
        return 0
    rows = [
        (
            "campaign",
            f"{document['campaign']} ({count(document['cells'], 'cell')}, {count(document['pictures'], 'picture')})",
        ),
        ("folder", document["folder"]),
        *((word, count(now.counted(action), "cell")) for action, word in _WORDS.items() if now.counted(action)),
        *((word, count(number, what)) for word, number, what in _reviewed(now) if number),
        ("spent", dollars(money.spent)),
        *[("refusals", words) for words in [refusals_words(money.refusals)] if words],
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
    if now.differing:
        console.note(differing_words(now))
    if now.rejected:
        console.note(rejected_words(now))
    if any(row.state == "uncertain" for row in requests):
        console.note("uncertain: perhaps made and paid; held until `pipeline run --uncertain retry` asks anew")
    return 0


def _reviewed(plan: Plan) -> list[tuple[str, int, str]]:
    """What reviewers decided, in numbers."""
    rejected = len(plan.rejected)
    return [
        ("frozen", plan.frozen, "picture"),
        ("stale", plan.stale_approvals, "approval"),
        ("rejected", rejected, "picture"),
    ]
