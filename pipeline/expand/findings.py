"""Problems as they are met: the same one at many products is one line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipeline.errors import MOST_PROBLEMS, ManifestError, Mark, Problem
from pipeline.strict_yaml import key_path
from pipeline.types import KeyPath, Manifest


@dataclass(slots=True)
class Findings:
    """Problems by place and fact, each with the products it was met at."""

    manifest: Manifest
    met: dict[tuple[KeyPath, str, str, str, bool], dict[str, None]] = field(default_factory=dict)
    facts: Counter[bool] = field(default_factory=Counter)  # how many errors, how many warnings
    tries: Counter[KeyPath] = field(default_factory=Counter)  # how often a place was wrong

    def add(
        self, path: KeyPath, fact: str, hint: str = "", *, at: str = "", word: str = "", warning: bool = False
    ) -> None:
        """Note a problem at a key path; ``at`` is the product it was met at, ``word`` what to look for in the text.

        Raises:
            ManifestError: with all that was found, when that is enough for anybody.
        """
        key = (path, fact, hint, word, warning)
        if key not in self.met:
            self.facts[warning] += 1
            if warning and self.facts[True] > MOST_PROBLEMS:
                return
            self.met[key] = {}
        self.met[key][at] = None
        if not warning:
            self.tries[path] += 1
        if self.facts[False] > MOST_PROBLEMS:
            raise ManifestError([*self.manifest.problems, *self.problems(warnings=False)], None)

    def often(self, path: KeyPath) -> bool:
        """Whether enough was found wrong here: more of the same tells nothing new, and costs time."""
        return self.tries[path] >= MOST_PROBLEMS

    def problems(self, *, warnings: bool = True) -> Iterator[Problem]:
        """One located problem for each fact."""
        lines = cache(_lines)
        for (path, fact, hint, word, warning), at in self.met.items():
            if warning and not warnings:
                continue
            ids = [name for name in at if name]
            least = "at least " if self.often(path) else ""
            many = f" and {least}{len(ids) - 1} more" if len(ids) > 1 else ""
            where = f" (product {ids[0]}{many})" if ids else ""
            mark = self.manifest.mark(path)
            if mark is not None and word:
                mark = find_word(mark, word, lines(mark.file))
            yield Problem(mark, key_path(path), fact + where, hint, warning)
        if warnings and self.facts[True] > MOST_PROBLEMS:
            yield Problem(None, "", f"… and {self.facts[True] - MOST_PROBLEMS:,} more", warning=True)


def _lines(file: str) -> tuple[str, ...]:
    """The lines of a file that was read already."""
    try:
        return tuple(Path(file).read_text("utf-8-sig").split("\n"))  # also of CRLF: reading makes them one
    except (OSError, ValueError):
        return ()


def find_word(mark: Mark, word: str, lines: Sequence[str]) -> Mark:
    """The place of ``word`` in the text that starts at ``mark``, or ``mark`` when it isn't found."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    for number, line in enumerate(lines[mark.line - 1 : mark.line + 200], mark.line):
        found = pattern.search(line, mark.column - 1 if number == mark.line else 0)
        if found:
            return Mark(mark.file, number, found.start() + 1)
    return mark
