"""What cells are called: their labels and files, each taken by one cell only and safe on every file system."""

from __future__ import annotations

import re
import unicodedata

from pipeline.expand.findings import Findings
from pipeline.prompt import Template, TemplateProblem
from pipeline.types import KeyPath, Manifest

PRIVATE = ".pipeline"
"""The folder inside the output folder that holds the ledger and the kept originals."""
MAX_COLLISIONS = 20
"""Collisions that are told one by one: a path without the ratio in it has thousands."""

_PATH = re.compile(r"[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}(?:/[^/\\\x00-\x1f\x7f:*?\"<>|]{1,200}){0,19}")
_BAD_PART = re.compile(
    r"(?:^|/)(?:\.{1,2}|[^/]*[. ]|(?:con|prn|aux|nul|com\d|lpt\d)(?:\.[^/]*)?)(?:/|$)", re.IGNORECASE
)

_AT: KeyPath = ("outputs", "path")


class Names:
    """The names taken so far."""

    def __init__(self, manifest: Manifest, found: Findings) -> None:
        self.found = found
        self.native = manifest.outputs.native
        self.labels: dict[str, str] = {}
        self.taken: dict[str, str] = {}
        try:
            self.path: Template | None = Template(manifest.outputs.file, path=True)
        except TemplateProblem as problem:
            self.path = None
            found.add(_AT, problem.fact, problem.hint, word=problem.word)

    def file(self, label: str, key: str, context: dict[str, object], extension: str) -> str | None:
        """The file of a cell, taken together with its sidecar; None when the label is taken already."""
        if label in self.labels:
            return None
        file = self.rendered(context, label, extension)
        self.labels[label] = file
        self.claim(file, label, label)
        stem = file if self.native else file.rpartition(".")[0]
        self.claim(f"{stem}.json", key, label)
        return file

    def rendered(self, context: dict[str, object], label: str, extension: str) -> str:
        """The rendered output path, checked to stay inside the output folder on every system."""
        if self.path is None:
            return label
        try:
            file = self.path.render(context)
        except TemplateProblem as problem:
            self.found.add(_AT, problem.fact, problem.hint, word=problem.word)
            return label
        if not _PATH.fullmatch(file) or _BAD_PART.search(file) or file.casefold().startswith(PRIVATE):
            fact = f"{file!r} is no path inside the output folder"
            self.found.add(_AT, fact, "use plain names and `/`, without `..`, and no reserved name")
        elif not file.endswith((f".{extension}", ".jpeg" if extension == "jpg" else f".{extension}")):
            self.found.add(_AT, f"{file!r} doesn't end in .{extension}", "end the path in .{{ ext }}")
        return file

    def claim(self, file: str, owner: str, label: str) -> None:
        """Take a path; two owners of one (in any case and Unicode form) are a problem."""
        folded = file.lower() if file.isascii() else unicodedata.normalize("NFC", file).casefold()
        other = self.taken.setdefault(folded, owner)
        if other != owner:
            axes = "product.id, prompt.id, vary, aspect_ratio, resolution, variant and ext"
            first = next((name for name, path in self.labels.items() if path.lower() == file.lower()), "another cell")
            fact = f"two cells have the path {file!r}: {first} and {label}"
            if len(self.found.met) < MAX_COLLISIONS:
                self.found.add(_AT, fact, f"name what tells them apart ({axes})")
