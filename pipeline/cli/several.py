"""``run``, ``plan`` and ``status`` of several manifests: one after the other, and one summary."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.cli.console import Console, failure_json
from pipeline.cli.selecting import NothingSelected
from pipeline.cli.shared import INTERRUPTED
from pipeline.cli.show import count
from pipeline.errors import ManifestError, PipelineError, Problem, UsageError
from pipeline.types import dollars, micro_usd

_SERIOUS = (0, 5, 3, 4, 2, 1, INTERRUPTED)
"""Exit codes, the most serious last."""
_WENT_WELL = (0, 5)
Command = Callable[[argparse.Namespace, Console], int]


def run_several(command: Command, arguments: argparse.Namespace, console: Console) -> int:
    """Carry out a command for each of its manifests, and return the most serious exit code.

    ``--budget`` and ``--limit`` are for all of them together. A word that selects must name something in one of them;
    the others are left out then.

    Raises:
        PipelineError: for what is wrong with any of them, before the first is run.
    """
    for option, given in (("-o", getattr(arguments, "output", None)), ("--csv", getattr(arguments, "csv", False))):
        if given:
            raise UsageError(f"{option} is for one manifest: give it to each by itself")
    ones = [_one(arguments, file) for file in arguments.manifests]
    if arguments.name == "run":
        ones = _tried(ones, console)
    total = _Total(left=_budget(arguments), limit=getattr(arguments, "limit", None))
    for one in ones:
        total.add(one, command, console)
        if total.code == INTERRUPTED:
            break
    if arguments.name != "run":  # of which all were tried before
        _check_words(ones)
    if arguments.json:
        console.answer = {"campaigns": total.answers, "usd": total.usd / 1e6}
    else:
        total.say(console, arguments.name)
    return total.code


def _one(arguments: argparse.Namespace, file: str) -> argparse.Namespace:
    """The arguments for one of several manifests. ``unmatched`` notes words that name nothing in it."""
    own = {"manifest": file, "manifests": [file], "unmatched": {}, "begun": False}
    lists = {name: list(value) for name, value in vars(arguments).items() if isinstance(value, list)}
    return argparse.Namespace(**{**vars(arguments), **lists, **own})


def _budget(arguments: argparse.Namespace) -> int | None:
    """``--budget`` in micro-dollars."""
    budget = getattr(arguments, "budget", None)
    return None if budget is None else micro_usd(budget)


def _tried(ones: list[argparse.Namespace], console: Console) -> list[argparse.Namespace]:
    """Those of which a run has something selected, after all are checked and all questions answered.

    Raises:
        PipelineError: when any of them could not be run, or none has anything selected.
    """
    from pipeline.cli.running import try_out

    problems: list[Problem] = []
    nothing: dict[str, NothingSelected] = {}
    for one in ones:
        try:
            try_out(argparse.Namespace(**vars(one)), Console(quiet=True))
        except ManifestError as error:
            problems += error.problems
        except NothingSelected as error:
            nothing[one.manifest] = error
        except PipelineError as error:
            raise type(error)(f"{one.manifest}: {error}; nothing was started") from None
        one.confirmed = True
    if problems:
        raise ManifestError(problems)
    _check_words(ones)
    if len(nothing) == len(ones):
        raise next(iter(nothing.values()))
    for file in nothing:
        console.note(f"{file}: nothing is selected there")
    return [one for one in ones if one.manifest not in nothing]


def _check_words(ones: list[argparse.Namespace]) -> None:
    """Whether every word that selects names something in one of the manifests at least.

    Raises:
        NothingSelected: when it doesn't.
    """
    common = set.intersection(*(set(one.unmatched) for one in ones)) if ones else set()
    for option, word in sorted(common):
        raise NothingSelected(ones[0].unmatched[option, word])


@dataclass(slots=True)
class _Total:
    """What several campaigns come to. ``left`` of --budget, in micro-dollars, and ``limit`` of --limit."""

    left: int | None
    limit: int | None
    code: int = 0
    usd: int = 0
    answers: list[Any] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, one: argparse.Namespace, command: Command, console: Console) -> None:
        """Carry out the command for one of them with what the others left."""
        file = one.manifest
        own = Console(quiet=console.quiet, verbose=console.verbose)
        if not one.json:
            (own.note if one.name == "run" else own.result)(own.style(f"── {file} ──", "bold"))
        if self.left is not None:
            one.budget = self.left / 1e6
        if self.limit is not None:
            one.limit = self.limit
        try:
            code = command(one, own)
        except NothingSelected:
            if not one.json:
                own.result("nothing is selected here")
            own.answer, code = {"selected": 0}, 0
        except (PipelineError, KeyboardInterrupt) as error:
            code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.exit_code
            own.error(str(error) or "interrupted; run again to continue")
            own.answer = failure_json(error, code)
            if one.begun and self.left is not None:
                self.left = 0  # what it spent until then is not known here
                own.urge("what it spent of --budget is not known: the others may spend nothing")
        self.count(one, own.facts)
        self.code = max(self.code, code, key=_SERIOUS.index)
        if code not in _WENT_WELL:
            self.wrong.append(f"{file} (exit {code})")
        answer = own.answer if isinstance(own.answer, dict) else {}
        self.answers.append({"ok": code in _WENT_WELL, "manifest": file, **answer, "exit_code": code})
        if not one.json and one.name != "run":
            own.result()

    def count(self, one: argparse.Namespace, facts: dict[str, Any]) -> None:
        """Take off what one of them took."""
        self.facts.append(facts)
        spent = micro_usd(facts.get("counted_usd" if one.name == "run" else "usd", 0))
        self.usd += micro_usd(facts.get("usd", facts.get("spent_usd", 0)))
        if self.left is not None:
            self.left = max(0, self.left - spent)
        if self.limit is not None:
            self.limit = max(0, self.limit - facts.get("asked", facts.get("to_make", 0)))

    def say(self, console: Console, name: str) -> None:
        """The summary."""

        def of(fact: str) -> int:
            return sum(facts.get(fact, 0) for facts in self.facts)

        parts = {
            "run": [f"{of('done'):,} of {count(of('selected'), 'cell')} done", f"{count(of('made'), 'picture')} made"],
            "plan": [f"{count(of('to_make'), 'picture')} to make"],
            "status": [f"{of('done'):,} of {count(of('cells'), 'cell')} done"],
        }[name]
        price = {"run": "{} in these runs", "plan": "price now {}", "status": "{} spent"}[name]
        parts.append(price.format(dollars(self.usd)))
        parts += [f"not done: {', '.join(self.wrong)}"] if self.wrong else []
        words = console.style(f"{count(len(self.answers), 'manifest')}: ", "bold") + " · ".join(parts)
        if name != "run":
            console.result(words)
        elif self.code:
            console.urge(words)
        else:
            console.note(words)
