"""How things look on a terminal: tables, plans and reasons."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pipeline.budget import Cap
from pipeline.cli.console import Console
from pipeline.ledger import Ledger, Money
from pipeline.plan import Plan, Step
from pipeline.types import Json, dollars


def count(number: int, word: str) -> str:
    """``1 cell``, ``12 cells``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def refusals_words(usd: int) -> str:
    """What refusals may have cost, in micro-dollars, in the same words everywhere; empty for nothing."""
    return f"up to {dollars(usd)} perhaps billed for refusals" if usd else ""


def spent_words(money: Money) -> str:
    """What was spent: ``$1.40 spent, up to $0.056 perhaps billed for refusals``."""
    return ", ".join(filter(None, [f"{dollars(money.spent)} spent", refusals_words(money.refusals)]))


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> Iterator[str]:
    """Rows in aligned columns; those listed in ``right`` are flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = set(right)
    for row in rows:
        cells = (c.rjust(w) if i in aligned else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()


def plan_lines(plan: Plan, console: Console, ledger: Ledger | None, budget: int | None = None) -> Iterator[str]:
    """A plan for people: totals, the price, per product; with ``-v`` every cell with its reason."""
    if console.verbose:
        yield from _cell_lines(plan, console, ledger)
        yield ""
    yield from _product_table(plan, console)
    yield ""
    yield from _summary(plan, console, budget)


def _product_table(plan: Plan, console: Console) -> Iterator[str]:
    price = _prices(plan)
    rows = [("product", "pictures", "to make", "cells", "done", "to rebuild", "price")]
    groups: dict[str, list[Step]] = {}
    for step in plan.steps:
        if step.selected:
            groups.setdefault(step.cell.place.product.id, []).append(step)
    for product, steps in groups.items():
        owed = {step.cell.picture.key for step in steps if step.action == "make"}
        rows.append(
            (
                product,
                f"{len({step.cell.picture.key for step in steps}):,}",
                f"{len(owed):,}",
                f"{len(steps):,}",
                f"{sum(step.action == 'done' for step in steps):,}",
                f"{sum(step.action == 'rebuild' for step in steps):,}",
                dollars(sum(price.get(key, 0) for key in owed)),
            )
        )
    shown = rows if len(rows) <= 31 or console.verbose else rows[:31]
    lines = list(table(shown, right=range(1, 7)))
    yield console.style(lines[0], "dim")
    yield from lines[1:]
    if len(shown) < len(rows):
        yield console.style(f"… and {len(rows) - len(shown):,} more products (-v shows all)", "dim")


def _prices(plan: Plan) -> dict[str, int]:
    return {
        picture.key: request.usd // len(request.pictures) for request in plan.requests for picture in request.pictures
    }


def _summary(plan: Plan, console: Console, budget: int | None) -> Iterator[str]:
    selected = [step for step in plan.steps if step.selected]
    making = [step for step in selected if step.action == "make"]
    owed = {step.cell.picture.key for step in making}
    done = {step.cell.picture.key for step in selected if step.action in ("done", "rebuild")}
    unit = plan.manifest.providers[0].usd
    names = ", ".join(provider.name for provider in plan.manifest.providers)
    yield (
        f"{count(len(selected), 'cell')} from {count(len({s.cell.picture.key for s in selected}), 'picture')}"
        f" · {names}{' (proofs)' if plan.manifest.proof else ''}"
        + (
            f" · {count(len(plan.steps) - len(selected), 'cell')} not selected"
            if len(plan.steps) > len(selected)
            else ""
        )
    )
    reasons = Counter(_kind(step.reason) for step in making)
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    yield (
        console.style(f"{count(len(owed), 'picture')} to make", "bold")
        + f" in {count(len(plan.requests), 'request')}"
        + (f" (cells: {why})" if making else "")
    )
    rebuild = plan.counted("rebuild")
    if rebuild:
        kinds = Counter(_kind(step.reason) for step in selected if step.action == "rebuild")
        yield f"{count(rebuild, 'file')} to rebuild, free ({', '.join(f'{n:,} {r}' for r, n in kinds.most_common())})"
    lost = sum(step.action == "failed" and step.cell.picture.key in plan.lost for step in selected)
    for number, text in (
        (plan.counted("failed") - lost, "failed before: not asked again without --retry-failed"),
        (lost, "of approved pictures that are lost: not made anew (-v says what to do)"),
        (plan.counted("uncertain"), "uncertain: perhaps paid, answer lost; not asked again by itself"),
    ):
        if number:
            yield console.style(f"{count(number, 'cell')} {text}", "yellow")
    if plan.strange:
        them = "they are" if len(plan.strange) > 1 else "it is"
        said = f"{count(len(plan.strange), 'file')} edited or put here by hand: {them} set aside as ….edited"
        yield console.style(f"{said} (`pipeline adopt M FILE` keeps one as a take of its picture)", "yellow")
    yield from (console.style(line, style) for line, style in review_lines(plan))
    shared = (len(making) - len(owed)) * unit
    yield console.style(f"price now {dollars(plan.usd)}", "bold") + (
        f" · saved {dollars(shared)} by shared formats, {dollars(len(done) * unit)} by what is done"
        if unit
        else " (proofs are free)"
    )
    for cap in plan.caps(budget):
        price, left = plan.price_of(cap), max(0, cap.left)
        if price > left:
            room = f"room for {left // unit:,} of {count(price // unit, 'picture')}" if unit else "no room"
            of = f" (of {dollars(cap.usd)})" if left != cap.usd else ""
            yield console.style(f"{cap.name} leaves {dollars(left)}{of}: {room}", "yellow")
    if not plan.work and all(step.action == "done" for step in selected):
        yield console.style("nothing to do", "green")


def review_lines(plan: Plan) -> Iterator[tuple[str, str]]:
    """What reviewers decided, as far as it concerns a plan: lines, each with its style."""
    if plan.frozen:
        yield f"{count(plan.frozen, 'picture')} approved and frozen", "green"
    if plan.differing:
        yield differing_words(plan), "yellow"
    if plan.held:
        yield held_words(plan), "yellow"
    if plan.stale_approvals:
        yield f"{count(plan.stale_approvals, 'approval')} stale: what was approved has changed (-v shows it)", "yellow"
    if plan.rejected:
        yield rejected_words(plan), "yellow"


def differing_words(plan: Plan) -> str:
    """That reviewers don't agree; else the younger decision would hide the older."""
    what = f"reviewers differ on {count(plan.differing, 'picture')}"
    return f"{what}: the newest decision counts (`pipeline plan -v` names who said what)"


