"""Problems as they are met: the same one at many products is one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import Mark, Problem
from pipeline.strict_yaml import key_path
from pipeline.types import KeyPath, Manifest


@dataclass(slots=True)
class Findings:
    """Problems by place and fact, each with the products it was met at."""

    manifest: Manifest
    met: dict[tuple[KeyPath, str, str, str, bool], dict[str, None]] = field(default_factory=dict)

    def add(
        self, path: KeyPath, fact: str, hint: str = "", *, at: str = "", word: str = "", warning: bool = False
    ) -> None:
        """Note a problem at a key path; ``at`` is the product it was met at, ``word`` what to look for in the text."""
        self.met.setdefault((path, fact, hint, word, warning), {})[at] = None

    def problems(self) -> Iterator[Problem]:
        """One located problem for each fact."""
        for (path, fact, hint, word, warning), at in self.met.items():
            ids = [name for name in at if name]
            many = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
            where = f" (product {ids[0]}{many})" if ids else ""
            mark = self.manifest.mark(path)
            yield Problem(find_word(mark, word), key_path(path), fact + where, hint, warning)


def find_word(mark: Mark | None, word: str) -> Mark | None:
    """The place of ``word`` in the text that starts at ``mark``, or ``mark`` when it isn't found."""
    if mark is None or not word:
        return mark
    try:
        lines = Path(mark.file).read_text("utf-8-sig").splitlines()
    except (OSError, ValueError):
        return mark
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    for number, line in enumerate(lines[mark.line - 1 : mark.line + 200], mark.line):
        found = pattern.search(line, mark.column - 1 if number == mark.line else 0)
        if found:
            return Mark(mark.file, number, found.start() + 1)
    return mark
