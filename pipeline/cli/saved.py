"""Saved plans: ``plan -o plan.json``, and ``run plan.json`` that does exactly that or refuses."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, PlanChanged, UsageError
from pipeline.expand import Expansion
from pipeline.plan import Plan
from pipeline.plan.selectors import Named

_PLAN_FORMAT = "campaign-pipeline plan 1"


def save_plan(plan: Plan, arguments: argparse.Namespace) -> None:
    """Write a plan with what it was made from; the options that selected it are part of it."""
    target = Path(arguments.output)
    document = {
        "plan": _PLAN_FORMAT,
        "manifest": _way(target, Path(arguments.manifest)),
        "providers": arguments.provider,
        "only": arguments.only,
        "exclude": arguments.exclude,
        "tag": arguments.tag,
        "limit": arguments.limit,
        "retake": arguments.retake,
        "retry_failed": arguments.retry_failed,
        "uncertain": arguments.uncertain,
        "named": {word: sorted(labels) for word, labels in plan.selection.named.items()},
        "fingerprint": plan.expansion.fingerprint(),
        "cells": {cell.label: cell.picture.key for cell in plan.expansion.cells},
        "takes": dict(sorted(plan.takes.items())),
        "usd": plan.usd / 1e6,
    }
    try:
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        target.write_bytes(text.encode("utf-8", "backslashreplace"))  # half a surrogate pair is an escape in JSON too
    except OSError as error:
        raise PipelineError(f"{target}: can't be written: {error.strerror}") from None


def read_plan(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The saved plan that the command line names, its options put in force; None for a manifest.

    Raises:
        PipelineError: when it can't be read, or is no saved plan.
        UsageError: when more options are given than it was made with.
    """
    if not arguments.manifest.endswith(".json"):
        return None
    try:
        saved = json.loads(Path(arguments.manifest).read_text("utf-8"))
        known = isinstance(saved, dict) and saved.get("plan") == _PLAN_FORMAT and _whole(saved)
    except OSError as error:
        raise PipelineError(f"{arguments.manifest}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        known = False
    if not known:
        raise PipelineError(
            f"{arguments.manifest}: is no saved plan; make one with `pipeline plan M -o {arguments.manifest}`"
        )
    given = [name for name in ("provider", "only", "exclude", "tag", "retake") if getattr(arguments, name)]
    if given or arguments.limit is not None or arguments.retry_failed or arguments.uncertain != "hold":
        raise UsageError("a saved plan is run as it is: give the selection to `pipeline plan` instead")
    arguments.manifest, arguments.provider = _found(arguments.manifest, saved["manifest"]), saved["providers"]
    for name in ("only", "exclude", "tag", "limit", "retake", "retry_failed"):
        setattr(arguments, name, saved[name])
    arguments.uncertain = "retry" if saved.get("uncertain") == "retry" else "hold"
    result: dict[str, Any] = saved
    return result


def saved_named(saved: dict[str, Any]) -> Named:
    """The cells that the words about what changes named when a plan was saved; plans of before have none."""
    return {word: frozenset(labels) for word, labels in saved.get("named", {}).items()}


def _way(plan: Path, manifest: Path) -> str:
    """How a saved plan names its manifest: by the way from its own folder, so that both can move together."""
    try:
        there = Path(os.path.realpath(manifest.parent), manifest.name)
        return Path(os.path.relpath(there, os.path.realpath(plan.parent))).as_posix()
    except ValueError:  # on another drive
        return str(manifest.absolute())


def _found(plan: str, written: str) -> str:
    """The manifest of a saved plan; plans of before name it by its absolute path."""
    there = os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(plan)), written))  # noqa: PTH118, PTH120
    here = os.path.relpath(there)
    return there if os.path.isabs(written) or here.startswith("..") else here  # noqa: PTH117


def _whole(saved: dict[str, Any]) -> bool:
    """Whether a saved plan has all that a plan has, each of its kind."""
    kinds: dict[str, tuple[type, ...]] = {
        "manifest": (str,),
        "fingerprint": (str,),
        "cells": (dict,),
        "takes": (dict,),
        "limit": (int, type(None)),
        "retry_failed": (bool,),
    } | dict.fromkeys(("providers", "only", "exclude", "tag", "retake"), (list, type(None)))
    if not all(name in saved and isinstance(saved[name], kind) for name, kind in kinds.items()):
        return False
    named = saved.get("named", {})
    lists: list[Any] = [value for value in saved.values() if isinstance(value, list)]
    lists += list(named.values()) if isinstance(named, dict) else [[None]]
    return all(isinstance(words, list) and all(isinstance(word, str) for word in words) for words in lists)


def check_inputs(saved: dict[str, Any], expansion: Expansion) -> None:
    """Refuse a plan whose manifest, products or references changed since.

    Raises:
        PlanChanged: naming one of the cells that differ.
    """
    if saved["fingerprint"] == expansion.fingerprint():
        return
    before: dict[str, str] = saved["cells"]
    now = {cell.label: cell.picture.key for cell in expansion.cells}
    changed = [label for label in {**before, **now} if before.get(label) != now.get(label)]
    example = f"{len(changed):,} cells differ, such as {changed[0]}" if changed else "its output paths differ"
    raise PlanChanged(f"the inputs changed since the plan was saved: {example}; plan again")
