"""The words of ``--only``, ``--exclude``, ``--tag`` and ``--retake``, checked and looked up."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from pipeline.approvals import Approvals
from pipeline.errors import UsageError, printable
from pipeline.expand import Expansion
from pipeline.ledger import Ledger
from pipeline.plan import REJECTED, Plan, Step, make_plan
from pipeline.plan.selectors import CHANGING, DIMENSIONS, Named, label_matches, names_of, selector
from pipeline.schema import did_you_mean

_MOST_NAMES = 3000
"""Names among which the nearest is looked for."""


class NothingSelected(UsageError):
    """The words select no cell of this campaign."""


def check_words(arguments: argparse.Namespace, expansion: Expansion) -> None:
    """Whether each word names something. Of several manifests it is enough that one has it (``arguments.unmatched``).

    Raises:
        UsageError: naming the word, what may be meant, and how labels are built.
    """
    arguments.retake = [REJECTED if word == f"decision:{REJECTED}" else word for word in arguments.retake or ()]
    given = [("--only", word) for word in arguments.only or ()]
    given += [("--exclude", word) for word in arguments.exclude or ()]
    given += [("--tag", f"tag:{tag}") for tag in arguments.tag or ()]
    given += [("--retake", word) for word in arguments.retake if selector(word)]
    for option, word in given:
        complaint = _complaint(option, word, expansion)
        if complaint and arguments.unmatched is None:
            raise NothingSelected(complaint)
        if complaint:
            arguments.unmatched[option, word] = complaint


def _complaint(option: str, word: str, expansion: Expansion) -> str:
    """What is wrong with a word, if anything.

    Raises:
        UsageError: for what is wrong in any campaign.
    """
    pair = selector(word)
    if pair is None:
        if any(label_matches(cell.label, word) for cell in expansion.cells):
            return ""
        return f"{option} {word!r} matches no cell{_nearest(word, expansion)} {how_labels_are_built(expansion)}"
    dimension, glob = pair
    if option == "--retake" and dimension == "state" and not any(fnmatchcase(s, glob) for s in ("done", "rebuild")):
        raise UsageError(
            f"--retake {word}: a retake is of pictures that are made; `--only state:failed --retry-failed` "
            "asks again for what failed"
        )
    if dimension in CHANGING:
        if not any(fnmatchcase(value, glob) for value in CHANGING[dimension]):
            stopped = "; what a budget stopped is missing" if glob == "stopped" else ""
            raise UsageError(
                f"{option} {word}: no {dimension} is {glob!r}; {did_you_mean(glob, CHANGING[dimension])}{stopped}"
            )
        return ""
    axes = {axis for cell in expansion.cells for axis, _ in cell.place.vary}
    if dimension not in axes | set(DIMENSIONS):
        known = axes | set(DIMENSIONS) | set(CHANGING)
        return f"{option} {word}: there is no {dimension!r} to select by; {did_you_mean(dimension, known)}"
    names = {name for cell in expansion.cells for name in names_of(cell, dimension) if name}
    if any(fnmatchcase(name, glob) for name in names):
        return ""
    if dimension == "tag":
        return f"no product has the tag {glob!r}; {did_you_mean(glob, names)}"
    return f"{option} {word}: no {dimension} is {glob!r}; {did_you_mean(glob, names)}"


def how_labels_are_built(expansion: Expansion) -> str:
    """The parts of this campaign's labels, with an example."""
    cell = expansion.cells[0]
    vary = "".join(f"{axis.upper()}/" for axis, _ in cell.place.vary)
    provider = "PROVIDER/" if cell.picture.spec.provider else ""
    parts = f"PRODUCT/PROMPT/{vary}RATIO/RESOLUTION/{provider}vN.FORMAT"
    return f"Labels are {parts}, such as {cell.label}; a glob names a whole label or its beginning"


def _nearest(glob: str, expansion: Expansion) -> str:
    """The glob with its unknown parts replaced by the nearest that labels have, where that matches one."""
    labels = [cell.label for cell in expansion.cells]
    known = dict.fromkeys(part for label in labels for part in label.split("/"))
    parts = [part if any(sign in part for sign in "*?[") else _near(part, known) for part in glob.split("/")]
    for guess in ("/".join(parts), "*/" + "/".join(parts)):
        if guess != glob and any(label_matches(label, guess) for label in labels):
            return f"; did you mean {guess!r}?"
    return "."


def _near(part: str, known: Iterable[str]) -> str:
    """The part of labels that is most like this one."""
    names = list(known)[:_MOST_NAMES]
    if part in names:
        return part
    written = part.casefold().replace(":", "x")
    same = [name for name in names if name.casefold() == written]
    return (same or difflib.get_close_matches(part[:100], names, n=1, cutoff=0.6) or [part])[0]


def look_up(arguments: argparse.Namespace, expansion: Expansion, ledger: Ledger | None, approvals: Approvals) -> Named:
    """The cells of the words about what changes, as things stand now."""
    given = {*(arguments.only or ()), *(arguments.exclude or ()), *(arguments.retake or ())} - {REJECTED}
    pairs = {word: pair for word in given if (pair := selector(word)) is not None and pair[0] in CHANGING}
    if not pairs:
        return {}
    now = make_plan(expansion, ledger, approvals=approvals)
    known = [
        (step.cell.label, {"state": set(_states(now, step)), "decision": {_decision(now, step)}}) for step in now.steps
    ]
    return {
        word: frozenset(label for label, values in known if any(fnmatchcase(v, glob) for v in values[dimension]))
        for word, (dimension, glob) in pairs.items()
    }


def _states(plan: Plan, step: Step) -> Iterator[str]:
    """What ``status`` and results.jsonl call the state of a cell."""
    yield step.action
    if step.action in ("make", "rebuild"):
        yield "failed" if step.cell.picture.key in plan.snapshot.failures else "missing"


def _decision(plan: Plan, step: Step) -> str:
    """What reviewers decided about the picture of a cell, as it is now."""
    verdicts, key = plan.verdicts, step.cell.picture.key
    if key in verdicts.frozen or key in verdicts.lost:
        return "approved"
    if key in verdicts.rejected:
        return "rejected"
    return "stale" if step.cell.label.rpartition(".")[0] in verdicts.stale else "undecided"


def check_some(arguments: argparse.Namespace, plan: Plan) -> None:
    """Whether anything is selected, where the words could have known.

    Raises:
        NothingSelected: when nothing is.
    """
    words = [*(arguments.only or ()), *(arguments.exclude or ()), *(arguments.tag or ())]
    if not words or any(cell in plan.selection for cell in plan.expansion.cells):
        return
    if any(word in plan.selection.named for word in words):
        return  # nothing is failed, say: no mistake
    parts = "its parts exist, but never together" if len(words) > 1 else "it leaves none"
    raise NothingSelected(
        printable(f"the selection matches no cell ({' '.join(words)}): {parts}. {how_labels_are_built(plan.expansion)}")
    )