def held_words(plan: Plan) -> str:
    """What a retake leaves out."""
    frees = "withdrawing the approval (`pipeline review`) frees it"
    if len(plan.held) > 1:
        frees = "withdrawing the approvals (`pipeline review`) frees them"
    return f"{count(len(plan.held), 'approved picture')} left out of the retake: {frees}"


def rejected_words(plan: Plan) -> str:
    """What is rejected and not made anew by itself."""
    keys = plan.rejected
    usd = plan.price_anew(keys)
    price = dollars(usd) if usd else "free"
    return f"{count(len(keys), 'picture')} rejected: --retake rejected makes {_them(len(keys))} anew ({price})"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _kind(reason: str) -> str:
    return reason.partition(":")[0]


def _cell_lines(plan: Plan, console: Console, ledger: Ledger | None) -> Iterator[str]:
    shown: set[str] = set()
    for step in plan.steps:
        if not step.selected:
            continue
        style = {"done": "dim", "make": "bold", "rebuild": "cyan", "failed": "red", "uncertain": "yellow"}[step.action]
        reason = "".join(f"  {words}" for words in (step.reason, plan.word(step)) if words)
        yield console.style(f"{step.action:9} {step.cell.label}", style) + reason
        if "prompt changed" in step.reason and ledger is not None:
            before = ledger.cell_spec(step.cell.label) or ""
            if f"{before}{step.cell.picture.spec.prompt}" in shown:
                continue
            shown.add(f"{before}{step.cell.picture.spec.prompt}")
            old = str((ledger.described(before) or {}).get("prompt", ""))
            yield from (f"          {line}" for line in prompt_diff(old, step.cell.picture.spec.prompt, console))


def prompt_diff(old: str, new: str, console: Console) -> Iterator[str]:
    """Old → new, word by word: ``- …`` and ``+ …`` lines with a few words around each change."""
    before, after = old.split(), new.split()
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        lead, tail = " ".join(before[max(0, i1 - 3) : i1]), " ".join(before[i2 : i2 + 3])
        for sign, words, style in (("-", before[i1:i2], "red"), ("+", after[j1:j2], "green")):
            if words:
                middle = console.style(" ".join(words), style)
                yield f"{console.style(sign, style)} … {lead} {middle} {tail} …".replace("  ", " ")


def review_json(plan: Plan) -> dict[str, Json]:
    """What reviewers decided, in numbers: pictures, and for ``stale`` approvals."""
    numbers = {"frozen": plan.frozen, "stale": plan.stale_approvals, "rejected": len(plan.rejected)}
    return {**numbers, "differing": plan.differing}


def caps_json(caps: Iterable[Cap]) -> list[dict[str, Json]]:
    """Caps for scripts, in dollars."""
    return [{"name": cap.name, "usd": cap.usd / 1e6, "left_usd": max(0, cap.left) / 1e6} for cap in caps]


def plan_json(plan: Plan, budget: int | None = None) -> dict[str, Json]:
    """A plan for scripts."""
    owed = {step.cell.picture.key for step in plan.steps if step.selected and step.action == "make"}
    return {
        "campaign": plan.manifest.campaign,
        "manifest": plan.manifest.file,
        "providers": [provider.name for provider in plan.manifest.providers],
        "cells": sum(step.selected for step in plan.steps),
        "pictures": len({step.cell.picture.key for step in plan.steps if step.selected}),
        "to_make": len(owed),
        "requests": len(plan.requests),
        "to_rebuild": plan.counted("rebuild"),
        "done": plan.counted("done"),
        "failed": plan.counted("failed"),
        "uncertain": plan.counted("uncertain"),
        **review_json(plan),
        "set_aside": [*sorted(plan.strange)],
        "usd": plan.usd / 1e6,
        "budget": [*caps_json(plan.caps(budget))],
        "steps": [
            {
                "label": step.cell.label,
                "key": step.cell.picture.key,
                "path": step.cell.file,
                "action": step.action,
                "reason": step.reason,
                "review": plan.word(step),
            }
            for step in plan.steps
            if step.selected
        ],
    }
