"""How a run ends: what is not done and why, the last lines on the terminal, and the next step."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import Any

from pipeline.cli.console import Console
from pipeline.cli.shared import BUDGET, INTERRUPTED
from pipeline.cli.show import count, refusals_words, rejected_words
from pipeline.errors import printable
from pipeline.plan import Plan
from pipeline.types import Json, dollars, micro_usd

_MOST_FAILURES = 20
"""Pictures that are named one by one with ``-q``."""


def failures(before: Plan, after: Plan, stopped: frozenset[str], document: dict[str, Any]) -> list[Json]:
    """The selected cells that are not done, each with its state (as in results.jsonl) and the reason.

    ``stopped``: keys of pictures for which a cap had no room; ``document``: what the run said of requests (``told``)
    and of providers that stopped.
    """
    from pipeline.publish.showing import result_state

    told = {p.key: document["told"].get(request.label) for request in before.requests for p in request.pictures}
    lanes = "; ".join(
        f"provider {each['provider']} stopped: {each['reason']}" for each in document["stopped_providers"]
    )
    found: list[Json] = []
    for step in after.steps:
        if not step.selected or step.action == "done":
            continue
        key, state = step.cell.picture.key, result_state(after, step, stopped)
        reason = told.get(key) or step.reason
        if state == "stopped":
            reason = f"no room within {', '.join(document['reached'])}"
        elif state == "missing" and not told.get(key) and lanes:
            reason = lanes
        found.append({"label": step.cell.label, "state": state, "reason": reason, "key": key})
    return found


def _say_failures(document: dict[str, Any], console: Console, arguments: argparse.Namespace) -> None:
    """One line for each picture that is not done, as -q leaves out what was said of it before, and the next step."""
    pictures = {each["key"]: each for each in reversed(document["failures"])}
    each_once = list(pictures.values())[::-1]
    for each in each_once[:_MOST_FAILURES]:
        console.error(printable(f"{each['state']}: {each['label']}: {each['reason']}"))
    if len(each_once) > _MOST_FAILURES:
        console.error(f"… and {len(each_once) - _MOST_FAILURES:,} more pictures: results.jsonl lists all")
    again = f"pipeline run {shlex.quote(arguments.manifest)}"
    if any(each["state"] == "failed" for each in each_once):
        console.error(f"next: `{again} --retry-failed` asks again for what failed")
    elif document["exit_code"] not in (BUDGET, INTERRUPTED):
        console.error(f"next: `{again}` continues")


def _not_done(document: dict[str, Any], console: Console) -> Iterator[str]:
    """What is missing, and why."""
    if document["failed"]:
        yield console.style(f"{document['failed']} failed", "red")
    elif document["failed_cells"] > document["lost_cells"]:
        before = document["failed_cells"] - document["lost_cells"]
        yield console.style(f"{count(before, 'cell')} failed before (--retry-failed)", "red")
    if document["lost_cells"]:
        yield console.style(f"{count(document['lost_cells'], 'cell')} approved and lost", "red")
    if document["uncertain_cells"]:
        held = (
            f"{count(document['uncertain_cells'], 'cell')} uncertain: perhaps paid (pipeline status; --uncertain retry)"
        )
        yield console.style(held, "yellow")


def say_end(document: dict[str, Any], console: Console, arguments: argparse.Namespace) -> None:
    """The last lines: how much is done, for how much, what is not, and where the contact sheet is."""
    selected = "" if document["selected"] == document["cells"] else " selected"
    of = f"{document['selected']:,}{selected} cell{'' if document['selected'] == 1 else 's'}"
    parts = [f"{document['done']:,} of {of} done"]
    if not document["made"] and not document["rebuilt"] and not document["missing"]:
        parts.append("nothing to do")
    if document["made"]:
        parts.append(f"{count(document['made'], 'picture')} made")
    if document["rebuilt"]:
        parts.append(f"{count(document['rebuilt'], 'file')} rebuilt")
    parts += _not_done(document, console)
    parts += [f"{document['frozen']:,} frozen"] if document["frozen"] else []
    parts += [f"{count(document['stale'], 'approval')} stale"] if document["stale"] else []
    parts.append(f"{dollars(micro_usd(document['usd']))} this run")
    parts += filter(None, [refusals_words(micro_usd(document["run_refusals_usd"]))])
    parts.append(f"{document['seconds']:.1f} s")
    say = console.error if console.quiet and document["exit_code"] else console.note
    say(" · ".join(parts))
    if document["gone_files"]:
        console.note(
            f"{count(document['gone_files'], 'file')} of cells that are gone lie there still: --prune removes them"
        )
    if console.quiet and document["exit_code"]:
        _say_failures(document, console, arguments)
    if document["exit_code"] == BUDGET:
        console.urge(f"stopped by the budget ({document['budget']}): raise it and run again to continue")
    if document["exit_code"] == INTERRUPTED:
        console.urge("interrupted: run again to continue; nothing is paid twice")
    console.result(f"contact sheet: {document['sheet']}")


def say_review(after: Plan, console: Console) -> None:
    """What reviewers decided, where something follows from it."""
    if after.rejected:
        console.note(rejected_words(after))
    lost = [step for step in after.steps if step.selected and step.cell.picture.key in after.lost]
    for step in [step for step in lost if step.action == "failed"][:1]:
        console.warn(f"{step.cell.label}: {step.reason}")
