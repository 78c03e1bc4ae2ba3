"""Which manifests a command is about: those that it names, or the only one in the folder."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.cli.console import Console
from pipeline.errors import UsageError

FIRST = "campaign.yaml"
"""Taken before any other, as `pipeline init` calls it so."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_YAML = (".yaml", ".yml")
_READ = 4_000_000
"""Characters that are looked at: a larger file says before that what it is."""
_MOST_FILES = 500
_LISTED = 12


def choose(arguments: argparse.Namespace, console: Console) -> None:
    """Put the manifests of a command into its arguments, each once; ``manifest`` is the first of them.

    Raises:
        UsageError: when none is named, and the folder doesn't say which is meant.
    """
    if arguments.more == "files":
        _split(arguments)
    command = arguments.name
    if not arguments.manifests:
        arguments.manifests = [find(Path(), command, several=arguments.more == "manifests")]
        if arguments.manifests != [FIRST]:
            console.note(f"manifest: {arguments.manifests[0]}")
    named = [
        find(Path(name), command, several=arguments.more == "manifests") if Path(name).is_dir() else name
        for name in arguments.manifests
    ]
    once = {os.path.realpath(name): name for name in reversed(named)}
    arguments.manifests = [name for name in dict.fromkeys(named) if name in once.values()]
    arguments.manifest = arguments.manifests[0]


def _split(arguments: argparse.Namespace) -> None:
    """Of ``[MANIFEST] FILE…`` the manifest."""
    first = arguments.files[0].lower()
    if first.endswith((*_YAML, ".json")) or (len(arguments.files) > 1 and not first.endswith(_PICTURES)):
        arguments.manifests = [arguments.files.pop(0)]
    if not arguments.files:
        raise UsageError(f"pipeline adopt {shlex.quote(arguments.manifests[0])} FILE: which file is missing")


def find(folder: Path, command: str, *, several: bool = False) -> str:
    """The manifest that is meant in a folder: ``campaign.yaml``, or the only one.

    Raises:
        UsageError: when there is none, or more than one; it names them.
    """
    if (folder / FIRST).is_file():
        return str(folder / FIRST)
    where = "here" if folder == Path() else f"in {folder}"
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in _YAML and path.name[:1] != ".")
    except OSError as error:
        raise UsageError(f"no manifest was named, and {folder} can't be read: {error.strerror}") from None
    looks = {path: _look(path) for path in files[:_MOST_FILES] if path.is_file()}
    extended = {os.path.realpath(path.parent / name) for path, look in looks.items() for name in look.extends}
    found = [str(p) for p, look in looks.items() if look.is_manifest and os.path.realpath(p) not in extended]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(found[:_LISTED]) + (f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else "")
        example = f"`pipeline {command} {shlex.quote(found[0])}`"
        also = f", or several: `pipeline {command} {shlex.join(found[:2])}`" if several else ""
        raise UsageError(f"which manifest? There are {len(found):,} {where}: {names}; name one: {example}{also}")
    below = sorted(folder.glob(f"*/{FIRST}"))
    hint = f"; did you mean `pipeline {command} {shlex.quote(str(below[0]))}`?" if below else ""
    raise UsageError(
        f"there is no manifest {where} (a .yaml file with products and prompts){hint}"
        + ("" if below else "; `pipeline init` makes one")
    )


@dataclass(slots=True)
class _Look:
    """What the first level of a YAML file says."""

    keys: set[str]
    extends: list[str]

    @property
    def is_manifest(self) -> bool:
        """Whether it looks like one; what is wrong with it is said when it is read."""
        return bool(self.keys & {"products", "prompts"}) or {"campaign", "extends"} <= self.keys


def _look(path: Path) -> _Look:
    """The keys of a file's mapping, as far as it can be read."""
    look = _Look(set(), [])
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_READ)
        depth, at, key = 0, "key", ""
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.SequenceStartEvent) and depth == 0:
                return look  # a list of products
            if isinstance(event, yaml.ScalarEvent) and depth == 1 and at == "key":
                key, at = event.value, "value"
                look.keys.add(key)
                continue
            if isinstance(event, yaml.ScalarEvent) and depth <= 2 and key == "extends":
                look.extends.append(event.value)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            at = "key" if depth == 1 else "value"
    except (OSError, ValueError, yaml.YAMLError):
        pass
    return look
